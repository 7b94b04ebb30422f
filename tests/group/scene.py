"""One server that decides about the queues of the others, and a world around it that answers at once."""

from __future__ import annotations

from nightmail.group.decisions import step
from nightmail.group.effects import Adopt, Effect, Forget, Knock, List, Look, Meet, Prepare, Probe
from nightmail.group.events import (
    AdoptionEnded,
    Event,
    Gone,
    Heard,
    Listed,
    LookFailed,
    Probed,
    Refused,
    Sighted,
    Ticked,
)
from nightmail.group.heartbeat import Heartbeat, QueuePulse, SwitchPulse
from nightmail.group.settings import Patience
from nightmail.group.view import Member, View

PATIENCE = Patience(lease_s=1.0)
PROMISE_S = 1.0
QUEUE = "mx2.0.1"


class Scene:
    """One server, mx1, that decides, and a world around it that answers at once.

    `tail` is the last slot of the one queue there is; it moves on while `is_written`. `beats` are the servers that are
    heard. What was adopted is in `adopted`, with the time and the slot.
    """

    def __init__(self, server: str = "mx1", servers: tuple[str, ...] = ("mx1", "mx2"), group: str = "g") -> None:
        members = {name: Member(name, group if name == server else "g") for name in servers}
        self.view = View(server, group, PATIENCE, members)
        self.now = 1000.0
        self.tail = 7
        self.promise_s = PROMISE_S
        self.owner = "mx2"
        self.is_written = True
        self.is_yielded = False
        self.is_closed = False
        self.is_store_away = False
        self.probe_takes_s = 0.01
        self.beats: dict[str, Heartbeat] = {}
        self.adopted: list[tuple[float, int]] = []
        self.prepared: list[float] = []
        self.looks = 0
        self.epoch = 1
        self.met: list[tuple[str, str]] = []
        self.forgotten = 0
        self.answers_nothing = False
        self.unreadable: set[str] = set()
        self.knocks: list[float] = []
        self.does_host_answer = False
        self._probe_ends: float | None = None

    def hear(
        self,
        server: str,
        *,
        state: str = "serving",
        silent: bool = False,
        cut_off: bool = False,
        runs: tuple[str, ...] = (),
        hidden: int = 0,
    ) -> None:
        """From now on heartbeats of `server` say this."""
        queues = tuple(QueuePulse(name, 0, 1, self.tail, 1) for name in runs)
        self.beats[server] = Heartbeat(
            server, "life", 1, "", 0, state, "", (SwitchPulse(0, silent, cut_off),), len(queues) + hidden, 0, queues
        )

    def tell(self, event: Event) -> None:
        """Have an event taken in, and do what it calls for."""
        self.view, effects = step(self.view, event, self.now)
        for effect in effects:
            self._do(effect)

    def pass_time(self, seconds: float) -> None:
        """Let time pass in ticks of a fifth of a lease, with heartbeats, and the owner at work."""
        for _ in range(round(seconds / 0.05)):
            self.now += 0.05
            if self.is_written:
                self.tail += 1
            for beat in self.beats.values():
                self.tell(Heard(beat))
            if self._probe_ends is not None and self.now >= self._probe_ends:
                self._probe_ends = None
                self.tell(Probed())
            self.tell(Ticked())

    def _do(self, effect: Effect) -> None:
        if self.answers_nothing:
            return
        if isinstance(effect, List):
            self.tell(LookFailed() if self.is_store_away else Listed((QUEUE, *self.unreadable)))
        elif isinstance(effect, Look):
            self.looks += 1
            self.tell(self._look(effect.queue))
        elif isinstance(effect, Probe):
            self._probe_ends = self.now + self.probe_takes_s
        elif isinstance(effect, Knock):
            self.knocks.append(self.now)
            if self.does_host_answer and effect.server not in self.beats:
                self.tell(Refused(effect.server))
        elif isinstance(effect, Prepare):
            self.prepared.append(self.now)
        elif isinstance(effect, Forget):
            self.forgotten += 1
        elif isinstance(effect, Meet):
            self.met.append((effect.queue, effect.incarnation))
        elif isinstance(effect, Adopt):
            is_ours = effect.tail == self.tail
            if is_ours:
                self.adopted.append((self.now, effect.tail))
            self.tell(AdoptionEnded(effect.queue, is_ours))

    def _look(self, queue: str) -> Event:
        if self.is_store_away or queue in self.unreadable:
            return LookFailed(queue)
        if self.is_closed:
            return Gone(queue)
        return Sighted(QUEUE, self.tail, self.promise_s, self.owner, "g", self.is_yielded, "life", self.epoch)


def kill(scene: Scene) -> float:
    """mx2 falls silent and writes no more; the time of that."""
    scene.is_written = False
    del scene.beats["mx2"]
    return scene.now
