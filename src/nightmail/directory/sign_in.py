"""Signing in of people whom the directory knows: by a bind as their entry, or by what it stores of their passwords.

A bind leaves the comparing to the directory, with everything that it knows of accounts that are locked or expired.
Where that is not wanted, an account that may read passwords compares them here.

Passwords cross no network unencrypted. An empty one is never sent: a directory lets whoever binds with none in as
nobody, and calls it a success (RFC 4513 §5.1.2). So many people are looked at at a time; what has to wait too long for
that, or for a replica, is temporary.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import ldap

from nightmail.directory.names import any_of, equals
from nightmail.directory.passwords import DECOY, PasswordFault, is_password
from nightmail.directory.sessions import Access, item_of_answer, open_session, words
from nightmail.directory.tree import Item
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.entries import parse_alias_key
from nightmail.routing.submitters import Refused, SignedIn

_NAME_LIMIT = 320
_PASSWORD_BYTES = 1024
_AT_A_TIME = 8
_LIMIT_S = 10.0
_ADDRESSES = ("mailLocalAddress", "nmAddress", "mail")
_ENOUGH = 2  # to see that a name is not one person's
_NOBODY = "cn=nobody,ou=system"
_WRONG = (ldap.INVALID_CREDENTIALS, ldap.INAPPROPRIATE_AUTH, ldap.NO_SUCH_OBJECT, ldap.INSUFFICIENT_ACCESS)


class _DirectorySignIn(ABC):
    """What both ways have in common; satisfies `submitters.SignIn`. `close` ends it."""

    _asked_for: tuple[str, ...] = _ADDRESSES

    def __init__(self, suffix: str, replicas: Sequence[str], access: Access, *, limit_s: float = _LIMIT_S) -> None:
        """`replicas` are the URIs in the order in which they are tried; `access` is who looks for people there.

        Raises:
            ConfigInvalid: passwords would cross a network unencrypted.
        """
        for uri in replicas:
            if uri.startswith("ldap:") and not access.authority:
                raise ConfigInvalid(uri, "passwords would be sent to it unencrypted", "say whose certificates to trust")
        self._suffix = suffix
        self._replicas = [*replicas]
        self._access = access
        self._limit_s = limit_s
        self._threads = ThreadPoolExecutor(_AT_A_TIME, "sign-in")

    def close(self) -> None:
        """Begin no more; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def verify(self, name: str, password: str) -> SignedIn | Refused:
        """Whose name and password these are; see `submitters.SignIn`."""
        wrong = _unfit(name, password)
        if wrong:
            return Refused(wrong)
        try:
            async with asyncio.timeout(self._limit_s):
                return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, name, password)
        except TimeoutError:
            raise DirectoryUnavailable(f"nobody could be signed in within {self._limit_s:g} s") from None

    def _ask(self, name: str, password: str) -> SignedIn | Refused:
        """Ask one replica after the other until one answers. Blocks."""
        why = "the directory has no replica"
        for uri in [*self._replicas]:
            try:
                return self._ask_one(uri, name, password)
            except DirectoryUnavailable as error:
                why = str(error)
                # The others first, from now on: whoever signs in next does not wait for this one again.
                self._replicas = [*(other for other in self._replicas if other != uri), uri]
        raise DirectoryUnavailable(why)

    def _ask_one(self, uri: str, name: str, password: str) -> SignedIn | Refused:
        session = open_session(uri, self._access)
        try:
            return self._verified(session, self._find(session, name), password)
        except ldap.LDAPError as error:
            raise DirectoryUnavailable(f"{uri}: {words(error)}") from error
        finally:
            session.unbind_s()

    def _find(self, session: Any, name: str) -> list[Item]:
        """The people of that name; two, where there are more."""
        wanted = f"(&(objectClass=person){any_of(*(equals(each, _normal(name)) for each in ('uid', *_ADDRESSES)))})"
        try:
            number = session.search_ext(self._suffix, ldap.SCOPE_SUBTREE, wanted, self._asked_for, sizelimit=_ENOUGH)
            _, found = session.result(number, timeout=self._access.timeout_s)
        except ldap.SIZELIMIT_EXCEEDED:
            return [Item("", {})] * _ENOUGH
        return [item_of_answer(dn, values) for dn, values in found if dn is not None]

    def _verified(self, session: Any, found: list[Item], password: str) -> SignedIn | Refused:
        if len(found) != 1:
            self._has_password(
                session, Item(f"{_NOBODY},{self._suffix}", {}), password
            )  # nobody takes as long as somebody
            return Refused("several people have this name" if found else "nobody has this name")
        [person] = found
        try:
            is_right = self._has_password(session, person, password)
        except PasswordFault as fault:
            return Refused(f"{person.dn}: {fault}")
        return (
            SignedIn(person.dn, _addresses_of(person)) if is_right else Refused(f"{person.dn}: the password is wrong")
        )

    @abstractmethod
    def _has_password(self, session: Any, person: Item, password: str) -> bool:
        """Whether it is this person's password. Raises: ldap.LDAPError, PasswordFault."""


class BindSignIn(_DirectorySignIn):
    """By a bind as the entry that was found; the directory compares, and knows who is locked out."""

    def _has_password(self, session: Any, person: Item, password: str) -> bool:
        try:
            session.simple_bind_s(person.dn, password)
        except _WRONG:
            return False
        return True


class StoredPasswordSignIn(_DirectorySignIn):
    """By what the directory stores of passwords, read by an account that may."""

    _asked_for = (*_ADDRESSES, "userPassword")

    def __init__(self, suffix: str, replicas: Sequence[str], access: Access, *, limit_s: float = _LIMIT_S) -> None:
        super().__init__(suffix, replicas, access, limit_s=limit_s)
        self._decoy = DECOY

    def _has_password(self, session: Any, person: Item, password: str) -> bool:
        stored = person.values("userPassword")
        if not stored:
            is_password(password, self._decoy)
            return False
        fault: PasswordFault | None = None
        for each in stored:
            try:
                if is_password(password, each):
                    return True
                self._decoy = each  # whoever is unknown is compared with what is usual here
            except PasswordFault as error:
                fault = error
        if fault is not None:
            raise fault
        return False


def _unfit(name: str, password: str) -> str:
    """Why there is nothing to ask about, or empty."""
    if not password:
        return "the password is empty"
    try:
        size = len(password.encode())
        name.encode()
    except UnicodeEncodeError:
        return "it is no text"
    if not name or len(name) > _NAME_LIMIT or size > _PASSWORD_BYTES or "\0" in name + password:
        return "it is no name and no password of anybody"
    return ""


def _normal(name: str) -> str:
    """The name as the directory has it: an address with its domain in ASCII, anything else as it is."""
    try:
        return parse_alias_key(name, name) if "@" in name else name
    except ConfigInvalid:
        return name


def _addresses_of(person: Item) -> tuple[str, ...]:
    """A person's own addresses, as mail is routed by them."""
    texts = person.values("mailLocalAddress", "nmAddress") or person.values("mail")
    addresses = []
    for text in texts:
        try:
            addresses.append(parse_alias_key(text, person.dn))
        except ConfigInvalid:
            continue
    return tuple(addresses)
