"""models/claims.pml: no safeguard can be spared, and with all of them every second delivery is a known one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Campaign
from tests.models.checking import search, search_a_little

LOST = "!(acknowledged_is_lost)"
UNKNOWN = "!(second_delivery_is_unknown)"
VOIDED = "!(voided_is_delivered)"
DEPOSED = "!(deposed_owner_delivers)"

THREE_PROCESSES = ("PROCESSES=3", "SLOTS=5")
THREE_PROCESSES_FOR_LONGER = ("PROCESSES=3", "SLOTS=6")
THREE_PROCESSES_FOR_LONG = ("PROCESSES=3", "SLOTS=7")
TWO_PROCESSES = ("PROCESSES=2", "SLOTS=8")
A_SHORT_LOG = ("PROCESSES=2", "SLOTS=5")


@pytest.mark.parametrize("bounds", [THREE_PROCESSES, TWO_PROCESSES])
def test_every_second_delivery_is_a_known_one_and_none_is_by_a_deposed_owner(
    tmp_path: Path, bounds: tuple[str, ...]
) -> None:
    found = search(tmp_path, "claims", *bounds)
    assert found.broken == ""
    assert found.is_complete
    assert found.states > 100_000


@pytest.mark.parametrize("bounds", [THREE_PROCESSES_FOR_LONGER, THREE_PROCESSES_FOR_LONG])
def test_the_same_holds_for_a_longer_log(tmp_path: Path, campaign: Campaign, bounds: tuple[str, ...]) -> None:
    if not campaign.is_full:
        pytest.skip("millions of states, for `make prove`")
    found = search(tmp_path, "claims", *bounds)
    assert (found.broken, found.is_complete) == ("", True)


@pytest.mark.parametrize(
    ("safeguard", "broken", "bounds"),
    [
        ("DOT_BEFORE_CLAIM", UNKNOWN, THREE_PROCESSES),
        ("OPEN_CLAIM_IGNORED", UNKNOWN, THREE_PROCESSES),
        ("OPEN_CLAIM_TAKEN_FOR_DELIVERED", LOST, THREE_PROCESSES),
        ("NO_ANSWER_TAKEN_FOR_REFUSAL", UNKNOWN, THREE_PROCESSES),
        ("DELIVERED_BEFORE_ANSWERED", VOIDED, THREE_PROCESSES),
        ("RIGHT_NOT_ASKED", DEPOSED, THREE_PROCESSES),
        ("RIGHT_WHILE_YIELDING", DEPOSED, THREE_PROCESSES),
        ("IDLE_PROMISE_WHILE_BUSY", DEPOSED, THREE_PROCESSES),
        ("NO_STILLNESS", DEPOSED, THREE_PROCESSES),
        ("ANOTHER_SLOT_TIMED", DEPOSED, THREE_PROCESSES),
        ("YIELDED_FOR_EVER", DEPOSED, THREE_PROCESSES_FOR_LONGER),
        ("MOVED_WITHOUT_CLAIM", UNKNOWN, THREE_PROCESSES),
        ("MOVED_LAST", UNKNOWN, THREE_PROCESSES),
    ],
)
def test_no_safeguard_can_be_spared(tmp_path: Path, safeguard: str, broken: str, bounds: tuple[str, ...]) -> None:
    assert search_a_little(tmp_path, "claims", *bounds, safeguard).broken == broken


def test_what_is_dangerous_does_happen_in_the_model(tmp_path: Path) -> None:
    found = search_a_little(tmp_path, "claims", *A_SHORT_LOG, "WITNESS")
    assert found.is_complete
    assert found.unreached == []
