"""Servers killed at random under load: what clients saw of it, and how much came twice."""

from __future__ import annotations

import argparse
import asyncio
import random
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench.failover.figures import HEAD, seconds
from bench.failover.stage import Stage, opened
from bench.report import Figures, Goal
from nightmail.cli.demo.clients import Clients
from nightmail.cli.demo.ledger import Ledger
from nightmail.cli.demo.pair import NAMES

_STEADY_S = 0.7
_SETTLED_S = 0.05


class _Kill(NamedTuple):
    adopted_s: float | None
    pause_s: float
    second_copies: int
    at_stake: int


async def run(place: Path, options: argparse.Namespace, say: Callable[[str], None]) -> tuple[list[Figures], list[Goal]]:
    """Kill one server after the other, and audit everything at the end."""
    chance = random.Random(options.kills)  # noqa: S311 - the same victims each time, and nothing to guess
    kills: list[_Kill] = []
    async with opened(place) as stage, stage.loaded() as clients:
        await asyncio.sleep(_STEADY_S)
        normal_s = clients.forget_pauses()
        for number in range(options.kills):
            if number % 10 == 0:
                say(f"kills {number + 1} to {min(number + 10, options.kills)} of {options.kills}")
            kills.append(await _strike(stage, clients, chance))
        await clients.finish()
        ledger = await stage.audited()
        refused_for_good = clients.refused_for_good
    copies = [kill.second_copies for kill in kills]
    rows = [
        ["queue with mail in it adopted", *seconds([kill.adopted_s for kill in kills if kill.adopted_s is not None])],
        ["longest wait of a client", *seconds([kill.pause_s for kill in kills])],
        ["second copies", *(f"{value:g}" for value in (statistics.median(copies), min(copies), max(copies)))],
    ]
    goals = [*_goals_of_the_audit(ledger, copies), *_goals_of_the_clients(kills, normal_s, refused_for_good)]
    return [Figures(f"Servers killed under load, {len(kills)} times", ["", *HEAD], rows)], goals


def _goals_of_the_audit(ledger: Ledger, copies: list[int]) -> list[Goal]:
    told = f"{ledger.ambiguous} of {ledger.duplicated}, {statistics.mean(copies):.1f} a kill in the mean"
    return [
        Goal(f"nothing lost in {len(copies)} kills", f"{ledger.lost} of {ledger.acknowledged:,}", ledger.lost == 0),
        Goal("every second copy on record", told, ledger.ambiguous == ledger.duplicated),
    ]


def _goals_of_the_clients(kills: list[_Kill], normal_s: float, refused_for_good: int) -> list[Goal]:
    longest_s = max(kill.pause_s for kill in kills)
    spare = min(kill.at_stake - kill.second_copies for kill in kills)
    return [
        Goal("no more second copies than were under way or settled in the last 50 ms", f"{spare} fewer", spare >= 0),
        Goal(
            "no client waits over 1 s beyond normal",
            f"{longest_s:.2f} s at most, normally {normal_s:.2f} s",
            longest_s <= normal_s + 1,
        ),
        Goal("no permanent error", f"{refused_for_good}", refused_for_good == 0),
    ]


async def _strike(stage: Stage, clients: Clients, chance: random.Random) -> _Kill:
    victim = chance.choice(NAMES)
    await asyncio.sleep(_STEADY_S * (1 + chance.random()))
    clients.forget_pauses()
    killed, queues = await stage.kill(victim)
    just_now = sum(at >= killed - _SETTLED_S and each.brought_by == victim for at, each in stage.books.arrivals[-500:])
    at_stake = stage.inbox.under_way[victim] + just_now
    await stage.until_adopted(queues, killed)
    # A queue in which nothing waits has promised ten seconds, and nobody waits for it.
    adopted_s = [at - killed for at, _, messages in map(stage.adopted.__getitem__, queues) if messages]
    if adopted_s:
        await stage.until_served(victim, killed)
    await stage.start(victim)
    await asyncio.sleep(_STEADY_S)
    return _Kill(max(adopted_s, default=None), clients.longest_pause_s, stage.books.second_copies(killed), at_stake)
