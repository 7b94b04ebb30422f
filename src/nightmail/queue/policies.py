"""Policies: what of the settings `[queue]` is said for all servers at once, in place of what each one's file says."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import get_type_hints

import msgspec

from nightmail.queue.settings import QueueSettings

NAMES = (
    "retry_first_s", "retry_max_s", "expire_s", "bounce_expire_s", "delay_report_s", "destination_connections",
    "total_connections",
)  # fmt: skip
"""The settings that can be policies: those that a switch can follow while it runs."""

_KINDS = {name: hint for name, hint in get_type_hints(QueueSettings, include_extras=True).items() if name in NAMES}


def parse_policy(name: str, text: str) -> float:
    """The value of a policy, as the setting of that name may have it.

    Raises:
        ValueError: it can't have this; says what would be right.
    """
    number = int(text) if text.isdecimal() else float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no number of anything")
    try:
        return msgspec.convert(number, _KINDS[name])  # type: ignore[no-any-return]  # each of them is a number
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error


def with_policies(settings: QueueSettings, policies: Mapping[str, float]) -> QueueSettings:
    """The settings of a server's file with the policies in place of its own.

    Raises:
        ValueError: they don't go together.
    """
    return msgspec.structs.replace(settings, **policies) if policies else settings
