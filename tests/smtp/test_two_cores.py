"""Both sides wired together, with no socket between them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import example, given
from hypothesis import strategies as st
from tests.smtp.talks import ServerTalk, cut, cuts, talk

from nightmail.mail.envelope import Envelope, Recipient
from nightmail.mail.reply import Reply
from nightmail.smtp import replies
from nightmail.smtp.client import ClientCore
from nightmail.smtp.client_events import (
    BodyWanted,
    ClientEvent,
    CommandReady,
    Greeted,
    HelloAnswered,
    MailAnswered,
    MessageAnswered,
    PeerClosing,
    ProtocolBroken,
    RecipientAnswered,
    TransactionEnded,
)
from nightmail.smtp.events import Event
from nightmail.smtp.settings import SmtpSettings

NO = Reply(550, "5.7.1", "No")
# A server that leaves after too many errors ends the story early: that is a rule of its own, and told in test_dialogue.
PATIENT = SmtpSettings(error_limit=1_000)
FOUR = Envelope("", (Recipient("a@b.example"),) * 4)


@dataclass
class Wire:
    """Carries every byte both ways, cut anywhere, and has the client send one message after another."""

    client: ClientCore
    server: ServerTalk
    places: list[int]
    messages: list[tuple[Envelope, bytes]]
    verdicts: list[dict[int, Reply]] = field(default_factory=list)
    happened: list[ClientEvent] = field(default_factory=list)

    def run(self) -> None:
        self._to_client(self.server.core.greeting())

    def _to_client(self, data: bytes) -> None:
        outgoing = b""
        for piece in cut(data, self.places):
            for event in self.client.receive(piece):
                self.happened.append(event)
                outgoing += self._react(event)
        if outgoing:
            self._to_client(self.server.send_all(cut(outgoing, self.places)))

    def _react(self, event: ClientEvent) -> bytes:
        if isinstance(event, Greeted):
            return self.client.hello()
        if isinstance(event, CommandReady):
            return event.wire
        if isinstance(event, BodyWanted):
            return self._body()
        if isinstance(event, HelloAnswered | TransactionEnded):
            return self._next()
        self._verdict(event)
        return b""

    def _next(self) -> bytes:
        if len(self.verdicts) == len(self.messages) or not self.client.is_ready:
            return b""
        envelope, body = self.messages[len(self.verdicts)]
        self.verdicts.append({})
        return self.client.begin(envelope, range(len(envelope.recipients)), len(body))

    def _body(self) -> bytes:
        body = self.messages[len(self.verdicts) - 1][1]
        framed = [bytes(part) for piece in cut(body, self.places) for part in self.client.body(piece)]
        return b"".join(framed) + self.client.end_of_body()

    def _verdict(self, event: ClientEvent) -> None:
        verdicts = self.verdicts[-1]
        if isinstance(event, RecipientAnswered) and not event.reply.is_positive:
            assert verdicts.setdefault(event.index, event.reply) is event.reply
        elif isinstance(event, MailAnswered) and not event.reply.is_positive:
            verdicts.update(dict.fromkeys(range(len(self.messages[len(self.verdicts) - 1][0].recipients)), event.reply))
        elif isinstance(event, MessageAnswered):
            for index in event.indexes:
                assert verdicts.setdefault(index, event.reply) is event.reply


names = st.sampled_from(["a@b.example", "postmaster", "é@b.example", '"x y"@b.example', "c@[192.0.2.1]"])
envelopes = st.builds(
    Envelope,
    st.sampled_from(["", "s@t.example", "ü@t.example"]),
    st.lists(st.builds(Recipient, names), min_size=1, max_size=4).map(tuple),
)
bodies = st.lists(
    st.sampled_from([b".", b"..", b"\r\n", b"\r\n.", b"\r\n.\r\n", b"x", b"A: b\r\n\r\n"]), max_size=12
).map(b"".join)


@example(
    messages=[(FOUR, b"..."), (FOUR, b""), (FOUR, b"..\r\n.\r\n")],
    refusals=[False] * 4 + [True] * 3 + [False] * 3 + [True] * 3,
    places=[1, 2, 3, 4, 5, 6],
    lmtp=False,
    chunking=True,
)
@given(
    messages=st.lists(st.tuples(envelopes, bodies), min_size=1, max_size=3),
    refusals=st.lists(st.booleans(), max_size=20),
    places=cuts,
    lmtp=st.booleans(),
    chunking=st.booleans(),
)
def test_both_sides_agree_on_what_was_taken(
    messages: list[tuple[Envelope, bytes]], refusals: list[bool], places: list[int], lmtp: bool, chunking: bool
) -> None:
    decisions = iter([False, *refusals])

    def decide(event: Event) -> Reply:
        return NO if next(decisions, False) else replies.OK

    server = talk(PATIENT, service="lmtp" if lmtp else "smtp", decide=decide)
    wire = Wire(ClientCore("c.example", lmtp=lmtp, chunking=chunking), server, places, messages)
    wire.run()
    assert not [event for event in wire.happened if isinstance(event, ProtocolBroken | PeerClosing)]
    assert wire.client.is_ready
    assert [len(verdicts) for verdicts in wire.verdicts] == [len(envelope.recipients) for envelope, _ in messages]
    taken = [
        (envelope.sender, [envelope.recipients[n].address for n in sorted(verdicts) if verdicts[n].is_positive], body)
        for (envelope, body), verdicts in zip(messages, wire.verdicts, strict=True)
    ]
    kept = [(message.sender, message.recipients, message.body) for message in server.messages]
    assert kept == [(sender, recipients, ended(body)) for sender, recipients, body in taken if recipients]


def ended(body: bytes) -> bytes:
    return body if not body or body.endswith(b"\r\n") else body + b"\r\n"


def test_a_session_is_used_for_many_messages() -> None:
    server = talk()
    envelope = Envelope("a@b.example", (Recipient("c@d.example"),))
    wire = Wire(ClientCore("c.example"), server, [], [(envelope, b".\r\n..\r\nx\r\n")] * 50)
    wire.run()
    assert [message.body for message in server.messages] == [b".\r\n..\r\nx\r\n"] * 50
    assert wire.client.is_ready
