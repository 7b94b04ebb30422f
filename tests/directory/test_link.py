"""A replica is asked only while there is a connection to it."""

from __future__ import annotations

from collections.abc import Mapping

from nightmail.directory.feed import ChangeFeed
from nightmail.directory.link import Link
from nightmail.directory.schemas import OWN
from nightmail.directory.sessions import Access


def test_what_it_was_told_that_comes_when_the_connection_is_over_does_not_make_it_ready() -> None:
    told: list[Mapping[str, str]] = []
    link = Link(
        "ldap://127.0.0.1:1", [], Access(), 5.0,
        schema=OWN, make_feed=ChangeFeed, take=lambda _: None, is_current=lambda _: None, is_lost=lambda: None,
        is_alone=lambda _: True, was_told=lambda _, said: told.append(said),
    )  # fmt: skip
    link._says_what_it_was_told([])
    assert not link.is_ready
    assert told == []
