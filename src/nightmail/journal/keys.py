"""The names of queues and the keys under which their parts lie in the store."""

from __future__ import annotations

import re
from typing import NamedTuple

QUEUES = "queues/"
_SLOT_DIGITS = 20
_NAME = re.compile(r"([A-Za-z0-9-]+)\.([0-9]+)\.([0-9]+)\Z")


class QueueName(NamedTuple):
    """`SERVER.SWITCH.GENERATION`, for example `mx1.0.1`."""

    server: str
    switch: int
    generation: int

    @classmethod
    def parse(cls, text: str) -> QueueName | None:
        """The name that `text` spells, or None if it spells none."""
        match = _NAME.match(text)
        return cls(match[1], int(match[2]), int(match[3])) if match else None

    def __str__(self) -> str:
        return f"{self.server}.{self.switch}.{self.generation}"


def log_prefix(queue: str) -> str:
    """What the keys of all segments of `queue` begin with."""
    return f"{QUEUES}{queue}/log/"


def slot_key(queue: str, slot: int) -> str:
    """Where the segment in `slot` lies; keys sort as slots do."""
    return f"{QUEUES}{queue}/log/{slot:0{_SLOT_DIGITS}d}"


def slot_of(key: str) -> int | None:
    """The slot that `key` stands for, or None where it is no segment's."""
    digits = key.rpartition("/")[2]
    return int(digits) if len(digits) == _SLOT_DIGITS and digits.isdigit() else None


def body_prefix(queue: str) -> str:
    """What the keys of all large bodies of `queue` begin with."""
    return f"{QUEUES}{queue}/body/"


def body_key(queue: str, message_id: str) -> str:
    """Where a large body is streamed to."""
    return f"{QUEUES}{queue}/body/{message_id}"


def drops_key(queue: str) -> str:
    """Where its own server notes that every drop file that `queue` names is gone, for a partner that runs the queue."""
    return f"drops/{queue}"


def queue_of(key: str) -> str:
    """The name of the queue that `key` belongs to."""
    return key[len(QUEUES) :].partition("/")[0]
