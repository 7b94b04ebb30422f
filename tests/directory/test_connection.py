"""A connection to a replica ends on one fault, and nobody who waits at it is forgotten."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ldap
import pytest
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.e2e.waiting import PATIENCE_S

from nightmail.directory.connection import Connection
from nightmail.directory.tree import Item, item_of
from nightmail.errors import DirectoryUnavailable

Answer = list[Item] | DirectoryUnavailable


class Session:
    """Stands for libldap: numbers what it is to send, and gives what a test has it get."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.sent: list[str] = []
        self.come: list[Callable[[], tuple[Any, ...]]] = []

    def fileno(self) -> int:
        """Where it is heard that something has come."""
        return self.ours.fileno()

    def search_ext(self, base: str, scope: int, filter_text: str, attributes: list[str], *, sizelimit: int) -> int:
        """Send."""
        filter_text.encode()
        self.sent.append(filter_text)
        return len(self.sent)

    def result3(self, kind: int, all_: int, timeout: float) -> tuple[Any, ...]:
        """What has come."""
        return self.come.pop(0)() if self.come else (None, None, None, None)

    def unbind(self) -> None:
        """Close."""
        self.ours.close()
        self.theirs.close()


def ask(connection: Connection, filter_text: str, answers: list[Answer]) -> None:
    connection.search(SUFFIX, filter_text, ["cn"], answers.append, 5.0)


def unreadable() -> tuple[Any, ...]:
    """What the library makes of a name that is no text."""
    raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")


def test_an_answer_that_can_not_be_read_ends_the_connection_and_whoever_waits_is_told() -> None:
    async def scene() -> None:
        session, answers, closed = Session(), list[Answer](), list[bool]()
        connection = Connection("ldap://stub", session, lambda: closed.append(True))
        for number in range(40):
            ask(connection, f"(cn={number})", answers)
        session.come.append(unreadable)
        session.theirs.send(b"!")
        async with asyncio.timeout(PATIENCE_S):
            while len(answers) < 40:  # noqa: ASYNC110 - what the loop does is no event of ours
                await asyncio.sleep(0)
        assert all(isinstance(answer, DirectoryUnavailable) for answer in answers)
        assert closed == [True]

    asyncio.run(scene())


def test_a_question_that_can_not_be_sent_is_answered_so_and_the_others_go_on() -> None:
    async def scene() -> None:
        session, answers, others = Session(), list[Answer](), list[Answer]()
        connection = Connection("ldap://stub", session, lambda: None)
        ask(connection, "(cn=\udcff)", answers)
        ask(connection, "(cn=a)", others)
        await asyncio.sleep(0)
        assert isinstance(answers[0], DirectoryUnavailable)
        session.come.append(lambda: (ldap.RES_SEARCH_RESULT, [], 1, []))
        session.theirs.send(b"!")
        async with asyncio.timeout(PATIENCE_S):
            while not others:  # noqa: ASYNC110 - what the loop does is no event of ours
                await asyncio.sleep(0)
        assert others == [[]]
        connection.close()

    asyncio.run(scene())


@pytest.mark.parametrize(("size_bytes", "at_once"), [(10, 16), (30_000, 4)])
def test_no_more_is_under_way_at_once_than_the_socket_takes(size_bytes: int, at_once: int) -> None:
    async def scene() -> None:
        session, answers = Session(), list[Answer]()
        connection = Connection("ldap://stub", session, lambda: None)
        for _ in range(50):
            ask(connection, "x" * size_bytes, answers)
        assert len(session.sent) == at_once
        session.come.append(lambda: (ldap.RES_SEARCH_RESULT, [], 1, []))
        connection._take()
        assert len(session.sent) == at_once + 1
        connection.close()

    asyncio.run(scene())


def test_a_replica_that_is_asked_much_at_once_answers_everything(tmp_path: Path) -> None:
    people = [item_of("mailboxes", f"{number:0>60}@x.org", "", SUFFIX) for number in range(100)]
    keys = "".join(f"(mailLocalAddress={number:0>60}@x.org)" for number in range(100))

    async def scene(master: Slapd) -> None:
        answers: list[Answer] = []
        connection = await Connection.open(master.uri, master.access("reader"), lambda: None)
        for _ in range(100):
            ask(connection, f"(|{keys})", answers)
        async with asyncio.timeout(PATIENCE_S):
            while len(answers) < 100:  # noqa: ASYNC110 - what the loop does is no event of ours
                await asyncio.sleep(0.01)
        assert [len(answer) for answer in answers if not isinstance(answer, DirectoryUnavailable)] == [100] * 100
        connection.close()

    with Slapd(tmp_path / "master") as master:
        with master.as_account("writer") as directory:
            directory.add(people)
        asyncio.run(scene(master))
