"""An event loop whose time is virtual: hours pass in an instant, and every run of a story is the same.

Time stands still while anything is ready to run and jumps to the next timer when nothing is. There are no threads
and no sockets in it: what would wait for the outside world is refused. Processes that share it can be frozen.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import heapq
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import Executor
from typing import Any, ParamSpec, TypeVar, TypeVarTuple

from sim.process import Process, current, process_of

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_START_S = 1_000.0
_LONGEST_STORY_S = 200_000.0


class StandsStill(RuntimeError):
    """Nothing is left to happen, or nothing but ticking, and the story has not ended."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting costs nothing."""

    _ready: deque[asyncio.Handle]

    def __init__(self) -> None:
        self._now_s = _START_S
        self._end_s = _START_S + _LONGEST_STORY_S
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._holding: dict[Process, None] | None = {}
        super().__init__()

    def time(self) -> float:
        """Virtual seconds."""
        return self._now_s

    def call_soon(
        self, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """As ever, without what a real loop has to look after."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """See `call_at`."""
        return self.call_at(self._now_s + delay, callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[[*Ts], object], *args: *Ts, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        """Timers that fall due at the same instant run in the order in which they were made."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._numbers), timer))
        return timer

    def create_task(self, coro: Coroutine[Any, Any, T], **named: Any) -> asyncio.Task[T]:  # type: ignore[override]
        """As ever, and the process in which it begins knows of it."""
        task: asyncio.Task[T] = super().create_task(coro, **named)
        context = named.get("context")
        if (process := current() if context is None else process_of(context)) is not None:
            process.own(task)
        return task

    def _run_once(self) -> None:
        """One turn: what is ready and what is due, but for what belongs to frozen and dead processes.

        An error that a callback raises ends the story: nobody else would hear of it.
        """
        ready, timers = self._ready, self._timers
        if not ready:
            self._pass_time()
        while timers and timers[0][0] <= self._now_s:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if handle._cancelled:
                continue
            context: contextvars.Context = handle._context  # type: ignore[attr-defined]  # `get_context` since 3.12
            process = process_of(context)
            if process is not None and process.is_dead:
                continue
            if process is not None and process.is_frozen and self._holding is not None:
                self._holding[process] = None
                process.hold(handle)
            else:
                context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]  # as `_run` does

    def thaw_for_good(self) -> None:
        """Let everything run that is left: the story is over, and what is frozen would never end."""
        holding, self._holding = self._holding or {}, None
        for process in holding:
            process.thaw()

    def _pass_time(self) -> None:
        timers = self._timers
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not timers:
            raise StandsStill("nothing is left to happen, and the story has not ended")
        self._now_s = max(self._now_s, timers[0][0])
        if self._now_s > self._end_s:
            self._end_s = float("inf")  # what is left to do is to tidy up
            raise StandsStill(f"the story goes on for longer than {_LONGEST_STORY_S:.0f} virtual seconds")

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Threads have no virtual time. Raises: RuntimeError."""
        raise RuntimeError(f"{func!r} was sent to a thread, out of virtual time")


def run(story: Awaitable[T]) -> T:
    """Run a story from beginning to end in virtual time."""

    async def tell() -> T:
        try:
            return await story
        finally:
            loop.thaw_for_good()

    loop = VirtualLoop()
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        return runner.run(tell())


def in_virtual_time(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run the test on a virtual loop of its own."""

    @functools.wraps(test)
    def told(*arguments: P.args, **named: P.kwargs) -> None:
        run(test(*arguments, **named))

    return told


async def until(condition: Callable[[], bool], *, within_s: float = 600.0, step_s: float = 0.001) -> None:
    """Let time pass until `condition` holds. Raises: TimeoutError, when virtual time says so."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + within_s
    while not condition():
        if loop.time() > deadline_s:
            raise TimeoutError(f"not so within {within_s} virtual seconds")
        await asyncio.sleep(step_s)
