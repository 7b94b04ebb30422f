"""Routing from the directory: followed at one of its replicas, compiled as tables are, in force as soon as it changes.

What was last in force is kept on disk. A server starts with it while every replica is away, and takes up from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

import structlog

from nightmail.directory.feed import Feed
from nightmail.directory.last_copy import LastCopy, read_copy, write_copy
from nightmail.directory.progress import Progress
from nightmail.directory.selection import Selected, select
from nightmail.directory.sessions import Access
from nightmail.directory.tree import WHOLE_FILTER, WHOLE_TABLES, Item
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.generations import compile_source
from nightmail.routing.source import Source

_ANEW_S = 0.25
_PATIENCE_S = 5.0
_SAY_AGAIN_S = 60.0

log = structlog.get_logger()


class DirectoryReloads:
    """Puts what the directory says into force whenever it changes, and has it `announced` to the switches.

    `replicas` are the URIs in the order in which they are tried, `master` tells which of them takes writes. Relative
    paths in routes start from `base`. `make_feed` says how the entries that `filter_text` matches are followed. One
    that lacks for longer than `lag_limit_s` what another one has is not followed; where that is None, they are not
    held against each other.
    """

    def __init__(
        self,
        suffix: str,
        replicas: Sequence[str],
        master: Callable[[], str],
        access: Access,
        announce: Callable[[], Awaitable[None]],
        *,
        compiled: str,
        copy_path: str,
        base: str,
        lag_limit_s: float | None = 5.0,
        make_feed: Callable[..., Feed] = Feed,
        filter_text: str = WHOLE_FILTER,
    ) -> None:
        self._suffix = suffix
        self._replicas = replicas
        self._master = master
        self._access = access
        self._announce = announce
        self._bring_into_force = partial(_compile, output=compiled, base=base)
        self._copy_path = copy_path
        copy = read_copy(copy_path, suffix) or LastCopy(suffix=suffix)
        self._in_force: Mapping[str, Item] = copy.in_force
        self.faults: Mapping[str, ConfigInvalid] = {}
        self._wrong = ""
        self._applied: Mapping[str, Item] | None = None
        self._changed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._followed = ""
        self._lost_at = asyncio.get_running_loop().time()
        self._say_at = self._lost_at + _PATIENCE_S
        self._progress = Progress(suffix, replicas, master, access, lag_limit_s) if lag_limit_s is not None else None
        self._feed = make_feed(suffix, filter_text, self._was_heard, items=copy.content, cookie=copy.cookie)
        self._has_copy = bool(copy.in_force or copy.cookie)
        self._has_begun = self._has_copy
        self._following: asyncio.Task[None] | None = None

    @property
    def fault(self) -> str:
        """Why something of what the directory says is not in force, or empty."""
        if self._wrong or not self.faults:
            return self._wrong
        first = next(iter(self.faults.values()))
        further = len(self.faults) - 1
        return f"{first}" + (f" (and {further} more)" if further else "")

    @property
    def entries(self) -> int:
        """How many entries are in force."""
        return len(self._in_force)

    @property
    def source(self) -> str:
        """The replica that is followed, or empty where none can be."""
        return self._feed.source

    async def compile_first(self) -> None:
        """Put something into force before any switch runs: what was last in force, or else what comes first.

        Raises:
            ConfigInvalid: it can't be written.
        """
        self._following = asyncio.get_running_loop().create_task(self._keep_up())
        if not self._has_copy:
            await self._changed.wait()
            self._changed.clear()
            self._has_begun = True
        await self._apply()

    async def reload(self) -> None:
        """Try again to put everything into force, also that there is no domain any more.

        Raises:
            ConfigInvalid: of the first entry that is refused.
        """
        await self._apply(is_wanted=True)
        await self._announce()
        for fault in self.faults.values():
            raise fault

    async def watch(self) -> None:
        """Put every change into force; runs until cancelled."""
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if self._feed.content.items == self._applied:
                    continue  # a replica began to be followed, and had nothing new
                with contextlib.suppress(ConfigInvalid):  # it has been logged
                    await self._apply()
                    await self._announce()
        finally:
            if self._following is not None:
                self._following.cancel()

    async def _keep_up(self) -> None:
        looking = [self._progress.run(self._leave_if_behind)] if self._progress is not None else []
        await asyncio.gather(self._follow(), *looking)

    async def _follow(self) -> None:
        """Follow one replica after the other; one that is lost is tried again after all others."""
        while True:
            for uri in self._replicas:
                try:
                    if not self._is_behind(uri):
                        await self._feed.follow(uri, self._access)
                except DirectoryUnavailable as error:
                    if self._feed.is_ahead and uri == self._master():
                        self._go_back(uri)
                        break  # no other one that was not restored may come before it
                    self._note_loss(str(error))
                except Exception as error:  # whatever it is, mail goes on by what is in force, and following too
                    log.exception(
                        "directory not followed", reason=str(error), remedy="none: it is tried again; report this"
                    )
                await asyncio.sleep(_ANEW_S / len(self._replicas))

    def _is_behind(self, uri: str) -> bool:
        now = asyncio.get_running_loop().time()
        return self._progress is not None and self._progress.is_behind(uri, now)

    def _leave_if_behind(self) -> None:
        """A replica that takes nothing more from the master would have routing stay as it is for ever."""
        followed = self._feed.source
        if followed and not self._feed.over and self._is_behind(followed):
            log.warning(
                "directory replica behind", replica=followed,
                remedy="see why it takes nothing from the master; another one is followed",
            )  # fmt: skip
            self._feed.leave("it lacks what another one has")

    def _go_back(self, uri: str) -> None:
        """The master itself is older than what was seen of it: it was restored, and what it has now counts.

        A shadow that is older only waits for the master's changes, as we do.
        """
        log.warning("directory went back", replica=uri, remedy="none where it was restored: what it has is in force")
        self._feed.start_over()
        self._replicas = [uri, *(other for other in self._replicas if other != uri)]

    def _note_loss(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._followed:
            log.warning("directory replica lost", reason=reason, remedy="none: another one is followed")
            self._followed, self._lost_at, self._say_at = "", now, now + _PATIENCE_S
        elif now > self._say_at:
            meanwhile = "what was last in force stays so" if self._has_begun else "no mail is taken"
            log.error("directory out of reach", reason=reason, for_s=now - self._lost_at,
                      remedy=f"see why no replica runs; meanwhile {meanwhile}")  # fmt: skip
            self._say_at = now + _SAY_AGAIN_S

    def _was_heard(self) -> None:
        """The feed brought something, or began."""
        if self._feed.source != self._followed:
            self._followed = self._feed.source
            log.info("directory followed", replica=self._followed)
        self._changed.set()

    async def _apply(self, *, is_wanted: bool = False) -> None:
        async with self._one_at_a_time:
            content, cookie = dict(self._feed.content.items), self._feed.cookie
            try:
                if not is_wanted:
                    self._check_domains(content.values())
                selected = await asyncio.to_thread(self._select, content, cookie)
            except ConfigInvalid as fault:
                self._wrong = str(fault)
                what = {"place": fault.place, "wrong": fault.wrong, "right": fault.right}
                log.warning("directory refused, what was in force stays so", **what)
                raise
            self._wrong = ""
            self._applied = content
            self._say_what_is_refused(selected.faults)
            self._in_force, self.faults = selected.items, selected.faults
            log.info("directory in force", entries=len(selected.items), refused=len(selected.faults))

    def _check_domains(self, offered: Iterable[Item]) -> None:
        """That no domain is ours any more is hardly ever meant, and would have all mail refused."""
        had = any(item.is_a("nmMailDomain") for item in self._in_force.values())
        if had and not any(item.is_a("nmMailDomain") for item in offered):
            right = "restore what was deleted; where it is meant, `nightmail reload` puts it into force"
            raise ConfigInvalid(self._suffix, "the directory has no domain any more", right)

    def _select(self, content: dict[str, Item], cookie: str) -> Selected[str]:
        offered = {item.dn: item for item in content.values()}
        selected = select(offered, self._in_force, self._suffix, self._bring_into_force, WHOLE_TABLES)
        copy = LastCopy(suffix=self._suffix, cookie=cookie, content=content, in_force=dict(selected.items))
        try:
            write_copy(self._copy_path, copy)
        except OSError as error:
            log.warning("last copy of the directory not written", path=self._copy_path, reason=str(error),
                        remedy="make room: a restart while every replica is away needs it")  # fmt: skip
        return selected

    def _say_what_is_refused(self, faults: Mapping[str, ConfigInvalid]) -> None:
        for name, fault in faults.items():
            if name not in self.faults or str(self.faults[name]) != str(fault):
                log.warning("entry refused", place=fault.place, wrong=fault.wrong, right=fault.right)


def _compile(source: Source, *, output: str, base: str) -> str:
    return compile_source(source, output, base)
