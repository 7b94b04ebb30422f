"""Looks addresses up, over all replicas that are in sync, many at a time.

Everything that is asked for in one turn of the event loop goes to one replica in one search, and the turns go round the
replicas; with several sites those of the own one, as long as any of them can be asked. One that fails, or does not
answer in time, costs that search a second try at another. Each replica is also followed: what changes there is known
here no more. One that can't be followed in all of its parts is not asked: nobody would hear of what changes there, and
of a part that it was never sent it would say that nobody is in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import structlog

from nightmail.directory.content import Changed, Expired, Gone, Message
from nightmail.directory.feed import ChangeFeed
from nightmail.directory.known import Cache, Known, answers_of, keys_of, members_named
from nightmail.directory.lag import newest_of
from nightmail.directory.link import NONE_ASKED, Link, MakeFeed, PartAtReplica
from nightmail.directory.parts import Part
from nightmail.directory.ranges import Ranges, is_partial
from nightmail.directory.recent import RecentChanges
from nightmail.directory.schemas import OWN, Schema
from nightmail.directory.sessions import Access
from nightmail.directory.told_masters import Contradiction, Told, contradiction
from nightmail.directory.tree import Item, folded_name
from nightmail.errors import DirectoryUnavailable, NotKnownYet
from nightmail.world import Clock

_KEYS_PER_SEARCH = 50
_MEMBERS_AT_ONCE = 100
_STARTING_S = 1.0
_FAILED_FOR_S = 0.5
_FAILURES_KEPT = 10_000
_CACHE_BYTES = 64 << 20
_LAG_LIMIT_S = 5.0
_LAG_LOOK_S = 0.5
_PATIENCE_S = 5.0
_SAY_AGAIN_S = 60.0
_BEHIND = "it lacks changes that another one has"

Found = Callable[[], None]

log = structlog.get_logger()


class Lookups:
    """What is known of addresses, and how more gets known. `changed` is called when something is known no more.

    Of the `replicas` those that are `near` are asked as long as one of them can be; with none, all are alike. `parts`
    are the bases of what is numbered each by itself, by default the one `suffix`, with the replica that takes writes to
    it, where that is one for good: what it has is what there is to have, also once it was restored. `masters` are the
    servers that do, as our file names them: one that was told otherwise is asked only while no other can be, and until
    it was told the same nothing is known not to be there (`is_certain`). Where the master's role moves, `role` is the
    entry in which each says whether it has it. Relative paths in routes start from `base`. `schema` says how entries
    are asked for, `make_feed` how one hears of changes. `run` keeps the connections.
    """

    def __init__(
        self,
        suffix: str,
        replicas: Sequence[str],
        access: Access,
        clock: Clock,
        *,
        near: Collection[str] = (),
        parts: Mapping[str, str] | None = None,
        masters: Mapping[Part, str] = MappingProxyType({}),
        role: str = "",
        base: str,
        timeout_s: float,
        changed: Callable[[], None],
        lag_limit_s: float = _LAG_LIMIT_S,
        cache_bytes: int = _CACHE_BYTES,
        schema: Schema = OWN,
        make_feed: MakeFeed = ChangeFeed,
    ) -> None:
        self.asked: dict[str, int] = dict.fromkeys(replicas, 0)
        self._suffix = suffix
        self._near = near or [*replicas]
        self._schema = schema
        self._base = base
        self._parts = parts or {suffix: ""}
        self._timeout_s = timeout_s
        self._clock = clock
        self._changed = changed
        self._cache = Cache(cache_bytes)
        self._failed: dict[str, tuple[float, str]] = {}
        self._waiting: dict[str, list[Found]] = {}
        self._recent = RecentChanges()
        self._gathered: list[str] = []
        self._masters = masters
        self._role = role
        self._contradicting: dict[str, Contradiction] = {}
        self._links = [
            Link(
                uri,
                [*self._parts],
                access,
                lag_limit_s,
                schema=schema,
                make_feed=make_feed,
                take=self._take,
                is_current=self._is_current,
                is_lost=self._is_lost,
                is_alone=self._is_alone,
                was_told=self._was_told if masters else None,
                role=role,
            )
            for uri in replicas
        ]
        self._starting_until = 0.0
        self._say_at = 0.0
        self._is_settled = not masters
        self._is_any_in_sync = True
        self._were_in_sync: set[str] = set()
        self._believed: set[str] = set()

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

    @property
    def is_certain(self) -> bool:
        """Whether what no replica has is nowhere.

        Not where one that was seen follows, or is, another master than ours: one that is away still counts, since what
        was written there may be there alone. Nor while each lacks a change that another one has, or may lack what was
        written before it came at a master that is away; nor at the start, before each has said what it was told.
        """
        return self._is_settled and self._is_any_in_sync and not self._contradicting

    def is_ready(self, uri: str) -> bool:
        """Whether a replica can be asked: it is connected to, and followed in all of its parts."""
        return any(link.is_ready for link in self._links if link.uri == uri)

    def standing(self) -> dict[str, str]:
        """Each replica by its URI: ok, or why it is not asked."""
        now = self._clock.elapsed()
        return {link.uri: self._standing_of(link, now) for link in self._links}

    def _standing_of(self, link: Link, now: float) -> str:
        if link.uri in self._contradicting:
            return f"{link.uri}: {self._contradicting[link.uri]}"
        return link.fault or (f"{link.uri}: {_BEHIND}" if link.is_behind(now) else "ok")

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
        self._say_at = self._clock.elapsed() + _PATIENCE_S
        loop.call_later(_STARTING_S, self._send)
        await asyncio.gather(self._watch_lag(), *(link.run() for link in self._links))

    async def _watch_lag(self) -> None:
        while True:
            await asyncio.sleep(_LAG_LOOK_S)
            for link in self._links:
                link.look_at_role()
            self._in_sync()
            self._say_if_none_is_asked()

    def _is_alone(self, uri: str) -> bool:
        return not any(link.is_ready for link in self._links if link.uri != uri)

    def _say_if_none_is_asked(self) -> None:
        """Say it again and again: nothing else may tell that no mail is taken for whoever is not remembered."""
        now = self._clock.elapsed()
        if any(link.is_ready for link in self._links):
            self._say_at = now + _PATIENCE_S
        elif now > self._say_at:
            self._say_at = now + _SAY_AGAIN_S
            log.error(
                "directory can't be asked", reason="; ".join(link.fault for link in self._links), remedy=NONE_ASKED
            )

    def _send(self) -> None:
        if self._is_starting() and not self._has_met_all():
            return
        if not self._is_settled:
            self._is_settled = True
            self._changed()
        gathered, self._gathered = self._gathered, []
        for start in range(0, len(gathered), _KEYS_PER_SEARCH):
            question = _Question(gathered[start : start + _KEYS_PER_SEARCH], self._recent.moment)
            self._ask(question, "no replica of the directory can be asked")

    def _has_met_all(self) -> bool:
        """Whether it is known whom to ask first: one of the near ones, where it is known what each was told."""
        met = not self._masters or all(link.is_met for link in self._links)
        return met and any(link.is_ready for link in self._preferred(self._links))

    def _is_starting(self) -> bool:
        return asyncio.get_running_loop().time() < self._starting_until

    def _ask(self, question: _Question, why: str) -> None:
        """Ask the replica that was asked least, of those that were not tried yet; the near ones first."""
        links = self._preferred(self._others(question))
        if not links:
            self._fail(question.keys, why)
            return
        link = min(links, key=lambda link: self.asked[link.uri])
        self.asked[link.uri] += len(question.keys)
        self._believed.add(link.uri)
        question.tried.append(link)
        filter_text = self._schema.filter_of(question.keys)
        link.search(self._suffix, filter_text, partial(self._answered, question), self._timeout_s)

    def _others(self, question: _Question) -> list[Link]:
        """Whom a question can still be put to."""
        return [link for link in self._in_sync() if link not in question.tried]

    def _preferred(self, links: Sequence[Link]) -> Sequence[Link]:
        """Those of them that follow the same masters as we do, if any do; and of these the near ones, if any are."""
        links = [link for link in links if link.uri not in self._contradicting] or links
        return [link for link in links if link.uri in self._near] or links

    def _in_sync(self) -> list[Link]:
        """The replicas that can be asked; one that is too far behind another one in any part can't, unless all are."""
        ready, now = [link for link in self._links if link.is_ready], self._clock.elapsed()
        for number, master in enumerate(self._parts.values()):
            self._compare({link.uri: link.parts[number] for link in ready}, self._judge(master, ready), now)
        in_sync = [link for link in ready if not link.is_behind(now)]
        uris = {link.uri for link in in_sync}
        is_any_as_before = self._is_any_in_sync == (not ready or bool(uris))
        self._is_any_in_sync = not ready or bool(uris)
        if not is_any_as_before or (uris and self._believed & self._were_in_sync - uris):
            # What it said may be true of no other one, and nobody would tell. With none left it is better than nothing.
            self._forget()
        self._were_in_sync = uris or self._were_in_sync
        return in_sync or ready

    def _judge(self, master: str, ready: Sequence[Link]) -> str | None:
        """Who has all that there is of a part; empty where each may have what others lack, None where nobody knows."""
        if self._role:
            return next((link.uri for link in ready if link.takes_writes), None)
        return master if not master or any(link.uri == master for link in ready) else None

    def _compare(self, parts: Mapping[str, PartAtReplica], judge: str | None, now: float) -> None:
        """See how far each replica, by its URI, has come with a part."""
        states = {uri: part.state for uri, part in parts.items()}
        ours = {uri: state for uri, state in states.items() if uri not in self._contradicting}
        newest = newest_of(ours or states, judge or "")  # what another master has written is not to be had from ours
        for part in parts.values():  # one that tells of no changes has no number, either
            part.lag.note(part.state or newest, newest, now, is_judge_there=judge is not None)

    def _forget(self) -> None:
        self._cache.clear()
        self._believed.clear()
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

    def _was_told(self, uri: str, told: Told) -> None:
        """A replica says which masters it was told."""
        before, now = self._contradicting.pop(uri, None), contradiction(self._masters, told)
        if now is not None:
            self._contradicting[uri] = now
        if now == before:
            return
        if now is not None:
            log.error("directory masters contradict each other", replica=uri, reason=now.wrong, remedy=now.remedy)
        else:
            log.info("directory masters agree again", replica=uri)
        self._forget()

    def _is_current(self, uri: str) -> None:
        """A replica is followed, from now on: nobody knows what changed there before.

        What others said is as true as it was, as long as they are followed themselves.
        """
        log.info("directory replica asked", replica=uri)
        for link in self._links:
            for part in link.parts:
                part.lag.begin(is_itself=link.uri == uri)
        self._in_sync()  # before anything more is written
        others = {link.uri for link in self._links if link.is_ready} - {uri}
        if not (self._believed and self._believed <= others):
            self._forget()
        self._send()

    def _is_lost(self) -> None:
        """A replica can't be asked any more, or could not be."""
        self._in_sync()
        if self._is_starting():
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
        self.tried: list[Link] = []

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
        link: Link,
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
