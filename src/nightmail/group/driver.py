"""The driver of the decisions: feeds them what happens, and carries out what they ask for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import msgspec
import structlog

from nightmail.errors import StoreUnavailable
from nightmail.group.decisions import step
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
    Ticked,
)
from nightmail.group.heartbeat import Heartbeat
from nightmail.group.view import View
from nightmail.group.watching import Watcher
from nightmail.journal.keys import QueueName
from nightmail.journal.reading import list_queues
from nightmail.store.protocol import Store
from nightmail.world import Clock

_TICK_S = 0.05

log = structlog.get_logger()


class Hands(Protocol):
    """What carries adoptions out: the supervisor and its processes."""

    def pulse(self) -> Heartbeat:
        """What this server says of itself; incarnation, sequence and echo are filled in by who sends it."""
        ...

    def running(self) -> frozenset[str]:
        """The queues that are run on this server."""
        ...

    def prepare(self, queue: str, server: str) -> None:
        """Start a secondary switch for `server` if there is none, and have it read `queue`. Returns at once."""
        ...

    def forget(self, queue: str, server: str) -> None:
        """Let go of what was read of `queue`. Returns at once."""
        ...

    async def adopt(self, queue: str, server: str, tail: int) -> bool:
        """Adopt the queue by the slot after `tail`; whether it is ours. Never raises."""
        ...


class Speaker(Protocol):
    """Sends heartbeats; `voices.Voices` is one."""

    def speak(self, beat: Heartbeat) -> None:
        """Send it to every peer. Never raises because of one of them."""
        ...

    def knock(self, peer: str, beat: Heartbeat) -> None:
        """Send it to one peer, so that its host can answer that nobody listens. Returns at once; never raises."""
        ...


class Group:
    """One server's part in its cluster, from `run` until that is cancelled."""

    def __init__(
        self,
        view: View,
        store: Store,
        watcher: Watcher,
        *,
        speaker: Speaker,
        hands: Hands,
        clock: Clock,
        met_namesake: Callable[[str, str], None] = lambda queue, incarnation: None,
    ) -> None:
        """`met_namesake` is told of a queue of our name, and of the life of that name that opened it and writes it."""
        self._met_namesake = met_namesake
        self.view = view
        self._store = store
        self._watcher = watcher
        self._speaker = speaker
        self._hands = hands
        self._clock = clock
        self._closed: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._beat_at = 0.0
        self._silent: set[str] = set()

    async def run(self) -> None:
        """Watch, and see to it that what nobody runs is run."""
        self.tell(BegunAnew())
        try:
            while True:
                self._beat()
                self._note_silence()
                running = self._hands.running()
                self.tell(Running(running) if running != self.view.here else Ticked())
                await asyncio.sleep(_TICK_S)
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def heard(self, beat: Heartbeat) -> None:
        """A heartbeat that is believed came in."""
        known = self.view.peers.get(beat.server)
        if known is None or known.incarnation != beat.incarnation:
            log.info("peer heard", peer=beat.server, state=beat.state, incarnation=beat.incarnation)
        elif known.state != beat.state:
            log.info("peer changed", peer=beat.server, state=beat.state, was=known.state)
        self.tell(Heard(beat))

    def refused(self, peer: str) -> None:
        """The host of a peer that was knocked at says that nobody listens there."""
        self.tell(Refused(peer))
        if self.view.peers[peer].has_refused:
            log.info("peer refused", peer=peer, reason="its host says that nobody listens at its heartbeat address")

    def drain(self) -> None:
        """Adopt nothing any more."""
        self.tell(DrainBegan())

    def hand_over(self, queue: str) -> None:
        """A queue is about to be given up: leave it to the others for a while."""
        self.tell(HandedOver(queue))

    def tell(self, event: Event) -> None:
        """Have an event decided on, and do what is to be done."""
        self.view, effects = step(self.view, event, self._clock.elapsed())
        for effect in effects:
            self._carry_out(effect)

    def _beat(self) -> None:
        now = self._clock.elapsed()
        beat_s = self.view.patience.beat_s
        if now - self._beat_at >= beat_s:
            # In time with the last one that was due: a tick that comes late makes no later beat late.
            self._beat_at = self._beat_at + beat_s if now - self._beat_at < 2 * beat_s else now
            self._speaker.speak(self._hands.pulse())

    def _note_silence(self) -> None:
        """Say once that a peer fell silent, and once that it is heard again."""
        now = self._clock.elapsed()
        for server, peer in self.view.peers.items():
            if self.view.is_heard(server, now):
                if server in self._silent:
                    self._silent.discard(server)
                    log.info("peer heard again", peer=server, state=peer.state)
            elif server not in self._silent:
                self._silent.add(server)
                say = log.warning if peer.state == "serving" else log.info
                say("peer silent", peer=server, state=peer.state, heartbeat_age_s=round(now - peer.heard_at, 3),
                            remedy="see to that server and the network between; its queues are watched")  # fmt: skip

    def _say_abandoned(self, queue: str) -> None:
        """It is nothing to be woken for while its owner is merely late, or gave it up; a silent peer is told of."""
        watched = self.view.queues[queue]
        is_late = self.view.is_well(watched, self._clock.elapsed())
        say = log.info if is_late or watched.is_yielded else log.warning
        say("queue seems abandoned", queue=queue, remedy="none: it is adopted once its promise is over")

    def _carry_out(self, effect: Effect) -> None:
        if isinstance(effect, Prepare):
            self._say_abandoned(effect.queue)
            self._hands.prepare(effect.queue, effect.server)
        elif isinstance(effect, Forget):
            log.info("queue is run again", queue=effect.queue)
            self._hands.forget(effect.queue, effect.server)
        elif isinstance(effect, Knock):
            self._speaker.knock(effect.server, self._hands.pulse())
        elif isinstance(effect, Meet):
            self._met_namesake(effect.queue, effect.incarnation)
        else:
            self._start(self._work(effect))

    async def _work(self, effect: Effect) -> None:
        """Do it, and have its end told whatever happens: what never ends would never be begun again."""
        work, failed = _WORK[type(effect)]
        try:
            await work(self, effect)
        except Exception:
            log.exception("cluster work failed", effect=type(effect).__name__, remedy="it is tried again; report this")
            self.tell(failed(effect))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _list(self, _: List) -> None:
        try:
            names = await list_queues(self._store)
        except StoreUnavailable as error:
            log.warning("queues not listed", reason=str(error))
            self.tell(LookFailed())
        else:
            known = tuple(name for name in names if QueueName.parse(name) is not None)
            self._closed.intersection_update(known)
            self.tell(Listed(known, frozenset(self._closed)))

    async def _look(self, effect: Look) -> None:
        seen = await self._watcher.look(effect.queue, effect.tail)
        if isinstance(seen, Gone):
            self._closed.add(effect.queue)
        self.tell(seen)

    async def _probe(self, _: Probe) -> None:
        self.tell(Probed(has_failed=not await self._watcher.probe()))

    async def _adopt(self, effect: Adopt) -> None:
        is_ours = await self._hands.adopt(effect.queue, effect.server, effect.tail)
        self.tell(AdoptionEnded(effect.queue, is_ours))


_Work = Callable[[Group, Any], Coroutine[Any, Any, None]]
_WORK: dict[type[msgspec.Struct], tuple[_Work, Callable[[Any], Event]]] = {
    List: (Group._list, lambda _: LookFailed()),
    Look: (Group._look, lambda effect: LookFailed(effect.queue)),
    Probe: (Group._probe, lambda _: Probed(has_failed=True)),
    Adopt: (Group._adopt, lambda effect: AdoptionEnded(effect.queue, is_ours=False)),
}
