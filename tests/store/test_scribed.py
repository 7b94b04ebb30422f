"""The scribe: a process that may die, may be told to, and must never outlive its switch."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.e2e.processes import command_line, is_alive, tree
from tests.e2e.waiting import until
from tests.eventloop import on_a_loop
from tests.faults.power import LossyMount, lossy_mount

from nightmail.store.protocol import Put, PutFailed, PutUnknown
from nightmail.store.scribed import ScribedStore
from nightmail.world import SystemRandomness

WHOLE = 1 << 40

SWITCH = """
import asyncio, sys
from nightmail.store.opening import open_store
from nightmail.world import SystemRandomness

async def main(root):
    store = open_store("file://" + root, SystemRandomness())
    await store.put_new("log/1", [b"x"])
    print("ready", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""


@asynccontextmanager
async def opened(root: Path) -> AsyncIterator[ScribedStore]:
    store = ScribedStore(str(root), SystemRandomness())
    yield store
    await store.close()


def scribes_of(pid: int) -> list[int]:
    return [child for child in tree(pid) if "nightmail.store.scribe" in command_line(child)]


def the_scribe() -> int:
    (scribe,) = scribes_of(os.getpid())
    return scribe


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LossyMount]:
    with lossy_mount(tmp_path / "lossy", seed=1) as mount:
        yield mount


@on_a_loop
async def test_a_scribe_is_started_with_the_first_put_and_gone_after_the_last(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as store:
        await store.free_bytes()
        assert scribes_of(os.getpid()) == []
        for n in range(10):
            assert await store.put_new(f"log/{n}", [b"x"]) is Put.CREATED
        scribe = the_scribe()
    assert not is_alive(scribe)
    with pytest.raises(RuntimeError, match="closed"):
        await store.put_new("log/10", [b"x"])


@on_a_loop
async def test_a_put_whose_scribe_is_killed_is_unknown_and_the_next_finds_a_new_scribe(disk: LossyMount) -> None:
    async with opened(disk.path / "store") as store:
        await store.put_new("log/1", [b"x"])
        disk.hang("fsync")
        put = asyncio.ensure_future(store.put_new("log/2", [b"x"]))
        await asyncio.to_thread(disk.wait_until_hanging)
        os.kill(the_scribe(), signal.SIGKILL)
        disk.release()
        with pytest.raises(PutUnknown, match="the scribe has died"):
            await put
        assert await store.put_new("log/2", [b"x"]) is Put.CREATED


@on_a_loop
async def test_signals_for_the_whole_group_are_not_for_the_scribe(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as store:
        await store.put_new("log/1", [b"x"])
        scribe = the_scribe()
        os.kill(scribe, signal.SIGTERM)
        os.kill(scribe, signal.SIGINT)
        assert await store.put_new("log/2", [b"x"]) is Put.CREATED
        assert the_scribe() == scribe


def test_the_scribe_dies_with_its_switch(tmp_path: Path) -> None:
    switch = subprocess.Popen([sys.executable, "-c", SWITCH, str(tmp_path / "store")], stdout=subprocess.PIPE)
    with switch:
        assert switch.stdout is not None
        assert switch.stdout.readline() == b"ready\n"
        (scribe,) = scribes_of(switch.pid)
        switch.kill()
    until(lambda: not is_alive(scribe), "the scribe is gone")


@on_a_loop
async def test_what_is_too_much_for_the_socket_at_once_arrives_whole(tmp_path: Path) -> None:
    async with opened(tmp_path / "store") as store:
        large = [bytes([n]) * 100_000 for n in range(80)]
        small = [b"%d," % n for n in range(5000)]
        puts = [store.put_new("log/1", large), store.put_new("log/2", small), store.put_new("log/3", large)]
        assert await asyncio.gather(*puts) == [Put.CREATED] * 3
        assert await store.get_range("log/1", 0, WHOLE) == b"".join(large)
        assert await store.get_range("log/2", 0, WHOLE) == b"".join(small)
        assert await store.get_range("log/3", 0, WHOLE) == b"".join(large)


@on_a_loop
async def test_a_scribe_that_can_not_be_started_fails_the_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path / "store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "executable", str(tmp_path / "none"))
            with pytest.raises(PutFailed, match="the scribe can't be started"):
                await store.put_new("log/1", [b"x"])
        assert await store.put_new("log/1", [b"x"]) is Put.CREATED


@on_a_loop
async def test_a_switch_out_of_files_fails_the_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise OSError(errno.EMFILE, "too many open files")

    async with opened(tmp_path / "store") as store:
        with monkeypatch.context() as patch:
            patch.setattr(socket, "socketpair", refuse)
            with pytest.raises(PutFailed, match="too many open files"):
                await store.put_new("log/1", [b"x"])
        assert await store.put_new("log/1", [b"x"]) is Put.CREATED


@on_a_loop
async def test_a_put_that_nobody_waits_for_any_more_lands(disk: LossyMount) -> None:
    async with opened(disk.path / "store") as store:
        disk.hang("fsync")
        put = asyncio.ensure_future(store.put_new("log/1", [b"content"]))
        await asyncio.to_thread(disk.wait_until_hanging)
        put.cancel()
        disk.release()
        assert await store.put_new("log/2", [b"x"]) is Put.CREATED
    async with opened(disk.path / "store") as store:
        assert await store.get_range("log/1", 0, WHOLE) == b"content"
