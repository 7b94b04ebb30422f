from __future__ import annotations

from email.utils import parsedate_to_datetime

from hypothesis import given
from hypothesis import strategies as st

from nightmail.mail.date import date_time


def test_a_date_is_written_as_rfc_5322_asks_for() -> None:
    assert date_time(1_795_360_168.9) == "Sun, 22 Nov 2026 15:09:28 +0000"
    assert date_time(0) == "Thu, 01 Jan 1970 00:00:00 +0000"


@given(st.integers(0, 253_402_300_799))
def test_every_date_is_read_back_as_the_same_second(second: int) -> None:
    assert parsedate_to_datetime(date_time(second)).timestamp() == second


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_clock_out_of_its_mind_breaks_no_header(wall: float) -> None:
    assert len(date_time(wall)) == 31
