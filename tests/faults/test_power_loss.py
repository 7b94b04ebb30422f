"""The whole machine loses its power under load, again and again (R6).

Store and Maildirs lie on a file system that keeps "written" and "synced" apart. A loss of power is a kill -9 of the
server, and then of all that was not synced each block and each name survives or not by the flip of a coin.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.conftest import Campaign
from tests.faults.ledger import Ledger
from tests.faults.power import lossy_mount
from tests.faults.siege import Siege

SEED = 11


def test_a_machine_that_loses_its_power_again_and_again_loses_no_acknowledged_message(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    losses = campaign(20, 200)
    with lossy_mount(tmp_path, SEED) as disk, Siege(tmp_path, SEED, disk=disk.path) as siege:

        def strike() -> None:
            siege.kill()
            disk.crash()
            siege.switch.start()

        siege.rage(strike, losses, longest_s=0.5)
        publish(siege.settle(f"{losses} losses of power")).assert_sound()
