"""Secrets that the servers of a cluster share, in files that nobody else can read."""

from __future__ import annotations

import os
import stat

from nightmail.errors import ConfigInvalid
from nightmail.group.heartbeat import SECRET_MIN_BYTES


def read_secret(path: str, setting: str) -> bytes:
    """A secret that servers share, from the file that `setting` names.

    Raises:
        ConfigInvalid: it can't be read, is too short, or everybody can read it.
    """
    how = f"head -c 32 /dev/urandom | base64 > {path} && chmod 600 {path}"
    make = f"copy it from another server, or, on the first one, make it: {how}"
    secret = read_private(path, setting, make).strip()
    if len(secret) < SECRET_MIN_BYTES:
        wrong = f"it has {len(secret)} octets, too few to be a secret; {SECRET_MIN_BYTES} are the least"
        raise ConfigInvalid(f"{setting} {path}", wrong, make)
    return secret


def read_password(path: str, setting: str) -> str:
    """A password, from the file that `setting` names: its first line.

    Raises:
        ConfigInvalid: it can't be read, is none, or everybody can read it.
    """
    write = f"write the password into it, and chmod 600 {path}"
    lines = read_private(path, setting, write).splitlines()
    if not lines or not lines[0]:
        raise ConfigInvalid(f"{setting} {path}", "there is no password in its first line", write)
    try:
        return lines[0].decode()
    except UnicodeDecodeError as error:
        raise ConfigInvalid(f"{setting} {path}", "it is not UTF-8", write) from error


def read_private(path: str, setting: str, make: str) -> bytes:
    """What stands in a file that nobody else may read; `make` says how one is made.

    Raises:
        ConfigInvalid: it can't be read, or everybody can.
    """
    place = f"{setting} {path}"
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read()
    except PermissionError as error:
        right = f"give it to the user that the server runs as: chown USER {path}"
        raise ConfigInvalid(place, os.strerror(error.errno or 0), right) from error
    except OSError as error:
        raise ConfigInvalid(place, os.strerror(error.errno or 0), make) from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigInvalid(place, "every user of this machine can read or write it", f"chmod 600 {path}")
    if mode & stat.S_IWGRP:
        raise ConfigInvalid(place, "its group can write it", f"chmod 600 {path}")
    return content
