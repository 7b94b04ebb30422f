"""The directory's master role: without any one of its safeguards, writes that were acknowledged are lost or undone."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import msgspec
import pytest
from sim.directory import Peers, Slapd, World
from sim.directory_story import tell
from sim.loop import run

from nightmail.directory.role import Follow, Role, Sighting, may_take
from nightmail.supervisor import mastership

Ablation = Callable[[pytest.MonkeyPatch], None]


def acknowledged_by_the_master_alone(patch: pytest.MonkeyPatch) -> None:
    async def lack(self: World, server: str, role: Role, name: str, csn: str) -> str:
        return ""

    patch.setattr(World, "_lack", lack)


def seen_anywhere(patch: pytest.MonkeyPatch) -> None:
    """The entry is looked for, and what the replica is by then is not."""

    async def lack(self: World, server: str, role: Role, name: str, csn: str) -> str:
        return await self.lacks_entry(server, name, csn)

    patch.setattr(World, "_lack", lack)


def who_does_not_answer_is_passed_over(patch: pytest.MonkeyPatch) -> None:
    """A shadow is left out at once, before that is recorded."""
    original = World._lack

    async def lack(self: World, server: str, role: Role, name: str, csn: str) -> str:
        why = await original(self, server, role, name, csn)
        return "" if "does not answer" in why else why

    patch.setattr(World, "_lack", lack)


def joining_without_being_compared(patch: pytest.MonkeyPatch) -> None:
    async def has_everything(self: Peers, server: str) -> bool:
        return True

    patch.setattr(Peers, "has_everything", has_everything)


def joining_is_not_waited_for(patch: pytest.MonkeyPatch) -> None:
    """What is written while a shadow is being compared is acknowledged without it."""
    patch.setattr(Role, "needed", property(lambda role: role.in_sync))


def the_old_master_merges(patch: pytest.MonkeyPatch) -> None:
    """Whoever returns follows the new master with what it has."""
    patch.setattr(mastership, "part_of", lambda role, held: Follow(role.master, role.epoch))


def anybody_takes_the_role(patch: pytest.MonkeyPatch) -> None:
    """Whether it is in sync or not, whatever it holds."""
    original = may_take

    def take_anyway(seen: Sighting, server: str, held: int | None, *, is_proven_dead: bool) -> bool:
        role = seen.role
        open_to_all = msgspec.structs.replace(role, in_sync=(*role.in_sync, server))
        sighting = msgspec.structs.replace(seen, role=open_to_all)
        return original(sighting, server, role.epoch, is_proven_dead=is_proven_dead)

    patch.setattr(mastership, "may_take", take_anyway)


def the_new_master_goes_on_following(patch: pytest.MonkeyPatch) -> None:
    """What the old one sends late comes over what was written since."""

    async def lead(self: Slapd, epoch: int, master: str) -> None:
        def do() -> None:
            self.take_writes(epoch, is_alone=False)

        await self.ask("", do)

    patch.setattr(Slapd, "lead", lead)


ABLATIONS: list[Ablation] = [
    acknowledged_by_the_master_alone,
    seen_anywhere,
    who_does_not_answer_is_passed_over,
    joining_without_being_compared,
    joining_is_not_waited_for,
    the_old_master_merges,
    anybody_takes_the_role,
    the_new_master_goes_on_following,
]


@pytest.mark.parametrize("ablation", ABLATIONS, ids=lambda each: each.__name__)
def test_without_a_safeguard_some_story_ends_badly(ablation: Ablation, monkeypatch: pytest.MonkeyPatch) -> None:
    ablation(monkeypatch)
    for seed in itertools.islice(itertools.count(), 150):
        if run(tell(seed)).violations:
            return
    pytest.fail("no story found the violation")
