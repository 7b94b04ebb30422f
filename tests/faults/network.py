"""A network of its own for each server, with a cable for mail and one for heartbeats that a test can pull.

Every server has a network namespace. Its `mail` interface is on a bridge of the machine, where clients, balancer and
sink are; its `beat` interface is on a bridge in a namespace of its own, which carries heartbeats and nothing else.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Self

_HOST = 254


class Network:
    """The namespaces of the servers `names`, from entry to exit. Needs to be root."""

    def __init__(self, names: Sequence[str]) -> None:
        self._numbers = {name: number + 1 for number, name in enumerate(names)}
        self._tag = f"nm{os.getpid()}"
        self._hub = f"{self._tag}-hub"
        self._undo = ExitStack()
        self._subnet = ""

    def __enter__(self) -> Self:
        with self._undo as undo:
            self._subnet = _free_subnet()
            self._make(undo, f"link add {self._tag} type bridge", f"link del {self._tag}")
            _ip(f"addr add {self.host}/24 dev {self._tag}")
            _ip(f"link set {self._tag} up")
            self._make(undo, f"netns add {self._hub}", f"netns del {self._hub}")
            _ip(f"-n {self._hub} link add hub type bridge")
            _ip(f"-n {self._hub} link set hub up")
            for name in self._numbers:
                self._connect(undo, name)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._undo.close()

    @property
    def host(self) -> str:
        """The address under which servers reach what is not in a namespace."""
        return f"{self._subnet}.{_HOST}"

    def address(self, name: str) -> str:
        """A server's address for mail."""
        return f"{self._subnet}.{self._numbers[name]}"

    def heartbeat(self, name: str) -> str:
        """A server's address for heartbeats."""
        return f"10.0.0.{self._numbers[name]}"

    def command(self, name: str) -> tuple[str, ...]:
        """The words that run a command in a server's namespace."""
        return ("ip", "netns", "exec", self._namespace(name))

    def cut(self, name: str) -> None:
        """Pull a server's heartbeat cable."""
        _ip(f"-n {self._hub} link set port{self._numbers[name]} down")

    def mend(self, name: str) -> None:
        """Plug it in again."""
        _ip(f"-n {self._hub} link set port{self._numbers[name]} up")

    def part(self) -> None:
        """Let no server reach another one by its cable for mail; from outside all of them are reached as ever."""
        self._isolate("on")

    def join(self) -> None:
        """Let them reach one another again."""
        self._isolate("off")

    def _isolate(self, how: str) -> None:
        for number in self._numbers.values():
            _ip(f"link set {self._mail(number)} type bridge_slave isolated {how}")

    def _mail(self, number: int) -> str:
        return f"{self._tag}m{number}"

    def _connect(self, undo: ExitStack, name: str) -> None:
        space, number = self._namespace(name), self._numbers[name]
        mail = self._mail(number)
        self._make(undo, f"netns add {space}", f"netns del {space}")
        # A namespace that is deleted takes its interfaces along, but some time later.
        self._make(undo, f"link add {mail} type veth peer name mail netns {space}", f"link del {mail}")
        _ip(f"link set {mail} master {self._tag} up")
        _ip(f"-n {space} addr add {self.address(name)}/24 dev mail")
        _ip(f"-n {self._hub} link add port{number} type veth peer name beat netns {space}")
        _ip(f"-n {self._hub} link set port{number} master hub up")
        _ip(f"-n {space} addr add {self.heartbeat(name)}/24 dev beat")
        for interface in ("lo", "mail", "beat"):
            _ip(f"-n {space} link set {interface} up")

    def _namespace(self, name: str) -> str:
        return f"{self._tag}-{name}"

    def _make(self, undo: ExitStack, command: str, undone_by: str) -> None:
        _ip(command)
        undo.callback(_ip, undone_by)


def _free_subnet() -> str:
    """Three octets of a network that nobody uses here, of those reserved for benchmarks (RFC 2544)."""
    taken = _ip("-4 -o addr show")
    return next(subnet for third in range(256) if (subnet := f"198.18.{third}") not in taken)


def _ip(words: str) -> str:
    done = subprocess.run(["ip", *words.split()], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ip {words}: {done.stderr.strip()} (network namespaces need root, and iproute2)")
    return done.stdout
