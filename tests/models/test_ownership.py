"""models/ownership.pml: no safeguard can be spared, and with all of them nothing acknowledged is lost."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.models.checking import search, search_a_little

LOST = "!(acknowledged_is_lost)"
TWICE = "!(settled_is_delivered_again)"
REFUSED = "!(refused_is_in_the_log)"
BEYOND_CLOSED = "!(closed_is_not_the_end)"

THREE_PROCESSES = ("PROCESSES=3", "SLOTS=5", "MESSAGES=1")
THREE_PROCESSES_WITH_MORE_MAIL = ("PROCESSES=3", "SLOTS=5", "MESSAGES=2")
THREE_PROCESSES_FOR_LONGER = ("PROCESSES=3", "SLOTS=6", "MESSAGES=1", "NEVER_CLOSED", "NEVER_MOVED")
TWO_PROCESSES = ("PROCESSES=2", "SLOTS=6", "MESSAGES=2")
TWO_PROCESSES_FOR_LONGER = ("PROCESSES=2", "SLOTS=7", "MESSAGES=2")
A_SHORT_LOG = ("PROCESSES=2", "SLOTS=5", "MESSAGES=1")


@pytest.mark.parametrize("bounds", [THREE_PROCESSES, TWO_PROCESSES])
def test_whoever_halts_and_however_late_a_put_lands_nothing_is_lost_or_delivered_again(
    tmp_path: Path, bounds: tuple[str, ...]
) -> None:
    found = search(tmp_path, "ownership", *bounds)
    assert found.broken == ""
    assert found.is_complete
    assert found.states > 100_000


@pytest.mark.parametrize(
    "bounds", [THREE_PROCESSES_WITH_MORE_MAIL, THREE_PROCESSES_FOR_LONGER, TWO_PROCESSES_FOR_LONGER]
)
def test_the_same_holds_within_larger_bounds(tmp_path: Path, campaign: Campaign, bounds: tuple[str, ...]) -> None:
    if not campaign.is_full:
        pytest.skip("millions of states, for `make prove`")
    found = search(tmp_path, "ownership", *bounds)
    assert (found.broken, found.is_complete) == ("", True)


@pytest.mark.parametrize(
    ("safeguard", "broken", "bounds"),
    [
        ("ANY_SLOT_IS_OURS", LOST, THREE_PROCESSES),
        ("NO_SECOND_LOOK", TWICE, THREE_PROCESSES),
        ("ADOPTED_DELETED", LOST, THREE_PROCESSES_FOR_LONGER),
        ("CLOSED_DELETED", LOST, THREE_PROCESSES),
        ("ADOPT_PAST_CLOSED", BEYOND_CLOSED, THREE_PROCESSES),
        ("FLOOR_IGNORED", TWICE, THREE_PROCESSES_FOR_LONGER),
        ("TWO_IN_FLIGHT", LOST, ("PROCESSES=2", "SLOTS=5", "MESSAGES=2", "NEVER_CLOSED", "NEVER_MOVED")),
        ("REFUSED_IN_DOUBT", REFUSED, THREE_PROCESSES),
        ("REQUEUED_IN_DOUBT", REFUSED, THREE_PROCESSES),
    ],
)
def test_no_safeguard_can_be_spared(tmp_path: Path, safeguard: str, broken: str, bounds: tuple[str, ...]) -> None:
    assert search_a_little(tmp_path, "ownership", *bounds, safeguard).broken == broken


def test_what_is_dangerous_does_happen_in_the_model(tmp_path: Path) -> None:
    found = search_a_little(tmp_path, "ownership", *A_SHORT_LOG, "WITNESS")
    assert found.is_complete
    assert found.unreached == []
