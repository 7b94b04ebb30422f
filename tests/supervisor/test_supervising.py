"""The supervisor as a real process, with switches that are real processes and do nothing."""

from __future__ import annotations

import os
import signal
import stat
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.e2e.processes import is_alive
from tests.e2e.waiting import until
from tests.supervisor.rig import Server


def get(server: Server, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{server.http_port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_server_serves_and_stops_cleanly(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).start() as server:
        assert server.greeting().startswith("220 switch ")
        assert get(server, "/ready") == (200, "ready\n")
        assert get(server, "/live") == (200, "live\n")
        assert 'nightmail_switch_up{switch="1"} 1' in get(server, "/metrics")[1]
        pids = [int(line.rpartition("pid=")[2]) for line in server.logged("switch started")]
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert not any(map(is_alive, pids))
        assert not server.logged("killed|died|Traceback")
        assert server.logged("server stopped")


def test_the_operator_asks_on_a_socket_that_is_the_users_own(tmp_path: Path) -> None:
    with Server(tmp_path).start() as server:
        status, picture = server.operator("GET", "/status")
        assert (status, picture["server"], picture["state"], picture["peers"]) == (200, "mx1", "serving", [])
        assert picture["queues"][0]["id"] == "mx1.0.1"  # type: ignore[index]
        assert stat.S_IMODE((server.run / "admin.sock").stat().st_mode) == 0o600
        assert stat.S_IMODE((server.run / "drop").stat().st_mode) == 0o1730
        assert (tmp_path / "owned").is_dir()


def test_a_server_that_waits_for_its_routing_says_so_and_serves_once_it_has_come(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (server.run / "nothing-yet").touch()
        server.spawn()
        until(lambda: (server.run / "admin.sock").exists() and get(server, "/live")[0] == 200, "an answer")
        assert get(server, "/ready") == (503, "waiting for the directory: it has no content yet\n")
        assert server.operator("GET", "/status")[1]["state"] == "starting"
        assert server.operator("POST", "/drain") == (
            502,
            {"error": "mx1 has not started its switches yet, and can just be stopped"},
        )
        with pytest.raises(ConnectionRefusedError):
            server.greeting()
        (server.run / "nothing-yet").unlink()
        until(lambda: get(server, "/ready")[0] == 200, "readiness")
        assert server.greeting().startswith("220 switch ")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_a_server_that_waits_for_its_routing_can_be_stopped(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (server.run / "nothing-yet").touch()
        server.spawn()
        until(lambda: (server.run / "admin.sock").exists() and get(server, "/live")[0] == 200, "an answer")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.logged("server stopped")
        assert not server.logged("switch started|Traceback|failed")


def test_a_switch_that_dies_is_started_again_on_the_same_port(tmp_path: Path) -> None:
    with Server(tmp_path).start() as server:
        first = server.switch_pid()
        os.kill(first, signal.SIGKILL)
        second = server.switch_pid()
        assert second != first
        (line,) = server.logged("switch died")
        assert 'how="killed by SIGKILL"' in line
        assert until(lambda: get(server, "/ready")[0] == 200, "readiness")


def test_a_switch_that_keeps_dying_is_started_less_and_less_often(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (server.run / "die-at-start").touch()
        server.spawn()
        until(lambda: len(server.logged("switch died")) >= 3, "three deaths")
        delays = [line.rpartition("restart_in_s=")[2] for line in server.logged("switch died")[:3]]
        assert delays == ["0.000", "0.100", "0.200"]
        assert get(server, "/ready")[0] == 503
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_a_switch_that_refuses_its_configuration_ends_the_server(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (server.run / "refuse-config").touch()
        server.spawn()
        assert server.wait() == 78
        assert server.logged("nightmail: store: it lies")
        assert not server.logged("switch died")


def test_a_configuration_spoilt_while_a_server_runs_stops_no_switch_that_serves(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).start() as server:
        (server.run / "refuse-config").touch()
        os.kill(server.switch_pid(), signal.SIGKILL)
        until(lambda: server.logged("switch died.*exit code 78"), "a refusal")
        (server.run / "refuse-config").unlink()
        until(lambda: len(server.logged("switch serving")) == 3, "the switch that comes back")
        server.signal(signal.SIGTERM)
        assert server.wait() == 0


def test_killing_the_supervisor_kills_its_switches(tmp_path: Path) -> None:
    with Server(tmp_path, workers=2).start() as server:
        pids = [int(line.rpartition("pid=")[2]) for line in server.logged("switch started")]
        server.signal(signal.SIGKILL)
        server.wait()
        until(lambda: not any(map(is_alive, pids)), f"the death of {pids}")


def test_a_switch_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    with Server(tmp_path, stop_timeout_s=0.2).start() as server:
        (server.run / "never-stop").touch()
        server.signal(signal.SIGTERM)
        assert server.wait() == 0
        assert server.logged("switch killed")


def test_being_asked_twice_to_stop_is_not_to_wait(tmp_path: Path) -> None:
    with Server(tmp_path).start() as server:
        (server.run / "never-stop").touch()
        server.signal(signal.SIGINT)
        until(lambda: server.logged("server stopping"), "the stop to begin")
        assert get(server, "/ready") == (404, "the server is stopping\n")
        server.signal(signal.SIGINT)
        assert server.wait() == 0


def test_two_supervisors_never_share_a_run_directory(tmp_path: Path) -> None:
    with Server(tmp_path).start() as server:
        second = Server(tmp_path)
        second.spawn()
        assert second.wait() == 78
        assert second.logged(rf"nightmail: .*run_directory: {server.run} is in use by another nightmail \(pid \d+\)")
        assert server.greeting().startswith("220")


def test_two_servers_never_share_a_port(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with Server(one).start() as first, Server(other) as second:
        text = second.config_file.read_text().replace(str(second.port), str(first.port))
        second.config_file.write_text(text)
        second.spawn()
        assert second.wait() == 78
        assert second.logged(f"nightmail: listener 127.0.0.1:{first.port}: address already in use; stop")


def test_two_servers_never_share_a_port_that_one_of_them_had_and_did_not_listen_on_yet(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with Server(one) as first, Server(other) as second:
        second.config_file.write_text(second.config_file.read_text().replace(str(second.port), str(first.port)))
        (first.run / "nothing-yet").touch()
        first.spawn()
        until(lambda: (first.run / "admin.sock").exists() and get(first, "/live")[0] == 200, "an answer")
        second.start()
        (first.run / "nothing-yet").unlink()
        assert first.wait() == 78
        assert first.logged(f"nightmail: listener 127.0.0.1:{first.port}: address already in use; stop")


def test_tables_are_reloaded_on_sighup_and_by_themselves_and_by_the_operator(tmp_path: Path) -> None:
    with Server(tmp_path).start() as server:
        reloads = server.run / "reloads-0"
        server.signal(signal.SIGHUP)
        until(lambda: reloads.exists() and reloads.read_text() == "1", "the reload by SIGHUP")
        (tmp_path / "tables/domains").write_text("also right\n")
        until(lambda: reloads.read_text() == "2", "the reload by itself")
        assert server.operator("POST", "/reload") == (200, {"tables": "ok"})
        assert reloads.read_text() == "3"


def test_wrong_tables_are_refused_and_the_last_good_ones_stay(tmp_path: Path) -> None:
    with Server(tmp_path).start() as server:
        (tmp_path / "tables/domains").write_text("wrong\n")
        status, answer = server.operator("POST", "/reload")
        assert status == 422
        assert answer["error"] == f"{tmp_path}/tables/domains:1: it is wrong; write what is right"
        assert "it is wrong" in str(server.operator("GET", "/status")[1]["tables"])
        assert server.logged("tables refused")
        assert not (server.run / "reloads-0").exists()
        (tmp_path / "tables/domains").write_text("right again\n")
        until(lambda: server.operator("GET", "/status")[1]["tables"] == "ok", "the tables to be taken")


def test_a_server_with_wrong_tables_does_not_start(tmp_path: Path) -> None:
    with Server(tmp_path) as server:
        (tmp_path / "tables/domains").write_text("wrong\n")
        server.spawn()
        assert server.wait() == 78
        assert server.log().splitlines()[-1].startswith("nightmail: ")


@pytest.mark.parametrize("run", ["x" * 120])
def test_a_run_directory_with_a_long_path_has_its_socket_too(tmp_path: Path, run: str) -> None:
    with Server(tmp_path) as server:
        server.config_file.write_text(server.config_file.read_text().replace('"run"', f'"{run}"'))
        server.start()
        assert stat.S_ISSOCK((tmp_path / run / "admin.sock").stat().st_mode)
