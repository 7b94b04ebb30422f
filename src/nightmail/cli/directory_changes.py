"""Entries written as an operator asks for it: judged before, and no more than is needed, so that it can be repeated."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from nightmail.admin.replicas import directory_of
from nightmail.cli.directory_sessions import Masters
from nightmail.cli.failing import CommandFailed, complain
from nightmail.config.settings import Config
from nightmail.directory.amending import amended, is_as_wanted, is_carried_out
from nightmail.directory.contents import Contents
from nightmail.directory.judging import Finding, judge_change
from nightmail.directory.reading import Change
from nightmail.directory.server_schema import meant_by
from nightmail.directory.tree import Item, folded, folded_name
from nightmail.errors import ConfigInvalid, DirectoryUnavailable

_NAMED = 5


class Done(NamedTuple):
    """How many entries were written, and how many were left since they were so already.

    `remarks` are what is wrong now and kept nothing from being written.
    """

    written: int
    left: int
    remarks: Sequence[Finding] = ()


def add_entries(masters: Masters, config: Config, entries: Sequence[Item], *, force: bool) -> Done:
    """Add those that are not there yet; with `force` also such as can't come into force.

    Raises:
        CommandFailed: some can't.
        ConfigInvalid: one is there and says something else, or the directory refuses it.
        DirectoryUnavailable: no answer comes.
    """
    contents = masters.contents
    there = contents.named(entry.dn for entry in entries)
    for name, item in there.items():
        for entry in entries:
            if folded_name(entry.dn) == name and not is_as_wanted(item, entry.attributes):
                raise ConfigInvalid(entry.dn, "it is there already, and says something else", "change it, or delete it")
    new = {folded_name(entry.dn): entry for entry in entries if folded_name(entry.dn) not in there}
    remarks = [] if force else _judged(contents, {}, {name: folded(entry) for name, entry in new.items()}, config)
    with telling_what_was_written(masters, [entry.dn for entry in new.values()]):
        return Done(masters.add(new.values()), len(there), remarks)


def modify_entries(masters: Masters, config: Config, changes: Sequence[tuple[str, Change]], *, force: bool) -> Done:
    """Carry out those changes that are not yet carried out; with `force` also to what can't come into force.

    Raises:
        CommandFailed: an entry could not come into force as it would be.
        ConfigInvalid: one is not there, or the directory refuses a change.
        DirectoryUnavailable: no answer comes.
    """
    contents = masters.contents
    before = contents.named(name for name, _ in changes)
    after, wanted = dict(before), list[tuple[str, Change]]()
    for name, change in changes:
        item = after.get(folded_name(name))
        if item is None:
            raise _missing(name)
        if not is_carried_out(item, change):
            wanted.append((name, change))
            after[folded_name(name)] = amended(item, change)
    changed = {name: item for name, item in after.items() if item != before[name]}
    remarks = [] if force else _judged(contents, {name: before[name] for name in changed}, changed, config)
    with telling_what_was_written(masters, [name for name, _ in wanted]):
        for name, change in wanted:
            masters.modify(name, change)
    return Done(len(wanted), len(changes) - len(wanted), remarks)


def delete_entries(masters: Masters, config: Config, names: Sequence[str], *, force: bool) -> Done:
    """Delete those that are there; with `force` also what others need. It is said which are not there.

    Raises:
        CommandFailed: others could not come into force without them.
        ConfigInvalid: none of them is there, or the directory refuses it.
        DirectoryUnavailable: no answer comes.
    """
    contents = masters.contents
    there = contents.named(names)
    missing = [name for name in names if folded_name(name) not in there]
    if len(missing) == len(names):
        raise _missing(names[0])
    for name in missing:
        complain(_missing(name))
    remarks = [] if force else _judged_without(contents, there, config)
    doomed = [name for name in names if folded_name(name) in there]
    with telling_what_was_written(masters, (), doomed):
        return Done(masters.delete(doomed), len(missing), remarks)


@contextmanager
def telling_what_was_written(masters: Masters, written: Sequence[str], deleted: Sequence[str] = ()) -> Iterator[None]:
    """Say, where writing fails, which of the entries were written or deleted before, and which were not."""
    try:
        yield
    except (DirectoryUnavailable, ConfigInvalid) as error:
        left = [name for name in written if not masters.written.get(name)]
        left += [name for name in deleted if name not in masters.written]
        doubtful = [name for name in left if name in masters.in_doubt]
        left = [name for name in left if name not in masters.in_doubt]
        total = len(written) + len(deleted)
        done = total - len(left) - len(doubtful)
        told = [f"{done:,} of {total:,} entries were written" if done else "nothing was written"]
        told += [f"it is not known of {some_of(doubtful)}"] if doubtful else []
        told += [f"not written: {some_of(left)}"] if left and total > 1 else []
        complain(f"{'; '.join(told)}. Once the reason is gone, the same command does the rest. The reason:")
        if isinstance(error, ConfigInvalid) and (name := meant_by(error, masters.sessions[0])):
            raise ConfigInvalid(error.place, error.wrong, f"did you mean {name}?") from error
        raise


def some_of(names: Sequence[str]) -> str:
    """The first few of these names, and how many more there are."""
    further = len(names) - _NAMED
    return " and ".join([*names[:_NAMED], f"{further:,} more"] if further > 0 else names)


def _missing(name: str) -> ConfigInvalid:
    return ConfigInvalid(name, "there is no such entry", "`nightmail directory search` shows what there is")


def _judged(
    contents: Contents, there: Mapping[str, Item], changes: Mapping[str, Item], config: Config
) -> Sequence[Finding]:
    """What is to be remarked. Raises: CommandFailed: something would be wrong that is not wrong yet; each is said."""
    judged = judge_change(contents, there, changes, directory_of(config).suffix, config.base)
    for finding in judged.faults:
        complain(finding)
    if judged.faults:
        raise CommandFailed(os.EX_DATAERR, "nothing was written: mend this, or write it all the same with --force")
    return judged.remarks


def _judged_without(contents: Contents, doomed: Mapping[str, Item], config: Config) -> Sequence[Finding]:
    """What is to be remarked. Raises: CommandFailed: entries that stay could not do without these; each is said."""
    judged = judge_change(contents, doomed, dict.fromkeys(doomed), directory_of(config).suffix, config.base)
    for finding in judged.faults:
        complain(ConfigInvalid(finding.entry, finding.wrong))
    if judged.faults:
        right = "delete also what is named here, in the same command, or change it first; --force deletes all the same"
        raise CommandFailed(os.EX_DATAERR, f"nothing was deleted, for then this would be wrong: {right}")
    return judged.remarks
