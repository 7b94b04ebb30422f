"""`nightmail balancer`: configurations for the load balancer in front of the servers."""

from __future__ import annotations

import sys

import typer

from nightmail.balancer.haproxy import Server, render
from nightmail.cli.configuration import load_config
from nightmail.cli.options import ConfigFile, ServerName
from nightmail.errors import ConfigInvalid

app = typer.Typer(no_args_is_help=True, help="Configure the load balancer in front of the servers.")


@app.callback()
def _root() -> None:
    """Keep `haproxy` a word of its own, for there will be others."""


@app.command()
def haproxy(config: ConfigFile = None, name: ServerName = None) -> None:
    """Print a complete configuration for HAProxy, from [balancer] and [servers]."""
    loaded = load_config(config, name)
    if loaded.balancer is None:
        right = 'write [balancer] and below it address = "host:port", to which clients connect'
        raise ConfigInvalid(loaded.path, "there is no [balancer]", right)
    servers = [Server(each, entry.smtp, entry.http, entry.standby) for each, entry in loaded.servers.items()]
    sys.stdout.write(render(loaded.balancer, servers))
