"""`nightmail directory`: set up the directory, and see and change what is in it."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import msgspec
import typer

from nightmail.admin.external import is_external, look_at_servers
from nightmail.admin.mastering import master_for
from nightmail.admin.replicas import access_of, directory_of, uri_of
from nightmail.admin.whole_content import authority, said_by
from nightmail.cli.configuration import load_config
from nightmail.cli.directory_changes import Done, add_entries, delete_entries, modify_entries
from nightmail.cli.directory_checks import (
    check_found,
    fault_as_comment,
    findings_in,
    found_at,
    show_checked,
    show_remarks,
    told,
    whom_to_ask,
    with_fault,
)
from nightmail.cli.directory_ours import load_ours
from nightmail.cli.directory_role import promote
from nightmail.cli.directory_screen import show_servers, show_standings
from nightmail.cli.directory_sessions import confirm_written, part_of_site, reading, writing
from nightmail.cli.directory_tables import carry_out, lines_given, plan_for, say_what_is_elsewhere, show_plan
from nightmail.cli.directory_upkeep import backup, init, reseed, restore
from nightmail.cli.failing import CommandFailed, GivenWrong, complain, exit_code_for, given, written_to
from nightmail.cli.options import AsJson, ConfigFile, ServerName
from nightmail.cli.screen import print_json, screen
from nightmail.config.settings import Config
from nightmail.directory.exchange import normal_lines, text_of
from nightmail.directory.ldif import ldif_of
from nightmail.directory.parts import Part
from nightmail.directory.reading import Records, read_ldif
from nightmail.directory.role import Role
from nightmail.directory.selection import DirectoryTables
from nightmail.directory.server_schema import schema_at
from nightmail.directory.standing import Standing, look_at
from nightmail.errors import ConfigInvalid, DirectoryUnavailable
from nightmail.routing.source import NAMES
from nightmail.world import SystemClock

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Set up the directory, and see and change what is in it.",
)

app.command()(init)
app.command()(reseed)
app.command()(backup)
app.command()(restore)
app.command()(promote)

Ldif = Annotated[str, typer.Argument(metavar="LDIF", help="The file; -: standard input.")]
Force = Annotated[bool, typer.Option("--force", help="Also what can't come into force.")]
Names = Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False, help="Distinguished names.")]
Tables = Annotated[str, typer.Argument(metavar="TABLES", show_default=False, help="The directory with the tables.")]


@app.command("import")
def import_tables(
    tables: Tables,
    *,
    delete: Annotated[bool, typer.Option("--delete", help="Delete what the tables don't have.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done, and do nothing.")] = False,
    site: Annotated[
        str,
        typer.Option("--site", metavar="SITE", show_default=False, help="Whose part; default: this server's site's."),
    ] = "",
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Have the directory say what tables say."""
    loaded = load_ours(config, name)
    part = part_of_site(loaded, site)
    wanted = lines_given(tables, loaded.base)
    if dry_run:
        with reading(loaded) as directory, given():
            plan = plan_for(wanted, directory.search(directory_of(loaded).suffix), part, delete=delete)
        show_plan(plan, json=json)
        say_what_is_elsewhere(plan)
        return
    with writing(loaded, [part.base]) as masters:
        with given():
            plan = plan_for(wanted, masters.search(), part, delete=delete)
            done = carry_out(plan, masters)
        confirmed = confirm_written(loaded, masters, is_whole=True)
    say_what_is_elsewhere(plan)
    if json:
        print_json({**done, "confirmed": confirmed})
        return
    sys.stdout.write(f"Entries added: {done['added']:,}, changed: {done['changed']:,}, deleted: {done['deleted']:,}\n")
    if done["left"]:
        sys.stdout.write(f"{done['left']:,} lines that only the directory has are left; --delete takes them away.\n")


@app.command("export")
def export_tables(tables: Tables, config: ConfigFile = None, name: ServerName = None) -> None:
    """Write what the directory says as tables, into a directory that is empty or new."""
    loaded = load_config(config, name)
    settings = directory_of(loaded)
    with written_to(tables):
        os.makedirs(tables, exist_ok=True)
        is_empty = not os.listdir(tables)
    if not is_empty:
        raise GivenWrong(tables, "there is something in it", "name a directory that is empty or new")
    with reading(loaded) as directory:
        said = said_by(directory, settings)
    remarks = findings_in(said, loaded)
    lines = normal_lines(DirectoryTables([*said.own, *said.mapped], settings.suffix))
    with written_to(tables):
        for table in NAMES:
            with open(os.path.join(tables, table), "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(text_of(table, lines))
    sys.stdout.write(f"{len(lines):,} lines written to {tables}\n")
    show_remarks(remarks, screen())


@app.command()
def add(ldif: Ldif = "-", force: Force = False, config: ConfigFile = None, name: ServerName = None) -> None:
    """Add the entries of an LDIF file. Those that are there already, just so, are left."""
    loaded = load_ours(config, name)
    entries, changes = records_of(ldif)
    if changes:
        raise GivenWrong(ldif, "it has changes of entries", "`nightmail directory modify` carries them out")
    with writing(loaded, [entry.dn for entry in entries]) as masters:
        with given():
            done = add_entries(masters, loaded, entries, force=force)
        confirm_written(loaded, masters, is_whole=done.left > 0)
    _say_done("added", done, "there already")


@app.command()
def modify(ldif: Ldif = "-", force: Force = False, config: ConfigFile = None, name: ServerName = None) -> None:
    """Carry out the changes of an LDIF file (changetype: modify). Those that are carried out already are left."""
    loaded = load_ours(config, name)
    entries, changes = records_of(ldif)
    if entries:
        raise GivenWrong(
            ldif, "it has whole entries", "`nightmail directory add` adds them; a change has changetype: modify"
        )
    with writing(loaded, [name for name, _ in changes]) as masters:
        with given():
            done = modify_entries(masters, loaded, changes, force=force)
        confirm_written(loaded, masters, is_whole=done.left > 0)
    _say_done("changed", done, "so already")


@app.command()
def delete(names: Names, force: Force = False, config: ConfigFile = None, name: ServerName = None) -> None:
    """Delete entries, by their names. Those that are not there are named, and the others deleted."""
    loaded = load_ours(config, name)
    with writing(loaded, names) as masters:
        try:
            with given():
                done = delete_entries(masters, loaded, names, force=force)
        except GivenWrong:
            if loaded.has_failover:  # gone already, perhaps, but not yet known to be gone everywhere
                confirm_written(loaded, masters, is_whole=True)
            raise
        confirm_written(loaded, masters, is_whole=done.left > 0)
    _say_done("deleted", done, "not there")


@app.command()
def check(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Name every entry that can't come into force or be used, with the reason."""
    loaded = load_config(config, name)
    asking = whom_to_ask(loaded)
    if len(asking.away) == len(asking.uris):
        reasons = "; ".join([*asking.reasons, *asking.away])
        raise CommandFailed(exit_code_for(asking.outcomes, os.EX_TEMPFAIL), reasons)
    for reason in (*asking.reasons, *asking.contradictions, asking.outdated):
        if reason:
            complain(reason)
    with reading(loaded, asking.uris) as directory:
        found = found_at(directory, loaded)
    checked = check_found(found, loaded)
    if json:
        print_json(checked)
    else:
        show_checked(checked, screen())
    if checked.fatal:
        raise CommandFailed(os.EX_CONFIG, told(checked))


@app.command()
def status(config: ConfigFile = None, name: ServerName = None, json: AsJson = False) -> None:
    """Show whether each replica answers, and how far it is behind the master."""
    loaded = load_config(config, name)
    if is_external(directory_of(loaded)):
        servers = look_at_servers(directory_of(loaded))
        print_json(servers) if json else show_servers(servers, screen())
        if all(server.outcome != "ok" for server in servers):
            code = exit_code_for([server.outcome for server in servers], os.EX_UNAVAILABLE)
            raise CommandFailed(code, "no server of the directory can be asked")
        return
    standings, wrong = _standings(loaded)
    if json:
        print_json(standings)
    else:
        show_standings(standings, screen())
    if wrong:
        complain(wrong)
    if differing := [standing.server for standing in standings if standing.outcome == "another secret"]:
        raise CommandFailed(os.EX_CONFIG, f"this server's secret differs from that of {' and '.join(differing)}")
    if all(standing.outcome != "ok" for standing in standings):
        raise CommandFailed(os.EX_UNAVAILABLE, "no replica of the directory answers")


def _standings(config: Config) -> tuple[list[Standing], str]:
    """How each replica stands, and why it can't be told who takes writes, if so."""
    has_sites = any(part.site for part in config.parts)
    with authority(config) as trusted:
        access = access_of(directory_of(config), "reader", trusted)
        uris = {server: uri_of(config, server) for server in config.replicas}
        masters, role, wrong = _masters_if_known(config)
        standings = look_at(uris, masters, access, SystemClock())
    if has_sites:
        standings = [msgspec.structs.replace(each, site=config.site_of(each.server)) for each in standings]
    if role is not None:
        standings = [
            msgspec.structs.replace(
                each, may_take_over=each.server in role.in_sync and each.server not in masters.values()
            )
            for each in standings
        ]
    return standings, wrong


@app.command()
def search(
    filter_text: Annotated[
        str, typer.Argument(metavar="FILTER", help="Which entries, as in (mailLocalAddress=alice@example.org).")
    ] = "(objectClass=*)",
    config: ConfigFile = None,
    name: ServerName = None,
    json: AsJson = False,
) -> None:
    """Show entries as LDIF; of one that can't be understood a comment says why."""
    loaded = load_config(config, name)
    count = 0
    with reading(loaded) as directory, given():
        if schema := schema_at(directory):
            schema.check_filter(filter_text)
        found = directory.search(directory_of(loaded).suffix, filter_text)
        if json:
            entries = [with_fault(item) for item in found]
            print_json(entries)
            count = len(entries)
        else:
            for count, item in enumerate(found, 1):  # noqa: B007 - how many there were
                sys.stdout.write(f"{fault_as_comment(item)}{ldif_of([item])}")
    if not count:
        complain(f"no entry matches {filter_text}")


def _masters_if_known(config: Config) -> tuple[dict[Part, str], Role | None, str]:
    """Who takes writes to each part, and their role if it moves; or nobody, and why that is not known."""
    try:
        masters = {part: master_for(config, part) for part in config.parts}
    except DirectoryUnavailable as error:
        return dict.fromkeys(config.parts, ""), None, str(error)
    role = next((master.role for master in masters.values()), None)
    if role is not None and role.is_yielded:
        wrong = f"{role.master} gave the master's role up, and nobody has taken it yet"
        return dict.fromkeys(config.parts, ""), role, wrong
    return {part: master.server for part, master in masters.items()}, role, ""


def _say_done(what: str, done: Done, how: str) -> None:
    left = f", {how}: {done.left:,}" if done.left else ""
    sys.stdout.write(f"Entries {what}: {done.written:,}{left}\n")
    show_remarks(done.remarks, screen())


def records_of(ldif: str) -> Records:
    """What a file says. Raises: GivenWrong: it is no LDIF, or can't be read."""
    with given():
        return read_ldif(_text_of(ldif), ldif)


def _text_of(ldif: str) -> str:
    if ldif == "-":
        if sys.stdin.isatty():
            sys.stderr.write("Type LDIF, or name a file with it; Ctrl-D at the beginning of a line ends it.\n")
        return sys.stdin.read()
    try:
        with open(ldif, encoding="utf-8") as file:
            return file.read()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigInvalid(
            ldif, f"it can't be read: {error}", "name a file with LDIF, or - for standard input"
        ) from error
