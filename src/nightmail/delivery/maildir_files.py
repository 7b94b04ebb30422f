"""One message into one Maildir, durably and at most once: the blocking half, for threads.

A Maildir has no lock and needs none: a file is written in `tmp`, synced, and linked into `new` under a name that
derives from the message and the recipient. Whoever repeats a delivery finds that name in `new`, or in `cur` with the
flags a reader has added since, and leaves it at that. `finishing` is marked just before the link (J6, J8). What fails
from there on, other than by a plain refusal, is ambiguous: the file may be there, and a reader may move it, so a
repetition has to look for it.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from nightmail.delivery.discard import RIGHT_LAPSED
from nightmail.delivery.job import Job, Outcome, OutcomeKind
from nightmail.mail.envelope import Envelope
from nightmail.mail.reply import Reply

_PIECE_BYTES = 256 * 1024
_KNOWN_MAX = 10_000
_DELIVERED = Reply(250, "2.0.0", "delivered to the Maildir")
_PRESENT = Reply(250, "2.0.0", "delivered to the Maildir before")
_REFUSED = {
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.EMLINK,
}
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def file_name(message_id: str, address: str) -> str:
    """The name of the message's file in the Maildir of `address`, the same at every attempt."""
    return f"{message_id}.{hashlib.blake2b(address.encode(), digest_size=8).hexdigest()}"


def lead_lines(envelope: Envelope, index: int) -> bytes:
    """The header lines that final delivery puts on top (RFC 5321 §4.4)."""
    recipient = envelope.recipients[index]
    lines = f"Return-Path: <{envelope.sender}>\n"
    if recipient.orig_to:
        lines += f"X-Original-To: {recipient.orig_to}\n"
    return f"{lines}Delivered-To: {recipient.address}\n".encode()


class LineEnds:
    """Turns CRLF into the LF that Maildirs keep, whatever the pieces in which the message comes."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, piece: bytes | memoryview) -> bytes:
        """The piece converted; a CR at its very end waits for what follows."""
        joined = self._held + bytes(piece)
        self._held = b"\r" if joined.endswith(b"\r") else b""
        return joined[: len(joined) - len(self._held)].replace(b"\r\n", b"\n")

    def end(self) -> bytes:
        """What was still waiting."""
        held, self._held = self._held, b""
        return held


class Deposit:
    """One message on its way into one Maildir.

    Its content is all in memory, or was written by `spool` before, piece by piece. `outcome` is set in the end.
    """

    def __init__(self, job: Job, index: int, root: str, path: str, tag: str) -> None:
        self.job = job
        self.index = index
        self.root = root
        self.path = path
        self.name = file_name(job.id, job.envelope.recipients[index].address)
        self.content: memoryview | None = job.body.in_memory
        self.outcome: Outcome | None = None
        self._ends = LineEnds()
        self._tmp = os.path.join(path, "tmp", f"{self.name}.{tag}")
        self._fd = -1
        self._linked = False
        self._may_be_linked = False

    @property
    def is_open(self) -> bool:
        """Whether nothing has been decided yet."""
        return self.outcome is None

    def settle(self, kind: OutcomeKind, reply: Reply) -> None:
        """Decide, once and for all."""
        self.outcome = Outcome(self.index, kind, reply, False, "maildir")

    def fail(self, error: Exception) -> None:
        """Decide that it came to nothing for now, or that nobody knows what it came to (J8)."""
        self.settle("ambiguous" if self._linked or self._may_be_linked else "deferred", failure_reply(error, self.root))

    def spool(self, piece: bytes | memoryview, folders: Folders) -> None:
        """Write one more piece of the message into `tmp`. Raises: OSError."""
        if self._fd < 0:
            folders.prepare(self.root, self.path)
            self._fd = os.open(self._tmp, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            piece = b"".join((lead_lines(self.job.envelope, self.index), self._ends.feed(piece)))
        else:
            piece = self._ends.feed(piece)
        _write_all(self._fd, piece)

    def sync(self) -> None:
        """Make what was written durable. Raises: OSError."""
        _write_all(self._fd, self._ends.end())
        os.fsync(self._fd)

    def link(self) -> None:
        """Make it visible, if that may be and has not been done before. Raises: OSError."""
        if self.job.repeated and self._is_present():
            self._linked = True
            self.settle("delivered", _PRESENT)
        elif not self.job.may_finish():
            self.settle("deferred", RIGHT_LAPSED)
        else:
            self.job.finishing()
            try:
                is_new = self._link()
            except OSError as error:
                self._may_be_linked = error.errno not in _REFUSED
                raise
            self.settle("delivered", _DELIVERED if is_new else _PRESENT)
            self._linked = True

    def _link(self) -> bool:
        """Link or, where there are no links, rename; False: it was there already."""
        target = f"{self.path}/new/{self.name}"
        try:
            os.link(self._tmp, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS or os.path.exists(target):
                raise
            os.rename(self._tmp, target)
        return True

    def _is_present(self) -> bool:
        """Whether an earlier attempt got through. Files move from `new` to `cur` only, so this order misses none."""
        if os.path.exists(f"{self.path}/new/{self.name}"):
            return True
        flagged = f"{self.name}:"
        with os.scandir(f"{self.path}/cur") as entries:
            return any(entry.name == self.name or entry.name.startswith(flagged) for entry in entries)

    @property
    def awaits_sync(self) -> str:
        """The directory whose entry for this message is not yet known to be durable, or empty."""
        return f"{self.path}/new" if self._linked else ""

    def clear(self) -> None:
        """Let go of the temporary file."""
        if self._fd >= 0:
            with suppress(OSError):  # it is synced, or given up
                os.close(self._fd)
            self._fd = -1
            with suppress(OSError):  # Maildir readers clear `tmp` of what was left there
                os.unlink(self._tmp)


_PARTS = ("tmp", "cur", "new")


class Folders:
    """Makes the directories that a Maildir needs, durably, below a root that must be there."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, None] = OrderedDict()

    def prepare(self, root: str, path: str) -> None:
        """See to it that `path` is a Maildir whose way from `root` is durable.

        That others made it says nothing about durability, so each is synced once by each process.

        Raises:
            OSError: FileNotFoundError where the root is missing.
        """
        if not os.path.isdir(root):
            raise FileNotFoundError(errno.ENOENT, "the root of the Maildirs is missing", root)
        if path in self._known and all(os.path.isdir(f"{path}/{part}") for part in _PARTS):
            return
        way = _way(root, path)
        for directory in (*reversed(way[:-1]), *(os.path.join(path, part) for part in _PARTS)):
            with suppress(FileExistsError):
                os.mkdir(directory, mode=0o700)
        for directory in way:
            sync_directory(directory)
        self._known[path] = None
        if len(self._known) > _KNOWN_MAX:
            with suppress(KeyError):  # another thread was as quick
                self._known.popitem(last=False)


def _way(root: str, path: str) -> list[str]:
    """The directories from `path` up to and including `root`."""
    way = [path]
    while way[-1] != root and len(way[-1]) > len(root):
        way.append(os.path.dirname(way[-1]))
    return way


def sync_directory(path: str) -> None:
    """Make the directory's entries durable. Raises: OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def spool(deposits: Sequence[Deposit], piece: bytes | memoryview, folders: Folders) -> None:
    """Write the next piece of a message into all the files that are to have it."""
    _each(deposits, lambda deposit: deposit.spool(piece, folders))


def store(deposits: Sequence[Deposit], folders: Folders) -> None:
    """Bring all of them into their Maildirs; each one that is still open gets its outcome."""
    _each(deposits, lambda deposit: _write(deposit, folders))
    _each(deposits, Deposit.link)
    _sync_directories(deposits)
    for deposit in deposits:
        deposit.clear()


def _write(deposit: Deposit, folders: Folders) -> None:
    if deposit.content is not None:
        content = deposit.content
        for offset in range(0, max(len(content), 1), _PIECE_BYTES):
            deposit.spool(content[offset : offset + _PIECE_BYTES], folders)
    deposit.sync()


def _each(deposits: Iterable[Deposit], step: Callable[[Deposit], None]) -> None:
    """Take the step with every open deposit; what fails for one is its own failure."""
    for deposit in deposits:
        if deposit.is_open:
            try:
                step(deposit)
            except Exception as error:  # noqa: BLE001  an unknown failure of a delivery is temporary
                deposit.fail(error)


def _sync_directories(deposits: Sequence[Deposit]) -> None:
    """Make the new entries durable, each directory once; what can't be made durable is not known to be delivered."""
    for directory in {deposit.awaits_sync for deposit in deposits} - {""}:
        try:
            sync_directory(directory)
        except OSError as error:
            for deposit in deposits:
                if deposit.awaits_sync == directory:
                    deposit.fail(error)


def failure_reply(error: Exception, root: str) -> Reply:
    """The temporary failure that stands for `error` (RFC 3463 §3.3, §3.4)."""
    if not isinstance(error, OSError):
        return Reply(451, "4.3.0", str(error) or type(error).__name__)
    if error.errno == errno.EDQUOT:
        return Reply(452, "4.2.2", "the mailbox is over its quota")
    if error.errno == errno.ENOSPC:
        return Reply(452, "4.3.1", "the file system of the Maildir is full")
    if isinstance(error, FileNotFoundError) and error.filename == root:
        return Reply(451, "4.3.0", f"Maildir root missing: {root}")
    where = f" {error.filename}:" if isinstance(error.filename, str) else f" {root}:"
    return Reply(451, "4.3.0", f"Maildir{where} {(error.strerror or str(error)).lower()}")


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
