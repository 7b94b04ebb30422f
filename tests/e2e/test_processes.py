"""A server's processes: one that dies is replaced, all end together, nothing survives its supervisor."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import relaying
from tests.e2e.dialogue import Dialogue, deliver
from tests.e2e.processes import is_alive
from tests.e2e.sink import Act, Answer, Sink
from tests.e2e.switch import Switch
from tests.e2e.waiting import until


def children(switch: Switch) -> list[int]:
    return switch.pids()[1:]


def workers(switch: Switch) -> list[int]:
    """The pids of the switches, as `status` tells them."""
    return [each["pid"] for each in switch.facts("status")["switches"]]


def wait_for_all(switch: Switch, count: int) -> None:
    """Wait until so many switches serve."""
    until(lambda: [each["state"] for each in switch.facts("status")["switches"]] == ["serving"] * count, "all serve")


def test_a_switch_that_dies_is_replaced_and_its_queue_goes_on(switch: Switch, sink: Sink) -> None:
    sink.on["MAIL"] = Answer(words="450 4.3.2 come back later")
    queue_id = deliver(switch.port, "carol@example.net", "someone@sink.test")
    (pid,) = workers(switch)
    os.kill(pid, signal.SIGKILL)
    with Dialogue(switch.port, timeout_s=20) as session:
        session.greet()
    sink.on.clear()
    assert sink.wait_for(1)[0].queue_id == queue_id
    until(lambda: workers(switch) not in ([], [pid], [0]), "another switch")
    until(lambda: switch.queued() == 0, "an empty queue")


def test_a_switch_that_dies_is_replaced_by_the_spare(switch: Switch, sink: Sink) -> None:
    spare = until(switch.spare_pid, "a spare")
    [first] = workers(switch)
    os.kill(first, signal.SIGKILL)
    wait_for_all(switch, 1)
    assert workers(switch) == [spare]
    assert switch.switch_pids() == {0: spare}
    deliver(switch.port, "carol@example.net", "a@sink.test")
    sink.wait_for(1)
    another = until(switch.spare_pid, "another spare")
    assert another != spare


def test_sigterm_ends_everything_cleanly(switch: Switch, sink: Sink) -> None:
    sink.on["MAIL"] = Answer(words="450 4.3.2 come back later")
    queue_id = deliver(switch.port, "carol@example.net", "someone@sink.test")
    assert switch.stop() == 0
    sink.on.clear()
    switch.start()
    assert sink.wait_for(1)[0].queue_id == queue_id


def test_sigterm_lets_a_delivery_under_way_end(switch: Switch, sink: Sink) -> None:
    sink.on["."] = Answer(delay_s=1.0)
    deliver(switch.port, "carol@example.net", "someone@sink.test")
    sink.wait_for(1)
    assert switch.stop() == 0
    sink.on.clear()
    switch.start()
    until(lambda: switch.queued() == 0, "an empty queue")
    assert len(sink.received) == 1
    assert switch.logged("to=<someone@sink.test>", "status=sent")


def test_sigterm_waits_for_no_destination_that_hangs(switch: Switch, sink: Sink) -> None:
    sink.on["MAIL"] = Answer(Act.HANG)
    deliver(switch.port, "carol@example.net", "someone@sink.test")
    until(lambda: any(command.startswith("MAIL") for command in sink.commands), "a delivery under way")
    assert switch.stop(timeout_s=30) == 0


def test_a_second_sigterm_changes_nothing(switch: Switch) -> None:
    process = switch.running()
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


def test_the_children_of_a_killed_supervisor_die_with_it(switch: Switch) -> None:
    pids = children(switch)
    assert pids
    switch.running().kill()
    switch.running().wait()
    until(lambda: not any(map(is_alive, pids)), "the end of its children", 5)


def test_several_switches_share_the_sessions(tmp_path: Path, sink: Sink) -> None:
    with Switch(tmp_path, relaying(sink), {"server": {"workers": 2}}) as switch:
        wait_for_all(switch, 2)
        for number in range(60):
            deliver(switch.port, "carol@example.net", f"n{number}@sink.test")
        received = sink.wait_for(60)
        assert len({message.queue_id for message in received}) == 60
        queues = {queue["id"].rpartition(".")[0] for queue in switch.facts("status")["queues"]}
        assert queues == {"mx1.0", "mx1.1"}


def test_fewer_switches_run_the_queues_of_those_that_are_gone(tmp_path: Path, sink: Sink) -> None:
    settings = {"server": {"workers": 2}, "queue": {"retry_first_s": 1, "retry_max_s": 1}}
    with Switch(tmp_path, relaying(sink), settings) as switch:
        wait_for_all(switch, 2)
        sink.on["MAIL"] = Answer(words="450 4.3.2 come back later")
        for number in range(30):
            deliver(switch.port, "carol@example.net", f"n{number}@sink.test")
        switch.stop()
        switch.configure({"queue": settings["queue"]})
        sink.on.clear()
        switch.start()
        sink.wait_for(30)
        until(lambda: switch.queued() == 0, "empty queues")


def test_a_server_runs_as_the_user_it_was_told(tmp_path: Path, sink: Sink) -> None:
    switch = Switch(tmp_path, relaying(sink), {"server": {"user": "nobody"}})
    if not may_run_python("nobody"):
        done = switch.nightmail("serve")
        assert done.returncode == 78
        assert done.stderr.startswith("nightmail: [server] user: ")
        assert len(done.stderr.splitlines()) == 1
        return
    nobody = pwd.getpwnam("nobody").pw_uid
    for place in (tmp_path, *tmp_path.parents[:2]):
        place.chmod(place.stat().st_mode | 0o055)
    for place in (tmp_path, switch.store, switch.mail):
        os.chown(place, nobody, -1)
    with switch:
        for pid in switch.pids():
            assert Path(f"/proc/{pid}").stat().st_uid == nobody
        deliver(switch.port, "carol@example.net", "a@sink.test")
        sink.wait_for(1)
        switch.kill()


def may_run_python(user: str) -> bool:
    """Whether we may become that user, and it may then run this Python."""
    try:
        return subprocess.run([sys.executable, "-c", ""], user=user, check=False).returncode == 0
    except PermissionError:
        return False


def test_two_servers_of_one_name_do_not_share_a_run_directory(switch: Switch) -> None:
    done = switch.nightmail("serve")
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "level=warning" not in line]
    assert f"{switch.directory}/run is in use by another nightmail" in line
    assert switch.is_ready()
