"""Which configuration a command is about."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping

from nightmail.config.loading import load
from nightmail.config.settings import Config
from nightmail.errors import ConfigInvalid

VARIABLE = "NIGHTMAIL_CONFIG"
HERE = "nightmail.toml"
SYSTEM_WIDE = "/etc/nightmail/nightmail.toml"


def find_config(given: str | None, environment: Mapping[str, str] = os.environ) -> str:
    """The file that was named, else that of NIGHTMAIL_CONFIG, ./nightmail.toml, /etc/nightmail/nightmail.toml.

    The one in the current directory counts only if it is ours or root's: a program that sends mail may stand in a
    directory where anybody can leave files.

    Raises:
        ConfigInvalid: there is none.
    """
    named = given or environment.get(VARIABLE)
    if named:
        return named
    if _is_trusted(HERE):
        return HERE
    if os.path.exists(SYSTEM_WIDE):
        return SYSTEM_WIDE
    raise ConfigInvalid(
        "no configuration", f"neither ./{HERE} nor {SYSTEM_WIDE} is there", f"name one with --config or {VARIABLE}"
    )


def load_config(given: str | None, name: str | None) -> Config:
    """The configuration that the command is about. Raises: ConfigInvalid."""
    return load(find_config(given), name)


def _is_trusted(path: str) -> bool:
    try:
        facts = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(facts.st_mode) and facts.st_uid in (0, os.geteuid())
