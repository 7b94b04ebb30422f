"""Whose the role of the directory's master is, and whose it may become.

The role is a log, as a queue is, and whoever writes its next slot has it. Each slot says all there is to be known: the
last one is enough. What makes a role different from a queue is that the entries are not in the log but on the replicas'
disks, so that not every server may take it:

    in sync   has everything that was ever acknowledged, and has to have what is written before that is acknowledged:
              may take the role over
    joining   has to have what is written, too; what was written before is still being compared: may not
    leaving   was left out by this very slot, and is still needed until the next one shows that this one is durable
    neither   lacks something, or may: has nothing acknowledged by it, and may not

Who is found to lack something is left out by a slot of its own before anything is acknowledged without it. Who comes
back is joining first: what was written before that slot is compared, and for what comes after it is waited.

A replica *holds* an epoch if everything that it has comes from the master of that epoch, or of one before it that was
in sync. Whoever took the role without being handed it may lack what the last master had, but nobody acknowledged. All
who hold the epoch before then begin anew, and none of that comes back to life. Epochs go by their number and by the
life of the server that began them: should the store be lost, numbers may come again.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nightmail.journal.records import Adopted

DRIFT = 0.05


class Role(msgspec.Struct, frozen=True, kw_only=True):
    """One slot of the role's log. `adopted` says whose it is, and since when.

    `promise_s` is by when its master promises another slot. `begins`: the slot in which the epoch began, which is kept
    for good. `after` is the epoch that its master held before, and `continues` says that this one began with everything
    that anybody had in that one. `is_yielded`: anybody may take it at once, `to` before others; `alike` have
    everything, seen after the last write.
    """

    adopted: Adopted
    in_sync: tuple[str, ...]
    joining: tuple[str, ...] = ()
    leaving: tuple[str, ...] = ()
    promise_s: float
    begins: bool = False
    after: str = ""
    continues: bool = False
    is_yielded: bool = False
    to: str = ""
    alike: tuple[str, ...] = ()
    nonce: str

    @property
    def master(self) -> str:
        """The server that has it."""
        return self.adopted.owner

    @property
    def epoch(self) -> int:
        """How many times it was taken."""
        return self.adopted.epoch

    @property
    def id(self) -> str:
        """What a replica notes that holds this epoch."""
        return f"{self.epoch} {self.adopted.incarnation}"

    @property
    def needed(self) -> tuple[str, ...]:
        """The servers that must have what is written before it is acknowledged."""
        return tuple(dict.fromkeys((*self.in_sync, *self.joining, *self.leaving)))


NOBODY = Role(adopted=Adopted(0, "", "", "", "", ""), in_sync=(), promise_s=0.0, nonce="")
"""What is said of a log of which no slot can be read."""


class Sighting(msgspec.Struct, frozen=True):
    """The last slot of the log as it was seen: `since` when it was first seen, `looked_at` when it was last looked for
    one beyond it, in seconds of `Clock.elapsed`.

    The `unread` last ones can't be read, and `fault` says why: then `role` is what the one before them says, or
    `NOBODY`'s. Who has it now, and who is in sync, is not known.
    """

    slot: int
    role: Role
    since: float
    looked_at: float
    unread: int = 0
    fault: str = ""

    @property
    def epoch(self) -> int:
        """The highest number that the epoch may have."""
        return self.role.epoch + self.unread


class Follow(msgspec.Struct, frozen=True):
    """Be a shadow of this master, in its epoch; `held` is what to note."""

    master: str
    epoch: int
    held: str


class Reseed(msgspec.Struct, frozen=True):
    """Begin anew with what this master has, in its epoch: what is here is set aside. `held` is what to note then."""

    master: str
    epoch: int
    held: str


def epoch_in(held: str) -> int:
    """The number of an epoch that is held, 0 for none."""
    number = held.partition(" ")[0]
    return int(number) if number.isdecimal() else 0


def wait_s(role: Role, server: str) -> float:
    """For how long the log must stand still before `server` may take the role; one who is not in sync never may.

    Those in sync come one after another, so that they do not race.
    """
    others = sorted(name for name in role.in_sync if name != role.master)
    order = sorted(others, key=lambda name: name != role.to) if role.is_yielded else others
    rank = order.index(server) if server in order else len(order)
    promise_s = role.promise_s * (1 + DRIFT)
    return promise_s * (rank if role.is_yielded else rank + 1)


def is_at_rest(sighting: Sighting, lease_s: float) -> bool:
    """Whether nobody can hold the role by this slot any more, so that an operator may give it to anybody.

    `lease_s` is what a master promises whose last slot can't be read.
    """
    longest_s = wait_s(sighting.role, "")
    if sighting.unread:
        longest_s = max(longest_s, lease_s * (1 + DRIFT))
    return sighting.looked_at - sighting.since >= longest_s


def may_take(sighting: Sighting, server: str, held: str, *, is_proven_dead: bool) -> bool:
    """Whether `server`, which holds the epoch `held`, may take the role now (J7).

    `is_proven_dead`: its master's process has ended, as its own machine shows.
    """
    role = sighting.role
    if sighting.unread or held != role.id or server not in role.in_sync:
        return False
    if server == role.master:
        return is_proven_dead or sighting.looked_at - sighting.since >= wait_s(role, server)
    needed_s = wait_s(role, server) - (role.promise_s * (1 + DRIFT) if is_proven_dead and not role.is_yielded else 0)
    return sighting.looked_at - sighting.since >= needed_s


def part_of(role: Role, held: str) -> Follow | Reseed:
    """What a replica that holds the epoch `held` is under a master other than itself; empty: it has nothing."""
    if held == role.id or (held and held == role.after and role.continues):
        return Follow(role.master, role.epoch, role.id)
    return Reseed(role.master, role.epoch, role.id)


def is_taken_with(role: Role, server: str, held: str) -> bool:
    """Whether `server` took the role with the entries that it has, and ended before it could note that."""
    return role.master == server and held == role.after and (bool(held) or role.epoch == 1)


def successor(role: Role | None, adopted: Adopted, held: str, *, promise_s: float, nonce: str) -> Role:
    """The slot by which a server that holds the epoch `held` takes the role after `role`, or for the first time.

    Nobody else is in sync at first: each has to show that it has everything, or to begin anew. Who had the role already
    takes it up with the same entries, and so does who had them all when it was yielded.
    """
    continues = role is not None and (adopted.owner == role.master or adopted.owner in role.alike)
    return Role(
        adopted=adopted, in_sync=(adopted.owner,), promise_s=promise_s, begins=True, after=held, continues=continues,
        nonce=nonce,
    )  # fmt: skip


class Shadow(msgspec.Struct, frozen=True):
    """What the master knows of one of its shadows: when it was last seen to be well, and whether it was compared.

    Well is one that follows the master in its epoch and is not too far behind. `joined` is the slot that first had it
    joining; `has_everything`: a comparison that began after that slot was known found nothing to be missing.
    """

    well_at: float
    joined: int = -1
    has_everything: bool = False


def renewed(role: Role, shadows: Mapping[str, Shadow], now: float, patience_s: float, nonce: str) -> Role:
    """The next slot of the same master; a shadow that was not well for `patience_s` is left out."""
    in_sync: list[str] = [role.master]
    joining: list[str] = []
    for name, shadow in shadows.items():
        if now - shadow.well_at > patience_s:
            continue
        is_in_sync = name in role.in_sync or (name in role.joining and shadow.has_everything)
        (in_sync if is_in_sync else joining).append(name)
    leaving = tuple(name for name in role.in_sync if name not in in_sync and name not in joining)
    return msgspec.structs.replace(
        role, in_sync=tuple(in_sync), joining=tuple(joining), leaving=leaving, begins=False, is_yielded=False,
        nonce=nonce,
    )  # fmt: skip
