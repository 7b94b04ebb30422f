"""Jobs that remember how they were treated."""

from __future__ import annotations

import asyncio

from nightmail.delivery.job import Outcome
from nightmail.mail.envelope import Envelope, Recipient

MESSAGE = b"Subject: a test\r\n\r\nHello.\r\n.dot\r\n"


class StoredBody:
    """A body that is at hand, or, with `at_hand=False`, read in ranges."""

    def __init__(self, content: bytes, *, at_hand: bool = True, failure: Exception | None = None) -> None:
        self._content = content
        self._failure = failure
        self.size_bytes = len(content)
        self.in_memory = memoryview(content) if at_hand else None
        self.reads: list[tuple[int, int]] = []

    async def read(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure
        return self._content[offset : offset + size]


class RecordedJob:
    """A job whose end can be awaited; `right` is what `may_finish` says."""

    def __init__(
        self,
        *addresses: str | Recipient,
        body: bytes | StoredBody = MESSAGE,
        sender: str = "sender@example.org",
        id: str = "0MESSAGE1",
        repeated: bool = False,
        **envelope: object,
    ) -> None:
        given = addresses or ("alice@example.org",)
        recipients = tuple(a if isinstance(a, Recipient) else Recipient(a) for a in given)
        self.id = id
        self.envelope = Envelope(sender, recipients, **envelope)  # type: ignore[arg-type]  # whatever the test says
        self.recipients = tuple(range(len(recipients)))
        self.body = body if isinstance(body, StoredBody) else StoredBody(body)
        self.repeated = repeated
        self.right = True
        self.marks: list[str] = []
        self._end: asyncio.Future[list[Outcome]] = asyncio.get_running_loop().create_future()

    def may_finish(self) -> bool:
        self.marks.append("may_finish")
        return self.right

    def finishing(self) -> None:
        self.marks.append("finishing")

    def finished(self, outcomes: list[Outcome]) -> None:
        self.marks.append("finished")
        self._end.set_result(sorted(outcomes, key=lambda outcome: outcome.index))

    async def end(self, within_s: float = 10.0) -> list[Outcome]:
        """The outcomes, one for each recipient in the envelope's order."""
        outcomes = await asyncio.wait_for(asyncio.shield(self._end), within_s)
        assert [outcome.index for outcome in outcomes] == list(self.recipients)
        return outcomes

    async def the_outcome(self) -> Outcome:
        """The only recipient's outcome."""
        (outcome,) = await self.end()
        return outcome
