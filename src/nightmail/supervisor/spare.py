"""A process in reserve: it has loaded all that a switch needs, and waits to be told which one it is.

A third of a second of every restart and takeover is a Python that loads its modules. The spare has done so before
anything happened. Whoever wants a switch sends it the words of a command line and the listeners, and it is that
switch from then on: the same process, the same control channel. Until then it has read no configuration and touched
no store. One that is told while it still loads goes on from there.

A server has one spare. One that was taken is replaced once the switch that it became has had the machine to itself for
a while; until then, and where a spare can't be had, a switch is started as if there were none. Who is told says so at
once, unless it still loads: what hangs in reserve is not to be the switch that everybody waits for.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence

import msgspec
import structlog

from nightmail.net.control import frame
from nightmail.supervisor.launching import TOLD, Launched

_REST_AFTER_FAULT_S = 30.0
_LOADED_S = 30.0
_LENGTH_BYTES = 4
_LISTENERS_MAX = 250  # the kernel passes 253 descriptors at once (unix(7), SCM_RIGHTS)

log = structlog.get_logger()


class Spare:
    """Keeps one process in reserve while `run` runs.

    `launch` starts it, or raises OSError. One that was taken is replaced after `rest_s`.
    """

    def __init__(self, launch: Callable[[], Launched], rest_s: float) -> None:
        self._launch = launch
        self._rest_after_use_s = rest_s
        self._ready: Launched | None = None
        self._is_wanted = asyncio.Event()
        self._rest_s = rest_s
        self._started_at = 0.0

    async def run(self) -> None:
        """Have a spare, and another one after that, until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._rest_s)
                self._rest_s = self._rest_after_use_s
                self._is_wanted.clear()
                self._start()
                await self._is_wanted.wait()
        finally:
            spare = self._give_out()
            if spare is not None:
                _end(spare)

    def become(self, words: Sequence[str], listeners: Sequence[socket.socket]) -> Launched | None:
        """Have the spare be the switch that a command line describes; None where there is no spare to be had."""
        if len(listeners) > _LISTENERS_MAX or (spare := self._give_out()) is None:
            return None
        told = msgspec.msgpack.encode(list(words))
        told = len(told).to_bytes(_LENGTH_BYTES, "big") + told
        try:
            socket.send_fds(spare.control, [told], [listener.fileno() for listener in listeners])
        except OSError as error:
            log.info("spare switch lost", pid=spare.process.pid, reason=str(error))
            _end(spare)
            return None
        return spare._replace(owes_notice=self._loop_s() - self._started_at > _LOADED_S)

    def _start(self) -> None:
        self._started_at = self._loop_s()
        try:
            spare = self._ready = self._launch()
        except OSError as error:
            log.warning("spare switch can't be started", reason=str(error), remedy="none: switches start without one")
            self._try_later()
        else:
            asyncio.get_running_loop().add_reader(spare.pidfd, self._died)

    @staticmethod
    def _loop_s() -> float:
        return asyncio.get_running_loop().time()

    def _give_out(self) -> Launched | None:
        """The spare, which is nobody's concern here any more."""
        spare, self._ready = self._ready, None
        if spare is not None:
            asyncio.get_running_loop().remove_reader(spare.pidfd)
            self._is_wanted.set()
        return spare

    def _died(self) -> None:
        spare = self._give_out()
        if spare is not None:
            _end(spare)
            log.warning("spare switch died", pid=spare.process.pid, exit_code=spare.process.returncode,
                        remedy="none: another one follows")  # fmt: skip
            self._try_later()

    def _try_later(self) -> None:
        self._rest_s = _REST_AFTER_FAULT_S
        self._is_wanted.set()


def _end(spare: Launched) -> None:
    """End a process that does nothing yet."""
    spare.control.close()
    spare.process.kill()
    spare.process.wait()
    os.close(spare.pidfd)


def wait_to_become(control: socket.socket) -> tuple[list[str], list[int]] | None:
    """In the spare: the words it is told and its listeners' descriptors; None once the supervisor wants it no more."""
    length, listeners, _, _ = socket.recv_fds(control, _LENGTH_BYTES, _LISTENERS_MAX)
    if not length:
        return None
    told = control.recv(int.from_bytes(length, "big"), socket.MSG_WAITALL)
    control.sendall(frame({"notice": TOLD}))
    return msgspec.msgpack.decode(told, type=list[str]), listeners
