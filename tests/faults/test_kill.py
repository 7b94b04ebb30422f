"""kill -9 of the whole server at random instants under load (R6)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Campaign
from tests.faults.ledger import Ledger
from tests.faults.siege import Siege


def test_a_server_killed_again_and_again_loses_no_acknowledged_message(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    kills = campaign(5, 50)
    with Siege(tmp_path, seed=20) as siege:

        def strike() -> None:
            siege.switch.kill()
            siege.switch.start()

        siege.rage(strike, kills)
        publish(siege.settle(f"{kills} kills")).assert_sound()
