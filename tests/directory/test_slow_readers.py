"""Whoever asks a replica and does not read the answer keeps nobody else waiting for long."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ldap
from tests.directory.slapd_server import SUFFIX, Slapd
from tests.e2e.waiting import until

from nightmail.directory.replica import WRITE_TIMEOUT_S
from nightmail.directory.sessions import open_session
from nightmail.directory.tree import item_of
from nightmail.errors import DirectoryUnavailable

_READERS = 16  # twice as many as a replica has threads
_LONG = ("A long description of a person. " * 4000,)
_PEOPLE = 60


def people() -> list[Any]:
    items = [item_of("mailboxes", f"user{number}@example.org", "", SUFFIX) for number in range(_PEOPLE)]
    return [item._replace(attributes={**item.attributes, "description": _LONG}) for item in items]


def answers(replica: Slapd) -> bool:
    """Whether it finds one entry at once."""
    try:
        with replica.as_account("reader") as directory:
            return any(directory.search(SUFFIX, "(uid=user1@example.org)", ["1.1"]))
    except DirectoryUnavailable:
        return False


def test_who_does_not_read_is_cut_off_and_others_are_answered(tmp_path: Path) -> None:
    with Slapd(tmp_path / "master") as master:
        with master.as_account("writer") as directory:
            directory.add(people())
        assert answers(master)
        sessions = [open_session(master.uri, master.access("reader")) for _ in range(_READERS)]
        for session in sessions:
            session.search_ext(SUFFIX, ldap.SCOPE_SUBTREE, "(uid=*)")  # and its answer, of megabytes, is not read
        until(lambda: not answers(master), "all threads write to who does not read")
        until(lambda: answers(master), "they were cut off", 6 * WRITE_TIMEOUT_S)
        for session in sessions:
            session.unbind_s()
