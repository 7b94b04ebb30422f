"""Policies: settings of `[queue]` that stand where routing does, and are the same on all servers.

They stand in place of what a server's file says, and change while it runs.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, get_args, get_origin, get_type_hints

import msgspec

from nightmail.errors import ConfigInvalid
from nightmail.queue.settings import QueueSettings

POLICIES = tuple(name for name in QueueSettings.__struct_fields__ if name != "handover_wait_s")
"""The settings that can be policies: not how a server stops, which is a matter of its own."""

_TYPES = get_type_hints(QueueSettings, include_extras=True)
# So few digits that the text of a number is one of these, too.
_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,3})?")


def parse_policy_name(text: str, place: str) -> str:
    """The name of a setting that can be a policy. Raises: ConfigInvalid: it is none."""
    if text not in POLICIES:
        raise ConfigInvalid(
            place, f"{text!r} is no setting that can be a policy", f"write one of {', '.join(POLICIES)}"
        )
    return text


def parse_number(text: str, place: str) -> float:
    """What is written as a policy's value. Raises: ConfigInvalid: it is no number, or an immense one."""
    if not _NUMBER.fullmatch(text):
        right = "write a number such as 300 or 0.5, up to 999999999 and with at most three decimals"
        raise ConfigInvalid(place, f"{text!r} is not a number that a policy can have", right)
    number = float(text)
    return int(number) if number.is_integer() else number


def check_policy(name: str, text: str, place: str) -> None:
    """See that a setting can have this value. Raises: ConfigInvalid: it can't."""
    try:
        msgspec.convert(parse_number(text, place), _TYPES[name])
    except msgspec.ValidationError:
        raise ConfigInvalid(place, f"{name} can't be {text}", f"write {_range_of(name)}") from None


def with_policies(settings: QueueSettings, policies: Mapping[str, float]) -> QueueSettings:
    """The settings of a server's file with policies in place of some of them.

    Raises:
        ConfigInvalid: together they contradict themselves.
    """
    try:
        return msgspec.convert({**msgspec.structs.asdict(settings), **policies}, QueueSettings)
    except msgspec.ValidationError as error:
        raise ConfigInvalid("policies", f"with [queue] of this server's file, {error}", "") from error


def _range_of(name: str) -> str:
    """What a setting can be, in words."""
    annotated = _TYPES[name]
    kind, meta = get_args(annotated) if get_origin(annotated) is Annotated else (annotated, msgspec.Meta())
    noun = "a whole number" if kind is int else "a number"
    return f"{noun} above {meta.gt}" if meta.gt is not None else f"{noun} of at least {meta.ge}"
