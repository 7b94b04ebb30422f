"""One SMTP session typed by hand: what a well-behaved library would never send can be sent here."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Self

from tests.e2e.waiting import PATIENCE_S

MESSAGE = b"From: <carol@example.net>\r\nSubject: hello\r\n\r\nGood evening.\r\n"


class Dialogue:
    """A connection and what was read from it."""

    def __init__(self, port: int, timeout_s: float = PATIENCE_S, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout_s, source_address=(source, 0))
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, _tb: TracebackType | None) -> None:
        self.socket.close()

    def line(self) -> str:
        """The next line, without its end; empty once the other side has closed."""
        while b"\n" not in self._unread:
            data = self.socket.recv(65536)
            if not data:
                break
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode().rstrip("\r")

    def reply(self) -> str:
        """The next reply, its lines separated by line feeds; empty once the other side has closed."""
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return "\n".join(lines)

    def send(self, data: bytes) -> None:
        """Send octets as they are."""
        self.socket.sendall(data)

    def say(self, command: str) -> str:
        """Send one command; its reply."""
        self.send(command.encode() + b"\r\n")
        return self.reply()

    def greet(self, name: str = "client.example.net") -> Self:
        """Read the greeting and say EHLO."""
        assert self.reply().startswith("220 ")
        assert self.say(f"EHLO {name}").startswith("250")
        return self

    def envelope(self, sender: str, *recipients: str) -> Self:
        """MAIL, RCPT and DATA, all of which must be answered as wished."""
        self._must("250", f"MAIL FROM:<{sender}>")
        for recipient in recipients:
            self._must("250", f"RCPT TO:<{recipient}>")
        self._must("354", "DATA")
        return self

    def _must(self, code: str, command: str) -> None:
        reply = self.say(command)
        assert reply.startswith(code), f"{command}: {reply}"

    def body(self, data: bytes = MESSAGE) -> str:
        """Send a message's text and the final dot; the reply."""
        self.send(data + b".\r\n")
        return self.reply()

    def is_closed(self) -> bool:
        """Whether the other side closes without a further word."""
        try:
            return self.line() == ""
        except ConnectionResetError:
            return True


def deliver(port: int, sender: str, *recipients: str, data: bytes = MESSAGE) -> str:
    """Send one message in a session of its own; the id it was queued as."""
    with Dialogue(port) as session:
        reply = session.greet().envelope(sender, *recipients).body(data)
        assert reply.startswith("250 2.0.0 Ok: queued as "), reply
        session.say("QUIT")
        return reply.rpartition(" ")[2]
