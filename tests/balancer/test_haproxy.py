"""HAProxy's configuration: complete, taken by the real one, and refused where a server can't be reached."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from nightmail.balancer.haproxy import Server, render
from nightmail.balancer.settings import BalancerSettings
from nightmail.errors import ConfigInvalid

SERVERS = [Server("mx1", "127.0.0.1:2525", "127.0.0.1:8025"), Server("mx2", "[::1]:2526", "[::1]:8026")]


def test_the_real_one_takes_it_without_a_warning(tmp_path: Path) -> None:
    settings = BalancerSettings(address="127.0.0.1:2500", runtime_socket=str(tmp_path / "haproxy.sock"))
    file = tmp_path / "haproxy.cfg"
    file.write_text(render(settings, SERVERS))
    done = subprocess.run(["haproxy", "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr


def test_every_server_is_in_it_with_its_check_and_a_proxy_header() -> None:
    text = render(BalancerSettings(address="127.0.0.1:2500"), SERVERS)
    assert "    server mx1 127.0.0.1:2525 check addr 127.0.0.1 port 8025\n" in text
    assert "    server mx2 [::1]:2526 check addr [::1] port 8026\n" in text
    assert "send-proxy-v2" in text
    assert "    bind 127.0.0.1:2500\n" in text
    assert "stats socket" not in text


@pytest.mark.parametrize(
    ("address", "bind"),
    [
        ("0.0.0.0:25", "*:25"),
        ("[::]:25", "[::]:25"),
        ("192.0.2.1:25", "192.0.2.1:25"),
        ("mx.example.net:25", "mx.example.net:25"),
    ],
)
def test_an_address_is_bound_as_it_is_meant(address: str, bind: str) -> None:
    assert f"    bind {bind}\n" in render(BalancerSettings(address=address), SERVERS)


def test_a_standby_is_a_backup_and_one_without_smtp_gets_no_clients() -> None:
    standby = Server("mx3", "127.0.0.1:2527", "127.0.0.1:8027", is_standby=True)
    hidden = Server("mx4", "", "127.0.0.1:8028", is_standby=True)
    text = render(BalancerSettings(address="127.0.0.1:2500"), [*SERVERS, standby, hidden])
    assert "    server mx3 127.0.0.1:2527 check addr 127.0.0.1 port 8027 backup\n" in text
    assert "mx4" not in text
    with pytest.raises(ConfigInvalid, match="every server is a standby"):
        render(BalancerSettings(address="127.0.0.1:2500"), [hidden])


def test_where_smtp_and_http_are_on_different_addresses_only_http_is_asked() -> None:
    text = render(BalancerSettings(address="127.0.0.1:2500"), [Server("mx1", "127.0.0.1:2525", "127.0.0.2:8025")])
    assert "check addr 127.0.0.2 port 8025\n" in text
    assert "srv_name" not in text


@pytest.mark.parametrize("what", ["smtp", "http"])
def test_a_server_that_the_balancer_can_not_reach_is_refused(what: str) -> None:
    smtp, http = ("" if each == what else "127.0.0.1:1" for each in ("smtp", "http"))
    server = Server("mx1", smtp, http)
    with pytest.raises(ConfigInvalid, match=f"servers.mx1. {what}"):
        render(BalancerSettings(address="127.0.0.1:2500"), [server])
