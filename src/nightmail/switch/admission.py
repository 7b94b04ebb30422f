"""Whether mail can be taken at the moment: the number of sessions, the room in the store, and the store itself."""

from __future__ import annotations

from collections import Counter

from nightmail.errors import StoreUnavailable, SwitchError
from nightmail.mail.reply import Reply
from nightmail.smtp.settings import SmtpSettings
from nightmail.store.protocol import StoreFull

NO_SPACE = Reply(452, "4.3.1", "Insufficient system storage")
STORE_AWAY = Reply(451, "4.3.0", "The mail store is not available; try again later")
CLOSING = Reply(421, "4.3.2", "Service is shutting down; try again")
_TOO_MANY = Reply(421, "4.3.2", "Too many sessions; try again later")
_TOO_MANY_OF_YOU = Reply(421, "4.7.0", "Too many sessions from your address")


def refusal(error: SwitchError) -> Reply:
    """What to answer a client whose message could not be kept."""
    return NO_SPACE if isinstance(error, StoreFull) else STORE_AWAY


class Admission:
    """Counts sessions and knows whether the store has room and answers.

    `fault` is the reply that refuses every message at the moment, or None. It is set by those who look at the store.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self.fault: Reply | None = None
        self.sessions = 0
        self._settings = settings
        self._by_client: Counter[str] = Counter()

    def enter(self, client: str) -> Reply | None:
        """Count a session in; a reply turns it away and it is not counted."""
        if self.sessions >= self._settings.session_limit:
            return _TOO_MANY
        if self._by_client[client] >= self._settings.client_session_limit:
            return _TOO_MANY_OF_YOU
        self.sessions += 1
        self._by_client[client] += 1
        return None

    def leave(self, client: str) -> None:
        """Count a session out."""
        self.sessions -= 1
        self._by_client[client] -= 1
        if not self._by_client[client]:
            del self._by_client[client]

    def note_space(self, free_bytes: int | None) -> None:
        """Take in how much room there is; too little puts mail off before the store is full."""
        wanted = self._settings.message_size_limit_bytes * self._settings.space_factor
        self.fault = NO_SPACE if free_bytes is not None and free_bytes < wanted else None

    def note_fault(self, error: StoreUnavailable) -> None:
        """Take in that the store could not even be asked."""
        self.fault = refusal(error)
