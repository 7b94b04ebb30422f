"""What an administrator may say about the directory."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

_SUFFIX = re.compile(r"(?:dc|o|ou)=[^,+=\\\"<>;#]+(?:,[A-Za-z]+=[^,+=\\\"<>;#]+)*")


class DirectorySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[directory]`: the LDAP directory that keeps domains, routes, clients and recipients, in place of `[tables]`."""

    suffix: Annotated[
        str,
        msgspec.Meta(description="The entry below which all others are, such as `dc=example,dc=org`.", min_length=1),
    ]
    topology: Annotated[
        Literal["single-master", "failover"],
        msgspec.Meta(
            description="Who takes writes. `single-master`: one replica always, and none while it is away. `failover`: "
            "another one takes over for a master that is away; what is written is acknowledged once it is on both."
        ),
    ] = "single-master"
    first_master: Annotated[
        str,
        msgspec.Meta(
            description="The server whose replica takes writes, with `failover` the first to do so; the same in the "
            "files of all servers, and needed with several replicas."
        ),
    ] = ""
    secret_file: Annotated[
        str,
        msgspec.Meta(
            description="The file with the key that all servers share; from it come the passwords by which they know "
            "one another, and the authority of their certificates.",
            min_length=1,
            extra={"path": True},
        ),
    ]
    data_directory: Annotated[
        str,
        msgspec.Meta(
            description="Where this server's replica keeps everything, `{name}` being the server's name. It has to "
            "outlast a restart of the machine.",
            min_length=1,
            extra={"path": True},
        ),
    ]
    size_limit_mib: Annotated[
        int,
        msgspec.Meta(
            description="What the entries of a replica may grow to, in MiB; a full one takes no writes. Address space "
            "of that size is set aside, memory and disk are not.",
            ge=16,
        ),
    ] = 16384
    lookup_timeout_s: Annotated[
        float, msgspec.Meta(description="How long a replica may take to answer before another one is asked.", gt=0)
    ] = 0.25
    lag_limit_s: Annotated[
        float,
        msgspec.Meta(
            description="For how long a replica may lack a change that another one has; beyond that it is not asked.",
            gt=0,
        ),
    ] = 5.0

    def __post_init__(self) -> None:
        """Refuse a suffix that can't be made."""
        if not _SUFFIX.fullmatch(self.suffix):
            raise ValueError(
                "suffix is not the name of a directory's top; write it as in dc=example,dc=org or o=example"
            )
