"""Configuration files written for one test."""

from __future__ import annotations

from pathlib import Path

SMALLEST = """\
[server]
name = "mx1"
hostname = "mx1.example.net"
[store]
url = "file:///srv/nightmail"
[[listener]]
address = "127.0.0.1:2525"
"""
PAIR = (
    SMALLEST
    + """\
[servers.mx1]
heartbeat = "127.0.0.1:7946"
[servers.mx2]
heartbeat = "127.0.0.1:7947"
[heartbeat]
secret_file = "heartbeat.key"
"""
)


def write(directory: Path, text: str | bytes) -> str:
    """Write the text as nightmail.toml; return its path."""
    path = directory / "nightmail.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)
