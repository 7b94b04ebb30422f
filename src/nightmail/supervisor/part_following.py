"""One part of the directory, followed at one of its replicas after another, for as long as the server runs.

A replica that lacks something is left for another one, and nothing goes back in time but with the part's own master.
What other parts do does not matter to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

import structlog

from nightmail.directory.feed import Feed
from nightmail.directory.last_copy import PartCopy
from nightmail.directory.parts import Part
from nightmail.directory.progress import Progress
from nightmail.directory.sessions import Access
from nightmail.directory.tree import Item
from nightmail.errors import DirectoryUnavailable

_ANEW_S = 0.25
_PATIENCE_S = 5.0
_SAY_AGAIN_S = 60.0

MakeFeed = Callable[..., Feed]

log = structlog.get_logger()


class PartFollowing:
    """Keeps up with the entries of `part` that `filter_text` matches; `changed` is called when they may be others.

    `replicas` are the URIs in the order in which they are tried, `master` tells which of them takes writes to the part.
    `copy` is what was known of it at an earlier time. One that lacks for longer than `lag_limit_s` what another one has
    is not followed; where that is None, they are not held against each other. `is_ours` tells whether nightmail runs
    them. `run` does it all.
    """

    def __init__(
        self,
        part: Part,
        replicas: Sequence[str],
        master: Callable[[Part], str],
        access: Access,
        changed: Callable[[], None],
        *,
        copy: PartCopy,
        lag_limit_s: float | None,
        make_feed: MakeFeed,
        filter_text: str,
        is_ours: bool,
    ) -> None:
        self.part = part
        self._replicas = replicas
        self._master = master
        self._access = access
        self._changed = changed
        self._is_known = bool(copy.content or copy.cookie)
        self._is_ours = is_ours
        self._reasons: dict[str, str] = {}
        self._followed = ""
        self._lost_at = asyncio.get_running_loop().time()
        self._say_at = self._lost_at + _PATIENCE_S
        self._progress: Progress | None = None
        if lag_limit_s is not None:
            self._progress = Progress(part.base, replicas, lambda: master(part), access, lag_limit_s)
        self._feed = make_feed(part.base, filter_text, self._was_heard, items=copy.content, cookie=copy.cookie)
        self._named = {"part": part.base} if part.site else {}

    @property
    def is_known(self) -> bool:
        """Whether it was ever seen what is in the part."""
        return self._is_known

    @property
    def awaited(self) -> str:
        """Why nothing is known of the part yet, and what to do about it; empty once something is."""
        if self._is_known:
            return ""
        reason = "; ".join(self._reasons.values()) or "nobody has answered yet"
        return f"waiting for the directory {self.part.base}: {reason}; {self._remedy()}"

    @property
    def items(self) -> Mapping[str, Item]:
        """The entries as they are known now, by their ids."""
        return self._feed.content.items

    @property
    def source(self) -> str:
        """The replica that is followed, or empty where none can be."""
        return self._feed.source

    def copied(self) -> PartCopy:
        """What is known now, to be taken up from there at another time."""
        return PartCopy(self._feed.cookie, dict(self._feed.content.items))

    async def run(self) -> None:
        """Follow, until cancelled."""
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
                    if self._feed.is_ahead and uri == self._master(self.part):
                        self._go_back(uri)
                        break  # no other one that was not restored may come before it
                    self._note_loss(uri, str(error))
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
                "directory replica behind", replica=followed, **self._named,
                remedy="see why it takes nothing from the master; another one is followed",
            )  # fmt: skip
            self._feed.leave("it lacks what another one has")

    def _go_back(self, uri: str) -> None:
        """The master itself is older than what was seen of it: it was restored, and what it has now counts.

        A shadow that is older only waits for the master's changes, as we do.
        """
        log.warning("directory went back", replica=uri, **self._named,
                    remedy="none where it was restored: what it has is in force")  # fmt: skip
        self._feed.start_over()
        self._replicas = [uri, *(other for other in self._replicas if other != uri)]

    def _note_loss(self, uri: str, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        self._reasons[uri] = reason
        if self._followed:
            remedy = "none where another one is followed: `directory followed` names it"
            log.warning("directory replica lost", reason=reason, **self._named, remedy=remedy)
            self._followed, self._lost_at, self._say_at = "", now, now + _PATIENCE_S
        elif now > self._say_at:
            log.error(
                "directory out of reach", reason="; ".join(self._reasons.values()), **self._named,
                for_s=now - self._lost_at, remedy=self._remedy(),
            )  # fmt: skip
            self._say_at = now + _SAY_AGAIN_S

    def _remedy(self) -> str:
        see = "see why no replica runs" if self._is_ours else "`nightmail directory status` shows each server"
        if self._is_known:
            return f"{see}; meanwhile what was last in force stays so"
        if not self._is_ours:
            return f"{see}; meanwhile no mail is taken"
        begin = (
            f"if the part of the site {self.part.site} was never begun, `nightmail directory init` on its master does"
            if self.part.site
            else "if the directory was never begun, `nightmail directory init` on its master does"
        )
        return f"{see}; {begin}; meanwhile no mail is taken"

    def _was_heard(self) -> None:
        """The feed brought something, or began."""
        self._is_known = True
        if self._feed.source != self._followed:
            self._followed = self._feed.source
            self._reasons.clear()
            log.info("directory followed", replica=self._followed, **self._named)
        self._changed()
