"""Serving an HTTP application inside the loop of a process that has other things to do."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.applications import Starlette

_SHUTDOWN_S = 2
_CONNECTIONS_MAX = 200


class _Guest(uvicorn.Server):
    """uvicorn as a guest: signals are its host's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class HttpServer:
    """Answers HTTP on a bound socket from `start` to `close`."""

    def __init__(self, app: Starlette, listener: socket.socket) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=_CONNECTIONS_MAX,
            timeout_graceful_shutdown=_SHUTDOWN_S,
        )
        self._server = _Guest(config)
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to answer."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]))

    async def close(self) -> None:
        """Finish what is being answered, within a bound, and close the socket."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
