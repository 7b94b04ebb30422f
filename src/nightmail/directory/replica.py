"""One OpenLDAP server of our own: its whole configuration as entries of cn=config (slapd-config(5)).

It is written anew before every start, so that what is in force is what is written here. The server runs as our own
user, keeps everything in one directory, and lets nobody in who is not authenticated. Who manages it does so over its
Unix socket, known by user id.

Some settings are there because others lose data in silence: a checkpoint with every write, or a master that was killed
takes itself to be behind its shadow, and ships what was deleted late or never; no log of what was deleted
(olcSpSessionlog), which keeps from a shadow that an entry is gone which it had taken, and died before it noted that; a
time limit on the provider's answers, or a provider that hangs blocks every change of this configuration.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from nightmail.directory.accounts import Accounts, account
from nightmail.directory.tree import Item

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


class TlsFiles(msgspec.Struct, frozen=True):
    """The PEM files of a replica: whom it trusts, its certificate and its key."""

    authority: str
    certificate: str
    key: str


class Replica(msgspec.Struct, frozen=True, kw_only=True):
    """What makes one replica: `number` from 1 on, everything in `directory`, listening where `uri` says.

    `provider` is the URI of the master; the master itself has none. `schema` is the file of our own schema,
    `schema_directory` and `module_directory` are the distribution's, `password_modules` what to load of that for
    comparing passwords. `uid` and `gid` are whose it is.
    """

    number: int
    directory: str
    suffix: str
    uri: str
    provider: str = ""
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
    rest = (_frontend(), _management(replica), _database(replica), _provider_overlay(), _monitor(replica))
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
        "olcDatabase={1}mdb,cn=config",
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
        olcAccess=(
            # Who may write people's passwords may not write those of the servers.
            f'{{0}}to dn.subtree="ou=system,{suffix}" attrs=userPassword by anonymous auth {known} by * none',
            f'{{1}}to dn.subtree="ou=system,{suffix}" {known} by * none',
            f'{{2}}to attrs=userPassword by dn.exact="{writer}" =w by anonymous auth {known} by * none',
            f'{{3}}to * by dn.exact="{writer}" write by dn.exact="{reader}" read {known} by * none',
        ),
        olcSyncrepl=_consumer(replica) if replica.provider else "",
    )


def _monitor(replica: Replica) -> Item:
    """What the server tells of itself: its time, and how full it is."""
    reader = account("reader", replica.suffix)
    return _item(
        "olcDatabase={2}monitor,cn=config",
        objectClass=("olcDatabaseConfig", "olcMonitorConfig"),
        olcDatabase="{2}monitor",
        olcAccess=f'{{0}}to * by dn.exact="{reader}" read by dn.exact="{replica.manager}" read by * none',
    )


def _consumer(replica: Replica) -> str:
    words = {
        "rid": f"{replica.number:03}",
        "provider": replica.provider,
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
