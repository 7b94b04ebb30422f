"""What every test may ask for: how long a campaign to run."""

from __future__ import annotations

from typing import TypeVar

import pytest
from hypothesis import HealthCheck, settings

_Count = TypeVar("_Count", int, float)


class Campaign:
    """Chooses between the count that fits into `make test` and the full one of `make prove`."""

    def __init__(self, *, full: bool) -> None:
        self.is_full = full

    def __call__(self, short: _Count, full: _Count) -> _Count:
        """`full` under --prove, else `short`: kills, power losses, seconds of fuzzing, examples."""
        return full if self.is_full else short


# A machine that is busy with other things is no failure, and a failure has to be replayable from the log alone.
settings.register_profile("short", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("full", settings.get_profile("short"), max_examples=2_000)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--prove", action="store_true", help="run every campaign in its full length")


def pytest_configure(config: pytest.Config) -> None:
    settings.load_profile("full" if config.getoption("--prove") else "short")


@pytest.fixture(scope="session")
def campaign(request: pytest.FixtureRequest) -> Campaign:
    """Chooses a campaign's length: `campaign(5, 50)`."""
    return Campaign(full=request.config.getoption("--prove"))
