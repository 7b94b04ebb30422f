"""Starting a switch's process: its control channel, its listeners, and how its end is learnt of."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Callable, Sequence
from typing import NamedTuple

CONTROL = "--control-fd"
LISTENERS = "--listener-fds"
TOLD = "told"


class Launched(NamedTuple):
    """A process that runs: our end of its control channel, itself, and the descriptor that tells of its end.

    `owes_notice` says that it has been in reserve, and is to answer with the notice `TOLD` at once.
    """

    control: socket.socket
    process: subprocess.Popen[bytes]
    pidfd: int
    owes_notice: bool = False


Launch = Callable[[int, Sequence[socket.socket]], Launched]
"""Starts the switch of a number, with its listeners. Raises: OSError, and there is no process."""


def launch_command(command: Sequence[str], listeners: Sequence[socket.socket]) -> Launched:
    """Start `command`, which is told its control channel and its listeners in two last options.

    Raises: OSError, and there is no process.
    """
    ours, theirs = socket.socketpair()
    try:
        with theirs:
            process = _start(command, theirs, listeners)
        try:
            return Launched(ours, process, os.pidfd_open(process.pid))
        except OSError:
            process.kill()
            process.wait()
            raise
    except OSError:
        ours.close()
        raise


def _start(
    command: Sequence[str], control: socket.socket, listeners: Sequence[socket.socket]
) -> subprocess.Popen[bytes]:
    descriptors = [listener.fileno() for listener in listeners]
    return subprocess.Popen(  # noqa: S603 - the command is our own
        [*command, *descriptor_options(control.fileno(), descriptors)],
        stdin=subprocess.DEVNULL,
        pass_fds=(control.fileno(), *descriptors),
        # A group of its own: Ctrl-C on the terminal is for the supervisor, which stops its switches in order.
        process_group=0,
    )


def descriptor_options(control: int, listeners: Sequence[int]) -> list[str]:
    """The options that tell a switch which of its descriptors are what."""
    return [CONTROL, str(control), LISTENERS, json.dumps(list(listeners))]


async def exit_of(process: subprocess.Popen[bytes], pidfd: int) -> int:
    """The exit code once the process ends. Its pidfd tells, whatever the event loop and its signals do."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)
    return process.wait()
