"""Structured logs on standard error: each event is one line, written by one call, in logfmt or as JSON.

A log that can't be written never stops the mail: what standard error refuses is dropped.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import select
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Literal

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from nightmail.world import Clock

LogFormat = Literal["logfmt", "json"]

_STANDARD_ERROR = 2
_PATIENCE_MS = 20
_LEVELS = frozenset(("debug", "info", "warning", "error", "critical", "exception", "msg"))
_REMEMBERED_TEXTS = 4096
_REMEMBERED_CHARACTERS = 100
_PLAIN = re.compile(r'[^\s"=\x00-\x1f\x7f-\x9f\u2028\u2029]+').fullmatch
_TO_ESCAPE = re.compile(r'["\\\x00-\x1f\x7f-\x9f\u2028\u2029]').search
_ESCAPES = {ord('"'): '\\"', ord("\\"): "\\\\", ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t"} | {
    code: f"\\u{code:04x}" for code in (*range(9), 11, 12, *range(14, 32), *range(127, 160), 0x2028, 0x2029)
}
_json = msgspec.json.Encoder(enc_hook=str)


def configure(log_format: LogFormat, clock: Clock, *, fd: int = _STANDARD_ERROR, **always: object) -> None:
    """Send every event of structlog and of the standard library's logging to `fd`, with `always` on each line."""
    stamp = _Stamp(clock, always)
    render = _render_json if log_format == "json" else render_logfmt
    lines = _Lines(fd)
    mail_log.configure(_compose_json(stamp) if log_format == "json" else _compose_logfmt(stamp, always), lines)
    structlog.configure(
        processors=[stamp, _expand_exception, _as_line(render)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: lines,
        cache_logger_on_first_use=True,
    )
    root = logging.getLogger()
    root.handlers = [_FromStandardLibrary()]
    root.setLevel(logging.WARNING)


def render_logfmt(event: EventDict) -> str:
    """`key=value` for each fact; a value is quoted where it would otherwise not be one word."""
    return " ".join([f"{key}={_text(value)}" for key, value in event.items()])


def _text(value: object) -> str:
    """As `_logfmt_value`: most texts are ids, or the same as last time."""
    if type(value) is not str:
        return _logfmt_value(value)
    if value.isalnum():
        return value
    text = _texts.get(value)
    if text is None:
        text = _logfmt_value(value)
        if len(value) <= _REMEMBERED_CHARACTERS:
            if len(_texts) >= _REMEMBERED_TEXTS:
                _texts.clear()
            _texts[value] = text
    return text


_texts: dict[str, str] = {}


def _logfmt_value(value: object) -> str:
    kind = type(value)
    if kind is float:
        text = f"{value:.3f}"
    elif kind is bool:
        return "true" if value else "false"
    else:
        text = "" if value is None else str(value)
    if kind is int or value is None or _PLAIN(text):
        return text
    return f'"{text.translate(_ESCAPES) if _TO_ESCAPE(text) else text}"'


def _render_json(event: EventDict) -> str:
    try:
        return _json.encode(event).decode()
    except (TypeError, ValueError, OverflowError):
        # Lone surrogates and huge numbers, say: slower, and takes everything.
        return json.dumps(event, default=str)


def _as_line(render: Callable[[EventDict], str]) -> structlog.typing.Processor:
    def process(_: WrappedLogger, __: str, event: EventDict) -> bytes:
        return f"{render(event)}\n".encode("utf-8", "backslashreplace")

    return process


class _Stamp:
    """Puts the time, the level and the event's name first, as a reader expects them."""

    def __init__(self, clock: Clock, always: dict[str, object]) -> None:
        self._clock = clock
        self._always = always
        self._second = -1
        self._to_the_second = ""
        self._millisecond = -1
        self._text = ""

    def __call__(self, _: WrappedLogger, level: str, event: EventDict) -> EventDict:
        name = event.pop("event", "")
        return {"time": self.now(), "level": level, "event": name, **self._always, **event}

    def now(self) -> str:
        """The time (RFC 3339, UTC, milliseconds)."""
        millisecond = int(self._clock.wall() * 1_000)
        if millisecond != self._millisecond:
            self._millisecond = millisecond
            second, fraction = divmod(millisecond, 1_000)
            if second != self._second:
                self._second = second
                self._to_the_second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
            self._text = f"{self._to_the_second}.{fraction:03d}Z"
        return self._text


Compose = Callable[[str, EventDict], str]


def _compose_logfmt(stamp: _Stamp, always: dict[str, object]) -> Compose:
    fixed = "".join(f" {key}={_logfmt_value(value)}" for key, value in always.items())
    return lambda event, facts: f"time={stamp.now()} level=info event={event}{fixed} {render_logfmt(facts)}\n"


def _compose_json(stamp: _Stamp) -> Compose:
    return lambda event, facts: f"{_render_json(stamp(None, 'info', {'event': event, **facts}))}\n"


def _expand_exception(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    fault = event.pop("exc_info", None)
    if not fault:
        return event
    if isinstance(fault, tuple):
        fault = fault[1]
    elif not isinstance(fault, BaseException):
        fault = sys.exception()
    if fault is not None:
        event["exception"] = "".join(traceback.format_exception(fault)).rstrip()
    return event


class _Lines:
    """The sink: writes a line with one call, so that lines of several processes never mix.

    Threads write one after the other. Standard error is a file description shared with others and so stays blocking:
    whether it takes PIPE_BUF bytes is asked before each write. Who reads it and stalls is waited for briefly once, and
    not at all until it reads again.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)
        self._has_stalled = False
        self._is_cut = False
        self._one_at_a_time = threading.RLock()  # a line may come of an object that is freed meanwhile

    def write(self, line: bytes) -> None:
        """Write a line, or a bundle of lines."""
        with self._one_at_a_time:
            self._write(line)

    def _write(self, line: bytes) -> None:
        if self._is_cut:
            line = b"\n" + line
        begun = False
        try:
            while line:
                self._has_stalled = not self._poll.poll(0 if self._has_stalled else _PATIENCE_MS)
                if self._has_stalled:
                    self._is_cut = self._is_cut or begun
                    return
                line = line[os.write(self._fd, line[: select.PIPE_BUF]) :]
                begun, self._is_cut = True, False
        except OSError:
            return

    def __getattr__(self, level: str) -> Callable[[bytes], None]:
        """What structlog calls by the name of an event's level; all levels are written alike."""
        if level not in _LEVELS:
            raise AttributeError(level)
        return self.write


class MailLog:
    """The same lines, for what happens by the thousand in a second: a bundle of them is written by one call.

    Those of one turn of the event loop go together, in writes that a pipe takes whole (PIPE_BUF), so that lines of
    several processes never mix.
    """

    def __init__(self) -> None:
        self._compose: Compose | None = None
        self._lines: _Lines | None = None
        self._bundle: list[bytes] = []
        self._bundle_bytes = 0

    def configure(self, compose: Compose, lines: _Lines) -> None:
        """Write to `lines` what `compose` makes of events."""
        self._compose, self._lines = compose, lines

    def info(self, event: str, facts: EventDict) -> None:
        """Write an event down; unconfigured, as structlog does."""
        if self._compose is None:
            structlog.get_logger().info(event, **facts)
            return
        line = self._compose(event, facts).encode("utf-8", "backslashreplace")
        if self._bundle_bytes + len(line) > select.PIPE_BUF:
            self.flush()
        if not self._bundle:
            asyncio.get_running_loop().call_soon(self.flush)
        self._bundle.append(line)
        self._bundle_bytes += len(line)

    def flush(self) -> None:
        """Write what was gathered."""
        bundle, self._bundle, self._bundle_bytes = self._bundle, [], 0
        if bundle and self._lines is not None:
            self._lines.write(b"".join(bundle))


mail_log = MailLog()


class _FromStandardLibrary(logging.Handler):
    """Brings what libraries log by the standard library's logging into the same form."""

    def emit(self, record: logging.LogRecord) -> None:
        logger: FilteringBoundLogger = structlog.get_logger()
        logger.log(record.levelno, record.getMessage(), logger=record.name, exc_info=record.exc_info)
