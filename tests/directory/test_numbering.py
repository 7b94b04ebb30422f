"""The entries of a new directory say when they changed, and the first of them how far all of it goes."""

from __future__ import annotations

from nightmail.directory.ldif import ldif_of
from nightmail.directory.numbering import numbered
from nightmail.directory.tree import Item


def test_the_first_of_new_records_has_the_last_number_and_says_that_it_is_the_last() -> None:
    items = [Item(f"ou={name},o=x", {"ou": (name,)}) for name in ("a", "b", "ü\n\nü")]
    pieces = [ldif_of(items[:2]), ldif_of(items[2:])]
    first, *others = numbered(pieces, 1_000_000_000.9)
    assert first == (
        "dn: ou=a,o=x\nou: a\nentryCSN: 20010909014640.000000Z#ffffff#000#000000\n"
        "contextCSN: 20010909014640.000000Z#ffffff#000#000000\n\n"
    )
    assert [other.splitlines()[-2] for other in others] == [
        "entryCSN: 20010909014640.000000Z#fffffe#000#000000",
        "entryCSN: 20010909014640.000000Z#fffffd#000#000000",
    ]
    assert "contextCSN" not in "".join(others)
