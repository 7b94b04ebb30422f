"""Telling a running HAProxy that a server takes no new clients, or takes them again, by its runtime socket."""

from __future__ import annotations

import asyncio

from nightmail.balancer.haproxy import BACKEND

_TIMEOUT_S = 2.0
_ANSWER_LIMIT_BYTES = 64 * 1024


class BalancerSilent(Exception):
    """HAProxy did not answer, or refused; its checks will find out by themselves."""


async def set_state(socket_path: str, server: str, state: str) -> None:
    """Set a server to `ready` or `drain`; sessions that it has go on. Raises: BalancerSilent."""
    answer = await _ask(socket_path, f"set server {BACKEND}/{server} state {state}")
    if answer.strip():
        raise BalancerSilent(f"HAProxy at {socket_path} says: {answer.strip()}")


async def _ask(socket_path: str, command: str) -> str:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            reader, writer = await asyncio.open_unix_connection(socket_path)
            try:
                writer.write(f"{command}\n".encode())
                return (await reader.read(_ANSWER_LIMIT_BYTES)).decode("utf-8", "replace")
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise BalancerSilent(f"HAProxy at {socket_path}: {error or 'no answer'}") from error
