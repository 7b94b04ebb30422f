"""Everything that can go wrong, on one screen.

SwitchError
├── ProtocolViolation        by the remote or by us; carries the reply to send
├── DeliveryFailed
│   ├── TemporaryFailure     worth another attempt
│   └── PermanentFailure     never worth another attempt
├── Fenced                   the queue belongs to somebody else; never retried, never swallowed
├── Corrupt                  an object of the store is not what was written
├── StoreUnavailable         temporary
│   └── FormatUnknown        until this release is replaced by a newer one
├── DirectoryUnavailable     temporary; never "no such user"
│   └── NotKnownYet          until it has been looked up
└── ConfigInvalid            what a person has to mend, and how
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from nightmail.mail.reply import Reply


class SwitchError(Exception):
    """The root of every error that nightmail raises on purpose."""


class ProtocolViolation(SwitchError):
    """The dialogue left the protocol; `reply` says so to the remote, where there is one to send."""

    def __init__(self, message: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.reply = reply


class DeliveryFailed(SwitchError):
    """An attempt came to nothing.

    `reply` is what the remote said (or what we say in its place), for reports; `reason` is for the log.
    """

    def __init__(self, reply: Reply, reason: str = "") -> None:
        super().__init__(reason or reply.text)
        self.reply = reply
        self.reason = reason or reply.text


class TemporaryFailure(DeliveryFailed):
    """The attempt may be repeated later."""


class PermanentFailure(DeliveryFailed):
    """The attempt must not be repeated; the sender is told."""


class Fenced(SwitchError):
    """Another process owns the queue: stop at once and touch it no more (J9).

    `in_doubt`: what was being written may have been in the log, read by the new owner, and cut off again.
    """

    def __init__(self, message: str, *, in_doubt: bool = False) -> None:
        super().__init__(message)
        self.in_doubt = in_doubt


class Corrupt(SwitchError):
    """An object in the store can't be what was written; nothing of it is skipped in silence (J14)."""

    def __init__(self, key: str, offset: int, what: str) -> None:
        super().__init__(f"{key} at byte {offset}: {what}")
        self.key = key
        self.offset = offset
        self.what = what


class StoreUnavailable(SwitchError):
    """The store can't be reached or has no room; the same call may succeed later."""


class FormatUnknown(StoreUnavailable):
    """A newer release wrote this: it is whole, and not ours to judge. Nothing is skipped, and nobody adopts it here.

    It is out of reach for this release and not damaged: what can't be read of a damaged log is passed over (J14).
    """

    def __init__(self, key: str, version: int, known: int) -> None:
        super().__init__(
            f"{key} is written in format {version} by a newer release, this one reads format {known}: "
            "upgrade this server; until then the others run that queue"
        )


class DirectoryUnavailable(SwitchError):
    """The directory can't be reached; the same lookup may succeed later."""


class NotKnownYet(DirectoryUnavailable):
    """The answer depends on what the directory says of `keys`, not known here yet: look it up, and ask again."""

    def __init__(self, keys: Collection[str]) -> None:
        super().__init__("it has to be looked up first")
        self.keys = keys


class ConfigInvalid(SwitchError):
    """A person has to mend the configuration.

    `place` is a file with its line, or an entry; `wrong` says what is wrong there and `right` what would be right.
    """

    def __init__(self, place: str, wrong: str, right: str = "") -> None:
        super().__init__(f"{place}: {wrong}" + (f"; {right}" if right else ""))
        self.place = place
        self.wrong = wrong
        self.right = right

    def in_words(self) -> dict[str, str]:
        """Its three parts by their names, for a line of the log."""
        return {"place": self.place, "wrong": self.wrong, "right": self.right}
