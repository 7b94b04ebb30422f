"""`python -m nightmail.store.scribe FD ROOT TOKEN`: a process that does nothing but put objects in place.

Why a process: each of a put's system calls lets go of the interpreter's lock and has to win it back from an event
loop that is busy. In a thread of a loaded switch that made 0.6 ms into 5 ms, and into 50 ms at the 99th percentile;
in a process of its own a put stays under 3 ms.

The threads take turns at the socket: whoever holds the turn reads one request, passes the turn on, carries the
request out and answers it. So a request is handed to nobody, and one that hangs holds up one thread.

    request   number u32, length of key u16, length of data u32, key, data
    answer    number u32, outcome u8, length of text u16, text

The scribe lives as long as its switch: it is killed with it, and leaves at the end of its input after it has finished
what was under way. Signals meant for the whole group of processes are not for it.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import struct
import sys
import threading
import traceback
from contextlib import suppress

from nightmail.errors import StoreUnavailable
from nightmail.store.directories import Directories
from nightmail.store.disk import Disk
from nightmail.store.keys import split_key
from nightmail.store.protocol import Put, PutBroken, PutFailed, PutUnknown, StoreFull
from nightmail.store.putting import Putter

REQUEST = struct.Struct("!IHI")
ANSWER = struct.Struct("!IBH")
OUTCOMES: tuple[Put | type[StoreUnavailable], ...] = (
    Put.CREATED, Put.EXISTS, PutFailed, PutUnknown, PutBroken, StoreFull,
)  # fmt: skip
MAX_PUTS = 32
"""So many puts may hang before one more has to wait."""

_PR_SET_PDEATHSIG = 1
_MAX_TEXT_BYTES = 1000
_SOFTWARE_FAULT = 70


class Scribe:
    """Serves one switch over one socket."""

    def __init__(self, switch: socket.socket, putter: Putter) -> None:
        self._switch = switch
        self._putter = putter
        self._turn = threading.Lock()
        self._answering = threading.Lock()

    def serve(self) -> None:
        """Serve until the switch is gone and all is finished."""
        threads = [threading.Thread(target=self._serve) for _ in range(MAX_PUTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _serve(self) -> None:
        try:
            with suppress(EOFError, ConnectionError):
                while True:
                    with self._turn:
                        number, key, data = self._request()
                    self._carry_out(number, key, data)
        except BaseException:  # noqa: BLE001 - whatever it was, a put's outcome or our place in the input is lost
            # At the end of the line the switch learns of it at once, and starts another scribe.
            traceback.print_exc()
            os._exit(_SOFTWARE_FAULT)

    def _request(self) -> tuple[int, str, bytearray]:
        number, key_size, data_size = REQUEST.unpack(self._read(REQUEST.size))
        return number, self._read(key_size).decode(), self._read(data_size)

    def _read(self, size: int) -> bytearray:
        data = bytearray(size)
        rest = memoryview(data)
        while rest:
            got = self._switch.recv_into(rest)
            if not got:
                raise EOFError
            rest = rest[got:]
        return data

    def _carry_out(self, number: int, key: str, data: bytearray) -> None:
        steps = self._putter.put(*split_key(key), [data])
        try:
            outcome = next(steps)
        except StoreUnavailable as error:
            self._answer(number, type(error), str(error))
        else:
            self._answer(number, outcome, "")
            next(steps, None)

    def _answer(self, number: int, outcome: Put | type[StoreUnavailable], text: str) -> None:
        encoded = text.encode(errors="replace")[:_MAX_TEXT_BYTES]
        with self._answering:
            self._switch.sendall(ANSWER.pack(number, OUTCOMES.index(outcome), len(encoded)) + encoded)


def main(descriptor: str, root: str, token: str) -> None:
    """Be the scribe of the process that started us."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    disk = Disk()
    Scribe(socket.socket(fileno=int(descriptor)), Putter(Directories(root, disk), disk, token)).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
