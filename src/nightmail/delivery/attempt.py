"""The bookkeeping of one attempt: which recipients still have no outcome, and what became of the others.

An attempt outlives its session: one that breaks before the final dot leaves its recipients open, and they are offered
to the next mail host, or deferred.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from nightmail.delivery.job import Job, Outcome, OutcomeKind
from nightmail.mail.reply import Reply
from nightmail.net.addresses import Target
from nightmail.routing.route import Route
from nightmail.smtp.extensions import Extensions


class Failure(msgspec.Struct, frozen=True):
    """Why a mail host could not be used. `relay` is empty where it was not even reached."""

    reply: Reply
    relay: str = ""
    is_permanent: bool = False


class Attempt:
    """One job on its way by SMTP or LMTP.

    `open` holds the recipients without an outcome, in order. `targets` are the mail hosts not tried yet, None as long
    as nobody looked for any; `sessions` counts those that it had a session with, `failure` is what came of the last.
    """

    __slots__ = ("_again", "_outcomes", "_taken", "connect_s", "failure", "job", "open", "route", "sessions", "targets")

    def __init__(self, route: Route, job: Job) -> None:
        self.route = route
        self.job = job
        self.open: dict[int, None] = dict.fromkeys(job.recipients)
        self.targets: Iterator[Target] | None = None
        self.sessions = 0
        self.connect_s = 0.0
        self.failure: Failure | None = None
        self._outcomes: list[Outcome] = []
        self._again: dict[int, Reply] = {}
        self._taken = 0

    def next_batch(self, peer: Extensions, limit: int) -> tuple[int, ...]:
        """The recipients of the next transaction: as many as we and the peer (RFC 9422) put into one."""
        self._taken = 0
        if len(self.open) == 1:
            return tuple(self.open)
        limit = min(limit, peer.rcpt_max or limit)
        batch: list[int] = []
        domains: set[str] = set()
        for index in self.open:
            domain = self.job.envelope.recipients[index].address.rpartition("@")[2].lower()
            if domain not in domains and len(domains) == peer.rcpt_domain_max:
                continue
            domains.add(domain)
            batch.append(index)
            if len(batch) == limit:
                break
        return tuple(batch)

    def settle(
        self, indexes: Iterable[int], kind: OutcomeKind, reply: Reply, relay: str = "", peer: Extensions | None = None
    ) -> None:
        """The outcome of those of `indexes` that are still open."""
        for index in indexes:
            if index in self.open:
                del self.open[index]
                without_dsn = (
                    peer is not None and not peer.dsn and kind == "delivered" and self._asks_for_reports(index)
                )
                self._outcomes.append(Outcome(index, kind, reply, without_dsn, relay, self.connect_s))

    def settle_open(self, kind: OutcomeKind, reply: Reply, relay: str = "") -> None:
        """The outcome of all that are still open."""
        self.settle(tuple(self.open), kind, reply, relay)

    def taken(self) -> None:
        """The peer took one more recipient in this transaction."""
        self._taken += 1

    def refused(self, index: int, reply: Reply, relay: str) -> None:
        """The peer refused one recipient; if only because there were too many, it may go with the next transaction."""
        if reply.code == 452 and reply.enhanced in ("", "4.5.3"):  # RFC 5321 §4.5.3.1.10
            self._again[index] = reply
        else:
            self.settle((index,), kind_of(reply), reply, relay)

    def transaction_ended(self, relay: str) -> None:
        """Those that were too many stay open as long as each transaction takes somebody."""
        if not self._taken:
            for index, reply in self._again.items():
                self.settle((index,), "deferred", reply, relay)
        self._again.clear()

    def end(self) -> None:
        """Tell the job. Nobody may be open any more."""
        self.job.finished(self._outcomes)

    def _asks_for_reports(self, index: int) -> bool:
        recipient = self.job.envelope.recipients[index]
        return bool(recipient.notify or recipient.orcpt)


def kind_of(reply: Reply) -> OutcomeKind:
    """The outcome that a peer's verdict stands for."""
    if reply.is_positive:
        return "delivered"
    return "failed" if reply.is_permanent else "deferred"
