"""Which heartbeats of a peer are believed: each once, in order, and none from a life that is over."""

from __future__ import annotations

from collections import deque
from enum import Enum

from nightmail.group.heartbeat import Heartbeat

_LIVES_REMEMBERED = 64


class Verdict(Enum):
    """What became of a heartbeat with a good seal."""

    BELIEVED = "believed"
    REPEATED = "repeated"
    UNPROVEN = "unproven"
    """Of a life not heard before, and not in answer to us: the next one will be, if it is alive."""


class Hearing:
    """What was heard of one peer, and what to tell it so that it can believe us.

    `window` is how many of our own sequence numbers back an answer may refer to.
    """

    def __init__(self, incarnation: str, *, window: int = 25) -> None:
        self.incarnation = ""
        self.sequence = 0
        self.echo: tuple[str, int] = ("", 0)
        self._own = incarnation
        self._window = window
        self._over: deque[str] = deque(maxlen=_LIVES_REMEMBERED)

    def hear(self, heartbeat: Heartbeat, sent: int) -> Verdict:
        """Judge one heartbeat; `sent` is the last sequence number of ours that went to this peer."""
        life, sequence = heartbeat.incarnation, heartbeat.sequence
        if life == self.incarnation:
            if sequence <= self.sequence:
                return Verdict.REPEATED
            self._believe(life, sequence)
            return Verdict.BELIEVED
        if life in self._over:
            return Verdict.REPEATED
        is_answer = heartbeat.echo_incarnation == self._own and sent - self._window < heartbeat.echo_sequence <= sent
        if not is_answer:
            # It is told what we heard of it, so that its answer can be told from a recording.
            self.echo = (life, sequence)
            return Verdict.UNPROVEN
        if self.incarnation:
            self._over.append(self.incarnation)
        self._believe(life, sequence)
        return Verdict.BELIEVED

    def _believe(self, life: str, sequence: int) -> None:
        self.incarnation, self.sequence = life, sequence
        self.echo = (life, sequence)
