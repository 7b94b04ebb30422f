"""The alarm for what can't be read (J14): each damage is named once, however often its log is read."""

from __future__ import annotations

from collections.abc import Iterable

import structlog

from nightmail.errors import Corrupt

log = structlog.get_logger()


class DamageAlarm:
    """Names damage in the log of this process."""

    def __init__(self) -> None:
        self._named: set[str] = set()

    def raise_for(self, damage: Iterable[Corrupt]) -> None:
        """Name what was not named before."""
        for fault in damage:
            if str(fault) not in self._named:
                self._named.add(str(fault))
                log.error(
                    "segment unreadable", key=fault.key, offset=fault.offset, reason=fault.what,
                    remedy="it is kept; messages open around it count as ambiguous; look at the store's own logs",
                )  # fmt: skip
