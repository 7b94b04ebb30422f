from __future__ import annotations

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.eventloop import on_a_loop
from tests.switch.service import until_soon

from nightmail.errors import StoreUnavailable
from nightmail.store.disk import Disk
from nightmail.store.posix import PosixStore
from nightmail.store.protocol import NotFound, Put, PutFailed, PutUnknown
from nightmail.world import SystemRandomness

KEY = "queues/mx1.0.1/log/00000000000000000001"
WHOLE = 1 << 40
HOUR_S = 3600


class RecordingDisk(Disk):
    """Tells the order of the steps."""

    def __init__(self) -> None:
        self.steps: list[str] = []

    def write(self, descriptor: int, buffers: object) -> None:
        self.steps.append("write")
        super().write(descriptor, buffers)  # type: ignore[arg-type]  # handed on as it came

    def sync_file(self, descriptor: int) -> None:
        self.steps.append("sync file")
        super().sync_file(descriptor)

    def sync_directory(self, descriptor: int) -> None:
        self.steps.append("sync directory")
        super().sync_directory(descriptor)

    def link(self, directory: int, old: str, new: str) -> None:
        self.steps.append("link")
        super().link(directory, old, new)


class LinkAnswers(Disk):
    """A link that lands, and an answer that is not its own: as over NFS, when the first answer was lost."""

    def __init__(self, number: int) -> None:
        self._number = number

    def link(self, directory: int, old: str, new: str) -> None:
        super().link(directory, old, new)
        raise OSError(self._number, os.strerror(self._number))


@asynccontextmanager
async def opened(directory: Path, disk: Disk | None = None) -> AsyncIterator[PosixStore]:
    store = PosixStore(str(directory / "store"), SystemRandomness(), disk)
    yield store
    await store.close()


def files(directory: Path) -> list[str]:
    return [file.name for file in directory.rglob("*") if file.is_file()]


@on_a_loop
async def test_a_put_costs_one_sync_of_the_file_and_one_of_its_directory(tmp_path: Path) -> None:
    disk = RecordingDisk()
    async with opened(tmp_path, disk) as store:
        await store.put_new("queues/mx1.0.1/log/0", [b"first"])
        disk.steps.clear()
        await store.put_new(KEY, [b"second"])
        assert disk.steps == ["write", "sync file", "link", "sync directory"]
        disk.steps.clear()
        assert await store.put_new(KEY, [b"third"]) is Put.EXISTS
        assert disk.steps == ["write", "sync file", "link", "sync directory"]


@on_a_loop
async def test_a_link_repeated_by_nfs_is_known_as_our_own(tmp_path: Path) -> None:
    async with opened(tmp_path, LinkAnswers(errno.EEXIST)) as store:
        assert await store.put_new(KEY, [b"ours"]) is Put.CREATED
        body = store.put_body("body/A1")
        await body.write([b"content"])
        await body.commit()
        assert await store.get_range("body/A1", 0, WHOLE) == b"content"


@pytest.mark.parametrize("number", [errno.EIO, errno.ETIMEDOUT, errno.ESTALE])
@on_a_loop
async def test_a_link_whose_answer_is_lost_is_unknown_and_found_by_putting_again(tmp_path: Path, number: int) -> None:
    async with opened(tmp_path, LinkAnswers(number)) as store:
        with pytest.raises(PutUnknown):
            await store.put_new(KEY, [b"ours"])
    async with opened(tmp_path) as store:
        assert await store.put_new(KEY, [b"ours"]) is Put.EXISTS
        assert await store.get_range(KEY, 0, WHOLE) == b"ours"
    assert files(tmp_path) == [os.path.basename(KEY)]


@on_a_loop
async def test_objects_and_directories_are_for_their_owner_only(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put_new(KEY, [b"secret"])
    for path in (tmp_path / "store").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600)
    assert stat.S_IMODE((tmp_path / "store").stat().st_mode) == 0o700


@on_a_loop
async def test_temporaries_are_no_objects(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put_new(KEY, [b"content"])
        (tmp_path / "store" / KEY).with_name(".tmp-left").write_bytes(b"by a dead writer")
        (tmp_path / "store/lost+found").mkdir()
        assert [key async for page in store.list_after("", "") for key in page] == [KEY]


@on_a_loop
async def test_sweeping_removes_the_temporaries_that_are_old_enough_and_nothing_else(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put_new(KEY, [b"content"])
        log = (tmp_path / "store" / KEY).parent
        for name, age_s in ((".tmp-old", 2 * HOUR_S), (".tmp-young", 10)):
            (log / name).write_bytes(b"left")
            os.utime(log / name, (0, log.stat().st_mtime - age_s))
        assert await store.sweep("queues/none/", HOUR_S) == 0
        assert await store.sweep("queues/", HOUR_S) == 1
        assert sorted(files(tmp_path)) == [".tmp-young", os.path.basename(KEY)]
        assert await store.sweep("queues/mx1.0.1/", 0) == 1
        assert files(tmp_path) == [os.path.basename(KEY)]


@on_a_loop
async def test_a_directory_that_was_removed_is_made_again_after_one_refusal(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put_new("queue/log/1", [b"content"])
        log = tmp_path / "store/queue/log"
        await until_soon(lambda: [file.name for file in log.iterdir()] == ["1"])  # the temporary goes after the answer
        (log / "1").unlink()
        log.rmdir()
        with pytest.raises(PutFailed):
            await store.put_new("queue/log/2", [b"content"])
        assert await store.put_new("queue/log/2", [b"content"]) is Put.CREATED
        assert await store.get_range("queue/log/2", 0, WHOLE) == b"content"


@on_a_loop
async def test_a_store_that_is_no_longer_mounted_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.put_new(KEY, [b"content"])
        (tmp_path / "store").rename(tmp_path / "elsewhere")
        for _ in range(2):
            with pytest.raises(StoreUnavailable):
                await store.get_range(KEY, 0, 1)
            with pytest.raises(StoreUnavailable):
                [page async for page in store.list_after("queues/", "")]
            (tmp_path / "store").mkdir(exist_ok=True)
        (tmp_path / "store").rmdir()
        (tmp_path / "elsewhere").rename(tmp_path / "store")
        assert await store.get_range(KEY, 0, WHOLE) == b"content"
        with pytest.raises(NotFound):
            await store.get_range("queues/none", 0, 1)


@on_a_loop
async def test_a_store_out_of_reach_from_the_start_serves_once_it_is_there(tmp_path: Path) -> None:
    (tmp_path / "store").write_bytes(b"in the way")
    async with opened(tmp_path) as store:
        with pytest.raises(PutFailed):
            await store.put_new(KEY, [b"content"])
        with pytest.raises(StoreUnavailable):
            await store.free_bytes()
        with pytest.raises(StoreUnavailable):
            await store.get_range(KEY, 0, 1)
        (tmp_path / "store").unlink()
        assert await store.put_new(KEY, [b"content"]) is Put.CREATED


@on_a_loop
async def test_however_many_directories_are_written_few_stay_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        before = len(os.listdir("/proc/self/fd"))
        for n in range(300):
            await store.put_new(f"queues/q{n}/1", [b"content"])
        assert len(os.listdir("/proc/self/fd")) - before < 100
    assert len(os.listdir("/proc/self/fd")) <= before


@on_a_loop
async def test_a_disk_that_runs_out_of_descriptors_fails_the_put_and_nothing_else(tmp_path: Path) -> None:
    class NoDescriptors(Disk):
        def write(self, descriptor: int, buffers: object) -> None:
            raise OSError(errno.EMFILE, "Too many open files")

    async with opened(tmp_path, NoDescriptors()) as store:
        for _ in range(50):
            with pytest.raises(PutFailed, match="Too many open files"):
                await store.put_new(KEY, [b"content"])
        assert files(tmp_path) == []


@on_a_loop
async def test_bodies_and_puts_at_once_all_arrive(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:

        async def stream(name: str) -> None:
            body = store.put_body(f"body/{name}")
            for n in range(20):
                await body.write([f"{name} {n},".encode()])
            await body.commit()

        await asyncio.gather(*(stream(f"A{n}") for n in range(40)), *(store.put_new(f"log/{n}", []) for n in range(40)))
        for n in range(40):
            assert await store.get_range(f"body/A{n}", 0, WHOLE) == b"".join(b"A%d %d," % (n, k) for k in range(20))
    assert len(files(tmp_path)) == 80
