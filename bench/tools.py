"""The load tools: Postfix's smtp-source sends, its smtp-sink takes and counts."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bench.processes import CLOCK, BenchFailed, free_port, greets, pause, stop, wait_until

SESSIONS = 50
_COUNT_EVERY_S = 0.005


class Load(NamedTuple):
    """One kind of load: the size of each message and whether a session sends more than one."""

    size_bytes: int
    reuse: bool

    def __str__(self) -> str:
        """The load as a row's title."""
        return f"{self.size_bytes // 1024} KiB, {'sessions reused' if self.reuse else 'a session each'}"


class Sink:
    """A running smtp-sink; `count` is how many messages it has answered with 250 so far.

    smtp-sink writes its counters after every message (`-c`). A thread reads them every few milliseconds in one
    go, so that counting costs next to nothing and the pipe never fills.
    """

    def __init__(self, port: int, counters: int) -> None:
        self.port = port
        self.count = 0
        self._counters = counters
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        rest = b""
        while data := os.read(self._counters, 1 << 16):
            lines = (rest + data).split(b"\r")
            rest = lines.pop()
            if lines:
                self.count = _messages(lines[-1])
            pause(_COUNT_EVERY_S)
        os.close(self._counters)

    def wait_for(self, count: int, timeout_s: float) -> float:
        """Wait until `count` messages are here; the elapsed clock's reading then."""
        try:
            wait_until(lambda: self.count >= count, "the sink", timeout_s, _COUNT_EVERY_S)
        except BenchFailed as error:
            raise BenchFailed(f"{count - self.count} of the messages sent did not reach the sink: {error}") from error
        return CLOCK.elapsed()


def _messages(line: bytes) -> int:
    counters = dict(part.split(b"=") for part in line.split())
    return int(counters[b"mesg"])


@contextlib.contextmanager
def sink(directory: Path, port: int | None = None) -> Iterator[Sink]:
    """smtp-sink on a loopback port; it takes everything and keeps nothing."""
    port = port or free_port()
    reading, writing = os.pipe()
    with (directory / "smtp-sink.log").open("ab") as log:
        process = subprocess.Popen(
            ["smtp-sink", "-4", "-c", "-u", "nobody", "-m", "1000", f"127.0.0.1:{port}", "1024"],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=log,
            start_new_session=True,
        )
    os.close(writing)
    try:
        wait_until(lambda: greets(port), "smtp-sink greets", timeout_s=10)
        yield Sink(port, reading)
    finally:
        stop(process, 5)


def send(port: int, load: Load, count: int, timeout_s: float, recipient: str = "someone@sink.test") -> float:
    """Send `count` messages with smtp-source over 50 sessions; how many seconds until all were answered with 250."""
    command = ["smtp-source", "-s", str(SESSIONS), "-l", str(load.size_bytes), "-m", str(count)]
    command += ["-f", "bench@source.test", "-t", recipient, *(["-d"] if load.reuse else []), f"127.0.0.1:{port}"]
    begin = CLOCK.elapsed()
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    except subprocess.TimeoutExpired as error:
        raise BenchFailed(f"smtp-source: {count} messages not accepted within {timeout_s:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise BenchFailed(f"smtp-source failed: {error.stderr.strip() or error.returncode}") from error
    return CLOCK.elapsed() - begin
