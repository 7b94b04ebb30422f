from __future__ import annotations

from nightmail.mail.reply import Reply
from nightmail.smtp import commands, paths, replies

SAID = [value for room in (replies, commands, paths) for value in vars(room).values() if isinstance(value, Reply)]


def test_the_enhanced_status_agrees_with_the_code() -> None:
    assert len(SAID) > 25
    for reply in SAID:
        assert reply.enhanced[:1] == ("" if reply.code == 354 else str(reply.code)[0])


def test_every_reply_is_one_short_line() -> None:
    for reply in SAID:
        wire = reply.encode()
        assert wire.count(b"\r\n") == 1
        assert len(wire) < 100
