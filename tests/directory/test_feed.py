"""What a feed makes of how far a replica says that it is: one that was only behind is not asked for everything."""

from __future__ import annotations

from nightmail.directory.feed import Feed

OLD, SEEN, NEXT = (f"2026010100000{number}.000000Z#000000#001#000000" for number in range(3))


class Session:
    """Takes every request."""

    def search_ext(self, *_: object, **__: object) -> int:
        return 1


def after(*states: str) -> Feed:
    """A feed that had seen one change, of a replica that did not have it, and then was so far."""
    feed = Feed("dc=example", "(objectClass=*)", lambda: None, items={}, cookie=f"rid=000,csn={SEEN}")
    feed.begin(Session(), [OLD])
    for state in states:
        feed.told([state])
    return feed


def test_a_replica_that_comes_past_a_change_without_having_been_seen_at_it_is_asked_for_everything() -> None:
    feed = after(OLD, NEXT)
    assert feed.over
    assert not feed.cookie


def test_a_replica_that_came_to_that_very_change_was_only_behind() -> None:
    feed = after(OLD, SEEN, NEXT)
    assert not feed.over
    assert feed.cookie


def test_another_change_of_that_time_by_another_writer_is_not_that_change() -> None:
    assert after(SEEN.replace("#001#", "#002#"), NEXT).over
