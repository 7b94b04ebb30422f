"""One OpenLDAP server of our own: its whole configuration as entries of cn=config (slapd-config(5)).

It is written anew before every start, so that what is in force is what is written here. The server runs as our own
user, keeps everything in one directory, and lets nobody in who is not authenticated. Who manages it does so over its
Unix socket, known by user id.

Some settings are there because others lose data in silence: a checkpoint with every write, or a master that was killed
takes itself to be behind its shadow, and ships what was deleted late or never; no log of what was deleted
(olcSpSessionlog), which keeps from a shadow that an entry is gone which it had taken, and died before it noted that; a
time limit on the provider's answers, or a provider that hangs blocks every change of this configuration.

A directory of several parts has a database for each of them, so that each is written, numbered and followed as if it
were alone (olcSubordinate: they are searched as one). Above them is one with the suffix and the servers' accounts,
which come from the secret. It is made anew before every start, and nobody writes or follows it.

A replica whose role changes while it runs is *gated*: whether it takes writes stands in an entry of its own, in a
second database that nothing replicates and that is removed before every start. Whoever was master when it was frozen or
killed takes none until it is told so again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import msgspec

from nightmail.directory.accounts import Accounts, account
from nightmail.directory.parts import Part
from nightmail.directory.tree import Item

ENTRIES = "olcDatabase={1}mdb,cn=config"
"""The first database of entries, and of a gated replica the only one, as an entry of the configuration."""
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
_LITTLE_ROOM_BYTES = 1 << 20
WRITE_TIMEOUT_S = 5
"""Whoever takes nothing of an answer for so long is cut off."""


class TlsFiles(msgspec.Struct, frozen=True):
    """The PEM files of a replica: whom it trusts, its certificate and its key."""

    authority: str
    certificate: str
    key: str


class Database(msgspec.Struct, frozen=True, kw_only=True):
    """One database of entries: those below `base`, of the whole or of a `site`, kept in the directory `path`.

    `provider` is the URI of the replica that sends them; whoever takes writes has none, nor has a gated one before it
    is told. `writers` are the numbers of those that ever write, as far as it has to compare what it has with theirs.
    """

    base: str
    site: str = ""
    path: str
    provider: str = ""
    writers: tuple[int, ...] = ()


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """What makes one replica: `number` from 1 on, everything in `directory`, listening where `uri` says.

    It has one of the `databases` for each part of the directory; one that `is_gated` has a single one.
    `schema` is the file of our own schema, `schema_directory` and `module_directory` are the distribution's,
    `password_modules` what to load of that for comparing passwords. `uid` and `gid` are whose it is. `masters` are the
    servers that take writes to the parts, as it was told: it says so to whoever asks (`told_masters`).
    """

    number: int
    directory: str
    suffix: str
    uri: str
    databases: tuple[Database, ...]
    is_gated: bool = False
    accounts: Accounts
    tls: TlsFiles
    schema: str
    schema_directory: str
    module_directory: str
    password_modules: tuple[str, ...] = ()
    room_bytes: int
    uid: int
    gid: int
    masters: Mapping[Part, str] = {}

    @property
    def is_parted(self) -> bool:
        """Whether its databases are for parts of the directory, and none for the whole."""
        return any(database.base != self.suffix for database in self.databases)

    @property
    def accounts_database(self) -> str:
        """Where one of parts keeps what is above them, until its next start."""
        return f"{self.directory}/accounts"

    @property
    def root_entry(self) -> str:
        """The file with what it says in its root DSE."""
        return f"{self.directory}/root.ldif"

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
    further = [*([_accounts] if replica.is_parted else []), *([_role] if replica.is_gated else []), _monitor]
    numbered = (describe(replica, number) for number, describe in enumerate(further, above_all(replica)))
    rest = (_frontend(), _management(replica), *_databases(replica), *numbered)
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
        olcRootDSE=replica.root_entry if replica.masters else "",
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


def _databases(replica: Replica) -> Iterator[Item]:
    for number, database in enumerate(replica.databases, 1):
        yield _database(replica, database, number)
        yield _provider_overlay(number)


def _database(replica: Replica, database: Database, number: int) -> Item:
    _, writer, _ = _accounts_of(replica)
    known = _known(replica)
    return _mdb(
        replica,
        number,
        (database.base, database.path, replica.room_bytes),
        (
            *(_gate(writer, replica.suffix) if replica.is_gated else ()),
            # Who may write people's passwords may not write those of the servers.
            *(() if replica.is_parted else _guard(replica)),
            f'to attrs=userPassword by dn.exact="{writer}" =w by anonymous auth {known} by * none',
            f'to * by dn.exact="{writer}" write {_readers(replica)}',
        ),
        olcRootDN=f"cn=root,ou=system,{replica.suffix}",  # what a consumer writes as; no password, so nobody else is it
        olcSubordinate="TRUE" if replica.is_parted else "",
        olcSyncrepl=consumer(replica, database, database.provider) if database.provider else "",
    )


def _accounts(replica: Replica, number: int) -> Item:
    """What is above all parts."""
    _, writer, _ = _accounts_of(replica)
    rules = (*_guard(replica), f'to * by dn.exact="{writer}" read {_readers(replica)}')
    return _mdb(replica, number, (replica.suffix, replica.accounts_database, _LITTLE_ROOM_BYTES), rules)


def _mdb(replica: Replica, number: int, place: tuple[str, str, int], rules: Iterable[str], **further: str) -> Item:
    """A database whose `place` is the entry below which others are, a directory, and how many octets it may have."""
    base, path, room_bytes = place
    reader, writer, replicator = _accounts_of(replica)
    return _item(
        f"olcDatabase={{{number}}}mdb,cn=config",
        objectClass=("olcDatabaseConfig", "olcMdbConfig"),
        olcDatabase=f"{{{number}}}mdb",
        olcSuffix=base,
        olcDbDirectory=path,
        olcDbMaxSize=str(room_bytes),
        olcDbIndex=_INDEXES,
        olcSizeLimit="500",
        olcLimits=[
            f'{{{index}}}dn.exact="{name}" size=unlimited time=unlimited'
            for index, name in enumerate((replicator, reader, writer))
        ],
        olcAccess=[f"{{{index}}}{rule}" for index, rule in enumerate(rules)],
        **further,
    )


def _accounts_of(replica: Replica) -> tuple[str, str, str]:
    """The names of those who read, write and replicate."""
    reader, writer, replicator = (account(name, replica.suffix) for name in Accounts.__struct_fields__)
    return reader, writer, replicator


def _known(replica: Replica) -> str:
    """Who sees everything."""
    *_, replicator = _accounts_of(replica)
    return f'by dn.exact="{replicator}" read by dn.exact="{replica.manager}" read'


def _readers(replica: Replica) -> str:
    """Who sees what is no password."""
    reader, *_ = _accounts_of(replica)
    return f'by dn.exact="{reader}" read {_known(replica)} by * none'


def _guard(replica: Replica) -> Iterator[str]:
    """Nobody writes the servers' accounts, and who they are is known by their passwords alone."""
    place, known = f'dn.subtree="ou=system,{replica.suffix}"', _known(replica)
    yield f"to {place} attrs=userPassword by anonymous auth {known} by * none"
    yield f"to {place} {known} by * none"


def _gate(writer: str, suffix: str) -> Iterator[str]:
    """What every rule stands behind: who may write only reads, as long as the replica was not told to take writes, and
    not what it could not read then.
    """
    may_pass = f'by dn.exact="{writer}" set="[{ROLE}]/nmEnabled & [TRUE]" break'
    yield f'to dn.subtree="ou=system,{suffix}" {may_pass} by dn.exact="{writer}" none by * break'
    yield f'to attrs=userPassword {may_pass} by dn.exact="{writer}" none by * break'
    yield f'to * {may_pass} by dn.exact="{writer}" read by * break'


def _role(replica: Replica, number: int) -> Item:
    """What the replica is told to be; the servers' accounts may know."""
    known = " ".join(f'by dn.exact="{name}" read' for name in _accounts_of(replica))
    return _item(
        f"olcDatabase={{{number}}}mdb,cn=config",
        objectClass=("olcDatabaseConfig", "olcMdbConfig"),
        olcDatabase=f"{{{number}}}mdb",
        olcSuffix=ROLE,
        olcDbDirectory=replica.role_database,
        olcDbMaxSize=str(_LITTLE_ROOM_BYTES),
        olcAccess=f'{{0}}to * by dn.exact="{replica.manager}" manage {known} by * none',
    )


def _monitor(replica: Replica, number: int) -> Item:
    """What the server tells of itself: its time, and how full it is."""
    reader, *_ = _accounts_of(replica)
    return _item(
        f"olcDatabase={{{number}}}monitor,cn=config",
        objectClass=("olcDatabaseConfig", "olcMonitorConfig"),
        olcDatabase=f"{{{number}}}monitor",
        olcAccess=f'{{0}}to * by dn.exact="{reader}" read by dn.exact="{replica.manager}" read by * none',
    )


def number_of(replica: Replica, database: Database) -> int:
    """Which of the replica's databases this is, from 1 on; so slapd's tools know it, and so it is followed (rid)."""
    return replica.databases.index(database) + 1


def above_all(replica: Replica) -> int:
    """The number of the database after those of entries: where it is of parts, the one with what is above them."""
    return len(replica.databases) + 1


def consumer(replica: Replica, database: Database, provider: str) -> str:
    """How a database of the replica follows the one at `provider` (olcSyncrepl); there are secrets in it."""
    words = {
        "rid": f"{number_of(replica, database):03}",
        "provider": provider,
        "bindmethod": "simple",
        "binddn": f'"{account("replicator", replica.suffix)}"',
        "credentials": replica.accounts.replicator,
        "searchbase": f'"{database.base}"',
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


def _provider_overlay(number: int) -> Item:
    """Whoever follows may follow a shadow, too; who was away is told of all that is there, and so of what is not."""
    return _item(
        f"olcOverlay={{0}}syncprov,olcDatabase={{{number}}}mdb,cn=config",
        objectClass=("olcOverlayConfig", "olcSyncProvConfig"),
        olcOverlay="{0}syncprov",
        olcSpCheckpoint="1 1",
    )
