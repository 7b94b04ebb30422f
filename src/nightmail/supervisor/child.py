"""One switch as the supervisor sees it: started, watched, asked, started again when it dies, stopped when told to.

starting ──ready──> serving ──stop──> stopping ──exit──> stopped
    └──────exit──────┴──> restarting ──backoff──> starting
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Literal

import structlog

from nightmail.net.control import ControlClient, Message, RequestFailed, SwitchSilent
from nightmail.supervisor.launching import Launch, exit_of
from nightmail.supervisor.patience import RestartPatience
from nightmail.world import Clock

_TOLD_S = 3.0

State = Literal["starting", "serving", "restarting", "stopping", "stopped"]
Spawn = Callable[[Coroutine[Any, Any, Any]], asyncio.Task[Any]]

log = structlog.get_logger()


class SwitchChild:
    """The place of one switch; processes come and go in it.

    `launch` starts one. `secondary_for` is the server whose queues it runs, empty for a primary switch. `serving` is
    set while it serves. `may_give_up` tells whether a refused configuration ends it: one that was edited while a
    server runs is no reason to stop the switches that serve.
    """

    def __init__(
        self,
        number: int,
        launch: Launch,
        listeners: Sequence[socket.socket],
        clock: Clock,
        *,
        may_give_up: Callable[[], bool] = lambda: True,
        secondary_for: str = "",
    ) -> None:
        self.number = number
        self.secondary_for = secondary_for
        self.name = f"secondary for {secondary_for}" if secondary_for else f"switch {number}"
        self.serving = asyncio.Event()
        self.state: State = "starting"
        self.pid = 0
        self.restarts = 0
        self.has_served = False
        self._launch = launch
        self._listeners = listeners
        self._clock = clock
        self._may_give_up = may_give_up
        self._patience = RestartPatience()
        self._control = ControlClient()
        self._stop_wanted = asyncio.Event()
        self._ended = asyncio.Event()
        self._doubt: asyncio.TimerHandle | None = None

    async def request(self, method: str, params: Mapping[str, object] | None = None, timeout_s: float = 5.0) -> Any:
        """What the switch answers. Raises: SwitchSilent, RequestFailed."""
        if self.state == "restarting":
            raise SwitchSilent(f"switch {self.number} died and is about to be started again")
        return await self._control.request(method, params, timeout_s)

    async def run(self) -> int:
        """Keep a switch running until `stop` is called.

        0, or EX_CONFIG where the switch said that its configuration can't work, and may give up.
        """
        try:
            return await self._run()
        finally:
            self._ended.set()

    async def _run(self) -> int:
        while not self._stop_wanted.is_set():
            started = self._clock.elapsed()
            code = await self._run_once()
            if self._stop_wanted.is_set():
                break
            if code == os.EX_CONFIG and self._may_give_up():
                self.state = "stopped"
                return os.EX_CONFIG
            await self._wait_to_restart(code, self._clock.elapsed() - started)
        self.state = "stopped"
        return 0

    async def stop(self, timeout_s: float) -> None:
        """Ask the switch to settle and end; returns when it has been asked, `run` returns when it is gone.

        Its listeners are closed once it takes no more connections: nobody is to wait for a greeting that never comes.
        """
        self.state = "stopping"
        self._stop_wanted.set()
        for listener in self._listeners:
            listener.close()
        try:
            await self._control.request("stop", timeout_s=timeout_s)
        except (SwitchSilent, RequestFailed) as fault:
            log.debug("stop was not confirmed", switch=self.number, reason=str(fault))

    async def ended(self) -> None:
        """Wait until `run` has come to its end."""
        await self._ended.wait()

    def kill(self, reason: str) -> None:
        """End the process now. What it acknowledged is in its journal."""
        if self.pid:
            log.warning("switch killed", switch=self.number, pid=self.pid, reason=reason,
                        remedy="none: what it acknowledged is in its queue")  # fmt: skip
            os.kill(self.pid, signal.SIGKILL)

    def end(self, reason: str) -> None:
        """End the process now, and start no other."""
        self._stop_wanted.set()
        self.kill(reason)

    async def _run_once(self) -> int:
        self.state = "stopping" if self._stop_wanted.is_set() else "starting"
        try:
            launched = self._launch(self.number, self._listeners)
        except OSError as error:
            log.warning("switch can't be started", switch=self.number, reason=str(error))
            return os.EX_OSERR
        self.pid = launched.process.pid
        log.info("switch started", switch=self.number, pid=self.pid)
        self._control = ControlClient(on_notice=self._noticed)
        if launched.owes_notice:
            self._doubt = asyncio.get_running_loop().call_later(_TOLD_S, self._was_not_told, self.pid)
        try:
            await self._control.attach(launched.control)
            return await exit_of(launched.process, launched.pidfd)
        finally:
            self._believe()
            self.pid = 0
            self.serving.clear()
            self._control.close()

    def _noticed(self, message: Message) -> None:
        self._believe()
        notice = message.pop("notice")
        if notice == "ready" and self.state == "starting":
            self.state = "serving"
            self.has_served = True
            self.serving.set()
            log.info("switch serving", switch=self.number, pid=self.pid)

    def _believe(self) -> None:
        """A process that was in reserve lives, or has ended."""
        if self._doubt is not None:
            self._doubt.cancel()
            self._doubt = None

    def _was_not_told(self, pid: int) -> None:
        """What was in reserve hangs: another process is to be the switch."""
        self._doubt = None
        log.warning("spare switch hangs", switch=self.number, pid=pid, remedy="none: another one is started instead")
        os.kill(pid, signal.SIGKILL)

    async def _wait_to_restart(self, code: int, lived_s: float) -> None:
        delay_s = self._patience.after_death(lived_s)
        self.state = "restarting"
        self.restarts += 1
        log.error("switch died", switch=self.number, how=_how(code), lived_s=lived_s, restart_in_s=delay_s)
        try:
            async with asyncio.timeout(delay_s):
                await self._stop_wanted.wait()
        except TimeoutError:
            return


def _how(code: int) -> str:
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
