"""The two ends of the road that need nobody else: mail that is thrown away, and mail that is sent back."""

from __future__ import annotations

import asyncio

from nightmail.delivery.job import Job, settle_all
from nightmail.mail.reply import Reply
from nightmail.routing.route import Route

RIGHT_LAPSED = Reply(451, "4.3.0", "the right to deliver lapsed before the message was handed over")
_DISCARDED = Reply(250, "2.0.0", "discarded")


class DiscardTransport:
    """Throws messages away, with success."""

    def deliver(self, route: Route, job: Job) -> None:
        """As `Transport.deliver` promises; the end is told from the event loop, never from within this call."""
        asyncio.get_running_loop().call_soon(_discard, job)

    async def close(self) -> None:
        """Nothing is ever under way."""


def _discard(job: Job) -> None:
    if not job.may_finish():
        job.finished(settle_all(job, "deferred", RIGHT_LAPSED))
        return
    job.finishing()
    job.finished(settle_all(job, "delivered", _DISCARDED))


class RejectTransport:
    """Fails messages that were taken before their route became a refusal."""

    def deliver(self, route: Route, job: Job) -> None:
        """As `Transport.deliver` promises; the end is told from the event loop, never from within this call."""
        outcomes = settle_all(job, "failed", Reply(550, "5.7.1", route.text))
        asyncio.get_running_loop().call_soon(job.finished, outcomes)

    async def close(self) -> None:
        """Nothing is ever under way."""
