"""The replica's process: started, started again when it ends, ended with its server; and what it said is told."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

import pytest
from structlog.testing import capture_logs
from tests.e2e.waiting import PATIENCE_S
from tests.eventloop import on_a_loop

from nightmail.errors import ConfigInvalid
from nightmail.supervisor.replica import ReplicaChild
from nightmail.world import SystemClock

RUNS = [sys.executable, "-c", "import signal; signal.pause()"]
FAILS = [sys.executable, "-c", "import sys; sys.exit('6567.1 0x7f bind failed: Permission denied')"]


def saying(words: str) -> list[str]:
    """A replica that says something, and runs on."""
    return [sys.executable, "-c", f"import signal, sys; print({words!r}, file=sys.stderr, flush=True); signal.pause()"]


def child_of(prepare: Callable[[], Sequence[str]], damaged: Callable[[str], None] = lambda words: None) -> ReplicaChild:
    return ReplicaChild(prepare, damaged, SystemClock())


async def until_pid(child: ReplicaChild, but: int = 0) -> int:
    async with asyncio.timeout(PATIENCE_S):
        while child.pid in (0, but):  # noqa: ASYNC110 - a process is no event of ours
            await asyncio.sleep(0.01)
    return child.pid


@on_a_loop
async def test_it_is_started_again_when_it_dies_and_ends_with_its_server() -> None:
    child = child_of(lambda: RUNS)
    running = asyncio.create_task(child.run())
    first = await until_pid(child)
    os.kill(first, signal.SIGKILL)
    second = await until_pid(child, first)
    running.cancel()
    await asyncio.wait([running])
    assert child.state == "stopped"
    with pytest.raises(ProcessLookupError):
        os.kill(second, 0)


@on_a_loop
async def test_why_it_ended_is_told_in_its_own_words() -> None:
    child = child_of(lambda: FAILS)
    with capture_logs() as logs:
        running = asyncio.create_task(child.run())
        async with asyncio.timeout(PATIENCE_S):
            while not any(line["event"] == "directory replica died" for line in logs):  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
    died = next(line for line in logs if line["event"] == "directory replica died")
    assert (died["how"], died["said"]) == ("exit code 1", "bind failed: Permission denied")


@on_a_loop
async def test_one_that_is_not_set_up_is_said_once_and_tried_again() -> None:
    def refuse() -> Sequence[str]:
        raise ConfigInvalid("here", "there are no entries", "make some")

    child = child_of(refuse)
    with capture_logs() as logs:
        running = asyncio.create_task(child.run())
        async with asyncio.timeout(PATIENCE_S):
            while child.state != "not set up":  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
    assert child.fault == "here: there are no entries; make some"
    assert [line["event"] for line in logs] == ["directory replica can't be started"]


@on_a_loop
async def test_who_stops_waits_until_it_is_prepared_no_more() -> None:
    """Whoever is started next prepares it in the same directory."""
    begun, told, may_end, said = threading.Event(), threading.Event(), threading.Event(), list[str]()

    def prepare() -> Sequence[str]:
        begun.set()
        said.append("told to end" if child.stopping.wait(10) else "never told")
        told.set()
        may_end.wait(10)
        said.append("ended")
        return RUNS

    child = child_of(prepare)
    running = asyncio.create_task(child.run())
    assert await asyncio.to_thread(begun.wait, 10)
    running.cancel()
    assert await asyncio.to_thread(told.wait, 10)
    assert not running.done()
    may_end.set()
    await asyncio.wait([running])
    assert said == ["told to end", "ended"]
    assert (child.state, child.pid) == ("stopped", 0)


@on_a_loop
async def test_a_file_that_can_not_be_written_is_named_with_what_to_do() -> None:
    def refuse() -> Sequence[str]:
        raise PermissionError(13, "Permission denied", "/data/authority.pem.new")

    child = child_of(refuse)
    running = asyncio.create_task(child.run())
    async with asyncio.timeout(PATIENCE_S):
        while child.state != "not set up":  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert child.fault.startswith("/data/authority.pem.new: Permission denied; let the server's user")


@on_a_loop
async def test_an_address_that_is_in_use_is_a_matter_for_the_operator() -> None:
    words = "daemon: bind(6) failed errno=98 (Address already in use)"
    child = child_of(lambda: [sys.executable, "-c", f"import sys; sys.exit({words!r})"])
    with capture_logs() as logs:
        running = asyncio.create_task(child.run())
        async with asyncio.timeout(PATIENCE_S):
            while child.fault != f"it ended: {words}":  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
    died = next(line for line in logs if line["event"] == "directory replica died")
    assert "[servers.NAME] directory" in died["remedy"]


CORRUPTED = "MDB_CORRUPTED: Located page was wrong type (-30796)"


@pytest.mark.parametrize(
    "words",
    [
        f"=> mdb_idl_fetch_key: get failed: {CORRUPTED}",
        'mdb_db_open: database "o=x" cannot be opened: MDB_INVALID: File is not an LMDB file (-30793). Restore!',
        "=> mdb_idl_insert_keys: c_get failed: MDB_PAGE_NOTFOUND: Requested page not found (-30797)",
        "../../../libraries/liblmdb/mdb.c:5537: Assertion 'i > 0' failed in mdb_page_search_root()",
    ],
)
@on_a_loop
async def test_one_that_finds_its_entries_damaged_is_ended_at_once_and_not_started_with_them(words: str) -> None:
    found: list[str] = []

    def prepare() -> Sequence[str]:
        if found:
            raise ConfigInvalid("here", "the entries are damaged", "reseed")
        return saying(f"6b0892d9.182cf2fb 0x7f815bfff6c0 {words}")

    child = child_of(prepare, found.append)
    running = asyncio.create_task(child.run())
    async with asyncio.timeout(PATIENCE_S):
        while child.state != "not set up":  # noqa: ASYNC110 - see above
            await asyncio.sleep(0.01)
    running.cancel()
    await asyncio.wait([running])
    assert found == [words]


@on_a_loop
async def test_a_name_that_somebody_gave_an_entry_is_no_damage() -> None:
    named = f"conn=1004 op=2 slap_read_controls: (1.3.6.1.1.13.2) cn=mdb_get: {CORRUPTED},o=x"
    script = (
        f"import sys; print({named!r}, file=sys.stderr); print('mdb_add: bind failed: permission', file=sys.stderr)"
    )
    found: list[str] = []
    child = child_of(lambda: [sys.executable, "-c", script], found.append)
    with capture_logs() as logs:
        running = asyncio.create_task(child.run())
        async with asyncio.timeout(PATIENCE_S):
            while not any(line["event"] == "directory replica died" for line in logs):  # noqa: ASYNC110 - see above
                await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.wait([running])
    assert found == []
    assert next(line["said"] for line in logs if "said" in line) == "mdb_add: bind failed: permission"
