"""sendmail: what a program hands over is on disk when it ends with 0, and is still the program's when it does not."""

from __future__ import annotations

import io
import os
import pwd
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.cli.conftest import Done, Run
from tests.cli.rig import FakeServer, QueueOf, message

from nightmail.cli import smtp_dialogue
from nightmail.mail.envelope import NOTIFY_NEVER, Recipient
from nightmail.submission import DropDirectory, Submission

ME = pwd.getpwuid(os.getuid()).pw_name
HEADER = b"To: Bob <bob@example.net>, carol\nCc: dave@example.com\nBcc: eve@example.net\nSubject: hello\n"
Send = Callable[..., Done]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeServer:
    monkeypatch.chdir(tmp_path)
    return FakeServer(tmp_path)


@pytest.fixture
def drop(server: FakeServer) -> DropDirectory:
    directory = DropDirectory(str(server.run_directory / "drop"))
    directory.prepare(os.getuid(), os.getgid())
    return directory


@pytest.fixture
def send(drop: DropDirectory, run: Run, monkeypatch: pytest.MonkeyPatch) -> Send:
    def send(text: bytes, *words: str) -> Done:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return run("sendmail", *words)

    return send


def kept(drop: DropDirectory) -> tuple[Submission, bytes]:
    (name,) = drop.waiting()
    with drop.open(name) as file:
        return file.submission, b"".join(file.chunks())


def test_a_message_is_kept_with_what_its_header_lacks(drop: DropDirectory, send: Send) -> None:
    assert send(b"Subject: hello\n\nHow are you?\n", "bob@example.net", "carol") == Done(0, "", "")
    submission, body = kept(drop)
    assert submission == Submission(
        sender=f"{ME}@mx1.example.org", recipients=(Recipient("bob@example.net"), Recipient("carol@mx1.example.org"))
    )
    header, _, text = body.partition(b"\r\n\r\n")
    assert text == b"How are you?\r\n"
    assert re.search(rb"^Date: \w+, .* \+0000\r$", header, re.MULTILINE)
    assert re.search(rb"^Message-ID: <[0-9A-Z]{16}@mx1\.example\.org>\r$", header, re.MULTILINE)
    assert f"{ME}@mx1.example.org".encode() in header


def test_recipients_come_from_the_header_too_and_blind_copies_stay_blind(drop: DropDirectory, send: Send) -> None:
    assert send(HEADER + b"\ntext\n", "-t", "frank@example.net", "Bob <bob@example.net>").exit_code == 0
    submission, body = kept(drop)
    assert {recipient.address for recipient in submission.recipients} == {
        "frank@example.net",
        "bob@example.net",
        "carol@mx1.example.org",
        "dave@example.com",
        "eve@example.net",
    }
    assert b"eve" not in body


def test_sender_name_and_reports_are_as_asked_for(drop: DropDirectory, send: Send) -> None:
    words = ["-f", "a@example.org", "-F", "Ann Other", "-N", "never", "-R", "full", "-V", "id 1", "b@example.net"]
    assert send(b"Subject: x\n\n", *words).exit_code == 0
    submission, body = kept(drop)
    assert (submission.sender, submission.ret, submission.envid) == ("a@example.org", "FULL", "id+201")
    assert submission.recipients == (Recipient("b@example.net", notify=NOTIFY_NEVER),)
    assert b"From: Ann Other <a@example.org>\r\n" in body


def test_nobody_is_a_sender_too(drop: DropDirectory, send: Send) -> None:
    assert send(b"Subject: x\n\n", "-f", "<>", "b@example.net").exit_code == 0
    assert kept(drop)[0].sender == ""


@pytest.mark.parametrize(("words", "text"), [([], b"one\r\n"), (["-i"], b"one\r\n.\r\ntwo\r\n")])
def test_a_dot_by_itself_ends_the_message_unless_told_otherwise(
    drop: DropDirectory, send: Send, words: list[str], text: bytes
) -> None:
    assert send(b"Subject: x\n\none\n.\ntwo\n", "b@example.net", *words).exit_code == 0
    assert kept(drop)[1].endswith(b"\r\n\r\n" + text)


def test_line_ends_of_every_kind_become_those_of_mail(drop: DropDirectory, send: Send) -> None:
    assert send(b"Subject: x\r\n\r\none\rtwo\nthree", "b@example.net").exit_code == 0
    assert kept(drop)[1].endswith(b"\r\n\r\none\r\ntwo\r\nthree\r\n")


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        (b"x\n", [], (os.EX_USAGE, "no recipients")),
        (b"Subject: x\n\n", ["-t"], (os.EX_USAGE, "no recipients")),
        (b"To: (((\n\nx\n", ["-t"], (os.EX_DATAERR, "To")),
        (b"x\n", ["two words@example.net"], (os.EX_DATAERR, "")),
        (b"x\n", ["-f", "a b@example.org", "b@example.net"], (os.EX_DATAERR, "is no address")),
        (b"x\n", ["-bd"], (os.EX_USAGE, "-bd is not supported")),
        (b"x" * 2_000, ["b@example.net"], (os.EX_DATAERR, "larger than 1024 bytes")),
        (b"x\n", ["--config", "absent.toml", "b@example.net"], (os.EX_CONFIG, "absent.toml")),
    ],
)
def test_what_can_not_be_sent_is_refused_and_not_kept(
    server: FakeServer, drop: DropDirectory, send: Send, text: bytes, words: list[str], expected: tuple[int, str]
) -> None:
    with server.config_file.open("a") as file:
        file.write("[smtp]\nmessage_size_limit_bytes = 1024\n")
    exit_code, said = expected
    done = send(text, *words)
    assert done.exit_code == exit_code, done.err
    assert done.err.startswith("nightmail: ")
    assert said in done.err
    assert done.err.count("\n") == 1
    assert drop.waiting() == []


def test_a_message_that_can_not_be_kept_stays_with_the_caller(server: FakeServer, send: Send) -> None:
    with server.config_file.open("a") as file:
        file.write('[submission]\ndrop_directory = "absent"\n')
    done = send(b"x\n", "b@example.net")
    assert done.exit_code == os.EX_TEMPFAIL
    assert "the message was not stored" in done.err


def test_it_is_sendmail_by_any_of_its_names(drop: DropDirectory, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x\n")))
    assert run("b@example.net", program="/usr/sbin/sendmail").exit_code == 0
    assert len(drop.waiting()) == 1
    assert run(program="/usr/bin/newaliases").exit_code == 0
    assert run(program="/usr/bin/mailq").exit_code == os.EX_UNAVAILABLE


def test_the_queue_is_listed_and_flushed_by_sendmails_flags(tmp_path: Path, run: Run) -> None:
    with FakeServer(tmp_path, QueueOf(message(1))) as server:
        assert "ID0001" in run("sendmail", "-bp", "--config", str(server.config_file)).out
        assert run("sendmail", "-q", "--config", str(server.config_file)).out == "1 message will be tried now\n"


def test_a_program_that_only_sends_waits_for_nothing_it_does_not_need(server: FakeServer, drop: DropDirectory) -> None:
    program = (
        "import sys; sys.argv = ['sendmail', 'b@example.net']; from nightmail.cli.main import run; code = run();"
        "loaded = {'asyncio', 'rich', 'typer', 'starlette', 'uvicorn', 'structlog', 'lmdb'} & set(sys.modules);"
        "sys.exit(f'loaded: {loaded}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], input=b"x\n", capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert len(drop.waiting()) == 1


def test_smtp_on_standard_input_is_spoken_by_the_server(
    server: FakeServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection = listener.accept()[0]
        with listener, connection:
            connection.sendall(b"220 here\r\n")
            heard.append(connection.makefile("rb").readline())
            connection.sendall(b"221 bye\r\n")

    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    server.config_file.write_text(server.config_file.read_text().replace(":2525", f":{port}"))
    thread = threading.Thread(target=serve, args=(listener,))
    thread.start()
    read_fd, write_fd = os.pipe()
    os.write(write_fd, b"QUIT\r\n")
    os.close(write_fd)
    monkeypatch.setattr(smtp_dialogue, "_STDIN", read_fd)
    done = run("sendmail", "-bs")
    thread.join(10)
    os.close(read_fd)
    assert (done.exit_code, done.out, heard) == (0, "220 here\r\n221 bye\r\n", [b"QUIT\r\n"])
    done = run("sendmail", "-bs")
    assert (done.exit_code, done.out) == (os.EX_UNAVAILABLE, "421 4.3.2 no server runs here\r\n")
