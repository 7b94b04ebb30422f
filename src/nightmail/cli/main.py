"""The entry point of `nightmail`, and of `sendmail`, `mailq` and `newaliases` where they are links to it."""

from __future__ import annotations

import os
import sys

_SENDMAIL_NAMES = {"sendmail": [], "mailq": ["-bp"], "newaliases": ["-bi"]}


def run() -> int:
    """Run the command that the process was started for; its exit code."""
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    if name in _SENDMAIL_NAMES or arguments[:1] == ["sendmail"]:
        from nightmail.cli.sendmail import main  # noqa: PLC0415 - nothing else, programs call it by the thousand

        return main([*_SENDMAIL_NAMES[name], *arguments] if name in _SENDMAIL_NAMES else arguments[1:])
    from nightmail.cli.app import run_app  # noqa: PLC0415 - see above

    return run_app(arguments)
