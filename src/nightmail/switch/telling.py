"""One report for each message and segment: what is settled while a report is on its way into the log waits (J13)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from nightmail.errors import Corrupt, StoreUnavailable
from nightmail.journal.fetching import Fetcher
from nightmail.journal.writer import Journal
from nightmail.mail.fate import Original
from nightmail.switch.attempts import Round
from nightmail.switch.fresh import FreshBody
from nightmail.switch.reports import Reporter, Verdict, merge

_READS = 60
_STORE_RETRY_S = 1.0

Done = Callable[[], None]

log = structlog.get_logger()


class Teller:
    """Settles what needs a report, message by message, never two reports of one message in a segment."""

    def __init__(self, journal: Journal, reporter: Reporter, fetcher: Fetcher) -> None:
        self._journal = journal
        self._reporter = reporter
        self._fetcher = fetcher
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

    async def tell(self, round_: Round) -> None:
        """Settle what was gathered for the message, each time with one report, until nothing more is."""
        original = await self._original(round_)
        while gathered := self._gathered[round_.id]:
            self._gathered[round_.id] = []
            if round_.id not in self._journal.state.messages:  # all of it was told before
                for _, done in gathered:
                    done()
                continue
            await self._reporter.know(round_.envelope.sender)
            verdict = merge([verdict for verdict, _ in gathered])
            fates = self._reporter.due(round_.id, round_.envelope, verdict.fates)
            report = self._reporter.report(round_.queue, original, fates) if fates else None
            written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._journal.append(verdict.record, partial(_keep, written), report=report)
            await written
            for _, done in gathered:
                done()
        del self._gathered[round_.id]

    async def _original(self, round_: Round) -> Original:
        """The message as far as a report returns it; nothing of one that can't be read for a while, or any more."""
        body = round_.body
        for _ in range(_READS):
            try:
                if body is None:
                    body = self._fetcher.body(round_.message, await self._fetcher.record(round_.message))
                return await self._reporter.original(round_, body)
            except StoreUnavailable:
                # It may have been moved meanwhile: look for it anew.
                body = None
                await asyncio.sleep(_STORE_RETRY_S)
            except Corrupt:
                break
        log.warning("message not returned with its report", id=round_.id)
        return await self._reporter.original(round_, FreshBody(b""))


def _keep(promise: asyncio.Future[None]) -> None:
    """What was promised is so; whoever waited may have been cancelled meanwhile."""
    if not promise.done():
        promise.set_result(None)
