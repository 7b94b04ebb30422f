"""What a disk can do to the store: fill up, fail to sync, write little by little, hang, vanish."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from tests.eventloop import on_a_loop
from tests.faults.power import LossyMount

from nightmail.errors import StoreUnavailable
from nightmail.store.posix import PosixStore
from nightmail.store.protocol import NotFound, Put, PutBroken, PutFailed, PutUnknown
from nightmail.store.scribed import ScribedStore
from nightmail.world import SystemRandomness

KEY = "queues/mx1.0.1/log/00000000000000000001"
WHOLE = 1 << 40


StoreOn = Callable[[LossyMount], AbstractAsyncContextManager[PosixStore]]


@pytest.fixture(params=[PosixStore, ScribedStore])
def store_on(request: pytest.FixtureRequest) -> StoreOn:
    @asynccontextmanager
    async def store_on(disk: LossyMount) -> AsyncIterator[PosixStore]:
        store: PosixStore = request.param(str(disk.path / "store"), SystemRandomness())
        yield store
        await store.close()

    return store_on


def files(disk: LossyMount) -> list[str]:
    return [name for _, _, names in os.walk(disk.path) for name in names]


def link_without_sync_of_directory(path: Path, content: bytes) -> None:
    """What another leaves behind who dies before the last step of its put."""
    with path.open("xb", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())


@on_a_loop
async def test_a_full_disk_refuses_the_put_keeps_nothing_of_it_and_serves_again_once_there_is_room(
    store_on: StoreOn,
    lossy_fs: LossyMount,
) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.limit_room(10_000)
        assert await store.free_bytes() == 8192
        with pytest.raises(PutFailed, match="No space left"):
            await store.put_new(KEY, [bytes(20_000)])
        body = store.put_body("queues/mx1.0.1/body/A1")
        with pytest.raises(PutFailed, match="No space left"):
            await body.write([bytes(20_000)])
        with pytest.raises(PutFailed):
            await body.commit()
        await body.abort()
        assert files(lossy_fs) == []
        lossy_fs.limit_room(None)
        assert await store.put_new(KEY, [bytes(20_000)]) is Put.CREATED


@on_a_loop
async def test_a_file_that_does_not_sync_was_never_put(store_on: StoreOn, lossy_fs: LossyMount) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.fail("fsync")
        with pytest.raises(PutFailed, match="Input/output error"):
            await store.put_new(KEY, [b"first"])
        assert files(lossy_fs) == []
        assert await store.put_new(KEY, [b"second"]) is Put.CREATED
        lossy_fs.crash(strict=True)
        assert await store.get_range(KEY, 0, WHOLE) == b"second"


@on_a_loop
async def test_a_directory_that_does_not_sync_leaves_the_put_in_doubt(store_on: StoreOn, lossy_fs: LossyMount) -> None:
    async with store_on(lossy_fs) as store:
        await store.put_new("queues/mx1.0.1/log/0", [b"makes the directories"])
        lossy_fs.fail("fsyncdir")
        with pytest.raises(PutBroken, match="Input/output error"):
            await store.put_new(KEY, [b"visible"])
        assert await store.get_range(KEY, 0, WHOLE) == b"visible"
        # Why its writer must not try again: the next sync succeeds and is worth nothing.
        assert await store.put_new(KEY, [b"visible"]) is Put.EXISTS
        lossy_fs.crash(strict=True)
        with pytest.raises(NotFound):
            await store.get_range(KEY, 0, WHOLE)


@on_a_loop
async def test_exists_is_not_said_of_what_can_not_be_made_durable(store_on: StoreOn, lossy_fs: LossyMount) -> None:
    async with store_on(lossy_fs) as store:
        await store.put_new(KEY, [b"first"])
        lossy_fs.fail("fsyncdir")
        with pytest.raises(PutBroken):
            await store.put_new(KEY, [b"second"])


@on_a_loop
async def test_exists_is_said_only_of_what_is_durable(store_on: StoreOn, lossy_fs: LossyMount) -> None:
    async with store_on(lossy_fs) as store:
        await store.put_new("queues/mx1.0.1/log/0", [b"makes the directories"])
        link_without_sync_of_directory(lossy_fs.path / "store" / KEY, b"whose")
        assert await store.put_new(KEY, [b"ours"]) is Put.EXISTS
        lossy_fs.crash(strict=True)
        assert await store.get_range(KEY, 0, WHOLE) == b"whose"


@on_a_loop
async def test_a_directory_that_another_process_made_is_durable_before_it_is_used(
    store_on: StoreOn, lossy_fs: LossyMount
) -> None:
    os.makedirs(lossy_fs.path / "store/queues/mx1.0.1/log")  # and died before it synced any of them
    async with store_on(lossy_fs) as store:
        assert await store.put_new(KEY, [b"content"]) is Put.CREATED
        lossy_fs.crash(strict=True)
        assert await store.get_range(KEY, 0, WHOLE) == b"content"


@pytest.mark.parametrize(
    ("operation", "path_part"), [("mkdir", "log"), ("create", ".tmp-"), ("fsyncdir", "queues"), ("write", ".tmp-")]
)
@on_a_loop
async def test_whatever_fails_before_the_link_was_never_put(
    store_on: StoreOn, lossy_fs: LossyMount, operation: str, path_part: str
) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.fail(operation, path_part=path_part)
        with pytest.raises(PutFailed):
            await store.put_new(KEY, [b"first"])
        assert files(lossy_fs) == []
        assert await store.put_new(KEY, [b"second"]) is Put.CREATED


@on_a_loop
async def test_a_link_that_fails_as_no_local_one_does_leaves_the_outcome_unknown(
    store_on: StoreOn, lossy_fs: LossyMount
) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.fail("link", error=errno.ETIMEDOUT)
        with pytest.raises(PutUnknown):
            await store.put_new(KEY, [b"first"])
        lossy_fs.fail("link", error=errno.EDQUOT)
        with pytest.raises(PutFailed):
            await store.put_new(KEY, [b"first"])
        assert await store.put_new(KEY, [b"first"]) is Put.CREATED


@on_a_loop
async def test_writes_that_take_only_a_part_are_continued(store_on: StoreOn, lossy_fs: LossyMount) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.limit_writes(97)
        pieces = [bytes([n]) * (n * 3) for n in range(50)]
        assert await store.put_new(KEY, pieces) is Put.CREATED
        assert await store.get_range(KEY, 0, WHOLE) == b"".join(pieces)


@on_a_loop
async def test_a_disk_that_hangs_holds_up_nobody_else_and_the_put_lands_once_it_returns(
    store_on: StoreOn, lossy_fs: LossyMount
) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.hang("fsync", path_part="/mx1.0.1/")
        hung = asyncio.ensure_future(store.put_new(KEY, [b"late"]))
        await asyncio.to_thread(lossy_fs.wait_until_hanging)
        for n in range(20):
            assert await store.put_new(f"queues/mx1.1.1/log/{n}", [b"in time"]) is Put.CREATED
        assert await store.get_range("queues/mx1.1.1/log/0", 0, WHOLE) == b"in time"
        assert not hung.done()
        lossy_fs.release()
        assert await hung is Put.CREATED
        assert await store.get_range(KEY, 0, WHOLE) == b"late"


@on_a_loop
async def test_a_put_whose_caller_went_away_still_lands_and_leaves_no_temporary(
    store_on: StoreOn, lossy_fs: LossyMount
) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.hang("fsync")
        put = asyncio.ensure_future(store.put_new(KEY, [b"content"]))
        await asyncio.to_thread(lossy_fs.wait_until_hanging)
        put.cancel()
        lossy_fs.release()
        await store.close()
    assert files(lossy_fs) == [os.path.basename(KEY)]


@on_a_loop
async def test_a_body_that_is_aborted_in_the_middle_of_a_write_leaves_nothing(
    store_on: StoreOn, lossy_fs: LossyMount
) -> None:
    async with store_on(lossy_fs) as store:
        lossy_fs.hang("write")
        body = store.put_body("body/A1")
        write = asyncio.ensure_future(body.write([b"content"]))
        await asyncio.to_thread(lossy_fs.wait_until_hanging)
        write.cancel()
        abort = asyncio.ensure_future(body.abort())
        lossy_fs.release()
        await abort
        assert files(lossy_fs) == []


@on_a_loop
async def test_reading_a_disk_that_fails_is_not_the_same_as_finding_nothing(
    store_on: StoreOn, lossy_fs: LossyMount
) -> None:
    async with store_on(lossy_fs) as store:
        await store.put_new(KEY, [b"content"])
        for operation in ("read", "open"):
            lossy_fs.fail(operation)
            with pytest.raises(StoreUnavailable):
                await store.get_range(KEY, 0, WHOLE)
        lossy_fs.fail("opendir")
        with pytest.raises(StoreUnavailable):
            [page async for page in store.list_after("queues/", "")]
        lossy_fs.fail("unlink")
        with pytest.raises(StoreUnavailable):
            await store.delete([KEY])
        assert await store.get_range(KEY, 0, WHOLE) == b"content"
