"""Follows a subtree of the directory at one replica after another: what is there, and every change as it happens.

A replica that is older than what we have seen refuses the cookie with which we ask, so that nothing goes back in time.
One that was never filled has no state (contextCSN) at all, and is not followed. It is asked something now and then, so
that a silence means that it hangs, and is left.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import ldap
from ldap.syncrepl import SyncDoneControl, SyncInfoMessage, SyncRequestControl, SyncStateControl
from pyasn1.error import PyAsn1Error

from nightmail.directory.content import Changed, Content, Gone, Message, Presence, Present, Refreshed
from nightmail.directory.sessions import Access, item_of_answer, open_session, words
from nightmail.directory.tree import ATTRIBUTES, Item
from nightmail.errors import DirectoryUnavailable

_NOW = 1e-6  # python-ldap fails over a 0 with controls where nothing has come; this raises TIMEOUT then
_STATE = "contextCSN"
_ASK_EVERY_S = 0.5
_SILENCE_S = 2.0
_REFRESH_REQUIRED = 4096  # e-syncRefreshRequired (RFC 4533 §2.8)
_CONTROLS = {control.controlType: control for control in (SyncStateControl, SyncDoneControl)}


class Feed:
    """The entries below `base` that `filter_text` matches.

    `changed` is called whenever a replica has brought them up to date, and then whenever they are others.

    `items` and `cookie` are what was known of them at an earlier time.
    """

    def __init__(
        self,
        base: str,
        filter_text: str,
        changed: Callable[[], None],
        *,
        items: Mapping[str, Item],
        cookie: str,
    ) -> None:
        self.content = Content(items)
        self.cookie = cookie
        self.source = ""
        self._base = base
        self._filter = filter_text
        self._changed = changed
        self._is_known = False

    async def follow(self, uri: str, access: Access) -> None:
        """Follow at the replica `uri` for as long as it can be done; the error says why no longer.

        Raises:
            DirectoryUnavailable: always, in the end.
        """
        session = await asyncio.to_thread(open_session, uri, access)
        self._is_known = False
        following = _Following(session, uri, self)
        try:
            await following.run()
        finally:
            self.source = ""
            self.content.is_current = False
            following.close()

    def request(self, session: Any) -> int:
        """Ask for everything since the cookie; the number of the request."""
        control = SyncRequestControl(cookie=self.cookie or None, mode="refreshAndPersist")
        return int(
            session.search_ext(self._base, ldap.SCOPE_SUBTREE, self._filter, list(ATTRIBUTES), serverctrls=[control])
        )

    def ask_state(self, session: Any) -> int:
        """Ask how far the replica is; the number of the request."""
        return int(session.search_ext(self._base, ldap.SCOPE_BASE, "(objectClass=*)", [_STATE]))

    def take(self, message: Message) -> bool:
        """Take what came; whether the content is another one now."""
        return self.content.take(message)

    def came(self, *, is_changed: bool, cookie: str, source: str) -> None:
        """All of what came at once has been taken."""
        if not self.content.is_current:
            return
        self.source = source
        if cookie:
            self.cookie = cookie
        if is_changed or not self._is_known:
            self._is_known = True
            self._changed()


class _Following:
    """One connection on which a feed comes."""

    def __init__(self, session: Any, uri: str, feed: Feed) -> None:
        self._session = session
        self._descriptor: int = session.fileno()
        self._is_read = False
        self._uri = uri
        self._feed = feed
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = -1
        self._question = -1
        self._cookie = ""
        self._heard_at = 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._descriptor, self._read)
        self._is_read = True
        self._heard_at = loop.time()
        self._question = self._feed.ask_state(self._session)
        while not self._ended.done():
            await asyncio.wait([self._ended], timeout=_ASK_EVERY_S)
            if self._ended.done():
                break
            if loop.time() - self._heard_at > _SILENCE_S:
                raise DirectoryUnavailable(f"{self._uri}: nothing came for {_SILENCE_S:g} s")
            if self._question < 0:
                self._question = self._feed.ask_state(self._session)
        self._ended.result()

    def close(self) -> None:
        self._stop_reading()
        with contextlib.suppress(ldap.LDAPError):
            self._session.unbind()
        if self._ended.done() and not self._ended.cancelled():
            self._ended.exception()

    def _read(self) -> None:
        """Take everything that has come: one reading of the socket may have brought many messages."""
        self._heard_at = asyncio.get_running_loop().time()
        is_changed = False
        try:
            while self._is_read:
                kind, data, number, *_ = self._session.result4(
                    ldap.RES_ANY, all=0, timeout=_NOW, add_ctrls=1, add_intermediates=1, resp_ctrl_classes=_CONTROLS
                )
                if number == self._question:
                    self._answered(kind, data)
                elif number == self._request:
                    is_changed = self._take(kind, data) or is_changed
        except ldap.TIMEOUT:
            self._feed.came(is_changed=is_changed, cookie=self._cookie, source=self._uri)
        except ldap.LDAPError as error:
            self._fail(error)
        except PyAsn1Error as error:
            self._end(f"{self._uri}: what it sends can't be read: {error}")

    def _answered(self, kind: int, data: list[Any]) -> None:
        """How far the replica is; where it is anywhere, it may be followed."""
        if kind == ldap.RES_SEARCH_RESULT:
            self._question = -1
            if self._request < 0:
                self._end(f"{self._uri}: it has no content yet")
        elif self._request < 0 and any(name.lower() == _STATE.lower() for name in data[0][1]):
            self._feed.content.begin()
            self._request = self._feed.request(self._session)

    def _take(self, kind: int, data: list[Any]) -> bool:
        if kind == ldap.RES_SEARCH_RESULT:
            self._end(f"{self._uri}: it ended the feed")
            return False
        changes = [self._feed.take(message) for message in self._messages(kind, data)]
        return any(changes)

    def _messages(self, kind: int, data: list[Any]) -> Iterator[Message]:
        for name, content, *controls in data:
            if kind == ldap.RES_SEARCH_ENTRY:
                for control in controls[0]:
                    if isinstance(control, SyncStateControl):
                        self._cookie = control.cookie or self._cookie
                        yield _of_entry(control, name, content)
            elif kind == ldap.RES_INTERMEDIATE and name == SyncInfoMessage.responseName:
                yield from self._of_info(SyncInfoMessage(content))

    def _of_info(self, info: Any) -> Iterator[Message]:
        if info.newcookie is not None:
            self._cookie = info.newcookie
        said = info.syncIdSet or info.refreshPresent or info.refreshDelete or {}
        self._cookie = said.get("cookie") or self._cookie
        if info.syncIdSet is not None:
            uuids = frozenset(said["syncUUIDs"])
            yield Gone(uuids) if said["refreshDeletes"] else Present(uuids)
        if info.refreshPresent is not None:
            yield Presence()
        if said.get("refreshDone"):
            yield Refreshed()

    def _fail(self, error: ldap.LDAPError) -> None:
        details = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        if details.get("result") == _REFRESH_REQUIRED:
            self._feed.cookie = ""
        self._end(f"{self._uri}: {words(error)}")

    def _stop_reading(self) -> None:
        """At once when the connection is over: libldap has closed the socket, and its number may be another's soon."""
        if self._is_read:
            self._is_read = False
            asyncio.get_running_loop().remove_reader(self._descriptor)

    def _end(self, why: str) -> None:
        self._stop_reading()
        if not self._ended.done():
            self._ended.set_exception(DirectoryUnavailable(why))


def _of_entry(control: Any, name: str, values: dict[str, list[bytes]]) -> Message:
    uuids = frozenset((control.entryUUID,))
    if control.state == "delete":
        return Gone(uuids)
    if control.state == "present":
        return Present(uuids)
    return Changed(control.entryUUID, item_of_answer(name, values))
