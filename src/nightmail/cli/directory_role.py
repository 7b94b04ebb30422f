"""`nightmail directory promote`: which server takes writes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nightmail.cli.client import Client
from nightmail.cli.directory_ours import load_ours
from nightmail.cli.options import ConfigFile, ServerName


def promote(
    force: Annotated[
        bool, typer.Option("--force", help="Though this server may lack writes that were acknowledged.")
    ] = False,
    config: ConfigFile = None,
    name: ServerName = None,
) -> None:
    """Have this server take writes to the directory, in place of the master."""
    loaded = load_ours(config, name)
    Client(loaded.server.run_directory).promote(is_forced=force)
    sys.stdout.write(f"Writes to the directory are taken on {loaded.server.name} now.\n")
