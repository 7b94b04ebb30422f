"""Asks the server that runs here, over its operator socket."""

from __future__ import annotations

import http.client
import os
import socket
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from nightmail.admin.answers import ActionDone, QueuePage, ServerPicture
from nightmail.admin.socket import connect_admin_socket
from nightmail.cli.failing import CommandFailed
from nightmail.net.control_messages import Action, Listing, MessageRow, Selection, Shown

_TIMEOUT_S = 60.0
_PAGE = 1_000
_EXIT_CODES = {400: os.EX_USAGE, 404: os.EX_NOINPUT, 422: os.EX_CONFIG, 503: os.EX_TEMPFAIL}

_T = TypeVar("_T")


class _Connection(http.client.HTTPConnection):
    def __init__(self, run_directory: str) -> None:
        super().__init__("nightmail", timeout=_TIMEOUT_S)
        self._run_directory = run_directory

    def connect(self) -> None:
        self.sock: socket.socket = connect_admin_socket(self._run_directory, _TIMEOUT_S)


class Client:
    """The server whose run directory this is.

    Every call raises CommandFailed with EX_UNAVAILABLE where none runs, EX_NOPERM where we may not ask it.
    """

    def __init__(self, run_directory: str) -> None:
        self._run_directory = run_directory

    def status(self) -> ServerPicture:
        """The server on one screen."""
        return self._ask("GET", "/status", None, ServerPicture)

    def queue_list(self, listing: Listing) -> QueuePage:
        """One page of queued messages."""
        return self._ask("POST", "/queue/list", listing, QueuePage)

    def queue_collect(self, selection: Selection, limit: int = 0) -> QueuePage:
        """The first `limit` of the queued messages that are meant, page by page; 0: all of them."""
        messages: list[MessageRow] = []
        while True:
            wanted = min(_PAGE, limit - len(messages)) if limit else _PAGE
            after = messages[-1].id if messages else ""
            page = self.queue_list(Listing(selection=selection, limit=wanted, after=after))
            messages += page.messages
            if not page.more or not page.messages or (limit and len(messages) >= limit):
                return msgspec.structs.replace(page, messages=tuple(messages))

    def queue_count(self, selection: Selection) -> ActionDone:
        """How many messages are meant."""
        return self._ask("POST", "/queue/count", selection, ActionDone)

    def queue_show(self, message_id: str) -> Shown:
        """All about one message; EX_NOINPUT where there is none of that id."""
        return self._ask("GET", f"/queue/show/{quote(message_id, safe='')}", None, Shown)

    def queue_act(self, action: Action, selection: Selection) -> ActionDone:
        """Do something to the messages that are meant."""
        return self._ask("POST", f"/queue/{action}", selection, ActionDone)

    def hand_over(self, queue: str) -> None:
        """Have a queue given up that was adopted; EX_NOINPUT where it is not run here."""
        self._ask("POST", f"/queue/handover/{quote(queue, safe='')}", None, dict[str, str])

    def reload(self) -> None:
        """Put the tables in force; EX_CONFIG where they are wrong."""
        self._ask("POST", "/reload", None, dict[str, str])

    def promote(self, *, is_forced: bool) -> None:
        """Have this server take writes to the directory; EX_CONFIG where it can't, EX_TEMPFAIL where it does not."""
        self._ask("POST", "/directory/promote?force" if is_forced else "/directory/promote", None, dict[str, str])

    def drain(self) -> None:
        """Have the server take no new mail and give its queues up; returns once that is done."""
        self._ask("POST", "/drain", None, dict[str, str])

    def _ask(self, method: str, path: str, question: object, kind: type[_T]) -> _T:
        body = None if question is None else msgspec.json.encode(question)
        connection = _Connection(self._run_directory)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            status, data = answer.status, answer.read()
        except (FileNotFoundError, ConnectionRefusedError):
            where = f"{self._run_directory}: no server runs here; nightmail serve starts it"
            raise CommandFailed(os.EX_UNAVAILABLE, where) from None
        except PermissionError:
            where = f"{self._run_directory}: only root and the server's own user may ask it"
            raise CommandFailed(os.EX_NOPERM, where) from None
        except (OSError, http.client.HTTPException) as error:
            raise CommandFailed(os.EX_TEMPFAIL, f"the server did not answer: {error}") from error
        finally:
            connection.close()
        if status != http.HTTPStatus.OK:
            raise CommandFailed(_EXIT_CODES.get(status, os.EX_SOFTWARE), _reason(data))
        return msgspec.json.decode(data, type=kind)


def _reason(data: bytes) -> str:
    try:
        answer: dict[str, Any] = msgspec.json.decode(data)
        return str(answer["error"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return data.decode("utf-8", "replace") or "the server failed to answer; its log says why"
