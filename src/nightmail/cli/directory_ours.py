"""The configuration, for commands that are for a directory of our own."""

from __future__ import annotations

from nightmail.admin.external import is_external
from nightmail.cli.configuration import load_config
from nightmail.config.settings import Config
from nightmail.errors import ConfigInvalid


def load_ours(config: str | None, name: str | None) -> Config:
    """The configuration, for a command that changes its directory. Raises: ConfigInvalid: it is not ours to change."""
    loaded = load_config(config, name)
    if loaded.directory is not None and is_external(loaded.directory):
        wrong = "nightmail does not run this directory, and only reads it"
        right = "its own tools change it, back it up and restore it"
        raise ConfigInvalid(f"{loaded.path}: [directory]", wrong, right)
    return loaded
