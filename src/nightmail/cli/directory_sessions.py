"""The replicas that a command uses: one to read from, and the masters of the parts that it writes to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from nightmail.admin.mastering import Master, confirm, master_for
from nightmail.admin.replicas import access_of, directory_of, replica_uris, uri_of
from nightmail.admin.rival_masters import see_that_nobody_else_takes_writes
from nightmail.admin.whole_content import authority, session_at
from nightmail.cli.failing import GivenWrong, complain
from nightmail.config.settings import Config
from nightmail.directory.contents import Asked, AskedApart, Contents
from nightmail.directory.parts import Part, part_with
from nightmail.directory.reading import Change
from nightmail.directory.sessions import Access, OtherSecret, first_to_mend
from nightmail.directory.tree import Item
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

_What = TypeVar("_What")


class MasterReplica(Directory):
    """The replica that takes writes to a part."""

    def __init__(self, config: Config, master: Master, access: Access) -> None:
        super().__init__(uri_of(config, master.server), access, is_gated=master.role is not None)
        self.master = master


class Masters:
    """The masters of some parts. What is written goes to that of the part in which it is, part by part.

    Each call raises DirectoryUnavailable where no answer comes, ConfigInvalid where something is refused.
    """

    def __init__(self, suffix: str, sessions: dict[Part, MasterReplica]) -> None:
        self._suffix = suffix
        self._by_part = sessions

    @property
    def sessions(self) -> list[MasterReplica]:
        """One with each master."""
        return [*dict.fromkeys(self._by_part.values())]

    @property
    def written(self) -> dict[str, str]:
        """See `Directory`."""
        return {name: csn for session in self.sessions for name, csn in session.written.items()}

    @property
    def in_doubt(self) -> list[str]:
        """See `Directory`."""
        return [name for session in self.sessions for name in session.in_doubt]

    @property
    def contents(self) -> Contents:
        """All that the directory has: of each part what its master has, as far as that is one of these."""
        first, *others = self.sessions
        return AskedApart(self._suffix, self._by_part) if others else Asked(first, self._suffix)

    def search(self) -> Iterator[Item]:
        """All entries, as the first of the masters has them."""
        return self.sessions[0].search(self._suffix)

    def add(self, items: Iterable[Item]) -> int:
        """Add entries; how many."""
        return self._each(items, lambda item: item.dn, Directory.add)

    def replace(self, items: Iterable[Item]) -> int:
        """See `Directory.replace`."""
        return self._each(items, lambda item: item.dn, Directory.replace)

    def delete(self, names: Iterable[str]) -> int:
        """Delete entries; how many."""
        return self._each(names, str, Directory.delete)

    def modify(self, name: str, change: Change) -> None:
        """Carry out a change of one entry."""

        def carry_out(session: Directory, names: Sequence[str]) -> int:
            session.modify(name, change)
            return len(names)

        self._each([name], str, carry_out)

    def _each(
        self, what: Iterable[_What], name_of: Callable[[_What], str], write: Callable[[Directory, list[_What]], int]
    ) -> int:
        at: dict[Part, list[_What]] = {part: [] for part in self._by_part}
        for each in what:
            part = part_with(at, name_of(each))
            if part is None:
                raise ConfigInvalid(name_of(each), "it is in none of the parts that are written to", "name it apart")
            at[part].append(each)
        return sum(self._write_to(part, those, write) for part, those in at.items() if those)

    def _write_to(self, part: Part, those: list[_What], write: Callable[[Directory, list[_What]], int]) -> int:
        session = self._by_part[part]
        try:
            return write(session, those)
        except DirectoryUnavailable as error:
            if not part.site:
                raise
            raise type(error)(f"{_of_site(part)} on {session.master.server}: {error}") from error


def part_for(config: Config, name: str) -> Part:
    """The part in which an entry is or would be. Raises: GivenWrong: it would be in none."""
    part, suffix = part_with(config.parts, name), directory_of(config).suffix
    if part is not None:
        return part
    if part_with([Part(suffix)], name) is None:
        raise GivenWrong(name, f"it is not below {suffix}", "all entries of this directory are")
    sites = " or ".join(part.site for part in config.parts)
    right = f"entries are below nmSite=SITE,{suffix}, SITE being {sites}"
    raise GivenWrong(name, "it is in no site's part of the directory", right)


def part_of_site(config: Config, site: str) -> Part:
    """The part of the site of that name, or of the one where this server stands. Raises: GivenWrong: it has none."""
    by_site = {part.site: part for part in config.parts}
    if "" in by_site:
        if not site:
            return by_site[""]
        right = 'leave --site out: that is for [directory] topology = "multi-site"'
        raise GivenWrong(f"--site {site}", "this directory has no parts for sites", right)
    wanted = site or config.site_of(config.server.name)
    if wanted not in by_site:
        raise GivenWrong(f"--site {wanted}", "no such site has a part", f"those are {' and '.join(by_site)}")
    return by_site[wanted]


@contextmanager
def writing(config: Config, names: Iterable[str]) -> Iterator[Masters]:
    """The masters that take writes to these entries, as the account that may write.

    Raises:
        GivenWrong: an entry is in no part.
        DirectoryUnavailable: one of them can't be written to, or another server takes writes there, too.
    """
    parts = [*dict.fromkeys(part_for(config, name) for name in names)]
    with authority(config) as trusted, ExitStack() as open_ones:
        access = access_of(directory_of(config), "writer", trusted)
        sessions: dict[str, MasterReplica] = {}
        by_part: dict[Part, MasterReplica] = {}
        for part in parts:
            master = master_for(config, part)
            if master.server not in sessions:
                sessions[master.server] = open_ones.enter_context(_opened(config, part, master, access))
            by_part[part] = sessions[master.server]
        see_that_nobody_else_takes_writes(config, parts, access)
        yield Masters(directory_of(config).suffix, by_part)


@contextmanager
def _opened(config: Config, part: Part, master: Master, access: Access) -> Iterator[MasterReplica]:
    try:
        session = MasterReplica(config, master, access)
    except DirectoryUnavailable as error:
        remedy = _remedy(config, master, error)
        why = f"{_of_site(part)} is on {master.server}, and can't be written to: {error}; {remedy}"
        raise type(error)(why) from error
    with session:
        yield session


def _of_site(part: Part) -> str:
    return f"the master of the site {part.site}" if part.site else "the master"


def _remedy(config: Config, master: Master, error: DirectoryUnavailable) -> str:
    """What to do where the master can't be written to."""
    if isinstance(error, OtherSecret):
        return "then repeat this"
    if master.role is None:
        return "start it, or, if it runs, see what its log says; then repeat this"
    if len(master.role.in_sync) > 1:
        return "another one takes its place in a moment: repeat this"
    others = " or ".join(name for name in config.replicas if name != master.server)
    return (
        f"no other is in sync: start it, or, if it is lost for good, `nightmail directory promote --force` on {others}"
    )


@contextmanager
def reading(config: Config, uris: Sequence[str] = ()) -> Iterator[Directory]:
    """The first replica that answers, of `uris` where there are any."""
    with authority(config) as trusted:
        settings = directory_of(config)
        access = access_of(settings, "reader", trusted)
        errors: list[DirectoryUnavailable] = []
        for uri in uris or replica_uris(config):
            try:
                directory = session_at(uri, settings, access)
            except DirectoryUnavailable as error:
                errors.append(error)
                continue
            break
        else:
            raise first_to_mend(errors)
        with directory:
            yield directory


def confirm_written(config: Config, masters: Masters, *, is_whole: bool) -> list[str]:
    """The replicas on which everything that was written has been seen; it is said of the others that it was not.

    `is_whole`: something was found to be written already. Whoever wrote it may have been told that it does not count.
    """
    seen: dict[str, None] = {}
    unseen: set[str] = set()
    with authority(config) as trusted:
        access = access_of(directory_of(config), "reader", trusted)
        for session in masters.sessions:
            master, others = session.master, len(config.replicas) - 1
            confirmation = confirm(config, master, access, session.written, is_whole=is_whole)
            seen.update(dict.fromkeys(confirmation.seen))
            unseen.update(confirmation.unseen)
            if master.role is not None:
                for server in [name for name in config.replicas if name not in (*confirmation.seen, master.server)]:
                    complain(f"written without {server}, which is not in sync")
            alone = " alone" if len(confirmation.unseen) == others else ""
            for server, reason in confirmation.unseen.items():
                complain(f"written on {master.server}{alone}, and not yet seen on {server}: {reason}")
    return [server for server in seen if server not in unseen]
