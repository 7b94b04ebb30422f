"""`nightmail queue`: looking at queued messages and deciding what becomes of them."""

from __future__ import annotations

import os
import sys
from typing import Annotated, get_args

import typer

from nightmail.admin.answers import ActionDone, QueuePage
from nightmail.cli.client import Client
from nightmail.cli.configuration import load_config
from nightmail.cli.failing import CommandFailed, complain
from nightmail.cli.options import Ambiguous, AsJson, ConfigFile, From, Held, Older, ServerName, To
from nightmail.cli.queue_screen import show_message, show_messages
from nightmail.cli.screen import print_json, screen
from nightmail.cli.words import count
from nightmail.net.control_messages import Action, Selection
from nightmail.world import SystemClock

_ON_ONE_SCREEN = 100
_HELP: dict[Action, str] = {
    "retry": "Try messages now.",
    "hold": "Keep messages from being tried until they are released.",
    "release": "Let held messages go on.",
    "bounce": "Give messages up: their senders get a report.",
    "delete": "Delete messages: nobody is told.",
}
_DONE: dict[Action, str] = {
    "retry": "will be tried now",
    "hold": "held",
    "release": "released",
    "bounce": "bounced",
    "delete": "deleted",
}
_ENDS_MESSAGES = ("bounce", "delete")

app = typer.Typer(no_args_is_help=True, help="See what is queued, and decide what becomes of it.")


@app.command("list")
def list_(
    *,
    config: ConfigFile = None,
    name: ServerName = None,
    to: To = "",
    from_: From = "",
    older: Older = None,
    held: Held = False,
    ambiguous: Ambiguous = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", min=0, metavar="N", show_default=False, help="How many; 0, or into a pipe: all."),
    ] = None,
    json: AsJson = False,
) -> None:
    """List queued messages, oldest first."""
    selection = Selection(to=to, sender=from_, older_s=older or 0.0, held=held, ambiguous=ambiguous)
    if limit is None:
        limit = _ON_ONE_SCREEN if sys.stdout.isatty() and not json else 0
    client = Client(load_config(config, name).server.run_directory)
    page = client.queue_collect(selection, limit)
    if json:
        print_json(page)
    else:
        _show_page(page)
    _complain_of(page.faults)


def _show_page(page: QueuePage) -> None:
    console = screen()
    show_messages(page.messages, SystemClock().wall(), console)
    if console.is_terminal and page.messages:
        more = ", and there are more; --limit 0 lists all" if page.more else ""
        console.print(f"\n{count(len(page.messages), 'message')}{more}", style="dim")


@app.command()
def show(
    message: Annotated[str, typer.Argument(metavar="ID", help="The message's id.")],
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Show one queued message: its recipients, their last replies, its headers."""
    shown = Client(load_config(config, name).server.run_directory).queue_show(message)
    if json:
        print_json(shown)
    else:
        show_message(shown, SystemClock().wall(), screen())


@app.command()
def handover(
    queue: Annotated[str, typer.Argument(metavar="QUEUE", help="A queue that was adopted here, such as mx1.0.1.")],
    *,
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Give up a queue that was adopted, for another server to go on with, first of all the one it is named after."""
    Client(load_config(config, name).server.run_directory).hand_over(queue)
    done = "was given up here: another server goes on with it; if none does, this one does again"
    sys.stdout.write(f'{{"queue":"{queue}"}}\n' if json else f"{queue} {done}.\n")


def _add_action(action: Action) -> None:
    def act(
        ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="The messages' ids.")] = None,
        *,
        config: ConfigFile = None,
        name: ServerName = None,
        to: To = "",
        from_: From = "",
        older: Older = None,
        held: Held = False,
        ambiguous: Ambiguous = False,
        everything: Annotated[bool, typer.Option("--all", help="All messages.")] = False,
        yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
        json: AsJson = False,
    ) -> None:
        selection = Selection(
            ids=tuple(ids or ()), to=to, sender=from_, older_s=older or 0.0, held=held, ambiguous=ambiguous
        )
        _check_meant(selection, everything)
        client = Client(load_config(config, name).server.run_directory)
        if action in _ENDS_MESSAGES and not selection.ids and not yes and not _confirmed(client, action, selection):
            raise CommandFailed(os.EX_OK, "nothing was done")
        _tell(client.queue_act(action, selection), action, selection, json)

    app.command(action, help=_HELP[action])(act)


for _action in get_args(Action):
    _add_action(_action)


def _check_meant(selection: Selection, everything: bool) -> None:
    """Nothing happens to all messages only because somebody forgot to say which."""
    if selection == Selection() and not everything:
        raise CommandFailed(
            os.EX_USAGE, "which messages? give ids, --to, --from, --older, --held, --ambiguous or --all"
        )
    if everything and selection != Selection():
        raise CommandFailed(os.EX_USAGE, "--all means every message; it goes with nothing else that chooses")


def _confirmed(client: Client, action: Action, selection: Selection) -> bool:
    number = client.queue_count(selection).count
    if number == 0:
        return True
    if not sys.stdin.isatty():
        raise CommandFailed(os.EX_USAGE, f"{count(number, 'message')} to {action}: say --yes where nobody can be asked")
    return typer.confirm(f"{action.capitalize()} {count(number, 'message')}?", err=True)


def _tell(done: ActionDone, action: Action, selection: Selection, json: bool) -> None:
    if json:
        print_json(done)
    else:
        sys.stdout.write(f"{count(done.count, 'message')} {_DONE[action]}\n" if done.count else "No messages.\n")
    _complain_of(done.faults)
    missing = len(set(selection.ids)) - done.count
    if missing > 0:
        raise CommandFailed(os.EX_NOINPUT, f"{count(missing, 'id')} not queued here, or not in a state to {action}")


def _complain_of(faults: tuple[str, ...]) -> None:
    for fault in faults:
        complain(fault)
    if faults:
        raise CommandFailed(os.EX_TEMPFAIL, "not every switch answered: what is said above is not all")
