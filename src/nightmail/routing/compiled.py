"""Compiled tables: one LMDB file for one state of the model, written once, then mapped read-only by every switch.

The first octet of a key tells its table. Values are msgpack. A file is complete before it gets its final name, and is
never written again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from types import TracebackType

import lmdb
import msgspec

from nightmail.errors import DirectoryUnavailable
from nightmail.queue.policies import POLICIES
from nightmail.routing.model import ClientRule, Domain, Maps
from nightmail.routing.resolution import Resolver
from nightmail.routing.route import Route

DOMAIN, ROUTE, ALIAS, MAILBOX, LISTED, CLIENT, POLICY, META = b"d", b"r", b"a", b"m", b"l", b"c", b"p", b"!"

FORMAT = 1
_MAX_KEY_OCTETS = 511
_ENTRIES_PER_COMMIT = 20_000

_encode = msgspec.msgpack.Encoder().encode
_decode_domain = msgspec.msgpack.Decoder(Domain).decode
_decode_route = msgspec.msgpack.Decoder(Route).decode
_decode_rule = msgspec.msgpack.Decoder(ClientRule).decode
_decode_number = msgspec.msgpack.Decoder(int | float).decode
_decode_targets = msgspec.msgpack.Decoder(tuple[str, ...]).decode


class Summary(msgspec.Struct, frozen=True):
    """What is said about a compiled file as a whole.

    `digest` tells one state of the tables from another. `counts` has the number of entries of each table.
    `local_domains` are the first of them.
    """

    format: int = FORMAT
    digest: str = ""
    counts: dict[str, int] = {}
    postmaster: str = ""
    local_domains: tuple[str, ...] = ()
    prefix_lengths: dict[int, tuple[int, ...]] = {}


_decode_summary = msgspec.msgpack.Decoder(Summary).decode


class Lookups:
    """Exact lookups by way of a function that gets the value of a key; satisfies `model.Maps`.

    Each of them raises DirectoryUnavailable if the file can't be read.
    """

    def __init__(self, get: Callable[[bytes], bytes | None], summary: Summary, path: str) -> None:
        self._get = get
        self.summary = summary
        self.path = path

    has_checked_targets = True
    is_certain = True

    def need(self, keys: Collection[str]) -> None:
        """Nothing: everything is here."""

    def domain(self, key: str) -> Domain | None:
        """The entry of a domain, or of `.parent`."""
        value = self.find(DOMAIN, key)
        return None if value is None else _decode_domain(value)

    def route(self, key: str) -> Route | None:
        """The route of an address, a domain, `.parent` or `*`."""
        value = self.find(ROUTE, key)
        return None if value is None else _decode_route(value)

    def alias(self, key: str) -> tuple[str, ...] | None:
        """The addresses that an address or `@domain` stands for."""
        value = self.find(ALIAS, key)
        return None if value is None else _decode_targets(value)

    def is_mailbox(self, address: str) -> bool:
        """Whether the address is listed as a valid recipient."""
        return self.find(MAILBOX, address) is not None

    def lists_mailboxes(self, domain: str) -> bool:
        """Whether any address of the domain is listed as a valid recipient."""
        return self.find(LISTED, domain) is not None

    def client(self, network: str) -> ClientRule:
        """The rule of exactly this network, or nothing."""
        value = self.find(CLIENT, network)
        return "" if value is None else _decode_rule(value)

    def prefix_lengths(self, version: int) -> tuple[int, ...]:
        """The lengths of all networks of an IP version, the longest first."""
        return self.summary.prefix_lengths.get(version, ())

    def postmaster(self) -> str:
        """The address that takes mail for `<postmaster>` without a domain, or nothing."""
        return self.summary.postmaster

    def local_domains(self) -> tuple[str, ...]:
        """The first of the domains whose mailboxes are known here."""
        return self.summary.local_domains

    def policies(self) -> dict[str, float]:
        """The settings that are policies, by their names."""
        found = {name: self.find(POLICY, name) for name in POLICIES}
        return {name: _decode_number(value) for name, value in found.items() if value is not None}

    def find(self, table: bytes, key: str) -> bytes | None:
        """The packed value of a key in one table. No key is longer than what LMDB can keep."""
        octets = table + key.encode("utf-8", "surrogateescape")
        if len(octets) > _MAX_KEY_OCTETS:
            return None
        try:
            return self._get(octets)
        except lmdb.Error as error:
            raise DirectoryUnavailable(f"{self.path}: the compiled tables can't be read: {error}") from error


class CompiledSnapshot(Resolver):
    """The routing of one compiled file, completed by `maps`; satisfies `snapshot.RoutingSnapshot`.

    `path` is the file, `summary` what is known about it as a whole.
    """

    def __init__(self, env: lmdb.Environment, lookups: Lookups, maps: Maps, hostname: str) -> None:
        super().__init__(maps, hostname, lookups.policies())
        self._env = env
        self.path = lookups.path
        self.summary = lookups.summary

    def close(self) -> None:
        """Unmap the file; the snapshot is asked no more."""
        super().close()
        self._env.close()


def open_snapshot(
    path: str, hostname: str = "localhost", complete: Callable[[Lookups], Maps] = lambda lookups: lookups
) -> CompiledSnapshot:
    """Open what `compile_tables` wrote. `hostname` is where `<postmaster>` is when no domain is ours.

    `complete` makes the whole model of it, where some is kept elsewhere.

    Raises:
        DirectoryUnavailable: the file is not there any more, or not one of this release.
    """
    try:
        env = lmdb.open(path, subdir=False, readonly=True, lock=False, readahead=False, max_spare_txns=1)
    except (lmdb.Error, OSError) as error:
        raise DirectoryUnavailable(f"{path}: the compiled tables can't be opened: {error}") from error
    # The file never changes, so that one transaction serves for as long as it is open.
    lookups = Lookups(env.begin().get, Summary(), path)
    packed = lookups.find(META, "")
    summary = _decode_summary(packed) if packed is not None else None
    if summary is None or summary.format != FORMAT:
        env.close()
        raise DirectoryUnavailable(f"{path}: these tables were compiled by another release")
    lookups.summary = summary
    return CompiledSnapshot(env, lookups, complete(lookups), hostname)


class Writer:
    """Writes a new file entry by entry, with little memory, and answers lookups in what it has written so far.

    `room_bytes` is the most that the file may grow to. To be used as a context.
    """

    def __init__(self, path: str, room_bytes: int) -> None:
        self._env = lmdb.open(path, subdir=False, lock=False, map_size=room_bytes, sync=False, metasync=False)
        self._txn = self._env.begin(write=True)
        self._uncommitted = 0
        self.lookups = Lookups(self._get, Summary(), path)

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._txn.abort()
        self._env.close()

    def add(self, table: bytes, key: str, value: object = True) -> bool:
        """Add an entry; False, and nothing added, if its key is there."""
        self._uncommitted += 1
        # What is not committed yet is kept in memory.
        if self._uncommitted >= _ENTRIES_PER_COMMIT:
            self._commit()
        return bool(self._txn.put(table + key.encode(), _encode(value), overwrite=False))

    def aliases(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Every alias written so far: its key and its targets."""
        cursor = self._txn.cursor()
        if cursor.set_range(ALIAS):
            for key, value in cursor:
                if not key.startswith(ALIAS):
                    return
                yield key[1:].decode(), _decode_targets(value)

    def finish(self, summary: Summary) -> None:
        """Write what is said about the file as a whole, and everything to the disk's cache."""
        self.add(META, "", summary)
        self._commit()

    def _get(self, key: bytes) -> bytes | None:
        return self._txn.get(key)

    def _commit(self) -> None:
        self._txn.commit()
        self._txn = self._env.begin(write=True)
        self._uncommitted = 0
