"""What a server's own schema says of attributes: which there are, and which can be searched by parts of their values.

slapd takes a filter that it can't evaluate for one that matches nothing, and says no word of it. OpenLDAP alone names
the rules that it goes by: of other servers nothing is said here.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Iterable
from typing import Any

import ldap
from ldap.schema import SubSchema
from ldap.schema.models import AttributeType

from nightmail.directory.tree import folded
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid

_ASSERTION = re.compile(r"(?:^|\()([A-Za-z0-9.-]+)[A-Za-z0-9.;-]*[~<>]?=([^()]*)")


class ServerSchema:
    """The attributes that one server knows."""

    def __init__(self, definitions: Iterable[str]) -> None:
        """`definitions` are as it publishes them (RFC 4512 §4.1.2)."""
        self._schema: Any = SubSchema({"attributeTypes": [*definitions]})
        self._names = {
            name.lower(): name for each in self._schema.sed[AttributeType].values() for name in each.names
        }  # fmt: skip

    def nearest(self, name: str) -> str:
        """The attribute whose name is most like this one; empty where none is."""
        close = difflib.get_close_matches(name.lower(), [*self._names], n=1)
        return self._names[close[0]] if close else ""

    def check_filter(self, text: str) -> None:
        """Refuse a search filter that the server would take for one that matches nothing.

        Raises:
            ConfigInvalid: an attribute in it is none, or can't be searched for as it says.
        """
        for name, value in _ASSERTION.findall(text):
            if self._schema.get_obj(AttributeType, name) is None:
                near = self.nearest(name)
                right = f"did you mean {near}?" if near else "write it as in (mailLocalAddress=alice@example.org)"
                raise ConfigInvalid(text, f"there is no attribute {name}", right)
            if "*" in value and value != "*" and not self._rule(name):
                wrong = f"{name} can't be searched by parts of its values"
                right = f"write a whole value, or search for (uid={value}) or (cn={value})"
                raise ConfigInvalid(text, wrong, right)

    def _rule(self, name: str) -> str | None:
        """The rule by which parts of an attribute's values are compared, its own or that of what it derives from."""
        rule: str | None = self._schema.get_inheritedattr(AttributeType, name, "substr")
        return rule


def schema_at(directory: Directory) -> ServerSchema | None:
    """What the server says of its attributes; None where it is no OpenLDAP, or does not show it to us.

    Raises:
        DirectoryUnavailable: no answer comes.
    """
    with contextlib.suppress(ConfigInvalid):  # an account that may not read it
        top = directory.read("", ("objectClass", "subschemaSubentry"))
        if top is not None and folded(top).is_a("OpenLDAProotDSE"):
            found = directory.read(folded(top).value("subschemaSubentry"), ("attributeTypes",))
            return ServerSchema(folded(found).values("attributeTypes")) if found is not None else None
    return None


def meant_by(fault: ConfigInvalid, directory: Directory) -> str:
    """The attribute that was meant, where a server knows none of the name that it refused; empty where that is unclear.

    Raises:
        DirectoryUnavailable: no answer comes.
    """
    if not isinstance(fault.__cause__, ldap.UNDEFINED_TYPE):
        return ""
    name = str(fault.__cause__.args[0].get("info", "")).partition(":")[0]
    schema = schema_at(directory)
    return schema.nearest(name) if schema is not None else ""
