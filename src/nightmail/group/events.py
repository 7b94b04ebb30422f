"""What can happen to a server's view of the cluster."""

from __future__ import annotations

import msgspec

from nightmail.group.heartbeat import Heartbeat


class Ticked(msgspec.Struct, frozen=True):
    """Time has passed."""


class Heard(msgspec.Struct, frozen=True):
    """A heartbeat that is believed."""

    heartbeat: Heartbeat


class Refused(msgspec.Struct, frozen=True):
    """A server's host says that nobody listens where its supervisor would: the host lives, the server does not."""

    server: str


class Listed(msgspec.Struct, frozen=True):
    """All queues of the store; `closed` are those that were seen closed and stay so."""

    queues: tuple[str, ...]
    closed: frozenset[str] = frozenset()


class Sighted(msgspec.Struct, frozen=True):
    """A journal was looked at: its last slot, what that promises, and whose its last `adopted` record is."""

    queue: str
    tail: int
    promise_s: float
    owner: str
    owner_group: str
    is_yielded: bool = False
    incarnation: str = ""
    epoch: int = 0


class LookFailed(msgspec.Struct, frozen=True):
    """The store could not be asked; `queue` is empty where it was the list of queues.

    `is_newer`: it could, and a newer release wrote there what this one can't read.
    """

    queue: str = ""
    is_newer: bool = False


class Gone(msgspec.Struct, frozen=True):
    """A journal is closed: nobody adopts it any more (J5)."""

    queue: str


class Running(msgspec.Struct, frozen=True):
    """These queues are run on this server, and no others."""

    queues: frozenset[str]


class AdoptionEnded(msgspec.Struct, frozen=True):
    """What was set out to be adopted is ours, or it is not."""

    queue: str
    is_ours: bool


class Probed(msgspec.Struct, frozen=True):
    """The put by which the store is measured is over."""

    has_failed: bool = False


class HandedOver(msgspec.Struct, frozen=True):
    """We are about to give a queue up that another is to have."""

    queue: str


class BegunAnew(msgspec.Struct, frozen=True):
    """The driver starts, perhaps not for the first time: nothing is under way, and nothing that was measured counts."""


class DrainBegan(msgspec.Struct, frozen=True):
    """We give up what we have, and take nothing over."""


Event = (
    Ticked
    | Heard
    | Refused
    | Listed
    | Sighted
    | LookFailed
    | Gone
    | Running
    | AdoptionEnded
    | Probed
    | HandedOver
    | BegunAnew
    | DrainBegan
)
