"""One OpenLDAP server of our own: its whole configuration as entries of cn=config (slapd-config(5)).

It is written anew before every start, so that what is in force is what is written here. The server runs as our own
user, keeps everything in one directory, and lets nobody in who is not authenticated. Who manages it does so over its
Unix socket, known by user id.

Some settings are there because others lose data in silence: a checkpoint with every write, or a master that was killed
takes itself to be behind its shadow, and ships what was deleted late or never; no log of what was deleted
(olcSpSessionlog), which keeps from a shadow that an entry is gone which it had taken, and died before it noted that; a
time limit on the provider's answers, or a provider that hangs blocks every change of this configuration.

A replica whose role changes while it runs is *gated*: whether it takes writes stands in an entry of its own, in a
second database that nothing replicates and that is removed before every start. Whoever was master when it was frozen or
killed takes none until it is told so again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from nightmail.directory.accounts import Accounts, account
from nightmail.directory.tree import Item

ENTRIES = "olcDatabase={1}mdb,cn=config"
"""The database of the entries, as an entry of the configuration."""
ROLE = "cn=role"
"""The entry that says what a gated replica is to be."""

_INDEXES = (
    "objectClass eq",
    "entryCSN,entryUUID eq",
    "uid,cn eq",
    "mail,mailLocalAddress,mailRoutingAddress,nmAddress eq",
    "nmDomain,nmMatch,nmNetwork eq",
    "member,rfc822MailMember eq",
)
_SCHEMAS = ("core", "cosine", "inetorgperson", "misc")
_MANAGER = "gidNumber={gid}+uidNumber={uid},cn=peercred,cn=external,cn=auth"
_ROLE_ROOM_BYTES = 1 << 20
WRITE_TIMEOUT_S = 5
"""Whoever takes nothing of an answer for so long is cut off."""


class TlsFiles(msgspec.Struct, frozen=True):
    """The PEM files of a replica: whom it trusts, its certificate and its key."""

    authority: str
    certificate: str
    key: str


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """What makes one replica: `number` from 1 on, everything in `directory`, listening where `uri` says.

    `provider` is the URI of the master; the master itself has none, nor has one that `is_gated` before it is told.
    `writers` are the numbers of those that ever write, as far as a shadow has to compare what it has with them.
    `schema` is the file of our own schema, `schema_directory` and `module_directory` are the distribution's,
    `password_modules` what to load of that for comparing passwords. `uid` and `gid` are whose it is.
    """

    number: int
    directory: str
    suffix: str
    uri: str
    provider: str = ""
    is_gated: bool = False
    writers: tuple[int, ...] = ()
    accounts: Accounts
    tls: TlsFiles
    schema: str
    schema_directory: str
    module_directory: str
    password_modules: tuple[str, ...] = ()
    room_bytes: int
    uid: int
    gid: int

    @property
    def database(self) -> str:
        """Where the entries are kept."""
        return f"{self.directory}/entries"

    @property
    def role_database(self) -> str:
        """Where a gated one keeps what it is told to be, until its next start."""
        return f"{self.directory}/role"

    @property
    def manager(self) -> str:
        """Who we are to the server, over its Unix socket."""
        return _MANAGER.format(uid=self.uid, gid=self.gid)


class Configuration(NamedTuple):
    """Entries, then files with schemas, then entries, in this order."""

    head: tuple[Item, ...]
    schemas: tuple[str, ...]
    rest: tuple[Item, ...]


def configuration(replica: Replica) -> Configuration:
    """Everything that slapd has to be told."""
    schemas = (*(f"{replica.schema_directory}/{name}.ldif" for name in _SCHEMAS), replica.schema)
    role = (_role_database(replica),) if replica.is_gated else ()
    rest = (
        _frontend(), _management(replica), _database(replica), _provider_overlay(), *role, _monitor(replica),
    )  # fmt: skip
    return Configuration((_globals(replica), _modules(replica), _schema_root()), schemas, rest)


def _item(dn: str, **attributes: str | Iterable[str]) -> Item:
    return Item(
        dn, {name: (value,) if isinstance(value, str) else tuple(value) for name, value in attributes.items() if value}
    )


def _globals(replica: Replica) -> Item:
    return _item(
        "cn=config",
        objectClass="olcGlobal",
        cn="config",
        olcServerID=str(replica.number),
        olcPidFile=f"{replica.directory}/slapd.pid",
        olcArgsFile=f"{replica.directory}/slapd.args",
        olcLogLevel="none",
        olcThreads="8",
        olcIdleTimeout="0",
        olcWriteTimeout=str(WRITE_TIMEOUT_S),  # else a few who do not read keep all threads, and everybody waits
        olcConnMaxPendingAuth="1000",
        olcDisallows="bind_anon",
        olcRequires="authc",
        olcTLSCACertificateFile=replica.tls.authority,
        olcTLSCertificateFile=replica.tls.certificate,
        olcTLSCertificateKeyFile=replica.tls.key,
        olcTLSVerifyClient="never",
        olcLocalSSF="256",
        olcSecurity="simple_bind=64 ssf=64",  # nothing crosses a network that others can read
    )


def _modules(replica: Replica) -> Item:
    return _item(
        "cn=module{0},cn=config",
        objectClass="olcModuleList",
        cn="module{0}",
        olcModulePath=replica.module_directory,
        olcModuleLoad=("back_mdb", "syncprov", *replica.password_modules),
    )


def _schema_root() -> Item:
    return _item("cn=schema,cn=config", objectClass="olcSchemaConfig", cn="schema")


def _frontend() -> Item:
    return _item(
        "olcDatabase={-1}frontend,cn=config",
        objectClass=("olcDatabaseConfig", "olcFrontendConfig"),
        olcDatabase="{-1}frontend",
        olcAccess=('{0}to dn.base="" by users read by * none', '{1}to dn.base="cn=Subschema" by users read by * none'),
        olcSizeLimit="500",
    )


def _management(replica: Replica) -> Item:
    return _item(
        "olcDatabase={0}config,cn=config",
        objectClass="olcDatabaseConfig",
        olcDatabase="{0}config",
        olcAccess=f'{{0}}to * by dn.exact="{replica.manager}" manage by * none',
    )


def _database(replica: Replica) -> Item:
    suffix = replica.suffix
    reader, writer, replicator = (account(name, suffix) for name in Accounts.__struct_fields__)
    known = f'by dn.exact="{replicator}" read by dn.exact="{replica.manager}" read'
    return _item(
        ENTRIES,
        objectClass=("olcDatabaseConfig", "olcMdbConfig"),
        olcDatabase="{1}mdb",
        olcSuffix=suffix,
        olcRootDN=f"cn=root,ou=system,{suffix}",  # what a consumer writes as; without a password, nobody else is it
        olcDbDirectory=replica.database,
        olcDbMaxSize=str(replica.room_bytes),
        olcDbIndex=_INDEXES,
        olcSizeLimit="500",
        olcLimits=[
            f'{{{index}}}dn.exact="{name}" size=unlimited time=unlimited'
            for index, name in enumerate((replicator, reader, writer))
        ],
        olcAccess=[
            f"{{{index}}}{rule}"
            for index, rule in enumerate(
                (
                    *(_gate(writer, suffix) if replica.is_gated else ()),
                    # Who may write people's passwords may not write those of the servers.
                    f'to dn.subtree="ou=system,{suffix}" attrs=userPassword by anonymous auth {known} by * none',
                    f'to dn.subtree="ou=system,{suffix}" {known} by * none',
                    f'to attrs=userPassword by dn.exact="{writer}" =w by anonymous auth {known} by * none',
                    f'to * by dn.exact="{writer}" write by dn.exact="{reader}" read {known} by * none',
                )
            )
        ],
        olcSyncrepl=consumer(replica, replica.provider) if replica.provider else "",
    )


def _gate(writer: str, suffix: str) -> Iterator[str]:
    """What every rule stands behind: who may write only reads, as long as the replica was not told to take writes, and
    not what it could not read then.
    """
    may_pass = f'by dn.exact="{writer}" set="[{ROLE}]/nmEnabled & [TRUE]" break'
    yield f'to dn.subtree="ou=system,{suffix}" {may_pass} by dn.exact="{writer}" none by * break'
    yield f'to attrs=userPassword {may_pass} by dn.exact="{writer}" none by * break'
    yield f'to * {may_pass} by dn.exact="{writer}" read by * break'


def _role_database(replica: Replica) -> Item:
    """What the replica is told to be; the servers' accounts may know."""
    accounts = (account(name, replica.suffix) for name in Accounts.__struct_fields__)
    known = " ".join(f'by dn.exact="{name}" read' for name in accounts)
    return _item(
        "olcDatabase={2}mdb,cn=config",
        objectClass=("olcDatabaseConfig", "olcMdbConfig"),
        olcDatabase="{2}mdb",
        olcSuffix=ROLE,
        olcDbDirectory=replica.role_database,
        olcDbMaxSize=str(_ROLE_ROOM_BYTES),
        olcAccess=f'{{0}}to * by dn.exact="{replica.manager}" manage {known} by * none',
    )


def _monitor(replica: Replica) -> Item:
    """What the server tells of itself: its time, and how full it is."""
    reader, number = account("reader", replica.suffix), 3 if replica.is_gated else 2
    return _item(
        f"olcDatabase={{{number}}}monitor,cn=config",
        objectClass=("olcDatabaseConfig", "olcMonitorConfig"),
        olcDatabase=f"{{{number}}}monitor",
        olcAccess=f'{{0}}to * by dn.exact="{reader}" read by dn.exact="{replica.manager}" read by * none',
    )


def consumer(replica: Replica, provider: str) -> str:
    """How the replica follows the one at `provider` (olcSyncrepl); there are secrets in it."""
    words = {
        "rid": f"{replica.number:03}",
        "provider": provider,
        "bindmethod": "simple",
        "binddn": f'"{account("replicator", replica.suffix)}"',
        "credentials": replica.accounts.replicator,
        "searchbase": f'"{replica.suffix}"',
        "type": "refreshAndPersist",
        "retry": '"1 +"',
        "keepalive": "30:3:5",
        "timeout": "1",
        "network-timeout": "2",
        "starttls": "critical",
        "tls_cacert": f'"{replica.tls.authority}"',
        "tls_reqcert": "demand",
    }
    return "{0}" + " ".join(f"{name}={value}" for name, value in words.items())


def _provider_overlay() -> Item:
    """Whoever follows may follow a shadow, too; who was away is told of all that is there, and so of what is not."""
    return _item(
        "olcOverlay={0}syncprov,olcDatabase={1}mdb,cn=config",
        objectClass=("olcOverlayConfig", "olcSyncProvConfig"),
        olcOverlay="{0}syncprov",
        olcSpCheckpoint="1 1",
    )
