"""The ledgers of this run, printed at its end: the evidence that R32 asks for."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.faults.ledger import Ledger

_LEDGERS = pytest.StashKey[list[Ledger]]()


@pytest.fixture
def publish(request: pytest.FixtureRequest) -> Callable[[Ledger], Ledger]:
    """Has a ledger printed in the summary of the run, and gives it back."""

    def keep(ledger: Ledger) -> Ledger:
        request.config.stash.setdefault(_LEDGERS, []).append(ledger)
        return ledger

    return keep


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if ledgers := config.stash.get(_LEDGERS, []):
        terminalreporter.section("ledgers")
        for ledger in ledgers:
            terminalreporter.write_line(str(ledger))
