"""Routing from the directory: followed part by part, compiled as tables are, in force as soon as it changes.

What was last in force is kept on disk. A server starts with it while every replica is away, and takes up from there.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial

import structlog

from nightmail.directory.feed import Feed
from nightmail.directory.last_copy import LastCopy, PartCopy, read_copy, write_copy
from nightmail.directory.parts import Part, part_with
from nightmail.directory.selection import Selected, select
from nightmail.directory.sessions import Access
from nightmail.directory.tree import WHOLE_FILTER, WHOLE_TABLES, Item
from nightmail.errors import ConfigInvalid
from nightmail.routing.generations import compile_source
from nightmail.routing.source import Source
from nightmail.supervisor.part_following import MakeFeed, PartFollowing

log = structlog.get_logger()

_Known = Mapping[Part, PartCopy]


class DirectoryReloads:
    """Puts what the directory says into force whenever it changes, and has it `announced` to the switches.

    Its `parts`, the whole where none are given, are followed each by itself, and are in force together. `replicas` are
    the URIs in the order in which they are tried, `master` tells which of them takes writes to a part. Relative paths
    in routes start from `base`. `make_feed` says how the entries that `filter_text` matches are followed; see
    `PartFollowing` for `lag_limit_s` and `is_ours`.
    """

    def __init__(
        self,
        suffix: str,
        replicas: Sequence[str],
        master: Callable[[Part], str],
        access: Access,
        announce: Callable[[], Awaitable[None]],
        *,
        compiled: str,
        copy_path: str,
        base: str,
        parts: Sequence[Part] = (),
        lag_limit_s: float | None = 5.0,
        make_feed: MakeFeed = Feed,
        filter_text: str = WHOLE_FILTER,
        is_ours: bool = True,
    ) -> None:
        self._suffix = suffix
        self._announce = announce
        self._bring_into_force = partial(_compile, output=compiled, base=base)
        self._copy_path = copy_path
        self._parts = parts or (Part(suffix),)
        copy = read_copy(copy_path, suffix) or LastCopy(suffix=suffix)
        self._in_force: Mapping[str, Item] = copy.in_force
        self.faults: Mapping[str, ConfigInvalid] = {}
        self._wrong = ""
        self._doubts: Mapping[Part, ConfigInvalid] = {}
        self._applied: list[Mapping[str, Item]] = []
        self._changed = asyncio.Event()
        self._one_at_a_time = asyncio.Lock()
        self._followings = [
            PartFollowing(
                part, replicas, master, access, self._changed.set,
                copy=copy.parts.get(part.base, PartCopy()),
                lag_limit_s=lag_limit_s, make_feed=make_feed, filter_text=filter_text, is_ours=is_ours,
            )
            for part in self._parts
        ]  # fmt: skip
        self._following: asyncio.Task[object] | None = None

    @property
    def awaited(self) -> str:
        """What `compile_first` waits for, and what to do about it; empty where it does not wait."""
        return "; ".join(following.awaited for following in self._followings if following.awaited)

    @property
    def fault(self) -> str:
        """Why something of what the directory says is not in force, or empty."""
        if self.awaited:
            return self.awaited
        faults = [*self._doubts.values(), *self.faults.values()]
        if self._wrong or not faults:
            return self._wrong
        further = len(faults) - 1
        return f"{faults[0]}" + (f" (and {further} more)" if further else "")

    @property
    def entries(self) -> int:
        """How many entries are in force."""
        return len(self._in_force)

    @property
    def waits_for(self) -> tuple[Part, ...]:
        """The parts of which nothing was ever seen: without them no switch is started."""
        return tuple(following.part for following in self._followings if not following.is_known)

    def source_of(self, part: Part) -> str:
        """The replica at which a part is followed, or empty where none can be."""
        return next(following.source for following in self._followings if following.part == part)

    def entries_of(self, part: Part) -> int:
        """How many entries of a part are in force."""
        return len(self._of(part, self._in_force))

    async def compile_first(self) -> None:
        """Put something into force before any switch runs: what was last in force, or else what comes first.

        A part of which nothing is known is waited for: to do without it would be to refuse its mail for good.

        Raises:
            ConfigInvalid: it can't be written.
        """
        runs = (following.run() for following in self._followings)
        self._following = asyncio.get_running_loop().create_task(_together(runs))
        try:
            while self.waits_for:
                await self._until_changed(self._following)
            await self._apply()
        except BaseException:
            self._following.cancel()
            raise

    async def reload(self) -> None:
        """Try again to put everything into force, also that there is no domain any more.

        Raises:
            ConfigInvalid: of the first entry that is refused, or there is nothing yet that could be put into force.
        """
        for part in self.waits_for:
            raise ConfigInvalid(part.base, "nothing of it was ever seen here", self.awaited)
        await self._apply(is_wanted=True)
        await self._announce()
        for fault in self.faults.values():
            raise fault

    async def _until_changed(self, following: asyncio.Task[object]) -> None:
        """Wait for the next change. An error that ends the `following`, which nobody foresaw, is raised here."""
        changed = asyncio.get_running_loop().create_task(self._changed.wait())
        try:
            await asyncio.wait([changed, following], return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
        if following.done():
            following.result()
        self._changed.clear()

    async def watch(self) -> None:
        """Put every change into force; runs until cancelled."""
        if self._following is None:
            raise RuntimeError("nothing is followed before something is in force")
        try:
            while True:
                await self._until_changed(self._following)
                if self._applied == [following.items for following in self._followings]:
                    continue  # a replica began to be followed, and had nothing new
                with contextlib.suppress(ConfigInvalid):  # it has been logged
                    await self._apply()
                    await self._announce()
        finally:
            self._following.cancel()

    async def _apply(self, *, is_wanted: bool = False) -> None:
        async with self._one_at_a_time:
            known = {following.part: following.copied() for following in self._followings}
            self._note_doubts({} if is_wanted else self._doubtful(known))
            try:
                selected = await asyncio.to_thread(self._select, known, self._doubts)
            except ConfigInvalid as fault:
                self._wrong = str(fault)
                _say_refused(fault)
                raise
            self._wrong = ""
            self._applied = [copy.content for copy in known.values()]
            self._say_what_is_refused(selected.faults)
            self._in_force, self.faults = selected.items, selected.faults
            log.info("directory in force", entries=len(selected.items), refused=len(selected.faults))

    def _doubtful(self, known: _Known) -> Mapping[Part, ConfigInvalid]:
        """The parts that have no domain any more: that is hardly ever meant, and would have all their mail refused."""
        right = "restore what was deleted; where it is meant, `nightmail reload` puts it into force"
        return {
            part: ConfigInvalid(part.base, "the directory has no domain any more", right)
            for part, copy in known.items()
            if _has_domain(self._of(part, self._in_force).values()) and not _has_domain(copy.content.values())
        }

    def _note_doubts(self, doubts: Mapping[Part, ConfigInvalid]) -> None:
        for part, fault in doubts.items():
            if part not in self._doubts:
                _say_refused(fault)
        self._doubts = doubts

    def _of(self, part: Part, items: Mapping[str, Item]) -> Mapping[str, Item]:
        """Those of the entries, given by their names, that are in a part."""
        if not part.site:
            return items
        return {name: item for name, item in items.items() if part_with((part,), name)}

    def _select(self, known: _Known, doubtful: Mapping[Part, ConfigInvalid]) -> Selected[str]:
        """Bring into force what is known; of parts that are `doubtful`, what was in force."""
        offered: dict[str, Item] = {}
        in_force: dict[str, Item] = {}
        for part, copy in known.items():
            was_in_force = self._of(part, self._in_force)
            in_force |= was_in_force
            offered |= was_in_force if part in doubtful else {item.dn: item for item in copy.content.values()}
        selected = select(offered, in_force, self._suffix, self._bring_into_force, WHOLE_TABLES)
        parts = {part.base: copy for part, copy in known.items()}
        last = LastCopy(suffix=self._suffix, parts=parts, in_force=dict(selected.items))
        try:
            write_copy(self._copy_path, last)
        except OSError as error:
            log.warning("last copy of the directory not written", path=self._copy_path, reason=str(error),
                        remedy="make room: a restart while every replica is away needs it")  # fmt: skip
        return selected

    def _say_what_is_refused(self, faults: Mapping[str, ConfigInvalid]) -> None:
        for name, fault in faults.items():
            if name not in self.faults or str(self.faults[name]) != str(fault):
                log.warning("entry refused", place=fault.place, wrong=fault.wrong, right=fault.right)


async def _together(runs: Iterable[Awaitable[None]]) -> None:
    await asyncio.gather(*runs)


def _has_domain(items: Iterable[Item]) -> bool:
    return any(item.is_a("nmMailDomain") for item in items)


def _say_refused(fault: ConfigInvalid) -> None:
    log.warning("directory refused, what was in force stays so", **fault.in_words())


def _compile(source: Source, *, output: str, base: str) -> str:
    return compile_source(source, output, base)
