"""Each fault of `nightmail.toml`, with the exact line that names it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.config.files import PAIR, SMALLEST, write

from nightmail.config.loading import load
from nightmail.config.parsing import CLASSES
from nightmail.errors import ConfigInvalid


def fault(directory: Path, text: str | bytes, name: str | None = None) -> str:
    """The error's line, with only the file's name left of its path."""
    with pytest.raises(ConfigInvalid) as caught:
        load(write(directory, text), name)
    return str(caught.value).removeprefix(f"{directory}/")


@pytest.mark.parametrize(
    ("added", "line"),
    [
        ("[queue]\nretry_frist_s = 3", "9: [queue] retry_frist_s is not a setting; did you mean retry_first_s?"),
        (
            "[balancer]\nport = 3",
            "9: [balancer] port is not a setting; known are address, runtime_socket, check_every_s, session_limit",
        ),
        ("[queue]\nlog_format = 1", "9: [queue] log_format is not a setting; it belongs below [server]"),
        ("addres = '[::1]:25'", "8: [[listener]] addres is not a setting; did you mean address?"),
        ("[quue]\nretry_first_s = 3", "8: [quue] is not a table of settings; did you mean [queue]?"),
        ("[[listeners]]\naddress = '[::1]:25'", "8: [listeners] is not a table of settings; did you mean "
         "[[listener]]?"),
        ("[queue]\nretry_first_s = '5m'", "9: [queue] retry_first_s can't be this text; it has to be a number above 0"),
        ("[queue]\nretry_first_s = -1", "9: [queue] retry_first_s can't be -1; it has to be a number above 0"),
        ("[queue]\nretry_first_s = inf", "9: [queue] retry_first_s can't be inf; it has to be a number above 0"),
        ("[queue]\nretry_first_s = nan", "9: [queue] retry_first_s can't be nan; it has to be a number above 0"),
        ("[queue]\nretry_first_s = true", "9: [queue] retry_first_s can't be true; it has to be a number above 0"),
        ("[queue]\nretry_first_s = [3]", "9: [queue] retry_first_s can't be a list; it has to be a number above 0"),
        ("[queue]\nretry_first_s = 2026-01-01", "9: [queue] retry_first_s can't be a date or time; it has to be a "
         "number above 0"),
        ("[queue]\ndestination_connections = 1.5", "9: [queue] destination_connections can't be 1.5; it has to be a "
         "whole number of at least 1"),
        ("[queue]\nretry_first_s = 4000", "8: [queue] retry_max_s (3600) is less than retry_first_s (4000); make it at "
         "least that"),
        ("[servers.mx1]\nhttp = 'localhost'", "9: [servers.mx1] http: 'localhost' names no port; write host:port"),
        ("[servers]\nmx1 = 3", "9: servers can't be 3; write [servers.NAME]"),
        ("[servers.mx2]", "2: there is no [servers.mx1] for the server mx1; did you mean mx2?"),
        ("[servers.a]\n[servers.b]", "8: [servers.a] has no heartbeat; with several servers each needs one"),
        ("[servers.mx_1]", "8: 'mx_1' can't be the name of a server; a name is made of letters, digits and -, at most "
         "63 of them"),
        ("[balancer]", "8: [balancer] has no address; write address = ..., text in quotes"),
        ("[dns]\nresolvers = ['one.one']", "9: [dns] resolvers: 'one.one' is not an IP address; write it as in "
         "192.0.2.1 or 192.0.2.1:53"),
        ("service = 'smpt'", "8: [[listener]] service can't be 'smpt'; did you mean smtp?"),
        ("service = 'pop'", "8: [[listener]] service can't be this text; it has to be one of smtp, submission, lmtp"),
        ("proxy_from = ['10.0.0.1/8']", "8: [[listener]] proxy_from: 10.0.0.1/8 has host bits set; write a network as "
         "in 192.0.2.0/24 or 2001:db8::/32"),
        ("proxy_from = '10.0.0.0/8'", "8: [[listener]] proxy_from can't be this text; it has to be a list, each entry "
         "text in quotes"),
        ("[[listener]]\nservice = 'lmtp'", "8: [[listener]] has no address; write address = ..., text in quotes"),
        ("[[listener]]\naddress = 'localhost:25'", "9: [[listener]] address: its host is not an IP address; write "
         "0.0.0.0:PORT for all of IPv4, [::]:PORT for all of IPv6"),
        ("[[listener]]\naddress = '127.0.0.1:2525'", "9: [[listener]] address stands twice; give each listener an "
         "address of its own"),
        ("[queue\nretry_first_s = 3", "8: this is not TOML: expected ']' at the end of a table declaration; see "
         "https://toml.io"),
        ("[queue]\nexpire_s = 1\nexpire_s = 2", "10: this is not TOML: cannot overwrite a value; see https://toml.io"),
    ],
)  # fmt: skip
def test_a_fault_in_the_settings(tmp_path: Path, added: str, line: str) -> None:
    assert fault(tmp_path, SMALLEST + added + "\n") == f"nightmail.toml:{line}"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ": [store] has no url; write url = ..., text in quotes, not empty"),
        ("log_format = 'json'\n", ":1: log_format stands outside of any table; it belongs below [server]"),
        ("colour = 'red'\n", ":1: colour stands outside of any table; settings stand below a [table]"),
        ("server = 'mx1'\n", ":1: server can't be this text; write [server]"),
        ("[[server]]\nname = 'a'\n", ":1: server can't be a list; write [server]"),
        ("[listener]\naddress = '[::1]:25'\n", ":1: [listener] is not a list; write [[listener]], with two brackets"),
        ("servers = [1]\n", ":1: servers is not a table; write [servers.NAME] for each server"),
        ("[server]\nname = \n", ":2: this is not TOML: invalid value; see https://toml.io"),
        ("[server]\nname = 'mx1", ":2: this is not TOML: expected \"'\"; see https://toml.io"),
        ("[zzz]\n", ":1: [zzz] is not a table of settings; known are [server], [servers.NAME], [heartbeat], [store], "
         "[[listener]], [smtp], [tables], [queue], [delivery], [dns], [submission], [balancer], [directory]"),
        (SMALLEST.replace('name = "mx1"', ""), ":1: [server] has no name, nor does [servers] name this "
         "host; write name = ..., give --name, or set NIGHTMAIL_NAME"),
        (SMALLEST.replace('"mx1"', '"mx 1"'), ":2: 'mx 1' can't be the name of a server; a name is made of letters, "
         "digits and -, at most 63 of them"),
        (SMALLEST.partition("[[")[0], ': there is no [[listener]]; write [[listener]] and below it address = '
         '"127.0.0.1:2525"'),
        (PAIR.replace("secret_file", "# secret_file"), ":12: [heartbeat] has no secret_file; with several servers it "
         "names the file with the key that all of them share"),
        (PAIR.replace("7947", "7946"), ":11: [servers.mx2] heartbeat is also that of mx1; give each server an address "
         "of its own"),
        (b"[server]\nname = 'm\xfcx'\n", ":2: this line is not UTF-8; store the file as UTF-8"),
        (SMALLEST.replace("2525", "25x5"), ":7: [[listener]] address: '25x5' in '127.0.0.1:25x5' is no port; write a "
         "number up to 65535"),
        (SMALLEST.replace("[store]", "own_addresses = ['lb']\n[store]"), ":4: [server] own_addresses: 'lb' is not an "
         "IP address; write it as in 192.0.2.1 or 192.0.2.1:53"),
    ],
)  # fmt: skip
def test_a_fault_in_the_file(tmp_path: Path, text: str | bytes, line: str) -> None:
    assert fault(tmp_path, text) == f"nightmail.toml{line}"


def test_a_file_for_several_servers_knows_which_this_is_by_its_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nightmail.toml"
    path.write_text(PAIR.replace('name = "mx1"', "", 1))
    (tmp_path / "heartbeat.key").write_text("x" * 32)
    monkeypatch.setattr(socket, "gethostname", lambda: "mx2.example.net")
    assert load(str(path)).server.name == "mx2"
    monkeypatch.setenv("NIGHTMAIL_NAME", "mx1")
    assert load(str(path)).server.name == "mx1"
    monkeypatch.delenv("NIGHTMAIL_NAME")
    monkeypatch.setattr(socket, "gethostname", lambda: "elsewhere")
    with pytest.raises(ConfigInvalid, match="NIGHTMAIL_NAME; the servers are mx1, mx2"):
        load(str(path))


def test_a_name_on_the_command_line_has_to_be_one_of_the_servers(tmp_path: Path) -> None:
    assert fault(tmp_path, PAIR, "mx3").endswith("there is no [servers.mx3] for the server mx3; did you mean mx2?")
    assert fault(tmp_path, PAIR, "other").endswith(
        "there is no [servers.other] for the server other; the servers are mx1, mx2"
    )
    assert "can't be the name of a server" in fault(tmp_path, SMALLEST, "a.b")


DIRECTORY = PAIR.replace('7946"', '7946"\ndirectory = "127.0.0.1:1389"').replace(
    '7947"', '7947"\ndirectory = "127.0.0.1:1390"'
)
SECTION = """\
[directory]
suffix = "dc=example,dc=org"
secret_file = "directory.key"
data_directory = "directory"
"""
MASTER = 'first_master = "mx1"\n'


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (DIRECTORY, ":10: [servers.mx1] has a directory, and there is no [directory]; write it"),
        (PAIR + SECTION, ":14: no server has a replica of the directory; write directory = \"host:port\" below "
         "[servers.NAME] of one or two"),
        (DIRECTORY + SECTION + "[tables]\n", ":16: there are both [tables] and [directory]; mail is routed by one of "
         "the two: take the other one out"),
        (DIRECTORY + SECTION + 'first_master = "mx3"', ":20: [directory] first_master: mx3 is no server with a "
         "replica; those with one are mx1, mx2"),
        (DIRECTORY + SECTION, ":16: [directory] has no first_master; it says whose replica takes writes: mx1 or "
         "mx2; the same in the files of all servers"),
        (DIRECTORY.replace("1390", "1389") + SECTION + MASTER, ":13: [servers.mx2] directory is also that of mx1; "
         "give each server an address of its own"),
        (DIRECTORY + SECTION.replace("dc=example,dc=org", "example.org"), ":16: [directory] suffix is not the name of "
         "a directory's top; write it as in dc=example,dc=org or o=example"),
        (DIRECTORY + SECTION.replace("suffix", "# suffix"), ":16: [directory] has no suffix; write suffix = ..., text "
         "in quotes, not empty"),
    ],
)  # fmt: skip
def test_a_fault_of_the_directory(tmp_path: Path, text: str, line: str) -> None:
    assert fault(tmp_path, text) == f"nightmail.toml{line}"


SITES = DIRECTORY.replace('1390"', '1390"\nsite = "dr"') + SECTION + 'topology = "multi-site"\n'


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ("", ":17: [directory] has no masters; write masters = {SITE = \"SERVER\", ...}, whose replica takes a site's "
         "writes"),
        (MASTER, ":17: [directory] has a first_master, and each site has its own; write masters = {SITE = \"SERVER\", "
         "...}"),
        ('masters = {main = "mx1"}', ":22: [directory] masters has none for the site dr, where mx2 stands; write dr = "
         '"mx2" there'),
        ('masters = {main = "mx1", dr = "mx3"}', ":22: [directory] masters: dr: mx3 is no server with a replica; those "
         "with one are mx1, mx2"),
        ('masters = {main = "mx1", "d,r" = "mx2"}', ":17: [directory] masters: 'd,r' can't be the name of a site; it "
         "is made of letters, digits and -"),
        ('masters = {dr = "mx1", DR = "mx2"}', ":17: [directory] masters: two sites have names that differ in case "
         "alone; name them so that nobody mixes them up"),
        ('masters = {main = "mx1", dr = 2}', ":22: [directory] masters can't be such a table; it has to be a table, "
         "each value text in quotes"),
    ],
)  # fmt: skip
def test_a_fault_of_a_directory_on_several_sites(tmp_path: Path, settings: str, line: str) -> None:
    assert fault(tmp_path, SITES + settings) == f"nightmail.toml{line}"


def test_masters_of_sites_are_for_several_sites(tmp_path: Path) -> None:
    assert fault(tmp_path, DIRECTORY + SECTION + 'masters = {main = "mx1"}') == (
        "nightmail.toml:16: [directory] has masters, which are for several sites; "
        'write topology = "multi-site", or first_master'
    )


def test_each_part_has_the_master_of_its_site(tmp_path: Path) -> None:
    config = load(write(tmp_path, SITES + 'masters = {main = "mx1", dr = "mx2"}'), "mx1")
    assert {part.site: config.master_of(part) for part in config.parts} == {"main": "mx1", "dr": "mx2"}


def test_a_file_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(f"{tmp_path}/none.toml")
    right = "name the file with --config FILE"
    assert str(caught.value) == f"{tmp_path}/none.toml: it can't be read: No such file or directory; {right}"


def test_no_fault_repeats_what_may_be_a_secret(tmp_path: Path) -> None:
    secret = "hunter2-hunter2"
    for table, cls in CLASSES.items():
        for name in cls.__struct_fields__:
            headed = {"servers": "[servers.mx1]", "listener": "[[listener]]"}.get(table, f"[{table}]")
            for value in (f'{{ key = "{secret}" }}', f'[["{secret}"]]'):
                assert secret not in fault(tmp_path, f"{headed}\n{name} = {value}\n")


@given(st.lists(st.sampled_from([*SMALLEST.splitlines(), *"[]=\"'.#\n a1", "[queue]", "retry_first_s = ", "\n"])))
def test_any_text_is_a_configuration_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str]
) -> None:
    path = write(tmp_path_factory.getbasetemp(), "".join(f"{piece}\n" if len(piece) > 3 else piece for piece in pieces))
    said = path
    try:
        load(path)
    except ConfigInvalid as error:
        said = str(error)
    assert said.startswith(path)
    assert "\n" not in said
