"""What a sender is told of mail that failed, waits, or arrived (RFC 3461, 3464)."""

from __future__ import annotations

import email
import email.policy
from email.message import EmailMessage
from pathlib import Path

from tests.e2e.conftest import relaying
from tests.e2e.dialogue import MESSAGE, Dialogue, deliver
from tests.e2e.sink import Answer, Sink
from tests.e2e.switch import Switch
from tests.e2e.waiting import until


def report(switch: Switch, user: str = "alice") -> tuple[EmailMessage, str]:
    """The one report in the Maildir, and its machine-readable part."""
    (data,) = switch.wait_for_mail(user)
    message = email.message_from_bytes(data, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    assert message.get_content_type() == "multipart/report"
    assert message["Return-Path"] == "<>"
    assert message["Auto-Submitted"] == "auto-replied" or message["Auto-Submitted"] == "auto-generated"
    kinds = ("message/delivery-status", "message/global-delivery-status")
    (status,) = [part for part in message.walk() if part.get_content_type() in kinds]
    fields = "\n".join(str(part) for part in status.iter_parts()) if status.is_multipart() else status.get_content()
    return message, fields


def test_a_failed_recipient_is_reported_to_the_sender(switch: Switch, sink: Sink) -> None:
    sink.on["RCPT gone@sink.test"] = Answer(words="550 5.1.1 gone for good")
    deliver(switch.port, "alice@example.org", "gone@sink.test", "there@sink.test")
    message, fields = report(switch)
    assert "Final-Recipient: rfc822; gone@sink.test" in fields
    assert "Action: failed" in fields
    assert "Status: 5.1.1" in fields
    assert "550 5.1.1 gone for good" in fields
    assert "there@sink.test" not in fields
    assert "Good evening." in message.as_string()
    assert sink.wait_for(1)[0].recipients == ("there@sink.test",)
    until(lambda: switch.queued() == 0, "an empty queue")


def test_a_report_to_an_address_of_ours_follows_its_aliases_and_makes_no_mailbox(tmp_path: Path, sink: Sink) -> None:
    ours = {
        **relaying(sink),
        "domains": "example.org local\nlists.example.org alias example.org\nsink.test relay\n",
        "aliases": "root@example.org alice@example.org\n",
    }
    sink.on["RCPT"] = Answer(words="550 5.1.1 gone for good")
    with Switch(tmp_path, ours) as switch:
        for sender in ("root@example.org", "bob@lists.example.org", "nobody@example.org"):
            deliver(switch.port, sender, "gone@sink.test")
        assert "root@example.org" in report(switch, "alice")[0]["To"]
        assert "bob@lists.example.org" in report(switch, "bob")[0]["To"]
        switch.wait_for_log("report not made", "to=<nobody@example.org>")
        until(lambda: switch.queued() == 0, "an empty queue")
        assert sorted(path.name for path in switch.mail.iterdir()) == ["alice", "bob"]


def test_the_null_sender_gets_no_report(switch: Switch, sink: Sink) -> None:
    sink.on["RCPT"] = Answer(words="550 5.1.1 gone for good")
    deliver(switch.port, "", "gone@sink.test")
    until(lambda: switch.logged("to=<gone@sink.test>", "status=bounced"), "the failure")
    until(lambda: switch.queued() == 0, "an empty queue")
    assert switch.maildir("alice") == []


def test_success_is_reported_where_it_was_asked_for(switch: Switch) -> None:
    with Dialogue(switch.port) as session:
        session.greet().say("MAIL FROM:<alice@example.org> RET=HDRS ENVID=QQ314159")
        assert session.say("RCPT TO:<bob@example.org> NOTIFY=SUCCESS ORCPT=rfc822;robert@example.org")[:3] == "250"
        session.say("DATA")
        session.body()
    message, fields = report(switch)
    assert "Original-Envelope-Id: QQ314159" in fields
    assert "Original-Recipient: rfc822; robert@example.org" in fields.replace("rfc822;r", "rfc822; r")
    assert "Action: delivered" in fields
    assert "Good evening." not in message.as_string()


def test_notify_never_keeps_the_sender_in_peace(switch: Switch, sink: Sink) -> None:
    sink.on["RCPT"] = Answer(words="550 5.1.1 gone for good")
    with Dialogue(switch.port) as session:
        session.greet().say("MAIL FROM:<alice@example.org>")
        session.say("RCPT TO:<gone@sink.test> NOTIFY=NEVER")
        session.say("DATA")
        session.body()
    until(lambda: switch.logged("to=<gone@sink.test>", "status=bounced"), "the failure")
    until(lambda: switch.queued() == 0, "an empty queue")
    assert switch.maildir("alice") == []


def test_dsn_parameters_are_passed_on_to_a_next_hop_that_knows_them(switch: Switch, sink: Sink) -> None:
    with Dialogue(switch.port) as session:
        session.greet().say("MAIL FROM:<alice@example.org> RET=FULL ENVID=E1")
        session.say("RCPT TO:<a@sink.test> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;b@sink.test")
        session.say("DATA")
        session.body()
    sink.wait_for(1)
    (mail,) = [command for command in sink.commands if command.startswith("MAIL")]
    (rcpt,) = [command for command in sink.commands if command.startswith("RCPT")]
    assert "RET=FULL" in mail
    assert "ENVID=E1" in mail
    assert "NOTIFY=" in rcpt
    assert "ORCPT=rfc822;b@sink.test" in rcpt
    assert switch.maildir("alice") == []


def test_relaying_to_a_next_hop_without_dsn_is_reported(tmp_path: Path) -> None:
    with Sink(extensions=("PIPELINING", "8BITMIME")) as sink, Switch(tmp_path, relaying(sink)) as switch:
        with Dialogue(switch.port) as session:
            session.greet().say("MAIL FROM:<alice@example.org>")
            session.say("RCPT TO:<a@sink.test> NOTIFY=SUCCESS")
            session.say("DATA")
            session.body()
        assert "Action: relayed" in report(switch)[1]


def test_a_delay_and_later_the_expiry_are_reported(tmp_path: Path) -> None:
    queue = {"retry_first_s": 0.5, "retry_max_s": 1, "delay_report_s": 1, "expire_s": 4}
    with Sink() as sink, Switch(tmp_path, relaying(sink), {"queue": queue}) as switch:
        sink.on["MAIL"] = Answer(words="450 4.3.2 come back later")
        deliver(switch.port, "alice@example.org", "late@sink.test")
        assert "Action: delayed" in report(switch)[1]
        both = switch.wait_for_mail("alice", 2, 20)
        (last,) = [data for data in both if b"Action: failed" in data]
        assert b"Status: 4.4.7" in last
        until(lambda: switch.queued() == 0, "an empty queue")
        assert len(switch.maildir("alice")) == 2


def test_eight_bits_to_a_peer_that_has_seven_fail(tmp_path: Path) -> None:
    with Sink(extensions=("PIPELINING",)) as sink, Switch(tmp_path, relaying(sink)) as switch:
        with Dialogue(switch.port) as session:
            session.greet().say("MAIL FROM:<alice@example.org> BODY=8BITMIME")
            session.say("RCPT TO:<a@sink.test>")
            session.say("DATA")
            session.body(MESSAGE + "Grüße\r\n".encode())
        assert "Status: 5.6.3" in report(switch)[1]
        assert sink.received == []


def test_an_address_in_utf8_to_a_peer_without_smtputf8_fails(tmp_path: Path) -> None:
    with Sink(extensions=("PIPELINING", "8BITMIME")) as sink, Switch(tmp_path, relaying(sink)) as switch:
        with Dialogue(switch.port) as session:
            session.greet().say("MAIL FROM:<alice@example.org> BODY=8BITMIME SMTPUTF8")
            assert session.say("RCPT TO:<jürgen@sink.test>") == "250 2.1.5 Ok"
            session.say("DATA")
            session.body()
        assert "Status: 5.6.7" in report(switch)[1]
