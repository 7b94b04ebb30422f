"""Which command may come when, as a table.

A session goes through these states (RFC 5321 §4.1.4, RFC 3030 §2):

    FRESH ──hello──▶ IDLE ──MAIL──▶ SENDER ──RCPT──▶ RECIPIENTS ──DATA──▶ TEXT ──end──▶ IDLE
                                                        │                               ▲
                                                        └──BDAT──▶ CHUNKS ──BDAT LAST───┤
                                                                     │ a chunk failed   │
                                                                     └──▶ FAILED ──RSET, BDAT LAST

A transition happens when the command's answer is positive; a negative one leaves the state as it was, except that a
chunk that failed takes its transaction with it. RSET and a new hello lead to IDLE from everywhere, and CLOSED is
reached from everywhere and never left. In TEXT and while a chunk is read, the client's bytes are no commands.

`REFUSALS[state]` holds the commands that are out of place in a state, with the reply that says so. All others are in
place: NOOP, HELP, VRFY, EXPN, RSET, QUIT and the hellos may come at any time between messages.
"""

from __future__ import annotations

from enum import IntEnum

from nightmail.mail.reply import Reply
from nightmail.smtp import replies


class State(IntEnum):
    """Where a session stands."""

    FRESH = 0
    IDLE = 1
    SENDER = 2
    RECIPIENTS = 3
    TEXT = 4
    CHUNKS = 5
    FAILED = 6
    CLOSED = 7


_Refusals = dict[str, Reply]

_BEFORE_HELLO: _Refusals = dict.fromkeys(("MAIL", "RCPT", "DATA", "BDAT"), replies.HELLO_FIRST)
_BEFORE_MAIL: _Refusals = dict.fromkeys(("RCPT", "DATA", "BDAT"), replies.MAIL_FIRST)
_BEFORE_RCPT: _Refusals = {"MAIL": replies.NESTED_MAIL, **dict.fromkeys(("DATA", "BDAT"), replies.NO_RECIPIENTS)}
_BEFORE_BODY: _Refusals = {"MAIL": replies.NESTED_MAIL}
_WITHIN_CHUNKS: _Refusals = dict.fromkeys(("MAIL", "RCPT", "DATA"), replies.CHUNKS_BEGUN)
_AFTER_FAILURE: _Refusals = dict.fromkeys(("MAIL", "RCPT", "DATA", "BDAT"), replies.CHUNKS_BROKEN)

REFUSALS: tuple[_Refusals, ...] = (
    _BEFORE_HELLO,
    _BEFORE_MAIL,
    _BEFORE_RCPT,
    _BEFORE_BODY,
    {},
    _WITHIN_CHUNKS,
    _AFTER_FAILURE,
    {},
)
"""By state: what is out of place there."""
