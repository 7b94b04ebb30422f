"""What every store promises, shown of the real ones and of the simulated one.

`open_another` opens one more way to the same objects, as another process would.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sim.store import Objects, SimulatedStore
from tests.eventloop import on_a_loop

from nightmail.errors import StoreUnavailable
from nightmail.store.posix import PosixStore
from nightmail.store.protocol import NotFound, Put, Store
from nightmail.store.scribed import ScribedStore
from nightmail.world import SystemRandomness

Open = Callable[[], Store]
WHOLE = 1 << 40


@pytest.fixture(params=["in threads", "by a scribe", "simulated"])
def open_another(request: pytest.FixtureRequest, tmp_path: Path) -> Open:
    objects = Objects()
    root = str(tmp_path / "store")
    openers: dict[str, Open] = {
        "in threads": lambda: PosixStore(root, SystemRandomness()),
        "by a scribe": lambda: ScribedStore(root, SystemRandomness()),
        "simulated": lambda: SimulatedStore(objects),
    }
    return openers[request.param]


async def keys_of(store: Store, prefix: str = "", after: str = "") -> list[str]:
    return [key async for page in store.list_after(prefix, after) for key in page]


async def put_all(store: Store, keys: list[str]) -> None:
    outcomes = await asyncio.gather(*(store.put_new(key, [key.encode()]) for key in keys))
    assert set(outcomes) == {Put.CREATED}


@on_a_loop
async def test_of_many_who_put_under_one_key_exactly_one_creates_it(open_another: Open) -> None:
    stores = [open_another() for _ in range(4)]
    for race in range(50):
        key = f"queues/mx1.0.1/log/{race:020}"
        contents = [f"writer {n}".encode() for n in range(8)]
        outcomes = await asyncio.gather(*(stores[n % 4].put_new(key, [contents[n]]) for n in range(8)))
        assert outcomes.count(Put.CREATED) == 1
        assert outcomes.count(Put.EXISTS) == 7
        for store in stores:
            assert await store.get_range(key, 0, WHOLE) == contents[outcomes.index(Put.CREATED)]
    for store in stores:
        await store.close()


@on_a_loop
async def test_what_was_put_is_read_and_listed_at_once_through_every_endpoint(open_another: Open) -> None:
    writer, reader = open_another(), open_another()
    for n in range(50):
        key = f"log/{n:020}"
        assert await writer.put_new(key, [b"content"]) is Put.CREATED
        assert await reader.get_range(key, 0, WHOLE) == b"content"
        assert (await keys_of(reader, "log/"))[-1] == key
    await writer.close()
    await reader.close()


@on_a_loop
async def test_a_put_joins_its_buffers_however_many_there_are(open_another: Open) -> None:
    store = open_another()
    buffers = [bytes([n % 251]) * (n % 7) for n in range(3000)]
    await store.put_new("a/many", [memoryview(buffer) for buffer in buffers])
    assert await store.get_range("a/many", 0, WHOLE) == b"".join(buffers)
    await store.put_new("a/mixed", [b"bytes ", bytearray(b"bytearray "), memoryview(b"memoryview")])
    assert await store.get_range("a/mixed", 0, WHOLE) == b"bytes bytearray memoryview"
    await store.close()


@on_a_loop
async def test_an_object_may_be_empty(open_another: Open) -> None:
    store = open_another()
    assert await store.put_new("empty", []) is Put.CREATED
    assert await store.put_new("empty", [b"late"]) is Put.EXISTS
    assert await store.get_range("empty", 0, WHOLE) == b""
    await store.close()


@on_a_loop
async def test_a_range_ends_where_the_object_ends(open_another: Open) -> None:
    store = open_another()
    await store.put_new("a/b", [b"0123456789"])
    assert await store.get_range("a/b", 0, 4) == b"0123"
    assert await store.get_range("a/b", 4, 4) == b"4567"
    assert await store.get_range("a/b", 8, 4) == b"89"
    assert await store.get_range("a/b", 10, 4) == b""
    assert await store.get_range("a/b", 99, 4) == b""
    await store.close()


@on_a_loop
async def test_many_heads_come_in_the_order_of_their_keys_and_what_is_not_there_is_none(open_another: Open) -> None:
    store = open_another()
    await store.put_new("a/1", [b"0123456789"])
    await store.put_new("a/2", [b""])
    assert await store.get_heads(["a/2", "a/none", "a/1", "none/x"], 4) == [b"", None, b"0123", None]
    assert await store.get_heads([], 4) == []
    await store.close()


@on_a_loop
async def test_what_nobody_put_is_not_found(open_another: Open) -> None:
    store = open_another()
    await store.put_new("a/b/c", [b"x"])
    for key in ("a/b/d", "a/x/c", "nowhere"):
        with pytest.raises(NotFound):
            await store.get_range(key, 0, 1)
    await store.close()


@on_a_loop
async def test_a_store_never_used_is_empty(open_another: Open) -> None:
    store = open_another()
    assert await keys_of(store) == []
    assert await keys_of(store, "queues/") == []
    await store.delete(["queues/none"])
    free = await store.free_bytes()
    assert free is None or free > 0
    await store.close()


@on_a_loop
async def test_keys_are_listed_in_the_order_of_their_bytes(open_another: Open) -> None:
    store = open_another()
    keys = [
        "queues/mx1-b.0.1/log/1",
        "queues/mx1.0.1/body/A",
        "queues/mx1.0.1/log/00000000000000000002",
        "queues/mx1.0.1/log/00000000000000000010",
        "queues/mx1.0.1",
        "queues/mx1.0.10/log/1",
        "queues/mx1.0.2/log/1",
        "queues/MX1.0.2/log/1",
        "queues0",
        "queue",
    ]
    keys.remove("queues/mx1.0.1")  # a directory and a file at once: no store of files can have it
    await put_all(store, keys)
    assert await keys_of(store) == sorted(keys)
    assert await keys_of(store, "queues/") == sorted(key for key in keys if key.startswith("queues/"))
    assert await keys_of(store, "queues/mx1.0.1/log/") == sorted(key for key in keys if "mx1.0.1/log/" in key)
    assert await keys_of(store, "queues/none/") == []
    await store.close()


@on_a_loop
async def test_a_list_goes_on_after_any_key_there_or_not(open_another: Open) -> None:
    store = open_another()
    keys = sorted(f"{queue}/{part}/{n}" for queue in ("q.1", "q.10", "q.2") for part in ("body", "log") for n in "135")
    await put_all(store, keys)
    for after in [*keys, "q.1/log/2", "q.1/zzz", "q.1", "q.2/log/9", "q.10/", "q.1/body/30", "zzz", "0"]:
        assert await keys_of(store, "", after) == [key for key in keys if key > after], after
        assert await keys_of(store, "q.1/", after) == [key for key in keys if key > after and key.startswith("q.1/")]
    await store.close()


@on_a_loop
async def test_a_long_list_comes_in_pages(open_another: Open) -> None:
    store = open_another()
    keys = [f"log/{n:020}" for n in range(1201)]
    await put_all(store, keys)
    pages = [page async for page in store.list_after("log/", "")]
    assert len(pages) > 1
    assert all(len(page) <= 1000 for page in pages)
    assert [key for page in pages for key in page] == keys
    assert await keys_of(store, "log/", keys[999]) == keys[1000:]
    await store.close()


@on_a_loop
async def test_deleting_may_be_repeated_and_opens_the_key_again(open_another: Open) -> None:
    store = open_another()
    await put_all(store, ["log/1", "log/2", "log/3"])
    await store.delete(["log/1", "log/none", "log/3", "no/such/place"])
    await store.delete(["log/1", "log/3"])
    assert await keys_of(store) == ["log/2"]
    with pytest.raises(NotFound):
        await store.get_range("log/1", 0, 1)
    assert await store.put_new("log/1", [b"again"]) is Put.CREATED
    assert await store.get_range("log/1", 0, WHOLE) == b"again"
    await store.close()


@on_a_loop
async def test_a_body_is_invisible_until_it_is_committed_and_whole_then(open_another: Open) -> None:
    store = open_another()
    body = store.put_body("queues/q/body/A1")
    await body.write([b"first ", bytearray(b"second ")])
    reused = bytearray(b"third ")
    await body.write([reused])
    reused[:] = b"xxxxxx"
    assert await keys_of(store) == []
    with pytest.raises(NotFound):
        await store.get_range("queues/q/body/A1", 0, 1)
    await body.commit()
    assert await keys_of(store) == ["queues/q/body/A1"]
    assert await store.get_range("queues/q/body/A1", 0, WHOLE) == b"first second third "
    await body.abort()
    assert await keys_of(store) == ["queues/q/body/A1"]
    await store.close()


@on_a_loop
async def test_of_an_aborted_body_nothing_is_left(open_another: Open) -> None:
    store = open_another()
    body = store.put_body("body/A1")
    await body.write([b"piece"])
    await body.abort()
    await body.abort()
    for use in (body.write([b"more"]), body.commit()):
        with pytest.raises(StoreUnavailable):
            await use
    assert await keys_of(store) == []
    await store.put_body("body/A2").abort()
    await store.close()


@on_a_loop
async def test_a_body_never_takes_the_place_of_another(open_another: Open) -> None:
    store = open_another()
    first, second = store.put_body("body/A1"), store.put_body("body/A1")
    await first.write([b"first"])
    await second.write([b"second"])
    await first.commit()
    with pytest.raises(StoreUnavailable):
        await second.commit()
    assert await store.get_range("body/A1", 0, WHOLE) == b"first"
    await store.close()


@pytest.mark.parametrize(
    "key", ["", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/../b", "a/.tmp-1", "a b", "a\0b", "ü", "a/" + "b" * 256]
)
@on_a_loop
async def test_a_key_that_could_leave_the_store_or_name_a_temporary_is_refused(open_another: Open, key: str) -> None:
    store = open_another()
    with pytest.raises(ValueError, match="not a key"):
        await store.put_new(key, [b"x"])
    with pytest.raises(ValueError, match="not a key"):
        await store.get_range(key, 0, 1)
    with pytest.raises(ValueError, match="not a key"):
        await store.delete([key])
    with pytest.raises(ValueError, match="not a key"):
        store.put_body(key)
    await store.close()


@pytest.mark.parametrize("prefix", ["a", "/", "../", "a/../", "a//", ".hidden/"])
@on_a_loop
async def test_a_prefix_is_whole_components(open_another: Open, prefix: str) -> None:
    store = open_another()
    with pytest.raises(ValueError, match="not a prefix"):
        await keys_of(store, prefix)
    await store.close()


@on_a_loop
async def test_closing_waits_for_what_is_under_way(open_another: Open) -> None:
    store = open_another()
    puts = [asyncio.ensure_future(store.put_new(f"log/{n}", [b"x"])) for n in range(100)]
    await asyncio.sleep(0)
    await store.close()
    assert set(await asyncio.gather(*puts)) == {Put.CREATED}
