"""A supervised server of fake switches in a directory of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

from tests.e2e.switch import free_port
from tests.e2e.waiting import PATIENCE_S, until

FAKE_SERVER = Path(__file__).parent / "fake_server.py"


class Server:
    def __init__(self, directory: Path, workers: int = 1, settings: str = "", stop_timeout_s: float = 5) -> None:
        self.directory = directory
        self.run = directory / "run"
        self.port = free_port()
        self.http_port = free_port()
        self.log_file = directory / "log"
        self.log_file.touch()
        (directory / "tables").mkdir(exist_ok=True)
        self.run.mkdir(exist_ok=True)
        (directory / "tables/domains").write_text("right\n")
        self.config_file = directory / "nightmail.toml"
        self.config_file.write_text(
            f"""
            [server]
            name = "mx1"
            hostname = "mx1.example.org"
            run_directory = "run"
            workers = {workers}
            stop_timeout_s = {stop_timeout_s}
            {settings}
            [servers.mx1]
            http = "127.0.0.1:{self.http_port}"
            [store]
            url = "file:store"
            [[listener]]
            address = "127.0.0.1:{self.port}"
            """
        )
        self.workers = workers
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def spawn(self) -> subprocess.Popen[bytes]:
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(FAKE_SERVER), str(self.config_file)], stdout=log, stderr=log
            )
        return self.process

    def start(self) -> Self:
        process = self.spawn()
        until(
            lambda: process.poll() is not None or len(self.logged("switch serving")) >= self.workers,
            "the start of all switches",
        )
        assert process.poll() is None, self.log()
        return self

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(PATIENCE_S)

    def greeting(self) -> str:
        with socket.create_connection(("127.0.0.1", self.port), PATIENCE_S) as connection:
            return connection.makefile().readline().strip()

    def switch_pid(self) -> int:
        return int(self.greeting().split()[-1])

    def log(self) -> str:
        return self.log_file.read_text()

    def logged(self, pattern: str) -> list[str]:
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def operator(self, method: str, path: str) -> tuple[int, dict[str, object]]:
        request = f"{method} {path} HTTP/1.1\r\nHost: nightmail\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE_S)
            connection.connect(os.path.relpath(self.run / "admin.sock"))
            connection.sendall(request.encode())
            head, _, body = connection.makefile("rb").read().partition(b"\r\n\r\n")
        return int(head.split()[1]), json.loads(body)
