"""A server of several: what it needs to take part, and what it says where that can't be had."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.pairs import pair
from tests.e2e.processes import command_line
from tests.e2e.switch import Switch, free_port
from tests.e2e.waiting import until


def settings(directory: Path, heartbeat_port: int) -> dict[str, Any]:
    secret = directory / "heartbeat.key"
    secret.write_text("0123456789abcdef0123456789abcdef")
    secret.chmod(0o600)
    return {
        "servers.mx1": {"heartbeat": f"127.0.0.1:{heartbeat_port}"},
        "servers.mx2": {"heartbeat": f"127.0.0.1:{free_port()}"},
        "heartbeat": {"secret_file": str(secret)},
    }


def refusal(switch: Switch) -> str:
    """What a server says that does not start, all in one line."""
    assert switch.spawn().wait(20) == 78
    [line] = [line for line in switch.log().splitlines() if line.startswith("nightmail:")]
    return line


def test_a_heartbeat_address_that_another_program_has_is_one_clear_line(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        switch = Switch(tmp_path, settings=settings(tmp_path, taken.getsockname()[1]))
        line = refusal(switch)
    assert "[servers.mx1] heartbeat" in line
    assert "can't be bound" in line


@pytest.mark.parametrize("mode", [0o644, None])
def test_a_secret_that_everybody_can_read_or_that_is_not_there_is_one_clear_line(
    tmp_path: Path, mode: int | None
) -> None:
    chosen = settings(tmp_path, free_port())
    secret = Path(chosen["heartbeat"]["secret_file"])
    if mode is None:
        secret.unlink()
    else:
        secret.chmod(mode)
    line = refusal(Switch(tmp_path, settings=chosen))
    assert str(secret) in line
    assert "chmod 600" in line


def test_of_two_hosts_with_one_name_the_later_gives_up_with_one_clear_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    chosen = {**settings(tmp_path, free_port()), "store": {"idle_tick_s": 1}}
    first, second = (Switch(tmp_path / host, disk=disk) for host in ("host-a", "host-b"))
    first.configure(chosen)
    # A host of its own: the same configuration but for the addresses that one machine can have only once.
    second.configure({**chosen, "servers.mx1": {"heartbeat": f"127.0.0.1:{free_port()}"}})
    with first:
        assert second.spawn().wait(60) == 78
        [line] = [line for line in second.log().splitlines() if line.startswith("nightmail:")]
        assert "another host runs under the name mx1: it writes the queue mx1.0.1" in line
        assert "give every host a name of its own" in line
        assert first.facts("status")["state"] == "serving"
        assert first.stop() == 0


def test_a_partner_that_is_not_there_keeps_nobody_from_serving(tmp_path: Path) -> None:
    with Switch(tmp_path, settings=settings(tmp_path, free_port())) as switch:
        [peer] = switch.facts("status")["peers"]
        assert (peer["server"], peer["heartbeat_age_s"]) == ("mx2", None)
        assert switch.stop() == 0


def test_who_is_asked_to_stop_again_at_once_starts_nothing_and_waits_for_nobody(tmp_path: Path) -> None:
    first, second = pair(tmp_path, free_port())
    with first, second:
        until(lambda: first.silence_of("mx2") < 1, "the partner is heard")
        process = first.running()
        process.terminate()
        first.wait_for_log("server stopping")
        process.terminate()
        assert process.wait(10) == 0
        assert [len(first.logged(said)) for said in ('event="asked to stop', "switch killed", "switch started")] == [
            1
        ] * 3


def test_a_secondary_switch_is_the_spare_that_was_there(tmp_path: Path) -> None:
    first, second = pair(tmp_path, free_port())
    with first, second:
        spare = until(second.spare_pid, "a spare")
        first.kill()
        second.wait_for_log("secondary switch started", "server=mx1")
        until(lambda: [each.state for each in second.status().switches] == ["serving"] * 2, "it serves")
        assert [each.pid for each in second.status().switches if each.secondary_for] == [spare]
        assert command_line(spare) == ["nightmail: secondary switch of mx2 for mx1"]
