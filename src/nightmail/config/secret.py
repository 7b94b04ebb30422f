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
    place = f"{setting} {path}"
    make = f"make one with: head -c 32 /dev/urandom | base64 > {path} && chmod 600 {path}"
    try:
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            secret = file.read().strip()
    except PermissionError as error:
        right = f"give it to the user that the server runs as: chown USER {path}"
        raise ConfigInvalid(place, os.strerror(error.errno or 0), right) from error
    except OSError as error:
        raise ConfigInvalid(place, os.strerror(error.errno or 0), make) from error
    if mode & (stat.S_IROTH | stat.S_IWOTH):
        raise ConfigInvalid(place, "every user of this machine can read or write it", f"chmod 600 {path}")
    if mode & stat.S_IWGRP:
        raise ConfigInvalid(place, "its group can write it", f"chmod 600 {path}")
    if len(secret) < SECRET_MIN_BYTES:
        wrong = f"it has {len(secret)} octets, too few to be a secret; {SECRET_MIN_BYTES} are the least"
        raise ConfigInvalid(place, wrong, make)
    return secret
