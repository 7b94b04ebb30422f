"""The commands, over a real operator socket."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.rig import FULL, FakeServer, QueueOf, message

from nightmail.cli import client
from nightmail.errors import ConfigInvalid
from nightmail.net.control_messages import Selection

BOB_FROM_CAROL = ("carol@example.net", "bob@example.net")
THREE = (
    message(1, state="active", recipients=()),
    message(2, sender="", arrival=0.0),
    message(3, state="held"),
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    with FakeServer(tmp_path, QueueOf(*THREE)) as server:
        monkeypatch.chdir(tmp_path)
        yield server


def test_status_is_one_screen_for_people_and_facts_for_programs(server: FakeServer, run: Run) -> None:
    done = run("status")
    assert done.exit_code == 0
    assert re.match(r"mx1 is serving · up \d+ s · 3 messages queued", done.out)
    assert "\x1b" not in done.out
    assert not [line for line in done.out.splitlines() if line != line.rstrip()]
    facts = json.loads(run("status", "--json").out)
    assert facts["queues"][0] == {
        "id": "mx1.0.1",
        "owner": "mx1",
        "epoch": 1,
        "slot": 12_345,
        "messages": 3,
        "waiting": 0,
        "active": 0,
        "held": 0,
    }
    assert facts["peers"] == [{"server": "mx2", "state": "unknown", "heartbeat_age_s": None}]
    assert (facts["server"], facts["state"]) == ("mx1", "serving")


def test_the_queue_is_listed_whole_into_a_pipe(server: FakeServer, run: Run) -> None:
    done = run("queue", "list")
    lines = done.out.splitlines()
    assert lines[0].split() == ["ID", "AGE", "SIZE", "STATE", "NEXT", "FROM", "TO", "LAST", "REPLY"]
    assert lines[1].split() == ["ID0001", "1h", "4.2", "K", "active", "now", "carol@example.net", "–"]
    assert lines[3].split(maxsplit=8) == ["ID0003", "1h", "4.2", "K", "held", "–", *BOB_FROM_CAROL, FULL]
    assert [row["id"] for row in json.loads(run("queue", "list", "--json").out)["messages"]] == [
        "ID0001",
        "ID0002",
        "ID0003",
    ]


def test_a_long_queue_is_read_page_by_page(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "_PAGE", 2)
    with FakeServer(tmp_path, QueueOf(*map(message, range(5)))) as server:
        config = ("--config", str(server.config_file), "--json")
        assert len(json.loads(run("queue", "list", *config).out)["messages"]) == 5
        page = json.loads(run("queue", "list", "--limit", "3", *config).out)
        assert ([row["id"] for row in page["messages"]], page["more"]) == (["ID0000", "ID0001", "ID0002"], True)


@pytest.mark.parametrize(
    ("criteria", "found"),
    [
        (["--to", "@example.net"], ["ID0002", "ID0003"]),
        (["--from", "<>"], ["ID0002"]),
        (["--older", "2h"], ["ID0002"]),
        (["--held"], ["ID0003"]),
        (["--to", "nobody@example.net"], []),
    ],
)
def test_messages_are_found_by_what_is_known_of_them(
    server: FakeServer, run: Run, criteria: list[str], found: list[str]
) -> None:
    facts = json.loads(run("queue", "list", "--json", *criteria).out)
    assert [row["id"] for row in facts["messages"]] == found


def test_one_message_is_shown_with_everything_and_nothing_that_moves_the_cursor(server: FakeServer, run: Run) -> None:
    out = run("queue", "show", "ID0003").out
    for words in ("ID0003", "mail.example.net[192.0.2.7]", FULL, "delivered", "Received: from a", "4,300 bytes"):
        assert words in out
    assert "\x1b" not in out
    assert json.loads(run("queue", "show", "ID0003", "--json").out)["message"]["id"] == "ID0003"


def test_a_message_that_is_not_there_is_said_so(server: FakeServer, run: Run) -> None:
    done = run("queue", "show", "../status")
    assert (done.exit_code, done.err) == (os.EX_NOINPUT, "nightmail: no queue here has a message ../status\n")


def test_messages_are_chosen_by_id_or_by_criteria_never_by_silence(server: FakeServer, run: Run) -> None:
    assert run("queue", "retry").exit_code == os.EX_USAGE
    assert run("queue", "retry", "--all", "--held").exit_code == os.EX_USAGE
    assert not server.switches[0].acts
    assert run("queue", "retry", "--all").out == "3 messages will be tried now\n"
    assert run("queue", "hold", "ID0001", "ID0002").out == "2 messages held\n"
    assert json.loads(run("queue", "release", "--held", "--json").out) == {"count": 1, "faults": []}
    assert server.switches[0].acts == [
        ("retry", Selection()),
        ("hold", Selection(ids=("ID0001", "ID0002"))),
        ("release", Selection(held=True)),
    ]


def test_what_ends_messages_is_not_done_unasked(server: FakeServer, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    done = run("queue", "delete", "--from", "carol@example.net")
    assert done.exit_code == os.EX_USAGE
    assert "2 messages to delete: say --yes" in done.err
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("typer.confirm", lambda question, **_: question != "Bounce 3 messages?")
    done = run("queue", "bounce", "--all")
    assert (done.exit_code, done.err) == (0, "nightmail: nothing was done\n")
    assert not server.switches[0].acts
    assert run("queue", "delete", "--all").out == "3 messages deleted\n"
    assert run("queue", "bounce", "--all", "--yes").out == "3 messages bounced\n"
    assert run("queue", "delete", "ID0001").out == "1 message deleted\n"
    assert run("queue", "delete", "--to", "nobody@example.net").out == "No messages.\n"


def test_ids_that_are_not_there_are_said_so(server: FakeServer, run: Run) -> None:
    done = run("queue", "retry", "ID0001", "NOWHERE")
    assert (done.exit_code, done.out) == (os.EX_NOINPUT, "1 message will be tried now\n")
    assert "1 id not queued here" in done.err


def test_a_switch_that_does_not_answer_leaves_a_list_that_says_so(tmp_path: Path, run: Run) -> None:
    silent = QueueOf(number=1)
    silent.is_silent = True
    with FakeServer(tmp_path, QueueOf(message(1)), silent) as server:
        done = run("queue", "list", "--config", str(server.config_file))
        assert done.exit_code == os.EX_TEMPFAIL
        assert "ID0001" in done.out
        assert "switch 1: no answer" in done.err
        done = run("queue", "show", "ID0009", "--config", str(server.config_file))
        assert done.exit_code == os.EX_TEMPFAIL


def test_reload_tells_what_is_wrong(server: FakeServer, run: Run) -> None:
    assert run("reload").out == "The tables are in force.\n"
    server.reload_fault = ConfigInvalid("tables/domains:3", "it is wrong", "this is right")
    done = run("reload")
    assert (done.exit_code, done.err) == (
        os.EX_CONFIG,
        "nightmail: tables/domains:3: it is wrong; this is right\n",
    )


def test_where_no_server_runs_it_is_said_so(tmp_path: Path, run: Run) -> None:
    config = str(FakeServer(tmp_path).config_file)
    for words in (["status"], ["queue", "list"], ["queue", "retry", "--all"], ["reload"]):
        done = run(*words, "--config", config)
        assert done.exit_code == os.EX_UNAVAILABLE
        assert "no server runs here; nightmail serve starts it" in done.err


def test_check_tells_what_a_server_would_do(tmp_path: Path, run: Run) -> None:
    server = FakeServer(tmp_path)
    done = run("check", "--config", str(server.config_file))
    assert done.exit_code == 0
    assert "mx1 (mx1.example.org), 1 switch" in done.out
    facts = json.loads(run("check", "--json", "--config", str(server.config_file)).out)
    assert (facts["entries"]["domains"], facts["listeners"]) == (1, ["127.0.0.1:2525 smtp"])
    assert not list(server.run_directory.iterdir())


@pytest.mark.parametrize(
    ("old", "new", "wrong"),
    [
        ('name = "mx1"', 'nme = "mx1"', "nightmail.toml:2: "),
        ('name = "mx1"', 'name = "mx1"\nuser = "no-such-user"', "no user 'no-such-user'"),
    ],
)
def test_check_tells_what_is_wrong_on_one_line(tmp_path: Path, run: Run, old: str, new: str, wrong: str) -> None:
    config = FakeServer(tmp_path).config_file
    config.write_text(config.read_text().replace(old, new))
    done = run("check", "--config", str(config))
    assert (done.exit_code, done.out) == (os.EX_CONFIG, "")
    assert wrong in done.err
    assert done.err.count("\n") == 1


def test_check_reads_the_tables_too(tmp_path: Path, run: Run) -> None:
    config = FakeServer(tmp_path).config_file
    (tmp_path / "tables/domains").write_text("example.org somewhere\n")
    done = run("check", "--config", str(config))
    assert done.exit_code == os.EX_CONFIG
    assert "tables/domains:1: " in done.err


@pytest.mark.parametrize("words", [["nonsense"], ["status", "--nonsense"], ["queue", "list", "--older", "5x"], []])
def test_wrong_usage_has_its_own_exit_code(run: Run, words: list[str]) -> None:
    assert run(*words).exit_code == os.EX_USAGE


def test_help_and_version_are_no_failures(run: Run) -> None:
    assert run("--help").exit_code == 0
    assert run("--version").out == "nightmail 0.1.0\n"


def test_serve_becomes_the_server(tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("os.execv", lambda program, words: called.append(words[1:]))
    run("serve", "--config", "some.toml", "--name", "mx2")
    assert called == [["-m", "nightmail.server", "serve", "--config", "some.toml", "--name", "mx2"]]
