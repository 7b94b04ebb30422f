"""Heartbeats on real sockets: believed between those who share the secret, counted and ignored from all others."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
import uvloop
from tests.eventloop import on_a_loop
from tests.switch.service import until_soon

from nightmail.group.heartbeat import Heartbeat, Seal
from nightmail.group.voices import Voices
from nightmail.net.addresses import HostPort

SECRET = b"0123456789abcdef"
BEAT = Heartbeat("", "", 0, "", 0, state="serving", config="c")


def place(host: str = "127.0.0.1") -> HostPort:
    """An address that nobody listens on."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        return HostPort(host, int(probe.getsockname()[1]))


class Party:
    """Servers that speak with one another; `heard` is what each believed, `refused` where nobody listened."""

    def __init__(self, places: dict[str, HostPort], secrets: dict[str, bytes] | None = None) -> None:
        self.places = places
        self.heard: dict[str, list[Heartbeat]] = {name: [] for name in places}
        self.refused: dict[str, list[str]] = {name: [] for name in places}
        self.voices = {
            name: Voices(
                name, f"life of {name}", Seal((secrets or {}).get(name, SECRET)),
                own=own, peers={peer: at for peer, at in places.items() if peer != name},
                heard=self.heard[name].append, refused=self.refused[name].append,
            )
            for name, own in places.items()
        }  # fmt: skip
        self._resolving: list[asyncio.Task[None]] = []

    async def open(self) -> None:
        for voices in self.voices.values():
            await voices.open()
            self._resolving.append(asyncio.get_running_loop().create_task(voices.keep_resolved()))
        await asyncio.sleep(0.02)

    async def speak(self, rounds: int = 1) -> None:
        """Have each speak, and be heard, so many times."""
        for _ in range(rounds):
            for voices in self.voices.values():
                voices.speak(BEAT)
            await asyncio.sleep(0.02)

    def close(self) -> None:
        for task in self._resolving:
            task.cancel()
        for voices in self.voices.values():
            voices.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_two_servers_believe_each_other_once_they_answered(host: str) -> None:
    @on_a_loop
    async def story() -> None:
        party = Party({"mx1": place(host), "mx2": place(host)})
        await party.open()
        await party.speak(5)
        party.close()
        assert {beat.server for beat in party.heard["mx1"]} == {"mx2"}
        assert {beat.server for beat in party.heard["mx2"]} == {"mx1"}
        assert len(party.heard["mx1"]) >= 3
        assert party.voices["mx1"].ignored["forged"] == 0

    story()


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_where_nobody_listens_any_more_a_knock_is_refused_and_elsewhere_heard(
    host: str, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    async def story() -> None:
        party = Party({"mx1": place(host), "mx2": place(host), "mx3": place(host)})
        await party.open()
        await party.speak(5)
        party.voices["mx3"].close()
        believed = len(party.heard["mx2"])
        for peer in ("mx2", "mx3"):
            party.voices["mx1"].knock(peer, BEAT)
        await until_soon(lambda: party.refused["mx1"] == ["mx3"])
        await until_soon(lambda: len(party.heard["mx2"]) == believed + 1)
        party.close()

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(story())


@on_a_loop
async def test_a_knock_to_another_address_family_and_one_to_nowhere_do_no_harm() -> None:
    party = Party({"mx1": place("127.0.0.1"), "mx2": place("::1")})
    await party.open()
    await party.speak(5)
    party.voices["mx2"].close()
    party.voices["mx1"].knock("mx9", BEAT)
    party.voices["mx1"].knock("mx2", BEAT)
    await until_soon(lambda: party.refused["mx1"] == ["mx2"])
    party.close()


@on_a_loop
async def test_servers_of_both_address_families_hear_each_other() -> None:
    party = Party({"mx1": place("127.0.0.1"), "mx2": place("::1")})
    await party.open()
    await party.speak(5)
    party.close()
    assert party.heard["mx1"]
    assert party.heard["mx2"]


@on_a_loop
async def test_another_secret_is_counted_and_ignored() -> None:
    party = Party({"mx1": place(), "mx2": place()}, {"mx2": b"fedcba9876543210"})
    await party.open()
    await party.speak(3)
    party.close()
    assert party.heard == {"mx1": [], "mx2": []}
    assert party.voices["mx1"].ignored["forged"] == 3


@on_a_loop
async def test_garbage_strangers_and_repetitions_are_counted_and_ignored() -> None:
    party = Party({"mx1": place(), "mx2": place()})
    await party.open()
    await party.speak(3)
    believed = len(party.heard["mx1"])
    own = party.places["mx1"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"hello", (own.host, own.port))
        for server, sequence in (("mx7", 1), ("mx2", 1)):
            beat = Heartbeat(server, "life of mx2", sequence, "", 0, state="serving", config="c")
            stranger.sendto(Seal(SECRET).seal(beat), (own.host, own.port))
    await asyncio.sleep(0.05)
    party.close()
    assert party.voices["mx1"].ignored["forged"] == 1
    assert party.voices["mx1"].ignored["unknown"] == 1
    assert party.voices["mx1"].ignored["repeated"] == 1
    assert len(party.heard["mx1"]) == believed


@on_a_loop
async def test_a_peer_that_is_not_there_or_has_no_address_keeps_nobody_from_speaking() -> None:
    places = {"mx1": place(), "mx2": place()}
    party = Party(places)
    alone = Voices(
        "mx3", "life", Seal(SECRET), own=place(), peers={"mx1": places["mx1"], "mx9": HostPort("no.such.invalid", 1)},
        heard=lambda _: None, refused=lambda _: None,
    )  # fmt: skip
    await alone.open()
    resolving = asyncio.get_running_loop().create_task(alone.keep_resolved())
    await asyncio.sleep(0.1)
    alone.speak(BEAT)
    alone.speak(BEAT)
    resolving.cancel()
    alone.close()
    party.close()
