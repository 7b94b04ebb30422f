"""What a decision asks its driver to do; each is answered by an event, sooner or later."""

from __future__ import annotations

import msgspec


class List(msgspec.Struct, frozen=True):
    """List the queues of the store. Answered by Listed or LookFailed."""


class Look(msgspec.Struct, frozen=True):
    """Look at a journal for anything beyond `tail`. Answered by Sighted, Gone or LookFailed."""

    queue: str
    tail: int


class Probe(msgspec.Struct, frozen=True):
    """Put something new of our own, to learn whether puts get through. Answered by Probed."""


class Knock(msgspec.Struct, frozen=True):
    """Speak to a server whose heartbeat is overdue. Answered by Refused where its host says that nobody listens."""

    server: str


class Prepare(msgspec.Struct, frozen=True):
    """Have a secondary switch for `server` started, and the queue read by it, so that it is ready to be adopted."""

    queue: str
    server: str


class Forget(msgspec.Struct, frozen=True):
    """The queue is not to be adopted after all: what was read of it may be let go."""

    queue: str
    server: str


class Adopt(msgspec.Struct, frozen=True):
    """Adopt the queue by the slot after `tail`, and by no other. Answered by AdoptionEnded."""

    queue: str
    server: str
    tail: int


class Meet(msgspec.Struct, frozen=True):
    """Somebody of our own name, in a life that may be none of ours, opened a queue of it and writes it elsewhere."""

    queue: str
    incarnation: str


Effect = List | Look | Probe | Knock | Prepare | Forget | Adopt | Meet
