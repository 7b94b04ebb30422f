from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys
from typing import Any

import pytest

from nightmail.supervisor.child import SwitchChild
from nightmail.supervisor.launching import launch_command
from nightmail.world import SystemClock

ENDED = [sys.executable, "-c", "raise SystemExit(78)"]


@pytest.mark.parametrize(("module", "call"), [(socket, "socketpair"), (os, "pidfd_open")])
def test_a_server_out_of_files_tries_again(monkeypatch: pytest.MonkeyPatch, module: Any, call: str) -> None:
    real, refusals = getattr(module, call), iter(range(1))

    def refuse_once(*given: Any) -> Any:
        if next(refusals, None) is not None:
            raise OSError(errno.EMFILE, "too many open files")
        return real(*given)

    async def run() -> tuple[int, int]:
        child = SwitchChild(0, lambda _, listeners: launch_command(ENDED, listeners), [], SystemClock())
        monkeypatch.setattr(module, call, refuse_once)
        return await asyncio.wait_for(child.run(), 10), child.restarts

    loop = asyncio.new_event_loop()  # makes a socket pair of its own
    try:
        assert loop.run_until_complete(run()) == (os.EX_CONFIG, 1)
    finally:
        loop.close()
