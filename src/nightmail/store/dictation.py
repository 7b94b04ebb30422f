"""The switch's end of the line to its scribe: requests out, answers in, and a new scribe when one has died."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from itertools import count, islice

from nightmail.errors import StoreUnavailable
from nightmail.store.lanes import Lanes
from nightmail.store.protocol import Buffer, Put, PutFailed, PutUnknown
from nightmail.store.scribe import ANSWER, OUTCOMES, REQUEST

_MAX_BUFFERS = 1024
_READ_BYTES = 65536
_SOCKET_BYTES = 1 << 20


class Dictation:
    """Puts carried out by a scribe, which is started with the first of them."""

    def __init__(self, root: str, token: str, lanes: Lanes) -> None:
        self._root = root
        self._token = token
        self._lanes = lanes
        self._numbers = count()
        self._scribes = count()
        self._line: _Line | None = None
        self._closed = False

    def put(self, key: str, data: Sequence[Buffer]) -> asyncio.Future[Put]:
        """Ask for a put. The future raises PutUnknown if the scribe dies before it answers. Raises: PutFailed."""
        if self._closed:
            raise RuntimeError("the store is closed")
        if self._line is None or self._line.is_dead:
            self._line = self._start()
        return self._line.ask(next(self._numbers) & 0xFFFFFFFF, key.encode(), data)

    async def close(self) -> None:
        """Let the scribe finish what is under way, and go."""
        self._closed = True
        if self._line is not None:
            await self._line.close()

    def _start(self) -> _Line:
        token = f"{self._token}-{next(self._scribes)}"
        module = [sys.executable, "-P", "-m", "nightmail.store.scribe"]
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            raise PutFailed(f"the scribe can't be started: {error}") from error
        try:
            with theirs:
                process = subprocess.Popen(  # noqa: S603 - our own module
                    [*module, str(theirs.fileno()), self._root, token],
                    stdin=subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                )
        except OSError as error:
            ours.close()
            raise PutFailed(f"the scribe can't be started: {error}") from error
        return _Line(ours, process, self._lanes)


class _Line:
    """A socket to one scribe."""

    def __init__(self, scribe: socket.socket, process: subprocess.Popen[bytes], lanes: Lanes) -> None:
        self.is_dead = False
        self._socket = scribe
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SOCKET_BYTES)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(scribe, self._read)
        self._outgoing: deque[memoryview] = deque()
        self._incoming = bytearray()
        self._waiting: dict[int, asyncio.Future[Put]] = {}
        try:
            self._ended = lanes.call(process.wait)
        except StoreUnavailable as error:
            process.kill()
            process.wait()
            self._hang_up()
            raise PutFailed(f"the scribe can't be watched: {error}") from error

    def ask(self, number: int, key: bytes, data: Sequence[Buffer]) -> asyncio.Future[Put]:
        """Send a request; the future gets its answer."""
        answer: asyncio.Future[Put] = self._loop.create_future()
        self._waiting[number] = answer
        is_idle = not self._outgoing
        self._outgoing.append(memoryview(REQUEST.pack(number, len(key), sum(map(len, data))) + key))
        self._outgoing.extend(memoryview(buffer) for buffer in data if buffer)
        if is_idle:
            self._write()
        return answer

    async def close(self) -> None:
        """Wait for the answers under way and for the scribe's end."""
        if self._waiting:
            await asyncio.wait(list(self._waiting.values()))
        self._hang_up()
        await self._ended

    def _write(self) -> None:
        try:
            while self._outgoing:
                self._sent(self._socket.sendmsg(list(islice(self._outgoing, _MAX_BUFFERS))))
        except BlockingIOError:
            self._loop.add_writer(self._socket, self._write)
        except OSError as error:
            self._died(error)
        else:
            self._loop.remove_writer(self._socket)

    def _sent(self, size: int) -> None:
        outgoing = self._outgoing
        while outgoing and size >= len(outgoing[0]):
            size -= len(outgoing.popleft())
        if size:
            outgoing[0] = outgoing[0][size:]

    def _read(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._died(error)
            return
        if not data:
            self._died(EOFError("its end of the line is closed"))
            return
        self._incoming += data
        while self._take_answer():
            pass

    def _take_answer(self) -> bool:
        incoming = self._incoming
        if len(incoming) < ANSWER.size:
            return False
        number, index, text_size = ANSWER.unpack_from(incoming)
        end = ANSWER.size + text_size
        if len(incoming) < end:
            return False
        text = incoming[ANSWER.size : end].decode(errors="replace")
        del incoming[:end]
        answer = self._waiting.pop(number)
        if not answer.done():
            _settle(answer, OUTCOMES[index], text)
        return True

    def _died(self, reason: Exception) -> None:
        """Nobody knows now what became of the puts under way (J3)."""
        self._hang_up()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(PutUnknown(f"the scribe has died: {reason}"))
        self._waiting.clear()

    def _hang_up(self) -> None:
        if not self.is_dead:
            self.is_dead = True
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self._outgoing.clear()


def _settle(answer: asyncio.Future[Put], outcome: Put | type[StoreUnavailable], text: str) -> None:
    if isinstance(outcome, Put):
        answer.set_result(outcome)
    else:
        answer.set_exception(outcome(text))
