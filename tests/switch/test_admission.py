"""Who is let in, and what is said to who is not."""

from __future__ import annotations

import asyncio

import pytest
from sim.loop import in_virtual_time
from tests.switch.scene import Stage

from nightmail.errors import StoreUnavailable
from nightmail.smtp.settings import SmtpSettings
from nightmail.store.protocol import PutFailed, StoreFull
from nightmail.switch.admission import NO_SPACE, STORE_AWAY, Admission, refusal
from nightmail.switch.reception import look_at_space

SETTINGS = SmtpSettings(session_limit=3, client_session_limit=2, message_size_limit_bytes=1000_000)


def test_sessions_are_counted_in_and_out() -> None:
    admission = Admission(SETTINGS)
    assert [admission.enter(client) for client in ("a", "a", "b")] == [None, None, None]
    full = admission.enter("c")
    assert full is not None
    assert (full.code, full.enhanced) == (421, "4.3.2")
    admission.leave("b")
    of_one = admission.enter("a")
    assert of_one is not None
    assert (of_one.code, of_one.enhanced) == (421, "4.7.0")
    admission.leave("a")
    assert admission.enter("a") is None
    assert admission.sessions == 2


@pytest.mark.parametrize(
    ("free_bytes", "fault"), [(None, None), (1_500_000, None), (1_499_999, NO_SPACE), (0, NO_SPACE)]
)
def test_mail_is_put_off_before_the_store_is_full(free_bytes: int | None, fault: object) -> None:
    admission = Admission(SETTINGS)
    admission.note_space(free_bytes)
    assert admission.fault == fault


def test_a_full_store_is_told_from_one_that_fails() -> None:
    assert refusal(StoreFull("no room")) == NO_SPACE
    assert refusal(PutFailed("broken")) == STORE_AWAY
    assert refusal(StoreUnavailable("away")) == STORE_AWAY


@in_virtual_time
async def test_room_is_looked_at_again_and_again() -> None:
    stage = Stage()
    life = await stage.life()
    admission = Admission(SETTINGS)
    watching = asyncio.ensure_future(look_at_space(life.parts, admission))
    stage.archive.capacity_bytes = 2_000_000
    await asyncio.sleep(1.5)
    assert admission.fault is None
    stage.archive.contents["large"] = bytes(1_000_000)
    await asyncio.sleep(1.5)
    assert admission.fault == NO_SPACE
    stage.store.cut()
    await asyncio.sleep(1.5)
    assert admission.fault == STORE_AWAY
    stage.store.restore()
    del stage.archive.contents["large"]
    await asyncio.sleep(1.5)
    assert admission.fault is None
    watching.cancel()
    await life.crash()
