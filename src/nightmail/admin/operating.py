"""The use-cases of an operator, each carried out over all switches of the server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from nightmail import __version__
from nightmail.admin.answers import (
    ActionDone,
    DirectoryPicture,
    PeerPicture,
    QueuePage,
    ServerPicture,
    SwitchPicture,
    asked_of,
    picture_switch,
    state_of,
)
from nightmail.errors import ConfigInvalid
from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.net.control_messages import (
    Action,
    Listing,
    Metric,
    Page,
    Sample,
    Selection,
    Shown,
    SwitchStatus,
)
from nightmail.world import Clock

_STATUS_TIMEOUT_S = 1.0
_QUEUE_TIMEOUT_S = 30.0
PAGE_MAX = 1_000

_T = TypeVar("_T")


class Switch(Protocol):
    """One switch as its supervisor knows it."""

    @property
    def number(self) -> int:
        """Its place on this server, from 0."""
        ...

    @property
    def secondary_for(self) -> str:
        """The server whose queues it runs, empty for a primary switch."""
        ...

    @property
    def state(self) -> str:
        """What the supervisor knows of it."""
        ...

    @property
    def pid(self) -> int:
        """Its process, 0 while there is none."""
        ...

    @property
    def restarts(self) -> int:
        """How often it died and was started again."""
        ...

    async def request(self, method: str, params: Mapping[str, object] | None = None, timeout_s: float = 5.0) -> Any:
        """What the switch answers. Raises: SwitchSilent, RequestFailed."""
        ...


class Admin:
    """What can be asked of, and done to, the server `server`.

    `reload` compiles the tables and raises ConfigInvalid; `tables_fault` tells why the last attempt failed. `awaited`
    tells what has to come before any switch is started, and is empty once it has. `leaving` tells whether the server is
    draining or stopping, as a word, and is empty while it is not. `partners_are_well` tells whether another server
    serves, and reaches the store. `directory` tells of the directory, where there is one. `switches` may change at any
    time, also while they are asked.
    """

    def __init__(
        self,
        server: str,
        switches: Sequence[Switch],
        clock: Clock,
        *,
        peers: Callable[[], Sequence[PeerPicture]] = tuple,
        reload: Callable[[], Awaitable[None]],
        tables_fault: Callable[[], str] = lambda: "",
        awaited: Callable[[], str] = lambda: "",
        drain: Callable[[], Awaitable[None]] | None = None,
        hand_over: Callable[[str], Awaitable[bool]] | None = None,
        leaving: Callable[[], str] = lambda: "",
        partners_are_well: Callable[[], bool] = lambda: False,
        directory: Callable[[], DirectoryPicture | None] = lambda: None,
        promote: Callable[[bool], Awaitable[bool]] | None = None,
    ) -> None:
        self.partners_are_well = partners_are_well
        self.reload = reload
        self.leaving = leaving
        self.awaited = awaited
        self._drain = drain
        self._promote = promote
        self._hand_over = hand_over
        self._server = server
        self._switches = switches
        self._peers = peers
        self._tables_fault = tables_fault
        self._directory = directory
        self._clock = clock
        self._started = clock.elapsed()

    async def status(self) -> ServerPicture:
        """The server on one screen."""
        told = await self._ask_statuses()
        switches = _picture(told)
        directory = self._directory()
        if directory is not None:
            directory = msgspec.structs.replace(directory, asked=asked_of(switches))
        return ServerPicture(
            server=self._server,
            state=self.leaving() or state_of(switches),
            version=__version__,
            uptime_s=self._clock.elapsed() - self._started,
            tables=self._tables_fault() or "ok",
            switches=switches,
            queues=tuple(queue for _, status in told if status for queue in status.queues),
            peers=tuple(self._peers()),
            directory=directory,
        )

    async def promote(self, *, is_forced: bool) -> bool:
        """Have this server take writes to the directory; whether it does now.

        Raises: ConfigInvalid, StoreUnavailable.
        """
        if self._promote is None:
            raise ConfigInvalid("[directory]", "there is none", "mail is routed by [tables] here")
        return await self._promote(is_forced)

    async def drain(self) -> None:
        """Take no new mail and give every queue up; returns once that is done. Raises: RequestFailed: it can't."""
        if self._drain is None:
            raise RequestFailed("this server can't be drained")
        await self._drain()

    async def hand_over(self, queue: str) -> bool:
        """Give up a queue that was adopted; whether it was run here. Raises: RequestFailed, SwitchSilent."""
        return self._hand_over is not None and await self._hand_over(queue)

    async def switches(self) -> tuple[SwitchPicture, ...]:
        """The switches alone, as a balancer's question is answered from them."""
        return _picture(await self._ask_statuses())

    async def queue_list(self, listing: Listing) -> QueuePage:
        """One page of the messages that are meant, oldest first. Raises: SwitchSilent where nobody answered."""
        limit = max(1, min(listing.limit, PAGE_MAX))
        listing = msgspec.structs.replace(listing, limit=limit)
        pages, faults = await self._ask_all("queue_list", listing, Page)
        messages = sorted((row for page in pages for row in page.messages), key=lambda row: row.id)
        more = len(messages) > limit or any(page.more for page in pages)
        return QueuePage(messages=tuple(messages[:limit]), more=more, faults=faults)

    async def queue_count(self, selection: Selection) -> ActionDone:
        """How many messages are meant."""
        counts, faults = await self._ask_all("queue_count", selection, dict[str, int])
        return ActionDone(count=sum(count["count"] for count in counts), faults=faults)

    async def queue_show(self, message_id: str) -> Shown | None:
        """All that is known of one queued message; None where no switch has it."""
        answers, faults = await self._ask_all("queue_show", {"id": message_id}, Shown | None)
        found = next((shown for shown in answers if shown is not None), None)
        if found is None and faults:
            raise SwitchSilent("; ".join(faults))
        return found

    async def queue_act(self, action: Action, selection: Selection) -> ActionDone:
        """Do something to the messages that are meant. Raises: SwitchSilent where nobody answered."""
        done, faults = await self._ask_all("queue_act", {"action": action, "selection": selection}, dict[str, int])
        return ActionDone(count=sum(answer["count"] for answer in done), faults=faults)

    async def metrics(self) -> list[Metric]:
        """The metrics of all switches, each sample labelled with its switch, and those of the supervisor."""
        asked = list(self._switches)
        answers = await asyncio.gather(*(self._ask(switch, "metrics", {}, list[Metric]) for switch in asked))
        families: dict[str, Metric] = {metric.name: metric for metric in self._own_metrics()}
        for switch, metrics in zip(asked, answers, strict=True):
            for metric in metrics if not isinstance(metrics, str) else ():
                samples = [
                    Sample(s.suffix, {"switch": str(switch.number), **s.labels}, s.value) for s in metric.samples
                ]
                before = families.get(metric.name, metric).samples if metric.name in families else ()
                families[metric.name] = msgspec.structs.replace(metric, samples=(*before, *samples))
        return list(families.values())

    def _own_metrics(self) -> list[Metric]:
        def per_switch(value: Callable[[Switch], float]) -> tuple[Sample, ...]:
            return tuple(Sample("", {"switch": str(switch.number)}, value(switch)) for switch in self._switches)

        return [
            Metric(
                name="nightmail_switch_up",
                kind="gauge",
                help="Whether the switch serves.",
                samples=per_switch(lambda switch: switch.state == "serving"),
            ),
            Metric(
                name="nightmail_switch_restarts_total",
                kind="counter",
                help="How often the switch died and was started again.",
                samples=per_switch(lambda switch: switch.restarts),
            ),
        ]

    async def _ask_statuses(self) -> list[tuple[Switch, SwitchStatus | None]]:
        """Every switch there was when we began to ask, and what it says of itself."""
        asked = list(self._switches)
        return list(zip(asked, await asyncio.gather(*map(self._ask_status, asked)), strict=True))

    async def _ask_status(self, switch: Switch) -> SwitchStatus | None:
        if switch.state in ("starting", "restarting", "stopped"):
            return None
        answer = await self._ask(switch, "status", {}, SwitchStatus, _STATUS_TIMEOUT_S)
        return None if isinstance(answer, str) else answer

    async def _ask_all(self, method: str, params: object, kind: Any) -> tuple[list[Any], tuple[str, ...]]:
        answers = await asyncio.gather(*(self._ask(switch, method, params, kind) for switch in self._switches))
        faults = tuple(answer for answer in answers if isinstance(answer, str))
        if faults and len(faults) == len(answers):
            if leaving := self.leaving():
                raise SwitchSilent(
                    f"{self._server} is {leaving}: what it had is in its partners' queues, or on its way"
                )
            raise SwitchSilent("; ".join(faults))
        return [answer for answer in answers if not isinstance(answer, str)], faults

    async def _ask(
        self, switch: Switch, method: str, params: object, kind: type[_T], timeout_s: float = _QUEUE_TIMEOUT_S
    ) -> _T | str:
        """The answer of one switch, or in one sentence why there is none."""
        try:
            answer = await switch.request(method, msgspec.to_builtins(params), timeout_s)
            return msgspec.convert(answer, kind)
        except (SwitchSilent, RequestFailed, msgspec.ValidationError) as fault:
            return f"switch {switch.number}: {fault}"


def _picture(told: Sequence[tuple[Switch, SwitchStatus | None]]) -> tuple[SwitchPicture, ...]:
    return tuple(
        picture_switch(
            switch.number, switch.state, switch.pid, switch.restarts, status, secondary_for=switch.secondary_for
        )
        for switch, status in told
    )
