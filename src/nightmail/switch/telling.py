"""One report for each message and segment: what is settled while a report is on its way into the log waits (J13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from nightmail.delivery.job import Body
from nightmail.journal.writer import Journal
from nightmail.switch.attempts import Round
from nightmail.switch.reports import Reporter, Verdict, merge

Done = Callable[[], None]


class Teller:
    """Settles what needs a report, message by message, never two reports of one message in a segment."""

    def __init__(self, journal: Journal, reporter: Reporter) -> None:
        self._journal = journal
        self._reporter = reporter
        self._gathered: dict[str, list[tuple[Verdict, Done]]] = {}

    @property
    def is_busy(self) -> bool:
        """Whether a report is being made or on its way into the log."""
        return bool(self._gathered)

    def gather(self, round_: Round, verdict: Verdict, done: Done) -> bool:
        """Take a verdict in; True: the caller is to run `tell` for this message, False: that is under way."""
        waiting = self._gathered.get(round_.id)
        if waiting is not None:
            waiting.append((verdict, done))
            return False
        self._gathered[round_.id] = [(verdict, done)]
        return True

    async def tell(self, round_: Round, body: Body) -> None:
        """Settle what was gathered for the message, each time with one report, until nothing more is."""
        original = await self._reporter.original(round_, body)
        while gathered := self._gathered[round_.id]:
            self._gathered[round_.id] = []
            verdict = merge([verdict for verdict, _ in gathered])
            report = self._reporter.report(round_.queue, original, verdict.fates)
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._journal.append(verdict.record, partial(written.set_result, None), report=report)
            await written
            for _, done in gathered:
                done()
        del self._gathered[round_.id]
