"""`nightmail queue handover`: an adopted queue goes back to the server of its name, with no second delivery (R10)."""

from __future__ import annotations

import os
from pathlib import Path

from tests.e2e.pairs import pair, send_one
from tests.e2e.sink import Answer, Sink
from tests.e2e.switch import Switch
from tests.e2e.waiting import until


def owners(switch: Switch, queue: str) -> list[str]:
    """Whose a queue is, as often as it is listed."""
    return [each["owner"] for each in switch.facts("status")["queues"] if each["id"] == queue]


def test_an_adopted_queue_is_handed_back_on_demand(tmp_path: Path) -> None:
    with Sink() as sink:
        first, second = pair(tmp_path, sink.port)
        with first, second:
            sink.on["RCPT"] = Answer(words="451 4.7.1 Later")
            send_one(first)
            first.kill()
            second.wait_for_log("queue adopted", r"queue=mx1\.0\.1", timeout_s=20)
            first.start()
            done = second.nightmail("queue", "handover", "mx1.0.1")
            assert done.returncode == 0, done.stderr
            assert "mx1.0.1 was given up here" in done.stdout
            until(lambda: "mx1.0.1" in [queue["id"] for queue in first.facts("status")["queues"]], "it is back", 20)
            until(lambda: "mx1" in owners(first, "mx1.0.1"), "it is run there", 20)
            assert owners(first, "mx1.0.1") == ["mx1"]
            sink.on.clear()
            until(lambda: len(sink.received) == 1, "its message is delivered", 20)
            until(first.is_drained, "nothing is left", 20)
            assert len(sink.received) == 1


def test_a_queue_that_is_not_adopted_here_is_refused(tmp_path: Path) -> None:
    with Sink() as sink:
        first, _ = pair(tmp_path, sink.port)
        with first:
            for queue in ("mx1.0.1", "mx9.0.1", "nonsense"):
                refused = first.nightmail("queue", "handover", queue)
                assert refused.returncode == os.EX_NOINPUT
                assert f"no queue {queue} that was adopted is run here" in refused.stderr
