"""What an administrator may say about people and lists in a directory with a schema of its own."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from nightmail.directory.filters import check_filter

SchemaName = Literal["nightmail", "active-directory", "389ds", "inetorgperson"]

_Names = tuple[str, ...] | None
_Text = str | None
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9-]*|[0-9]+(?:\.[0-9]+)*")


class MappingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[directory.mapping]`: which entries are people and lists, where that differs from what `schema` says."""

    people: Annotated[_Names, msgspec.Meta(description="Object classes whose entries are people.")] = None
    people_filter: Annotated[
        _Text, msgspec.Meta(description="What people have to match beside; such as that they are not disabled.")
    ] = None
    people_addresses: Annotated[
        _Names, msgspec.Meta(description="Attributes with people's addresses, the main one first.")
    ] = None
    people_forward: Annotated[
        _Names, msgspec.Meta(description="Attributes with addresses that take a person's mail instead.")
    ] = None
    lists: Annotated[
        _Names, msgspec.Meta(description="Object classes whose entries are lists; `[]`: there are none.")
    ] = None
    lists_filter: Annotated[_Text, msgspec.Meta(description="What lists have to match beside.")] = None
    lists_addresses: Annotated[_Names, msgspec.Meta(description="Attributes with lists' addresses.")] = None
    lists_members: Annotated[
        _Names, msgspec.Meta(description="Attributes with the names of the entries that are a list's members.")
    ] = None
    lists_member_addresses: Annotated[
        _Names, msgspec.Meta(description="Attributes with addresses of members that need no entry.")
    ] = None

    def __post_init__(self) -> None:
        """Refuse what can't be asked for."""
        if self.people == () or self.people_addresses == ():
            raise ValueError("lets nobody have an address; name people and people_addresses, or leave them out")
        for name, value in msgspec.structs.asdict(self).items():
            if isinstance(value, tuple) and not all(map(_NAME.fullmatch, value)):
                raise ValueError(f"{name} has something that is no name; write names as in mail or otherMailbox")
        for name in ("people_filter", "lists_filter"):
            text = getattr(self, name)
            if text:
                check_filter(text, name)


PRESETS: dict[SchemaName, MappingSettings] = {
    "active-directory": MappingSettings(
        people=("user", "contact"),
        people_filter="(!(userAccountControl:1.2.840.113556.1.4.803:=2))",
        people_addresses=("proxyAddresses", "mail"),
        people_forward=("targetAddress",),
        lists=("group",),
        lists_filter="",
        lists_addresses=("proxyAddresses", "mail"),
        lists_members=("member",),
        lists_member_addresses=(),
    ),
    "389ds": MappingSettings(
        people=("inetOrgPerson", "mailRecipient"),
        people_filter="(!(nsAccountLock=true))",
        people_addresses=("mail", "mailAlternateAddress"),
        people_forward=("mailForwardingAddress",),
        lists=("groupOfNames", "groupOfUniqueNames", "mailGroup"),
        lists_filter="",
        lists_addresses=("mail", "mailAlternateAddress"),
        lists_members=("member", "uniqueMember"),
        lists_member_addresses=("mgrpRFC822MailMember",),
    ),
    "inetorgperson": MappingSettings(
        people=("inetOrgPerson",),
        people_filter="",
        people_addresses=("mail",),
        people_forward=(),
        lists=("groupOfNames", "groupOfUniqueNames"),
        lists_filter="",
        lists_addresses=("mail",),
        lists_members=("member", "uniqueMember"),
        lists_member_addresses=(),
    ),
}


def mapping_of(schema: SchemaName, changes: MappingSettings | None) -> MappingSettings:
    """What the schema says, with an administrator's changes."""
    preset = PRESETS[schema]
    if changes is None:
        return preset
    said = {name: value for name, value in msgspec.structs.asdict(changes).items() if value is not None}
    return msgspec.structs.replace(preset, **said)
