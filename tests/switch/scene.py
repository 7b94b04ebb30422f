"""A switch in a simulated world, for tests that tell stories about it."""

from __future__ import annotations

from collections.abc import Callable

from sim.checkers import Archive, Findings, Ledger, audit
from sim.life import Life
from sim.loop import until
from sim.store import SimulatedStore

from nightmail.journal.records import Accepted, Record, Settled
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.queue.settings import QueueSettings
from nightmail.store.settings import StoreSettings
from nightmail.switch.owned import OwnedQueue

QUICK = QueueSettings(retry_first_s=10.0, retry_max_s=60.0, expire_s=300.0, bounce_expire_s=300.0, delay_report_s=0.0)


class Stage:
    """One store and the lives on it."""

    def __init__(self) -> None:
        self.archive = Archive()
        self.ledger = Ledger()
        self.store = SimulatedStore(self.archive)
        self.lives = 0

    async def life(
        self,
        settings: QueueSettings = QUICK,
        *,
        server: str = "mx1",
        store: SimulatedStore | None = None,
        store_settings: StoreSettings | None = None,
    ) -> Life:
        """One more life."""
        return await self.unborn(settings, server=server, store=store, store_settings=store_settings).start()

    def unborn(
        self,
        settings: QueueSettings = QUICK,
        *,
        server: str = "mx1",
        store: SimulatedStore | None = None,
        store_settings: StoreSettings | None = None,
    ) -> Life:
        """One more life, not started yet."""
        self.lives += 1
        return Life(
            store or self.store, self.ledger, server=server, seed=self.lives, queue_settings=settings,
            store_settings=store_settings,
        )  # fmt: skip

    async def findings(self) -> Findings:
        return await audit(self.ledger, self.archive)

    def records(self, kind: type[Record]) -> list[Record]:
        """All records of a kind that ever landed."""
        return [record for record in self.archive.records() if isinstance(record, kind)]

    def reports(self) -> list[Accepted]:
        """All reports that were ever accepted."""
        return [r for r in self.archive.records() if isinstance(r, Accepted) and not r.envelope.sender]

    def settled(self, message_id: str) -> list[Settled]:
        """Everything that was settled of a message."""
        return [r for r in self.archive.records() if isinstance(r, Settled) and r.id == message_id]

    def report_text(self, report: Accepted) -> str:
        """What a report says."""
        for _, data in self.archive.landed:
            begin = data.find(b"Subject:") if report.id.encode() in data and b"multipart/report" in data else -1
            if begin >= 0:
                return data.decode("utf-8", "replace")
        raise RuntimeError(f"report {report.id} is in no segment")


def newest(life: Life) -> OwnedQueue:
    """The queue that takes mail."""
    return next(queue for queue in life.switch.queues if life.switch.is_newest(queue))


def to(*addresses: str, sender: str = "sender@example.org", notify: int = 0) -> Envelope:
    """An envelope."""
    return Envelope(sender, tuple(Recipient(address, notify=notify) for address in addresses))


async def soon(condition: Callable[[], bool], within_s: float = 2_000.0) -> None:
    """Wait in tenths of virtual seconds."""
    await until(condition, within_s=within_s, step_s=0.1)
