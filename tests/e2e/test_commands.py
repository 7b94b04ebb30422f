"""What an operator asks and does, against a running server."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.dialogue import MESSAGE, Dialogue, deliver
from tests.e2e.sink import Answer, Sink
from tests.e2e.switch import NIGHTMAIL, Switch
from tests.e2e.waiting import until


@pytest.fixture
def stuck(switch: Switch, sink: Sink) -> str:
    """A message that its destination keeps putting off."""
    sink.on["MAIL"] = Answer(words="450 4.3.2 come back later")
    queue_id = deliver(switch.port, "carol@example.net", "someone@sink.test")
    until(lambda: (row := find(switch, queue_id)) and row["attempts"] >= 1, "a first attempt")
    return queue_id


def find(switch: Switch, queue_id: str) -> Any:
    rows = switch.facts("queue", "list")["messages"]
    return next((row for row in rows if row["id"] == queue_id), None)


def test_status_tells_server_state_queues_and_peers(switch: Switch, stuck: str) -> None:
    status = switch.facts("status")
    assert status["server"] == "mx1"
    assert status["state"] == "serving"
    assert status["peers"] == []
    (queue,) = [queue for queue in status["queues"] if queue["messages"]]
    assert re.fullmatch(r"mx1\.0\.\d+", queue["id"])
    assert queue["owner"]
    assert queue["messages"] == 1
    assert isinstance(queue["epoch"], int)
    assert isinstance(queue["slot"], int)
    assert switch.nightmail("status").returncode == 0


def test_the_admin_address_answers_live_ready_and_metrics_and_nothing_else(switch: Switch) -> None:
    assert switch.http("/live")[0] == 200
    assert switch.http("/ready")[0] == 200
    status, metrics = switch.http("/metrics")
    assert status == 200
    assert "# TYPE nightmail_" in metrics
    for page in ("/status", "/queue", "/api/queue", "/"):
        assert switch.http(page)[0] == 404


def test_a_queued_message_is_listed_and_shown(switch: Switch, stuck: str) -> None:
    row = find(switch, stuck)
    assert row["from"] == "carol@example.net"
    assert row["state"] in ("waiting", "active")
    shown = switch.nightmail("queue", "show", stuck)
    assert shown.returncode == 0
    assert "someone@sink.test" in shown.stdout
    assert "450 4.3.2 come back later" in shown.stdout
    assert stuck in switch.nightmail("queue", "list", "--to", "@sink.test").stdout
    assert stuck not in switch.nightmail("queue", "list", "--to", "@example.org").stdout


def test_held_mail_waits_until_it_is_released(switch: Switch, sink: Sink, stuck: str) -> None:
    assert switch.facts("queue", "hold", stuck, "--yes")["count"] == 1
    assert find(switch, stuck)["state"] == "held"
    sink.on.clear()
    assert switch.facts("queue", "retry", "--to", "someone@sink.test")["count"] == 0
    assert find(switch, stuck)["state"] == "held"
    assert switch.facts("queue", "release", stuck)["count"] == 1
    assert sink.wait_for(1)[0].queue_id == stuck


def test_held_mail_is_held_after_a_crash(switch: Switch, sink: Sink, stuck: str) -> None:
    switch.facts("queue", "hold", "--from", "carol@example.net", "--yes")
    switch.kill()
    switch.start()
    until(lambda: find(switch, stuck), "the message after the crash")
    assert find(switch, stuck)["state"] == "held"
    assert sink.received == []


def test_retry_tries_at_once(switch: Switch, sink: Sink, stuck: str) -> None:
    switch.facts("queue", "hold", stuck)
    switch.facts("queue", "release", stuck)
    sink.on.clear()
    switch.facts("queue", "retry", "--all", "--yes")
    assert sink.wait_for(1, 5)[0].queue_id == stuck
    until(lambda: switch.queued() == 0, "an empty queue")


def test_deleted_mail_is_gone_and_nobody_is_told(switch: Switch, sink: Sink, stuck: str) -> None:
    assert switch.facts("queue", "delete", stuck, "--yes")["count"] == 1
    assert find(switch, stuck) is None
    assert switch.queued() == 0
    assert sink.received == []


def test_bounced_mail_goes_back_to_its_sender(switch: Switch, sink: Sink) -> None:
    sink.on["MAIL"] = Answer(words="450 4.3.2 come back later")
    queue_id = deliver(switch.port, "alice@example.org", "someone@sink.test")
    assert switch.facts("queue", "bounce", queue_id, "--yes")["count"] == 1
    (report,) = switch.wait_for_mail("alice")
    assert b"multipart/report" in report
    assert b"Final-Recipient: rfc822; someone@sink.test" in report
    until(lambda: switch.queued() == 0, "an empty queue")


def answered(switch: Switch, answer: bytes, *words: str) -> int:
    """The exit status of a command that asks on a terminal and is given `answer`."""
    ours, theirs = pty.openpty()
    command = [NIGHTMAIL, *words, "--config", str(switch.config_file)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True) as process:
        os.close(theirs)
        os.write(ours, answer)
        status = process.wait(30)
    os.close(ours)
    return status


def test_what_ends_messages_asks_first(switch: Switch, stuck: str) -> None:
    answered(switch, b"n\n", "queue", "delete", "--all")
    assert find(switch, stuck) is not None
    assert answered(switch, b"y\n", "queue", "delete", "--all") == 0
    assert find(switch, stuck) is None


def test_what_ends_messages_does_nothing_where_nobody_can_be_asked(switch: Switch, stuck: str) -> None:
    done = switch.nightmail("queue", "delete", "--all")
    assert done.returncode == 64
    assert "--yes" in done.stderr
    assert find(switch, stuck) is not None


def test_an_unknown_id_is_an_error(switch: Switch) -> None:
    done = switch.nightmail("queue", "show", "0000000000000000")
    assert done.returncode != 0
    assert "0000000000000000" in done.stderr + done.stdout


def test_a_server_that_does_not_run_is_told_from_one_that_does(switch: Switch) -> None:
    switch.stop()
    done = switch.nightmail("status")
    assert done.returncode == 69
    assert len((done.stderr or done.stdout).strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"queue": {"retry_frist_s": 10}}, ("retry_frist_s", "retry_first_s")),
        ({"queue": {"retry_first_s": "soon"}}, ("retry_first_s",)),
        ({"quue": {"retry_first_s": 1}}, ("quue", "queue")),
        ({"store": {"url": "ftp://elsewhere/"}}, ("ftp",)),
        ({"store": {"lease_s": -1}}, ("lease_s",)),
        ({"server": {"name": "mx 1"}}, ("mx 1",)),
    ],
)
def test_a_wrong_setting_is_one_clear_line(
    tmp_path: Path, settings: dict[str, dict[str, object]], parts: tuple[str, ...]
) -> None:
    switch = Switch(tmp_path, settings=settings)
    for command in ("serve", "check"):
        done = switch.nightmail(command)
        said = (done.stderr or done.stdout).strip()
        assert done.returncode == 78
        assert len(said.splitlines()) == 1, said
        assert f"{switch.config_file}:" in said
        for part in parts:
            assert part in said


def test_json_is_json(switch: Switch, stuck: str) -> None:
    for words in (("status",), ("queue", "list"), ("queue", "show", stuck)):
        json.loads(switch.nightmail(*words, "--json").stdout)


def test_a_session_in_the_middle_of_its_message_is_no_message(switch: Switch) -> None:
    with Dialogue(switch.port) as session:
        session.greet().envelope("carol@example.net", "alice@example.org").send(MESSAGE)
        assert switch.queued() == 0


def test_who_is_drained_keeps_no_client_waiting_and_still_says_how_it_stands(switch: Switch) -> None:
    """RFC 5321 has a client try another host where it is refused; one that hears nothing waits for five minutes."""
    done = switch.nightmail("drain")
    assert done.returncode == 0, done
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", switch.port), 5)
    assert switch.facts("status")["state"] == "draining"
    assert switch.http("/ready") == (404, "the server is draining\n")
    assert switch.stop() == 0
    switch.start()
    assert switch.facts("status")["state"] == "serving"


def test_who_stopped_leaves_no_socket_behind(switch: Switch) -> None:
    sockets = switch.directory / "run"
    assert "admin.sock" in os.listdir(sockets)
    assert switch.stop() == 0
    assert "admin.sock" not in os.listdir(sockets)
