"""What an entry will be once changes of it are carried out, as an LDIF record of changes gives them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import ldap

from nightmail.directory.reading import Change
from nightmail.directory.sessions import text_of_values
from nightmail.directory.tree import Item

_SECRET = "userpassword"  # noqa: S105 - the name of what nobody can read


def amended(item: Item, change: Change) -> Item:
    """The entry with its values added, taken away or replaced; what is so already stays so.

    The attributes' names are in lower case. A number that is to grow stays as it is: nothing about mail is one.
    """
    attributes = dict(item.attributes)
    for kind, name, octets in change:
        values = text_of_values({name: octets or []})[name]
        attribute = name.lower()
        had = attributes.get(attribute, ())
        if kind == ldap.MOD_ADD:
            left = (*had, *_without(values, had))
        elif kind == ldap.MOD_DELETE:
            left = _without(had, values) if values else ()
        elif kind == ldap.MOD_REPLACE:
            left = values
        else:
            left = had
        attributes[attribute] = left
    return item._replace(attributes={name: values for name, values in attributes.items() if values})


def is_carried_out(item: Item, change: Change) -> bool:
    """Whether a change would leave the entry as it is. What can't be seen, such as a password, may be another."""
    if any(kind == ldap.MOD_INCREMENT or name.lower() == _SECRET for kind, name, _ in change):
        return False
    return amended(item, change).attributes == item.attributes


def is_as_wanted(item: Item, wanted: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether an entry that is there has these values of these attributes, and no others of them.

    Values are compared without regard to case, as nearly all are by the directory. A password can't be seen, and is
    taken for another one.
    """
    return all(
        name.lower() != _SECRET and set(_folded(values)) == set(_folded(item.values(name)))
        for name, values in wanted.items()
    )


def _without(values: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    unwanted = set(_folded(others))
    return tuple(value for value in values if value.casefold() not in unwanted)


def _folded(values: Iterable[str]) -> list[str]:
    return [value.casefold() for value in values]
