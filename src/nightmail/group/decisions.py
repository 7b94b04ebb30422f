"""What to do next, from what is known: `step(view, event, now) -> (view, effects)`, and nothing else.

A queue that nobody here runs is watched until it is adopted or gone:

    watched ──nobody seems to run it──▶ looked at often, prepared ──stood still long enough──▶ adopting ──▶ run here
       ▲                                                                                          │
       └────────── a slot beyond the one we knew, or another adopter: measure anew ◀──────────────┘

How long is long enough (J7): its last promise and the clocks' drift, ten times that if its owner is heard from and
well, once more for every server that comes before us, and not counting any time in which our own puts were slow. A
`yielded` journal need not stand still at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from nightmail.group.effects import Adopt, Effect, Forget, Knock, List, Look, Meet, Prepare, Probe
from nightmail.group.events import (
    AdoptionEnded,
    BegunAnew,
    DrainBegan,
    Event,
    Gone,
    HandedOver,
    Heard,
    Listed,
    LookFailed,
    Probed,
    Refused,
    Running,
    Sighted,
    Ticked,
)
from nightmail.group.view import NEVER, Peer, View, Watched

LIST_EVERY_S = 2.0


def step(view: View, event: Event, now: float) -> tuple[View, list[Effect]]:
    """Take an event in, and say what is to be done because of it; `now` is seconds of `Clock.elapsed`."""
    before = view
    view = _TAKEN[type(event)](view, event, now)
    if view.is_draining:
        return view, []
    concerned = _concerned(view, event)
    is_about_all = concerned is view.queues
    view, effects, is_urgent = _attend_to(view, concerned, now)
    effects += _no_longer_prepared(before, view)
    if not is_about_all:
        return view, effects  # the others have their turn with the next tick, and so has the store
    view = _measure_the_store(view, now, effects, is_urgent=is_urgent)
    view = _knock(view, now, effects)
    if not view.is_listing and now - view.listed_at >= LIST_EVERY_S:
        view = msgspec.structs.replace(view, is_listing=True)
        effects.append(List())
    return view, effects


def _concerned(view: View, event: Event) -> Mapping[str, Watched]:
    """The queues that an event may call for something about: heartbeats are many, and so are queues."""
    if isinstance(event, Heard):
        server = event.heartbeat.server
        return {name: queue for name, queue in view.queues.items() if queue.owner == server}
    if isinstance(event, Sighted | AdoptionEnded) or (isinstance(event, LookFailed) and event.queue):
        return {event.queue: view.queues[event.queue]} if event.queue in view.queues else {}
    return view.queues


def _attend_to(view: View, queues: Mapping[str, Watched], now: float) -> tuple[View, list[Effect], bool]:
    """What these queues call for, the view after that, and whether one of them may have to be adopted soon."""
    effects: list[Effect] = []
    changed: dict[str, Watched] = {}
    is_urgent = False
    for queue in queues.values():
        # As soon as a heartbeat is late: looking is cheap, and a promise runs out from the first look on.
        is_calm = queue.is_unknown or view.is_in_time(queue, now, view.patience.late_after_s)
        for effect, queue_then in _attend(view, queue, now, is_calm=is_calm):
            effects.append(effect)
            changed[queue.name] = queue_then
        is_urgent = is_urgent or not is_calm or changed.get(queue.name, queue).is_prepared
    if changed:
        view = msgspec.structs.replace(view, queues=view.queues | changed)
    return view, effects, is_urgent


def required_s(view: View, queue: Watched, now: float) -> float:
    """How long the journal must stand still before we may adopt it."""
    return _required_s(view, queue, now, is_well=view.is_well(queue, now))


def _required_s(view: View, queue: Watched, now: float, *, is_well: bool) -> float:
    rank = view.rank(queue, now)
    left_s = view.left_to_others.get(queue.name, queue.since) - queue.since
    if queue.is_yielded:
        return max(rank * view.patience.lease_s, left_s)
    return max(_least_s(view, queue, is_well=is_well) + rank * _promise_s(view, queue), left_s)


def _least_s(view: View, queue: Watched, *, is_well: bool) -> float:
    """How long the first of those who may adopt it would have to wait."""
    promises = view.patience.promises_if_alive if is_well else 1
    late = 0.0 if view.is_ours_to_mind(queue) else view.patience.orphan_after_s
    return _promise_s(view, queue) * promises + late


def _promise_s(view: View, queue: Watched) -> float:
    return queue.promise_s * (1 + view.patience.drift)


def _attend(view: View, queue: Watched, now: float, *, is_calm: bool) -> Iterator[tuple[Effect, Watched]]:
    """What one queue calls for, each with the queue as it is then; it is calm as long as its owner is not even late."""
    if queue.adopting:
        return
    replace = msgspec.structs.replace
    if queue.moved_by:
        moved_by, queue = queue.moved_by, replace(queue, moved_by="")
        yield Meet(queue.name, moved_by), queue
    is_in_time = is_calm or view.is_in_time(queue, now, view.patience.read_after_s)
    is_next = _may_be_next(view, queue, now, is_well=is_in_time)
    if is_next and not queue.is_prepared and now - queue.looked_at <= view.patience.look_fresh_s:
        queue = replace(queue, is_prepared=True)
        yield Prepare(queue.name, queue.server), queue
    elif queue.is_prepared and not is_next:
        queue = replace(queue, is_prepared=False)
    if is_next and queue.is_prepared and _stood_still(view, queue, required_s(view, queue, now)):
        queue = replace(queue, adopting=True)
        yield Adopt(queue.name, queue.server, queue.tail), queue
        return
    pause_s = view.patience.look_rarely_s if is_calm and not queue.is_prepared else view.patience.look_often_s
    if not queue.is_looked_at and (now - queue.tried_at >= pause_s or _is_last_look_due(view, queue, now)):
        queue = replace(queue, is_looked_at=True)
        yield Look(queue.name, queue.tail), queue


def _may_be_next(view: View, queue: Watched, now: float, *, is_well: bool) -> bool:
    """Whether the next promise that runs out is the one we wait for: nobody comes before us.

    An owner that is late may be taken for missing here: what is read for nothing costs little, and what is read only
    when it is needed costs the time that it takes. A server that lives has all but a fifth of that promise to itself:
    it starts a switch that died again at once. Our place among the others is asked for only where it matters: most
    queues are far from being adopted, and this comes with every event.
    """
    stood, promise_s = now - queue.since, _promise_s(view, queue)
    left_s = promise_s / 5 if view.is_serving(queue.owner, now) and not queue.is_prepared else promise_s
    if not queue.is_yielded and (stood < _least_s(view, queue, is_well=is_well) - left_s or _is_new(view, queue, now)):
        return False
    return stood >= _required_s(view, queue, now, is_well=is_well) - promise_s


def _is_new(view: View, queue: Watched, now: float) -> bool:
    """Whether its owner may be yet to be heard, or yet to speak of it: we began a moment ago, or the queue did."""
    return now - queue.found_at < view.patience.missing_after_s


def _stood_still(view: View, queue: Watched, required: float) -> bool:
    """Whether the last look found it as it was so long ago, and our own puts got through for the last promise of it."""
    if queue.looked_at - queue.since < required:
        return False
    return queue.is_yielded or queue.looked_at - view.store_well_since >= _promise_s(view, queue)


def _is_last_look_due(view: View, queue: Watched, now: float) -> bool:
    """Whether it has stood still for long enough since the last look, so that one more has it adopted."""
    if not queue.is_prepared:
        return False
    required = required_s(view, queue, now)
    return queue.tried_at - queue.since < required <= now - queue.since


def _no_longer_prepared(before: View, after: View) -> list[Effect]:
    """What to let go of: queues that moved on, or that another has taken."""
    return [
        Forget(name, queue.server)
        for name, queue in before.queues.items()
        if queue.is_prepared and name not in after.here
        if not ((now := after.queues.get(name)) is not None and now.is_prepared)
    ]


def _measure_the_store(view: View, now: float, effects: list[Effect], *, is_urgent: bool) -> View:
    """Probe while somebody's last promise may run out; it does not before the first probe, nor while one is slow."""
    replace, patience = msgspec.structs.replace, view.patience
    if not is_urgent:
        return replace(view, is_probing=False) if view.is_probing else view
    if not view.is_probing:
        view = replace(view, is_probing=True, store_well_since=now)
    if view.probe_began is not None:
        return replace(view, store_well_since=now) if now - view.probe_began >= patience.slow_put_s else view
    if now - view.probed_at >= patience.probe_every_s:
        effects.append(Probe())
        view = replace(view, probe_began=now)
    return view


def _knock(view: View, now: float, effects: list[Effect]) -> View:
    """Knock at whose heartbeat is overdue, until it is heard, has refused or is missing; who stops has said so."""
    patience = view.patience
    knocked: dict[str, Peer] = {}
    for peer in view.peers.values():
        is_overdue = patience.knock_after_s <= now - peer.heard_at <= patience.missing_after_s
        is_expected = peer.state != "stopping" and not peer.has_refused
        if is_overdue and is_expected and now - peer.knocked_at >= patience.beat_s:
            effects.append(Knock(peer.server))
            knocked[peer.server] = msgspec.structs.replace(peer, knocked_at=now)
    return msgspec.structs.replace(view, peers=view.peers | knocked) if knocked else view


def _ticked(view: View, _: Ticked, __: float) -> View:
    return view


def _heard(view: View, event: Heard, now: float) -> View:
    beat = event.heartbeat
    peer = Peer(
        server=beat.server,
        heard_at=now,
        incarnation=beat.incarnation,
        state=beat.state,
        config=beat.config,
        queues={pulse.name: pulse for pulse in beat.queues},
        ailing=frozenset(pulse.number for pulse in beat.switches if pulse.is_silent or pulse.is_cut_off),
        hides_queues=beat.queue_count > len(beat.queues),
    )
    return msgspec.structs.replace(view, peers={**view.peers, beat.server: peer})


def _refused(view: View, event: Refused, now: float) -> View:
    """One that spoke since it was knocked at is there again."""
    peer = view.peers.get(event.server)
    if peer is None or peer.knocked_at == NEVER:
        return view
    peer = msgspec.structs.replace(peer, has_refused=True)
    return msgspec.structs.replace(view, peers={**view.peers, event.server: peer})


def _listed(view: View, event: Listed, now: float) -> View:
    """Watch what is new, and nothing that is gone. What was never looked at is looked at once."""
    queues = {
        name: view.queues.get(name) or _unseen(name)
        for name in event.queues
        if name not in view.here and name not in event.closed
    }
    return msgspec.structs.replace(view, queues=queues, listed_at=now, is_listing=False)


def _unseen(name: str) -> Watched:
    """A queue of which only its name is known: whatever it promised, it counts from the first sight of its tail."""
    never = float("inf")
    return Watched(
        name, name.partition(".")[0], owner="", owner_group="", tail=-1, promise_s=0.0, found_at=never, since=never,
        looked_at=float("-inf"), tried_at=float("-inf"),
    )  # fmt: skip


def _sighted(view: View, event: Sighted, now: float) -> View:
    queue = view.queues.get(event.queue)
    if queue is None:
        return view
    if event.tail == queue.tail:
        queue = msgspec.structs.replace(queue, looked_at=now, tried_at=now, is_looked_at=False)
    else:
        queue = Watched(
            queue.name, queue.server, event.owner, event.owner_group, event.tail, event.promise_s,
            found_at=min(queue.found_at, now),
            since=now, looked_at=now, tried_at=now, is_yielded=event.is_yielded, is_prepared=queue.is_prepared,
            adopting=queue.adopting,
            moved_by=event.incarnation if _is_of_our_name(view, queue, event) else "",
        )  # fmt: skip
    return msgspec.structs.replace(view, queues={**view.queues, queue.name: queue})


def _is_of_our_name(view: View, queue: Watched, event: Sighted) -> bool:
    """Whether a server of our name opened this queue and writes it: one that was adopted says nothing of who."""
    is_first_owner = queue.server == event.owner == view.server and event.epoch == 1
    return is_first_owner and queue.tail >= 0


def _look_failed(view: View, event: LookFailed, now: float) -> View:
    """A journal that can't be looked at is in nobody's way but its own; without a list the store is not well."""
    if not event.queue:
        return msgspec.structs.replace(view, is_listing=False, listed_at=now, store_well_since=now)
    queue = view.queues.get(event.queue)
    if queue is None:
        return view
    queue = msgspec.structs.replace(queue, tried_at=now, is_looked_at=False, is_unknown=event.is_newer)
    return msgspec.structs.replace(view, queues={**view.queues, queue.name: queue})


def _gone(view: View, event: Gone, _: float) -> View:
    queues = {name: queue for name, queue in view.queues.items() if name != event.queue}
    return msgspec.structs.replace(view, queues=queues)


def _running(view: View, event: Running, _: float) -> View:
    queues = {name: queue for name, queue in view.queues.items() if name not in event.queues}
    return msgspec.structs.replace(view, here=event.queues, queues=queues)


def _adoption_ended(view: View, event: AdoptionEnded, now: float) -> View:
    """Ours, or another's who was first, or its owner lives: whichever it is, what was measured is void."""
    queue = view.queues.get(event.queue)
    if queue is None:
        return view
    queues = dict(view.queues)
    if event.is_ours:
        del queues[event.queue]
        return msgspec.structs.replace(view, queues=queues, here=view.here | {event.queue})
    queues[event.queue] = _unseen(queue.name)
    return msgspec.structs.replace(view, queues=queues)


def _probed(view: View, event: Probed, now: float) -> View:
    began = view.probe_began if view.probe_began is not None else now
    was_slow = event.has_failed or now - began >= view.patience.slow_put_s
    return msgspec.structs.replace(
        view, probe_began=None, probed_at=now, store_well_since=now if was_slow else view.store_well_since
    )


def _handed_over(view: View, event: HandedOver, now: float) -> View:
    left = {name: until for name, until in view.left_to_others.items() if until > now}
    left[event.queue] = now + view.patience.handover_s
    return msgspec.structs.replace(view, left_to_others=left)


def _begun_anew(view: View, _: BegunAnew, __: float) -> View:
    return msgspec.structs.replace(
        view, queues={}, is_probing=False, probe_began=None, is_listing=False, listed_at=float("-inf")
    )


def _drain_began(view: View, _: DrainBegan, __: float) -> View:
    return msgspec.structs.replace(view, is_draining=True)


_TAKEN: dict[type, Callable[[View, Any, float], View]] = {
    Ticked: _ticked,
    Heard: _heard,
    Refused: _refused,
    Listed: _listed,
    Sighted: _sighted,
    LookFailed: _look_failed,
    Gone: _gone,
    Running: _running,
    AdoptionEnded: _adoption_ended,
    Probed: _probed,
    HandedOver: _handed_over,
    BegunAnew: _begun_anew,
    DrainBegan: _drain_began,
}
