"""Mail in by every door, out to a Maildir and to the next hop."""

from __future__ import annotations

import re
import smtplib
import subprocess

from tests.e2e.dialogue import MESSAGE, Dialogue, deliver
from tests.e2e.sink import Sink
from tests.e2e.switch import Switch


def test_a_message_from_swaks_arrives_in_the_maildir(switch: Switch) -> None:
    address = ["--from", "carol@example.net", "--to", "alice@example.org"]
    command = ["swaks", "--server", f"127.0.0.1:{switch.port}", *address, "--header", "Subject: by swaks"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (message,) = switch.wait_for_mail("alice")
    assert b"Subject: by swaks" in message


def test_a_message_from_smtplib_arrives_in_the_maildir(switch: Switch) -> None:
    with smtplib.SMTP("127.0.0.1", switch.port, timeout=10) as client:
        client.sendmail("carol@example.net", ["alice@example.org"], MESSAGE.decode())
    (message,) = switch.wait_for_mail("alice")
    assert b"Good evening." in message


def test_messages_from_smtp_source_arrive_in_the_maildir(switch: Switch) -> None:
    load = ["-s", "5", "-m", "50", "-l", "2000", "-f", "carol@example.net", "-t", "alice@example.org"]
    subprocess.run(["smtp-source", *load, f"127.0.0.1:{switch.port}"], timeout=60, check=True, capture_output=True)
    assert len(switch.wait_for_mail("alice", 50)) == 50


def test_final_delivery_writes_return_path_and_received(switch: Switch) -> None:
    queue_id = deliver(switch.port, "carol@example.net", "alice@example.org")
    (message,) = switch.wait_for_mail("alice")
    lines = message.decode().splitlines()
    assert lines[0] == "Return-Path: <carol@example.net>"
    received = re.search(r"^Received: (?:.*\n)(?:[ \t].*\n)*", message.decode().replace("\r\n", "\n"), re.MULTILINE)
    assert received
    head = " ".join(received[0].split())
    assert head.startswith("Received: from client.example.net ")
    for part in ("127.0.0.1", "by mx1.example.net", "with ESMTP", f"id {queue_id}"):
        assert part in head


def test_a_message_is_relayed_with_its_envelope(switch: Switch, sink: Sink) -> None:
    queue_id = deliver(switch.port, "carol@example.net", "a@sink.test", "b@sink.test", "bob@example.org")
    (message,) = sink.wait_for(1)
    assert message.sender == "carol@example.net"
    assert message.recipients == ("a@sink.test", "b@sink.test")
    assert message.queue_id == queue_id
    assert message.data.endswith(MESSAGE)
    switch.wait_for_mail("bob")


def test_dots_are_the_same_on_both_sides(switch: Switch, sink: Sink) -> None:
    body = b"Subject: dots\r\n\r\n..\r\n...two\r\n.. \r\nend\r\n"
    deliver(switch.port, "carol@example.net", "a@sink.test", "alice@example.org", data=body)
    (message,) = sink.wait_for(1)
    assert message.data.endswith(body)
    (stored,) = switch.wait_for_mail("alice")
    assert stored.replace(b"\r\n", b"\n").endswith(b"\n.\n..two\n. \nend\n")


def test_a_large_message_goes_through_whole(switch: Switch, sink: Sink) -> None:
    body = b"Subject: large\r\n\r\n" + b"".join(b"%09d of many lines\r\n" % n for n in range(400_000))
    deliver(switch.port, "carol@example.net", "a@sink.test", data=body)
    (message,) = sink.wait_for(1, 30)
    assert message.data.endswith(body)


def test_every_recipient_has_a_line_in_the_log(switch: Switch, sink: Sink) -> None:
    queue_id = deliver(switch.port, "carol@example.net", "a@sink.test", "alice@example.org")
    sink.wait_for(1)
    switch.wait_for_mail("alice")
    for recipient in ("a@sink.test", "alice@example.org"):
        (line,) = switch.wait_for_log(f"id={queue_id}", f"to=<{recipient}>", "status=sent")
        for key in ("from=<carol@example.net>", "relay=", "delay_s=", "delays=", "dsn=2", "reply="):
            assert key in line


def test_a_message_sent_in_chunks_arrives(switch: Switch) -> None:
    with Dialogue(switch.port) as session:
        session.greet().say("MAIL FROM:<carol@example.net> BODY=8BITMIME")
        session.say("RCPT TO:<alice@example.org>")
        session.send(b"BDAT 17\r\nSubject: chunks\r\n")
        assert session.reply().startswith("250 ")
        session.send(b"BDAT 11 LAST\r\n\r\nGr\xc3\xbc\xc3\x9fe\r\n"[:-2] + b"\r\n")
        assert session.reply().startswith("250 2.0.0 Ok: queued as ")
    (message,) = switch.wait_for_mail("alice")
    assert "Grüße".encode() in message


def test_an_alias_reaches_all_its_targets(switch: Switch, sink: Sink) -> None:
    switch.change_tables({"aliases": "team@example.org alice@example.org, far@sink.test\n"})
    deliver(switch.port, "carol@example.net", "team@example.org")
    switch.wait_for_mail("alice")
    assert sink.wait_for(1)[0].recipients == ("far@sink.test",)


def test_a_refused_recipient_does_not_hinder_the_others(switch: Switch) -> None:
    with Dialogue(switch.port) as session:
        session.greet().say("MAIL FROM:<carol@example.net>")
        assert session.say("RCPT TO:<nobody@example.org>") == "550 5.1.1 no such user here"
        assert session.say("RCPT TO:<alice@example.org>") == "250 2.1.5 Ok"
        assert session.say("DATA").startswith("354 ")
        assert session.body().startswith("250 ")
    switch.wait_for_mail("alice")
