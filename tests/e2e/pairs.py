"""Two servers on one store that protect one another, without a balancer."""

from __future__ import annotations

import os
import smtplib
from pathlib import Path

from tests.e2e.switch import Settings, Switch, free_port
from tests.e2e.waiting import PATIENCE_S

_ORIGINALS = {
    "domains": "sink.test relay\n",
    "mailboxes": "",
    "aliases": "",
    "clients": "127.0.0.0/8 relay\n",
}


def pair(
    directory: Path, sink_port: int, *, standby: bool = False, further: Settings | None = None
) -> tuple[Switch, Switch]:
    """mx1 and mx2, not yet running, mail for sink.test going to the sink; mx2 may be a standby without a listener.

    `further` settings are those of both.
    """
    secret = directory / "heartbeat.key"
    secret.write_text(os.urandom(16).hex())
    secret.chmod(0o600)
    tables = {**_ORIGINALS, "routes": f"sink.test smtp:[127.0.0.1]:{sink_port}\n"}
    first, second = (Switch(directory / name, tables, None, directory / "disk", name) for name in ("mx1", "mx2"))
    settings: dict[str, dict[str, object]] = {
        "heartbeat": {"secret_file": str(secret)},
        "servers.mx1": {
            "heartbeat": f"127.0.0.1:{free_port()}",
            "smtp": f"127.0.0.1:{first.port}",
            "http": f"127.0.0.1:{first.http_port}",
        },
        "servers.mx2": {
            "heartbeat": f"127.0.0.1:{free_port()}",
            "smtp": "" if standby else f"127.0.0.1:{second.port}",
            "http": f"127.0.0.1:{second.http_port}",
            "standby": standby,
        },
        "queue": {"retry_first_s": 1, "retry_max_s": 2},
        "store": {"idle_tick_s": 1},
    }
    for name, entries in (further or {}).items():
        settings.setdefault(name, {}).update(entries)
    for server in (first, second):
        server.configure(settings)
    if standby:
        text = second.config_file.read_text()
        listener = text[text.index("[[listener]]") :].partition("\n\n")[0]
        second.config_file.write_text(text.replace(listener, ""))
    return first, second


def send_one(server: Switch) -> None:
    """Have a server take one message for the sink."""
    with smtplib.SMTP("127.0.0.1", server.port, timeout=PATIENCE_S) as client:
        client.sendmail("bob@example.net", ["alice@sink.test"], "Subject: wait\r\n\r\nfor me\r\n")
