"""A complete configuration for HAProxy, from the servers' own settings.

Clients are spread by round robin over the servers whose `/ready` answers 200; 404 means that a server is leaving and
gets no new ones. A connection that can't be opened is tried on another server at once; what a dead server had is cut,
so that its clients come back, and what a leaving one has goes on to its end. Each connection begins with a PROXY header
(version 2), so that the switches know their clients; HAProxy's own connections are marked LOCAL.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

import msgspec

from nightmail.balancer.settings import BalancerSettings
from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import is_ip

BACKEND = "switches"
_CONNECT_S = 1
_ANY = ipaddress.IPv4Address(0)
# Above what a client and a switch wait for each other at most: it is theirs to lose patience first.
_IDLE_S = 660


class Server(msgspec.Struct, frozen=True):
    """One server behind the balancer: where it takes mail, and where it says whether it is ready."""

    name: str
    smtp: str
    http: str


def render(balancer: BalancerSettings, servers: Sequence[Server]) -> str:
    """The text of `haproxy.cfg`. Raises: ConfigInvalid: a server can't be reached by a balancer as it is configured."""
    for server in servers:
        for what, address in (("smtp", server.smtp), ("http", server.http)):
            if not address:
                place = f"[servers.{server.name}] {what}"
                raise ConfigInvalid(place, "it is empty, and the balancer needs it", f'write {what} = "host:port"')
    every_ms = round(balancer.check_every_s * 1000)
    checking = f"inter {every_ms} fastinter {max(every_ms // 2, 1)} downinter {every_ms} fall 2 rise 1"
    failing = "observe layer4 error-limit 2 on-error mark-down on-marked-down shutdown-sessions"
    lines = [
        "# Made by `nightmail balancer haproxy` from nightmail's own configuration: change that, and make this anew.",
        "global",
        f"    maxconn {balancer.session_limit}",
        "    log stderr format raw daemon notice",
        *_runtime(balancer.runtime_socket),
        "",
        "defaults",
        "    mode tcp",
        "    log global",
        "    option dontlognull",
        f"    timeout connect {_CONNECT_S}s",
        f"    timeout check {_CONNECT_S}s",
        f"    timeout client {_IDLE_S}s",
        f"    timeout server {_IDLE_S}s",
        "    retries 3",
        "    option redispatch 1",
        "",
        "frontend smtp",
        f"    bind {_bindable(balancer.address)}",
        f"    default_backend {BACKEND}",
        "",
        f"backend {BACKEND}",
        "    balance roundrobin",
        "    option httpchk GET /ready",
        "    http-check disable-on-404",
        "    http-check expect status 200",
        f"    default-server {checking} send-proxy-v2 {failing}",
        *(f"    server {server.name} {server.smtp} check {_check_at(server.http)}" for server in servers),
    ]
    return "\n".join(lines) + "\n"


def _runtime(path: str) -> list[str]:
    return [f"    stats socket {path} mode 600 level admin"] if path else []


def _bindable(address: str) -> str:
    """HAProxy takes every address of IPv4 as `*`."""
    host, _, port = address.rpartition(":")
    return f"*:{port}" if is_ip(host) and ipaddress.ip_address(host) == _ANY else address


def _check_at(http: str) -> str:
    host, _, port = http.rpartition(":")
    return f"addr {host} port {port}"
