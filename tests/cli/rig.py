"""A server of made-up switches behind a real operator socket, for commands to talk to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from nightmail.admin.answers import PeerPicture
from nightmail.admin.http import operator_app
from nightmail.admin.operating import Admin
from nightmail.admin.serving import HttpServer
from nightmail.admin.socket import bind_admin_socket
from nightmail.errors import ConfigInvalid
from nightmail.net.control import SwitchSilent
from nightmail.net.control_messages import Listing, MessageRow, Page, RecipientRow, Selection, Shown
from nightmail.world import SystemClock

FULL = "450 4.2.1 The mailbox is full"


def message(number: int, **facts: Any) -> MessageRow:
    now = SystemClock().wall()
    recipient = RecipientRow(address="bob@example.net", reply=FULL)
    usual: dict[str, Any] = {
        "id": f"ID{number:04}",
        "queue": "mx1.0.1",
        "sender": "carol@example.net",
        "size_bytes": 4300,
        "arrival": now - 3600,
        "next_attempt": now + 240.5,
        "recipients": (recipient,),
    }
    return MessageRow(**{**usual, **facts})


class QueueOf:
    """A switch with these messages."""

    def __init__(self, *messages: MessageRow, number: int = 0) -> None:
        self.number = number
        self.secondary_for = ""
        self.state = "serving"
        self.pid = 4711
        self.restarts = 0
        self.is_silent = False
        self.messages = messages
        self.acts: list[tuple[str, Selection]] = []

    async def request(self, method: str, params: Mapping[str, object] | None = None, timeout_s: float = 5.0) -> Any:
        if self.is_silent:
            raise SwitchSilent("no answer")
        answer: object = getattr(self, f"_{method}")(params)
        return msgspec.to_builtins(answer)

    def _status(self, _: object) -> object:
        queue = {"id": "mx1.0.1", "owner": "mx1", "epoch": 1, "slot": 12_345, "messages": len(self.messages)}
        return {"switch": self.number, "state": "serving", "pid": self.pid, "queues": [queue], "sessions": 12}

    def _meant(self, selection: Selection) -> list[MessageRow]:
        now = SystemClock().wall()
        return [
            each
            for each in self.messages
            if selection.wants(
                each.id,
                each.sender,
                [recipient.address for recipient in each.recipients],
                age_s=now - each.arrival,
                is_held=each.state == "held",
            )
        ]

    def _queue_list(self, params: object) -> Page:
        listing = msgspec.convert(params, Listing)
        rest = [each for each in self._meant(listing.selection) if each.id > listing.after]
        return Page(messages=tuple(rest[: listing.limit]), more=len(rest) > listing.limit)

    def _queue_count(self, params: object) -> object:
        return {"count": len(self._meant(msgspec.convert(params, Selection)))}

    def _queue_show(self, params: Mapping[str, object]) -> Shown | None:
        found = next((each for each in self.messages if each.id == params["id"]), None)
        settled = (RecipientRow(address="dave@example.org", state="delivered", reply="250 2.0.0 Ok"),)
        headers = "Received: from a\r\n\tby b\r\nSubject: \x1b[31mred\r\n"
        if found is None:
            return None
        return Shown(message=found, settled=settled, client="mail.example.net[192.0.2.7]", headers=headers)

    def _queue_act(self, params: Mapping[str, object]) -> object:
        selection = msgspec.convert(params["selection"], Selection)
        self.acts.append((str(params["action"]), selection))
        return {"count": len(self._meant(selection))}


class FakeServer:
    """Runs from `__enter__` to `__exit__`; its configuration is `config_file`."""

    def __init__(self, directory: Path, *switches: QueueOf) -> None:
        self.config_file = directory / "nightmail.toml"
        self.run_directory = directory / "run"
        self.switches = switches or (QueueOf(),)
        self.reload_fault: ConfigInvalid | None = None
        self.run_directory.mkdir()
        (directory / "tables").mkdir()
        (directory / "tables/domains").write_text("example.org relay\n")
        self.config_file.write_text(
            '[server]\nname = "mx1"\nhostname = "mx1.example.org"\nrun_directory = "run"\n'
            '[store]\nurl = "file:store"\n[[listener]]\naddress = "127.0.0.1:2525"\n'
        )

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._http = asyncio.run_coroutine_threadsafe(self._start(), self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._http.close(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> HttpServer:
        admin = Admin(
            "mx1", self.switches, SystemClock(), peers=lambda: [PeerPicture(server="mx2")], reload=self._reload
        )
        server = HttpServer(operator_app(admin), bind_admin_socket(str(self.run_directory)))
        server.start()
        return server

    async def _reload(self) -> None:
        if self.reload_fault:
            raise self.reload_fault
