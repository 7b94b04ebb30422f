"""What the supervisor and a switch say to each other over the control channel, as types that both ends share.

The methods of a switch, with their params and results:

`status` -> SwitchStatus · `metrics` -> list of Metric · `reload` -> None · `stop` -> None ·
`queue_list` Listing -> Page · `queue_count` Selection -> {"count"} · `queue_show` {"id"} -> Shown or None ·
`queue_act` {"action", "selection"} -> {"count"} ·
`prepare` {"queue"} -> None · `adopt` {"queue", "tail"} -> whether it is run there now · `forget` {"queue"} -> None ·
`share` {"among"} -> None · `hand_over` {"queue"} -> whether it was given up

and its notices: `told` (it was the spare, and heard which switch it is), `ready` (it accepts mail).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

Action = Literal["retry", "hold", "release", "bounce", "delete"]
MessageState = Literal["active", "waiting", "held"]


class Selection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which messages are meant: those that answer to everything it says; an empty one means all.

    `to` and `sender` are an address, or `@domain`, or a domain; `<>` is the null sender. `older_s` is the least age.
    """

    ids: tuple[str, ...] = ()
    to: str = ""
    sender: str = msgspec.field(name="from", default="")
    older_s: float = 0.0
    held: bool = False
    ambiguous: bool = False

    def wants(
        self,
        message_id: str,
        sender: str,
        recipients: Sequence[str],
        *,
        age_s: float,
        is_held: bool = False,
        is_ambiguous: bool = False,
    ) -> bool:
        """Whether a message with these properties is among those meant; one fitting recipient is enough."""
        return (
            (not self.ids or message_id in self.ids)
            and (not self.sender or _fits(self.sender, sender or "<>"))
            and (not self.to or any(_fits(self.to, recipient) for recipient in recipients))
            and age_s >= self.older_s
            and (is_held or not self.held)
            and (is_ambiguous or not self.ambiguous)
        )


def _fits(wanted: str, address: str) -> bool:
    wanted, address = wanted.casefold(), address.casefold()
    if wanted == address:
        return True
    local_part, _, domain = wanted.rpartition("@")
    return not local_part and address.endswith("@" + domain)


class Listing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A page of the messages that are meant: at most `limit`, oldest first, with ids above `after`."""

    selection: Selection = Selection()
    limit: int = 100
    after: str = ""


class RecipientRow(msgspec.Struct, frozen=True, kw_only=True):
    """One open recipient of a queued message; `reply` is the last one it met with."""

    address: str
    state: str = "waiting"
    reply: str = ""


class MessageRow(msgspec.Struct, frozen=True, kw_only=True):
    """A queued message as lists show it; times are seconds since 1970, 0 where there is none."""

    id: str
    queue: str
    sender: str = msgspec.field(name="from")
    size_bytes: int
    arrival: float
    next_attempt: float = 0.0
    attempts: int = 0
    state: MessageState = "waiting"
    recipients: tuple[RecipientRow, ...] = ()


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Messages in the order of their ids; `more` tells whether others follow."""

    messages: tuple[MessageRow, ...] = ()
    more: bool = False


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one queued message; `settled` are the recipients that are done with, `headers` its own."""

    message: MessageRow
    settled: tuple[RecipientRow, ...] = ()
    client: str = ""
    ret: str = ""
    envid: str = ""
    headers: str = ""


class QueueStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One queue that a switch runs: its ownership, and how many messages it has, are due later, are under way."""

    id: str
    owner: str
    epoch: int
    slot: int
    messages: int
    waiting: int = 0
    active: int = 0
    held: int = 0


class SwitchStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What a switch says of itself; `store` and `routing` are `ok` or the reason why not.

    `is_cut_off` says that its puts do not get through. `among` is how many switches it believes to share the server's
    limits of deliveries with, itself included. `replicas` are those of the directory, by their URIs: `ok`, or why
    addresses can't be looked up there.
    """

    switch: int
    state: str
    pid: int
    queues: tuple[QueueStatus, ...] = ()
    sessions: int = 0
    store: str = "ok"
    routing: str = "ok"
    counters: dict[str, float] = {}
    among: int = 1
    is_cut_off: bool = False
    replicas: dict[str, str] = {}


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One value of a metric: what follows the metric's name (`_bucket`, `_sum`, or nothing), its labels, the value."""

    suffix: str
    labels: dict[str, str]
    value: float


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """One family of samples, as Prometheus knows them."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    samples: tuple[Sample, ...] = ()
