from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests.config.files import PAIR, SMALLEST, write

from nightmail.config.loading import load, qualified_name
from nightmail.errors import ConfigInvalid
from nightmail.queue.settings import QueueSettings
from nightmail.store.location import directory_of

CONTRACT = """\
[server]
name = "mx1"
hostname = "mx1.example.net"        # announced in SMTP; default: the name's FQDN
workers = 1                         # switches; 0: one per core
run_directory = "run/mx1"           # sockets, pid, local files; relative paths are relative to this file

[servers.mx1]                       # every server of the cluster, this one included
heartbeat = "127.0.0.1:7946"
smtp = "127.0.0.1:2525"             # as the balancer reaches it
http = "127.0.0.1:8025"
group = "pair-1"                    # default: all servers of a site are one group
[servers.mx2]
heartbeat = "127.0.0.1:7947"
smtp = "127.0.0.1:2526"
http = "127.0.0.1:8026"

[heartbeat]
secret_file = "heartbeat.key"       # needed with two or more servers

[store]
url = "file:///srv/nightmail"
lease_s = 3.0                       # benches and tests set 1.0

[[listener]]
address = "127.0.0.1:2525"
service = "smtp"                    # smtp | submission | lmtp
proxy_from = []

[tables]
directory = "tables"

[queue]
retry_first_s = 300                 # doubles, +-10 %
retry_max_s = 3600
expire_s = 432000
delay_report_s = 14400              # once; 0: never
destination_connections = 20        # per server, adopted queues included

[balancer]                          # optional
address = "127.0.0.1:2500"
"""


def test_the_example_of_the_contract_is_read_as_it_says(tmp_path: Path) -> None:
    config = load(write(tmp_path, CONTRACT))
    assert (config.server.name, config.server.hostname, config.server.workers) == ("mx1", "mx1.example.net", 1)
    assert config.server.run_directory == f"{tmp_path}/run/mx1"
    assert config.servers["mx1"].group == "pair-1"
    assert config.servers["mx2"].http == "127.0.0.1:8026"
    assert config.heartbeat.secret_file == f"{tmp_path}/heartbeat.key"
    assert (config.store.url, config.store.lease_s) == ("file:///srv/nightmail", 3.0)
    assert [(listener.address, listener.service) for listener in config.listeners] == [("127.0.0.1:2525", "smtp")]
    assert config.tables.directory == f"{tmp_path}/tables"
    assert config.queue == QueueSettings()
    assert config.balancer is not None
    assert config.balancer.address == "127.0.0.1:2500"
    assert (config.path, config.base) == (f"{tmp_path}/nightmail.toml", str(tmp_path))


def test_the_smallest_file_has_every_default_filled_in(tmp_path: Path) -> None:
    config = load(write(tmp_path, SMALLEST))
    assert config.server.run_directory == f"{tmp_path}/run/mx1"
    assert config.submission.drop_directory == f"{tmp_path}/run/mx1/drop"
    assert config.tables.directory == f"{tmp_path}/tables"
    assert config.heartbeat.secret_file == ""
    assert config.servers == {}
    assert config.balancer is None


def test_one_file_serves_every_server_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, PAIR)
    assert load(path).server.name == "mx1"
    other = load(path, "mx2")
    assert (other.server.name, other.server.run_directory) == ("mx2", f"{tmp_path}/run/mx2")


def test_the_only_server_needs_no_name(tmp_path: Path) -> None:
    text = SMALLEST.replace('name = "mx1"\n', "", 1) + "[servers.solo]\n"
    assert load(write(tmp_path, text)).server.name == "solo"


def test_a_configuration_never_changes(tmp_path: Path) -> None:
    config = load(write(tmp_path, SMALLEST))
    for value in (config, config.server, config.queue, config.listeners[0]):
        with pytest.raises(AttributeError):
            setattr(value, msgspec.structs.fields(value)[0].name, None)


@pytest.mark.parametrize("url", ["file:store", "file://store", "file:./store", "file:x/../store"])
def test_a_store_may_be_beside_the_file(tmp_path: Path, url: str) -> None:
    text = SMALLEST.replace("file:///srv/nightmail", url)
    assert load(write(tmp_path, text)).store.url == f"file://{tmp_path}/store"


def test_a_store_of_another_kind_is_refused_with_its_line(tmp_path: Path) -> None:
    text = SMALLEST.replace("file:///srv/nightmail", "s3://bucket/prefix")
    line = text.split("s3://")[0].count("\n") + 1
    with pytest.raises(ConfigInvalid) as caught:
        load(write(tmp_path, text))
    assert caught.value.place.endswith(f"nightmail.toml:{line}")
    assert "has the scheme 's3'" in caught.value.wrong
    assert caught.value.right == "the one scheme supported is file:///DIRECTORY, with an absolute path"


def test_a_relative_store_survives_characters_that_urls_quote(tmp_path: Path) -> None:
    base = tmp_path / "50% #1?"
    base.mkdir()
    config = load(write(base, SMALLEST.replace("file:///srv/nightmail", "file:store")))
    assert directory_of(config.store.url) == f"{base}/store"


def test_paths_are_relative_to_the_file_wherever_it_is_read_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, SMALLEST)
    monkeypatch.chdir(tmp_path)
    assert load("nightmail.toml").tables.directory == f"{tmp_path}/tables"


def test_ports_that_the_system_chooses_may_stand_twice(tmp_path: Path) -> None:
    text = SMALLEST.replace("2525", "0") + '[[listener]]\naddress = "127.0.0.1:0"\n'
    assert len(load(write(tmp_path, text)).listeners) == 2


@pytest.mark.parametrize(
    ("known", "hostname"),
    [
        ({"mx1": "mx1.example.net"}, "mx1.example.net"),
        ({"mx1": "mx1", "": "host.example.com"}, "host.example.com"),
        ({"mx1": "1.0.0.127.in-addr.arpa", "": "host"}, "mx1"),
    ],
)
def test_a_server_without_a_hostname_is_called_by_its_qualified_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: dict[str, str], hostname: str
) -> None:
    monkeypatch.setattr("socket.getfqdn", lambda name="": known.get(name, name))
    assert qualified_name("mx1") == hostname
    text = SMALLEST.replace('hostname = "mx1.example.net"\n', "")
    assert load(write(tmp_path, text)).server.hostname == hostname
