"""kill -9 of the whole server, or of any one of its processes, at random instants under load (R6)."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Campaign
from tests.e2e.waiting import until
from tests.faults.ledger import Ledger
from tests.faults.siege import Siege


def test_a_server_killed_again_and_again_loses_no_acknowledged_message(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    kills = campaign(5, 50)
    with Siege(tmp_path, seed=20) as siege:

        def strike() -> None:
            siege.kill()
            siege.switch.start()

        siege.rage(strike, kills)
        publish(siege.settle(f"{kills} kills")).assert_sound()


def test_any_process_of_a_server_may_be_killed_and_no_acknowledged_message_is_lost(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    kills = campaign(8, 40)
    with Siege(tmp_path, seed=21, settings={"server": {"workers": 2}}) as siege:

        def strike() -> None:
            # Who dies again and again is given time: there may be nobody to kill for a while.
            victim = siege.random.choice(until(lambda: siege.switch.pids()[1:], "a process", 20))
            siege.kills += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(victim, signal.SIGKILL)

        siege.rage(strike, kills)
        publish(siege.settle(f"{kills} kills of one process of several")).assert_sound()


def test_a_server_that_is_frozen_and_thawed_loses_and_doubles_nothing(
    tmp_path: Path, campaign: Campaign, publish: Callable[[Ledger], Ledger]
) -> None:
    """Frozen for longer than its lease, and thawed in the middle of whatever it did: nobody else owns its queues."""
    freezes = campaign(3, 20)
    with Siege(tmp_path, seed=22) as siege:

        def strike() -> None:
            pids = siege.switch.pids()
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(1.0 + siege.random.random())
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

        siege.rage(strike, freezes)
        ledger = publish(siege.settle(f"{freezes} freezes of one to two leases"))
        ledger.assert_sound()
        assert not ledger.duplicates
