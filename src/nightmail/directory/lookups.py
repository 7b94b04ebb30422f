"""Looks addresses up, over all replicas that are in sync, many at a time.

Everything that is asked for in one turn of the event loop goes to one replica in one search, and the turns go round the
replicas. One that fails, or does not answer in time, costs that search a second try at another. Each replica is also
followed: what changes there is known here no more. One that can't be followed is not asked, since nobody would hear of
what changes there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial

import structlog

from nightmail.directory.connection import Connection
from nightmail.directory.content import Changed, Expired, Gone, Message
from nightmail.directory.feed import ChangeFeed
from nightmail.directory.known import Cache, Known, answers_of, keys_of, members_named
from nightmail.directory.lag import Lag, newest_of
from nightmail.directory.ranges import Ranges, is_partial
from nightmail.directory.recent import RecentChanges
from nightmail.directory.schemas import OWN, Schema
from nightmail.directory.sessions import Access, Refused
from nightmail.directory.tree import Item, folded_name
from nightmail.errors import DirectoryUnavailable, NotKnownYet
from nightmail.world import Clock

_KEYS_PER_SEARCH = 50
_MEMBERS_AT_ONCE = 100
_ANEW_S = 0.25
_STARTING_S = 1.0
_FAILED_FOR_S = 0.5
_FAILURES_KEPT = 10_000
_CACHE_BYTES = 64 << 20
_LAG_LIMIT_S = 5.0
_LAG_LOOK_S = 0.5
_NOT_YET = "it is not connected to yet"
_BEHIND = "it lacks changes that another one has"

Found = Callable[[], None]
MakeFeed = Callable[[str, Callable[[Message], None], Callable[[], None], Schema], ChangeFeed]

log = structlog.get_logger()


class Lookups:
    """What is known of addresses, and how more gets known. `changed` is called when something is known no more.

    Relative paths in routes start from `base`. `master` is the replica that takes writes, where that is one for good:
    what it has is what there is to have, also once it was restored. `schema` says how entries are asked for,
    `make_feed` how one hears of changes. `run` keeps the connections.
    """

    def __init__(
        self,
        suffix: str,
        replicas: Sequence[str],
        access: Access,
        clock: Clock,
        *,
        base: str,
        timeout_s: float,
        changed: Callable[[], None],
        lag_limit_s: float = _LAG_LIMIT_S,
        master: str = "",
        cache_bytes: int = _CACHE_BYTES,
        schema: Schema = OWN,
        make_feed: MakeFeed = ChangeFeed,
    ) -> None:
        self.asked: dict[str, int] = dict.fromkeys(replicas, 0)
        self._suffix = suffix
        self._schema = schema
        self._base = base
        self._master = master
        self._timeout_s = timeout_s
        self._clock = clock
        self._changed = changed
        self._cache = Cache(cache_bytes)
        self._failed: dict[str, tuple[float, str]] = {}
        self._waiting: dict[str, list[Found]] = {}
        self._recent = RecentChanges()
        self._gathered: list[str] = []
        self._links = [
            _Link(
                uri,
                suffix,
                access,
                Lag(lag_limit_s),
                schema=schema,
                make_feed=make_feed,
                take=self._take,
                is_current=self._is_current,
                is_lost=self._in_sync,
            )
            for uri in replicas
        ]
        self._starting_until = 0.0
        self._were_in_sync: set[str] = set()

    def find(self, key: str) -> Known:
        """What is known of a key.

        Raises:
            NotKnownYet: nothing; `look_up` changes that.
            DirectoryUnavailable: it was tried a moment ago, and could not be found out.
        """
        known = self._cache.get(key)
        if known is not None:
            return known
        failed = self._failed.get(key)
        if failed is not None and self._clock.elapsed() < failed[0]:
            raise DirectoryUnavailable(failed[1])
        raise NotKnownYet((key,))

    def is_ready(self, uri: str) -> bool:
        """Whether a replica can be asked: it is connected to, and followed."""
        return any(link.is_ready for link in self._links if link.uri == uri)

    def standing(self) -> dict[str, str]:
        """Each replica by its URI: ok, or why it is not asked."""
        now = self._clock.elapsed()
        return {
            link.uri: link.fault or (f"{link.uri}: {_BEHIND}" if link.lag.is_over_limit(now) else "ok")
            for link in self._links
        }

    def look_up(self, keys: Collection[str], found: Found) -> None:
        """Have `found` called once all of the keys are known, or could not be found out."""
        together = _Together(len(keys), found)
        for key in keys:
            waiting = self._waiting.get(key)
            if waiting is not None:
                waiting.append(together)
                continue
            self._waiting[key] = [together]
            if not self._gathered:
                asyncio.get_running_loop().call_soon(self._send)
            self._gathered.append(key)

    async def run(self) -> None:
        """Keep the connections; runs until cancelled."""
        loop = asyncio.get_running_loop()
        self._starting_until = loop.time() + _STARTING_S
        loop.call_later(_STARTING_S, self._send)
        await asyncio.gather(self._watch_lag(), *(link.run() for link in self._links))

    async def _watch_lag(self) -> None:
        while True:
            await asyncio.sleep(_LAG_LOOK_S)
            self._in_sync()

    def _send(self) -> None:
        if not any(link.is_ready for link in self._links) and self._is_starting():
            return
        gathered, self._gathered = self._gathered, []
        for start in range(0, len(gathered), _KEYS_PER_SEARCH):
            question = _Question(gathered[start : start + _KEYS_PER_SEARCH], self._recent.moment)
            self._ask(question, "no replica of the directory can be asked")

    def _is_starting(self) -> bool:
        return asyncio.get_running_loop().time() < self._starting_until

    def _ask(self, question: _Question, why: str) -> None:
        """Ask the replica that was asked least, of those that were not tried yet."""
        links = self._others(question)
        if not links:
            self._fail(question.keys, why)
            return
        link = min(links, key=lambda link: self.asked[link.uri])
        self.asked[link.uri] += len(question.keys)
        question.tried.append(link)
        filter_text = self._schema.filter_of(question.keys)
        link.search(self._suffix, filter_text, partial(self._answered, question), self._timeout_s)

    def _others(self, question: _Question) -> list[_Link]:
        """Whom a question can still be put to."""
        return [link for link in self._in_sync() if link not in question.tried]

    def _in_sync(self) -> list[_Link]:
        """The replicas that can be asked; one that is too far behind another one can't."""
        ready, now = [link for link in self._links if link.is_ready], self._clock.elapsed()
        newest = newest_of({link.uri: link.state for link in ready}, self._master)
        for link in ready:
            link.lag.note(link.state or newest, newest, now)  # one that tells of no changes has no number, either
        in_sync = [link for link in ready if not link.lag.is_over_limit(now)]
        uris = {link.uri for link in in_sync}
        if uris and self._were_in_sync - uris:
            # What it said may be true of no other one, and nobody would tell. With none left it is better than nothing.
            self._forget()
        self._were_in_sync = uris or self._were_in_sync
        return in_sync

    def _forget(self) -> None:
        self._cache.clear()
        self._recent.note_everything()
        self._changed()

    def _answered(self, question: _Question, answer: list[Item] | DirectoryUnavailable) -> None:
        if isinstance(answer, DirectoryUnavailable):
            self._ask(question, str(answer))
            return
        if any(map(is_partial, answer)):
            Ranges(question.tried[-1].search, answer, self._timeout_s, partial(self._answered, question)).ask()
            return
        answer = [self._schema.read(item) for item in answer]
        names = members_named(answer)
        if names:
            complete = partial(self._complete, question, answer)
            _Members(question.tried[-1], names, self._timeout_s, complete, self._schema).ask()
        else:
            self._complete(question, answer, [])

    def _complete(self, question: _Question, found: list[Item], members: list[Item] | DirectoryUnavailable) -> None:
        """Everything has come that the answers are made of."""
        keys = question.keys
        if isinstance(members, DirectoryUnavailable):
            self._ask(question, str(members))
            return
        try:
            answers = answers_of(keys, found, self._base, members)
        except Exception as error:  # what nobody foresaw must not keep sessions waiting for ever
            log.exception(
                "answer of the directory not understood", keys=keys, remedy="mail for them waits; report this"
            )
            self._fail(keys, f"not understood: {error}")
            return
        # Before the look at what is outdated: one that is lost makes everything so.
        others = self._others(question)
        outdated = [
            key for key, known in answers.items() if self._recent.is_any_since(question.moment, (key, *known.ids))
        ]
        if outdated and others:
            self._ask(question.again(outdated, self._recent.moment), "what it said is outdated")
            answers = {key: known for key, known in answers.items() if key not in outdated}
            outdated = []
        self._note(answers, outdated)

    def _note(self, answers: dict[str, Known], outdated: list[str]) -> None:
        """These are the answers. Those that are outdated everywhere are good for whoever asked, and for nobody else."""
        for key, known in answers.items():
            if known.fault:
                log.error("entry can't be used", key=key, reason=known.fault, remedy="mend it: mail for it waits")
            self._cache.put(key, known)
        self._tell(answers)
        if outdated:  # whoever was told by an event asks in this turn of the loop
            asyncio.get_running_loop().call_soon(self._drop, outdated)

    def _drop(self, keys: list[str]) -> None:
        self._cache.drop((), keys)
        self._changed()

    def _fail(self, keys: list[str], why: str) -> None:
        if len(self._failed) > _FAILURES_KEPT:
            self._failed.clear()
        until = self._clock.elapsed() + _FAILED_FOR_S
        self._failed.update((key, (until, why)) for key in keys)
        self._tell(keys)

    def _tell(self, keys: Iterable[str]) -> None:
        for key in keys:
            for found in self._waiting.pop(key, ()):
                try:
                    found()
                except Exception:  # one who waited fails for himself, and for nobody else
                    log.exception("lookup not taken", key=key, remedy="report this")

    def _is_current(self, uri: str) -> None:
        """A replica is followed, from now on: nobody knows what changed there before."""
        log.info("directory replica asked", replica=uri)
        self._forget()
        self._send()

    def _take(self, message: Message) -> None:
        """Something changed at a replica."""
        match message:
            case Changed(uuid, item):
                if self._waiting or len(self._cache):  # who fills a directory need not be listened to so closely
                    ids, keys = (uuid, folded_name(item.dn)), keys_of(item)
                    self._cache.drop(ids, keys)
                    self._recent.note((*ids, *keys))
            case Gone(uuids):
                self._cache.drop(uuids)
                self._recent.note(uuids)
            case Expired():
                self._forget()
                return
            case _:
                return
        self._changed()


class _Question:
    """What one search asks, the moment at which it was first asked, and the replicas that were asked."""

    __slots__ = ("keys", "moment", "tried")

    def __init__(self, keys: list[str], moment: int) -> None:
        self.keys = keys
        self.moment = moment
        self.tried: list[_Link] = []

    def again(self, keys: list[str], moment: int) -> _Question:
        """The same of some of its keys, for those who were not asked yet."""
        question = _Question(keys, moment)
        question.tried = self.tried
        return question


class _Together:
    """Calls once after so many calls."""

    __slots__ = ("_count", "_found")

    def __init__(self, count: int, found: Found) -> None:
        self._count = count
        self._found = found

    def __call__(self) -> None:
        self._count -= 1
        if self._count == 0:
            self._found()


class _Members:
    """Reads the entries of a list's members, many at a time; one that is no more is none."""

    def __init__(
        self,
        link: _Link,
        names: list[str],
        timeout_s: float,
        complete: Callable[[list[Item] | DirectoryUnavailable], None],
        schema: Schema,
    ) -> None:
        self._link = link
        self._schema = schema
        self._left = names
        self._timeout_s = timeout_s
        self._complete = complete
        self._under_way = 0
        self._found: list[Item] = []
        self._fault: DirectoryUnavailable | None = None

    def ask(self) -> None:
        """Ask for the next ones; says when all have come."""
        batch, self._left = self._left[:_MEMBERS_AT_ONCE], self._left[_MEMBERS_AT_ONCE:]
        self._under_way = len(batch)
        for name in batch:
            answered = partial(self._answered, name)
            self._link.search(name, self._schema.member_filter, answered, self._timeout_s, is_base=True)

    def _answered(self, name: str, answer: list[Item] | DirectoryUnavailable) -> None:
        if isinstance(answer, DirectoryUnavailable):
            self._fault = answer
        else:  # by the name that the list has for it: there is more than one way to write it (RFC 4514 §2.4)
            self._found += (self._schema.read(item)._replace(dn=name) for item in answer)
        self._under_way -= 1
        if self._under_way:
            return
        if self._fault is None and self._left:
            self.ask()
        else:
            self._complete(self._fault or self._found)


class _Link:
    """One replica: a connection for questions, and one on which its changes come."""

    def __init__(
        self,
        uri: str,
        suffix: str,
        access: Access,
        lag: Lag,
        *,
        schema: Schema,
        make_feed: MakeFeed,
        take: Callable[[Message], None],
        is_current: Callable[[str], None],
        is_lost: Callable[[], object],
    ) -> None:
        self.lag = lag
        self.uri = uri
        self.is_ready = False
        self.fault = f"{uri}: {_NOT_YET}"
        self._access = access
        self._is_current = is_current
        self._is_lost = is_lost
        self._has_failed = False
        self._connection: Connection | None = None
        self._is_over = asyncio.Event()
        self._attributes = schema.attributes
        self._feed = make_feed(suffix, take, self._ready, schema)

    @property
    def state(self) -> str:
        """How far the replica is."""
        return self._feed.state

    async def run(self) -> None:
        """Keep both connections; runs until cancelled."""
        while True:
            again_s = _ANEW_S
            try:
                await self._run_once()
            except DirectoryUnavailable as error:
                if isinstance(error, Refused):
                    again_s = max(again_s, self._access.refused_for_s)
                if self.is_ready or not self._has_failed:
                    log.warning("directory replica not asked", reason=str(error), remedy="none: another one is asked")
                self._has_failed, self.fault = True, str(error)
            except Exception as error:  # whatever it is, the replica is tried again
                self.fault = f"{self.uri}: {error}"
                log.exception("directory replica not asked", reason=str(error), remedy="report this")
            finally:
                was_ready = self.is_ready
                self.is_ready = False
                if self._connection is not None:
                    self._connection.close()
                    self._connection = None
                if was_ready:
                    self._is_lost()
            await asyncio.sleep(again_s)

    def search(
        self,
        base: str,
        filter_text: str,
        answered: Callable[[list[Item] | DirectoryUnavailable], None],
        timeout_s: float,
        *,
        is_base: bool = False,
        attributes: Iterable[str] = (),
    ) -> None:
        """Ask the replica for `attributes`, by default all that an answer is made of; see `Connection.search`."""
        if self._connection is None:
            answered(DirectoryUnavailable(f"{self.uri}: there is no connection"))
        else:
            names = [*attributes] or self._attributes
            self._connection.search(base, filter_text, names, answered, timeout_s, is_base=is_base)

    async def _run_once(self) -> None:
        self._is_over.clear()
        self._connection = await Connection.open(self.uri, self._access, self._is_over.set)
        following = asyncio.create_task(self._feed.follow(self.uri, self._access))
        over = asyncio.create_task(self._is_over.wait())
        try:
            await asyncio.wait({following, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            over.cancel()
            following.cancel()
            ended = (await asyncio.gather(following, return_exceptions=True))[0]
        raise ended if isinstance(ended, DirectoryUnavailable) else DirectoryUnavailable(f"{self.uri}: no answer")

    def _ready(self) -> None:
        self.is_ready, self._has_failed, self.fault = True, False, ""
        self._is_current(self.uri)
