"""Logs: one line for each event, whatever is in it, and never an obstacle."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import select
import threading
from collections.abc import Iterator

import pytest
import structlog

from nightmail import logs


class NoonOf2030:
    def elapsed(self) -> float:
        return 0.0

    def wall(self) -> float:
        return 1_893_499_200.25


class Log:
    """A pipe in the place of standard error."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        os.set_blocking(self.read_fd, False)

    def lines(self) -> list[str]:
        return os.read(self.read_fd, 65_536).decode().split("\n")[:-1]


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    monkeypatch.setattr(logs, "mail_log", logs.MailLog())
    pipe = Log()
    yield pipe
    os.close(pipe.read_fd)
    os.close(pipe.write_fd)
    structlog.reset_defaults()
    root.handlers = handlers
    root.setLevel(level)


def test_logfmt_puts_time_level_and_event_first(log: Log) -> None:
    logs.configure("logfmt", NoonOf2030(), fd=log.write_fd, switch=0)
    structlog.get_logger().info("sent", id="ID1", **{"from": "<a@example.org>"}, delay_s=0.25, orig_to=None, tls=False)
    (line,) = log.lines()
    assert line == (
        "time=2030-01-01T12:00:00.250Z level=info event=sent switch=0 id=ID1 from=<a@example.org>"
        " delay_s=0.250 orig_to= tls=false"
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("two words", '"two words"'),
        ('say "x"', r'"say \"x\""'),
        ("a=b", '"a=b"'),
        ("line\r\nforged event=x", r'"line\r\nforged event=x"'),
        ("\x1b[31m", r'"\u001b[31m"'),
        ("\x85\u2028", r'"\u0085\u2028"'),
        ("back\\slash word", r'"back\\slash word"'),
        ("", '""'),
        (3.0, "3.000"),
        (7, "7"),
    ],
)
def test_a_value_can_neither_end_its_line_nor_pass_for_another(value: object, shown: str) -> None:
    assert logs.render_logfmt({"key": value}) == f"key={shown}"


def test_json_takes_everything(log: Log) -> None:
    logs.configure("json", NoonOf2030(), fd=log.write_fd)
    structlog.get_logger().info("odd", surrogate="\udc80", huge=2**70, error=ValueError("no"))
    (line,) = log.lines()
    facts = json.loads(line)
    assert facts["time"] == "2030-01-01T12:00:00.250Z"
    assert (facts["surrogate"], facts["huge"], facts["error"]) == ("\udc80", 2**70, "no")


def test_an_exception_stays_on_its_line(log: Log) -> None:
    logs.configure("logfmt", NoonOf2030(), fd=log.write_fd)
    try:
        int("no number")
    except ValueError:
        structlog.get_logger().exception("failed")
    (line,) = log.lines()
    assert 'exception="Traceback' in line
    assert r"\nValueError: invalid literal" in line


def test_what_libraries_log_has_the_same_form(log: Log) -> None:
    logs.configure("logfmt", NoonOf2030(), fd=log.write_fd)
    logging.getLogger("asyncio").error("task %s failed", 7, exc_info=ValueError("no"))
    logging.getLogger("asyncio").info("not worth a line")
    (line,) = log.lines()
    assert 'level=error event="task 7 failed" logger=asyncio exception="ValueError: no"' in line


def test_a_full_or_closed_log_stops_nobody(log: Log) -> None:
    full = os.open("/dev/full", os.O_WRONLY)
    logs.configure("logfmt", NoonOf2030(), fd=full)
    structlog.get_logger().info("lost")
    os.close(full)
    structlog.get_logger().info("lost")


@pytest.mark.parametrize("is_blocking", [True, False])
def test_a_reader_that_is_slow_is_waited_for_only_so_long(
    log: Log, monkeypatch: pytest.MonkeyPatch, is_blocking: bool
) -> None:
    monkeypatch.setattr(logs, "_PATIENCE_MS", 1)
    os.set_blocking(log.write_fd, is_blocking)
    logs.configure("logfmt", NoonOf2030(), fd=log.write_fd)
    for _ in range(1_100):
        structlog.get_logger().info("much", text="x" * 60)
    os.read(log.read_fd, 1 << 20)
    structlog.get_logger().info("again")
    assert log.lines()[-1].endswith("event=again")


def test_threads_that_write_at_the_same_time_write_one_after_the_other(log: Log) -> None:
    logs.configure("logfmt", NoonOf2030(), fd=log.write_fd)
    os.set_blocking(log.read_fd, True)
    count, faults, seen = 200, list[BaseException](), list[str]()

    def write(name: str) -> None:
        try:
            for _ in range(count):
                structlog.get_logger().info("much", text=name * 5_000)  # more than the pipe holds: all wait for it
        except RuntimeError as error:
            faults.append(error)

    def read() -> None:
        with os.fdopen(os.dup(log.read_fd)) as lines:
            seen.extend(line for line in lines if len(line) > 5_000)

    reading = threading.Thread(target=read, daemon=True)
    reading.start()
    writing = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in writing:
        thread.start()
    for thread in writing:
        thread.join()
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, log.write_fd)
    os.close(null)
    reading.join(5)
    assert not faults
    assert seen
    # One may be cut off where the reader is slow, and none has anything of another.
    assert all(len(set(line.partition("text=")[2].strip())) == 1 for line in seen)


def test_a_line_longer_than_a_pipe_takes_at_once_is_written_whole(log: Log) -> None:
    logs.configure("logfmt", NoonOf2030(), fd=log.write_fd)
    structlog.get_logger().info("long", text="x" * 20_000)
    (line,) = log.lines()
    assert line.endswith(20_000 * "x")


def test_what_happens_often_is_written_in_bundles_of_whole_lines(log: Log) -> None:
    async def deliver() -> None:
        for number in range(40):
            logs.mail_log.info("delivery", {"id": f"ID{number}", "reply": "250 2.0.0 " + 150 * "x"})

    # A pipe in packet mode: each read returns what one write brought.
    read_fd, write_fd = os.pipe2(os.O_DIRECT | os.O_NONBLOCK)
    logs.configure("logfmt", NoonOf2030(), fd=write_fd, switch=0)
    asyncio.run(deliver())
    os.close(write_fd)
    writes = []
    while written := os.read(read_fd, select.PIPE_BUF).decode():
        writes.append(written)
    os.close(read_fd)
    lines = "".join(writes).splitlines()
    assert [line.split(" id=")[1].split()[0] for line in lines] == [f"ID{number}" for number in range(40)]
    assert lines[0].startswith("time=2030-01-01T12:00:00.250Z level=info event=delivery switch=0 id=ID0 ")
    assert all(write.endswith("\n") for write in writes)


def test_what_happens_often_is_structlogs_as_long_as_nothing_is_configured() -> None:
    with structlog.testing.capture_logs() as events:
        logs.mail_log.info("delivery", {"id": "ID1"})
    assert events == [{"event": "delivery", "id": "ID1", "log_level": "info"}]


def test_a_line_that_was_cut_off_ends_before_the_next_begins(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "_PATIENCE_MS", 1)
    logs.configure("logfmt", NoonOf2030(), fd=log.write_fd)
    structlog.get_logger().info("cut", text="x" * 200_000)
    os.read(log.read_fd, 1 << 20)
    structlog.get_logger().info("whole")
    assert [line.rpartition("event=")[2] for line in log.lines()] == ["", "whole"]
