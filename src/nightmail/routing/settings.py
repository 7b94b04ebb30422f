"""What an administrator may say about the routing tables."""

from __future__ import annotations

from typing import Annotated

import msgspec


class TablesSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[tables]`: where the plain text tables are."""

    directory: Annotated[
        str,
        msgspec.Meta(
            description="The directory that holds the files domains, routes, aliases, mailboxes, clients and policies.",
            min_length=1,
            extra={"path": True},
        ),
    ] = "tables"
