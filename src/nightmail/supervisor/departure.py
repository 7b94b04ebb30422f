"""Leaving without interrupting anybody: the balancer is told first, and given time to send new clients elsewhere."""

from __future__ import annotations

import asyncio
from typing import Literal

import structlog

from nightmail.balancer.draining import BalancerSilent, set_state
from nightmail.balancer.settings import BalancerSettings

_CHECKS_TO_NOTICE = 2.5

log = structlog.get_logger()

Departing = Literal["draining", "stopping"]


class Departure:
    """Whether and how a server is leaving. `state` is empty while it is not."""

    def __init__(self, server: str, balancer: BalancerSettings | None) -> None:
        self.state: Departing | Literal[""] = ""
        self._server = server
        self._balancer = balancer

    async def arrive(self) -> None:
        """Take part again in what the balancer shares out, after a drain that it may remember."""
        balancer = self._balancer
        if balancer is not None and balancer.runtime_socket:
            try:
                await set_state(balancer.runtime_socket, self._server, "ready")
            except BalancerSilent as fault:
                log.info("balancer not told", state="ready", reason=str(fault))

    async def begin(self, state: Departing) -> None:
        """Say that the server leaves; returns once no new client should come."""
        self.state = state
        if self._balancer is None:
            return
        if self._balancer.runtime_socket:
            try:
                await set_state(self._balancer.runtime_socket, self._server, "drain")
            except BalancerSilent as fault:
                log.info("balancer not told", state="drain", reason=str(fault), remedy="none: its checks find out")
            else:
                return
        await asyncio.sleep(_CHECKS_TO_NOTICE * self._balancer.check_every_s)
