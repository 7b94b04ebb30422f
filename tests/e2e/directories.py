"""A pair that is configured by a directory, its replicas included, and what one asks of it."""

from __future__ import annotations

import os
import smtplib
from pathlib import Path

from tests.e2e.pairs import pair
from tests.e2e.processes import command_line
from tests.e2e.switch import Switch, free_port
from tests.e2e.waiting import PATIENCE_S, until

from nightmail.admin.answers import DirectoryPicture
from nightmail.directory.slapd import find_installation

TABLES = {
    "domains": "example.org local\n",
    "routes": "example.org maildir:{mail}/{local_part}\n",
    "mailboxes": "alice@example.org\n",
    "aliases": "team@example.org alice@example.org\n",
    "clients": "127.0.0.0/8 relay\n",
}


class DirectoryPair:
    """mx1 with the first master and mx2 with its shadow, not yet running."""

    def __init__(self, directory: Path, topology: str = "single-master") -> None:
        secret = directory / "directory.key"
        secret.write_text(os.urandom(16).hex())
        secret.chmod(0o600)
        further = {
            "directory": {
                "suffix": "dc=example,dc=org",
                "topology": topology,
                "first_master": "mx1",
                "secret_file": str(secret),
                "data_directory": "data",
            },
            **{f"servers.{name}": {"directory": f"127.0.0.1:{free_port()}"} for name in ("mx1", "mx2")},
        }
        self.first, self.second = pair(directory, 1, further=further)
        self.tables = directory / "tables"

    def run(self, *words: str) -> str:
        """What `nightmail directory` says on server 1."""
        done = self.first.nightmail("directory", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fill(self, **changed: str) -> str:
        """Have the directory say what the tables above do, with some of them changed."""
        self.tables.mkdir(exist_ok=True)
        for name, text in {**TABLES, **changed}.items():
            (self.tables / name).write_text(text.replace("{mail}", str(self.first.mail)))
        return self.run("import", str(self.tables), "--delete")


def replica_pid(server: Switch) -> int:
    return next((pid for pid in server.pids() if command_line(pid)[:1] == [find_installation().slapd]), 0)


def answer(server: Switch, recipient: str) -> int:
    with smtplib.SMTP(server.host, server.port, timeout=PATIENCE_S) as client:
        client.helo("client.test")
        client.mail("bob@example.net")
        return client.rcpt(recipient)[0]


def until_answered(server: Switch, recipient: str, code: int) -> None:
    until(lambda: answer(server, recipient) == code, f"{server.name} answers {code} to {recipient}")


def send(server: Switch, recipient: str) -> None:
    with smtplib.SMTP(server.host, server.port, timeout=PATIENCE_S) as client:
        client.sendmail("bob@example.net", [recipient], "Subject: hello\r\n\r\nhello\r\n")


def directory(server: Switch) -> DirectoryPicture:
    """The directory as a server sees it."""
    picture = server.status().directory
    assert picture is not None
    return picture
