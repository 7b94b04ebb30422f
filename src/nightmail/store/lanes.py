"""Threads for calls that may block, so that the event loop never does.

A call that hangs (an NFS server gone, a disk that retries) holds its own thread and nothing else: as long as fewer
than `max_threads` calls hang, every other call finds a free thread or a new one. Beyond that bound calls wait their
turn, in order. Threads are kept once started; the one that was free last is taken first, being warm.

A thread is handed its call through a queue of its own and answers by `call_soon_threadsafe`: that is a third of the
event loop's time that concurrent.futures takes for the same.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import suppress
from queue import SimpleQueue
from typing import Any, NamedTuple, TypeVar

from nightmail.errors import StoreUnavailable

T = TypeVar("T")


class _Call(NamedTuple):
    steps: Generator[Any, None, None]
    answer: asyncio.Future[Any]


class Lanes:
    """A bounded set of threads that run blocking calls for the event loop."""

    def __init__(self, name: str, max_threads: int) -> None:
        self._name = name
        self._max_threads = max_threads
        self._lock = threading.Lock()
        self._threads: list[_Thread] = []
        self._free: list[_Thread] = []
        self._backlog: deque[_Call] = deque()
        self._closed = False

    def call(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Run a function in a thread; the future gets what it returns or raises."""
        return self.call_in_steps(_one_step(function, arguments))

    def call_in_steps(self, steps: Generator[T, None, None]) -> asyncio.Future[T]:
        """Run a generator in a thread; the future gets what it yields first.

        What comes after that yield is tidying up that nobody waits for: its OSErrors are dropped.
        Raises: StoreUnavailable, at once, if the system gives no more threads.
        """
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        call = _Call(steps, answer)
        with self._lock:
            if self._closed:
                raise RuntimeError("the store is closed")
            if self._free:
                thread = self._free.pop()
            elif len(self._threads) < self._max_threads:
                thread = self._one_more()
            else:
                self._backlog.append(call)
                return answer
        thread.inbox.put(call)
        return answer

    def _one_more(self) -> _Thread:
        try:
            thread = _Thread(self, f"{self._name}-{len(self._threads)}")
        except RuntimeError as error:
            raise StoreUnavailable(f"no thread for a call to the store: {error}") from error
        self._threads.append(thread)
        return thread

    def next_call(self, thread: _Thread) -> _Call | None:
        """What a thread that has become free does next; None: nothing more will come. Blocks."""
        with self._lock:
            if self._backlog:
                return self._backlog.popleft()
            if self._closed:
                return None
            self._free.append(thread)
        return thread.inbox.get()

    async def close(self) -> None:
        """Wait for the calls under way and those behind them, then end the threads."""
        with self._lock:
            self._closed = True
            free, self._free = self._free, []
        for thread in free:
            thread.inbox.put(None)
        for thread in self._threads:
            await asyncio.wrap_future(thread.ended)
            thread.join()


class _Thread:
    """One lane. A daemon: a process that has to end does not wait for a file system that is gone."""

    def __init__(self, lanes: Lanes, name: str) -> None:
        self.inbox: SimpleQueue[_Call | None] = SimpleQueue()
        self.ended: Future[None] = Future()
        self._thread = threading.Thread(target=self._run, args=(lanes,), name=name, daemon=True)
        self._thread.start()

    def join(self) -> None:
        """Wait for the last instants of a thread that has ended its work."""
        self._thread.join()

    def _run(self, lanes: Lanes) -> None:
        call = self.inbox.get()
        while call is not None:
            _perform(call)
            call = lanes.next_call(self)
        self.ended.set_result(None)


def _one_step(function: Callable[..., T], arguments: tuple[object, ...]) -> Generator[T, None, None]:
    yield function(*arguments)


def _perform(call: _Call) -> None:
    loop = call.answer.get_loop()
    try:
        result = next(call.steps)
    except BaseException as error:  # noqa: BLE001 - whoever awaits the answer gets it
        _tell(loop, _raise_in, call.answer, error)
        return
    _tell(loop, _answer, call.answer, result)
    with suppress(OSError):
        next(call.steps, None)


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *arguments: object) -> None:
    with suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
        loop.call_soon_threadsafe(what, *arguments)


def _answer(answer: asyncio.Future[Any], result: object) -> None:
    if not answer.done():
        answer.set_result(result)


def _raise_in(answer: asyncio.Future[Any], error: BaseException) -> None:
    if not answer.done():
        answer.set_exception(error)
