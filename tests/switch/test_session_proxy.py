"""Clients behind a balancer: known by their own address, and nobody but the balancer may say whose it is."""

from __future__ import annotations

import asyncio

import pytest
from tests.eventloop import on_a_loop
from tests.switch.service import Dialogue, Serving, serving, until_soon

from nightmail.routing.model import ClientRule

LOOPBACK = ("127.0.0.0/8",)
CLIENT = b"PROXY TCP4 192.0.2.7 192.0.2.25 4711 25\r\n"
OWN = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00"


async def is_dropped(dialogue: Dialogue) -> bool:
    """Whether the connection ends without a word."""
    try:
        return await dialogue.rest() == b""
    except ConnectionError:
        return True


def rules(service: Serving, rules: dict[str, ClientRule]) -> list[str]:
    """Have the tables say so of clients; whom they are asked about."""
    asked: list[str] = []

    def client_rule(ip: str) -> ClientRule:
        asked.append(ip)
        return rules.get(ip, "")

    service.life.routes.client_rule = client_rule  # type: ignore[method-assign]
    return asked


@on_a_loop
async def test_a_client_is_known_by_the_address_that_the_balancer_tells() -> None:
    async with serving(proxy_from=LOOPBACK) as service:
        asked = rules(service, {"192.0.2.7": "relay"})
        dialogue = await service.connect()
        dialogue.writer.write(CLIENT)
        assert (await dialogue.hear())[0].startswith(b"220")
        assert asked == ["192.0.2.7"]


@on_a_loop
async def test_a_header_may_come_in_pieces_and_with_the_clients_first_words() -> None:
    async with serving(proxy_from=LOOPBACK) as service:
        dialogue = await service.connect()
        dialogue.writer.write(CLIENT[:10])
        await asyncio.sleep(0.02)
        dialogue.writer.write(CLIENT[10:] + b"EHLO client.example.net\r\n")
        assert (await dialogue.hear())[0].startswith(b"220")
        assert (await dialogue.hear())[-1].startswith(b"250 ")


@on_a_loop
async def test_the_balancers_own_connection_is_greeted_but_never_relays() -> None:
    async with serving(proxy_from=LOOPBACK) as service:
        rules(service, {"127.0.0.1": "relay"})
        dialogue = await service.connect()
        dialogue.writer.write(OWN)
        assert (await dialogue.hear())[0].startswith(b"220")
        [session] = service.reception._sessions
        assert session._rule == ""


@on_a_loop
async def test_a_denied_client_is_turned_away_behind_the_balancer_too() -> None:
    async with serving(proxy_from=LOOPBACK) as service:
        rules(service, {"192.0.2.7": "deny"})
        dialogue = await service.connect()
        dialogue.writer.write(CLIENT)
        assert (await dialogue.hear())[0].startswith(b"554")


@pytest.mark.parametrize("first", [b"EHLO client.example.net\r\n", b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01\x02\x00"])
def test_a_balancer_that_does_not_say_whose_connection_it_is_is_dropped(first: bytes) -> None:
    @on_a_loop
    async def story() -> None:
        async with serving(proxy_from=LOOPBACK) as service:
            dialogue = await service.connect()
            dialogue.writer.write(first)
            assert await is_dropped(dialogue)
            await until_soon(lambda: not service.reception._unnamed)

    story()


@on_a_loop
async def test_anybody_elses_proxy_header_is_no_command() -> None:
    async with serving(proxy_from=("192.0.2.0/24",)) as service:
        dialogue = await service.dial()
        dialogue.writer.write(CLIENT)
        assert (await dialogue.hear())[0].startswith(b"500")


@on_a_loop
async def test_a_balancer_that_says_nothing_is_dropped_after_a_while() -> None:
    async with serving(proxy_from=LOOPBACK) as service:
        dialogue = await service.connect()
        await until_soon(lambda: len(service.reception._unnamed) == 1)
        [session] = service.reception._unnamed
        session.check_patience(service.reception.elapsed() + 9.0, 300.0)
        assert not dialogue.reader.at_eof()
        session.check_patience(service.reception.elapsed() + 11.0, 300.0)
        assert await is_dropped(dialogue)
