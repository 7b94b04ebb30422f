"""The use-cases over HTTP: all of them for the operator's Unix socket, three of them for the network."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, get_args

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from nightmail.admin import exposition
from nightmail.admin.answers import is_leaving, why_not_ready, why_others_are_better
from nightmail.admin.operating import Admin
from nightmail.errors import ConfigInvalid, StoreUnavailable
from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.net.control_messages import Action, Listing, Selection

_BODY_MAX_BYTES = 1024 * 1024

Handler = Callable[[Request], Awaitable[Response]]


def public_app(admin: Admin) -> Starlette:
    """What the network may ask: `/live`, `/ready` and `/metrics`."""
    return _app(_Public(admin).routes())


def operator_app(admin: Admin) -> Starlette:
    """What the operator may ask on this machine: everything."""
    return _app(_Public(admin).routes() + _Operator(admin).routes())


def _app(routes: list[Route]) -> Starlette:
    faults: dict[Any, Callable[[Request, Exception], Response]] = {
        SwitchSilent: lambda _, fault: _error(503, fault),
        RequestFailed: lambda _, fault: _error(502, fault),
        StoreUnavailable: lambda _, fault: _error(503, fault),
        ConfigInvalid: lambda _, fault: _error(422, fault),
        msgspec.ValidationError: lambda _, fault: _error(400, fault),
        msgspec.DecodeError: lambda _, fault: _error(400, fault),
        404: lambda request, _: _error(404, f"there is nothing at {request.url.path}"),
    }
    return Starlette(routes=routes, exception_handlers=faults)


def _json(value: object, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _error(status: int, fault: object) -> Response:
    return _json({"error": str(fault)}, status)


class _Public:
    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def routes(self) -> list[Route]:
        return [Route("/live", self._live), Route("/ready", self._ready), Route("/metrics", self._metrics)]

    async def _live(self, _: Request) -> Response:
        return PlainTextResponse("live\n")

    async def _ready(self, _: Request) -> Response:
        """404 while the server leaves, 503 while it can't: HAProxy lets a leaving one end what it has.

        404, too, while it does not reach the store and a partner does: what it has under way may still get its answer.
        """
        if leaving := self._admin.leaving():
            return PlainTextResponse(f"the server is {leaving}\n", 404)
        if awaited := self._admin.awaited():
            return PlainTextResponse(f"{awaited}\n", 503)
        switches = await self._admin.switches()
        if self._admin.partners_are_well() and (reason := why_others_are_better(switches)):
            return PlainTextResponse(f"{reason}\n", 404)
        reason = why_not_ready(switches)
        if not reason:
            return PlainTextResponse("ready\n")
        return PlainTextResponse(f"{reason}\n", 404 if is_leaving(switches) else 503)

    async def _metrics(self, _: Request) -> Response:
        page = exposition.render(await self._admin.metrics())
        return Response(page, media_type=exposition.CONTENT_TYPE)


class _Operator:
    def __init__(self, admin: Admin) -> None:
        self._admin = admin

    def routes(self) -> list[Route]:
        return [
            Route("/status", self._status),
            Route("/queue/list", self._list, methods=["POST"]),
            Route("/queue/count", self._count, methods=["POST"]),
            Route("/queue/show/{id:path}", self._show),
            *(Route(f"/queue/{action}", self._acting(action), methods=["POST"]) for action in get_args(Action)),
            Route("/queue/handover/{queue}", self._hand_over, methods=["POST"]),
            Route("/reload", self._reload, methods=["POST"]),
            Route("/drain", self._drain, methods=["POST"]),
            Route("/directory/promote", self._promote, methods=["POST"]),
        ]

    async def _status(self, _: Request) -> Response:
        return _json(await self._admin.status())

    async def _list(self, request: Request) -> Response:
        return _json(await self._admin.queue_list(msgspec.json.decode(await _body(request), type=Listing)))

    async def _count(self, request: Request) -> Response:
        return _json(await self._admin.queue_count(msgspec.json.decode(await _body(request), type=Selection)))

    async def _show(self, request: Request) -> Response:
        message_id = request.path_params["id"]
        shown = await self._admin.queue_show(message_id)
        return _json(shown) if shown else _error(404, f"no queue here has a message {message_id}")

    def _acting(self, action: Action) -> Handler:
        async def act(request: Request) -> Response:
            selection = msgspec.json.decode(await _body(request), type=Selection)
            return _json(await self._admin.queue_act(action, selection))

        return act

    async def _hand_over(self, request: Request) -> Response:
        queue = request.path_params["queue"]
        if not await self._admin.hand_over(queue):
            return _error(404, f"no queue {queue} that was adopted is run here")
        return _json({"queue": queue})

    async def _drain(self, _: Request) -> Response:
        await self._admin.drain()
        return _json({"state": "drained"})

    async def _promote(self, request: Request) -> Response:
        if not await self._admin.promote(is_forced="force" in request.query_params):
            return _error(503, "the master did not hand its role over; the log of its server says why")
        return _json({"role": "master"})

    async def _reload(self, _: Request) -> Response:
        await self._admin.reload()
        return _json({"tables": "ok"})


async def _body(request: Request) -> bytes:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_MAX_BYTES:
            raise msgspec.ValidationError(f"a request of more than {_BODY_MAX_BYTES} bytes")
    return body
