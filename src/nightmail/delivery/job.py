"""What a transport is given, and what it gives back.

A job is one message on its way to one destination. Its life is a line: `deliver` takes it; `may_finish` asks whether
the right to deliver still stands (J6) and `finishing` marks the point from which an unanswered attempt is ambiguous
(J8), both in the same step that writes the final dot; `finished` ends it, exactly once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from nightmail.mail.envelope import Envelope
from nightmail.mail.reply import Reply

if TYPE_CHECKING:
    from nightmail.routing.route import Route

OutcomeKind = Literal["delivered", "failed", "deferred", "ambiguous"]


class Outcome(msgspec.Struct, frozen=True):
    """What became of one recipient in one attempt.

    `index` is the recipient's place in the envelope. `reply` is the remote's, or ours where there was none to quote.
    `relay` names the next hop as `host[ip]:port`, or is empty where none was reached. `relayed_without_dsn`: the
    next hop took a recipient that asks for reports but doesn't speak DSN (RFC 3461 §6.2.1). `connect_s` is how long
    the session took to be opened, 0 where an idle one was reused.
    """

    index: int
    kind: OutcomeKind
    reply: Reply
    relayed_without_dsn: bool = False
    relay: str = ""
    connect_s: float = 0.0


class Body(Protocol):
    """A stored message, headers included, in CRLF form and not dot-stuffed."""

    @property
    def size_bytes(self) -> int:
        """Its length."""
        ...

    @property
    def in_memory(self) -> memoryview | None:
        """All of it, where it is at hand; else it is read in ranges."""
        ...

    async def read(self, offset: int, size: int) -> bytes:
        """At most `size` bytes from `offset`, fewer only at the end.

        Raises:
            StoreUnavailable: try again later.
            Corrupt: the body is not what was stored.
        """
        ...


class Job(Protocol):
    """One message for one destination, as the switch hands it to a transport."""

    @property
    def id(self) -> str:
        """The message's id."""
        ...

    @property
    def envelope(self) -> Envelope:
        """Its envelope, with all recipients."""
        ...

    @property
    def recipients(self) -> tuple[int, ...]:
        """The places in the envelope of those recipients that this job is for; at least one."""
        ...

    @property
    def body(self) -> Body:
        """The message."""
        ...

    @property
    def repeated(self) -> bool:
        """Whether an attempt was made before this one, so that a Maildir has to be searched for its file."""
        ...

    def may_finish(self) -> bool:
        """Whether the right to deliver stands now (J6).

        Asked in the same step that writes the final dot or links the Maildir file; False means that the attempt is
        broken off before that and its recipients are deferred. A Maildir asks from the thread that links: the answer
        may only read the clock.
        """
        ...

    def finishing(self) -> None:
        """Noted just before that write: from here on an unknown answer is ambiguous (J8).

        Like `may_finish` it may come from another thread, and it comes again where the next hop limits recipients and
        the message takes several transactions.
        """
        ...

    def finished(self, outcomes: list[Outcome]) -> None:
        """The end of the job, told exactly once, from the event loop, with one outcome for each of `recipients`."""
        ...


class Transport(Protocol):
    """Carries jobs to one kind of destination."""

    def deliver(self, route: Route, job: Job) -> None:
        """Take the job and return at once; it ends in exactly one `job.finished`."""
        ...

    async def close(self) -> None:
        """Let what is under way end, within a bound, and let go of connections and threads."""
        ...


class Health(Protocol):
    """What a transport tells about destinations, for the breaker; never about one message's refusal."""

    def connect_failed(self, destination: str, reply: Reply) -> None:
        """No session could be opened there: connecting, the greeting or EHLO failed, or it said 421."""
        ...

    def session_opened(self, destination: str) -> None:
        """A session is open there."""
        ...


def settle_all(
    job: Job, kind: OutcomeKind, reply: Reply, relay: str = "", indexes: tuple[int, ...] | None = None
) -> list[Outcome]:
    """The same outcome for every recipient of `job`, or for those of `indexes`."""
    return [Outcome(index, kind, reply, False, relay) for index in (job.recipients if indexes is None else indexes)]
