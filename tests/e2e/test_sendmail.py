"""`nightmail sendmail`, which programs on this machine take for the real one."""

from __future__ import annotations

from tests.e2e.switch import Switch
from tests.e2e.waiting import until

LETTER = b"From: Cron <cron@example.net>\nTo: alice@example.org\nCc: Bob <bob@example.org>\nBcc: dora@example.org\n"
TEXT = b"Subject: nightly\n\nAll is well.\n.\nEven after a dot.\n"


def test_mail_reaches_the_recipients_of_its_header(switch: Switch) -> None:
    done = switch.nightmail("sendmail", "-t", "-i", "-f", "cron@example.net", stdin=LETTER + TEXT)
    assert done.returncode == 0, done.stderr
    (message,) = switch.wait_for_mail("alice")
    assert b"Even after a dot." in message
    assert b"Return-Path: <cron@example.net>" in message
    assert b"dora" not in message
    switch.wait_for_mail("bob")


def test_mail_reaches_the_recipients_of_the_command_line(switch: Switch) -> None:
    done = switch.nightmail("sendmail", "-oi", "-oem", "-F", "The Clock", "alice@example.org", stdin=TEXT)
    assert done.returncode == 0, done.stderr
    (message,) = switch.wait_for_mail("alice")
    assert b"The Clock" in message


def test_a_dot_ends_a_message_unless_it_is_told_otherwise(switch: Switch) -> None:
    switch.nightmail("sendmail", "-f", "cron@example.net", "alice@example.org", stdin=TEXT)
    (message,) = switch.wait_for_mail("alice")
    assert b"All is well." in message
    assert b"Even after a dot." not in message


def test_mail_waits_in_the_drop_directory_until_a_switch_runs(switch: Switch) -> None:
    switch.stop()
    assert switch.nightmail("sendmail", "-i", "alice@example.org", stdin=TEXT).returncode == 0
    drop = switch.directory / "run" / "drop"
    assert drop.stat().st_mode & 0o7777 == 0o1730
    assert len(list(drop.glob("*-*"))) == 1
    assert switch.maildir("alice") == []
    switch.start()
    assert len(switch.wait_for_mail("alice")) == 1
    until(lambda: not list(drop.glob("*-*")), "an empty drop directory")


def test_dropped_mail_comes_once_though_the_switch_is_killed(switch: Switch) -> None:
    switch.stop()
    for number in range(20):
        letter = b"Subject: number %d\n\nx\n" % number
        assert switch.nightmail("sendmail", "-i", "alice@example.org", stdin=letter).returncode == 0
    switch.start()
    switch.kill()
    switch.start()
    switch.wait_for_mail("alice", 20)
    until(lambda: switch.queued() == 0, "an empty queue")
    assert len(switch.maildir("alice")) == 20


def test_mail_that_cannot_be_stored_is_handed_back_with_75(switch: Switch) -> None:
    switch.stop()
    drop = switch.directory / "run" / "drop"
    for file in drop.rglob("*"):
        file.unlink() if file.is_file() else None
    for directory in sorted((each for each in drop.rglob("*") if each.is_dir()), reverse=True):
        directory.rmdir()
    drop.rmdir()
    drop.write_text("a file where the directory should be")
    done = switch.nightmail("sendmail", "-i", "alice@example.org", stdin=TEXT)
    assert done.returncode == 75
    assert done.stderr.strip()


def test_mail_queue_and_smtp_on_standard_input(switch: Switch) -> None:
    assert switch.nightmail("sendmail", "-bp").returncode == 0
    commands = b"EHLO here\r\nMAIL FROM:<cron@example.net>\r\nRCPT TO:<alice@example.org>\r\nDATA\r\n"
    done = switch.nightmail("sendmail", "-bs", stdin=commands + b"Subject: typed\r\n\r\nx\r\n.\r\nQUIT\r\n")
    codes = [line[:3] for line in done.stdout.splitlines() if line[3:4] == " "]
    assert codes == ["220", "250", "250", "250", "354", "250", "221"]
    (message,) = switch.wait_for_mail("alice")
    assert b"Subject: typed" in message


def test_no_recipient_is_a_usage_error(switch: Switch) -> None:
    assert switch.nightmail("sendmail", "-i", stdin=TEXT).returncode in (64, 65)
