"""A whole cluster in one process and in virtual time: the real switches and the real group, in a simulated world.

A server is its primary switch, the secondary ones that it starts, and its part in the group. A network carries
heartbeats and may delay and lose them, or be cut between any two servers, in one direction or in both. What decides
and what writes is the code that is shipped; only processes, sockets and the store are simulated.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import msgspec

from nightmail.errors import StoreUnavailable
from nightmail.group.driver import Group
from nightmail.group.hearing import Hearing, Verdict
from nightmail.group.heartbeat import Heartbeat, QueuePulse, SwitchPulse
from nightmail.group.settings import Patience
from nightmail.group.view import Member, View
from nightmail.group.watching import Watcher
from nightmail.queue.settings import QueueSettings
from nightmail.store.settings import StoreSettings
from nightmail.switch.generations import Assignment
from sim.checkers import Ledger
from sim.crashing import Mortality, MortalStore
from sim.life import Client, Life
from sim.process import OUTSIDE, Process
from sim.store import SimulatedStore
from sim.store_faults import Chaos
from sim.timeline import Timeline
from sim.world import SeededRandomness, VirtualClock

STORE = StoreSettings(url="memory://", lease_s=1.0)
QUEUE = QueueSettings(retry_first_s=5.0, retry_max_s=20.0, destination_connections=5, delay_report_s=0.0)
_SECONDARY_STARTS_S = 0.5


class Network:
    """Carries heartbeats between servers. `cut` holds the (from, to) that are cut; `loss` is a share from 0 to 1.

    A server's host outlives it or does not: who knocks at it is refused, or hears nothing.
    """

    def __init__(self, chance: random.Random) -> None:
        self.cut: set[tuple[str, str]] = set()
        self.loss = 0.0
        self.longest_delay_s = 0.01
        self._chance = chance
        self._ears: dict[str, tuple[Process, Callable[[Heartbeat], None]]] = {}
        self._dead_hosts: set[str] = set()

    def join(self, server: str, process: Process, ear: Callable[[Heartbeat], None]) -> None:
        """Have a process hear what is sent to `server` from now on."""
        self._ears[server] = process, ear
        self._dead_hosts.discard(server)

    def leave(self, server: str, *, with_host: bool = False) -> None:
        """Hear nothing any more."""
        self._ears.pop(server, None)
        if with_host:
            self._dead_hosts.add(server)

    def send(self, sender: str, to: str, beat: Heartbeat, refused: Callable[[], None] | None = None) -> None:
        """Send one datagram; `refused` is called where it comes to a host on which nobody listens."""
        if (sender, to) in self.cut or self._chance.random() < self.loss:
            return
        delay_s = self._chance.random() * self.longest_delay_s
        asyncio.get_running_loop().call_later(delay_s, self._arrive, sender, to, beat, refused, context=OUTSIDE)

    def _arrive(self, sender: str, to: str, beat: Heartbeat, refused: Callable[[], None] | None) -> None:
        if to in self._ears:
            process, ear = self._ears[to]
            process.call(ear, beat)
        elif refused is not None and sender in self._ears and self._answers(to, sender):
            self._ears[sender][0].call(refused)

    def _answers(self, server: str, to: str) -> bool:
        """Whether a server's host can tell another that nobody listens."""
        return server not in self._dead_hosts and (server, to) not in self.cut


class Server:
    """One life of a server: from `start` to `crash` or `stop`. `clock` may run at a rate of its own."""

    def __init__(self, world: World, name: str, seed: int, rate: float = 1.0) -> None:
        self.name = name
        self.is_alive = True
        self.is_cut_off = False
        self.clock = VirtualClock(rate)
        self.adopted: list[str] = []
        self._world = world
        self._seed = seed
        self._mortality = Mortality()
        self.supervisor = Process(f"supervisor of {name} in life {seed}")
        self.store = SimulatedStore(world.archive, chaos=world.chaos)
        self.primary = self._life(seed)
        self.secondaries: dict[str, Life] = {}
        self._incarnation = f"server-life-{seed}"
        self._sequence = 0
        self._hearings = {peer: Hearing(self._incarnation) for peer in world.names if peer != name}
        self._state = "serving"
        store, randomness = MortalStore(self.store, self._mortality), SeededRandomness(seed + 500_000)
        members = {each: Member(each, "group") for each in world.names}
        view = View(name, "group", Patience(lease_s=STORE.lease_s), members)
        self.group = Group(view, store, Watcher(store, randomness, name), speaker=self, hands=self, clock=self.clock)

    def _life(self, seed: int, of: str = "") -> Life:
        assignment = Assignment(of, 1, 1, host=self.name) if of else Assignment(self.name, 0, 1)
        life = Life(
            self.store, self._world.ledger, server=self.name, seed=seed, mortality=self._mortality,
            store_settings=STORE, queue_settings=QUEUE, clock=self.clock, assignment=assignment, is_alone=False,
        )  # fmt: skip
        life.sink.answers = self._world.answers
        life.sink.takes_s = self._world.delivery_takes_s
        return life

    @property
    def lives(self) -> list[Life]:
        """Its switches."""
        return [self.primary, *self.secondaries.values()]

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to do here."""
        return all(life.is_idle for life in self.lives)

    def cut_off(self, *, hang: bool) -> None:
        """Put the store out of this server's reach; its calls hang, or fail."""
        self.is_cut_off = True
        self.store.cut(hang=hang)

    def restore(self) -> None:
        """Bring it back."""
        self.is_cut_off = False
        self.store.restore()

    def start(self) -> None:
        """Begin; mail is taken once the store lets it."""
        self._world.network.join(self.name, self.supervisor, self._heard)
        self.primary.process.task(self.primary.start())
        self.supervisor.task(self.group.run())

    async def crash(self) -> None:
        """Die, with every process, now; every second life takes its host with it."""
        self.is_alive = False
        self._mortality.crashed.set()
        self._world.network.leave(self.name, with_host=self._seed % 2 == 1)
        await self.supervisor.kill()
        for life in self.lives:
            if life.is_started:
                await life.crash()
            await life.process.kill()

    async def stop(self) -> None:
        """End in good order: settle, yield, and let the others go on."""
        self._state = "stopping"
        self.supervisor.call(self.group.drain)
        for life in self.lives:
            if life.is_started:
                await life.stop()
        self.is_alive = False
        await asyncio.sleep(0.5)
        self._world.network.leave(self.name)
        await self.supervisor.kill()

    @property
    def processes(self) -> list[Process]:
        """The supervisor, in which its part in the group runs, and its switches."""
        return [self.supervisor, *(life.process for life in self.lives)]

    def _heard(self, beat: Heartbeat) -> None:
        if self._hearings[beat.server].hear(beat, self._sequence) is Verdict.BELIEVED:
            self.group.heard(beat)

    def speak(self, beat: Heartbeat) -> None:
        """As `Speaker` promises."""
        if not self.is_alive:
            return
        self._sequence += 1
        for peer in self._hearings:
            self._world.network.send(self.name, peer, self._said_to(peer, beat))

    def knock(self, peer: str, beat: Heartbeat) -> None:
        """As `Speaker` promises."""
        if self.is_alive:
            self._sequence += 1
            said = self._said_to(peer, beat)
            self._world.network.send(self.name, peer, said, lambda: self._refused(peer))

    def _refused(self, peer: str) -> None:
        if self.is_alive:
            self.group.refused(peer)

    def _said_to(self, peer: str, beat: Heartbeat) -> Heartbeat:
        echo = self._hearings[peer].echo
        return msgspec.structs.replace(
            beat, incarnation=self._incarnation, sequence=self._sequence,
            echo_incarnation=echo[0], echo_sequence=echo[1],
        )  # fmt: skip

    def pulse(self) -> Heartbeat:
        """As `Hands` promises."""
        queues = tuple(
            QueuePulse(queue.name, number, queue.journal.epoch, queue.journal.next_slot - 1, len(queue.rounds))
            for number, life in enumerate(self.lives)
            for queue in life.switch.queues
        )
        switches = tuple(
            SwitchPulse(number, self._is_silent(life), any(queue.journal.is_cut_off for queue in life.switch.queues))
            for number, life in enumerate(self.lives)
        )
        return Heartbeat(self.name, "", 0, "", 0, self._state, "", switches, len(queues), 0, queues)

    def running(self) -> frozenset[str]:
        """As `Hands` promises."""
        return frozenset(queue.name for life in self.lives for queue in life.switch.queues)

    def _is_silent(self, life: Life) -> bool:
        since = life.process.frozen_since
        return since is not None and asyncio.get_running_loop().time() - since > STORE.lease_s / 2

    def prepare(self, queue: str, server: str) -> None:
        """As `Hands` promises."""
        life = self._life_for(server)
        life.process.call(life.switch.adoptions.prepare, queue)

    def forget(self, queue: str, server: str) -> None:
        """As `Hands` promises."""
        life = self._life_for(server)
        life.process.call(life.switch.adoptions.forget, queue)

    async def adopt(self, queue: str, server: str, tail: int) -> bool:
        """As `Hands` promises: a question to a process, and its answer."""
        life = self._life_for(server)
        await life.switch.is_ready.wait()
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def ask() -> None:
            life.process.task(self._adopt(life, queue, tail, answer))

        life.process.call(ask)
        return await answer

    async def _adopt(self, life: Life, queue: str, tail: int, answer: asyncio.Future[bool]) -> None:
        try:
            is_ours = await life.switch.adoptions.adopt(queue, tail)
        except StoreUnavailable:
            is_ours = False
        if is_ours:
            self.adopted.append(queue)
            self._world.adoptions.append((self.clock.elapsed(), self.name, queue))
        if not answer.done():
            answer.set_result(is_ours)

    def _life_for(self, server: str) -> Life:
        if server == self.name:
            return self.primary
        life = self.secondaries.get(server)
        if life is None:
            life = self.secondaries[server] = self._life(self._seed * 100 + len(self.secondaries) + 50, server)
            life.process.task(self._start_later(life))
        return life

    async def _start_later(self, life: Life) -> None:
        await asyncio.sleep(_SECONDARY_STARTS_S)
        await life.start()


class World:
    """Servers, their store, their network, and what the outside saw. `chance` decides everything that is not told."""

    def __init__(self, names: list[str], chance: random.Random, *, chaos: Chaos | None = None) -> None:
        self.names = names
        self.chance = chance
        self.chaos = chaos
        self.archive = Timeline()
        self.ledger = Ledger()
        self.network = Network(chance)
        self.answers: dict[str, Any] = {}
        self.servers: dict[str, Server] = {}
        self.adoptions: list[tuple[float, str, str]] = []
        self.delivery_takes_s: Callable[[], float] | None = None
        self._lives = 0
        self._messages = 0
        self._waiting: list[tuple[Client, Server]] = []

    def start(self, name: str, rate: float = 1.0) -> Server:
        """Begin a life of a server."""
        self._lives += 1
        server = self.servers[name] = Server(self, name, self._lives, rate)
        server.start()
        return server

    @property
    def alive(self) -> list[Server]:
        """The servers that run."""
        return [server for server in self.servers.values() if server.is_alive]

    def submit(self, server: Server, recipients: int = 1, *, again: Client | None = None) -> Client:
        """Hand a message to a server; `again` is the client who sends a letter once more."""
        self._messages += 1
        message_id = f"M{self._messages}"
        if again is not None:
            self.ledger.letters[message_id] = self.ledger.letters.get(again.id, again.id)
        client = server.primary.submit(message_id, recipients=recipients)
        self._waiting.append((client, server))
        return client

    @property
    def all_answered(self) -> bool:
        """Whether nobody waits for an answer that may still come."""
        return not any(server.is_alive and not client.has_heard for client, server in self._waiting)

    def hang_up(self) -> None:
        """One who waits for an answer waits no more."""
        silent = [client for client, server in self._waiting if server.is_alive and not client.has_heard]
        if silent:
            self.chance.choice(silent).is_gone = True

    def send_again(self, server: Server) -> None:
        """All who heard 4xx or nothing at all send their letters once more."""
        waiting, self._waiting = self._waiting, []
        for client, before in waiting:
            if client.answer == "250":
                continue
            if not client.answer and before.is_alive and not client.is_gone:
                self._waiting.append((client, before))
                continue
            if client.answer != "451":
                self.ledger.unanswered.add(client.id)
            self.submit(server, client.recipients, again=client)
