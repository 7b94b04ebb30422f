"""The control channel between the supervisor and one of its switches.

A socket pair carries frames: four bytes of length, then a msgpack map. The supervisor sends requests (`id`, `method`,
`params`), the switch answers each (`id` with `result` or `error`) in whatever order the answers are ready, and sends
notices (`notice`) by itself. Either end takes the loss of the channel for the death of the other.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

import msgspec
import structlog

from nightmail.errors import ProtocolViolation, SwitchError

FRAME_MAX_BYTES = 16 * 1024 * 1024
_LENGTH_BYTES = 4

Message = dict[str, Any]
Method = Callable[[Message], Awaitable[object]]

log = structlog.get_logger()
_decoder = msgspec.msgpack.Decoder(Message)


class SwitchSilent(SwitchError):
    """The switch gave no answer in time, or is gone: whether it did what was asked is not known."""


class RequestFailed(SwitchError):
    """The switch answered that it could not do what was asked, and why."""


def frame(message: Message) -> bytes:
    """The message as it goes over the channel.

    Raises:
        ProtocolViolation: it is too large to be sent.
    """
    payload = msgspec.msgpack.encode(message)
    if len(payload) > FRAME_MAX_BYTES:
        raise ProtocolViolation(f"a control message of {len(payload)} bytes; at most {FRAME_MAX_BYTES} can be sent")
    return len(payload).to_bytes(_LENGTH_BYTES, "big") + payload


class Frames:
    """Cuts what arrives into messages; holds back at most one unfinished frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def receive(self, data: bytes) -> list[Message]:
        """The messages that `data` completes, in order.

        Raises:
            ProtocolViolation: the other end does not speak this protocol.
        """
        self._buffer += data
        messages: list[Message] = []
        while (payload := self._next_payload()) is not None:
            try:
                messages.append(_decoder.decode(payload))
            except msgspec.DecodeError as error:
                raise ProtocolViolation(f"a control message that is none: {error}") from error
        return messages

    def _next_payload(self) -> bytes | None:
        if len(self._buffer) < _LENGTH_BYTES:
            return None
        end = _LENGTH_BYTES + int.from_bytes(self._buffer[:_LENGTH_BYTES], "big")
        if end > _LENGTH_BYTES + FRAME_MAX_BYTES:
            raise ProtocolViolation(f"a control message of {end} bytes is announced")
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[_LENGTH_BYTES:end])
        del self._buffer[:end]
        return payload


class _End(asyncio.Protocol):
    """What both ends have in common: frames in, frames out, one farewell."""

    def __init__(self) -> None:
        self._frames = Frames()
        self._transport: asyncio.Transport | None = None

    async def attach(self, channel: socket.socket) -> None:
        """Begin to speak over `channel`, which belongs to this end from now on."""
        channel.setblocking(False)
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=channel)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are asyncio's by behaviour, not by class.
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._frames.receive(data)
        except ProtocolViolation as violation:
            log.warning("control channel broken", reason=str(violation))
            self.close()
            return
        for message in messages:
            self._received(message)

    def close(self) -> None:
        """End the channel; the other end sees it closed."""
        if self._transport is not None:
            self._transport.close()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def _received(self, message: Message) -> None:
        raise NotImplementedError


class ControlServer(_End):
    """The switch's end: runs a method for each request, and sends notices.

    `methods` are coroutine functions that take the params; what they return is the result, a `SwitchError` they raise
    is told to the supervisor. `on_lost` is called when the supervisor is gone.
    """

    def __init__(self, methods: Mapping[str, Method], on_lost: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self._methods = methods
        self._on_lost = on_lost
        self._tasks: set[asyncio.Task[object]] = set()

    def notify(self, notice: str, **facts: object) -> None:
        """Tell the supervisor something that it did not ask."""
        self._send(frame({"notice": notice, **facts}))

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what is being worked on and say that the supervisor is gone."""
        for task in self._tasks:
            task.cancel()
        self._on_lost()

    def _received(self, message: Message) -> None:
        number, name = message.get("id"), message.get("method", "")
        method = self._methods.get(name)
        if method is None:
            self._send(frame({"id": number, "error": f"no method {name!r}"}))
            return
        task = asyncio.ensure_future(method(message.get("params", {})))
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._answer(number, name, done))

    def _answer(self, number: object, name: str, done: asyncio.Task[object]) -> None:
        self._tasks.discard(done)
        if done.cancelled():
            return
        fault = done.exception()
        if fault is None:
            self._send(self._result(number, done.result()))
            return
        if not isinstance(fault, SwitchError):
            log.error("control method failed", method=name, exc_info=fault)
        self._send(frame({"id": number, "error": str(fault) or type(fault).__name__}))

    @staticmethod
    def _result(number: object, result: object) -> bytes:
        try:
            return frame({"id": number, "result": result})
        except ProtocolViolation as violation:
            return frame({"id": number, "error": str(violation)})


class ControlClient(_End):
    """The supervisor's end: asks, and waits no longer than it is told to.

    `on_notice` takes the notices of the switch, `on_lost` the end of the channel.
    """

    def __init__(
        self, on_notice: Callable[[Message], None] = lambda _: None, on_lost: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__()
        self._on_notice = on_notice
        self._on_lost = on_lost
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._last_id = 0
        self._lost = False

    async def request(self, method: str, params: Mapping[str, object] | None = None, timeout_s: float = 5.0) -> Any:
        """What the switch answers.

        Raises:
            SwitchSilent: no answer within `timeout_s`, or the switch is gone.
            RequestFailed: it answered with an error.
        """
        if self._lost or self._transport is None:
            raise SwitchSilent("the switch is gone")
        self._last_id += 1
        number, answer = self._last_id, asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        self._send(frame({"id": number, "method": method, "params": dict(params or {})}))
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise SwitchSilent(f"the switch did not answer {method!r} within {timeout_s:g} s") from None
        finally:
            del self._waiting[number]

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail every request that waits and say that the switch is gone."""
        self._lost = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(SwitchSilent("the switch is gone"))
        self._on_lost()

    def _received(self, message: Message) -> None:
        if "notice" in message:
            self._on_notice(message)
            return
        answer = self._waiting.get(message.get("id", 0))
        if answer is None or answer.done():
            return
        if "error" in message:
            answer.set_exception(RequestFailed(str(message["error"])))
        else:
            answer.set_result(message.get("result"))
