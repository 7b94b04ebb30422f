"""The cluster as one server sees it: who was heard when, and which journal has stood still since when.

All times are seconds of `Clock.elapsed` of this server: nothing here was ever measured by another.
"""

from __future__ import annotations

import functools
from hashlib import blake2b

import msgspec

from nightmail.group.heartbeat import QueuePulse
from nightmail.group.settings import Patience

NEVER = float("-inf")


class Member(msgspec.Struct, frozen=True):
    """A server of the cluster as it is configured."""

    server: str
    group: str


class Peer(msgspec.Struct, frozen=True):
    """What another server last said of itself. `hides_queues`: it runs more than a datagram has room for.

    `ailing` are its switches that are silent, or cut off from the store. `knocked_at` is when it was last knocked at
    since it was heard, and `has_refused` whether its host said that nobody is there.
    """

    server: str
    heard_at: float = NEVER
    incarnation: str = ""
    state: str = ""
    config: str = ""
    queues: dict[str, QueuePulse] = {}
    ailing: frozenset[int] = frozenset()
    hides_queues: bool = False
    knocked_at: float = NEVER
    has_refused: bool = False


class Watched(msgspec.Struct, frozen=True):
    """A queue that is not run here, as it was found in the store.

    `server` is the one that it is named after, `owner` the one that writes it, by its last `adopted` record.
    `found_at` is when it was first seen at all, `since` when its tail was first seen, `looked_at` when it was last
    found to be the tail still, and `tried_at` when it was last looked for something beyond, with or without an answer.
    `moved_by` is the life in which a server of our own name, which opened it, wrote it between two looks, until that
    is told. `is_unknown`: a newer release writes it, and only such a one can adopt it.
    `adopting` is set from the moment we set out to adopt it until that has come to an end.
    """

    name: str
    server: str
    owner: str
    owner_group: str
    tail: int
    promise_s: float
    found_at: float
    since: float
    looked_at: float
    tried_at: float
    is_yielded: bool = False
    moved_by: str = ""
    is_unknown: bool = False
    is_looked_at: bool = False
    is_prepared: bool = False
    adopting: bool = False


class View(msgspec.Struct, frozen=True):
    """Everything that decisions are made from.

    `here` are the queues that are run on this server, `left_to_others` those that were given up, with the time until
    which it is the others' turn to adopt them. While somebody's stillness is being timed the store is probed by
    puts of our own: `store_well_since` is since when every one was quick, `probe_began` when the one under way began,
    None where none is, and `probed_at` when the last one ended.
    """

    server: str
    group: str
    patience: Patience
    members: dict[str, Member]
    peers: dict[str, Peer] = {}
    queues: dict[str, Watched] = {}
    here: frozenset[str] = frozenset()
    left_to_others: dict[str, float] = {}
    is_draining: bool = False
    store_well_since: float = NEVER
    is_probing: bool = False
    probe_began: float | None = None
    probed_at: float = NEVER
    listed_at: float = NEVER
    is_listing: bool = False

    def is_heard(self, server: str, now: float, within_s: float | None = None) -> bool:
        """Whether a server was heard from lately, by default so that it is not missing; we hear ourselves."""
        if server == self.server:
            return True
        peer = self.peers.get(server)
        within_s = self.patience.missing_after_s if within_s is None else within_s
        return peer is not None and now - peer.heard_at <= within_s

    def is_serving(self, server: str, now: float) -> bool:
        """Whether another server was heard in time, and takes mail."""
        peer = self.peers.get(server)
        is_there = peer is not None and peer.state == "serving" and not peer.has_refused
        return is_there and self.is_heard(server, now, self.patience.late_after_s)

    def is_well(self, queue: Watched, now: float) -> bool:
        """Whether its owner is heard from and serves, and the switch that runs it answers and gets its puts through."""
        return self._is_well(queue, now, self.patience.missing_after_s)

    def is_in_time(self, queue: Watched, now: float, within_s: float) -> bool:
        """Whether it is well, its owner was heard within so many seconds, and nothing else says that this one is dead.

        Its host's word that nobody listens there is enough to get ready by, and never to adopt by: that takes silence.
        """
        peer = self.peers.get(queue.owner)
        return self._is_well(queue, now, within_s) and not (peer is not None and peer.has_refused)

    def _is_well(self, queue: Watched, now: float, within_s: float) -> bool:
        if queue.owner == self.server:
            return False  # it is not run here, so nobody runs it
        peer = self.peers.get(queue.owner)
        if peer is None or not self.is_heard(queue.owner, now, within_s) or peer.state != "serving":
            return False
        pulse = peer.queues.get(queue.name)
        if pulse is None:
            return peer.hides_queues and not peer.ailing
        return pulse.switch not in peer.ailing

    def rank(self, queue: Watched, now: float) -> int:
        """Our place among the servers that could adopt the queue now: by rendezvous, so that queues spread.

        One that was yielded is first of all for the server that it is named after.
        """
        able = []
        for peer in self.peers.values():
            member = self.members.get(peer.server)
            is_able = peer.state == "serving" and self.is_heard(peer.server, now)
            if member is not None and member.group == self.group and is_able and peer.server != queue.owner:
                able.append(peer.server)

        def weight(server: str) -> bytes:
            return b"" if queue.is_yielded and server == queue.server else _weight(queue.name, server)

        ours = weight(self.server)
        return sum(weight(server) < ours for server in able)

    def is_ours_to_mind(self, queue: Watched) -> bool:
        """Whether its owner's group is ours."""
        return self._group_of(queue) == self.group

    def _group_of(self, queue: Watched) -> str:
        member = self.members.get(queue.owner)
        return member.group if member is not None else queue.owner_group


@functools.lru_cache(maxsize=10_000)
def _weight(queue: str, server: str) -> bytes:
    return blake2b(f"{queue}\n{server}".encode(), digest_size=8).digest()
