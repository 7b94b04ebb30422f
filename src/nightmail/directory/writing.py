"""Writes to a directory by way of its master, many under way at a time, each answered or named as failed.

A write is acknowledged by the master once it is on its disk. What a directory refuses is the fault of what was written;
everything else is temporary, and the same write may be tried again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import ldap
from ldap.controls.readentry import PostReadControl

from nightmail.directory.accounts import is_of_the_servers
from nightmail.directory.sessions import Access, open_session, text_of_values, wait_in_time, words
from nightmail.directory.tree import Item, folded_name
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

_WINDOW = 256
_TELL = [PostReadControl(criticality=True, attrList=["entryCSN"])]
_TEMPORARY = (
    ldap.SERVER_DOWN, ldap.CONNECT_ERROR, ldap.TIMEOUT, ldap.TIMELIMIT_EXCEEDED, ldap.BUSY, ldap.UNAVAILABLE,
    ldap.UNWILLING_TO_PERFORM, ldap.REFERRAL, ldap.ADMINLIMIT_EXCEEDED,
)  # fmt: skip


class Directory:
    """One replica as an operator uses it; to be used as a context. All calls block.

    `written` has the entries that were changed through it, each with the number of its change (entryCSN), empty where
    it was deleted; `in_doubt` those of which nobody knows whether they were, since no answer came. Each call raises
    DirectoryUnavailable where no answer comes, ConfigInvalid where it is refused.
    """

    def __init__(self, uri: str, access: Access, *, is_gated: bool = False) -> None:
        """`is_gated`: it takes writes only while it is the master, and refuses them as it does what nobody may do."""
        self._is_gated = is_gated
        self.written: dict[str, str] = {}
        self._spelled: dict[str, str] = {}
        self.in_doubt: list[str] = []
        self.uri = uri
        self._timeout_s = access.timeout_s
        self._session = open_session(uri, access)
        wait_in_time(self._session, access.timeout_s)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session."""
        self._session.unbind_s()

    def search(
        self, base: str, filter_text: str = "(objectClass=*)", attributes: Sequence[str] = ("*",)
    ) -> Iterator[Item]:
        """The entries below `base` that match, as they come, their attributes' names as the directory writes them.

        None where there is no entry `base`.
        """
        with Faults(self.uri, filter_text):
            number = self._session.search_ext(base, ldap.SCOPE_SUBTREE, filter_text, list(attributes))
        with Faults(self.uri, base):
            while True:
                try:
                    kind, data = self._session.result(number, all=0, timeout=self._timeout_s)
                except ldap.NO_SUCH_OBJECT:
                    return
                if kind == ldap.RES_SEARCH_RESULT:
                    return
                for name, values in data:
                    if name is not None:
                        yield Item(name, text_of_values(values))

    def read(self, name: str, attributes: Sequence[str] = ("*",)) -> Item | None:
        """One entry, or None where there is none of that name."""
        with Faults(self.uri, name):
            try:
                found = self._session.search_ext_s(name, ldap.SCOPE_BASE, attrlist=list(attributes))
            except ldap.NO_SUCH_OBJECT:
                return None
        return next((Item(dn, text_of_values(values)) for dn, values in found if dn is not None), None)

    def add(self, items: Iterable[Item]) -> int:
        """Add entries; how many. One that is there already is refused."""
        return self._send(
            items,
            lambda item: item.dn,
            lambda item: self._session.add_ext(item.dn, _octets(item), serverctrls=_TELL),
        )

    def replace(self, items: Iterable[Item]) -> int:
        """Give entries these attributes in place of those of the same names, none where it has no values; how many."""
        return self._send(items, lambda item: item.dn, self._replace)

    def delete(self, names: Iterable[str]) -> int:
        """Delete entries; how many."""
        return self._send(names, str, self._session.delete_ext)

    def modify(self, name: str, changes: Sequence[tuple[int, str, list[bytes] | None]]) -> None:
        """Carry out changes of one entry, as an LDIF record of changes gives them."""
        self._send([name], str, lambda _: self._session.modify_ext(name, list(changes), serverctrls=_TELL))

    def _replace(self, item: Item) -> int:
        changes = [(ldap.MOD_REPLACE, name, _encoded(values) or None) for name, values in item.attributes.items()]
        return int(self._session.modify_ext(item.dn, changes, serverctrls=_TELL))

    def _send(self, what: Iterable[Any], name_of: Callable[[Any], str], send: Callable[[Any], int]) -> int:
        """Send many requests without waiting for each answer; the first that is refused ends it."""
        under_way: dict[int, str] = {}
        count = 0
        try:
            for each in what:
                name = name_of(each)
                with Faults(self.uri, name, is_gated=self._is_gated):
                    under_way[send(each)] = name
                if len(under_way) >= _WINDOW:
                    count += self._hear(under_way)
            while under_way:
                count += self._hear(under_way)
        except (DirectoryUnavailable, ConfigInvalid):
            self._hear_the_rest(under_way)
            raise
        return count

    def _hear_the_rest(self, under_way: dict[int, str]) -> None:
        """Take the answers to what was sent before something failed, for as long as any come."""
        while under_way and not self.in_doubt:
            with contextlib.suppress(DirectoryUnavailable, ConfigInvalid):  # the first one is told
                self._hear(under_way)
        self.in_doubt += under_way.values()

    def _hear(self, under_way: dict[int, str]) -> int:
        """Take one answer, to the oldest request."""
        number = next(iter(under_way))
        name = under_way.pop(number)
        try:
            with Faults(self.uri, name, is_gated=self._is_gated):
                *_, controls = self._session.result3(number, timeout=self._timeout_s)
        except DirectoryUnavailable:
            self.in_doubt.append(name)
            raise
        told = [value for control in controls for value in control.entry.get("entryCSN", ())]
        before = self._spelled.pop(folded_name(name), name)
        if before != name:
            self.written.pop(before, None)  # the same entry, by another spelling of its name
        self._spelled[folded_name(name)] = name
        self.written[name] = told[0].decode() if told else ""
        return 1

    def has_all(self, written: Mapping[str, str]) -> bool:
        """Whether all these changes have arrived here: each entry is as new as that, or gone where it was deleted.

        Each entry is looked at: that a replica has seen a later change says nothing of an earlier one.
        """
        names_left = [*written]
        while names_left:
            names, names_left = names_left[:_WINDOW], names_left[_WINDOW:]
            with Faults(self.uri, names[0]):
                asked = {self._ask_for(name, written[name]): name for name in names}
            for number, name in asked.items():
                if self._is_there(number, name) != bool(written[name]):
                    return False
        return True

    def _ask_for(self, name: str, csn: str) -> int:
        filter_text = f"(entryCSN>={csn})" if csn else "(objectClass=*)"
        return int(self._session.search_ext(name, ldap.SCOPE_BASE, filter_text, ["1.1"]))

    def _is_there(self, number: int, name: str) -> bool:
        with Faults(self.uri, name):
            try:
                _, found = self._session.result(number, timeout=self._timeout_s)
            except ldap.NO_SUCH_OBJECT:
                return False
        return bool(found)


class Faults:
    """What libldap raises, as what our callers act on: `name` is the entry that it is about."""

    def __init__(self, uri: str, name: str, *, is_gated: bool = False) -> None:
        self.uri = uri
        self._name = name
        self._is_gated = is_gated

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, ldap.OTHER):  # what slapd calls its own failures
            raise DirectoryUnavailable(f"{self.uri}: {words(error)}; {_ITS_OWN_FAULT}") from error
        is_at_the_gate = self._is_gated and not is_of_the_servers(self._name)
        if is_at_the_gate and isinstance(error, ldap.INSUFFICIENT_ACCESS):
            raise DirectoryUnavailable(f"{self.uri} takes no such write now: it is not the master any more") from error
        if isinstance(error, _TEMPORARY):
            raise DirectoryUnavailable(f"{self.uri}: {words(error)}") from error
        if isinstance(error, ldap.LDAPError):
            raise ConfigInvalid(self._name, words(error), _remedy_for(error)) from error


_ITS_OWN_FAULT = (
    "its database or its disk may be full: `nightmail directory status` shows how full the database is, [directory] "
    "size_limit_mib is its limit"
)
_REMEDIES: Mapping[type[Exception], str] = {
    ldap.ALREADY_EXISTS: "change the entry, or delete it first",
    ldap.NO_SUCH_OBJECT: "`nightmail directory search` shows what there is",
    ldap.INSUFFICIENT_ACCESS: "use the account that may write",
    ldap.OBJECT_CLASS_VIOLATION: "give it the attributes that its object classes need, and no others",
    ldap.INVALID_SYNTAX: "mend the value",
    ldap.FILTER_ERROR: "write it as in (mailLocalAddress=alice@example.org)",
}


_WITHOUT_ASCII: Mapping[str, str] = {
    "maillocaladdress": "an address that is not ASCII is an nmAddress, of the class nmUnicodeRecipient or nmMailList",
    "rfc822mailmember": "an address that is not ASCII is an nmTarget, of the class nmMailList",
}
"""What to do where a value can't be one of these attributes, which take any ASCII."""


def _remedy_for(error: ldap.LDAPError) -> str:
    details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    attribute = str(details.get("info", "")).partition(":")[0].lower()
    ours = _WITHOUT_ASCII.get(attribute, "") if isinstance(error, ldap.INVALID_SYNTAX) else ""
    return ours or _REMEDIES.get(type(error), "")


def _octets(item: Item) -> list[tuple[str, list[bytes]]]:
    return [(name, _encoded(values)) for name, values in item.attributes.items() if values]


def _encoded(values: Iterable[str]) -> list[bytes]:
    return [value.encode("utf-8", "surrogateescape") for value in values]
