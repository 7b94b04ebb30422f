"""Names that can't be looked up, or that lie: mail waits where it may, and goes back where it must."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.background import Background
from tests.e2e.dialogue import deliver
from tests.e2e.switch import LOCAL_ONLY, Switch
from tests.e2e.waiting import until
from tests.net.dns_server import DnsServer, Lie

RECORDS = (
    "null.test. 60 MX 0 .",
    "loop.test. 60 MX 10 mx1.example.net.",
    "mx1.example.net. 60 A 127.0.0.1",
    "literal.test. 60 MX 10 10.0.0.1.",
    "slow.test. 60 MX 10 mail.slow.test.",
)


@pytest.fixture
def dns() -> Iterator[DnsServer]:
    background = Background()
    server = DnsServer(RECORDS)
    background.call(server.__aenter__())
    yield server
    background.call(server.__aexit__())
    background.close()


@pytest.fixture
def switch(tmp_path: Path, dns: DnsServer) -> Iterator[Switch]:
    settings: dict[str, dict[str, object]] = {
        "dns": {"resolvers": [dns.address], "timeout_s": 0.5, "lifetime_s": 1.0},
        "queue": {"retry_first_s": 0.5, "retry_max_s": 1},
    }
    with Switch(tmp_path, {**LOCAL_ONLY, "routes": LOCAL_ONLY["routes"] + "* mx\n"}, settings) as running:
        yield running


@pytest.mark.parametrize(
    ("domain", "status"),
    [("null.test", "5.1.10"), ("absent.test", "5.1.2"), ("loop.test", "5.4.6"), ("literal.test", "5.4.4")],
)
def test_what_can_never_be_delivered_goes_back_at_once(switch: Switch, domain: str, status: str) -> None:
    deliver(switch.port, "alice@example.org", f"someone@{domain}")
    (report,) = switch.wait_for_mail("alice")
    assert f"Status: {status}".encode() in report
    until(lambda: switch.queued() == 0, "an empty queue")


@pytest.mark.parametrize(
    "lie", [Lie.SERVFAIL, Lie.SILENCE, Lie.WRONG_ID, Lie.GARBAGE], ids=lambda lie: lie.name.lower()
)
def test_an_answer_that_is_none_leaves_the_mail_waiting(switch: Switch, dns: DnsServer, lie: Lie) -> None:
    dns.lies["slow.test"] = lie
    queue_id = deliver(switch.port, "alice@example.org", "someone@slow.test")
    (line, *_) = switch.wait_for_log(f"id={queue_id}", "status=")
    assert "status=deferred" in line
    assert "4.4.3" in line
    other = deliver(switch.port, "carol@example.net", "bob@example.org")
    switch.wait_for_log(f"id={other}", "status=sent", timeout_s=2)
    assert switch.queued() == 1
