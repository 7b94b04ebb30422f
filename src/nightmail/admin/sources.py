"""From which other replicas one takes a part of the directory, where it begins anew."""

from __future__ import annotations

from collections.abc import Mapping

from nightmail.admin.replicas import uri_of
from nightmail.config.settings import Config
from nightmail.directory.parts import Part
from nightmail.directory.sessions import Access
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

_State = Mapping[str, str]
"""The number of the newest change of each replica that wrote, by that replica's."""


def other_replicas(config: Config, part: Part) -> list[str]:
    """The other replicas: those of the own site before the rest, and of either the part's master before the shadows."""
    own, master = config.server.name, config.master_of(part)
    others = (name for name in config.replicas if name != own)
    ordered = sorted(others, key=lambda name: (config.site_of(name) != config.site_of(own), name != master, name))
    return [uri_of(config, name) for name in ordered]


def sources_of(config: Config, part: Part, access: Access) -> list[str]:
    """The other replicas that a part may be copied from, the best one first; all of them where none answers.

    A shadow takes nothing that the part's master lacks, if that answers: it would keep it. The master itself takes what
    whoever has the newest change has. `access` is that of an account which may read. Blocks while they are asked.
    """
    uris, master = other_replicas(config, part), uri_of(config, config.master_of(part))
    asked_in_turn = sorted(uris, key=lambda uri: uri == master)  # the master has what another one had before
    states = {uri: state for uri in asked_in_turn if (state := _state_of(uri, part, access))}
    answered = [uri for uri in uris if uri in states]
    if master not in uris:
        answered.sort(key=lambda uri: max(states[uri].values()), reverse=True)
    elif master in states:
        answered = [uri for uri in answered if _is_within(states[uri], states[master])]
    return answered or uris


def _state_of(uri: str, part: Part, access: Access) -> _State:
    """How far a replica is; nothing, where it does not answer, or has nothing yet."""
    try:
        with Directory(uri, access) as directory:
            base = directory.read(part.base, ["contextCSN"])
    except (DirectoryUnavailable, ConfigInvalid):
        return {}
    numbers = base.attributes.get("contextCSN", ()) if base is not None else ()
    return {number.split("#")[2]: number for number in numbers}


def _is_within(state: _State, whole: _State) -> bool:
    return all(number <= whole.get(replica, "") for replica, number in state.items())
