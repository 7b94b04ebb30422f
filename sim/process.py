"""Processes on one virtual loop: each can be stopped as by SIGSTOP, go on as by SIGCONT, and be killed.

What belongs to a process is known by its context, which tasks, timers and callbacks inherit from whoever makes them.
While a process is frozen nothing of it runs: its timers fall due, its calls are answered and data arrives for it, and
all that waits. What it sent before goes its way. When it thaws, everything comes at once, and its clocks have gone on.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, TypeVarTuple

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_PROCESS: contextvars.ContextVar[Process | None] = contextvars.ContextVar("process", default=None)
_MANY_TASKS = 200

OUTSIDE = contextvars.Context()
"""Where things happen that are no process's: datagrams and requests under way, the inside of a store."""


class Process:
    """Something that runs for itself. `frozen_since` is in the loop's seconds, None while it runs."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen_since: float | None = None
        self.is_dead = False
        self._held: list[asyncio.Handle] = []
        self._tasks: list[asyncio.Task[Any]] = []
        self._context = contextvars.copy_context()
        self._context.run(_PROCESS.set, self)

    @property
    def is_frozen(self) -> bool:
        """Whether it is stopped."""
        return self.frozen_since is not None

    def freeze(self) -> None:
        """Stop it, between two steps of it."""
        if self.frozen_since is None:
            self.frozen_since = asyncio.get_running_loop().time()

    def thaw(self, *, timers_first: bool = False) -> None:
        """Let it go on: all that came for it meanwhile comes at once, in that order or the timers before the rest."""
        if self.frozen_since is None:
            return
        loop = asyncio.get_running_loop()
        self.frozen_since = None
        held, self._held = self._held, []
        if timers_first:
            held.sort(key=lambda handle: not isinstance(handle, asyncio.TimerHandle))
        for handle in held:
            loop.call_soon(_perform, handle, context=OUTSIDE)

    def hold(self, handle: asyncio.Handle) -> None:
        """Keep what was to run until it thaws."""
        self._held.append(handle)

    def call(self, callback: Callable[[*Ts], object], *arguments: *Ts) -> None:
        """Have something done in this process: now, or once it thaws."""
        if self.is_frozen:
            self.hold(asyncio.Handle(callback, arguments, asyncio.get_running_loop(), self._context.copy()))
        else:
            self._context.copy().run(callback, *arguments)

    def task(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin something in this process."""
        return self._context.copy().run(asyncio.get_running_loop().create_task, work)

    def own(self, task: asyncio.Task[Any]) -> None:
        """Take note of a task that began in this process."""
        if len(self._tasks) > _MANY_TASKS:
            self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(task)

    async def kill(self) -> None:
        """End all that it does. Whoever kills it sees to it that nothing of it has an effect any more."""
        self.thaw()
        # Who is cancelled may begin something to tidy up.
        while tasks := [task for task in self._tasks if not task.done()]:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.is_dead = True


def _perform(handle: asyncio.Handle) -> None:
    if not handle.cancelled():
        handle._run()


def current() -> Process | None:
    """The process in which this runs."""
    return _PROCESS.get()


def process_of(context: contextvars.Context) -> Process | None:
    """The process to which a context belongs."""
    return context.get(_PROCESS)
