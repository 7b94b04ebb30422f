"""One life of a switch process, from its start to its end or its crash: the real switch in a simulated world.

The store, the clock, chance, the destinations and the clients are simulated; everything between them is the code
that is shipped. A life that crashed reaches nobody any more: not the store, no client, no destination.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import google_crc32c

from nightmail.delivery.discard import RIGHT_LAPSED
from nightmail.delivery.job import Job, OutcomeKind, settle_all
from nightmail.errors import SwitchError
from nightmail.journal.ownership import Adopter, Identity
from nightmail.journal.records import BodyPlace
from nightmail.mail.envelope import Envelope
from nightmail.mail.message_id import MessageIds
from nightmail.mail.reply import Reply
from nightmail.queue.backoff import Backoff
from nightmail.queue.destinations import Destinations
from nightmail.queue.settings import QueueSettings
from nightmail.routing.model import ClientRule
from nightmail.routing.route import Route
from nightmail.routing.snapshot import Accepted
from nightmail.smtp.settings import SmtpSettings
from nightmail.store.protocol import Store
from nightmail.store.settings import StoreSettings
from nightmail.switch.admission import Admission
from nightmail.switch.attempts import Attempt
from nightmail.switch.generations import Assignment
from nightmail.switch.health import DestinationHealth
from nightmail.switch.liveness import Machine
from nightmail.switch.parts import Parts, Routing
from nightmail.switch.switch import Switch
from nightmail.world import Clock
from sim.checkers import Dot, Ledger
from sim.crashing import Mortality, MortalStore
from sim.letters import envelope_of
from sim.process import OUTSIDE, Process
from sim.world import SeededRandomness, VirtualClock

TAKEN = Reply(250, "2.0.0", "taken")
REFUSED = Reply(550, "5.1.1", "no such user here")
BUSY = Reply(450, "4.2.1", "busy")
UNHEARD = Reply(451, "4.4.2", "no answer to the message")
BODY = b"Received: by mx1\r\nSubject: hello\r\n\r\nhello\r\n"
SINK = Route(kind="smtp", host="sink", port=25, destination="smtp:[sink]:25")
_REPLIES: dict[OutcomeKind, Reply] = {"delivered": TAKEN, "failed": REFUSED, "deferred": BUSY, "ambiguous": UNHEARD}


class Routes:
    """A routing snapshot: everything is taken as it is and goes to the sink, unless the test says otherwise."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.taken: dict[str, Accepted | Reply] = {}
        self.policies: dict[str, float] = {}

    def client_rule(self, ip: str) -> ClientRule:
        """Everybody may relay."""
        return "relay"

    def accept(self, address: str, *, may_relay: bool) -> Accepted | Reply:
        """What `taken` says, or the address as it is."""
        return self.taken.get(address, Accepted((address,)))

    def route(self, address: str) -> Route:
        """To the sink."""
        return self.routes.get(address, SINK)

    def forget(self) -> None:
        """Nothing is remembered."""

    def close(self) -> None:
        """Nothing to let go of."""


class Sink:
    """A destination: takes every message, unless told to answer otherwise, and notes in the ledger what it took.

    `takes_s` draws the seconds from the first octet to the dot, and from there to the answer; None: no time at all.
    """

    def __init__(self, ledger: Ledger, mortality: Mortality, sender: str) -> None:
        self.answers: dict[str, OutcomeKind] = {}
        self.holds = False
        self.held: list[Job] = []
        self.jobs: list[Job] = []
        self._decided: dict[Job, dict[int, OutcomeKind]] = {}
        self.takes_s: Callable[[], float] | None = None
        self._ledger = ledger
        self._mortality = mortality
        self._sender = sender

    def deliver(self, route: Route, job: Job) -> None:
        """As `Transport.deliver` promises."""
        self.jobs.append(job)
        if self.holds:
            self.held.append(job)
        else:
            self._later(self.transmit, job)

    def transmit(self, job: Job) -> None:
        """Send the message, final dot included, and hear the answer."""
        if not self.send_dot(job):
            return
        if self.takes_s is None:
            self.answer(job)
        else:
            self._later(self.answer, job)

    def _later(self, step: Callable[[Job], None], job: Job) -> None:
        loop = asyncio.get_running_loop()
        if self.takes_s is None:
            loop.call_soon(step, job)
        else:
            loop.call_later(self.takes_s(), step, job)

    def send_dot(self, job: Job) -> bool:
        """Write the final dot, if the right to deliver stands; whether the process lived to see the answer."""
        if self._mortality.crashed.is_set():
            return False
        if not job.may_finish():
            job.finished(settle_all(job, "deferred", RIGHT_LAPSED))
            return False
        job.finishing()
        dies = self._mortality.step(f"dot {job.id}")
        if not dies or self._mortality.takes_effect:
            # What was decided at the dot is what is answered later, whatever the mood is then.
            kinds = self._decided[job] = {index: self._kind(job, index) for index in job.recipients}
            taken = [index for index, kind in kinds.items() if kind in ("delivered", "ambiguous")]
            self._ledger.deliver(job.id, *taken)
            if isinstance(job, Attempt):
                queue = job.round.queue.name
                self._ledger.dots.append(Dot(job.id, queue, self._sender, asyncio.get_running_loop().time()))
        return not dies

    def answer(self, job: Job) -> None:
        """Tell the switch what became of each recipient."""
        if not self._mortality.crashed.is_set():
            kinds = self._decided.pop(job)
            job.finished([settle_all(job, kind, _REPLIES[kind], "sink", (index,))[0] for index, kind in kinds.items()])

    async def close(self) -> None:
        """Nothing is kept open."""

    def _kind(self, job: Job, index: int) -> OutcomeKind:
        return self.answers.get(job.envelope.recipients[index].address, "delivered")


class Client:
    """Who hands a message over, and notes the answer in the ledger."""

    def __init__(self, ledger: Ledger, mortality: Mortality, message_id: str, recipients: int) -> None:
        self.id = message_id
        self.answer = ""
        self.is_gone = False
        self._ledger = ledger
        self._mortality = mortality
        self.recipients = recipients

    @property
    def has_heard(self) -> bool:
        """Whether the session is over: there was an answer, or the switch saw that nobody was there."""
        return bool(self.answer) or self.id in self._ledger.gone

    def accepted(self, message_id: str) -> bool:
        """Hear 250, unless gone, or cut off by the crash of the switch."""
        if self.is_gone:
            self._ledger.gone.add(self.id)
            return False
        if self._mortality.crashed.is_set():
            self._ledger.unanswered.add(self.id)
            return False
        self.answer = "250"
        self._ledger.acknowledge(self.id, self.recipients)
        return True

    def refused(self, error: SwitchError) -> None:
        """Hear 451."""
        if not self._mortality.crashed.is_set():
            self.answer = "451"
            self._ledger.refused.add(self.id)

    def left_unanswered(self) -> None:
        """Be cut off."""
        self.is_gone = True
        self.answer = "unanswered"
        self._ledger.unanswered.add(self.id)


class ObservedSwitch(Switch):
    """A switch whose unforeseen errors end the test instead of the process."""

    failure: BaseException | None = None

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.failure = self.failure or task.exception()


class Life:
    """A switch at work. `server` is its name, `seed` makes its nonces and ids differ from those of other lives.

    `assignment` tells which queues it runs, by default the server's own; `is_alone`, that there is no other server.
    """

    def __init__(
        self,
        store: Store,
        ledger: Ledger,
        *,
        server: str = "mx1",
        seed: int = 1,
        mortality: Mortality | None = None,
        store_settings: StoreSettings | None = None,
        queue_settings: QueueSettings | None = None,
        clock: Clock | None = None,
        switch_class: type[ObservedSwitch] = ObservedSwitch,
        assignment: Assignment | None = None,
        is_alone: bool = True,
    ) -> None:
        self.ledger = ledger
        self.mortality = mortality or Mortality()
        self.process = Process(f"{server} in life {seed}")
        self.sink = Sink(ledger, self.mortality, self.process.name)
        self.routes = Routes()
        self.clock = clock or VirtualClock()
        randomness = SeededRandomness(seed)
        queue = queue_settings or QueueSettings()
        settings = store_settings or StoreSettings(url="memory://")
        destinations: Destinations[Attempt] = Destinations(queue, randomness)
        self.parts = Parts(
            hostname=f"{server}.example.net",
            store=MortalStore(store, self.mortality),
            clock=self.clock,
            randomness=randomness,
            ids=MessageIds(self.clock, randomness),
            store_settings=settings,
            queue_settings=queue,
            destinations=destinations,
            backoff=Backoff(queue, randomness),
            health=DestinationHealth(destinations, self.clock),
            transports=dict.fromkeys(("smtp", "lmtp", "maildir", "discard", "reject"), self.sink),
            routing=Routing(self.routes),
        )
        identity = Identity(server, f"life-{seed}", "", "", "")
        adopter = Adopter(
            self.parts.store, self.clock, randomness, identity, promise_ms=int(settings.lease_s * 1000)
        )  # fmt: skip
        self.admission = Admission(SmtpSettings())
        self.switch = switch_class(
            self.parts,
            adopter,
            Machine("", ""),
            assignment or Assignment(server, 0, 1),
            self.admission,
            is_alone=is_alone,
        )
        self._tasks: list[asyncio.Task[Any]] = []

    async def start(self) -> Life:
        """Begin to work; returns once mail is taken, or once the process is dead."""
        loop = asyncio.get_running_loop()
        # What ends a process is no part of it.
        dying = loop.create_task(self._die(), context=OUTSIDE.copy())
        self._tasks = [self.process.task(self.switch.run()), dying]
        ready = loop.create_task(self.switch.is_ready.wait())
        try:
            await asyncio.wait([ready, self._tasks[1]], return_when=asyncio.FIRST_COMPLETED)
        finally:
            ready.cancel()
        return self

    def submit(
        self, message_id: str = "", *, recipients: int = 1, sender: str | None = None, envelope: Envelope | None = None
    ) -> Client:
        """Hand a message over."""
        message_id = message_id or self.parts.ids.next()
        envelope = envelope or envelope_of(message_id, recipients, sender)
        client = Client(self.ledger, self.mortality, message_id, len(envelope.recipients))
        place = BodyPlace(len(BODY), google_crc32c.value(BODY))
        self.process.call(self.switch.submit, message_id, envelope, BODY, place, client)
        return client

    @property
    def is_started(self) -> bool:
        """Whether it began to work."""
        return bool(self._tasks)

    @property
    def is_idle(self) -> bool:
        """Whether every queue that is run here is drained."""
        return all(queue.is_drained for queue in self.switch.queues)

    async def stop(self) -> None:
        """End in good order."""
        self._tasks[0].cancel()
        await self.process.task(self.switch.stop())
        await self._cancel(self._tasks)
        await self.process.kill()
        self._complain()

    async def crash(self) -> None:
        """Die now."""
        self.mortality.crashed.set()
        await asyncio.wait([self._tasks[1]])
        self._complain()

    def _complain(self) -> None:
        if self.switch.failure is not None:
            raise self.switch.failure

    async def _die(self) -> None:
        await self.mortality.crashed.wait()
        for queue in self.switch.queues:
            queue.journal.abandon()
        await self.process.kill()

    async def _cancel(self, tasks: list[asyncio.Task[Any]]) -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
