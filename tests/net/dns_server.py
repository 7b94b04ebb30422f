"""A small DNS server on loopback that tells what it is given, and lies on request."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from enum import Enum
from typing import Self, cast

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset


class Lie(Enum):
    """What may be wrong with an answer."""

    SERVFAIL = "says SERVFAIL"
    SILENCE = "says nothing"
    WRONG_ID = "answers a question with another's id"
    GARBAGE = "answers with bytes that are no DNS message"
    TRUNCATED = "answers over UDP that the answer doesn't fit, over TCP with all of it"
    CNAME_ONLY = "answers with the CNAME and leaves following it to the asker"


class DnsServer:
    """Answers from `records`: lines like `example.net. 300 MX 10 mx.example.net.`; others are NXDOMAIN.

    A name that stands in `lies` is answered that way. `questions` counts what was asked, as `(name, type)`.
    """

    def __init__(self, records: Iterable[str] = (), soa_ttl_s: int = 60) -> None:
        self.lies: dict[str, Lie] = {}
        self.questions: Counter[tuple[str, str]] = Counter()
        self._soa_ttl_s = soa_ttl_s
        self._records: dict[tuple[dns.name.Name, dns.rdatatype.RdataType], dns.rrset.RRset] = {}
        for line in records:
            self.add(line)

    def add(self, line: str) -> None:
        """One more record."""
        name, ttl, rdtype, rdata = line.split(maxsplit=3)
        rrset = dns.rrset.from_text(name, int(ttl), "IN", rdtype, rdata)
        present = self._records.setdefault((rrset.name, rrset.rdtype), rrset)
        for rdata_found in rrset:
            present.add(rdata_found, rrset.ttl)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._serve_tcp, "127.0.0.1", 0)
        self._port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), local_addr=("127.0.0.1", self._port)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._udp.close()
        self._tcp.close()

    @property
    def address(self) -> str:
        """Where it listens, as the `resolvers` setting takes it."""
        return f"127.0.0.1:{self._port}"

    def answer(self, wire: bytes, *, over_udp: bool) -> list[bytes]:
        """What goes back for one question: nothing, or a message, or several."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        self.questions[(name, dns.rdatatype.to_text(question.rdtype))] += 1
        lie = self.lies.get(name)
        if lie is Lie.SILENCE:
            return []
        if lie is Lie.GARBAGE:
            return [b"\xff" * 7]
        response = self._response(query, follow=lie is not Lie.CNAME_ONLY)
        if lie is Lie.SERVFAIL:
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.SERVFAIL)
        if lie is Lie.WRONG_ID:
            response.id ^= 0x5555
        if lie is Lie.TRUNCATED and over_udp:
            response = dns.message.make_response(query)
            response.flags |= dns.flags.TC
        return [response.to_wire()]

    def _response(self, query: dns.message.Message, *, follow: bool) -> dns.message.Message:
        response = dns.message.make_response(query)
        response.flags |= dns.flags.RA
        name, rdtype = query.question[0].name, query.question[0].rdtype
        for _ in range(32):
            alias = self._records.get((name, dns.rdatatype.CNAME))
            if alias is None:
                break
            response.answer.append(alias)
            name = alias[0].target
            if not follow:
                return response
        found = self._records.get((name, rdtype))
        if found is not None:
            response.answer.append(found)
            return response
        soa = f"ns.invalid. host.invalid. 1 60 60 60 {self._soa_ttl_s}"
        response.authority.append(dns.rrset.from_text(".", self._soa_ttl_s, "IN", "SOA", soa))
        if not any(known == name for known, _ in self._records):
            response.set_rcode(dns.rcode.NXDOMAIN)
        return response

    async def _serve_tcp(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        for wire in self.answer(await reader.readexactly(size), over_udp=False):
            writer.write(len(wire).to_bytes(2, "big") + wire)
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        for wire in self._server.answer(data, over_udp=True):
            self._transport.sendto(wire, addr)
