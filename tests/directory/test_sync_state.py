"""The control of an entry is read as a general decoder reads it, and whatever else comes is refused."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap.syncrepl import SyncStateControl
from pyasn1.codec.ber import encoder
from pyasn1.type import namedtype, univ

from nightmail.directory.sync_state import ADD, SyncState, read_sync_state

NAMES = ["present", "add", "modify", "delete"]


class Value(univ.Sequence):  # type: ignore[misc]  # the library has no types
    componentType = namedtype.NamedTypes(  # noqa: N815 - as the library calls it
        namedtype.NamedType("state", univ.Enumerated()),
        namedtype.NamedType("entryUUID", univ.OctetString()),
        namedtype.OptionalNamedType("cookie", univ.OctetString()),
    )


def encoded(state: int, uuid: UUID, cookie: str) -> bytes:
    value = Value()
    value["state"], value["entryUUID"] = state, uuid.bytes
    if cookie:
        value["cookie"] = cookie.encode()
    return bytes(encoder.encode(value))


@given(st.integers(0, 3), st.uuids(), st.text("abc=;,#0123", max_size=400))
def test_it_is_read_as_a_general_decoder_reads_it(state: int, uuid: UUID, cookie: str) -> None:
    value = encoded(state, uuid, cookie)
    general = SyncStateControl()
    general.decodeControlValue(value)
    assert read_sync_state(value) == SyncState(state, str(uuid), cookie)
    assert (general.state, general.entryUUID, str(general.cookie or "")) == (NAMES[state], str(uuid), cookie)


@given(st.binary(max_size=60))
def test_what_is_none_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match=r".*"):
        read_sync_state(value)


@given(st.integers(0, 24))
def test_one_that_is_cut_short_is_refused(size: int) -> None:
    value = encoded(ADD, UUID(int=1), "")
    with pytest.raises(ValueError, match=r".*"):
        read_sync_state(value[: min(size, len(value) - 1)])
