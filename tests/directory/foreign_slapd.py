"""A slapd with the schema of Active Directory, as far as mail is concerned: a directory that nightmail only reads."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import ldap
from tests.e2e.switch import free_port
from tests.e2e.waiting import until

from nightmail.directory.ldif import ldif_of
from nightmail.directory.replica import TlsFiles
from nightmail.directory.sessions import Access
from nightmail.directory.slapd import find_installation, own_schema
from nightmail.directory.tree import Item

SUFFIX = "dc=corp,dc=example"
READER = f"cn=nightmail,{SUFFIX}"
PASSWORD = "of the reader"
CLIENT = "mx1"
"""Whose certificate lets one in."""

_OWNER = f"gidNumber={os.getegid()}+uidNumber={os.geteuid()},cn=peercred,cn=external,cn=auth"
_ACCESS = (
    f'to attrs=userPassword by dn.exact="{_OWNER}" manage by anonymous auth by * none',
    f'to * by dn.exact="{_OWNER}" manage by dn.exact="{READER}" read by dn.exact="cn={CLIENT}" read by * none',
)
_TEXT = "EQUALITY caseIgnoreMatch SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15"
_SCHEMA = f"""\
dn: cn=corporate,cn=schema,cn=config
objectClass: olcSchemaConfig
cn: corporate
olcAttributeTypes: ( 2.25.1.1.1 NAME 'proxyAddresses' {_TEXT} )
olcAttributeTypes: ( 2.25.1.1.2 NAME 'targetAddress' {_TEXT} SINGLE-VALUE )
olcAttributeTypes: ( 2.25.1.1.3 NAME 'userAccountControl' EQUALITY integerMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.27 )
olcObjectClasses: ( 2.25.1.2.1 NAME 'user' SUP top STRUCTURAL MUST cn
  MAY ( mail $ proxyAddresses $ targetAddress $ userAccountControl ) )
olcObjectClasses: ( 2.25.1.2.2 NAME 'group' SUP top STRUCTURAL MUST cn MAY ( mail $ proxyAddresses $ member ) )

"""
_CONFIGURATION = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcDisallows: bind_anon
olcTLSCACertificateFile: {tls.authority}
olcTLSCertificateFile: {tls.certificate}
olcTLSCertificateKeyFile: {tls.key}
olcTLSVerifyClient: try
olcLocalSSF: 256
olcSecurity: simple_bind=64 ssf=64

dn: cn=module{{0}},cn=config
objectClass: olcModuleList
cn: module{{0}}
olcModulePath: {modules}
olcModuleLoad: back_mdb
olcModuleLoad: syncprov

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{includes}
{schema}
dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend
olcAccess: {{0}}to dn.base="" by users read

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: {suffix}
olcDbDirectory: {entries}
olcDbMaxSize: 268435456
olcDbIndex: objectClass,mail,proxyAddresses eq
olcSizeLimit: size.soft={most} size.hard={most} size.prtotal=unlimited
olcAccess: {{0}}{access[0]}
olcAccess: {{1}}{access[1]}

"""
_SYNCPROV = """\
dn: olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config
objectClass: olcOverlayConfig
objectClass: olcSyncProvConfig
olcOverlay: {0}syncprov

"""
_FIRST = (
    Item(SUFFIX, {"objectClass": ("dcObject", "organization"), "dc": ("corp",), "o": ("corp",)}),
    Item(
        READER,
        {
            "objectClass": ("organizationalRole", "simpleSecurityObject"),
            "cn": ("nightmail",),
            "userPassword": (PASSWORD,),
        },
    ),
)


class ForeignSlapd:
    """A server in `directory`, as a context it runs. It tells `most` entries at once, and of changes if so said."""

    def __init__(self, directory: Path, tls: TlsFiles, *, most: int = 500, tells_changes: bool = False) -> None:
        self.port, tls_port = free_port(), free_port()
        self.uri = f"ldap://127.0.0.1:{self.port}"
        self.tls_uri = f"ldaps://127.0.0.1:{tls_port}"
        self.socket_uri = f"ldapi://{quote(str(directory / 'socket'), safe='')}"
        self.process: subprocess.Popen[bytes] | None = None
        self._directory = directory
        self._installation = find_installation()
        self._authority = tls.authority
        for name in ("config", "entries"):
            (directory / name).mkdir(parents=True)
        schemas = (
            f"{self._installation.schema_directory}/{name}.ldif" for name in ("core", "cosine", "inetorgperson", "misc")
        )
        text = _CONFIGURATION.format(
            tls=tls, modules=self._installation.module_directory, schema=_SCHEMA, suffix=SUFFIX,
            includes="".join(f"include: file://{path}\n\n" for path in (*schemas, own_schema())),
            entries=directory / "entries", most=most,
            access=_ACCESS,
        )  # fmt: skip
        self._slapadd("0", text + (_SYNCPROV if tells_changes else ""))
        self._slapadd("1", ldif_of(_FIRST))

    def access(self, password: str = PASSWORD, authority: str = "") -> Access:
        """How the reader gets in."""
        return Access(name=READER, password=password, authority=authority or self._authority)

    def add(self, items: Iterable[Item]) -> None:
        """Add entries, as whoever owns it."""
        session = self._as_owner()
        for item in items:
            session.add_s(
                item.dn, [(name, [value.encode() for value in values]) for name, values in item.attributes.items()]
            )

    def replace(self, name: str, **values: tuple[str, ...]) -> None:
        """Give an entry's attributes other values."""
        changes = [(ldap.MOD_REPLACE, key, [value.encode() for value in each]) for key, each in values.items()]
        self._as_owner().modify_s(name, changes)

    def delete(self, name: str) -> None:
        """Delete an entry."""
        self._as_owner().delete_s(name)

    def start(self) -> None:
        """Start it and wait until it answers."""
        uris = f"{self.uri} {self.tls_uri} {self.socket_uri}"
        command = [self._installation.slapd, "-d", "none", "-F", str(self._directory / "config"), "-h", uris]
        self.process = subprocess.Popen(["prlimit", "--nofile=1024:1024", *command], stdin=subprocess.DEVNULL)
        until(self._is_up, f"{self.uri} answers")

    def hide(self, *attributes: str) -> None:
        """Let the reader not see these, from the next start on, and all others; whoever owns it still sees them."""
        hiding = [f'to attrs={attribute} by dn.exact="{_OWNER}" manage by * none' for attribute in attributes]
        rules = "".join(f"olcAccess: {{{number}}}{rule}\n" for number, rule in enumerate([*hiding, *_ACCESS]))
        text = f"dn: olcDatabase={{1}}mdb,cn=config\nchangetype: modify\nreplace: olcAccess\n{rules}"
        tool = Path(self._installation.slapadd).with_name("slapmodify")
        command = [str(tool), "-n", "0", "-F", str(self._directory / "config")]
        subprocess.run(command, input=text.encode(), capture_output=True, check=True)

    def kill(self) -> None:
        """kill -9."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait()
            self.process = None

    def _as_owner(self) -> Any:
        session = ldap.initialize(self.socket_uri)
        session.sasl_external_bind_s()
        return session

    def _is_up(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "slapd ended"
        try:
            self._as_owner().whoami_s()
        except ldap.LDAPError:
            return False
        return True

    def _slapadd(self, number: str, text: str) -> None:
        command = [self._installation.slapadd, "-n", number, "-F", str(self._directory / "config")]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.kill()


def user(name: str, *addresses: str, **attributes: str) -> Item:
    """A person with these `proxyAddresses`."""
    further = {key: (value,) for key, value in attributes.items()}
    return Item(f"cn={name},{SUFFIX}", {"objectClass": ("user",), "cn": (name,), "proxyAddresses": addresses} | further)


def group(name: str, address: str, *members: str) -> Item:
    """A list with these members, by the names of their entries."""
    return Item(
        f"cn={name},{SUFFIX}", {"objectClass": ("group",), "cn": (name,), "mail": (address,), "member": members}
    )
