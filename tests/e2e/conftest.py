"""Servers that tests may ask for: one of their own, or one that the tests of a file share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.sink import Sink
from tests.e2e.switch import LOCAL_ONLY, Switch, Tables


@pytest.fixture
def sink() -> Iterator[Sink]:
    """A destination for mail to sink.test."""
    with Sink() as destination:
        yield destination


def relaying(sink: Sink) -> Tables:
    """The tables of a server that has Maildirs for example.org and relays sink.test to the sink."""
    domains, routes = LOCAL_ONLY["domains"], LOCAL_ONLY["routes"]
    return {
        **LOCAL_ONLY,
        "domains": f"{domains}sink.test relay\n",
        "routes": f"{routes}sink.test smtp:[127.0.0.1]:{sink.port}\n",
    }


@pytest.fixture
def switch(tmp_path: Path, sink: Sink) -> Iterator[Switch]:
    """A running server with Maildirs for example.org that relays sink.test to the sink."""
    settings = {"queue": {"retry_first_s": 1, "retry_max_s": 2}}
    with Switch(tmp_path, relaying(sink), settings) as running:
        yield running
