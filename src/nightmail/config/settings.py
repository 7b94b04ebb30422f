"""What an administrator may say about the servers themselves, and the whole configuration as one value."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from nightmail.balancer.settings import BalancerSettings
from nightmail.delivery.settings import DeliverySettings
from nightmail.directory.parts import Part, parts_of
from nightmail.directory.settings import DirectorySettings
from nightmail.net.settings import DnsSettings, ListenerSettings
from nightmail.queue.settings import QueueSettings
from nightmail.routing.settings import TablesSettings
from nightmail.smtp.settings import SmtpSettings
from nightmail.store.settings import StoreSettings


class ServerSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[server]`: which server this is and how it runs."""

    name: Annotated[
        str,
        Meta(
            description="The name of this server and the first part of its queues' names: letters, digits and `-`; "
            "`--name` overrides it."
        ),
    ] = ""
    hostname: Annotated[
        str,
        Meta(
            description="The host name announced in SMTP, `{name}` being the name; default: its fully qualified form."
        ),
    ] = ""
    workers: Annotated[int, Meta(description="Switches to run; 0: one for each core.", ge=0, le=1024)] = 1
    run_directory: Annotated[
        str,
        Meta(
            description="Sockets, pid and local files, `{name}` being the name; default: run/NAME.",
            extra={"path": True},
        ),
    ] = ""
    user: Annotated[
        str, Meta(description="The user that a server started as root becomes once its ports are bound.")
    ] = ""
    own_addresses: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses of balancers that lead back to this cluster, `address` or `address:port`: "
            "mail that would be sent there goes in circles."
        ),
    ] = ()
    stop_timeout_s: Annotated[
        float,
        Meta(
            description="How long a switch may take to settle and end before it is killed; nothing is lost then.", gt=0
        ),
    ] = 30.0
    log_format: Annotated[
        Literal["logfmt", "json"], Meta(description="How a line of the log is written: `key=value` words, or JSON.")
    ] = "logfmt"


class ServerEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[servers.NAME]`: how the others reach one server of the cluster; this one has an entry too."""

    heartbeat: Annotated[
        str, Meta(description="`host:port` that takes the other servers' heartbeats, by UDP.", extra={"endpoint": True})
    ] = ""
    smtp: Annotated[
        str, Meta(description="`host:port` of its SMTP service, as a balancer reaches it.", extra={"endpoint": True})
    ] = ""
    http: Annotated[
        str,
        Meta(
            description="`host:port` on which `/live`, `/ready` and `/metrics` are answered; empty: nowhere.",
            extra={"endpoint": True},
        ),
    ] = ""
    directory: Annotated[
        str,
        Meta(
            description="`host:port` on which its replica of the directory is reached; empty: it has none.",
            extra={"endpoint": True},
        ),
    ] = ""
    group: Annotated[
        str, Meta(description="The servers that protect one another; default: all servers of a site are one group.")
    ] = ""
    site: Annotated[str, Meta(description="The place where it stands, with a store of its own.")] = "main"
    standby: Annotated[
        bool,
        Meta(
            description="Whether it waits idle: the balancer sends it clients only while no other server is ready, and "
            "none at all where it has no `smtp`. It takes over as any other."
        ),
    ] = False


class HeartbeatSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[heartbeat]`: how servers recognise one another."""

    secret_file: Annotated[
        str,
        Meta(
            description="The file with the key that authenticates heartbeats; needed with two or more servers.",
            extra={"path": True},
        ),
    ] = ""


class SubmissionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[submission]`: mail from programs on this machine, by `nightmail sendmail`."""

    drop_directory: Annotated[
        str,
        Meta(
            description="Where their mail is kept while no switch runs; default: `drop` in the run directory.",
            extra={"path": True},
        ),
    ] = ""
    group: Annotated[
        str, Meta(description="The group that owns the drop directory; default: that of the server's process.")
    ] = ""


class Config(msgspec.Struct, frozen=True, kw_only=True, rename={"listeners": "listener"}):
    """A whole configuration, checked, with every path absolute and every default filled in.

    `path` is the file it was read from; relative paths are relative to its directory, `base`. `has_tables` says that it
    has `[tables]`: beside a directory they say what is not looked up there.
    """

    server: ServerSettings
    servers: dict[str, ServerEntry]
    heartbeat: HeartbeatSettings
    store: StoreSettings
    listeners: tuple[ListenerSettings, ...]
    smtp: SmtpSettings
    tables: TablesSettings
    queue: QueueSettings
    delivery: DeliverySettings
    dns: DnsSettings
    submission: SubmissionSettings
    balancer: BalancerSettings | None = None
    directory: DirectorySettings | None = None
    path: str = ""
    has_tables: bool = False

    def group_of(self, server: str) -> str:
        """The name of the group that `server` belongs to: its site's, if nothing else is said."""
        entry = self.servers.get(server, ServerEntry())
        return entry.group or f"site {entry.site}"

    @property
    def master(self) -> str:
        """The server whose replica of the directory takes writes, or was the first to, where the role moves."""
        first = self.directory.first_master if self.directory is not None else ""
        return first or next(iter(self.replicas), "")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts of the directory, none where there is none."""
        if self.directory is None:
            return ()
        return parts_of(self.directory.suffix, self.directory.masters)

    def master_of(self, part: Part) -> str:
        """The server whose replica takes writes to a part, or was the first to, where the role moves."""
        masters = self.directory.masters if self.directory is not None else {}
        return masters.get(part.site, self.master)

    def site_of(self, server: str) -> str:
        """Where a server stands."""
        return self.servers.get(server, ServerEntry()).site

    @property
    def has_failover(self) -> bool:
        """Whether the role of the directory's master goes over to another server."""
        return self.directory is not None and self.directory.topology == "failover"

    @property
    def replicas(self) -> dict[str, str]:
        """The servers with a replica of the directory, and where it is reached."""
        return {name: entry.directory for name, entry in self.servers.items() if entry.directory}

    @property
    def base(self) -> str:
        """The directory that relative paths start from."""
        return os.path.dirname(self.path)
