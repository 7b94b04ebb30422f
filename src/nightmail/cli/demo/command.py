"""`nightmail demo`: the story told on a terminal, or in lines into a pipe."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from rich.live import Live

from nightmail.cli.demo.picture import clock, draw, draw_verdict
from nightmail.cli.demo.story import Story
from nightmail.cli.demo.verdict import Verdict
from nightmail.cli.failing import CommandFailed, complain
from nightmail.cli.screen import print_json, screen, show
from nightmail.world import SystemClock, SystemRandomness

_REFRESH_S = 0.125
_INTERRUPTED = 130


def run(*, seconds: float, lease_s: float, workers: int, json: bool) -> int:
    """Tell the story; the exit code is 1 where a message was lost or doubled without a record of it."""
    home = Path(tempfile.mkdtemp(prefix="nightmail-demo-"))
    try:
        verdict = asyncio.run(_told(home, seconds / 3, lease_s, workers, json=json))
    except CommandFailed as failure:
        raise CommandFailed(failure.exit_code, f"{failure}; all logs are in {home}") from failure
    except (KeyboardInterrupt, asyncio.CancelledError):
        shutil.rmtree(home, ignore_errors=True)
        raise CommandFailed(_INTERRUPTED, "interrupted; everything that was started is ended") from None
    except Exception as error:
        raise CommandFailed(os.EX_SOFTWARE, f"{error!r}; report this; all logs are in {home}") from error
    if json:
        print_json(verdict)
    else:
        sys.stdout.write("\n")
        show(screen(), draw_verdict(verdict))
    if not verdict.is_sound:
        complain(f"{verdict.fault} The store and all logs are in {home}")
        return 1
    shutil.rmtree(home)
    return os.EX_OK


async def _told(home: Path, act_s: float, lease_s: float, workers: int, *, json: bool) -> Verdict:
    task = asyncio.current_task()
    for number in (signal.SIGTERM, signal.SIGHUP):  # closing the terminal, too, ends what was started
        if task is not None:
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    console = screen()
    is_live = console.is_terminal and not json

    def say(at: float, text: str) -> None:
        if not (is_live or json):
            sys.stdout.write(f"{clock(at)}  {text}\n")
            sys.stdout.flush()

    story = Story(home, SystemClock(), SystemRandomness(), act_s=act_s, lease_s=lease_s, workers=workers, happened=say)
    if not is_live:
        return await story.tell()
    with Live(draw(story.scene), console=console, auto_refresh=False) as live:
        telling = asyncio.create_task(story.tell())
        while not telling.done():
            live.update(draw(story.scene), refresh=True)
            await asyncio.wait({telling}, timeout=_REFRESH_S)
        live.update(draw(story.scene), refresh=True)
        return await telling
