from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest
from tests.net.dns_server import DnsServer, Lie

from nightmail.errors import ConfigInvalid, TemporaryFailure
from nightmail.net.dns import DnsResolver, Exchanger
from nightmail.net.settings import DnsSettings

RECORDS = [
    "example.net. 300 MX 20 backup.example.net.",
    "example.net. 300 MX 10 mx.example.net.",
    "mx.example.net. 60 A 192.0.2.1",
    "mx.example.net. 60 AAAA 2001:db8::1",
    "backup.example.net. 300 A 192.0.2.2",
    "null.example. 300 MX 0 .",
    "alias.example. 300 CNAME mx.example.net.",
    "loop.example. 300 CNAME pool.example.",
    "pool.example. 300 CNAME loop.example.",
    "text.example. 300 TXT only",
]


class ManualClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def elapsed(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


Scene = Callable[[DnsServer, DnsResolver, ManualClock], Awaitable[Any]]


def play(scene: Scene, **settings: Any) -> Any:
    """Run the scene with a server and a resolver that asks it."""

    async def run() -> Any:
        clock = ManualClock()
        async with DnsServer(RECORDS) as server:
            chosen = {"timeout_s": 0.2, "lifetime_s": 0.3, "resolvers": (server.address,), **settings}
            resolver = DnsResolver(DnsSettings(**chosen), clock)
            try:
                return await asyncio.wait_for(scene(server, resolver, clock), 10)
            finally:
                await resolver.close()

    return asyncio.run(run())


def ask(question: Callable[[DnsResolver], Coroutine[Any, Any, Any]], lie: tuple[str, Lie] | None = None) -> Any:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> Any:
        if lie:
            server.lies[lie[0]] = lie[1]
        return await question(resolver)

    return play(scene)


def test_exchangers_are_told_with_their_preference() -> None:
    found = ask(lambda r: r.exchangers("example.net"))
    assert set(found) == {Exchanger(10, "mx.example.net"), Exchanger(20, "backup.example.net")}


def test_a_null_mx_is_an_exchanger_without_a_host() -> None:
    assert ask(lambda r: r.exchangers("null.example")) == (Exchanger(0, ""),)


def test_addresses_of_both_families_are_told_ipv6_first() -> None:
    assert ask(lambda r: r.addresses("mx.example.net")) == ("2001:db8::1", "192.0.2.1")


def test_a_name_without_such_records_is_told_from_no_such_name() -> None:
    assert ask(lambda r: r.exchangers("text.example")) == ()
    assert ask(lambda r: r.addresses("text.example")) == ()
    assert ask(lambda r: r.exchangers("nowhere.example")) is None
    assert ask(lambda r: r.addresses("nowhere.example")) is None


@pytest.mark.parametrize("name", ["a" * 64 + ".example", "a..example", ".".join(["a" * 60] * 5)])
def test_what_can_be_no_name_is_no_such_name(name: str) -> None:
    assert ask(lambda r: r.exchangers(name)) is None


def test_a_cname_is_followed() -> None:
    assert ask(lambda r: r.addresses("alias.example")) == ("2001:db8::1", "192.0.2.1")


def test_a_cname_that_the_resolver_left_is_followed() -> None:
    found = ask(lambda r: r.addresses("alias.example"), ("alias.example", Lie.CNAME_ONLY))
    assert found == ("2001:db8::1", "192.0.2.1")


def test_cnames_in_a_circle_are_a_temporary_failure() -> None:
    with pytest.raises(TemporaryFailure):
        ask(lambda r: r.addresses("loop.example"))


@pytest.mark.parametrize("lie", [Lie.SERVFAIL, Lie.SILENCE, Lie.WRONG_ID, Lie.GARBAGE])
def test_an_answer_that_is_none_is_a_temporary_failure(lie: Lie) -> None:
    with pytest.raises(TemporaryFailure) as caught:
        ask(lambda r: r.exchangers("example.net"), ("example.net", lie))
    assert (caught.value.reply.code, caught.value.reply.enhanced) == (451, "4.4.3")
    assert "example.net type=MX" in caught.value.reply.text


def test_a_truncated_answer_is_asked_for_again_over_tcp() -> None:
    found = ask(lambda r: r.exchangers("example.net"), ("example.net", Lie.TRUNCATED))
    assert len(found) == 2


def test_nobody_listening_is_a_temporary_failure() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> None:
        await resolver.exchangers("example.net")

    with pytest.raises(TemporaryFailure):
        play(scene, resolvers=("127.0.0.1:1",))


def test_the_second_resolver_answers_where_the_first_is_silent() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> Any:
        async with DnsServer() as silent:
            silent.lies["example.net"] = Lie.SILENCE
            both = (silent.address, server.address)
            asking = DnsResolver(DnsSettings(resolvers=both, timeout_s=0.1, lifetime_s=5), clock)
            return await asking.exchangers("example.net")

    assert len(play(scene)) == 2


def test_an_answer_is_remembered_as_long_as_its_ttl_says() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> list[int]:
        asked = []
        for seconds in (0, 299, 2):
            clock.now += seconds
            await resolver.exchangers("example.net")
            asked.append(server.questions[("example.net", "MX")])
        return asked

    assert play(scene) == [1, 1, 2]


def test_an_absence_is_remembered_as_long_as_the_soa_says() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> list[int]:
        asked = []
        for seconds in (0, 59, 2):
            clock.now += seconds
            assert await resolver.exchangers("nowhere.example") is None
            asked.append(server.questions[("nowhere.example", "MX")])
        return asked

    assert play(scene) == [1, 1, 2]


def test_a_ttl_is_believed_only_up_to_the_setting() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> int:
        await resolver.exchangers("example.net")
        clock.now += 11
        await resolver.exchangers("example.net")
        return server.questions[("example.net", "MX")]

    assert play(scene, ttl_max_s=10) == 2


def test_a_temporary_failure_is_not_remembered() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> Any:
        server.lies["example.net"] = Lie.SERVFAIL
        with pytest.raises(TemporaryFailure):
            await resolver.exchangers("example.net")
        server.lies.clear()
        return await resolver.exchangers("example.net")

    assert len(play(scene)) == 2


def test_the_memory_is_bounded() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> int:
        for name in ("example.net", "null.example", "text.example", "example.net"):
            await resolver.exchangers(name)
        return server.questions[("example.net", "MX")]

    assert play(scene, cache_entries=2) == 2


def test_the_same_question_of_many_goes_out_once() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> int:
        answers = await asyncio.gather(*(resolver.exchangers("example.net") for _ in range(50)))
        assert len(set(answers)) == 1
        return server.questions[("example.net", "MX")]

    assert play(scene) == 1


def test_one_that_stops_waiting_does_not_spoil_the_answer_for_others() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> Any:
        impatient = asyncio.create_task(resolver.exchangers("example.net"))
        patient = asyncio.create_task(resolver.exchangers("example.net"))
        await asyncio.sleep(0)
        impatient.cancel()
        return await patient

    assert len(play(scene)) == 2


def test_localhost_is_not_asked_for() -> None:
    assert ask(lambda r: r.addresses("localhost")) == ("::1", "127.0.0.1")


@pytest.mark.parametrize(("families", "addresses"), [("ipv4", ("192.0.2.1",)), ("ipv6", ("2001:db8::1",))])
def test_only_the_wanted_family_is_asked_for(families: str, addresses: tuple[str, ...]) -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> Any:
        assert len(await resolver.addresses("localhost") or ()) == 1
        return await resolver.addresses("mx.example.net")

    assert play(scene, families=families) == addresses


def test_a_family_that_cannot_be_asked_for_does_not_hide_the_other() -> None:
    async def scene(server: DnsServer, resolver: DnsResolver, clock: ManualClock) -> Any:
        answer = server.answer

        def only_a(wire: bytes, *, over_udp: bool) -> list[bytes]:
            answers = answer(wire, over_udp=over_udp)
            return answers if server.questions[("mx.example.net", "AAAA")] == 0 or b"\x00\x01\x00\x01" in wire else []

        server.answer = only_a  # type: ignore[method-assign]  # the lie of a middlebox that drops AAAA
        return await resolver.addresses("mx.example.net")

    assert play(scene) == ("192.0.2.1",)


@pytest.mark.parametrize("resolver", ["resolver.example", "192.0.2.1:x", "[::1", "192.0.2.1:70000"])
def test_a_resolver_that_is_no_address_is_refused(resolver: str) -> None:
    with pytest.raises(ConfigInvalid, match=r"\[dns\] resolvers"):
        DnsResolver(DnsSettings(resolvers=(resolver,)), ManualClock())
