"""The story of the demonstration: a pair at work, a death, a takeover, a return, and the audit."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from nightmail.admin.answers import ServerPicture
from nightmail.cli.demo.clients import Clients
from nightmail.cli.demo.inbox import DOMAIN, Inbox
from nightmail.cli.demo.ledger import Books
from nightmail.cli.demo.pair import NAMES, Pair
from nightmail.cli.demo.scene import Scene, ServerScene
from nightmail.cli.demo.verdict import Verdict
from nightmail.cli.failing import CommandFailed
from nightmail.cli.words import count
from nightmail.world import Clock, Randomness

_SESSIONS = 24
_REST_S = 0.12
_MESSAGES_AT_MOST = 100_000
_LOOK_S = 0.25
_LISTEN_S = 0.02
_ADOPTION_TIMEOUT_S = 60.0
_SETTLING_S = 60.0
VICTIM, SURVIVOR = NAMES


class Story:
    """Told once, by `tell`; `scene` is kept up to date meanwhile, and `happened` called with each event of it.

    `act_s` is how long each of its three acts lasts: both at work, one dead, both at work again.
    """

    def __init__(
        self,
        home: Path,
        clock: Clock,
        randomness: Randomness,
        *,
        act_s: float,
        lease_s: float,
        workers: int,
        happened: Callable[[float, str], None],
    ) -> None:
        self.scene = Scene([ServerScene(name) for name in NAMES])
        self._home = home
        self._clock = clock
        self._random = randomness
        self._act_s = act_s
        self._lease_s = lease_s
        self._workers = workers
        self._tell_event = happened
        self._began = clock.elapsed()
        self._books = Books()
        self._inbox = Inbox(self._books, clock)
        self._ambiguous: set[str] = set()
        self._adopted: dict[str, float] = {}
        self._adoption = asyncio.Event()

    async def tell(self) -> Verdict:
        """The whole story. Raises: CommandFailed: it could not be told to its end."""
        await self._inbox.open()
        destinations = {DOMAIN: self._inbox.port}
        pair = Pair(self._home, self._clock, destinations, lease_s=self._lease_s, workers=self._workers)
        try:
            self._enter("Two servers start", "Each has a queue of its own in the store that they share.")
            await pair.start(self._random)
            clients = Clients(
                self._books, pair.port, self._clock, self._random,
                sessions=_SESSIONS, rest_s=_REST_S, limit=_MESSAGES_AT_MOST,
            )  # fmt: skip
            return await self._watched(pair, self._acts(pair, clients))
        finally:
            self._inbox.close()
            await pair.stop()

    async def _watched(self, pair: Pair, acts: Coroutine[Any, Any, Verdict]) -> Verdict:
        """Play the acts, with an eye on both servers; what ends the watching ends the story."""
        playing = asyncio.create_task(acts)
        watching = [asyncio.create_task(work) for work in (self._look(pair), self._listen(pair))]
        try:
            done, _ = await asyncio.wait([playing, *watching], return_when=asyncio.FIRST_COMPLETED)
            for failed in done - {playing}:
                failed.result()
            return await playing
        finally:
            for task in (playing, *watching):
                task.cancel()
            await asyncio.gather(playing, *watching, return_exceptions=True)

    async def _acts(self, pair: Pair, clients: Clients) -> Verdict:
        clients.start()
        self._enter("Both servers work", "Clients connect to the balancer; both servers take mail, and deliver it.")
        await asyncio.sleep(self._act_s)

        before_s = clients.forget_pauses()
        dead = await self._queues_of(pair, VICTIM)
        killed = self._clock.elapsed()
        await pair.servers[VICTIM].kill()
        self.scene.servers[0].word, self.scene.servers[0].left = "dead", dict(dead)
        self._say(f"{VICTIM} is killed with -9, with {count(sum(dead.values()), 'message')} in its queue")
        self._enter(
            f"{VICTIM} is dead",
            f"New mail goes to {SURVIVOR}. The queue of {VICTIM} stands still; its promise runs out.",
        )
        takeover_s = await self._until_adopted(set(dead)) - killed
        self._enter(f"{SURVIVOR} runs both queues", f"A secondary switch delivers what {VICTIM} had acknowledged.")
        await asyncio.sleep(max(self._act_s - takeover_s, 1.0))

        self._enter(f"{VICTIM} comes back", "It takes mail at once, in a new queue; the old one stays where it is.")
        self._say(f"{VICTIM} is started again")
        await pair.servers[VICTIM].start()
        await pair.until_serving(VICTIM)
        self._say(f"{VICTIM} takes mail")
        await asyncio.sleep(self._act_s)

        pause_s = clients.longest_pause_s
        self._enter("The audit", "No new mail; the queues run empty, and the books are compared.")
        await clients.finish()
        queued = await self._until_settled(pair)
        self._hear(pair)
        return Verdict(
            ledger=self._books.audit(queued, frozenset(self._ambiguous)),
            lease_s=self._lease_s, takeover_s=takeover_s, adopted=sum(dead.values()),
            pause_s=pause_s, pause_before_s=before_s,
            refused_for_good=clients.refused_for_good, damaged=self._inbox.damaged,
        )  # fmt: skip

    async def _queues_of(self, pair: Pair, name: str) -> dict[str, int]:
        """The queues that a server runs, with their messages."""
        picture = await pair.servers[name].picture()
        if picture is None:
            raise CommandFailed(os.EX_SOFTWARE, f"{name} does not answer: {pair.servers[name].last_words()}")
        return {queue.id: queue.messages for queue in picture.queues if queue.owner == name}

    async def _until_adopted(self, queues: set[str]) -> float:
        """When the last of them was adopted. Raises: CommandFailed: it was not."""
        try:
            async with asyncio.timeout(_ADOPTION_TIMEOUT_S):
                while not queues <= self._adopted.keys():
                    self._adoption.clear()
                    await self._adoption.wait()
        except TimeoutError:
            left = ", ".join(sorted(queues - self._adopted.keys()))
            raise CommandFailed(os.EX_SOFTWARE, f"not adopted within {_ADOPTION_TIMEOUT_S:.0f} s: {left}") from None
        return max(self._adopted[queue] for queue in queues)

    async def _until_settled(self, pair: Pair) -> frozenset[str]:
        """Wait until nothing is queued, within a bound; the ids of what is queued still."""
        deadline = self._clock.elapsed() + _SETTLING_S
        while True:
            told = [await server.queued_ids() for server in pair.servers.values()]
            queued = frozenset[str]().union(*(ids for ids in told if ids is not None))
            if (None not in told and not queued) or self._clock.elapsed() > deadline:
                return queued
            await asyncio.sleep(_LOOK_S)

    async def _listen(self, pair: Pair) -> None:
        """Read the servers' logs as they grow."""
        while True:
            self._hear(pair)
            await asyncio.sleep(_LISTEN_S)

    def _hear(self, pair: Pair) -> None:
        for name, server in pair.servers.items():
            for line in server.new_lines():
                if line.status == "ambiguous":
                    self._ambiguous.add(line.id)
                if line.event == "queue adopted":
                    self._adopted.setdefault(line.queue, self._clock.elapsed())
                    self._adoption.set()
                    for scene in self.scene.servers:
                        scene.left.pop(line.queue, None)
                    doubt = f", {line.ambiguous} perhaps delivered already" if line.ambiguous else ""
                    self._say(f"{name} adopted {line.queue}: {count(line.messages, 'message')}{doubt}")
                elif line.event == "queue seems abandoned":
                    self._say(f"{name} finds {line.queue} abandoned: a secondary switch reads it")

    async def _look(self, pair: Pair) -> None:
        """Ask the servers how they are, and reckon the rates."""
        before: dict[str, float] = {}
        totals, at = (0, 0), self._clock.elapsed()
        while True:
            await asyncio.sleep(_LOOK_S)
            pictures = await asyncio.gather(*(server.picture() for server in pair.servers.values()))
            now = self._clock.elapsed()
            span_s, at = now - at, now
            for scene, picture in zip(self.scene.servers, pictures, strict=True):
                taken = _accepted(picture)
                scene.accepts.append(max(taken - before.get(scene.name, taken), 0.0) / span_s)
                before[scene.name] = taken
                scene.picture = picture
                scene.word = picture.state if picture else "starting" if pair.servers[scene.name].is_running else "dead"
            books = self._books
            self.scene.acknowledged, self.scene.arrived = books.acknowledged, books.arrived
            self.scene.accepted_per_s.append((books.acknowledged - totals[0]) / span_s)
            self.scene.arrived_per_s.append((books.arrived - totals[1]) / span_s)
            self.scene.seconds = now - self._began
            totals = (books.acknowledged, books.arrived)

    def _enter(self, title: str, text: str) -> None:
        self.scene.title, self.scene.text = title, text

    def _say(self, text: str) -> None:
        at = self._clock.elapsed() - self._began
        self.scene.happened.append((at, text))
        self._tell_event(at, text)


def _accepted(picture: ServerPicture | None) -> float:
    return sum(switch.counters.get("accepted", 0.0) for switch in picture.switches) if picture else 0.0
