"""The ledgers of this run, printed at its end: the evidence that R32 asks for. And a disk to lose the power of."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.sink import Sink
from tests.faults.ledger import Ledger, in_all
from tests.faults.power import LossyMount, lossy_mount

_LEDGERS = pytest.StashKey[list[Ledger]]()


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A destination for mail to sink.test."""
    with Sink() as destination:
        yield destination


@pytest.fixture
def publish(request: pytest.FixtureRequest) -> Callable[[Ledger], Ledger]:
    """Has a ledger printed in the summary of the run, and gives it back."""

    def keep(ledger: Ledger) -> Ledger:
        request.config.stash.setdefault(_LEDGERS, []).append(ledger)
        return ledger

    return keep


@pytest.fixture
def lossy_fs(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LossyMount]:
    """A mounted file system that a test can fill, break, hang, and pull the plug of."""
    with lossy_mount(tmp_path / "lossy", seed=zlib.crc32(request.node.nodeid.encode())) as mount:
        yield mount


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if ledgers := config.stash.get(_LEDGERS, []):
        terminalreporter.section("ledgers")
        for ledger in ledgers:
            terminalreporter.write_line(str(ledger))
        terminalreporter.write_line(in_all(ledgers))
