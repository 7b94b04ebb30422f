"""Tables change under a running server: at once, together, and only if they are right (R14, R17)."""

from __future__ import annotations

import os
import signal

import pytest
from tests.e2e.dialogue import Dialogue, deliver
from tests.e2e.sink import Answer, Sink
from tests.e2e.switch import LOCAL_ONLY, Switch
from tests.e2e.waiting import until


def answer(switch: Switch, recipient: str) -> str:
    with Dialogue(switch.port) as session:
        session.greet().say("MAIL FROM:<carol@example.net>")
        return session.say(f"RCPT TO:<{recipient}>")


def test_a_new_mailbox_counts_soon_after_its_table_was_written(switch: Switch) -> None:
    assert answer(switch, "dora@example.org") == "550 5.1.1 no such user here"
    assert "tables reloaded" in switch.change_tables({"mailboxes": "alice@example.org\ndora@example.org\n"})
    assert answer(switch, "dora@example.org") == "250 2.1.5 Ok"
    assert answer(switch, "bob@example.org") == "550 5.1.1 no such user here"
    deliver(switch.port, "carol@example.net", "dora@example.org")
    switch.wait_for_mail("dora")


def test_a_session_outlives_a_reload(switch: Switch) -> None:
    with Dialogue(switch.port) as session:
        session.greet().envelope("carol@example.net", "bob@example.org")
        session.send(b"Subject: across\r\n\r\n")
        switch.change_tables({"mailboxes": "alice@example.org\ndora@example.org\n"})
        assert session.body(b"a reload\r\n").startswith("250 ")
        session.say("MAIL FROM:<carol@example.net>")
        assert session.say("RCPT TO:<bob@example.org>") == "550 5.1.1 no such user here"
        assert session.say("RCPT TO:<dora@example.org>") == "250 2.1.5 Ok"
    assert len(switch.wait_for_mail("bob")) == 1


def test_sighup_reloads_at_once(switch: Switch) -> None:
    switch.write_tables({"mailboxes": "alice@example.org\ndora@example.org\n"})
    os.kill(switch.running().pid, signal.SIGHUP)
    until(lambda: answer(switch, "dora@example.org") == "250 2.1.5 Ok", "the new mailbox", 5)


@pytest.mark.parametrize(
    ("name", "text", "line", "wrong"),
    [
        ("routes", LOCAL_ONLY["routes"] + "sink.test smpt:[127.0.0.1]:25\n", 2, "smpt"),
        ("domains", "example.org local\nexample.org relay\n", 2, "example.org"),
        ("clients", "127.0.0.0/8 relay\n300.0.0.0/8 relay\n", 2, "300.0.0.0/8"),
        ("domains", "example.org lcal\n", 1, "lcal"),
        ("aliases", "# none\nteam@example.org\n", 2, "the alias stands for nothing"),
        ("mailboxes", " alice@example.org\n", 1, "white space"),
    ],
)
def test_a_bad_line_is_named_and_the_old_tables_stay(
    switch: Switch, name: str, text: str, line: int, wrong: str
) -> None:
    said = switch.change_tables({"mailboxes": "dora@example.org\n"} | {name: text})
    assert "tables refused, the last good ones stay in force" in said
    assert f"{switch.directory}/tables/{name}:{line}" in said
    assert wrong in said
    assert "right=" in said
    assert answer(switch, "alice@example.org") == "250 2.1.5 Ok"
    assert answer(switch, "dora@example.org") == "550 5.1.1 no such user here"
    checked = switch.nightmail("check")
    assert checked.returncode == 78
    assert f"tables/{name}:{line}: " in checked.stderr + checked.stdout


def test_a_file_that_disappears_keeps_the_old_tables(switch: Switch) -> None:
    (switch.directory / "tables" / "mailboxes").unlink()
    until(lambda: switch.logged("tables refused"), "a word about the file that is gone")
    assert answer(switch, "alice@example.org") == "250 2.1.5 Ok"


def test_mended_tables_come_into_force_after_bad_ones(switch: Switch) -> None:
    assert "refused" in switch.change_tables({"domains": "example.org lcal\n"})
    assert "reloaded" in switch.change_tables({"domains": LOCAL_ONLY["domains"], "mailboxes": "dora@example.org\n"})
    assert answer(switch, "dora@example.org") == "250 2.1.5 Ok"


def test_policies_of_the_tables_are_in_force_with_the_next_failure_and_need_no_restart(
    switch: Switch, sink: Sink
) -> None:
    sink.on["RCPT"] = Answer(words="450 4.2.0 later")
    assert "reloaded" in switch.change_tables({"policies": "retry_first_s  3600\nretry_max_s  3600\n"})
    deliver(switch.port, "carol@example.net", "a@sink.test")

    def waiting_s() -> list[float]:
        rows = switch.facts("queue", "list")["messages"]
        return [row["next_attempt"] - row["arrival"] for row in rows if row["attempts"]]

    until(lambda: [each for each in waiting_s() if each > 3000], "a message that waits for most of an hour")
    switch.change_tables({"policies": "retry_first_s  7200\n"})  # the file has retry_max_s = 2
    switch.wait_for_log("policies refused, those in force stay")
    [picture] = switch.status().switches
    assert "retry_max_s (2) is less than retry_first_s (7200)" in picture.routing
    switch.change_tables({"policies": ""})
    until(lambda: switch.status().switches[0].routing == "ok", "policies that are in force")
