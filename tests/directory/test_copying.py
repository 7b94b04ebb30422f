"""What another replica has is taken from the first that gives it, and where none does all are named with the reason."""

from __future__ import annotations

import pytest

from nightmail.directory.copying import first_that_gives
from nightmail.directory.sessions import OtherSecret
from nightmail.errors import DirectoryUnavailable


def take(uri: str) -> str:
    """What the replicas b and c give; others break off."""
    if uri not in "bc":
        raise DirectoryUnavailable(f"{uri}: it broke off")
    return f"what {uri} has"


def test_what_one_does_not_give_is_taken_from_the_next() -> None:
    assert first_that_gives("abc", take) == ("b", "what b has")


def test_where_none_gives_it_what_has_to_be_mended_counts_for_more_than_what_may_pass() -> None:
    def refuse(uri: str) -> str:
        raise (OtherSecret if uri == "y" else DirectoryUnavailable)(uri)

    with pytest.raises(OtherSecret, match=r"^x; y; z$"):
        first_that_gives("xyz", refuse)
    with pytest.raises(DirectoryUnavailable) as passing:
        first_that_gives("xz", refuse)
    assert type(passing.value) is DirectoryUnavailable


def test_where_none_gives_it_each_is_named() -> None:
    with pytest.raises(DirectoryUnavailable, match=r"^x: it broke off; y: it broke off$"):
        first_that_gives("xy", take)
    with pytest.raises(DirectoryUnavailable, match="there is no other replica"):
        first_that_gives([], take)
