"""Tables written for one test."""

from __future__ import annotations

from pathlib import Path

GOOD = {
    "domains": "example.org local\nexample.net relay\n",
    "routes": "example.org maildir:/srv/mail/{local_part}\nexample.net smtp:[127.0.0.1]:2526\n* mx\n",
    "mailboxes": "alice@example.org\nbob@example.org\n",
    "aliases": "team@example.org alice@example.org, bob@example.org\n",
    "clients": "127.0.0.0/8 relay\n",
    "policies": "retry_first_s 60\ntotal_connections 40\n",
}


def write_tables(directory: Path, **texts: str | bytes) -> Path:
    """Write the given tables into a directory `tables`, others not; return it."""
    tables = directory / "tables"
    tables.mkdir(exist_ok=True)
    for name, text in texts.items():
        (tables / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return tables
