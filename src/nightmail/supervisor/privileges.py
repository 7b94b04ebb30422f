"""What the supervisor may do on the machine: it takes all the files it may have, and gives up root."""

from __future__ import annotations

import grp
import os
import pwd
import resource
import sys
from collections.abc import Iterable

import structlog

from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import parse_host_port

_OPEN_FILES_MAX = 1_048_576
_FIRST_UNPRIVILEGED_PORT = 1024

log = structlog.get_logger()


def raise_open_files_limit() -> int:
    """Raise the limit of open files as far as it goes without asking anybody; what it is now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES_MAX if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES_MAX)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


class Identity:
    """The user the server runs as, known before ports are bound and assumed after."""

    def __init__(self, user: str, addresses: Iterable[str]) -> None:
        """Settle who it is: `user`, or whoever started us where that is empty.

        Raises:
            ConfigInvalid: no such user, or root is asked to serve a privileged port.
        """
        self._starts_as_root = os.geteuid() == 0
        self._user = user
        self.uid, self.gid = os.geteuid(), os.getegid()
        if user:
            self._look_up(user)
        elif self._starts_as_root:
            _allow_root(addresses)

    def _look_up(self, user: str) -> None:
        try:
            entry = pwd.getpwnam(user)
        except KeyError:
            raise ConfigInvalid("[server] user", f"there is no user {user!r}", "create it or name another") from None
        if self._starts_as_root:
            self.uid, self.gid = entry.pw_uid, entry.pw_gid
        elif entry.pw_uid != self.uid:
            log.warning("user is not changed: not started as root", user=user, uid=self.uid)

    def assume(self) -> None:
        """Become that user, with its groups, and with no way back.

        Raises:
            ConfigInvalid: that user can't run the switches.
        """
        if not self._starts_as_root or not self._user:
            return
        os.initgroups(self._user, self.gid)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)
        if not os.access(sys.executable, os.X_OK):
            raise ConfigInvalid(
                "[server] user",
                f"{self._user!r} may not run {sys.executable}",
                "install nightmail where that user can reach it",
            )


def _allow_root(addresses: Iterable[str]) -> None:
    privileged = [address for address in addresses if 0 < parse_host_port(address).port < _FIRST_UNPRIVILEGED_PORT]
    if privileged:
        raise ConfigInvalid(
            "[server] user",
            f"not set, and root would serve {privileged[0]}",
            'set it, for instance user = "nightmail": root binds the ports, that user runs the server',
        )
    log.warning("running as root", remedy="set [server] user")


def group_id(group: str) -> int:
    """The number of the group that may submit mail.

    Raises:
        ConfigInvalid: there is no such group.
    """
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        raise ConfigInvalid("[submission] group", f"there is no group {group!r}", "create it or name another") from None
