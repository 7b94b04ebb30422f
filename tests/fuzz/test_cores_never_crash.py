from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import Campaign
from tests.fuzz.cores import fuzz_client_core, fuzz_server_core

ROUND = 400


@pytest.mark.parametrize("target", [fuzz_server_core, fuzz_client_core])
def test_a_core_bears_whatever_a_peer_sends(target: Callable[[bytes], None], campaign: Campaign) -> None:
    @settings(max_examples=ROUND, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=400))
    def one_round(data: bytes) -> None:
        target(data)

    until = perf_counter() + campaign(25.0, 300.0)
    while perf_counter() < until:
        one_round()
