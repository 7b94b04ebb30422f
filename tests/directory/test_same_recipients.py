"""A hundred thousand recipients, in tables or in a directory on real replicas, get the same decisions (R16)."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from tests.conftest import Campaign
from tests.directory.recipients import Tables, make_recipients
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.directory.test_lookups import eventually
from tests.directory.test_same_routing import unordered

from nightmail.directory.accounts import first_entries
from nightmail.directory.exchange import normal_lines, plan_changes
from nightmail.directory.ldif import ldif_of
from nightmail.directory.lookups import Lookups
from nightmail.directory.maps import DirectoryMaps
from nightmail.directory.parts import Part
from nightmail.directory.selection import DirectoryTables
from nightmail.directory.tree import ATTRIBUTES, WHOLE_FILTER, WHOLE_TABLES, Item, folded
from nightmail.errors import DeliveryFailed
from nightmail.mail.reply import Reply
from nightmail.routing.compiled import open_snapshot
from nightmail.routing.generations import compile_source, compile_tables
from nightmail.routing.snapshot import RoutingSnapshot
from nightmail.routing.tables import TextTables
from nightmail.switch.parts import Routing
from nightmail.world import SystemClock

SEED = 20
AT_A_TIME = 500
ROOM_BYTES = 4 << 30
PATIENCE_S = 5.0
HOSTNAME = "mx.example"
KINDS_OF_ANSWER = 5

Question = Callable[[RoutingSnapshot], object]


def write_tables(directory: Path, tables: Tables) -> str:
    directory.mkdir()
    for name, lines in tables.items():
        text = "".join(f"{key}  {value}\n" for key, value in lines.items())
        (directory / name).write_text(text, encoding="utf-8")
    return str(directory)


@contextmanager
def replicas_with(items: list[Item], directory: Path) -> Iterator[tuple[Slapd, Slapd]]:
    """A master and its shadow that have these entries, without waiting for one to send them to the other."""
    master = Slapd(directory / "master", room_bytes=ROOM_BYTES)
    shadow = Slapd(directory / "shadow", 2, master.uri, room_bytes=ROOM_BYTES)
    entries = [*first_entries(Part(SUFFIX), SUFFIX, master.replica.accounts), *items]
    master.load((ldif_of([item]) for item in entries), is_new=True)
    copy = ["cp", "--sparse=always", f"{master.database.path}/data.mdb", shadow.database.path]
    subprocess.run(copy, check=True)
    with master, shadow:
        yield master, shadow


def questions(addresses: list[str]) -> Iterator[Question]:
    """Whether each is taken, of anybody and of who may relay, and which way mail for it goes."""
    for address in addresses:
        yield partial(accepted, address, False)
        yield partial(accepted, address, True)
        yield partial(routed, address)


def accepted(address: str, may_relay: bool, snapshot: RoutingSnapshot) -> object:
    return decided(lambda: unordered(snapshot.accept(address, may_relay=may_relay)))


def routed(address: str, snapshot: RoutingSnapshot) -> object:
    return decided(lambda: snapshot.route(address))


def decided(ask: Callable[[], object]) -> object:
    try:
        return ask()
    except DeliveryFailed as failure:
        return str(failure.reply)


async def ask_replicas(compiled: str, servers: tuple[Slapd, Slapd], addresses: list[str]) -> list[object]:
    """The answers as a switch gets them, many recipients at a time."""

    def forget_answers() -> None:
        routing.snapshot.forget()

    lookups = Lookups(
        SUFFIX,
        [server.uri for server in servers],
        servers[0].access("reader"),
        SystemClock(),
        base="/",
        timeout_s=PATIENCE_S,
        changed=forget_answers,
    )
    snapshot = open_snapshot(compiled, HOSTNAME, lambda held: DirectoryMaps(held, lookups.find))
    routing = Routing(snapshot, lookups)
    running = asyncio.create_task(lookups.run())
    try:
        await eventually(lambda: all(lookups.is_ready(server.uri) for server in servers))
        answers: list[object] = []
        for start in range(0, len(addresses), AT_A_TIME):
            asked = questions(addresses[start : start + AT_A_TIME])
            answers += await asyncio.gather(*map(routing.ask, asked))
        assert all(lookups.asked.values())
        return answers
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        snapshot.close()


def ask_tables(compiled: str, addresses: list[str]) -> list[object]:
    snapshot = open_snapshot(compiled, HOSTNAME)
    try:
        return [question(snapshot) for question in questions(addresses)]
    finally:
        snapshot.close()


def compiled_from(server: Slapd, output: str) -> str:
    """What a server holds whole, compiled of what its replica says."""
    with server.as_account("reader") as directory:
        held = [*map(folded, directory.search(SUFFIX, WHOLE_FILTER, ATTRIBUTES))]
    return compile_source(DirectoryTables(held, SUFFIX, WHOLE_TABLES), output, "/")


def test_many_recipients_in_tables_or_in_a_directory_get_the_same_decisions(tmp_path: Path, campaign: Campaign) -> None:
    made = make_recipients(campaign(10_000, 100_000), SEED)
    tables = write_tables(tmp_path / "tables", made.tables)
    expected = ask_tables(compile_tables(tables, str(tmp_path / "from-tables"), "/"), made.asked)
    items = plan_changes(normal_lines(TextTables(tables)), [], SUFFIX, delete=False).added
    with replicas_with(items, tmp_path) as servers:
        compiled = compiled_from(servers[1], str(tmp_path / "from-directory"))
        found = asyncio.run(ask_replicas(compiled, servers, made.asked))
    differing = [
        (made.asked[number // 3], *pair)
        for number, pair in enumerate(zip(expected, found, strict=True))
        if pair[0] != pair[1]
    ]
    assert not differing, f"{len(differing)} of {len(found)}, the first: {differing[0]}"
    answers = Counter(kind_of(answer) for answer in found)
    sys.stdout.write(
        f"{len(made.asked):,} recipients, {len(items):,} entries, {len(found):,} same decisions: {answers}\n"
    )
    assert len(answers) >= KINDS_OF_ANSWER


def kind_of(answer: object) -> str:
    """What it came to: a reply's code, how many recipients, or the kind of a route."""
    match answer:
        case Reply() as reply:
            return str(reply.code)
        case (list() as recipients, _):
            return "list" if len(recipients) > 1 else "recipient"
    return type(answer).__name__
