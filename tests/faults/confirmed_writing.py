"""Somebody who writes to a directory whose master may be another at any time, and knows what was acknowledged."""

from __future__ import annotations

import random
from pathlib import Path

from tests.e2e.switch import Switch
from tests.faults.writing import Writing

from nightmail.admin.mastering import confirm, master_now
from nightmail.admin.replicas import access_of, directory_of, uri_of
from nightmail.config.loading import load
from nightmail.directory.certificates import write_authority
from nightmail.directory.tree import Item, item_of
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid, DirectoryUnavailable


class ConfirmedWriter(Writing):
    """Adds, changes and deletes as `nightmail directory` does, for as long as it is let, with a ledger."""

    def __init__(self, server: Switch, seed: int, scratch: Path) -> None:
        super().__init__()
        self.config = load(str(server.config_file), server.name)
        self.there: dict[str, str] = {}
        self.gone: set[str] = set()
        self.doubtful: set[str] = set()
        self._count = 0
        self.refused: list[str] = []
        self._authority = str(scratch / "authority.pem")
        self._random = random.Random(seed)
        self._number = 0
        settings = directory_of(self.config)
        self._suffix = settings.suffix
        write_authority(self._authority, Path(settings.secret_file).read_bytes().strip())

    @property
    def count(self) -> int:
        """How many count."""
        return self._count

    def replica(self, server: str, account: str) -> Directory:
        """A server's replica, as one of the accounts."""
        access = access_of(directory_of(self.config), account, self._authority)
        return Directory(uri_of(self.config, server), access, is_gated=True)

    def contradictions(self, server: str) -> list[str]:
        """What a replica has that was acknowledged otherwise."""
        with self.replica(server, "reader") as replica:
            found = {
                item.dn: item.attributes["description"][0]
                for item in replica.search(f"ou=people,{self._suffix}", "(description=*)", ["description"])
            }
        wrong = [f"{dn}: {text} and not {found.get(dn)}" for dn, text in self.there.items() if found.get(dn) != text]
        return wrong + [f"{dn} is back" for dn in self.gone & found.keys()]

    def write(self) -> None:
        """See `Writing.write`."""
        while not self.is_over.is_set():
            try:
                self._write_one()
            except DirectoryUnavailable:
                self.failed += 1
                self.is_over.wait(0.02)  # whoever writes tries again, though not all the time

    def _write_one(self) -> None:
        self._number += 1
        master = master_now(self.config)
        settled = [dn for dn in self.there if dn not in self.doubtful]
        kind = self._random.choice(("add", "change", "delete")) if len(settled) > 10 else "add"
        new = item_of("mailboxes", f"box{self._number}@written.test", "", self._suffix)
        dn, text = new.dn if kind == "add" else self._random.choice(settled), str(self._number)
        self.doubtful.add(dn)
        before = self.there.pop(dn, None)
        try:
            with self.replica(master.server, "writer") as replica:
                if kind == "add":
                    replica.add([Item(dn, {**new.attributes, "description": (text,)})])
                elif kind == "change":
                    replica.replace([Item(dn, {"description": (text,)})])
                else:
                    replica.delete([dn])
                access = access_of(directory_of(self.config), "reader", self._authority)
                confirm(self.config, master, access, replica.written, is_whole=False)
        except ConfigInvalid as error:
            self.refused.append(f"{dn} ({kind}, {before} before): {error}")
            return
        self.doubtful.discard(dn)
        self._count += 1
        if kind == "delete":
            self.gone.add(dn)
        else:
            self.there[dn] = text
