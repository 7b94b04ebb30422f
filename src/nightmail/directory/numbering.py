"""The numbers of changes (CSNs) that the entries of a new directory begin with."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

_BETWEEN = "\n\n"
_COUNT_MAX = 0xFFFFFF


def numbered(pieces: Iterable[str], now: float) -> Iterator[str]:
    """The records of a new directory with the numbers of their changes (entryCSN), made by no replica (number 0).

    The first record also says how far all of it goes (contextCSN). So that this is known before the last one has come,
    it has the highest number, and the others count downwards from there. A shadow of one whose first entries have the
    master's own number passes over changes that are made once the master's clock was set back.
    """
    stamp = time.strftime("%Y%m%d%H%M%S.000000Z", time.gmtime(now))
    left = _COUNT_MAX
    for piece in pieces:
        for record in piece.split(_BETWEEN)[:-1]:
            csn = f"{stamp}#{left:06x}#000#000000"
            state = f"contextCSN: {csn}\n" if left == _COUNT_MAX else ""
            yield f"{record}\nentryCSN: {csn}\n{state}\n"
            left -= 1
