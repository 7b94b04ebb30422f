"""Whether entries can come into force, judged by what servers read them with.

Domains, routes, clients and policies are judged as a server that begins anew does: all together, each bad one left
out. Persons and lists, which servers look up one by one, are judged against these and against whom else there is.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import msgspec

from nightmail.directory.contents import Amended, Contents
from nightmail.directory.known import Known, answers_of, keys_of, members_named
from nightmail.directory.maps import DirectoryMaps
from nightmail.directory.maps import Whole as HeldWhole
from nightmail.directory.selection import Items, select
from nightmail.directory.tree import (
    WHOLE_TABLES,
    Item,
    address_of_member,
    addresses_of_list,
    folded_name,
    lines_of,
    with_members,
)
from nightmail.errors import ConfigInvalid
from nightmail.mail.address import fold_domain, split
from nightmail.routing.crosschecks import CrossChecks
from nightmail.routing.entries import parse_alias_key, parse_targets
from nightmail.routing.expansion import ExpansionFailed, alias_of, domain_of, expand, is_deliverable, past_alias_domain
from nightmail.routing.generations import compile_source, open_newest
from nightmail.routing.model import Maps
from nightmail.routing.names import address_key
from nightmail.routing.notation import NOTATIONS
from nightmail.routing.snapshot import RoutingSnapshot

_ADDRESSES = ("mailboxes", "aliases")
_TO_SOMEBODY = "name somebody who gets mail, or mend the name"
_MAPPED = "[directory] schema and mapping say who is a person or a list"


class Finding(msgspec.Struct, frozen=True):
    """What is wrong with an entry, and what would be right.

    `is_fatal`: it is not in force, or mail for it can't be taken. Otherwise something of it is passed over.
    """

    entry: str
    wrong: str
    right: str = ""
    is_fatal: bool = True

    def __str__(self) -> str:
        return str(ConfigInvalid(self.entry, self.wrong, self.right))


class Whole(NamedTuple):
    """The entries that come into force of those that servers hold whole, and what is wrong with others."""

    items: Items
    findings: tuple[Finding, ...]


class Judged(NamedTuple):
    """What a change makes wrong: `faults` keep it from being written, `remarks` don't."""

    faults: list[Finding]
    remarks: list[Finding]


class Judge:
    """Judges the entries of `contents`, which it asks as it needs them; `judge_of` makes one.

    `whole` is what comes into force of what servers hold whole, `snapshot` the routing that this gives. What
    `is_external` is not kept for us, and may have only those persons and lists that a schema and its mapping know.
    """

    def __init__(self, contents: Contents, base: str, whole: Whole, *, is_external: bool = False) -> None:
        self.whole = whole
        self._contents = contents
        self._base = base
        self._is_external = is_external
        self._known: dict[str, Known] = {}
        self._maps: Maps
        self._checks: CrossChecks
        self.snapshot: RoutingSnapshot

    def complete(self, held: HeldWhole) -> Maps:
        """The model of which what servers hold whole is a part; whatever is judged is judged by it."""
        self._maps = DirectoryMaps(held, self._find)
        self._checks = CrossChecks(self._maps)
        return self._maps

    def is_ours(self, address: str) -> bool:
        """Whether an address is of a domain that is ours, so that anybody asks for it."""
        return domain_of(self._maps, fold_domain(split(address)[1])) is not None

    def _find(self, key: str) -> Known:
        """What the directory says of an address; nothing where an entry is wrong, which is said of that entry."""
        if key not in self._known:
            self._look_up([key])
        return self._known[key]

    def _look_up(self, keys: Collection[str]) -> None:
        """Have answers for all of these addresses, with few questions."""
        wanted = [key for key in keys if key not in self._known]
        found = self._contents.about(wanted)
        members = self._contents.named(members_named(found))
        for key, known in answers_of(wanted, found, self._base, members.values()).items():
            self._known[key] = Known() if known.fault else known

    def spellings_of(self, key: str) -> Iterator[str]:
        """The address, and what it is in domains that are other names of its own."""
        yield key
        local_part, _, domain = key.rpartition("@")
        for item in self.whole.items.values():
            if item.value("nmAliasOf").lower() == domain:
                yield f"{local_part}@{item.value('nmDomain').lower()}"

    def findings_of(self, item: Item) -> Iterator[Finding]:
        """What is wrong with the addresses of a person or a list. Raises: DirectoryUnavailable."""
        members = self._contents.named(item.values("member")) if addresses_of_list(item) else {}
        yield from self._members_without_address(item, members)
        item = with_members(item, members)
        try:
            lines = [(table, *NOTATIONS[table].normal(entry)) for table, entry in lines_of(item)]
        except ConfigInvalid as fault:
            yield _finding(fault)
            return
        if item.values("member") and addresses_of_list(item) and not lines:
            right = f"{_TO_SOMEBODY}; {_MAPPED}" if self._is_external else _TO_SOMEBODY
            yield Finding(item.dn, f"the list {addresses_of_list(item)[0]} leads to nobody", right)
        for table, key, value in lines:
            if table in _ADDRESSES:
                yield from self._findings_of_line(item, table, key, value)

    def overlooked(self, item: Item) -> Iterator[Finding]:
        """A person who is none to us, with an address that looks like a mailbox. Raises: DirectoryUnavailable."""
        if not item.is_a("inetOrgPerson") or item.is_a("inetLocalMailRecipient") or item.is_a("nmUnicodeRecipient"):
            return
        for address in item.values("mail"):
            if self._is_of_nobody(address):
                wrong = f"{address} is no mailbox: it has no class inetLocalMailRecipient"
                yield Finding(item.dn, wrong, "add objectClass: inetLocalMailRecipient", False)

    def _is_of_nobody(self, address: str) -> bool:
        """Whether an address gets no mail, in a domain of which each one has to be known."""
        try:
            key = parse_alias_key(address, "")
        except ConfigInvalid:
            return False
        domain = domain_of(self._maps, key.rpartition("@")[2])
        known = self._find(key)
        is_listed = domain is not None and (domain.kind == "local" or domain.verify)
        return is_listed and not known.is_mailbox and known.targets is None

    def _findings_of_line(self, item: Item, table: str, key: str, value: str) -> Iterator[Finding]:
        check = self._checks.check_mailbox if table == "mailboxes" else self._checks.check_alias_key
        try:
            check(key, item.dn)
        except ConfigInvalid as fault:
            yield _finding(fault)
            return
        yield from self._duplicates(item, table, key)
        if table == "aliases":
            yield from self._dead_ends(item, key, parse_targets(value, item.dn))

    def _duplicates(self, item: Item, table: str, key: str) -> Iterator[Finding]:
        """An address is one entry's; a list may have that of a person, who stands behind it then, as in tables."""
        is_list = bool(addresses_of_list(item))
        for other in self._contents.about([key]):
            if folded_name(other.dn) == folded_name(item.dn) or key not in keys_of(other):
                continue
            if is_list == bool(addresses_of_list(other)) or table in _tables_of(other, key):
                yield self._duplicate(item, other, key)

    def _duplicate(self, item: Item, other: Item, key: str) -> Finding:
        """An address of two entries: of aliases the first one counts, and mailboxes of one name are one mailbox."""
        both = (item, other)
        aliases = [each for each in both if addresses_of_list(each) or "aliases" in _tables_of(each, key)]
        first = min(aliases, key=lambda each: each.dn, default=None)
        which = "where this entry says" if first is item else "where that one says, not where this does"
        where = "to one mailbox of that name" if first is None else which
        wrong = f"{key} is an address of {other.dn} as well: its mail goes {where}"
        return Finding(item.dn, wrong, "take it from one of the two", not self._is_external or first is other)

    def _members_without_address(self, item: Item, members: Mapping[str, Item]) -> Iterator[Finding]:
        for name in item.values("member"):
            member = members.get(folded_name(name))
            if self._is_external and (member is None or not address_of_member(member)):
                wrong = f"{name}, a member of it, is not known as a person or a list with an address"
                yield Finding(item.dn, wrong, _MAPPED, False)
            elif member is None:
                wrong = f"there is no entry {name}, a member of it"
                yield Finding(item.dn, wrong, "take it out, or add the entry", False)
            elif not address_of_member(member):
                yield Finding(item.dn, f"{name}, a member of it, has no address", "give it one, or take it out", False)

    def _dead_ends(self, item: Item, key: str, targets: tuple[str, ...]) -> Iterator[Finding]:
        ours = (past_alias_domain(self._maps, target) for target in targets if self.is_ours(target))
        self._look_up({*map(address_key, ours)})
        try:
            expand(self._maps, key, targets)
            dead = [target for target in targets if self._leads_nowhere(key, target)]
        except ExpansionFailed as error:
            yield Finding(item.dn, str(error), _TO_SOMEBODY)
            return
        for target in dead:
            yield Finding(item.dn, f"{target} is neither a mailbox nor an alias", "add it, or mend the name", False)

    def _leads_nowhere(self, key: str, target: str) -> bool:
        target = past_alias_domain(self._maps, target)
        wanted, domain = address_key(target), fold_domain(split(target)[1])
        if wanted != key and alias_of(self._maps, wanted, domain) is not None:
            return False
        return not is_deliverable(self._maps, wanted, domain)


@contextlib.contextmanager
def judge_of(
    contents: Contents, suffix: str, base: str, in_force: Items | None = None, *, is_external: bool = False
) -> Iterator[Judge]:
    """A judge of a directory; `in_force` are the good entries of an earlier state, which stay where others are bad.

    Relative paths in routes start from `base`; see `Judge` for `is_external`.

    Raises:
        DirectoryUnavailable: what is in it can't be found out.
    """
    offered = {item.dn: item for item in contents.whole()}
    with tempfile.TemporaryDirectory(prefix="nightmail-judging-") as scratch:
        bring_into_force = partial(compile_source, output=scratch, base=base)
        try:
            selected = select(offered, in_force or {}, suffix, bring_into_force, WHOLE_TABLES)
            whole = Whole(selected.items, tuple(map(_finding, selected.faults.values())))
        except ConfigInvalid as fault:
            kept = in_force or {}
            select(kept, kept, suffix, bring_into_force, WHOLE_TABLES)
            whole = Whole(kept, (_finding(fault),))
        judge = Judge(contents, base, whole, is_external=is_external)
        with contextlib.closing(open_newest(scratch, complete=judge.complete)) as judge.snapshot:
            yield judge


def misread(item: Item) -> ConfigInvalid | None:
    """Why an entry can't be understood, all by itself."""
    try:
        for table, entry in lines_of(item):
            NOTATIONS[table].normal(entry)
    except ConfigInvalid as fault:
        return fault
    return None


def judge_change(
    before: Contents, there: Mapping[str, Item], changes: Mapping[str, Item | None], suffix: str, base: str
) -> Judged:
    """What would be wrong after a change and is not wrong yet.

    `there` are those of the `changes` that are there before; both are by their names in folded form.

    Raises:
        DirectoryUnavailable: what there is can't be found out.
    """
    with contextlib.ExitStack() as judges:
        earlier = judges.enter_context(judge_of(before, suffix, base))
        was_wrong, after = set(earlier.whole.findings), Amended(before, changes)
        judge = judges.enter_context(judge_of(after, suffix, base, earlier.whole.items))
        faults = [finding for finding in judge.whole.findings if finding not in was_wrong]
        remarks = list[Finding]()
        for item in changes.values():
            if item is not None:
                faults += judge.findings_of(item)
                remarks += judge.overlooked(item)
        for finding in _of_those_left(earlier, judge, after, there, changes):
            (faults if finding.is_fatal else remarks).append(finding)
    return Judged(faults, remarks)


def _of_those_left(
    earlier: Judge, judge: Judge, after: Contents, there: Mapping[str, Item], changes: Mapping[str, Item | None]
) -> Iterator[Finding]:
    """What is wrong, once addresses are gone, with who sent mail on to them, and with whom that leaves without any."""
    gone = [(item, changes.get(name)) for name, item in there.items()]
    keys = {key for item, new in gone for key in set(keys_of(item)).difference(keys_of(new) if new else ())}
    names = {item.dn for item, new in gone if new is None or address_of_member(new) != address_of_member(item)}
    looked_at = {*changes}
    while keys or names:
        spelled = [spelling for key in sorted(keys) for spelling in judge.spellings_of(key)]
        left = after.leading_to(spelled, sorted(names))
        keys, names = set(), set()
        for item in left:
            if folded_name(item.dn) in looked_at:
                continue
            looked_at.add(folded_name(item.dn))
            found = [*judge.findings_of(item)]
            was_wrong = {*earlier.findings_of(item)} if found else set()
            found = [finding for finding in found if finding not in was_wrong]
            yield from found
            if any(finding.is_fatal for finding in found):
                keys.update(keys_of(item))
                names.add(item.dn)


def _finding(fault: ConfigInvalid) -> Finding:
    return Finding(fault.place, fault.wrong, fault.right)


def _tables_of(item: Item, key: str) -> set[str]:
    """The tables in which an entry says something of an address. It was understood before."""
    return {table for table, entry in lines_of(item) if table in _ADDRESSES and entry.key.lower() == key}
