"""The typical pair: one server works, and one waits idle until it has to take over (R13)."""

from __future__ import annotations

import os
import smtplib
from pathlib import Path

from tests.e2e.sink import Answer, Sink
from tests.e2e.switch import Switch, free_port
from tests.e2e.waiting import until

_ORIGINALS = {
    "domains": "sink.test relay\n",
    "mailboxes": "",
    "aliases": "",
    "clients": "127.0.0.0/8 relay\n",
}


def pair(directory: Path, sink_port: int) -> tuple[Switch, Switch]:
    """A server that takes mail, and a standby without a listener, on one store."""
    secret = directory / "heartbeat.key"
    secret.write_text(os.urandom(16).hex())
    secret.chmod(0o600)
    tables = {**_ORIGINALS, "routes": f"sink.test smtp:[127.0.0.1]:{sink_port}\n"}
    active, standby = (Switch(directory / name, tables, None, directory / "disk", name) for name in ("mx1", "mx2"))
    settings: dict[str, dict[str, object]] = {
        "heartbeat": {"secret_file": str(secret)},
        "servers.mx1": {
            "heartbeat": f"127.0.0.1:{free_port()}",
            "smtp": f"127.0.0.1:{active.port}",
            "http": f"127.0.0.1:{active.http_port}",
        },
        "servers.mx2": {
            "heartbeat": f"127.0.0.1:{free_port()}",
            "smtp": "",
            "http": f"127.0.0.1:{standby.http_port}",
            "standby": True,
        },
        "queue": {"retry_first_s": 1, "retry_max_s": 2},
        "store": {"idle_tick_s": 1},
    }
    for server in (active, standby):
        server.configure(settings)
    text = standby.config_file.read_text()
    listener = text[text.index("[[listener]]") :].partition("\n\n")[0]
    standby.config_file.write_text(text.replace(listener, ""))
    return active, standby


def test_a_standby_takes_no_mail_and_delivers_what_the_dead_server_had(tmp_path: Path) -> None:
    with Sink() as sink:
        active, standby = pair(tmp_path, sink.port)
        with active, standby:
            sink.on["RCPT"] = Answer(words="451 4.7.1 Later")
            with smtplib.SMTP("127.0.0.1", active.port, timeout=10) as client:
                client.sendmail("bob@example.net", ["alice@sink.test"], "Subject: wait\r\n\r\nfor me\r\n")
            assert standby.facts("status")["state"] == "serving"
            assert standby.facts("check")["listeners"] == []
            active.kill()
            standby.wait_for_log("queue adopted", r"queue=mx1\.0\.1", timeout_s=20)
            sink.on.clear()
            until(lambda: len(sink.received) == 1, "the message of the dead server", 20)
            [secondary] = [each for each in standby.facts("status")["switches"] if each["secondary_for"]]
            assert secondary["secondary_for"] == "mx1"
