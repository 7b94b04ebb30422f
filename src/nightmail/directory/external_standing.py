"""How the servers of a directory that is not ours stand: whether each lets us in, what it shows, how it is followed."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec

from nightmail.directory.connection import Connection
from nightmail.directory.external import PagedDirectory, find_shown, tells_changes
from nightmail.directory.schemas import Schema
from nightmail.directory.sessions import Access, Outcome, outcome_of
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


class ServerStanding(msgspec.Struct, frozen=True, kw_only=True):
    """One server. `state` is ok, or why it can't be asked, which `outcome` says in a word; `changes` is empty then.

    `changes` says whether it tells of them or is asked again after a while. `entries` counts people and lists, None
    where the server does not let us see so many at once.
    """

    uri: str
    state: str = "ok"
    outcome: Outcome = "ok"
    changes: Literal["told", "polled", ""] = ""
    entries: int | None = None


async def look_at_server(uri: str, access: Access, base: str, schema: Schema) -> ServerStanding:
    """How one server stands."""
    try:
        connection = await Connection.open(uri, access, lambda: None)
        try:
            await find_shown(connection, base, schema.addressed)
            is_told = await tells_changes(connection, base, access.timeout_s)
        finally:
            connection.close()
    except DirectoryUnavailable as error:
        return ServerStanding(uri=uri, state=str(error), outcome=outcome_of(error))
    entries = await asyncio.to_thread(_count, uri, access, base, schema.mail_filter)
    return ServerStanding(uri=uri, changes="told" if is_told else "polled", entries=entries)


def _count(uri: str, access: Access, base: str, filter_text: str) -> int | None:
    try:
        with PagedDirectory(uri, access) as directory:
            return sum(1 for _ in directory.search(base, filter_text, ("1.1",)))
    except (DirectoryUnavailable, ConfigInvalid):  # a limit, such as that of 389 Directory Server on what is looked at
        return None
