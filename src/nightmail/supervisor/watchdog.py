"""A switch that hangs is ended: started afresh it takes mail again, and what it acknowledged is in its journal (R2)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence

import structlog

from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.supervisor.child import SwitchChild

_EVERY_S = 5.0
UNANSWERED = 12

log = structlog.get_logger()


class Watchdog:
    """Asks every switch of `children` now and then; one that serves and left twelve questions unanswered is killed.

    Questions are counted and not seconds: a host that was suspended has asked nothing meanwhile.
    """

    def __init__(self, children: Sequence[SwitchChild]) -> None:
        self._children = children
        self._unanswered: Counter[int] = Counter()

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.gather(asyncio.sleep(_EVERY_S), *map(self._ask, list(self._children)))
            alive = {child.pid for child in self._children}
            self._unanswered = Counter({pid: count for pid, count in self._unanswered.items() if pid in alive})

    async def _ask(self, child: SwitchChild) -> None:
        pid = child.pid
        if child.state != "serving":
            self._unanswered.pop(pid, None)
            return
        try:
            await child.request("status", timeout_s=_EVERY_S)
        except SwitchSilent:
            self._unanswered[pid] += 1
            if child.pid == pid and child.state == "serving" and self._unanswered[pid] >= UNANSWERED:
                del self._unanswered[pid]
                _end(child)
        except RequestFailed:
            self._unanswered.pop(pid, None)  # it answers, if only with a refusal
        else:
            self._unanswered.pop(pid, None)


def _end(child: SwitchChild) -> None:
    log.warning("switch hangs", switch=child.number, pid=child.pid, silent_s=UNANSWERED * _EVERY_S,
                remedy="it is killed and started again; report this, unless a signal stopped it")  # fmt: skip
    child.kill("it does not answer")
