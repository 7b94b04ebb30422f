"""An event loop whose time is virtual: hours pass in an instant, and every run of a story is the same.

Time stands still while anything is ready to run and jumps to the next timer when nothing is. There are no threads
and no sockets in it: what would wait for the outside world is refused.
"""

from __future__ import annotations

import asyncio
import functools
import selectors
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from typing import ParamSpec, TypeVar, TypeVarTuple

P = ParamSpec("P")
T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_START_S = 1_000.0
_LONGEST_STORY_S = 200_000.0


class StandsStill(RuntimeError):
    """Nothing is left to happen, or nothing but ticking, and the story has not ended."""


class _Instant(selectors.DefaultSelector):
    """Waits for nothing: the time that a select may take has passed at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = _START_S
        self._end_s = _START_S + _LONGEST_STORY_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise StandsStill("nothing is left to happen, and the story has not ended")
        self.now_s += max(timeout, 0.0)
        if self.now_s > self._end_s:
            self._end_s = float("inf")  # what is left to do is to tidy up
            raise StandsStill(f"the story goes on for longer than {_LONGEST_STORY_S:.0f} virtual seconds")
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting costs nothing."""

    def __init__(self) -> None:
        self._instant = _Instant()
        super().__init__(self._instant)

    def time(self) -> float:
        """Virtual seconds."""
        return self._instant.now_s

    def run_in_executor(self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts) -> asyncio.Future[T]:
        """Threads have no virtual time. Raises: RuntimeError."""
        raise RuntimeError(f"{func!r} was sent to a thread, out of virtual time")


def run(story: Awaitable[T]) -> T:
    """Run a story from beginning to end in virtual time."""

    async def tell() -> T:
        return await story

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
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
