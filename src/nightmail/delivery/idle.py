"""Sessions that wait for the next message, by destination."""

from __future__ import annotations

from nightmail.delivery.session import Session


class IdleSessions:
    """Gives back the session that was used last, so that those which are not needed grow old and part."""

    def __init__(self) -> None:
        self._by_destination: dict[str, list[Session]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def all(self) -> list[Session]:
        """All of them."""
        return [session for sessions in self._by_destination.values() for session in sessions]

    def put(self, session: Session) -> None:
        """Keep it."""
        self._by_destination.setdefault(session.destination, []).append(session)
        self._count += 1

    def take(self, destination: str) -> Session | None:
        """One that is ready, or None. It is no longer kept."""
        sessions = self._by_destination.get(destination)
        while sessions:
            session = sessions.pop()
            self._count -= 1
            if not sessions:
                del self._by_destination[destination]
            if session.is_ready:
                return session
        return None

    def forget(self, session: Session) -> None:
        """Keep it no more."""
        sessions = self._by_destination.get(session.destination)
        if sessions is None or session not in sessions:
            return
        sessions.remove(session)
        self._count -= 1
        if not sessions:
            del self._by_destination[session.destination]
