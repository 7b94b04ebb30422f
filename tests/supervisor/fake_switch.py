"""A switch that does nothing but what its supervisor can see; started as a process of its own.

Its behaviour is told by files in the run directory: `die-at-start`, `refuse-config`, `never-stop`.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

from nightmail.net.control import ControlServer
from nightmail.supervisor.parent import die_with_supervisor


async def serve(number: int, control: socket.socket, listeners: list[socket.socket], run: Path) -> None:
    stopped = asyncio.Event()
    reloads = 0

    def noted(name: str) -> bool:
        return Path(run, name).exists()

    async def status(_: object) -> object:
        queue = {"id": f"mx1.{number}.1", "owner": "mx1", "epoch": 1, "slot": 1, "messages": 0}
        return {"switch": number, "state": "serving", "pid": os.getpid(), "queues": [queue]}

    async def reload(_: object) -> None:
        nonlocal reloads
        reloads += 1
        await asyncio.to_thread(Path(run, f"reloads-{number}").write_text, str(reloads))

    async def stop(_: object) -> None:
        if not noted("never-stop"):
            stopped.set()

    async def metrics(_: object) -> object:
        return []

    methods = {"status": status, "reload": reload, "stop": stop, "metrics": metrics}
    server = ControlServer(methods, on_lost=stopped.set)
    await server.attach(control)

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(f"220 switch {number} pid {os.getpid()}\r\n".encode())
        writer.close()

    services = [await asyncio.start_server(greet, sock=listener) for listener in listeners]
    server.notify("ready")
    await stopped.wait()
    for service in services:
        service.close()


def main() -> None:
    number, run = int(sys.argv[1]), Path(sys.argv[2])
    _, control_fd, _, fds = sys.argv[3:]
    control = socket.socket(fileno=int(control_fd))
    die_with_supervisor(control)
    if Path(run, "die-at-start").exists():
        os.kill(os.getpid(), signal.SIGSEGV)
    if Path(run, "refuse-config").exists():
        sys.stderr.write("nightmail: store: it lies\n")
        raise SystemExit(78)
    asyncio.run(serve(number, control, [socket.socket(fileno=fd) for fd in json.loads(fds)], run))


if __name__ == "__main__":
    main()
