"""A server of fake switches: what `nightmail serve` is, with tables that are a single file."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from nightmail import logs
from nightmail.config.loading import load
from nightmail.errors import ConfigInvalid
from nightmail.supervisor.launching import Launched, launch_command
from nightmail.supervisor.supervising import supervise
from nightmail.supervisor.tables import Announce, Reloads, TableReloads
from nightmail.world import SystemClock

FAKE_SWITCH = Path(__file__).parent / "fake_switch.py"


class OneFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def compile(self) -> None:
        if "wrong" in self._path.read_text():
            raise ConfigInvalid(f"{self._path}:1", "it is wrong", "write what is right")

    def fingerprint(self) -> object:
        return self._path.stat().st_mtime_ns


class AfterAWhile(TableReloads):
    """Has something to put into force once a file is gone."""

    def __init__(self, tables: OneFile, announce: Announce, clock: SystemClock, obstacle: Path) -> None:
        super().__init__(tables, announce, clock)
        self._obstacle = obstacle

    async def compile_first(self) -> None:
        while self._obstacle.exists():
            self.awaited = "waiting for the directory: it has no content yet"
            await asyncio.sleep(0.01)
        self.awaited = ""
        await super().compile_first()


def main() -> int:
    clock = SystemClock()
    logs.configure("logfmt", clock)
    try:
        config = load(sys.argv[1])
        run = config.server.run_directory

        def launch_fake(number: int, listeners: Sequence[socket.socket]) -> Launched:
            return launch_command([sys.executable, str(FAKE_SWITCH), str(number), run], listeners)

        tables = OneFile(Path(config.tables.directory) / "domains")
        owned = [Path(config.base, "owned").as_posix()]

        def keep_tables(announce: Announce) -> Reloads:
            return AfterAWhile(tables, announce, clock, Path(run, "nothing-yet"))

        return asyncio.run(
            supervise(config, launch=launch_fake, keep_routing=keep_tables, clock=clock, owned_directories=owned)
        )
    except ConfigInvalid as fault:
        sys.stderr.write(f"nightmail: {fault}\n")
        return 78


if __name__ == "__main__":
    sys.exit(main())
