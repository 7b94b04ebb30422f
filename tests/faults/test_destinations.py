"""A destination that hangs, drips, resets, answers nonsense or leaves after the dot: mail waits, nothing is lost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.e2e.conftest import relaying
from tests.e2e.dialogue import deliver
from tests.e2e.processes import resident_bytes
from tests.e2e.sink import Act, Answer, Sink
from tests.e2e.switch import Switch
from tests.e2e.waiting import until

IMPATIENT: dict[str, dict[str, Any]] = {
    "queue": {"retry_first_s": 0.5, "retry_max_s": 1},
    "delivery": {
        "idle_reuse_s": 0,
        "connect_timeout_s": 1,
        "greeting_timeout_s": 0.5,
        "hello_timeout_s": 0.5,
        "envelope_timeout_s": 0.5,
        "data_block_timeout_s": 0.5,
        "final_timeout_s": 0.5,
        "transaction_timeout_s": 3,
    },
}
GIVEN_UP_S = 20.0
"""Longer than all of these take, and less than any that would be in force in their place."""
STEPS = ("connect", "EHLO", "MAIL", "RCPT", "DATA")
MISDEEDS = (Act.HANG, Act.RESET, Act.CLOSE, Act.NONSENSE, Act.ENDLESS)


@pytest.mark.parametrize("act", MISDEEDS, ids=lambda act: act.name.lower())
def test_a_destination_that_misbehaves_before_the_dot_delays_its_mail_and_no_other(tmp_path: Path, act: Act) -> None:
    with Sink() as sink, Switch(tmp_path, relaying(sink), IMPATIENT) as switch:
        for step in STEPS:
            sink.on[step] = Answer(act)
            queue_id = deliver(switch.port, "", f"{step.lower()}@sink.test")
            switch.wait_for_log(f"id={queue_id}", "status=deferred", timeout_s=GIVEN_UP_S)
            other = deliver(switch.port, "carol@example.net", "alice@example.org")
            switch.wait_for_log(f"id={other}", "status=sent", timeout_s=2)
            sink.on.clear()
            switch.facts("queue", "retry", "--all", "--yes")
            until(lambda: switch.queued() == 0, f"an empty queue after {act.name} at {step}", 20)
            copies = [message for message in sink.received if message.queue_id == queue_id]
            assert len(copies) == 1, f"{act.name} at {step}"
        assert not switch.logged("status=ambiguous")
        assert not switch.logged("Traceback")


@pytest.mark.parametrize("act", MISDEEDS, ids=lambda act: act.name.lower())
def test_a_destination_that_misbehaves_after_the_dot_is_on_record_as_ambiguous(tmp_path: Path, act: Act) -> None:
    with Sink() as sink, Switch(tmp_path, relaying(sink), IMPATIENT) as switch:
        sink.on["."] = Answer(act)
        queue_id = deliver(switch.port, "carol@example.net", "a@sink.test")
        switch.wait_for_log(f"id={queue_id}", "status=ambiguous", timeout_s=GIVEN_UP_S)
        sink.on.clear()
        switch.facts("queue", "retry", "--all", "--yes")
        until(lambda: switch.queued() == 0, "an empty queue", 20)
        copies = [message for message in sink.received if message.queue_id == queue_id]
        assert copies[-1].answered
        assert len(copies) == 1 + len(switch.logged(f"id={queue_id}", "status=ambiguous"))


def test_an_ambiguous_delivery_is_held_where_its_route_says_so(tmp_path: Path) -> None:
    with Sink() as sink, Switch(tmp_path, relaying(sink), IMPATIENT) as switch:
        switch.change_tables(
            {
                "routes": f"sink.test smtp:[127.0.0.1]:{sink.port} on_ambiguous=hold\n"
                "example.org maildir:{mail}/{{local_part}}\n"
            }
        )
        sink.on["."] = Answer(Act.CLOSE)
        queue_id = deliver(switch.port, "carol@example.net", "a@sink.test")
        switch.wait_for_log(f"id={queue_id}", "status=ambiguous")
        sink.on.clear()
        rows = until(lambda: switch.facts("queue", "list", "--ambiguous")["messages"], "the held message")
        assert [(row["id"], row["state"]) for row in rows] == [(queue_id, "held")]
        assert len(sink.received) == 1
        switch.facts("queue", "release", queue_id)
        sink.wait_for(2)
        until(lambda: switch.queued() == 0, "an empty queue")


def test_a_destination_that_drips_gets_its_mail(tmp_path: Path) -> None:
    patient = {**IMPATIENT, "delivery": {}}
    with Sink() as sink, Switch(tmp_path, relaying(sink), patient) as switch:
        for step in (*STEPS, "."):
            sink.on[step] = Answer(Act.DRIP)
        deliver(switch.port, "carol@example.net", "a@sink.test")
        sink.wait_for(1, 30)
        until(lambda: switch.queued() == 0, "an empty queue")
        assert len(sink.received) == 1


def test_a_destination_that_drips_without_end_is_given_up(tmp_path: Path) -> None:
    with Sink() as sink, Switch(tmp_path, relaying(sink), IMPATIENT) as switch:
        sink.on["EHLO"] = Answer(Act.DRIP, "250 " + "x" * 400)
        queue_id = deliver(switch.port, "carol@example.net", "a@sink.test")
        switch.wait_for_log(f"id={queue_id}", "status=deferred", timeout_s=15)


def test_a_reply_without_end_takes_no_memory(tmp_path: Path) -> None:
    patient = {**IMPATIENT, "delivery": {}}
    with Sink() as sink, Switch(tmp_path, relaying(sink), patient) as switch:
        sink.on["EHLO"] = Answer(Act.ENDLESS)
        before = resident_bytes(switch.switch_pids()[0])
        queue_id = deliver(switch.port, "carol@example.net", "a@sink.test")
        switch.wait_for_log(f"id={queue_id}", "status=deferred")
        assert resident_bytes(switch.switch_pids()[0]) - before < 20_000_000


def test_a_destination_that_is_away_gets_everything_once_when_it_is_back(tmp_path: Path) -> None:
    with Sink() as sink, Switch(tmp_path, relaying(sink), IMPATIENT) as switch:
        sink.shut()
        sent = [deliver(switch.port, "carol@example.net", f"n{number}@sink.test") for number in range(30)]
        switch.wait_for_log("to=<n29@sink.test>", "status=deferred")
        sink.open()
        received = sink.wait_for(30, 20)
        until(lambda: switch.queued() == 0, "an empty queue")
        assert sorted(message.queue_id for message in received) == sorted(sent)


def test_a_421_delays_the_rest_of_the_connection_only(tmp_path: Path) -> None:
    with Sink() as sink, Switch(tmp_path, relaying(sink), IMPATIENT) as switch:
        sink.on["MAIL"] = Answer(words="421 4.3.2 shutting down")
        for number in range(10):
            deliver(switch.port, "carol@example.net", f"n{number}@sink.test")
        switch.wait_for_log("to=<n9@sink.test>", "status=deferred")
        sink.on.clear()
        sink.wait_for(10, 20)
        until(lambda: switch.queued() == 0, "an empty queue")
        assert len(sink.received) == 10
