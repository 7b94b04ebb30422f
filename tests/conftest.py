"""What every test may ask for: how long a campaign to run."""

from __future__ import annotations

from typing import TypeVar

import pytest

_Count = TypeVar("_Count", int, float)


class Campaign:
    """Chooses between the count that fits into `make test` and the full one of `make prove`."""

    def __init__(self, *, full: bool) -> None:
        self.is_full = full

    def __call__(self, short: _Count, full: _Count) -> _Count:
        """`full` under --prove, else `short`: kills, power losses, seconds of fuzzing, examples."""
        return full if self.is_full else short


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="run every campaign in its full length")


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """Chooses a campaign's length: `campaign(5, 50)`."""
    return Campaign(full=request.config.getoption("--prove"))
