"""What is to be seen at one moment of the demonstration."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from nightmail.admin.answers import ServerPicture

_REMEMBERED = 44  # as many as leave room for words and numbers on 80 columns


@dataclass
class ServerScene:
    """One server: `word` is what became of it, `picture` what it last told, None where nobody answers.

    `left` are the queues, with their messages, that it left when it died and nobody has adopted yet.
    """

    name: str
    word: str = "starting"
    picture: ServerPicture | None = None
    left: dict[str, int] = field(default_factory=dict)
    accepts: deque[float] = field(default_factory=lambda: deque([0.0] * _REMEMBERED, _REMEMBERED))


@dataclass
class Scene:
    """The stage: mutable, and shown several times a second. Rates are messages per second, oldest first."""

    servers: list[ServerScene]
    title: str = ""
    text: str = ""
    seconds: float = 0.0
    acknowledged: int = 0
    arrived: int = 0
    doubled: int = 0
    accepted_per_s: deque[float] = field(default_factory=lambda: deque([0.0] * _REMEMBERED, _REMEMBERED))
    arrived_per_s: deque[float] = field(default_factory=lambda: deque([0.0] * _REMEMBERED, _REMEMBERED))
    happened: list[tuple[float, str]] = field(default_factory=list)
