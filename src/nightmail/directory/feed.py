"""Follows a subtree of the directory at one replica after another: what is there, and every change as it happens.

Nothing goes back in time by itself. A replica that is asked for what came since a moment that it has not yet come to
sends nothing if it is a shadow, and refuses if it is the master. One that was never filled has no state (contextCSN)
and is not followed. Each is asked something now and then, so that a silence means that it hangs, and is left.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import ldap
from ldap.controls import ResponseControl
from ldap.syncrepl import SyncInfoMessage, SyncRequestControl, SyncStateControl

from nightmail.directory.content import Changed, Content, Gone, Message, Presence, Present, Refreshed
from nightmail.directory.opening import opened
from nightmail.directory.schemas import OWN, Schema
from nightmail.directory.sessions import Access, item_of_answer, words
from nightmail.directory.sync_state import DELETE, PRESENT, SyncState, read_sync_state
from nightmail.directory.tree import ATTRIBUTES, Item
from nightmail.errors import DirectoryUnavailable

_NOW = 1e-6  # python-ldap fails over a 0 with controls where nothing has come; this raises TIMEOUT then
_STATE = "contextCSN"
_ASK_EVERY_S = 0.5
_SILENCE_S = 2.0
_REFRESH_REQUIRED = 4096  # e-syncRefreshRequired (RFC 4533 §2.8)
_AT_ONCE = 200
_NOTHING_YET = "it has no content yet"
_SID = re.compile(r"sid=[0-9A-Fa-f]+,?")
_CSN = re.compile(r"(?<=[=;])[0-9]{14}\.[^;,]+")


class _StateControl(ResponseControl):  # type: ignore[misc]  # the library has no types
    """Says of an entry what became of it."""

    controlType = SyncStateControl.controlType  # noqa: N815 - as the library calls it

    def decodeControlValue(self, encodedControlValue: bytes) -> None:  # noqa: N802, N803 - as the library calls it
        """Read it; the library calls this."""
        self.told = read_sync_state(encodedControlValue)


_CONTROLS = {_StateControl.controlType: _StateControl}


class _Listener(Protocol):
    """Whoever follows: what it asks for, and what it makes of what comes."""

    over: str
    """Why to end now, or nothing."""
    cookie: str
    """Up to where everything is known."""

    def begin(self, session: Any, state: list[str]) -> int:
        """Ask for the changes; `state` is how far the replica is. The number of the request."""
        ...

    def told(self, state: list[str]) -> None:
        """How far the replica is; it is asked now and then."""
        ...

    def take(self, message: Message) -> None:
        """Take what came."""
        ...

    def came(self, cookie: str) -> None:
        """All of what came at once has been taken; `cookie` is where that ends."""
        ...

    def start_over(self) -> None:
        """The replica can't tell what changed since the cookie."""
        ...

    def note_ahead(self) -> None:
        """The replica has not yet come as far as the cookie."""
        ...


class Feed:
    """The entries below `base` that `filter_text` matches.

    `changed` is called whenever a replica has brought them up to date, and then whenever they are others. `items` and
    `cookie` are what was known of them at an earlier time. `is_ahead` says that the last replica was refused as older
    than that.
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
        self.is_ahead = False
        self.over = ""
        self._in_doubt = ""
        self._is_everything = False
        self._base = base
        self._filter = filter_text
        self._changed = changed
        self._is_known = False
        self._is_changed = False
        self._uri = ""

    async def follow(self, uri: str, access: Access) -> None:
        """Follow at the replica `uri` for as long as it can be done; the error says why no longer.

        Raises:
            DirectoryUnavailable: always, in the end.
        """
        self._is_known = self.is_ahead = False
        self._uri = uri
        try:
            await _follow(uri, access, self._base, self)
        finally:
            self.source = ""
            self.content.is_current = False

    def begin(self, session: Any, state: list[str]) -> int:
        """Ask for everything, or since the cookie where the replica has not come as far: it has nothing then.

        One that was killed may have a change that it never sent, and say that it is no further than it was.
        """
        self.content.begin()
        self.over = ""
        seen = max(_CSN.findall(self.cookie), default="")
        is_older = seen > max(state)
        if is_older:
            self._in_doubt = max(seen, self._in_doubt)
        self._is_everything = not is_older
        return _request(session, self._base, self._filter, self.cookie if is_older else "")

    def told(self, state: list[str]) -> None:
        """See whether the replica is past a change that it did not have when it was asked.

        That may have been lost with another replica, and never come to this one: then all is asked for anew. One that
        is seen to have come to just that change was only behind.
        """
        if self._in_doubt in state:
            self._in_doubt = ""
        if self._in_doubt and max(state) > self._in_doubt:
            self.cookie, self._in_doubt, self.over = "", "", "it is asked for everything"

    def take(self, message: Message) -> None:
        """Take what came into the content. Of everything that there is, no replica says that it is all."""
        if isinstance(message, Refreshed) and self._is_everything:
            self.content.take(Presence())
        self._is_changed = self.content.take(message) or self._is_changed

    def came(self, cookie: str) -> None:
        """All of what came at once has been taken: once it is whole, say whether it is another."""
        if not self.content.is_current:
            return
        self.source = self._uri
        self.cookie = cookie
        if self._is_changed or not self._is_known:
            self._is_known, self._is_changed = True, False
            self._changed()

    def start_over(self) -> None:
        """Ask for everything the next time."""
        self.cookie = ""

    def note_ahead(self) -> None:
        """What is known here is newer than what the replica has."""
        self.is_ahead = True

    def leave(self, why: str) -> None:
        """Follow that replica no more, with its next answer."""
        self.over = why


class ChangeFeed:
    """Changes of entries below `base` that say something about mail, from now on; `tell` is given each of them.

    `ready` is called when the replica is known to send them. `state` is the number of the last one.
    """

    def __init__(
        self, base: str, tell: Callable[[Message], None], ready: Callable[[], None], schema: Schema = OWN
    ) -> None:
        self.state = ""
        self.over = ""
        self.cookie = ""
        self._base = base
        self._tell = tell
        self._schema = schema
        self._ready = ready
        self._is_ready = False

    async def follow(self, uri: str, access: Access) -> None:
        """Follow at the replica `uri` for as long as it can be done; the error says why no longer.

        Raises:
            DirectoryUnavailable: always, in the end.
        """
        self._is_ready = False
        await _follow(uri, access, self._base, self)

    def begin(self, session: Any, state: list[str]) -> int:
        """Ask for everything since now."""
        cookie = f"rid=000,csn={';'.join(state)}"
        return _request(session, self._base, self._schema.mail_filter, cookie, self._schema.attributes)

    def told(self, state: list[str]) -> None:
        """Note how far the replica is."""
        self.state = max(state)

    def take(self, message: Message) -> None:
        """Tell what changed."""
        if isinstance(message, Changed):
            message = message._replace(item=self._schema.read(message.item))
        self._tell(message)

    def came(self, cookie: str) -> None:
        """Something came: the replica sends what changes."""
        if not self._is_ready:
            self._is_ready = True
            self._ready()

    def start_over(self) -> None:
        """Nothing is kept."""

    def note_ahead(self) -> None:
        """It is asked from where it says that it is."""


def _request(session: Any, base: str, filter_text: str, cookie: str, attributes: Sequence[str] = ATTRIBUTES) -> int:
    # A replica's cookie names it (sid). Another one would take us for that one, and keep from us what began there.
    control = SyncRequestControl(cookie=_SID.sub("", cookie) or None, mode="refreshAndPersist")
    return int(session.search_ext(base, ldap.SCOPE_SUBTREE, filter_text, list(attributes), serverctrls=[control]))


async def _follow(uri: str, access: Access, base: str, listener: _Listener) -> None:
    session = await opened(uri, access)
    following = _Following(session, uri, base, listener)
    try:
        await following.run()
    finally:
        following.close()


class _Following:
    """One connection on which a feed comes."""

    def __init__(self, session: Any, uri: str, base: str, listener: _Listener) -> None:
        self._session = session
        self._descriptor: int = session.fileno()
        self._is_read = False
        self._uri = uri
        self._base = base
        self._listener = listener
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = -1
        self._question = -1
        self._cookie = ""
        self._is_refreshed = False
        self._heard_at = 0.0

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_reader(self._descriptor, self._read)
        self._is_read = True
        self._heard_at = loop.time()
        self._question = self._ask_state()
        while not self._ended.done():
            await asyncio.wait([self._ended], timeout=_ASK_EVERY_S)
            if self._ended.done():
                break
            if self._question < 0:
                self._heard_at = loop.time()  # a silence begins with a question: we may have been busy ourselves
                self._question = self._ask_state()
            elif loop.time() - self._heard_at > _SILENCE_S:
                self._read()  # it may have come while we were busy with something else
                if not self._ended.done() and loop.time() - self._heard_at > _SILENCE_S:
                    raise DirectoryUnavailable(f"{self._uri}: nothing came for {_SILENCE_S:g} s")
        self._ended.result()

    def close(self) -> None:
        self._stop_reading()
        with contextlib.suppress(ldap.LDAPError):
            self._session.unbind()
        if self._ended.done() and not self._ended.cancelled():
            self._ended.exception()

    def _ask_state(self) -> int:
        """Ask how far the replica is; the number of the request. Raises: DirectoryUnavailable."""
        try:
            return int(self._session.search_ext(self._base, ldap.SCOPE_BASE, "(objectClass=*)", [_STATE]))
        except ldap.LDAPError as error:
            raise DirectoryUnavailable(f"{self._uri}: {words(error)}") from error

    def _read(self) -> None:
        """Take everything that has come: one reading of the socket may have brought many messages."""
        has_come, is_all = False, False
        try:
            for _ in range(_AT_ONCE):
                if not self._is_read:
                    return
                kind, data, number, *_ = self._session.result4(
                    ldap.RES_ANY, all=0, timeout=_NOW, add_ctrls=1, add_intermediates=1, resp_ctrl_classes=_CONTROLS
                )
                self._heard_at = asyncio.get_running_loop().time()
                if number == self._question:
                    self._answered(kind, data)
                elif number == self._request:
                    has_come = True
                    self._take(kind, data)
        except ldap.TIMEOUT:
            is_all = True
        except ldap.LDAPError as error:
            self._fail(error)
            return
        except Exception as error:  # noqa: BLE001 - whatever a replica sends ends its feed, and nothing else
            self._end(f"{self._uri}: what it sends can't be read: {type(error).__name__}: {error}")
            return
        if not is_all:
            # Others first; libldap may have the rest already, so that the socket does not tell of it.
            asyncio.get_running_loop().call_soon(self._read)
        if has_come and self._is_refreshed:
            self._listener.came(self._cookie)

    def _answered(self, kind: int, data: list[Any]) -> None:
        """How far the replica is; where it is anywhere, it may be followed."""
        if kind == ldap.RES_SEARCH_RESULT:
            self._question = -1
            if self._request < 0:
                self._end(f"{self._uri}: {_NOTHING_YET}")
            return
        states = [value.decode() for name, values in data[0][1].items() if name == _STATE for value in values]
        if not states:
            return
        self._listener.told(states)
        if self._listener.over and self._request >= 0:
            self._end(f"{self._uri}: {self._listener.over}")
        elif self._request < 0:
            self._request = self._listener.begin(self._session, states)
            self._cookie = self._listener.cookie

    def _take(self, kind: int, data: list[Any]) -> None:
        if kind == ldap.RES_SEARCH_RESULT:
            self._end(f"{self._uri}: it ended the feed")
            return
        for message in self._messages(kind, data):
            self._is_refreshed = self._is_refreshed or isinstance(message, Refreshed)
            self._listener.take(message)

    def _messages(self, kind: int, data: list[Any]) -> Iterator[Message]:
        for name, content, *controls in data:
            if kind == ldap.RES_SEARCH_ENTRY:
                for control in controls[0]:
                    if isinstance(control, _StateControl):
                        self._cookie = _joined(self._cookie, control.told.cookie)
                        yield _of_entry(control.told, name, content)
            elif kind == ldap.RES_INTERMEDIATE and name == SyncInfoMessage.responseName:
                yield from self._of_info(SyncInfoMessage(content))

    def _of_info(self, info: Any) -> Iterator[Message]:
        if info.newcookie is not None:
            self._cookie = _joined(self._cookie, info.newcookie)
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
            self._listener.start_over()
        if isinstance(error, ldap.UNWILLING_TO_PERFORM):  # "consumer state is newer than provider"
            self._listener.note_ahead()
        if isinstance(error, ldap.NO_SUCH_OBJECT) and self._request < 0:  # of a part that it was never sent
            self._end(f"{self._uri}: {_NOTHING_YET}")
            return
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


def _joined(before: str, cookie: str) -> str:
    """The cookie `before` a change, brought up to that one's: that names the writer of the change, and no others.

    Who is asked by one that names no writer whom it knows takes it for none, and would have us go back to what it has.
    """
    newest: dict[str, str] = {}
    for csn in _CSN.findall(f"{before};{cookie}"):
        writer = csn.split("#")[2]
        newest[writer] = max(csn, newest.get(writer, ""))
    return f"rid=000,csn={';'.join(newest[writer] for writer in sorted(newest))}" if newest else cookie or before


def _of_entry(told: SyncState, name: str, values: dict[str, list[bytes]]) -> Message:
    if told.state == DELETE:
        return Gone(frozenset((told.uuid,)))
    if told.state == PRESENT:
        return Present(frozenset((told.uuid,)))
    return Changed(told.uuid, item_of_answer(name, values))
