"""Heartbeats on the network: sent to every peer, heard from every peer, and what is neither is counted and ignored."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Callable
from typing import cast

import msgspec
import structlog

from nightmail.group.hearing import Hearing, Verdict
from nightmail.group.heartbeat import Forged, Heartbeat, Seal
from nightmail.net.addresses import HostPort

_RESOLVE_AGAIN_S = 30.0
_AT_THE_DOOR_S = 0.5
_BEATS_BACK = 25
_KNOCKS_AT_MOST = 3  # at one peer, while it may be merely late; each takes a number of its own

log = structlog.get_logger()


class _Line(asyncio.DatagramProtocol):
    """A socket of one address family."""

    def __init__(self, heard: Callable[[bytes], None]) -> None:
        self._heard = heard

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        self._heard(data)

    def error_received(self, exc: Exception) -> None:
        """A peer that is not there answers with ICMP: its silence says the same."""


class _Knock(asyncio.DatagramProtocol):
    """A socket of one peer's own: only such a one is told of what ICMP says of it (udp(7))."""

    def __init__(self, refused: Callable[[], None]) -> None:
        self._refused = refused

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there; whatever else came back says no more than silence."""
        if isinstance(exc, ConnectionRefusedError):
            self._refused()


class Voices:
    """Speaks for one life of this server with its peers.

    `heard` is given each heartbeat that is believed, `refused` each peer that was knocked at and whose host says that
    nobody listens there. `ignored` counts the heartbeats that are not believed, by reason.
    """

    def __init__(
        self,
        server: str,
        incarnation: str,
        seal: Seal,
        *,
        own: HostPort,
        peers: dict[str, HostPort],
        heard: Callable[[Heartbeat], None],
        refused: Callable[[str], None],
    ) -> None:
        self.ignored = dict.fromkeys(("forged", "unknown", "repeated", "unproven"), 0)
        self._server = server
        self._incarnation = incarnation
        self._seal = seal
        self._own = own
        self._peers = peers
        self._heard = heard
        self._refused = refused
        self._sequence = 0
        window = _BEATS_BACK + _KNOCKS_AT_MOST * len(peers)
        self._hearings = {peer: Hearing(incarnation, window=window) for peer in peers}
        self._places: dict[str, tuple[int, tuple[str, int]]] = {}
        self._lines: dict[int, asyncio.DatagramTransport] = {}
        self._source: tuple[int, str] = (0, "")
        self._knocks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Bind the own address, and have a socket for peers of the other address family. Raises: OSError."""
        loop = asyncio.get_running_loop()
        family, place = await self._resolve(self._own)
        self._source = family, place[0]
        self._lines[family], _ = await loop.create_datagram_endpoint(lambda: _Line(self._received), local_addr=place)
        other = socket.AF_INET if family == socket.AF_INET6 else socket.AF_INET6
        with contextlib.suppress(OSError):  # a host without that family has no peers of it
            self._lines[other], _ = await loop.create_datagram_endpoint(lambda: _Line(self._received), family=other)

    async def keep_resolved(self) -> None:
        """Find the peers' addresses, again and again: names may move."""
        while True:
            await asyncio.gather(*(self._find(peer, place) for peer, place in self._peers.items()))
            await asyncio.sleep(_RESOLVE_AGAIN_S)

    async def _find(self, peer: str, place: HostPort) -> None:
        try:
            self._places[peer] = await self._resolve(place)
        except (OSError, UnicodeError) as error:
            log.warning("peer not found", peer=peer, address=str(place), reason=str(error),
                        remedy="see to its name, or write its IP address")  # fmt: skip

    async def _resolve(self, place: HostPort) -> tuple[int, tuple[str, int]]:
        try:
            ip = ipaddress.ip_address(place.host)
        except ValueError:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_DGRAM)
            return found[0][0], cast("tuple[str, int]", found[0][4][:2])
        return socket.AF_INET6 if ip.version == 6 else socket.AF_INET, (place.host, place.port)

    def speak(self, beat: Heartbeat) -> None:
        """Send `beat` to every peer, each with the echo of what was last heard from it."""
        self._sequence += 1
        for peer, (family, place) in self._places.items():
            line = self._lines.get(family)
            if line is not None and not line.is_closing():
                line.sendto(self._said_to(peer, beat), place)

    def knock(self, peer: str, beat: Heartbeat) -> None:
        """Send `beat` to one peer, in a way that its host can answer to. Returns at once."""
        if peer in self._places:
            self._sequence += 1
            knock = asyncio.get_running_loop().create_task(self._knock(peer, self._said_to(peer, beat)))
            self._knocks.add(knock)
            knock.add_done_callback(self._knocks.discard)

    async def _knock(self, peer: str, said: bytes) -> None:
        family, place = self._places[peer]
        source = (self._source[1], 0) if family == self._source[0] else None
        loop = asyncio.get_running_loop()
        try:
            door, _ = await loop.create_datagram_endpoint(
                lambda: _Knock(lambda: self._refused(peer)), local_addr=source, remote_addr=place
            )
        except OSError:
            return  # there is no way to that host, and so nobody who could answer
        try:
            door.sendto(said)
            await asyncio.sleep(_AT_THE_DOOR_S)
        finally:
            door.close()

    def _said_to(self, peer: str, beat: Heartbeat) -> bytes:
        """The heartbeat as a datagram for one peer."""
        echo = self._hearings[peer].echo
        return self._seal.seal(
            msgspec.structs.replace(
                beat, server=self._server, incarnation=self._incarnation, sequence=self._sequence,
                echo_incarnation=echo[0], echo_sequence=echo[1],
            )
        )  # fmt: skip

    def close(self) -> None:
        """Say and hear nothing any more."""
        for knock in self._knocks:
            knock.cancel()
        for line in self._lines.values():
            line.close()

    def _received(self, datagram: bytes) -> None:
        try:
            beat = self._seal.open(datagram)
        except Forged as reason:
            self._ignore("forged", str(reason), "every server of the cluster needs the same secret_file")
            return
        hearing = self._hearings.get(beat.server)
        if hearing is None:
            self._ignore("unknown", f"it names {beat.server!r}", "name it in [servers] of every server, or stop it")
            return
        verdict = hearing.hear(beat, self._sequence)
        if verdict is Verdict.BELIEVED:
            self._heard(beat)
        else:
            self.ignored[verdict.value] += 1

    def _ignore(self, kind: str, reason: str, remedy: str) -> None:
        """Count it; say so the first time, and then whenever the number has doubled."""
        self.ignored[kind] += 1
        if self.ignored[kind].bit_count() == 1:
            log.warning("heartbeat ignored", kind=kind, reason=reason, times=self.ignored[kind], remedy=remedy)
