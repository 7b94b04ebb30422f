"""A switch that hangs is ended: started afresh it takes mail again, and what it acknowledged is in its journal (R2)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.supervisor.child import SwitchChild
from nightmail.world import Clock

HUNG_S = 60.0
_EVERY_S = 5.0

log = structlog.get_logger()


class Watchdog:
    """Asks every switch of `children` now and then; one that serves and did not answer for a minute is killed."""

    def __init__(self, children: Sequence[SwitchChild], clock: Clock) -> None:
        self._children = children
        self._clock = clock
        self._answered: dict[int, float] = {}

    async def run(self) -> None:
        """Watch until cancelled."""
        while True:
            await asyncio.gather(asyncio.sleep(_EVERY_S), *map(self._ask, list(self._children)))
            alive = {child.pid for child in self._children}
            self._answered = {pid: at for pid, at in self._answered.items() if pid in alive}

    async def _ask(self, child: SwitchChild) -> None:
        if child.state != "serving":
            self._answered.pop(child.pid, None)
            return
        pid = child.pid
        since = self._answered.setdefault(pid, self._clock.elapsed())
        try:
            await child.request("status", timeout_s=_EVERY_S)
        except SwitchSilent:
            if child.pid == pid and child.state == "serving" and self._clock.elapsed() - since > HUNG_S:
                _end(child, self._clock.elapsed() - since)
        except RequestFailed:
            self._answered[pid] = self._clock.elapsed()  # it answers, if only with a refusal
        else:
            self._answered[pid] = self._clock.elapsed()


def _end(child: SwitchChild, silent_s: float) -> None:
    log.warning("switch hangs", switch=child.number, pid=child.pid, silent_s=round(silent_s),
                remedy="it is killed and started again; report this, unless a signal stopped it")  # fmt: skip
    child.kill()
