"""The replica of the directory that a server runs: OpenLDAP's slapd, started, watched, started again, stopped last.

What it is to be is written anew before every start. A replica that can't be had stops nothing: mail goes on with the
others, and this one is tried again.

Where slapd finds its entries damaged it says so in a line, and answers as if those that it can't read were not there:
somebody's mail would be refused for good. It is ended at that line.

It plans by the time of day when to ask its master again. Where that is set back by hours, it would ask in hours, and is
started anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from typing import Literal

import structlog

from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.supervisor.launching import exit_of
from nightmail.supervisor.patience import RestartPatience
from nightmail.world import Clock

_STOP_S = 10.0
_TRY_AGAIN_S = 10.0
_LOOK_AT_CLOCKS_S = 1.0
_SET_BACK_S = 1.0
_LINE_BYTES = 64 * 1024
_TAKEN = "Address already in use"
_IN_USE = "stop what listens at its address, or give it another one: [servers.NAME] directory"
_AGAIN = "none: it is started again; others answer meanwhile"
_STAMP = re.compile(r"^[0-9a-f.]+ (?:0x[0-9a-f]+ )?")
_USUAL = re.compile(
    r"^@\(#\)|^Debian|slapd (?:starting|stopped|shutdown)|slapd destroy|slap_read_controls|deferring operation"
    r"|DIGEST-MD5|connections_destroy: nothing"
)
_DAMAGED = re.compile(  # where a name that somebody gave can't stand
    r"^(?:=> )?mdb_\w+: .*\bMDB_(?:CORRUPTED|PAGE_NOTFOUND|INVALID): [^()]*\(-307[0-9]{2}\)"
    r"|^\S*\bmdb\.c:[0-9]+: Assertion"
)

State = Literal["starting", "running", "restarting", "not set up", "stopped"]

log = structlog.get_logger()


class ReplicaChild:
    """The place of one slapd. `prepare` writes its configuration and returns the command; it may block, and raise
    ConfigInvalid, DirectoryUnavailable or OSError; it is waited for, and had better end once `stopping` is set.
    `damaged` is told slapd's words on damaged entries; it may block, and raise OSError. `started` is called whenever it
    runs anew.
    """

    def __init__(
        self,
        prepare: Callable[[], Sequence[str]],
        damaged: Callable[[str], None],
        clock: Clock,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        self.state: State = "starting"
        self.fault = ""
        self.pid = 0
        self.stopping = threading.Event()
        self._prepare = prepare
        self._damaged = damaged
        self._clock = clock
        self._patience = RestartPatience()
        self._process: subprocess.Popen[bytes] | None = None
        self._started = started
        self._is_wanted_anew = asyncio.Event()

    async def run(self) -> None:
        """Keep it running; ends it when cancelled."""
        try:
            while True:
                started = self._clock.elapsed()
                if await self._ran():
                    await self._rest(self._clock.elapsed() - started)
                else:
                    await self._until_wanted_anew(_TRY_AGAIN_S)
        finally:
            self._stop()

    def start_anew(self) -> None:
        """Have it prepared and started again, at once; one that runs is killed: what it acknowledged is on its disk."""
        self._is_wanted_anew.set()
        if self._process is not None and self._process.poll() is None:
            self._process.kill()

    async def _until_wanted_anew(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._is_wanted_anew.wait()

    async def _ran(self) -> bool:
        """Run it until it ends; False: it could not be started, or watched."""
        try:
            return await self._run_once()
        except OSError as error:
            self.note_fault(error)
            await asyncio.to_thread(self._end)
            return False

    async def _run_once(self) -> bool:
        """Run it until it ends; False: it could not be started."""
        self.state = "starting"
        self._is_wanted_anew.clear()
        try:
            command = await self._prepared()
            self._process = _start(command)
            self._is_wanted_anew.clear()
        except (ConfigInvalid, DirectoryUnavailable, OSError) as error:
            self.note_fault(error)
            return False
        self.pid, self.state, self.fault = self._process.pid, "running", ""
        log.info("directory replica started", pid=self.pid)
        self._started()
        hearing = asyncio.create_task(_hear(self._process))
        code = await self._ended(self._process)
        self.pid = 0
        if self._is_wanted_anew.is_set():
            await hearing
            log.info("directory replica ended, to be started anew")
            return True
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        said = await hearing
        self.fault = f"it ended: {said or how}"
        log.error("directory replica died", how=how, said=said, remedy=_IN_USE if _TAKEN in said else _AGAIN)
        if code == -signal.SIGBUS:  # what is mapped into memory is not there in the file
            await asyncio.to_thread(self._damaged, said or how)
        elif _DAMAGED.search(said):
            await asyncio.to_thread(self._damaged, said)
        return True

    async def _prepared(self) -> Sequence[str]:
        """What `prepare` returns. Whoever stops waits until it has ended: who is started next writes there, too."""
        preparing = asyncio.get_running_loop().run_in_executor(None, self._prepare)
        try:
            return await asyncio.shield(preparing)
        except asyncio.CancelledError:
            self.stopping.set()
            await asyncio.wait([preparing], timeout=_STOP_S)
            raise

    async def _ended(self, process: subprocess.Popen[bytes]) -> int:
        """Its exit code once it ended, by itself or because the time of day was set back."""
        watching = asyncio.create_task(self._end_where_set_back(process))
        try:
            return await exit_of(process, os.pidfd_open(self.pid))
        finally:
            watching.cancel()

    async def _end_where_set_back(self, process: subprocess.Popen[bytes]) -> None:
        before_s = self._clock.wall() - self._clock.elapsed()
        while True:
            await asyncio.sleep(_LOOK_AT_CLOCKS_S)
            now_s = self._clock.wall() - self._clock.elapsed()
            if now_s < before_s - _SET_BACK_S:
                why = f"the time of day was set back by {before_s - now_s:.0f} s"
                log.warning("directory replica ended", reason=why, remedy="none: it is started again, and goes by it")
                process.terminate()
            before_s = now_s

    async def _rest(self, lived_s: float) -> None:
        self.state = "restarting"
        await self._until_wanted_anew(self._patience.after_death(lived_s))

    def note_fault(self, error: ConfigInvalid | DirectoryUnavailable | OSError) -> None:
        """It can't be started, for this reason."""
        fault = str(error)
        if isinstance(error, OSError) and error.filename:
            fault = f"{error.filename}: {error.strerror}; let the server's user read and write what is there"
        self.state = "not set up"
        if fault != self.fault:
            log.error("directory replica can't be started", reason=fault)
        self.fault = fault

    def _stop(self) -> None:
        """Blocks for as long as slapd takes to close its files: nothing else is left to be done then."""
        self.state = "stopped"
        self._end()

    def _end(self) -> None:
        process, self._process = self._process, None
        self.pid = 0
        if process is None or process.poll() is not None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            log.warning("directory replica killed", pid=process.pid, reason="it did not stop in time",
                        remedy="none: what it acknowledged is on its disk")  # fmt: skip
            process.kill()
            process.wait()


def _start(command: Sequence[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - the command is our own
        command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, process_group=0
    )


async def _hear(process: subprocess.Popen[bytes]) -> str:
    """The last thing that slapd said before it ended, which is why, where it said anything of its own accord.

    What it says of damaged entries is the last thing that it says.
    """
    reader = asyncio.StreamReader(limit=_LINE_BYTES)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), process.stderr
    )
    last = ""
    try:
        while line := await reader.readline():
            said = _STAMP.sub("", line.decode(errors="replace").strip())
            if said and not _USUAL.search(said):
                last = said
            if _DAMAGED.search(said):
                process.kill()
                break
    except ValueError:
        last = "a line that is too long to be kept"
    finally:
        transport.close()
    return last
