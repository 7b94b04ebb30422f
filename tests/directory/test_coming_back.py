"""A replica that was away lacks everything since: it is asked again once it has that, or while it is the only one."""

from __future__ import annotations

import asyncio

from tests.directory.slapd_server import SUFFIX, Slapd
from tests.directory.test_lookups import asking, eventually, replicas

from nightmail.directory.tree import item_of

__all__ = ["replicas"]


def directory_state(server: Slapd) -> tuple[str, ...]:
    """How far a replica has come."""
    with server.as_account("reader") as directory:
        top = directory.read(SUFFIX, ["contextCSN"])
    return top.attributes["contextCSN"] if top is not None else ()


def test_who_comes_back_is_asked_no_sooner_than_it_has_what_others_had_then_unless_it_is_alone(
    replicas: tuple[Slapd, Slapd],
) -> None:
    first, second = replicas
    people = [item_of("mailboxes", f"new{number}@x.org", "", SUFFIX) for number in range(20)]

    async def scene() -> None:
        async with asking(first, second, lag_limit_s=60.0) as asks:
            for server in replicas:
                await asks.until_asked(server)
            second.kill()
            await eventually(lambda: not asks.lookups.is_ready(second.uri))
            with first.as_account("writer") as directory:
                directory.add(people)
            newest = max(directory_state(first))
            await eventually(lambda: asks.lookups._links[0].parts[0].state == newest)
            second.start(provider="ldap://127.0.0.1:1")  # it takes nothing from the master
            await asks.until_asked(second)
            before = asks.lookups.asked[second.uri]
            for number in range(10):
                assert (await asks.ask(f"new{number}@x.org"))[0].is_mailbox
            assert asks.lookups.asked[second.uri] == before
            assert "it lacks changes" in asks.lookups.standing()[second.uri]
            first.kill()
            await eventually(lambda: not asks.lookups.is_ready(first.uri))
            assert (await asks.ask("user1@x.org"))[0].is_mailbox
            first.start()
            await asks.until_asked(first)
            second.kill()
            await eventually(lambda: not asks.lookups.is_ready(second.uri))
            second.start()
            await eventually(lambda: len(asks.lookups._in_sync()) == 2)
            before = asks.lookups.asked[second.uri]
            for number in range(10, 20):
                assert (await asks.ask(f"new{number}@x.org"))[0].is_mailbox
            assert asks.lookups.asked[second.uri] > before

    asyncio.run(scene())
