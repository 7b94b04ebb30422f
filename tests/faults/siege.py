"""A server under load that is struck again and again, and the audit afterwards."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.e2e.sink import Sink
from tests.e2e.switch import Settings, Switch
from tests.e2e.waiting import until
from tests.faults.ledger import Ledger, audit
from tests.faults.load import Fate, Load

QUICK_RETRIES: Settings = {
    "queue": {"retry_first_s": 1, "retry_max_s": 2, "delay_report_s": 0},
}


def tables(sink_port: int, sink_host: str = "127.0.0.1") -> dict[str, str]:
    """Everything for sink.test goes to the sink, box@local.test into a Maildir."""
    return {
        "domains": "sink.test relay\nlocal.test local\n",
        "routes": f"sink.test smtp:[{sink_host}]:{sink_port}\nlocal.test maildir:{{mail}}/{{{{local_part}}}}\n",
        "mailboxes": "box@local.test\n",
        "aliases": "",
        "clients": "127.0.0.0/8 relay\n",
    }


class Siege:
    """A sink, a switch that relays to it, and a load on the switch; `seed` decides every chance in it."""

    def __init__(
        self, directory: Path, seed: int, *, settings: Settings | None = None, disk: Path | None = None
    ) -> None:
        self.random = random.Random(seed)
        self.seed = seed
        self.sink = Sink()
        self._directory = directory
        self._disk = disk
        self._settings: dict[str, Any] = {**QUICK_RETRIES, **(settings or {})}
        self.kills = 0

    def __enter__(self) -> Self:
        self.sink.__enter__()
        self.switch = Switch(self._directory, tables(self.sink.port), self._settings, self._disk)
        self.switch.start()
        self.load = Load(self.switch.port, self.seed).__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.load.__exit__(None, None, None)
        self.switch.__exit__(kind, error, tb)
        self.sink.__exit__(None, None, None)
        if error is not None:
            error.add_note(f"seed {self.seed}")

    def kill(self) -> None:
        """kill -9 of the server; it is counted."""
        self.kills += 1
        self.switch.kill()

    def rage(self, strike: Callable[[], None], times: int, longest_s: float = 1.0) -> None:
        """Strike at random instants, each time once the load is being acknowledged again."""
        for _ in range(times):
            seen = self.load.count(Fate.ACKNOWLEDGED)
            until(lambda seen=seen: self.load.count(Fate.ACKNOWLEDGED) > seen, "mail is acknowledged again", 20)  # type: ignore[misc]
            time.sleep(self.random.random() * longest_s)
            strike()

    def settle(self, title: str, timeout_s: float = 90.0) -> Ledger:
        """End the load, wait until the queues are empty, and audit.

        A queue that was lost is in nobody's list until it is adopted again: what is missing may still come until the
        time is over, and only then counts as lost.
        """
        self.load.finish()
        deadline = time.monotonic() + timeout_s
        while True:
            until(self.switch.is_drained, "every switch serves and the queues are empty", timeout_s, 0.2)
            ledger = self.audit(title)
            if not ledger.lost or time.monotonic() > deadline:
                return ledger
            time.sleep(0.5)

    def audit(self, title: str) -> Ledger:
        """Hold the load's book against what arrived and what is queued."""
        waiting = self.switch.facts("queue", "list")["messages"]
        mailbox = [file.read_bytes() for file in self.switch.maildir("box")]
        queued_ids = {message["id"] for message in waiting}
        return audit(
            title,
            book=self.load.book,
            received=list(self.sink.received),
            mailbox=mailbox,
            queued_ids=queued_ids,
            log=self.switch.log(),
            kills=self.kills,
        )
