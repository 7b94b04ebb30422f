"""What can become of one call of a store: the test decides, or chance does."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal, TypeVar

from nightmail.errors import StoreUnavailable
from nightmail.store.protocol import NotFound, PutBroken, PutFailed, PutUnknown
from sim.process import OUTSIDE

T = TypeVar("T")
Operation = Literal["put_new", "put_body", "get_range", "list_after", "delete", "free_bytes"]
PUTS = ("put_new", "put_body")


class Fate(Enum):
    """How a call ends that is not held."""

    LOST_AFTER_LANDING = "it took effect, its answer is lost"
    LOST_BEFORE_LANDING = "it never takes effect, and the caller can't tell"
    FAILED = "it never takes effect, and the caller knows"
    BROKEN = "it is visible, and maybe not durable"


class Held:
    """A call that stands still until the test lets it go."""

    def __init__(self, operation: Operation, key_part: str) -> None:
        self.operation = operation
        self.key_part = key_part
        self.key = ""
        self._reached = asyncio.Event()
        self._effect: Callable[[], Any] | None = None
        self._outcome: tuple[Any, Exception | None] | None = None
        self._answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    async def reached(self) -> None:
        """Wait until the call has been made."""
        await self._reached.wait()

    @property
    def is_reached(self) -> bool:
        """Whether the call has been made."""
        return self._reached.is_set()

    def land(self) -> Any:
        """Let the effect happen now; the caller hears nothing of it yet. Even after `lose`, even if it was cancelled.

        Raises: what the effect raises.
        """
        if self._effect is None:
            raise RuntimeError(f"no {self.operation} of {self.key_part!r} has been made yet")
        if self._outcome is None:
            try:
                self._outcome = (self._effect(), None)
            except Exception as error:  # noqa: BLE001 - kept for the caller, who is answered later
                self._outcome = (None, error)
        result, raised = self._outcome
        if raised is not None:
            raise raised
        return result

    def answer(self) -> None:
        """Let the effect happen, if it hasn't, and tell the caller what came of it."""
        try:
            result = self.land()
        except (StoreUnavailable, NotFound) as error:
            self._raise(error)
        else:
            if not self._answer.done():
                self._answer.set_result(result)

    def lose(self) -> None:
        """Tell the caller that nobody knows. The effect stays as it is: landed, to be landed later, or never."""
        self._raise(unknown(self.operation, self.key))

    def fail(self) -> None:
        """Tell the caller that it will never take effect, and see to it."""
        error = failed(self.operation, self.key)
        if self._outcome is None:
            self._outcome = (None, error)
        self._raise(error)

    def spoil(self) -> None:
        """Let the effect happen, and tell the caller that its durability is in doubt."""
        self.land()
        self._raise(PutBroken(f"{self.key}: fsync of the directory"))

    def _raise(self, error: Exception) -> None:
        if not self._answer.done():
            self._answer.set_exception(error)

    async def stand(self, key: str, effect: Callable[[], T]) -> T:
        """The call's side: be there, and wait for what the test decides."""
        self.key = key
        self._effect = effect
        self._reached.set()
        result: T = await self._answer
        return result


@dataclass
class Chaos:
    """Chance, from one seed. Delays are drawn for call and answer, each up to `delay_s`.

    Of the puts a share is lost, and of these a third landed before, a third lands up to `late_s` later, a third
    never does; another share fails for certain. Of the other calls the same share fails.
    """

    chance: random.Random
    delay_s: float = 0.01
    late_s: float = 1.0
    lost_share: float = 0.05
    failed_share: float = 0.02

    @classmethod
    def none(cls) -> Chaos:
        """All goes well, and at once."""
        return cls(random.Random(0), delay_s=0.0, lost_share=0.0, failed_share=0.0)

    def delay(self, operation: Operation) -> float:
        """How long a call is on its way, or its answer is."""
        return self.chance.uniform(0, self.delay_s)


@dataclass
class Slow(Chaos):
    """Puts that take 100 to 300 ms, and a few of them up to some seconds; nothing is lost."""

    lost_share: float = 0.0
    failed_share: float = 0.0

    def delay(self, operation: Operation) -> float:
        """Half of it on the way to the store, half of it on the way back."""
        if operation not in PUTS:
            return super().delay(operation)
        tail_s = min(0.02 * self.chance.paretovariate(1.1), 3.0)
        return self.chance.uniform(0.04, 0.13) + tail_s


@dataclass
class Stalling(Chaos):
    """Quick puts, but for one in a while that stalls for `stall_s`, and with every other of these all puts do."""

    lost_share: float = 0.0
    failed_share: float = 0.0
    stall_s: float = 1.5
    stalled_share: float = 0.03
    stalled_until: float = 0.0

    def delay(self, operation: Operation) -> float:
        """Before the effect or after it."""
        delay_s = super().delay(operation)
        if operation not in PUTS:
            return delay_s
        now = asyncio.get_running_loop().time()
        is_stalled = self.chance.random() < self.stalled_share
        if is_stalled and self.chance.random() < 0.5:
            self.stalled_until = max(self.stalled_until, now + self.stall_s)
        stall_s = self.stall_s if is_stalled else self.stalled_until - now
        return delay_s + max(0.0, stall_s)


def unknown(operation: Operation, key: str) -> StoreUnavailable:
    """What a caller is told whose answer is lost."""
    return PutUnknown(f"{key}: no answer") if operation in PUTS else StoreUnavailable(f"{operation} {key}: no answer")


def failed(operation: Operation, key: str) -> StoreUnavailable:
    """What a caller is told whose call came to nothing."""
    return PutFailed(f"{key}: failed") if operation in PUTS else StoreUnavailable(f"{operation} {key}: failed")


def meet(fate: Fate, operation: Operation, key: str, happen: Callable[[], T]) -> T:
    """End a call as it was decided."""
    if fate in (Fate.LOST_AFTER_LANDING, Fate.BROKEN):
        happen()
    if fate is Fate.FAILED:
        raise failed(operation, key)
    if fate is Fate.BROKEN:
        raise PutBroken(f"{key}: fsync of the directory")
    raise unknown(operation, key)


def suffer(
    chaos: Chaos, operation: Operation, key: str, happen: Callable[[], T], answer: asyncio.Future[T]
) -> asyncio.Future[T]:
    """Let chance decide how a call ends, and when. It goes its way whatever becomes of the process that made it."""
    loop = asyncio.get_running_loop()
    loop.call_later(chaos.delay(operation), _arrive, chaos, operation, key, happen, answer, context=OUTSIDE)
    return answer


def _arrive(chaos: Chaos, operation: Operation, key: str, happen: Callable[[], T], answer: asyncio.Future[T]) -> None:
    """The call has reached the store."""
    loop, chance = asyncio.get_running_loop(), chaos.chance
    drawn = chance.random()
    if drawn < chaos.failed_share:
        _tell(answer, failed(operation, key))
    elif operation not in PUTS or drawn >= chaos.failed_share + chaos.lost_share:
        try:
            result = happen()
        except (NotFound, PutFailed) as error:
            _tell(answer, error)
        else:
            loop.call_later(chaos.delay(operation), _tell, answer, result, context=OUTSIDE)
    else:
        match chance.randrange(3):
            case 0:
                happen()
            case 1:
                loop.call_later(chance.uniform(0, chaos.late_s), _land_late, happen, context=OUTSIDE)
        _tell(answer, unknown(operation, key))


def _tell(answer: asyncio.Future[T], result: T | Exception) -> None:
    """Give the caller its answer, if it still waits for one."""
    if answer.done():
        return
    if isinstance(result, Exception):
        answer.set_exception(result)
    else:
        answer.set_result(result)


def _land_late(happen: Callable[[], object]) -> None:
    with suppress(PutFailed):
        happen()
