"""From the tables of a source to the entries of a compiled file, each checked by itself and all of them as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

from nightmail.errors import ConfigInvalid
from nightmail.routing import compiled
from nightmail.routing.compiled import Summary, Writer
from nightmail.routing.crosschecks import CrossChecks
from nightmail.routing.expansion import alias_of
from nightmail.routing.networks import prefix_of
from nightmail.routing.notation import NOTATIONS
from nightmail.routing.resolution import POSTMASTER
from nightmail.routing.route import parse_route
from nightmail.routing.source import NAMES, Source

LOCAL_DOMAINS_KNOWN = 100


_OCTETS = {
    "domains": compiled.DOMAIN,
    "routes": compiled.ROUTE,
    "mailboxes": compiled.MAILBOX,
    "aliases": compiled.ALIAS,
    "clients": compiled.CLIENT,
    "policies": compiled.POLICY,
}


class Compilation:
    """Reads the tables of a source into a writer; those first that the others are checked against.

    Relative paths in routes start from `base`.
    """

    def __init__(self, source: Source, base: str, writer: Writer) -> None:
        self._source = source
        self._writer = writer
        self._base = base
        self._counts = dict.fromkeys(NAMES, 0)
        self._prefix_lengths: dict[int, set[int]] = {4: set(), 6: set()}
        self._checks = CrossChecks(writer.lookups)

    def run(self) -> Summary:
        """Read and check everything; what is returned is written too.

        Raises:
            ConfigInvalid: a table is wrong.
        """
        self._add("domains")
        self._add("routes")
        if not self._counts["routes"]:
            self._writer.add(compiled.ROUTE, "*", parse_route("mx", "routes"))
        for place, key in self._keys("domains"):
            self._checks.check_domain(key, place)
        self._add("mailboxes", self._note_mailbox)
        self._add("aliases", self._checks.check_alias_key)
        self._check_targets()
        self._add("clients", self._note_prefix)
        self._add("policies")
        summary = Summary(
            digest=self._source.digest(),
            counts=self._counts,
            postmaster=self._postmaster(),
            local_domains=tuple(islice(self._local_domains(), LOCAL_DOMAINS_KNOWN)),
            prefix_lengths={
                version: tuple(sorted(lengths, reverse=True)) for version, lengths in self._prefix_lengths.items()
            },
        )
        self._writer.finish(summary)
        return summary

    def _add(self, name: str, note: Callable[[str, str], None] | None = None) -> None:
        """Write the entries of a table; `note` is given the key and the place of each."""
        notation = NOTATIONS[name]
        for place, text, value in self._source.entries(name):
            key = notation.parse_key(text, place)
            notation.check(key, value, place)
            if not self._writer.add(_OCTETS[name], key, notation.parse_value(value, place, self._base)):
                raise self._duplicate(name, key, text, place)
            self._counts[name] += 1
            if note:
                note(key, place)

    def _keys(self, name: str) -> Iterator[tuple[str, str]]:
        """The place and the key of each entry of a table that was read before."""
        parse = NOTATIONS[name].parse_key
        return ((place, parse(text, place)) for place, text, _ in self._source.entries(name))

    def _place(self, name: str, key: str) -> str:
        """Where the entry of a key stands: looked for when it is needed, rather than kept for every entry."""
        return next((place for place, other in self._keys(name) if other == key), self._source.place(name))

    def _duplicate(self, name: str, key: str, text: str, place: str) -> ConfigInvalid:
        first = self._place(name, key)
        file, _, line = first.rpartition(":")
        where = f"on line {line}" if file and place.startswith(f"{file}:") and line.isdigit() else f"as {first}"
        return ConfigInvalid(place, f"{text} stands twice, first {where}", "keep one of the two")

    def _note_mailbox(self, key: str, place: str) -> None:
        self._checks.check_mailbox(key, place)
        self._writer.add(compiled.LISTED, key.rpartition("@")[2])

    def _note_prefix(self, key: str, place: str) -> None:
        version, length = prefix_of(key)
        self._prefix_lengths[version].add(length)

    def _check_targets(self) -> None:
        for key, targets in self._writer.aliases():
            fault = self._checks.find_dead_end(key, targets)
            if fault:
                raise ConfigInvalid(self._place("aliases", key), *fault)

    def _local_domains(self) -> Iterator[str]:
        domains = ((domain, self._writer.lookups.domain(domain)) for _, domain in self._keys("domains"))
        return (
            domain for domain, entry in domains if entry and entry.kind == "local" and not domain.startswith(".")
        )  # fmt: skip

    def _postmaster(self) -> str:
        """Where `<postmaster>` without a domain goes: to the first local domain that lists one.

        If none does, to the first local domain, or else to the first one that we relay for.
        """
        maps, first = self._writer.lookups, dict[str, str]()
        for _, domain in self._keys("domains"):
            entry, address = maps.domain(domain), f"{POSTMASTER}@{domain}"
            if entry is None or domain.startswith("."):
                continue
            if entry.kind == "local" and (maps.is_mailbox(address) or alias_of(maps, address, domain)):
                return address
            first.setdefault(entry.kind, address)
        return first.get("local") or first.get("relay") or ""
