"""The options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from nightmail.cli.words import parse_duration

# typer hands the parsed value on as it is; annotated as what it is after parsing.
_Duration = typer.Option(
    "--older", metavar="TIME", parser=parse_duration, help="At least this old, for instance 90s, 15m, 4h or 2d."
)

ConfigFile = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        show_default=False,
        help="Configuration; default: $NIGHTMAIL_CONFIG, ./nightmail.toml, /etc/nightmail/nightmail.toml.",
    ),
]
ServerName = Annotated[
    str | None,
    typer.Option("--name", metavar="SERVER", show_default=False, help="Which server of the configuration this is."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the facts as JSON.")]
To = Annotated[
    str, typer.Option("--to", metavar="ADDRESS", show_default=False, help="With this recipient; @DOMAIN: any of it.")
]
From = Annotated[
    str,
    typer.Option(
        "--from", metavar="ADDRESS", show_default=False, help="From this sender; @DOMAIN: any of it; <>: null."
    ),
]
Older = Annotated[float | None, _Duration]
Held = Annotated[bool, typer.Option("--held", help="Only those that are held.")]
Ambiguous = Annotated[bool, typer.Option("--ambiguous", help="Only those that may have been delivered already.")]
