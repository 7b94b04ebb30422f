"""`python -m bench` measures one server; `python -m bench deferred large`, say, only that; `failover` a pair."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from bench import beside_postfix, deferred, directory, failover, large, lone, machine, report
from bench.processes import BenchFailed, leave_on_sigterm
from bench.report import Figures, Goal

Measurement = Callable[[Path, argparse.Namespace, Console], tuple[list[Figures], list[Goal]]]
_MEASUREMENTS: dict[str, Measurement] = {
    "beside-postfix": beside_postfix.run,
    "deferred": deferred.run,
    "large": large.run,
    "lone": lone.run,
}
_EVERY = {**_MEASUREMENTS, "directory": directory.run, **failover.MEASUREMENTS}
# The directory for temporary files that is not in memory on any distribution.
_ON_DISK = Path("/var/tmp")  # noqa: S108 - what is put there goes into a fresh directory of our own


def main() -> int:
    """Measure, print, and return the exit status: 0 also where a goal was missed, for the figures are the result."""
    options = _options()
    console = Console(width=130 if not sys.stdout.isatty() else None)
    leave_on_sigterm()
    try:
        with tempfile.TemporaryDirectory(prefix="nightmail-bench-", dir=options.directory) as name:
            place = Path(name)
            place.chmod(0o755)
            _measure(place, options, console)
    except BenchFailed as error:
        console.print(f"[red]bench:[/] {error}", highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("bench: interrupted, everything it started is ended")
        return 130
    return 0


def _measure(place: Path, options: argparse.Namespace, console: Console) -> None:
    about = machine.describe(place)
    for label, text in about:
        console.print(f"{label:12} {text}", highlight=False)
    if machine.file_system(place) == "tmpfs":
        console.print("[yellow]This is a file system in memory: a sync costs nothing here; see --directory.[/]")
    tables: list[Figures] = []
    goals: list[Goal] = []
    for what in options.what:
        (place / what).mkdir(mode=0o755)
        machine.spread(place / what)
        found, reached = _EVERY[what](place / what, options, console)
        report.show(console, found, reached)
        tables += found
        goals += reached
    if options.markdown:
        options.markdown.write_text(report.markdown(about, tables, goals))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("what", nargs="*", metavar="WHAT", help=f"{', '.join(_EVERY)}; default: those of one server")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs; medians are told")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a single run lasts, about")
    parser.add_argument("--workers", type=int, default=0, help="also measure nightmail with this many switches")
    parser.add_argument("--plain", metavar="COMMAND", help="also measure another nightmail, such as one not compiled")
    parser.add_argument("--messages", type=int, default=100_000, help="how many are deferred")
    parser.add_argument("--kills", type=int, default=100, help="how many servers are killed under load")
    parser.add_argument("--strikes", type=int, default=10, help="how often anything else is struck")
    parser.add_argument("--directory", type=Path, default=_ON_DISK, help="where queues and logs are kept")
    parser.add_argument("--markdown", type=Path, help="write the tables to this file, too")
    options = parser.parse_args()
    options.what = options.what or list(_MEASUREMENTS)
    if "failover" in options.what:
        options.what = [*(what for what in options.what if what != "failover"), *failover.MEASUREMENTS]
    if unknown := set(options.what) - set(_EVERY):
        parser.error(f"{', '.join(sorted(unknown))}: there is failover, {', '.join(_EVERY)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
