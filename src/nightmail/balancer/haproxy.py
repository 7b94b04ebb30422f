"""A complete configuration for HAProxy, from the servers' own settings.

Clients are spread by round robin over the servers whose `/ready` answers 200 and whose SMTP service answers; 404 means
that a server is leaving and gets no new ones. A connection that can't be opened is tried on another server at once;
what a dead server had is cut, so that its clients come back, and what a leaving one has goes on to its end. Each
connection begins with a PROXY header (version 2), so that the switches know their clients; HAProxy's own connections
are marked LOCAL.
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
    """One server behind the balancer: where it takes mail, and where it says whether it is ready.

    A *standby* gets clients while no other server is ready, and none ever where it has no `smtp`.
    """

    name: str
    smtp: str
    http: str
    is_standby: bool = False


def render(balancer: BalancerSettings, servers: Sequence[Server]) -> str:
    """The text of `haproxy.cfg`. Raises: ConfigInvalid: a server can't be reached by a balancer as it is configured."""
    servers = [server for server in servers if server.smtp or not server.is_standby]
    if not servers:
        raise ConfigInvalid("[servers]", "every server is a standby without smtp", "one has to take mail")
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
        "    option allbackups",
        *_checks(servers),
        f"    default-server {checking} send-proxy-v2 {failing}",
        *map(_server, servers),
    ]
    return "\n".join(lines) + "\n"


def _runtime(path: str) -> list[str]:
    return [f"    stats socket {path} mode 600 level admin"] if path else []


def _bindable(address: str) -> str:
    """HAProxy takes every address of IPv4 as `*`."""
    host, _, port = address.rpartition(":")
    return f"*:{port}" if is_ip(host) and ipaddress.ip_address(host) == _ANY else address


def _checks(servers: Sequence[Server]) -> list[str]:
    """One check for each server: `/ready` by HTTP, then a reply of its SMTP service, as a connection of our own.

    Any reply proves that the service lives, one that says that it is full (421) as well as 220. 404 is a conditional
    pass, as `disable-on-404` has it. HAProxy connects every step to the address of the check: where HTTP and SMTP are
    not on one address, only HTTP is asked.
    """
    asking_http = [
        "    option tcp-check",
        "    tcp-check connect",
        r'    tcp-check send "GET /ready HTTP/1.0\r\n\r\n"',
        r'    tcp-check expect min-recv 12 error-status L7OKC ! rstring "^HTTP/1.[01] 404"',
        r'    tcp-check expect min-recv 12 error-status L7STS ! rstring "^HTTP/1.[01] [^2]"',
    ]
    if any(_host(server.smtp) != _host(server.http) for server in servers):
        return asking_http
    ports = "".join(f",regsub(^{server.name}$,{_port(server.smtp)})" for server in servers)
    asking_smtp = [
        f"    tcp-check connect port srv_name{ports} send-proxy",
        '    tcp-check expect min-recv 3 rstring "^[245][0-9][0-9]"',
    ]
    return asking_http + asking_smtp


def _server(server: Server) -> str:
    backup = " backup" if server.is_standby else ""
    checked = f"addr {_host(server.http)} port {_port(server.http)}"
    return f"    server {server.name} {server.smtp} check {checked}{backup}"


def _host(address: str) -> str:
    return address.rpartition(":")[0]


def _port(address: str) -> str:
    return address.rpartition(":")[2]
