"""The parts of a directory that are written apart from one another: with several sites one for each, else the whole.

A part is the subtree below its `base`. One server's replica takes writes to it, and nobody else changes it: it is
numbered, shipped, compared and restored as if it were a directory of its own. Every replica has all parts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from nightmail.directory.names import escape_name
from nightmail.directory.tree import folded_name


class Part(NamedTuple):
    """One part: the entry below which it is, and the site that writes it, empty where it is everybody's."""

    base: str
    site: str = ""


def parts_of(suffix: str, sites: Iterable[str]) -> tuple[Part, ...]:
    """The parts of the directory `suffix`: one for each of the `sites`, in their order, or the whole where none is."""
    return tuple(Part(f"nmSite={escape_name(site)},{suffix}", site) for site in sorted(sites)) or (Part(suffix),)


def part_with(parts: Iterable[Part], name: str) -> Part | None:
    """The part in which an entry is or would be, by its distinguished name; None where that is outside of all."""
    folded = folded_name(name)
    for part in parts:
        base = folded_name(part.base)
        if folded == base or folded.endswith(f",{base}"):
            return part
    return None
