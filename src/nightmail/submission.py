"""The drop directory: where local programs leave mail, whether or not a switch runs.

`nightmail sendmail` stores a message as one file; a running switch picks it up, accepts it into its journal, and
removes it. A drop file is complete under its final name, which nobody can guess: the directory (mode 1730) lets its
group create files and list none. Whoever may create files is a stranger to the switch: nothing in a file is believed
before it was checked, and what fails the checks is put aside for a person to look at.

A file is one line of fixed length (format, length of the header, length of the body), the header as JSON, and the
message with its lines ended by CRLF.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator, Set
from heapq import nsmallest
from typing import Annotated, Literal

import msgspec

from nightmail.errors import ConfigInvalid, ProtocolViolation, StoreUnavailable, SwitchError
from nightmail.mail.envelope import Recipient
from nightmail.mail.reply import Reply
from nightmail.smtp.paths import mailbox, split_path
from nightmail.world import Clock, Randomness

HEADER_MAX_BYTES = 4 * 1024 * 1024
RECIPIENTS_MAX = 10_000
REFUSED = "refused"
_CHUNK_BYTES = 256 * 1024
_STALE_S = 36 * 3600

_PREFIX = b"nightmail-drop 1 %010d %020d\n"
_PREFIX_BYTES = len(_PREFIX % (0, 0))
_read_prefix = re.compile(rb"nightmail-drop 1 (\d{10}) (\d{20})\n").fullmatch
_is_name = re.compile(r"[0-9a-f]{14}-[0-9a-f]{32}").fullmatch
# Strict enough that no address or parameter can carry a second command to the next hop (RFC 5321 §4.1.2); nor is a
# source route an address.
_is_one_word = re.compile(r"(?!@)[^\s<>\x00-\x20\x7f-\xa0\u2028\u2029]{1,320}").fullmatch
_is_parameter = re.compile(r"[!-~]{0,500}").fullmatch
_NO_ADDRESS = Reply(553, "5.1.3", "Not an address")

# What open() answers where something else was put in a drop file's place.
_NO_DROP_FILE = frozenset({errno.EACCES, errno.ELOOP, errno.ENODEV, errno.ENXIO, errno.EPERM})


class DropUnavailable(StoreUnavailable):
    """The message could not be stored: the program that has it must keep it and may try again."""


class DropRefused(SwitchError):
    """A drop file is not what `nightmail sendmail` writes; it will never be picked up."""


class Submission(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The envelope of a local message, its recipients as they were given, before aliases."""

    sender: str
    recipients: Annotated[tuple[Recipient, ...], msgspec.Meta(min_length=1, max_length=RECIPIENTS_MAX)]
    ret: Literal["", "FULL", "HDRS"] = ""
    envid: str = ""


class DropFile:
    """One drop file, open: its envelope is checked, its message is checked while it is read."""

    def __init__(self, fd: int, name: str, size_limit_bytes: int) -> None:
        """Take over `fd`.

        Raises:
            DropRefused: its beginning is not that of a drop file, or its message is too large.
        """
        self._fd = fd
        self.name = name
        facts = os.fstat(fd)
        if not stat.S_ISREG(facts.st_mode) or facts.st_nlink != 1:
            raise DropRefused("not a plain file with one name")
        self.owner_uid = facts.st_uid
        self.submission, self.body_offset, self.size_bytes = _read_head(fd, facts.st_size)
        if self.size_bytes > size_limit_bytes:
            raise DropRefused(f"a message of {self.size_bytes} bytes; {size_limit_bytes} are the most")

    @property
    def owner(self) -> str:
        """Who left it there, by name where the system knows one."""
        with contextlib.suppress(KeyError):
            return pwd.getpwuid(self.owner_uid).pw_name
        return f"uid {self.owner_uid}"

    def chunks(self) -> Iterator[bytes]:
        """The message, piece by piece; no piece ends between CR and LF.

        Raises:
            DropRefused: it has a bare CR or LF, no end of line at its end, or changed while it was read.
        """
        offset, end, carried = self.body_offset, self.body_offset + self.size_bytes, b""
        while offset < end:
            piece = os.pread(self._fd, min(_CHUNK_BYTES, end - offset), offset)
            if not piece:
                raise DropRefused("it became shorter while it was read")
            offset += len(piece)
            piece = carried + piece
            carried = piece[-1:] if piece.endswith(b"\r") else b""
            whole = piece[:-1] if carried else piece
            if not whole.count(b"\n") == whole.count(b"\r") == whole.count(b"\r\n"):
                raise DropRefused("a line does not end in CRLF")
            if offset == end and (carried or not whole.endswith(b"\n")):
                raise DropRefused("the last line does not end in CRLF")
            yield whole

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._fd)

    def __enter__(self) -> DropFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class DropDirectory:
    """The directory at `path`, for those who store and for the switch that picks up.

    A message over `size_limit_bytes` is refused.
    """

    def __init__(self, path: str, size_limit_bytes: int = 1 << 62) -> None:
        self.path = path
        self._size_limit_bytes = size_limit_bytes
        self._stuck: set[str] = set()

    def prepare(self, uid: int, gid: int) -> None:
        """Create it for the switch's user and the group of those who may submit.

        Root does this where that user may have put links since: what is given away is never at a link's other end.

        Raises:
            ConfigInvalid: a link is in the place of a directory.
            OSError: it can't be done.
        """
        os.makedirs(self.path, exist_ok=True)
        fd = _open_itself(self.path)
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(REFUSED, 0o700, dir_fd=fd)
            refused_fd = _open_itself(REFUSED, dir_fd=fd)
            try:
                _give(refused_fd, uid, gid, 0o700)
            finally:
                os.close(refused_fd)
            _give(fd, uid, gid, 0o1730)
        finally:
            os.close(fd)

    def store(self, submission: Submission, body: Iterable[bytes], clock: Clock, randomness: Randomness) -> str:
        """Keep a message; once this returns it survives a loss of power. `body` is in CRLF form.

        Raises:
            DropUnavailable: it was not stored.
        """
        name = f"{int(clock.wall() * 1_000_000):014x}-{randomness.token(16).hex()}"
        temporary, final = os.path.join(self.path, f".{name}"), os.path.join(self.path, name)
        try:
            fd = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DropUnavailable(f"{self.path}: {_reason(error)}") from error
        try:
            _write_all(fd, submission, body)
            # The switch is another user and must be able to read; nobody else can guess the name.
            os.fchmod(fd, 0o644)
            os.fsync(fd)
            os.rename(temporary, final)
            self._make_name_durable(fd)
        except BaseException as error:
            for path in (temporary, final):
                with contextlib.suppress(OSError):
                    os.unlink(path)
            if isinstance(error, OSError):
                raise DropUnavailable(f"{self.path}: {_reason(error)}") from error
            raise
        finally:
            os.close(fd)
        return name

    def waiting(self, limit: int = 1_000, *, besides: Set[str] = frozenset()) -> list[str]:
        """The names of at most `limit` complete files, oldest first, those in `besides` left out. Raises: OSError."""
        names = {name for name in os.listdir(self.path) if not name.startswith(".") and name != REFUSED}
        self._stuck &= names
        return nsmallest(limit, names - self._stuck - besides)

    def open(self, name: str) -> DropFile:
        """The file of that name, for reading.

        Raises:
            FileNotFoundError: it is gone.
            DropRefused: it is not a drop file; `put_aside` is what to do with it.
        """
        if not _is_name(name):
            raise DropRefused("not a name that sendmail gives")
        try:
            # O_NONBLOCK: opening a FIFO that somebody put there must not wait for its other end.
            fd = os.open(
                os.path.join(self.path, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            )
        except FileNotFoundError:
            raise
        except OSError as error:
            if error.errno not in _NO_DROP_FILE:  # out of descriptors, say: no fault of the file's
                raise
            raise DropRefused(_reason(error)) from error
        try:
            return DropFile(fd, name, self._size_limit_bytes)
        except BaseException:
            os.close(fd)
            raise

    def remove(self, name: str) -> None:
        """Make sure, durably, that there is no such file. Raises: OSError."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.path, name))
        self._sync()

    def put_aside(self, name: str) -> bool:
        """Move a file that was refused to where a person may look at it; False: it stays and is passed over."""
        try:
            os.rename(os.path.join(self.path, name), os.path.join(self.path, REFUSED, name))
        except OSError:
            self._stuck.add(name)
            return False
        return True

    def remove_stale(self, clock: Clock) -> int:
        """Delete unfinished files that no program can still be writing; how many there were. Raises: OSError."""
        removed = 0
        for name in os.listdir(self.path):
            path = os.path.join(self.path, name)
            with contextlib.suppress(OSError):
                if name.startswith(".") and os.lstat(path).st_mtime < clock.wall() - _STALE_S:
                    os.unlink(path)
                    removed += 1
        return removed

    def _make_name_durable(self, fd: int) -> None:
        try:
            self._sync()
        except PermissionError:
            # Members of the group may not open the directory. The file's own fsync carries its new name along on
            # every file system with a journal; it is what a submitter can do.
            os.fsync(fd)

    def _sync(self) -> None:
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _open_itself(path: str, dir_fd: int | None = None) -> int:
    """A descriptor of the directory, never of one that a link there leads to. Raises: ConfigInvalid, OSError."""
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    except NotADirectoryError:
        raise ConfigInvalid(
            path, "is no directory but a link or a file", "find out who made it and remove it"
        ) from None


def _give(fd: int, uid: int, gid: int, mode: int) -> None:
    os.fchown(fd, uid, gid)
    os.fchmod(fd, mode)


def _write_all(fd: int, submission: Submission, body: Iterable[bytes]) -> None:
    header = msgspec.json.encode(submission)
    # The file is a file only once its first line tells its true lengths.
    _write(fd, bytes(_PREFIX_BYTES) + header)
    size_bytes = 0
    for chunk in body:
        _write(fd, chunk)
        size_bytes += len(chunk)
    os.pwrite(fd, _PREFIX % (len(header), size_bytes), 0)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def _read_head(fd: int, file_bytes: int) -> tuple[Submission, int, int]:
    prefix = _read_prefix(os.pread(fd, _PREFIX_BYTES, 0))
    if prefix is None:
        raise DropRefused("it does not begin like a drop file")
    header_bytes, body_bytes = int(prefix[1]), int(prefix[2])
    if header_bytes > HEADER_MAX_BYTES or _PREFIX_BYTES + header_bytes + body_bytes != file_bytes:
        raise DropRefused("its lengths are not those it names")
    try:
        submission = msgspec.json.decode(os.pread(fd, header_bytes, _PREFIX_BYTES), type=Submission)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DropRefused(f"its header: {error}") from error
    check(submission)
    return submission, _PREFIX_BYTES + header_bytes, body_bytes


def check(submission: Submission) -> None:
    """Refuse an envelope that could not have come over SMTP.

    Raises:
        DropRefused: an address or a parameter is malformed.
    """
    if submission.sender:
        _check_address(submission.sender)
    if not _is_parameter(submission.envid):
        raise DropRefused("its ENVID is malformed")
    for recipient in submission.recipients:
        _check_address(recipient.address)
        if not _is_parameter(recipient.orcpt) or not 0 <= recipient.notify <= 15 or recipient.orig_to:
            raise DropRefused("a recipient's parameters are malformed")


def _check_address(address: str) -> None:
    """As strict as MAIL and RCPT: what passes here has a domain that can be folded and sent on."""
    try:
        if _is_one_word(address):
            local, domain, _ = split_path(f"<{address}>", _NO_ADDRESS)
            mailbox(local, domain, smtputf8=True, refusal=_NO_ADDRESS)
            return
    except (ProtocolViolation, UnicodeEncodeError):
        pass
    raise DropRefused(f"{address[:320]!r} is no address")


def _reason(error: OSError) -> str:
    return os.strerror(error.errno or 0)
