"""A server stopped as planned: for how long its queue is served by nobody, and what that costs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from bench.failover.figures import HEAD, seconds
from bench.failover.stage import Stage, opened
from bench.processes import CLOCK
from bench.report import Figures, Goal
from nightmail.cli.demo.pair import NAMES

_WAITING = 800
# Slow enough that some are left when the partner has taken over.
_THINKING_S = 0.2


async def run(place: Path, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Have some hundred messages wait, stop the server under load, and wait for the first delivery by its partner."""
    gaps = []
    async with opened(place, retry_s=1.0) as stage:
        stage.inbox.greylisted_of = 0
        for number in range(options.strikes):
            leaving, staying = NAMES[number % 2], NAMES[1 - number % 2]
            stage.inbox.thinking_s = _THINKING_S
            await stage.build_up(leaving, _WAITING)
            say(f"handover {number + 1} of {options.strikes}, {await stage.waiting(leaving)} messages waiting")
            gaps.append(await _stop(stage, leaving, staying))
            stage.inbox.thinking_s = 0.0
            ledger = await stage.audited()
        refused = sum(sent.answer == "refused" for sent in stage.books.sent.values())
    rows = [["nobody serves its queue", *seconds(gaps)]]
    goals = [
        Goal("under 0.7 s without service", f"{max(gaps):.2f} s at most", max(gaps) < 0.7),
        Goal("no duplicates", f"{ledger.duplicated} of {ledger.delivered:,}", ledger.duplicated == 0),
        Goal("no message refused or unanswered", f"{refused + ledger.unanswered} of {len(stage.books.sent):,}",
             refused + ledger.unanswered == 0),
        Goal("nothing lost", f"{ledger.lost} of {ledger.acknowledged:,}", ledger.lost == 0),
    ]  # fmt: skip
    title = f"A planned stop with up to 1,000 messages waiting, {options.strikes} times"
    return [Figures(title, ["from the last delivery to the partner's first", *HEAD], rows)], goals


async def _stop(stage: Stage, leaving: str, staying: str) -> float:
    """Stop a server and start it again; the seconds between its last delivery and its partner's first of its mail."""
    async with stage.loaded(sessions=12, rest_s=0.1):
        began = CLOCK.elapsed()
        await stage.pair.servers[leaving].stop()
        last = max(at for at, arrival in stage.books.arrivals if arrival.brought_by == leaving)
        served = await stage.until_served(leaving, began, by=staying)
        await stage.start(leaving)
    return max(served - last, 0.0)
