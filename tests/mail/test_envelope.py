from __future__ import annotations

import msgspec

from nightmail.mail.envelope import NOTIFY_FAILURE, NOTIFY_SUCCESS, Envelope, Recipient


def test_an_envelope_survives_its_way_through_the_journal() -> None:
    recipients = (
        Recipient("bob@example.net", "rfc822;b+2Bc", NOTIFY_SUCCESS | NOTIFY_FAILURE, "b@x"),
        Recipient("c@x"),
    )
    envelope = Envelope("älice@example.org", recipients, "HDRS", "Q+2B1", True, True, "client", "drop-1")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(envelope), type=Envelope) == envelope


def test_a_plain_envelope_is_small_in_the_journal() -> None:
    assert len(msgspec.msgpack.encode(Envelope("a@example.org", (Recipient("b@example.net"),)))) < 50
