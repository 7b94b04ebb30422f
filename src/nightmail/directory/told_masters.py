"""Which server takes writes to each part, as each replica was told by its server's file: all have to be told the same.

Where two files name different masters, two replicas take writes to one part, and neither sends them to the other. What
is not found at one may be at the other: as long as files contradict one another, nobody is known not to exist. Each
replica says in its root DSE (RFC 4512 §5.1) what it was told, so that whoever asks several of them sees it. One whose
master's role moves, or of an earlier release, says nothing, and contradicts nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nightmail.directory.parts import Part
from nightmail.directory.tree import Item, folded_name
from nightmail.directory.writing import Directory

ROOT = ""
"""The name of the entry in which a replica says what it was told."""
SAYS = "description"
"""The attribute of it, which slapd knows before it reads any schema."""
CONTRADICTS = "its server's file names "
"""What `contradiction` says begins so, and nothing else that is wrong with a replica does."""
_TAKES_WRITES = " takes writes to "

Told = Mapping[str, str]
"""The masters that a replica was told, by the folded names of the parts."""


def root_entry(masters: Mapping[Part, str]) -> Item:
    """What a replica that was told these `masters` says in its root DSE."""
    return Item(ROOT, {SAYS: tuple(f"{master}{_TAKES_WRITES}{part.base}" for part, master in masters.items())})


def told_in(values: Iterable[str]) -> Told:
    """What a replica was told, from the values in its root DSE."""
    said = (value.partition(_TAKES_WRITES) for value in values)
    return {folded_name(base): master for master, _, base in said if base}


def told_at(replica: Directory) -> Told:
    """What a replica was told. Raises: DirectoryUnavailable, ConfigInvalid."""
    root = replica.read(ROOT, [SAYS])
    return told_in(root.attributes.get(SAYS, ()) if root is not None else ())


def contradiction(masters: Mapping[Part, str], told: Told) -> str:
    """In words, what a replica was told otherwise than our own file has it, which names these `masters`; empty where
    that is nothing.
    """
    differing = [
        f"{other} as the master of {f'the site {part.site}' if part.site else part.base}, ours names {master}"
        for part, master in masters.items()
        if (other := told.get(folded_name(part.base), master)) != master
    ]
    if not differing:
        return ""
    setting = "masters" if any(part.site for part in masters) else "first_master"
    return (
        f"{CONTRADICTS}{' and '.join(differing)}: correct [directory] {setting} in the file that is wrong, "
        "and restart its server; until then whoever is not found gets 451"
    )
