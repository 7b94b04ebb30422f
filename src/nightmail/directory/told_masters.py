"""Which server takes writes to each part, as each replica was told by its server's file: all have to be told the same.

Where two files name different masters, two replicas take writes to one part, and neither sends them to the other. What
is not found at one may be at the other: as long as files contradict one another, nobody is known not to exist. Each
replica says in its root DSE (RFC 4512 §5.1) what it was told, so that whoever asks several of them sees it. One whose
master's role moves, or of an earlier release, says nothing, and contradicts nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

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
_A_SITE = "nmsite="

Told = Mapping[str, str]
"""The masters that a replica was told, by the folded names of the parts."""


class Contradiction(NamedTuple):
    """What differs, and what is to be done, in words."""

    wrong: str
    remedy: str

    def __str__(self) -> str:
        """Both in one line."""
        return f"{self.wrong}: {self.remedy}"


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


def takes_writes(server: str, part: Part, told: Told) -> bool:
    """Whether a server that was told so takes writes to a part, or to something in it or around it."""
    base = folded_name(part.base)
    return any(
        master == server and (base == other or base.endswith(f",{other}") or other.endswith(f",{base}"))
        for other, master in told.items()
    )


def contradiction(masters: Mapping[Part, str], told: Told) -> Contradiction | None:
    """What a replica was told otherwise than our own file has it, which names these `masters`.

    Who was told nothing contradicts nobody.
    """
    differing = _differing(masters, told) if told else []
    if not differing:
        return None
    have_sites = {any(part.site for part in masters), any(base.startswith(_A_SITE) for base in told)}
    is_other = len(have_sites) > 1 or not all(masters.values())  # where the role moves, our file names nobody
    setting = "topology" if is_other else "masters" if True in have_sites else "first_master"
    return Contradiction(
        f"{CONTRADICTS}{' and '.join(differing)}",
        f"correct [directory] {setting} in the file that is wrong, if it still is, and restart its server; until then "
        "whoever is not found gets 451",
    )


def _differing(masters: Mapping[Part, str], told: Told) -> list[str]:
    ours = {folded_name(part.base): (part, master) for part, master in masters.items()}
    words = [
        f"{told.get(base, 'nobody')} as the master of {_words_for(part)}, ours names {master or 'nobody'}"
        for base, (part, master) in ours.items()
        if told.get(base) != master
    ]
    return words + [f"{told[base]} as the master of {base}, ours names nobody" for base in told if base not in ours]


def _words_for(part: Part) -> str:
    return f"the site {part.site}" if part.site else part.base
