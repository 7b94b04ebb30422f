"""Taking the directory's role for a server that does not run."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.directory.test_role import role

from nightmail.admin.claiming import claim, refuse_where_there_is_a_role
from nightmail.admin.mastering import role_log
from nightmail.config.loading import load
from nightmail.config.settings import Config
from nightmail.directory.held import Held
from nightmail.directory.role import Sighting
from nightmail.errors import ConfigInvalid

CONFIG = """\
[server]
name = "mx1"
hostname = "mx1.example.org"
run_directory = "run"
[servers.mx1]
heartbeat = "127.0.0.1:7001"
smtp = "127.0.0.1:7002"
directory = "127.0.0.1:7003"
[store]
url = "file:store"
lease_s = 1.0
[directory]
suffix = "dc=example,dc=org"
topology = "failover"
first_master = "mx1"
secret_file = "key"
data_directory = "data"
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "nightmail.toml"
    file.write_text(CONFIG)
    (tmp_path / "key").write_text("0123456789abcdef0123456789abcdef")
    (tmp_path / "key").chmod(0o600)
    return load(str(file))


async def put(config: Config, *slots: int) -> None:
    async with role_log(config) as roles:
        for slot in slots:
            await roles.put(slot, role(nonce=str(slot), promise_s=0.1))


async def look(config: Config) -> Sighting:
    async with role_log(config) as roles:
        seen = await roles.look(None)
    assert seen is not None
    return seen


def damage(tmp_path: Path, slot: int) -> Path:
    [file] = (tmp_path / "store").rglob(f"{slot:020d}")
    file.chmod(0o600)
    file.write_bytes(b"damaged")
    return file


def test_it_is_taken_past_a_slot_that_cannot_be_read(config: Config, tmp_path: Path) -> None:
    asyncio.run(put(config, 0, 1))
    file = damage(tmp_path, 1)
    claim(config, Held(str(tmp_path)), "7 life of mx1")
    seen = asyncio.run(look(config))
    assert (seen.slot, seen.unread, seen.role.master, seen.role.epoch, seen.role.to) == (2, 0, "mx1", 9, "mx1")
    assert Held(str(tmp_path)).read() == seen.role.id
    assert file.read_bytes() == b"damaged"


def test_no_directory_is_begun_beside_one_whose_role_cannot_be_read(config: Config, tmp_path: Path) -> None:
    asyncio.run(put(config, 0))
    damage(tmp_path, 0)
    with pytest.raises(ConfigInvalid, match=r"log/0{20} at byte 0"):
        refuse_where_there_is_a_role(config)
