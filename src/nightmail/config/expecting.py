"""What a setting may be, in the words of the person who sets it.

Settings state their types and limits once, as annotations for msgspec; here they become "a whole number from 0 to 10"
for messages and for the reference.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

_UNITS = {"_ms": "milliseconds", "_s": "seconds", "_bytes": "bytes"}


class Setting(msgspec.Struct, frozen=True):
    """One setting as its class declares it. `extra` is the mapping that other code attaches in its Meta."""

    name: str
    hint: Any
    type: inspect.Type
    description: str
    extra: dict[str, Any]
    required: bool
    default: Any

    @property
    def expected(self) -> str:
        """What its value has to be, as a noun."""
        return f"one of {', '.join(self.choices)}" if self.choices else _words(self.type)

    @property
    def table(self) -> Any:
        """The class of the settings in it, where it is a table of them, or nothing."""
        parts = self.type.types if isinstance(self.type, inspect.UnionType) else (self.type,)
        return next((part.cls for part in parts if isinstance(part, inspect.StructType)), None)

    @property
    def unit(self) -> str:
        """The unit that the end of its name tells, or nothing."""
        return next((unit for suffix, unit in _UNITS.items() if self.name.endswith(suffix)), "")

    @property
    def choices(self) -> list[str]:
        """The words it can be, where it can only be certain ones, in the order in which they were declared."""
        bare = get_args(self.hint)[0] if get_origin(self.hint) is Annotated else self.hint
        return [str(word) for word in get_args(bare)] if get_origin(bare) is Literal else []


def settings_of(cls: type[msgspec.Struct]) -> dict[str, Setting]:
    """The settings of a class by name, in the order in which it declares them."""
    info = inspect.type_info(cls)
    if not isinstance(info, inspect.StructType):
        raise TypeError(f"{cls.__name__} declares no settings")
    hints = get_type_hints(cls, include_extras=True)
    return {field.encode_name: _setting(field, hints[field.name]) for field in info.fields}


def _setting(field: inspect.Field, hint: Any) -> Setting:
    bare, description, extra = field.type, "", dict[str, Any]()
    while isinstance(bare, inspect.Metadata):
        description = description or (bare.extra_json_schema or {}).get("description", "")
        extra.update(bare.extra or {})
        bare = bare.type
    default = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
    return Setting(field.name, hint, bare, description, extra, field.required, default)


def _words(kind: inspect.Type) -> str:
    """A type as a noun with its limits."""
    match kind:
        case inspect.Metadata():
            words = _words(kind.type)
        case inspect.IntType():
            words = "a whole number" + _limits(kind)
        case inspect.FloatType():
            words = "a number" + _limits(kind)
        case inspect.StrType():
            words = "text in quotes" + (", not empty" if kind.min_length else "")
        case inspect.VarTupleType() | inspect.ListType():
            words = f"a list, each entry {_words(kind.item_type)}"
        case inspect.DictType():
            words = f"a table, each value {_words(kind.value_type)}"
        case inspect.UnionType():
            words = " or ".join(_words(part) for part in kind.types if not isinstance(part, inspect.NoneType))
        case _:
            words = "true or false" if isinstance(kind, inspect.BoolType) else "a table of settings"
    return words


def _limits(kind: inspect.IntType | inspect.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {kind.ge:g} to {kind.le:g}"
    bounds = (
        (" above {:g}", kind.gt),
        (" of at least {:g}", kind.ge),
        (" below {:g}", kind.lt),
        (" of at most {:g}", kind.le),
    )
    return " and".join(words.format(bound) for words, bound in bounds if bound is not None)


def describe_value(value: Any) -> str:
    """What was found instead, without repeating text that might be a secret."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return f"{value:g}" if abs(value) < 1e6 else str(value)
    known: dict[type, str] = {str: "this text", list: "a list", dict: "a table"}
    return known.get(type(value), "a date or time")
