"""The arguments of sendmail, as programs have written them for forty years: clustered, attached, apart, or unknown."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence

import msgspec

from nightmail.cli.failing import CommandFailed
from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS

_TAKE_A_VALUE = frozenset("ABCDFfhLNOpRrVX")
_HAVE_IT_ATTACHED = frozenset("bdeoq")
_LONG = ("config", "name")
_NOTIFY = {"success": NOTIFY_SUCCESS, "failure": NOTIFY_FAILURE, "delay": NOTIFY_DELAY}


class Arguments(msgspec.Struct, kw_only=True):
    """What was asked for. `mode` is the letter after -b; `sender` is None where none was named."""

    mode: str = "m"
    recipients: list[str] = []
    sender: str | None = None
    full_name: str = ""
    from_header: bool = False
    dots_are_text: bool = False
    notify: int = 0
    ret: str = ""
    envid: str = ""
    config: str | None = None
    name: str | None = None
    json: bool = False


def parse(words: Sequence[str]) -> Arguments:
    """What the words mean; flags that mean nothing here are passed over.

    Raises:
        CommandFailed: a value is missing or not one that the flag takes.
    """
    arguments = Arguments()
    for flag, value in _flags(words):
        _take(arguments, flag, value)
    return arguments


def _flags(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each flag with its value; recipients come with an empty flag."""
    rest = iter(words)
    for word in rest:
        if word == "--":
            yield from (("", recipient) for recipient in rest)
        elif word.startswith("--"):
            yield from _long(word[2:], rest)
        elif word.startswith("-") and word != "-":
            yield from _cluster(word[1:], rest)
        else:
            yield "", word


def _long(word: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    name, equals, value = word.partition("=")
    if name in _LONG:
        yield name, value if equals else _value_of(f"--{name}", rest)
    elif name == "json":
        yield name, ""


def _cluster(letters: str, rest: Iterator[str]) -> Iterator[tuple[str, str]]:
    for index, letter in enumerate(letters):
        attached = letters[index + 1 :]
        if letter in _TAKE_A_VALUE:
            yield letter, attached or _value_of(f"-{letter}", rest)
            return
        if letter in _HAVE_IT_ATTACHED:
            yield letter, attached
            return
        yield letter, ""


def _value_of(flag: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise CommandFailed(os.EX_USAGE, f"sendmail: {flag} needs a value")
    return value


def _take(arguments: Arguments, flag: str, value: str) -> None:
    if flag in _TEXTS:
        setattr(arguments, _TEXTS[flag], value)
    elif flag in _SWITCHES:
        setattr(arguments, _SWITCHES[flag], True)
    elif flag in _READINGS:
        name, read = _READINGS[flag]
        setattr(arguments, name, read(value))
    elif flag == "":
        arguments.recipients.append(value)
    elif flag == "o" and value == "i":
        arguments.dots_are_text = True


def _sender(value: str) -> str:
    return "" if value == "<>" else value.removeprefix("<").removesuffix(">")


def _mode(value: str) -> str:
    return value[:1] or "m"


def _notify(value: str) -> int:
    words = [word.strip().lower() for word in value.split(",")]
    if words == ["never"]:
        return NOTIFY_NEVER
    if not all(word in _NOTIFY for word in words):
        raise CommandFailed(os.EX_USAGE, f"sendmail: -N {value}: say never, or some of success,failure,delay")
    return sum(_NOTIFY[word] for word in set(words))


def _ret(value: str) -> str:
    if value.lower() not in ("full", "hdrs"):
        raise CommandFailed(os.EX_USAGE, f"sendmail: -R {value}: say full or hdrs")
    return value.upper()


_TEXTS = {"F": "full_name", "V": "envid", "config": "config", "name": "name"}
_SWITCHES = {"t": "from_header", "i": "dots_are_text", "json": "json"}
_READINGS: dict[str, tuple[str, Callable[[str], object]]] = {
    "b": ("mode", _mode),
    "q": ("mode", lambda _: "q"),
    "f": ("sender", _sender),
    "r": ("sender", _sender),
    "N": ("notify", _notify),
    "R": ("ret", _ret),
}
