"""From the text of `nightmail.toml` to settings, with one line for a fault: where, what is wrong, what would be right.

Nothing here repeats the text of a value (it might be a secret), except where only certain words are allowed.
"""

from __future__ import annotations

import difflib
import math
import re
import tomllib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from nightmail.balancer.settings import BalancerSettings
from nightmail.config.expecting import Setting, describe_value, settings_of
from nightmail.config.locating import Lines, Path
from nightmail.config.settings import (
    Config,
    HeartbeatSettings,
    ServerEntry,
    ServerSettings,
    SubmissionSettings,
)
from nightmail.delivery.settings import DeliverySettings
from nightmail.directory.settings import DirectorySettings
from nightmail.errors import ConfigInvalid
from nightmail.net.addresses import parse_host_port
from nightmail.net.settings import DnsSettings, ListenerSettings
from nightmail.queue.settings import QueueSettings
from nightmail.routing.settings import TablesSettings
from nightmail.smtp.settings import SmtpSettings
from nightmail.store.settings import StoreSettings

_Settings = TypeVar("_Settings", bound=msgspec.Struct)

CLASSES: dict[str, type[msgspec.Struct]] = {
    "server": ServerSettings,
    "servers": ServerEntry,
    "heartbeat": HeartbeatSettings,
    "store": StoreSettings,
    "listener": ListenerSettings,
    "smtp": SmtpSettings,
    "tables": TablesSettings,
    "queue": QueueSettings,
    "delivery": DeliverySettings,
    "dns": DnsSettings,
    "submission": SubmissionSettings,
    "balancer": BalancerSettings,
    "directory": DirectorySettings,
}
_OPTIONAL = ("balancer", "directory")
_REPEATED = {"servers": "[servers.NAME]", "listener": "[[listener]]"}
HEADERS = {name: _REPEATED.get(name, f"[{name}]") for name in CLASSES}
_SINGLE = {name: cls for name, cls in CLASSES.items() if name not in _REPEATED}

_TOML_PLACE = re.compile(r"(.*) \(at line (\d+), column \d+\)", re.DOTALL)


class Parser:
    """Reads one TOML text; every fault that it finds names the file and the line."""

    def __init__(self, text: str, file: str) -> None:
        self._file = file
        self._lines = Lines(text)
        self._data = self._load(text)

    def fault(self, path: Path, wrong: str, right: str = "") -> ConfigInvalid:
        """A fault of the setting or table at `path`."""
        line = self._lines.line(path)
        return ConfigInvalid(f"{self._file}:{line}" if line else self._file, wrong, right)

    def parse(self) -> Config:
        """The settings as they stand there, each right by itself.

        Raises:
            ConfigInvalid: one of them isn't.
        """
        for name in self._data:
            if name not in CLASSES:
                raise self._unknown_table(name)
        if "tables" in self._data and self._has_own_directory():
            wrong = "there are both [tables] and [directory]"
            raise self.fault(("directory",), wrong, "mail is routed by one of the two: take the other one out")
        tables = {
            name: self._read(cls, self._data[name], (name,)) for name, cls in _SINGLE.items() if name in self._data
        }
        servers, listeners = dict(self._servers()), tuple(self._listeners())
        for name, cls in _SINGLE.items():
            if name not in tables and name not in _OPTIONAL:
                tables[name] = self._read(cls, {}, (name,))
        has_tables = "tables" in self._data
        return Config(servers=servers, listeners=listeners, path=self._file, has_tables=has_tables, **tables)  # type: ignore[arg-type]  # each name has the class of its field

    def _has_own_directory(self) -> bool:
        """Whether there is a directory that keeps everything, and not one with people and lists alone."""
        section = self._data.get("directory")
        return section is not None and not (isinstance(section, dict) and section.get("topology") == "external")

    def _load(self, text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            placed = _TOML_PLACE.fullmatch(str(error))
            place = f"{self._file}:{placed[2]}" if placed else f"{self._file}:{text.count(chr(10)) + 1}"
            wrong = placed[1] if placed else str(error).partition(" (at ")[0]
            raise ConfigInvalid(place, f"this is not TOML: {_uncapitalised(wrong)}", "see https://toml.io") from error

    def _servers(self) -> Iterable[tuple[str, ServerEntry]]:
        entries = self._data.get("servers", {})
        if not isinstance(entries, dict):
            raise self.fault(("servers",), "servers is not a table", "write [servers.NAME] for each server")
        for name, entry in entries.items():
            yield name, self._read(ServerEntry, entry, ("servers", name))

    def _listeners(self) -> Iterable[ListenerSettings]:
        entries = self._data.get("listener", [])
        if not isinstance(entries, list):
            raise self.fault(("listener",), "[listener] is not a list", "write [[listener]], with two brackets")
        for index, entry in enumerate(entries):
            yield self._read(ListenerSettings, entry, ("listener", index))

    def _read(self, cls: type[_Settings], table: Any, path: Path) -> _Settings:
        if not isinstance(table, dict):
            raise self.fault(path, f"{path[0]} can't be {describe_value(table)}", f"write {HEADERS[str(path[0])]}")
        settings = settings_of(cls)
        for name in table:
            if name not in settings:
                raise self._unknown_setting(name, settings, path)
        values = {name: self._value(settings[name], value, (*path, name)) for name, value in table.items()}
        for name, setting in settings.items():
            if setting.required and name not in values:
                raise self.fault(path, f"{header(path)} has no {name}", f"write {name} = ..., {setting.expected}")
        return self._build(cls, values, path)

    def _build(self, cls: type[_Settings], values: dict[str, Any], path: Path) -> _Settings:
        """The settings together; a class may refuse a combination with `what is wrong; what would be right`."""
        try:
            return cls(**values)
        except ValueError as error:
            wrong, _, right = str(error).partition("; ")
            raise self.fault(path, f"{header(path)} {wrong}", right) from error
        except ConfigInvalid as error:
            raise self.fault(path, f"{error.place} {error.wrong}", error.right) from error

    def _value(self, setting: Setting, value: Any, path: Path) -> Any:
        if setting.table is not None and isinstance(value, dict):
            return self._read(setting.table, value, path)
        try:
            converted = msgspec.convert(value, setting.hint)
        except msgspec.ValidationError as error:
            raise self._misfit(setting, value, path) from error
        if isinstance(value, float) and not math.isfinite(value):
            raise self._misfit(setting, value, path)
        if converted and setting.extra.get("endpoint"):
            self.check(lambda: parse_host_port(converted), path)
        return converted

    def check(self, parse: Callable[[], object], path: Path) -> None:
        """Let `parse` judge the setting at `path`: its ValueError becomes a fault there."""
        try:
            parse()
        except ValueError as error:
            wrong, _, right = str(error).partition("; ")
            raise self.fault(path, f"{header(path[:-1])} {path[-1]}: {wrong}", right) from error

    def _misfit(self, setting: Setting, value: Any, path: Path) -> ConfigInvalid:
        found = describe_value(value)
        if isinstance(value, dict) and isinstance(setting.type, inspect.DictType):
            found = "such a table"
        near = nearest(value, setting.choices) if isinstance(value, str) else ""
        if near:
            found = repr(value)
        wrong = f"{header(path[:-1])} {path[-1]} can't be {found}"
        return self.fault(path, wrong, f"did you mean {near}?" if near else f"it has to be {setting.expected}")

    def _unknown_table(self, name: str) -> ConfigInvalid:
        if not isinstance(self._data[name], dict | list):
            homes = [table for table, cls in CLASSES.items() if name in cls.__struct_fields__]
            right = f"it belongs below {HEADERS[homes[0]]}" if homes else "settings stand below a [table]"
            return self.fault((name,), f"{name} stands outside of any table", right)
        near = nearest(name, CLASSES)
        right = f"did you mean {HEADERS[near]}?" if near else f"known are {', '.join(HEADERS.values())}"
        return self.fault((name,), f"[{name}] is not a table of settings", right)

    def _unknown_setting(self, name: str, settings: dict[str, Setting], path: Path) -> ConfigInvalid:
        near = nearest(name, settings)
        homes = [table for table, cls in CLASSES.items() if name in cls.__struct_fields__]
        if homes and path[0] not in homes:
            right = f"it belongs below {HEADERS[homes[0]]}"
        else:
            right = f"did you mean {near}?" if near else f"known are {', '.join(settings)}"
        return self.fault((*path, name), f"{header(path)} {name} is not a setting", right)


def header(path: Path) -> str:
    """The header under which a setting stands, as it is written in the file."""
    if path[0] == "listener":
        return "[[listener]]"
    return f"[{'.'.join(str(part) for part in path)}]"


def nearest(name: str, known: Iterable[str]) -> str:
    """The known name that is most like this one, or nothing."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), "")


def _uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]
