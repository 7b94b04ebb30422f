"""The commands of `nightmail`, sendmail excepted."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from nightmail import __version__
from nightmail.cli import balancer, queue
from nightmail.cli.client import Client
from nightmail.cli.configuration import find_config, load_config
from nightmail.cli.failing import CommandFailed, complain, exit_code_for
from nightmail.cli.options import AsJson, ConfigFile, ServerName
from nightmail.cli.screen import print_json, screen
from nightmail.cli.status_screen import show_status
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

_USAGE_ERROR = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A mail switch that never loses an acknowledged message and never keeps a server idle.",
)
app.add_typer(queue.app, name="queue")
app.add_typer(balancer.app, name="balancer")


def _print_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"nightmail {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Stand for the options that go before a command."""


@app.command()
def serve(config: ConfigFile = None, name: ServerName = None) -> None:
    """Run the server in the foreground. SIGTERM stops it, SIGHUP reads the tables again."""
    command = [sys.executable, "-m", "nightmail.server", "serve", "--config", find_config(config)]
    # A process of its own kind from here on: what the command line needed is not kept in memory.
    os.execv(sys.executable, [*command, "--name", name] if name else command)  # noqa: S606 - our own interpreter


@app.command()
def check(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Read the configuration and the tables, and say what is wrong."""
    from nightmail.cli.checking import check_everything, show_findings  # noqa: PLC0415 - only this command reads tables

    findings = check_everything(load_config(config, name))
    if json:
        print_json(findings)
    else:
        show_findings(findings, screen())
    if findings.fault:
        raise CommandFailed(exit_code_for(findings.outcomes, os.EX_TEMPFAIL), findings.fault)


@app.command()
def status(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Show what runs here, which queues it owns and how deep they are."""
    picture = Client(load_config(config, name).server.run_directory).status()
    if json:
        print_json(picture)
    else:
        show_status(picture, screen())


@app.command()
def reload(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Have the running server read its tables again."""
    Client(load_config(config, name).server.run_directory).reload()
    sys.stdout.write('{"tables":"ok"}\n' if json else "The tables are in force.\n")


@app.command()
def drain(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Take no new mail, end what is under way, and give the queues to the partners. A restart takes mail again."""
    client = Client(load_config(config, name).server.run_directory)
    client.drain()
    if json:
        sys.stdout.write('{"state":"drained"}\n')
    elif any(peer.state == "serving" for peer in client.status().peers):
        sys.stdout.write("Drained: this server takes no mail, and its queues are its partners'.\n")
    else:
        sys.stdout.write("Drained: this server takes no mail. No partner serves: what is queued waits in the store "
                         "until a server is started.\n")  # fmt: skip


@app.command()
def demo(
    config: Annotated[
        str | None,
        typer.Option("--config", metavar="FILE", show_default=False, help="Take lease_s and workers from this file."),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=6, max=600, metavar="S", help="How long the load lasts.")
    ] = 30.0,
    json: AsJson = False,
) -> None:
    """Kill a server of a pair under load, and audit that nothing was lost: a pair of its own, away in a minute."""
    from nightmail.cli.demo.command import run  # noqa: PLC0415 - only this command needs a load and a display

    lease_s, workers = 1.0, 1
    if config:
        loaded = load_config(config, None)
        lease_s, workers = loaded.store.lease_s, loaded.server.workers
    raise typer.Exit(run(seconds=seconds, lease_s=lease_s, workers=workers, json=json))


@app.command(context_settings={"ignore_unknown_options": True, "allow_extra_args": True}, add_help_option=False)
def directory(context: typer.Context) -> None:
    """Set up the directory, and see and change what is in it; nightmail directory --help says how."""
    try:
        from nightmail.cli.directory import app as commands  # noqa: PLC0415 - LDAP is an extra, and slow to load
    except ModuleNotFoundError as error:
        reason = f"{error.name} is not installed: pip install 'nightmail[directory]'"
        raise CommandFailed(os.EX_UNAVAILABLE, reason) from error

    commands(args=context.args, prog_name="nightmail directory")


@app.command(
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]}
)
def sendmail(context: typer.Context) -> None:
    """Take a message from standard input, as sendmail does: -t -i -f -F -N -R -V -bp -bs."""
    from nightmail.cli.sendmail import main  # noqa: PLC0415 - a quick start for the other commands

    raise typer.Exit(main(context.args))


def run_app(arguments: Sequence[str]) -> int:
    """Run one command; its exit code."""
    try:
        app(args=list(arguments), prog_name="nightmail")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else os.EX_SOFTWARE if end.code else os.EX_OK
        return os.EX_USAGE if code == _USAGE_ERROR else code
    except ConfigInvalid as fault:
        complain(fault)
        return os.EX_CONFIG
    except DirectoryUnavailable as away:
        complain(away)
        return exit_code_for([_outcome_of(away)], os.EX_TEMPFAIL)
    except CommandFailed as failure:
        complain(failure)
        return failure.exit_code
    except BrokenPipeError:
        # Whoever read our output has seen enough; the interpreter must not complain when it flushes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return os.EX_OK


def _outcome_of(error: DirectoryUnavailable) -> str:
    from nightmail.directory.sessions import outcome_of  # noqa: PLC0415 - LDAP is an extra, there by now

    return outcome_of(error)
