from __future__ import annotations

import pytest

from nightmail.errors import ProtocolViolation
from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.reply import Reply
from nightmail.smtp.client import ClientCore
from nightmail.smtp.client_events import (
    CommandReady,
    Greeted,
    HelloAnswered,
    PeerClosing,
    ProtocolBroken,
    Quitted,
)
from nightmail.smtp.extensions import Extensions

ENVELOPE = Envelope("a@b.example", (Recipient("c@d.example"),))


def greeted(**options: bool) -> ClientCore:
    core = ClientCore("me.example", **options)
    core.receive(b"220 peer.example ESMTP\r\n")
    return core


def ready(*extensions: str, **options: bool) -> ClientCore:
    core = greeted(**options)
    core.hello()
    core.receive("\r\n".join(("250-peer.example", *(f"250-{line}" for line in extensions), "250 HELP", "")).encode())
    return core


def test_the_peer_speaks_first() -> None:
    core = ClientCore("me.example")
    with pytest.raises(ProtocolViolation):
        core.hello()
    assert core.receive(b"220 peer.example ESMTP\r\n") == [Greeted(Reply(220, "", "peer.example ESMTP"))]
    assert core.hello() == b"EHLO me.example\r\n"


def test_a_peer_may_turn_us_away_and_be_told_goodbye() -> None:
    core = ClientCore("me.example")
    assert core.receive(b"554 5.7.1 Go away\r\n") == [Greeted(Reply(554, "5.7.1", "Go away"))]
    assert core.quit() == b"QUIT\r\n"
    assert core.receive(b"221 Bye\r\n") == [Quitted()]
    assert core.is_closed


def test_extensions_come_with_the_hello() -> None:
    core = greeted()
    core.hello()
    (event,) = core.receive(b"250-peer.example\r\n250-PIPELINING\r\n250 DSN\r\n")
    assert isinstance(event, HelloAnswered)
    assert event.extensions is core.extensions
    assert core.extensions.pipelining
    assert core.is_ready


def test_a_peer_of_old_is_said_helo() -> None:
    core = greeted()
    core.hello()
    assert core.receive(b"502 What?\r\n") == [CommandReady(b"HELO me.example\r\n")]
    assert core.receive(b"250-peer\r\n250 PIPELINING\r\n") == [
        HelloAnswered(Reply(250, "", "peer\nPIPELINING"), Extensions())
    ]
    assert core.is_ready


@pytest.mark.parametrize("answers", [[b"450 Later\r\n"], [b"502 What?\r\n", b"550 No\r\n"]])
def test_a_hello_may_be_refused_for_good(answers: list[bytes]) -> None:
    core = greeted()
    core.hello()
    events = [event for answer in answers for event in core.receive(answer)]
    assert isinstance(events[-1], HelloAnswered)
    assert not core.is_ready
    assert core.quit()


def test_lmtp_says_lhlo_and_nothing_else() -> None:
    core = greeted(lmtp=True)
    assert core.hello() == b"LHLO me.example\r\n"
    (event,) = core.receive(b"500 What?\r\n")
    assert isinstance(event, HelloAnswered)
    assert not core.is_ready


def test_as_many_transactions_begin_as_the_peer_allows() -> None:
    core = ready("PIPELINING", "LIMITS MAILMAX=1")
    assert core.is_ready
    core.begin(ENVELOPE, [0], 1)
    core.receive(b"550 No\r\n503 No\r\n503 No\r\n")
    assert not core.is_ready
    assert core.quit()


@pytest.mark.parametrize(
    "wire", [b"hello\r\n", b"250 Ok\r\n", b"354 Go on\r\n", b"250-a\r\n251 b\r\n", b"\x16\x03\x01\r\n"]
)
def test_a_reply_that_nothing_called_for_breaks_the_session(wire: bytes) -> None:
    core = ready()
    assert isinstance(core.receive(wire)[-1], ProtocolBroken)
    assert core.is_closed
    assert core.receive(b"250 Ok\r\n" * 100_000) == []
    assert core.buffered_bytes < 100
    with pytest.raises(ProtocolViolation):
        core.begin(ENVELOPE, [0], 1)


def test_a_greeting_of_354_breaks_the_session() -> None:
    assert isinstance(ClientCore("me").receive(b"354 Go on\r\n")[-1], ProtocolBroken)


def test_421_may_come_at_any_time() -> None:
    closing = PeerClosing(Reply(421, "4.3.2", "Down"))
    wire = b"421 4.3.2 Down\r\n"
    assert ClientCore("me").receive(wire) == [Greeted(closing.reply), closing]
    core = greeted()
    assert core.receive(wire) == [closing]
    core = greeted()
    core.hello()
    assert core.receive(wire) == [HelloAnswered(closing.reply, Extensions()), closing]
    core = ready()
    assert core.receive(wire) == [closing]
    core = ready()
    core.quit()
    assert core.receive(wire) == [closing]
    assert core.is_closed


def test_a_session_out_of_step_can_not_be_quitted() -> None:
    core = ready("PIPELINING")
    core.begin(ENVELOPE, [0], 1)
    with pytest.raises(ProtocolViolation):
        core.quit()


def test_an_address_with_a_line_end_begins_nothing() -> None:
    core = ready("PIPELINING")
    with pytest.raises(ProtocolViolation):
        core.begin(Envelope("a\r\n@b", ENVELOPE.recipients), [0], 1)
    assert core.is_ready


def test_a_transaction_needs_recipients() -> None:
    with pytest.raises(ProtocolViolation):
        ready().begin(ENVELOPE, [], 1)


def test_an_objection_is_the_peers() -> None:
    eight_bit = Envelope("a@b", ENVELOPE.recipients, eight_bit=True)
    assert str(ready().objection(eight_bit, [0], 1)).startswith("554 5.6.3 ")
    assert ready("8BITMIME").objection(eight_bit, [0], 1) is None
