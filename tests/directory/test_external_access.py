"""Who gets into a directory that is not ours, and who is believed to be it."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from tests.directory.authority import Authority
from tests.directory.foreign_slapd import CLIENT, PASSWORD, READER, SUFFIX, ForeignSlapd, user
from tests.directory.ns_slapd_server import PASSWORD as NS_PASSWORD
from tests.directory.ns_slapd_server import READER as NS_READER
from tests.directory.ns_slapd_server import SUFFIX as NS_SUFFIX
from tests.directory.ns_slapd_server import NsSlapd

from nightmail.admin.external import external_access, look_at_servers
from nightmail.directory.external import PagedDirectory
from nightmail.directory.external_standing import look_at_server
from nightmail.directory.mapping import ForeignSchema
from nightmail.directory.mapping_settings import PRESETS
from nightmail.directory.sessions import Access
from nightmail.directory.settings import DirectorySettings
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


class Scene(NamedTuple):
    """A server with one person, and who made its certificate."""

    server: ForeignSlapd
    authority: Authority


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    authority = Authority(tmp_path / "ca")
    with ForeignSlapd(tmp_path / "slapd", authority.issue("server")) as server:
        server.add([user("alice", "SMTP:alice@corp.example")])
        yield Scene(server, authority)


def found(uri: str, access: Access, suffix: str = SUFFIX) -> list[str]:
    with PagedDirectory(uri, access) as directory:
        return [item.dn for item in directory.search(suffix, "(cn=alice)")]


ALICE = [f"cn=alice,{SUFFIX}"]


def test_the_account_gets_in_encrypted(scene: Scene) -> None:
    for uri in (scene.server.uri, scene.server.tls_uri):
        assert found(uri, scene.server.access()) == ALICE


def test_a_certificate_says_who_we_are(scene: Scene) -> None:
    files = scene.authority.issue(CLIENT)
    access = Access(authority=files.authority, certificate=files.certificate, key=files.key)
    for uri in (scene.server.uri, scene.server.tls_uri):
        assert found(uri, access) == ALICE
    other = scene.authority.issue("mx9")
    assert (
        found(scene.server.uri, Access(authority=other.authority, certificate=other.certificate, key=other.key)) == []
    )


def test_a_unix_socket_says_who_we_are(scene: Scene) -> None:
    assert found(scene.server.socket_uri, Access(authority=str(scene.authority.file))) == ALICE


def test_a_certificate_that_expired_or_that_somebody_else_made_says_nothing(scene: Scene, tmp_path: Path) -> None:
    for files in (scene.authority.issue(CLIENT, expired=True), Authority(tmp_path / "other").issue(CLIENT)):
        access = Access(authority=str(scene.authority.file), certificate=files.certificate, key=files.key)
        with pytest.raises(DirectoryUnavailable):
            found(scene.server.tls_uri, access)


def test_a_wrong_password_is_refused(scene: Scene) -> None:
    for uri in (scene.server.uri, scene.server.tls_uri):
        with pytest.raises(DirectoryUnavailable, match="Invalid credentials") as refused:
            found(uri, scene.server.access("wrong word"))
        assert "wrong word" not in str(refused.value)


def test_a_server_with_an_unknown_authority_gets_no_password(scene: Scene, tmp_path: Path) -> None:
    access = scene.server.access(authority=str(Authority(tmp_path / "other").file))
    for uri in (scene.server.uri, scene.server.tls_uri):
        with pytest.raises(DirectoryUnavailable, match="its certificate is not to be trusted: certificate signature"):
            found(uri, access)


def test_a_server_under_another_name_than_its_certificates_gets_no_password(scene: Scene) -> None:
    with pytest.raises(DirectoryUnavailable, match="not to be trusted: Hostname mismatch"):
        found(scene.server.uri.replace("127.0.0.1", "localhost"), scene.server.access())


@pytest.mark.parametrize("scheme", ["uri", "tls_uri"])
def test_a_server_whose_certificate_expired_gets_no_password(tmp_path: Path, scheme: str) -> None:
    authority = Authority(tmp_path / "ca")
    expired = authority.issue("server", expired=True)
    wrong = "its certificate is not to be trusted: certificate has expired"
    with ForeignSlapd(tmp_path / "slapd", expired) as server, pytest.raises(DirectoryUnavailable, match=wrong):
        found(getattr(server, scheme), server.access())


REFUSAL = b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x02\x04\x00\x04\x00"
"""protocolError, for the first request of a connection (RFC 4511 §4.12)."""


def test_a_server_that_will_not_encrypt_gets_no_password(scene: Scene) -> None:
    heard = b""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            nonlocal heard
            with listening.accept()[0] as connection:
                heard += connection.recv(1024)
                connection.sendall(REFUSAL)
                while said := connection.recv(1024):
                    heard += said

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(DirectoryUnavailable, match="Protocol error"):
            found(f"ldap://127.0.0.1:{listening.getsockname()[1]}", scene.server.access())
        gc.collect()  # which ends the connection
        thread.join(10)
    assert not thread.is_alive()
    assert heard
    assert PASSWORD.encode() not in heard


def test_389_directory_server_lets_the_account_in_and_nobody_with_a_wrong_word(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    with NsSlapd(tmp_path / "ds", authority) as server:
        alice = server.add_person("alice", "alice@example.com")
        access = Access(name=NS_READER, password=NS_PASSWORD, authority=str(authority.file))
        for uri in (server.uri, server.tls_uri):
            assert found(uri, access, NS_SUFFIX) == [alice]
            with pytest.raises(DirectoryUnavailable, match="Invalid credentials"):
                found(uri, msgspec.structs.replace(access, password="wrong"))
        other = msgspec.structs.replace(access, authority=str(Authority(tmp_path / "other").file))
        with pytest.raises(DirectoryUnavailable, match="its certificate is not to be trusted"):
            found(server.tls_uri, other)


def test_389_directory_server_that_lets_nobody_look_through_all_of_it_is_asked_all_the_same(tmp_path: Path) -> None:
    authority, schema = Authority(tmp_path / "ca"), ForeignSchema(PRESETS["389ds"])
    with NsSlapd(tmp_path / "ds", authority) as server:
        people = [server.add_person(f"user{number}", f"user{number}@example.com") for number in range(30)]
        server.limit_to(10)
        access = Access(name=NS_READER, password=NS_PASSWORD, authority=str(authority.file))
        standing = asyncio.run(look_at_server(server.tls_uri, access, NS_SUFFIX, schema))
        assert (standing.state, standing.entries) == ("ok", None)
        with PagedDirectory(server.tls_uri, access) as directory:
            keys = [f"user{number}@example.com" for number in (0, 15, 29)]
            names = [item.dn for item in directory.search(NS_SUFFIX, schema.filter_of(keys))]
            assert sorted(names) == sorted(people[number] for number in (0, 15, 29))
            with pytest.raises(DirectoryUnavailable, match="Administrative limit exceeded"):
                [*directory.search(NS_SUFFIX, schema.mail_filter)]


def settings(scene: Scene, directory: Path, **further: object) -> DirectorySettings:
    password = directory / "password"
    password.write_text(PASSWORD)
    password.chmod(0o600)
    return DirectorySettings(
        topology="external",
        uris=(scene.server.tls_uri, "ldaps://127.0.0.1:1"),
        suffix=SUFFIX,
        schema="active-directory",
        bind_dn=READER,
        password_file=str(password),
        authority_file=str(scene.authority.file),
        **further,  # type: ignore[arg-type]  # whatever a test changes
    )


def test_how_each_server_stands_is_seen(scene: Scene, tmp_path: Path) -> None:
    good, away = look_at_servers(settings(scene, tmp_path))
    assert (good.state, good.changes, good.entries) == ("ok", "polled", 1)
    assert "Connection refused" in away.state
    [other, _] = look_at_servers(msgspec.structs.replace(settings(scene, tmp_path), suffix="dc=other"))
    assert "it shows no entry dc=other: see suffix" in other.state


def test_files_that_everybody_can_read_or_that_are_not_there_are_refused(scene: Scene, tmp_path: Path) -> None:
    right = settings(scene, tmp_path)
    external_access(right)
    with pytest.raises(ConfigInvalid, match=r"authority_file .*/none"):
        external_access(msgspec.structs.replace(right, authority_file=str(tmp_path / "none")))
    files = scene.authority.issue(CLIENT)
    with_key = msgspec.structs.replace(right, certificate_file=files.certificate, key_file=files.key)
    assert external_access(with_key).certificate == files.certificate
    Path(files.key).chmod(0o644)
    with pytest.raises(ConfigInvalid, match=r"key_file .*every user"):
        external_access(with_key)
    Path(right.password_file).chmod(0o644)
    with pytest.raises(ConfigInvalid, match=r"password_file .*every user"):
        external_access(right)
