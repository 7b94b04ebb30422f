"""A real 389 Directory Server for tests, with everything that it keeps in one directory, on loopback."""

from __future__ import annotations

import base64
import hashlib
import os
import pwd
import re
import shutil
import signal
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ldap
from tests.directory.authority import Authority
from tests.e2e.switch import free_port
from tests.e2e.waiting import until

from nightmail.directory.names import escape_name

SUFFIX = "dc=example,dc=com"
READER = f"uid=nightmail,{SUFFIX}"
PASSWORD = "of the reader"
_TEMPLATE = Path("/usr/share/dirsrv/data/template-dse.ldif")
_CONFIGURATION = Path("/etc/dirsrv/config")
_MANAGER = "cn=Directory Manager"
_SECRET = "of the manager"

_FIRST = {
    "cn=users,cn=ldbm database,cn=plugins,cn=config": {
        "objectClass": ["top", "extensibleObject", "nsBackendInstance"],
        "cn": ["users"],
        "nsslapd-suffix": [SUFFIX],
    },
    f'cn="{SUFFIX}",cn=mapping tree,cn=config': {
        "objectClass": ["top", "extensibleObject", "nsMappingTree"],
        "cn": [SUFFIX],
        "nsslapd-state": ["backend"],
        "nsslapd-backend": ["users"],
    },
    SUFFIX: {
        "objectClass": ["top", "domain"],
        "dc": ["example"],
        "aci": [
            f'(targetattr="*")(version 3.0; acl "reader"; allow (read, search, compare) userdn="ldap:///{READER}";)'
        ],
    },
    READER: {
        "objectClass": ["top", "account", "simpleSecurityObject"],
        "uid": ["nightmail"],
        "userPassword": [PASSWORD],
    },
    f"ou=people,{SUFFIX}": {"objectClass": ["top", "organizationalUnit"], "ou": ["people"]},
    f"ou=groups,{SUFFIX}": {"objectClass": ["top", "organizationalUnit"], "ou": ["groups"]},
}


class NsSlapd:
    """A server in `directory`; as a context it runs, with its suffix and an account that may read."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        self._directory = directory
        self._port, self._tls_port = free_port(), free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.uri = f"ldap://127.0.0.1:{self._port}"
        self.tls_uri = f"ldaps://127.0.0.1:{self._tls_port}"
        self._socket = f"ldapi://{str(directory / 'socket').replace('/', '%2F')}"
        self._lay_down()
        self._make_keys(authority)

    def start(self) -> None:
        """Start it and wait until it answers."""
        command = ["/usr/sbin/ns-slapd", "-D", str(self._directory), "-i", str(self._directory / "pid"), "-d", "0"]
        with (self._directory / "said").open("ab") as said:
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        until(self._is_up, f"{self.uri} answers")

    def kill(self) -> None:
        """kill -9."""
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: it takes connections and says nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def add(self, name: str, attributes: dict[str, list[str]]) -> None:
        """Add an entry, as its manager."""
        self._as_manager().add_s(name, [(key, [value.encode() for value in each]) for key, each in attributes.items()])

    def add_person(self, uid: str, *addresses: str) -> str:
        """Add a person with these addresses, the first one in `mail`; its name."""
        name = f"uid={escape_name(uid)},ou=people,{SUFFIX}"
        person = {
            "objectClass": ["top", "person", "organizationalPerson", "inetOrgPerson", "mailRecipient"],
            "uid": [uid], "cn": [uid], "sn": [uid], "mail": [addresses[0]],
        }  # fmt: skip
        self.add(name, person | ({"mailAlternateAddress": [*addresses[1:]]} if addresses[1:] else {}))
        return name

    def delete(self, name: str) -> None:
        """Delete an entry, as its manager."""
        self._as_manager().delete_s(name)

    def modify(self, name: str, **values: list[str]) -> None:
        """Give an entry's attributes other values, as its manager."""
        changes = [(ldap.MOD_REPLACE, key, [value.encode() for value in each]) for key, each in values.items()]
        self._as_manager().modify_s(name, changes)

    def limit_to(self, count: int) -> None:
        """Let whoever searches from now on look through so many entries."""
        where = "cn=config,cn=ldbm database,cn=plugins,cn=config"
        self.modify(where, **{"nsslapd-lookthroughlimit": [str(count)]})

    def _as_manager(self) -> Any:
        session = ldap.initialize(self._socket)
        session.simple_bind_s(_MANAGER, _SECRET)
        return session

    def _is_up(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            raise AssertionError((self._directory / "said").read_text() + (self._directory / "errors").read_text())
        try:
            self._as_manager().whoami_s()
        except ldap.LDAPError:
            return False
        return True

    def _lay_down(self) -> None:
        """Write its configuration, as the distribution's setup does where systemd runs."""
        here = self._directory
        shutil.copytree(_CONFIGURATION, here)
        (here / "db").mkdir()
        shutil.copytree("/etc/dirsrv/schema", here / "schema")
        words = dict.fromkeys(
            ("lock_dir", "tmp_dir", "cert_dir", "ldif_dir", "bak_dir", "run_dir", "inst_dir", "log_dir", "config_dir"),
            str(here),
        ) | {
            "schema_dir": str(here / "schema"), "db_dir": str(here / "db"), "db_home_dir": str(here / "db"),
            "db_lib": "bdb", "fqdn": "localhost", "ds_port": str(self._port),
            "ds_user": pwd.getpwuid(os.geteuid()).pw_name, "rootdn": _MANAGER, "ds_passwd": _hashed(_SECRET),
            "ds_suffix": SUFFIX, "ldapi_enabled": "on", "ldapi": str(here / "socket"), "ldapi_autobind": "off",
        }  # fmt: skip
        text = re.sub("%([a-z_]+)%", lambda found: words[found[1]], _TEMPLATE.read_text())
        secure = f"nsslapd-port: {self._port}\nnsslapd-security: on\nnsslapd-securePort: {self._tls_port}\n"
        (here / "dse.ldif").write_text(text.replace(f"nsslapd-port: {self._port}\n", secure))

    def _make_keys(self, authority: Authority) -> None:
        files = authority.issue("server")
        here = str(self._directory)
        (self._directory / "none").write_text("")
        together = str(self._directory / "server.p12")
        for command in (
            ["certutil", "-N", "-d", here, "--empty-password"],
            ["certutil", "-A", "-d", here, "-n", "authority", "-t", "CT,,", "-i", files.authority],
            ["openssl", "pkcs12", "-export", "-inkey", files.key, "-in", files.certificate, "-name", "Server-Cert",
             "-passout", "pass:", "-out", together],
            ["pk12util", "-i", together, "-d", here, "-W", "", "-k", str(self._directory / "none")],
        ):  # fmt: skip
            subprocess.run(command, check=True, capture_output=True)

    def __enter__(self) -> Self:
        self.start()
        for name, attributes in _FIRST.items():
            self.add(name, attributes)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()


def _hashed(password: str) -> str:
    return "{SHA}" + base64.b64encode(hashlib.sha1(password.encode(), usedforsecurity=False).digest()).decode()
