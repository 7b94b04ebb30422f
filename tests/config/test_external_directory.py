"""Settings of a directory that is not ours: what goes together, and one line for what doesn't."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.config.files import SMALLEST, write

from nightmail.config.loading import load
from nightmail.directory.mapping_settings import MappingSettings
from nightmail.errors import ConfigInvalid

EXTERNAL = """\
[directory]
topology = "external"
uris = ["ldaps://ldap.example.com", "ldap://[2001:db8::1]:389/"]
suffix = "ou=people, dc=example,dc=com"
bind_dn = "nightmail@example.com"
password_file = "directory.password"
schema = "active-directory"
"""
TABLES = '[tables]\ndirectory = "tables"\n'
KEPT = 'data_directory = "data/{name}"\n'


def test_paths_are_those_of_the_file_and_what_is_not_said_is_the_schemas(tmp_path: Path) -> None:
    config = load(write(tmp_path, SMALLEST + EXTERNAL + "[directory.mapping]\npeople_addresses = ['mail']\n" + TABLES))
    assert config.directory is not None
    assert config.directory.password_file == f"{tmp_path}/directory.password"
    assert config.directory.mapping == MappingSettings(people_addresses=("mail",))
    assert config.has_tables
    assert config.directory.poll_interval_s == 30


def test_without_tables_what_the_directory_says_of_domains_is_kept(tmp_path: Path) -> None:
    config = load(write(tmp_path, SMALLEST + EXTERNAL + KEPT))
    assert config.directory is not None
    assert config.directory.data_directory == f"{tmp_path}/data/mx1"
    assert not config.has_tables


@pytest.mark.parametrize("text", ['certificate_file = "c"\nkey_file = "k"\n', ""])
def test_a_certificate_or_a_unix_socket_says_who_asks(tmp_path: Path, text: str) -> None:
    uri = 'uris = ["ldaps://ldap.example.com"]' if text else 'uris = ["ldapi://%2Frun%2Fslapd%2Fldapi"]'
    load(write(tmp_path, f'{SMALLEST}[directory]\ntopology = "external"\nsuffix = "o=x"\n{uri}\n{text}{TABLES}'))


def changed(old: str, new: str) -> str:
    assert old in EXTERNAL
    return EXTERNAL.replace(old, new)


@pytest.mark.parametrize(
    ("section", "wrong"),
    [
        (EXTERNAL, "[directory] has no data_directory, and there are no [tables]; write it, for domains"),
        (EXTERNAL + KEPT + TABLES, "[directory] has a data_directory, and [tables] say all that would be kept"),
        (
            EXTERNAL + 'secret_file = "x"\n' + TABLES,
            "[directory] has secret_file, which is for replicas that nightmail runs",
        ),
        (EXTERNAL + 'first_master = "mx1"\n' + TABLES, "[directory] has first_master, which is for replicas that"),
        (changed('uris = ["ldaps://ldap.example.com", "ldap://[2001:db8::1]:389/"]', ""), "[directory] has no uris"),
        (changed("ldaps://ldap.example.com", "https://ldap.example.com"), "[directory] has a URI that is none"),
        (changed("ldaps://ldap.example.com", "ldaps://ldap.example.com/o=x??sub"), "has a URI that is none"),
        (changed("ldaps://ldap.example.com", "ldaps://user@ldap.example.com"), "has a URI that is none"),
        (changed("ou=people, dc=example,dc=com", "example.com"), "[directory] suffix is not the name of an entry"),
        (changed('password_file = "directory.password"\n', ""), "[directory] has bind_dn and no password_file"),
        (changed('bind_dn = "nightmail@example.com"\n', ""), "[directory] has password_file and no bind_dn"),
        (
            changed('bind_dn = "nightmail@example.com"\npassword_file = "directory.password"\n', ""),
            "[directory] does not say who asks; write bind_dn and password_file, or certificate_file and key_file",
        ),
        (EXTERNAL + 'certificate_file = "x"\n', "[directory] has no key_file; a certificate and its key go together"),
        (EXTERNAL + 'key_file = "x"\n', "[directory] has no certificate_file; a certificate and its key go together"),
        (changed("active-directory", "active_directory"), "schema can't be 'active_directory'; did you mean active-"),
        (
            changed('schema = "active-directory"\n', "") + '[directory.mapping]\npeople = ["user"]\n',
            "[directory] has a mapping and no schema that it could change",
        ),
        (
            EXTERNAL + '[directory.mapping]\npeople_filter = "mail=*"\n',
            "nightmail.toml:15: [directory.mapping] people_filter is no search filter",
        ),
        (EXTERNAL + '[directory.mapping]\npeople_adresses = ["mail"]\n', "did you mean people_addresses?"),
        (EXTERNAL + '[directory.mapping]\npeople_addresses = ["mail)("]\n', "has something that is no name"),
        (EXTERNAL + "[directory.mapping]\npeople_addresses = []\n", "lets nobody have an address"),
        (EXTERNAL + "mapping = 1\n", "[directory] mapping can't be 1; it has to be a table of settings"),
        (EXTERNAL + "poll_interval_s = 0\n", "poll_interval_s can't be 0"),
        (
            '[directory]\nsuffix = "o=x"\nsecret_file = "x"\ndata_directory = "x"\nuris = ["ldaps://x"]\n',
            '[directory] has uris, which is for a directory that nightmail does not run; write topology = "external"',
        ),
        (
            '[directory]\nsuffix = "o=x"\nsecret_file = "x"\ndata_directory = "x"\nschema = "389ds"\n',
            "[directory] has a schema, which is for a directory that nightmail does not run",
        ),
        ('[directory]\nsuffix = "o=x"\ndata_directory = "x"\n', "[directory] has no secret_file; write secret_file"),
        (
            EXTERNAL + TABLES + '[servers.mx1]\ndirectory = "127.0.0.1:1389"\n',
            "[servers.mx1] has a directory, which is for replicas that nightmail runs; take it out",
        ),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(tmp_path: Path, section: str, wrong: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        load(write(tmp_path, SMALLEST + section))
    assert wrong in str(caught.value)
    assert caught.value.place.startswith(f"{tmp_path}/nightmail.toml:")
