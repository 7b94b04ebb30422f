"""What several replicas have, each of its own part, as one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

from nightmail.directory.contents import AskedApart
from nightmail.directory.parts import parts_of
from nightmail.directory.tree import WHOLE_FILTER, Item, folded_name, is_held_whole, item_of
from nightmail.directory.writing import Directory

SUFFIX = "dc=example,dc=org"
DR, MAIN = parts_of(SUFFIX, ("main", "dr"))


class Having:
    """A replica with these entries."""

    def __init__(self, *items: Item) -> None:
        self._items = items

    def search(self, base: str, filter_text: str = "") -> Iterator[Item]:
        """Those below `base`; of the filters only that for what is held whole counts."""
        for item in self._items:
            is_below = folded_name(item.dn).endswith(folded_name(base))
            if is_below and is_held_whole(item) == (filter_text == WHOLE_FILTER):
                yield item


def names(items: list[Item]) -> set[str]:
    return {item.dn for item in items}


def test_of_each_part_what_its_own_replica_has_counts_and_of_the_rest_what_the_first_has() -> None:
    alice, org = (
        item_of(table, key, "local", MAIN.base) for table, key in (("mailboxes", "a@x"), ("domains", "x.org"))
    )
    dora, net = (item_of(table, key, "local", DR.base) for table, key in (("mailboxes", "d@x"), ("domains", "x.net")))
    gone, old = (item_of(table, key, "local", DR.base) for table, key in (("mailboxes", "g@x"), ("domains", "y.net")))
    above = item_of("domains", "above.org", "local", SUFFIX)
    first = cast("Directory", Having(alice, org, gone, old, above))
    second = cast("Directory", Having(dora, net, item_of("mailboxes", "late@x", "", MAIN.base)))
    joined = AskedApart(SUFFIX, {MAIN: first, DR: second})
    assert names(joined.whole()) == {org.dn, net.dn, above.dn}
    assert names(joined.about(["d@x"])) == {alice.dn, dora.dn}
    found = joined.named([alice.dn, dora.dn, gone.dn])
    assert names([*found.values()]) == {dora.dn, alice.dn}
