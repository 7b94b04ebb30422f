"""Whether all servers' files name the same masters, as far as their replicas can be asked now what they were told."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from nightmail.admin.replicas import masters_told, uri_of
from nightmail.config.settings import Config
from nightmail.directory.parts import Part
from nightmail.directory.sessions import Access
from nightmail.directory.told_masters import Contradiction, Told, contradiction, takes_writes, told_at
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


def contradictions(config: Config, access: Access) -> dict[str, Contradiction]:
    """The servers whose replicas go by a file that names other masters than ours, this server's own among them.

    Blocks for as long as the slowest replica takes.
    """
    masters = masters_told(config)
    told = _told(config, access) if masters else {}
    return {server: wrong for server, each in told.items() if (wrong := contradiction(masters, each))}


def see_that_nobody_else_takes_writes(config: Config, parts: Iterable[Part], access: Access) -> None:
    """Blocks for as long as the slowest replica takes.

    Raises:
        DirectoryUnavailable: one that answers takes writes to one of the parts, and our file names another master.
    """
    masters = masters_told(config)
    if len(config.replicas) < 2 or not masters:
        return
    told = _told(config, access)
    for part in parts:
        rivals = [server for server, each in told.items() if takes_writes(server, part, each)]
        if any(server != masters[part] for server in rivals):
            what = f"the part of the site {part.site}" if part.site else "the directory"
            setting = f"[directory] {'masters' if part.site else 'first_master'}"
            others = " and ".join(rival for rival in rivals if rival != masters[part])
            raise DirectoryUnavailable(
                f"{others} takes writes to {what}, and so does {masters[part]}, as this server's file has it: nothing "
                f"was written; correct {setting} in the file that is wrong, restart its server, then repeat this"
            )


def _told(config: Config, access: Access) -> dict[str, Told]:
    """What each replica was told, by their servers; of those that answer."""

    def ask(server: str) -> Told | None:
        try:
            with Directory(uri_of(config, server), access) as directory:
                return told_at(directory)
        except (DirectoryUnavailable, ConfigInvalid):
            return None

    with ThreadPoolExecutor(max(1, len(config.replicas))) as threads:
        answers = zip(config.replicas, threads.map(ask, config.replicas), strict=True)
        return {server: told for server, told in answers if told is not None}
