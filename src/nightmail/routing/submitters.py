"""Who signs in to submit mail, and as whom they may send. Where users are kept is no matter here."""

from __future__ import annotations

from typing import Protocol

import msgspec


class SignedIn(msgspec.Struct, frozen=True):
    """The password is that of `user`, as the source names its users; `addresses` are the user's own."""

    user: str
    addresses: tuple[str, ...]


class Refused(msgspec.Struct, frozen=True):
    """Nobody has this name and this password. `reason` is for the log; whoever asks is not told which of them it is."""

    reason: str


class SignIn(Protocol):
    """Where users are known."""

    async def verify(self, name: str, password: str) -> SignedIn | Refused:
        """Whose name and password these are.

        Raises:
            DirectoryUnavailable: it can't be found out now. That is temporary (454 4.7.0, RFC 4954 §6), and no refusal.
        """
        ...
