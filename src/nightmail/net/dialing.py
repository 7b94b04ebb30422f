"""Opening connections: one target, one bounded try."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Protocol, TypeVar, cast

from nightmail.errors import TemporaryFailure
from nightmail.mail.reply import Reply
from nightmail.net.addresses import Target, ip_version

P = TypeVar("P")
"""Something with the methods of an `asyncio.Protocol`, whatever its base class."""


class Dialer(Protocol):
    """Opens connections."""

    async def dial(self, target: Target, protocol: Callable[[], P], timeout_s: float) -> P:
        """A connected protocol; its transport came with `connection_made`.

        Raises:
            TemporaryFailure: refused, unreachable, or not within `timeout_s`; the reply is a 451 4.4.1.
        """
        ...


class SocketDialer:
    """Dials over TCP and Unix sockets, from given source addresses where there are any."""

    def __init__(self, source_addresses: tuple[str, ...] = ()) -> None:
        self._sources = {ip_version(source): (source, 0) for source in source_addresses}

    async def dial(self, target: Target, protocol: Callable[[], P], timeout_s: float) -> P:
        """As `Dialer.dial` promises."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._connect(target, protocol)
        except TimeoutError as error:
            raise _unreachable(target, "connection timed out") from error
        except OSError as error:
            raise _unreachable(target, os.strerror(error.errno).lower() if error.errno else str(error)) from error

    async def _connect(self, target: Target, protocol: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        factory = cast("Callable[[], asyncio.Protocol]", protocol)
        if target.is_unix:
            _, connected = await loop.create_unix_connection(factory, target.address)
        else:
            source = self._sources.get(ip_version(target.address))
            _, connected = await loop.create_connection(factory, target.address, target.port, local_addr=source)
        return cast("P", connected)


def _unreachable(target: Target, why: str) -> TemporaryFailure:
    return TemporaryFailure(Reply(451, "4.4.1", f"connect to {target}: {why}"))
