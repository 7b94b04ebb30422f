"""Root is given up, whole and for good; every file that may be opened is taken."""

from __future__ import annotations

import json
import os
import pwd
import resource
import sys
from collections.abc import Callable

import pytest

from nightmail.errors import ConfigInvalid
from nightmail.supervisor import privileges
from nightmail.supervisor.privileges import Identity, group_id, raise_open_files_limit

NOBODY = pwd.getpwnam("nobody")


def in_a_child(act: Callable[[], object]) -> object:
    """What `act` gives in a process of its own, where it can do no harm."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write_fd, json.dumps(act()).encode())
        except BaseException as fault:
            os.write(write_fd, json.dumps(str(fault)).encode())
            raise
        finally:
            os._exit(0)
    os.close(write_fd)
    with os.fdopen(read_fd, "rb") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    return json.loads(told)


@pytest.fixture
def as_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def as_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)


def test_root_becomes_the_user_and_can_not_go_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/sh")

    def become() -> object:
        Identity("nobody", ["0.0.0.0:25"]).assume()
        return [*os.getresuid(), *os.getresgid()]

    is_root = os.geteuid() == 0
    uid, gid = (NOBODY.pw_uid, NOBODY.pw_gid) if is_root else (os.getuid(), os.getgid())
    assert in_a_child(become) == [uid] * 3 + [gid] * 3


def test_a_user_who_can_not_run_the_switches_is_said_so(monkeypatch: pytest.MonkeyPatch, as_root: None) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    for call in ("initgroups", "setresuid", "setresgid"):
        monkeypatch.setattr(os, call, lambda *_: None)
    with pytest.raises(ConfigInvalid, match="'nobody' may not run /nowhere/python; install"):
        Identity("nobody", []).assume()


def test_root_by_itself_serves_no_privileged_port(as_root: None) -> None:
    with pytest.raises(ConfigInvalid, match=r"user: not set, and root would serve \[::\]:25"):
        Identity("", ["127.0.0.1:2525", "[::]:25"])


def test_root_may_serve_other_ports_and_is_warned(as_root: None, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(privileges.log, "warning", lambda event, **_: warnings.append(event))
    Identity("", ["127.0.0.1:2525", "127.0.0.1:0"]).assume()
    assert warnings == ["running as root"]


def test_who_is_not_root_stays_who_he_is(as_somebody: None, monkeypatch: pytest.MonkeyPatch) -> None:
    warnings: list[str] = []
    monkeypatch.setattr(privileges.log, "warning", lambda event, **_: warnings.append(event))
    identity = Identity("nobody", ["127.0.0.1:25"])
    identity.assume()
    assert identity.uid == 12_345
    assert warnings == ["user is not changed: not started as root"]


def test_a_user_or_group_nobody_knows_is_refused() -> None:
    with pytest.raises(ConfigInvalid, match="no user 'no-such-user'"):
        Identity("no-such-user", [])
    with pytest.raises(ConfigInvalid, match="no group 'no-such-group'"):
        group_id("no-such-group")


def test_the_limit_of_open_files_goes_as_far_as_it_may() -> None:
    def lowered_and_raised() -> object:
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))
        return [raise_open_files_limit(), raise_open_files_limit(), resource.getrlimit(resource.RLIMIT_NOFILE)[0]]

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    expected = 1_048_576 if hard == resource.RLIM_INFINITY else min(hard, 1_048_576)
    assert in_a_child(lowered_and_raised) == [expected] * 3
