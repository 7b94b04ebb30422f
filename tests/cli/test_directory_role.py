"""What `nightmail directory status` says of the master where its role moves."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.directory_rig import Rig
from tests.directory.slapd_server import Slapd
from tests.directory.test_role import role

from nightmail.directory.role import Role
from nightmail.directory.role_log import RoleLog
from nightmail.store.opening import open_store
from nightmail.world import SystemClock, SystemRandomness


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[Rig]:
    with Slapd(tmp_path / "one") as master, Slapd(tmp_path / "two", 2, master.uri) as shadow:
        made = Rig(tmp_path, master, shadow, run)
        made.configure('topology = "failover"')
        yield made


async def put(rig: Rig, slot: int, of: Role) -> None:
    store = open_store(f"file://{rig.place}/store", SystemRandomness())
    await RoleLog(store, SystemClock()).put(slot, of)
    await store.close()


def test_a_master_that_gave_the_role_up_is_none_and_may_take_it_again(rig: Rig) -> None:
    def shown() -> list[tuple[str, bool]]:
        return [(each["role"], each["may_take_over"]) for each in rig.facts("status")]

    asyncio.run(put(rig, 0, role()))
    assert shown() == [("master", False), ("shadow", True)]
    asyncio.run(put(rig, 1, role(is_yielded=True, nonce="yields")))
    assert shown() == [("shadow", True), ("shadow", True)]
    done = rig.directory("status")
    assert (done.exit_code, done.err) == (
        os.EX_OK, "nightmail: mx1 gave the master's role up, and nobody has taken it yet\n",
    )  # fmt: skip


def test_where_nobody_took_the_role_yet_the_first_master_is_restarted_and_not_begun_anew(rig: Rig) -> None:
    done = rig.directory("status")
    assert done.exit_code == os.EX_OK
    assert done.err == (
        "nightmail: nobody is the directory's master yet; restart the first master's server; where it has no entries "
        "yet, `nightmail directory init` there before\n"
    )
