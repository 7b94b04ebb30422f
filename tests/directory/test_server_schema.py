"""Only what OpenLDAP says of its own rules is believed: others search by parts where their schema names no rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from nightmail.directory.server_schema import schema_at
from nightmail.directory.tree import Item
from nightmail.directory.writing import Directory
from nightmail.errors import ConfigInvalid

CODE = "( 1.2.3.1 NAME 'code' EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"
NAME = "( 1.2.3.2 NAME 'name' SUBSTR caseIgnoreSubstringsMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )"
NICK = "( 1.2.3.3 NAME ( 'nick' 'nickName' ) SUP name )"


class Server:
    """A server of some make, which shows its schema or refuses to."""

    def __init__(self, make: str, *, is_shown: bool = True) -> None:
        self._make = make
        self._is_shown = is_shown

    def read(self, name: str, attributes: Sequence[str]) -> Item | None:
        if not name:
            return Item("", {"objectClass": ("top", self._make), "subschemaSubentry": ("cn=Subschema",)})
        if not self._is_shown:
            raise ConfigInvalid(name, "Insufficient access")
        return Item(name, {"attributeTypes": (CODE, NAME, NICK)})


def at(server: Server) -> Directory:
    return cast("Directory", server)


def test_what_openldap_has_no_rule_for_is_refused_and_what_is_inherited_counts() -> None:
    schema = schema_at(at(Server("OpenLDAProotDSE")))
    assert schema is not None
    schema.check_filter("(&(nickname=a*)(1.2.3.2=*a)(code=*)(!(code=a)))")
    with pytest.raises(ConfigInvalid, match="code can't be searched by parts"):
        schema.check_filter("(|(nick=a*)(code=a*))")
    with pytest.raises(ConfigInvalid, match="there is no attribute nikc; did you mean nick"):
        schema.check_filter("(nikc=a)")


def test_of_other_servers_and_of_one_that_hides_it_nothing_is_said() -> None:
    assert schema_at(at(Server("netscapeServer"))) is None
    assert schema_at(at(Server("OpenLDAProotDSE", is_shown=False))) is None
