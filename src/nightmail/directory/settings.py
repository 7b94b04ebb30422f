"""What an administrator may say about the directory."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from nightmail.directory.mapping_settings import MappingSettings, SchemaName
from nightmail.directory.topologies import check_topology


class DirectorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[directory]`: the LDAP directory that keeps routing, policies and recipients, in place of `[tables]`."""

    suffix: Annotated[
        str,
        msgspec.Meta(description="The entry below which all others are, such as `dc=example,dc=org`.", min_length=1),
    ]
    topology: Annotated[
        Literal["single-master", "failover", "multi-site", "external"],
        msgspec.Meta(
            description="Who takes writes. `single-master`: one replica always, and none while it is away. `failover`: "
            "another one takes over for a master that is away; what is written is acknowledged once it is on both. "
            "`multi-site`: each site has a part of the directory, and one replica that takes writes to it. "
            "`external`: nobody, since it is a directory that others run and that is only read."
        ),
    ] = "single-master"
    first_master: Annotated[
        str,
        msgspec.Meta(
            description="The server whose replica takes writes, with `failover` the first to do so; the same in the "
            "files of all servers, and needed with several replicas."
        ),
    ] = ""
    masters: Annotated[
        dict[str, str],
        msgspec.Meta(
            description="With `multi-site`: for each site the server whose replica takes writes to its part, as in "
            '`{main = "mx1", dr = "mx3"}`; the same in the files of all servers.'
        ),
    ] = {}
    secret_file: Annotated[
        str,
        msgspec.Meta(
            description="The file with the key that all servers share; from it come the passwords by which they know "
            "one another, and the authority of their certificates. Needed, except with `external`.",
            extra={"path": True},
        ),
    ] = ""
    data_directory: Annotated[
        str,
        msgspec.Meta(
            description="Where this server's replica keeps everything, and the last copy of what is read from another "
            "directory, `{name}` being the server's name. It has to outlast a restart of the machine. Needed, except "
            "with `[tables]`.",
            extra={"path": True},
        ),
    ] = ""
    size_limit_mib: Annotated[
        int,
        msgspec.Meta(
            description="What the entries of a replica may grow to, in MiB; a full one takes no writes. Address space "
            "of that size is set aside, memory and disk are not.",
            ge=16,
        ),
    ] = 16384
    uris: Annotated[
        tuple[str, ...],
        msgspec.Meta(
            description="With `external`: where the directory's servers are, as `ldaps://HOST`, `ldap://HOST` "
            "(StartTLS is demanded) or `ldapi://%2FPATH`."
        ),
    ] = ()
    bind_dn: Annotated[
        str,
        msgspec.Meta(
            description="With `external`: the account that reads; empty: whom the client's certificate or the Unix "
            "socket says (SASL EXTERNAL)."
        ),
    ] = ""
    password_file: Annotated[
        str,
        msgspec.Meta(
            description="With `external`: the file with the account's password, which nobody else can read.",
            extra={"path": True},
        ),
    ] = ""
    authority_file: Annotated[
        str,
        msgspec.Meta(
            description="With `external`: the PEM file with the authorities to trust; default: those of the system.",
            extra={"path": True},
        ),
    ] = ""
    certificate_file: Annotated[
        str,
        msgspec.Meta(description="With `external`: a certificate to show, as a PEM file.", extra={"path": True}),
    ] = ""
    key_file: Annotated[str, msgspec.Meta(description="The key of that certificate.", extra={"path": True})] = ""
    schema: Annotated[
        SchemaName,
        msgspec.Meta(
            description="With `external`: what entries of people and lists look like; `nightmail`: as in a directory "
            "of ours."
        ),
    ] = "nightmail"
    mapping: Annotated[
        MappingSettings | None, msgspec.Meta(description="Where entries differ from what `schema` says.")
    ] = None
    poll_interval_s: Annotated[
        float,
        msgspec.Meta(
            description="With `external`: how soon at the latest a change is in force, where a server can't tell of "
            "changes (RFC 4533).",
            gt=0,
        ),
    ] = 30.0
    lookup_timeout_s: Annotated[
        float, msgspec.Meta(description="How long a replica may take to answer before another one is asked.", gt=0)
    ] = 0.25
    lag_limit_s: Annotated[
        float,
        msgspec.Meta(
            description="For how long a replica may lack a change that another one has; beyond that it is not asked. "
            "One that comes back is not, either, until it has what the others had then.",
            gt=0,
        ),
    ] = 5.0

    def __post_init__(self) -> None:
        """Refuse settings that don't go together."""
        check_topology(self)
