from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from nightmail.errors import ConfigInvalid
from nightmail.store.opening import open_store
from nightmail.store.protocol import Put
from nightmail.world import SystemRandomness


@pytest.mark.parametrize(
    ("url", "wrong"),
    [
        ("s3://bucket/prefix", "has the scheme 's3'"),
        ("/srv/nightmail", "has the scheme ''"),
        ("file://server/share", "names the host 'server'"),
        ("file:store", "has no absolute path"),
        ("file:", "has no absolute path"),
        ("file:///srv/night%00mail", "has no absolute path"),
        ("file:///srv/night?mail", "has a '?' or a '#'"),
        ("file:///srv/night#mail", "has a '?' or a '#'"),
    ],
)
def test_a_url_that_names_no_store_is_refused_with_the_reason(url: str, wrong: str) -> None:
    with pytest.raises(ConfigInvalid) as refused:
        open_store(url, SystemRandomness())
    assert refused.value.place == "[store] url"
    assert wrong in refused.value.wrong
    assert refused.value.right


@pytest.mark.parametrize("host", ["", "localhost"])
def test_a_file_url_opens_the_directory_and_makes_it_at_the_first_put(tmp_path: Path, host: str) -> None:
    async def run() -> None:
        store = open_store(f"file://{host}{tmp_path}/of%20a/store/", SystemRandomness())
        assert not (tmp_path / "of a").exists()
        assert await store.put_new("a/b", [b"content"]) is Put.CREATED
        await store.close()

    asyncio.run(run())
    assert (tmp_path / "of a/store/a/b").read_bytes() == b"content"
