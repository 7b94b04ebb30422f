"""The message that is being received, whether DATA or BDAT brings it."""

from __future__ import annotations

from enum import Enum

from nightmail.smtp.body import BodyReader, ChunkReader, DotReader
from nightmail.smtp.intake import Intake
from nightmail.smtp.settings import SmtpSettings


class End(Enum):
    """What has come to its end."""

    MESSAGE = "the message"
    CHUNK = "a chunk; more will follow"
    PASSED_OVER = "a chunk that nobody wanted"


class Incoming:
    """Tells a message from the commands around it.

    Between `begin_text`, `begin_chunk` or `pass_over` and the End that `read` tells, `is_reading` holds: the client's
    bytes are no commands.
    """

    def __init__(self, settings: SmtpSettings, *, bare_newlines_allowed: bool) -> None:
        self._settings = settings
        self._bare_newlines_allowed = bare_newlines_allowed
        self._reader: DotReader | ChunkReader | None = None
        self._left = 0
        self._is_last = False
        self.is_reading = False

    @property
    def message(self) -> BodyReader:
        """The rules and facts of the message whose End was told."""
        if self._reader is None:
            raise RuntimeError("no message was begun")
        return self._reader

    def begin_text(self) -> None:
        """Lines up to a lone dot follow."""
        self._reader = DotReader(self._settings, bare_newlines_allowed=self._bare_newlines_allowed)
        self.is_reading = True

    def begin_chunk(self, size_bytes: int, *, is_last: bool) -> None:
        """So many octets follow, of a new message or of the one whose last End was a chunk."""
        if self._reader is None:
            self._reader = ChunkReader(self._settings, bare_newlines_allowed=self._bare_newlines_allowed)
        self._left, self._is_last = size_bytes, is_last
        self.is_reading = True

    def pass_over(self, size_bytes: int) -> None:
        """So many octets follow that belong to a refused BDAT (RFC 3030 §2)."""
        self._reader = None
        self._left = size_bytes
        self.is_reading = True

    def forget(self) -> None:
        """Nothing of the message is wanted any more."""
        self._reader = None
        self.is_reading = False

    def read(self, intake: Intake) -> tuple[bytes, End | None]:
        """What `intake` adds to the message, and what has ended with it: None means that more has to come."""
        if isinstance(self._reader, DotReader):
            return self._read_text(self._reader, intake)
        data = intake.take(self._left)
        self._left -= len(data)
        piece = self._reader.feed(data) if self._reader is not None else b""
        if self._left:
            return piece, None
        self.is_reading = False
        if self._reader is None:
            return piece, End.PASSED_OVER
        if self._is_last:
            return piece + self._reader.finish(), End.MESSAGE
        return piece, End.CHUNK

    def _read_text(self, text: DotReader, intake: Intake) -> tuple[bytes, End | None]:
        if not intake:
            return b"", None
        piece = text.feed(intake.take())
        if text.rest is None:
            return piece, None
        intake.add(text.rest)
        self.is_reading = False
        return piece, End.MESSAGE
