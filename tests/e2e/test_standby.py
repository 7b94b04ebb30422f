"""The typical pair: one server works, and one waits idle until it has to take over (R13)."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.pairs import pair, send_one
from tests.e2e.sink import Answer, Sink
from tests.e2e.waiting import until


def test_a_standby_takes_no_mail_and_delivers_what_the_dead_server_had(tmp_path: Path) -> None:
    with Sink() as sink:
        active, standby = pair(tmp_path, sink.port, standby=True)
        with active, standby:
            sink.on["RCPT"] = Answer(words="451 4.7.1 Later")
            send_one(active)
            assert standby.facts("status")["state"] == "serving"
            assert standby.facts("check")["listeners"] == []
            active.kill()
            standby.wait_for_log("queue adopted", r"queue=mx1\.0\.1", timeout_s=20)
            sink.on.clear()
            until(lambda: len(sink.received) == 1, "the message of the dead server", 20)
            [secondary] = [each for each in standby.facts("status")["switches"] if each["secondary_for"]]
            assert secondary["secondary_for"] == "mx1"
