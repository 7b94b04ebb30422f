"""`nightmail directory promote`: which server takes writes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from nightmail.cli.client import Client
from nightmail.cli.directory_ours import load_ours
from nightmail.cli.options import ConfigFile, ServerName
from nightmail.errors import ConfigInvalid


def promote(
    force: Annotated[
        bool, typer.Option("--force", help="Though this server may lack writes that were acknowledged.")
    ] = False,
    config: ConfigFile = None,
    name: ServerName = None,
) -> None:
    """Have this server take writes to the directory, in place of the master."""
    loaded = load_ours(config, name)
    if any(part.site for part in loaded.parts):
        wrong = "each site's master takes its writes for good, and this role does not move"
        right = "for a site whose master is lost for good, name another server in masters, and restart all servers"
        raise ConfigInvalid(f"{loaded.path}: [directory] masters", wrong, right)
    Client(loaded.server.run_directory).promote(is_forced=force)
    sys.stdout.write(f"Writes to the directory are taken on {loaded.server.name} now.\n")
