"""The drop directory: what is stored is picked up whole; what a hostile user leaves there does no harm."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightmail.errors import ConfigInvalid
from nightmail.mail.envelope import NOTIFY_FAILURE, Recipient
from nightmail.submission import REFUSED, DropDirectory, DropRefused, DropUnavailable, Submission, check
from nightmail.world import SystemClock, SystemRandomness

CLOCK = SystemClock()
RANDOMNESS = SystemRandomness()
SUBMISSION = Submission(sender="a@example.org", recipients=(Recipient("b@example.net", notify=NOTIFY_FAILURE),))
BODY = b"Subject: hello\r\n\r\nhow are you?\r\n"


@pytest.fixture
def drop(tmp_path: Path) -> DropDirectory:
    directory = DropDirectory(str(tmp_path / "drop"))
    directory.prepare(os.getuid(), os.getgid())
    return directory


def stored(drop: DropDirectory, body: bytes = BODY) -> str:
    return drop.store(SUBMISSION, [body], CLOCK, RANDOMNESS)


def placed(drop: DropDirectory, content: bytes) -> str:
    name = f"{7:014x}-{7:032x}"
    Path(drop.path, name).write_bytes(content)
    return name


def test_what_was_stored_is_read_back_whole(drop: DropDirectory) -> None:
    name = drop.store(SUBMISSION, [BODY[:20], BODY[20:]], CLOCK, RANDOMNESS)
    assert drop.waiting() == [name]
    with drop.open(name) as file:
        assert file.submission == SUBMISSION
        assert file.size_bytes == len(BODY)
        assert b"".join(file.chunks()) == BODY
        assert file.owner_uid == os.getuid()
        assert file.owner


def test_removing_is_done_once_and_may_be_repeated(drop: DropDirectory) -> None:
    name = stored(drop)
    drop.remove(name)
    drop.remove(name)
    assert drop.waiting() == []
    with pytest.raises(FileNotFoundError):
        drop.open(name)


def test_the_oldest_comes_first_and_no_more_than_wanted(drop: DropDirectory) -> None:
    names = [stored(drop) for _ in range(3)]
    assert drop.waiting(limit=2) == names[:2]
    assert drop.waiting(limit=2, besides=set(names[:2])) == names[2:]


def test_the_group_may_leave_files_and_list_none(drop: DropDirectory) -> None:
    assert stat.S_IMODE(os.stat(drop.path).st_mode) == 0o1730
    assert stat.S_IMODE(os.stat(os.path.join(drop.path, REFUSED)).st_mode) == 0o700


@pytest.mark.parametrize("place", ["drop", f"drop/{REFUSED}"])
def test_a_link_in_the_place_of_a_directory_is_never_given_away(tmp_path: Path, place: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (tmp_path / place).parent.mkdir(exist_ok=True)
    (tmp_path / place).symlink_to(elsewhere)
    with pytest.raises(ConfigInvalid, match="no directory but a link"):
        DropDirectory(str(tmp_path / "drop")).prepare(os.getuid(), os.getgid())
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o755


def test_a_message_that_can_not_be_stored_leaves_nothing_behind(drop: DropDirectory, tmp_path: Path) -> None:
    def broken() -> object:
        yield BODY
        raise OSError(28, "no space")

    with pytest.raises(DropUnavailable, match="No space left"):
        drop.store(SUBMISSION, broken(), CLOCK, RANDOMNESS)  # type: ignore[arg-type]
    assert os.listdir(drop.path) == [REFUSED]
    with pytest.raises(DropUnavailable, match="No such file"):
        stored(DropDirectory(str(tmp_path / "absent")))


def test_an_unfinished_file_is_never_picked_up_and_goes_away_in_time(drop: DropDirectory) -> None:
    abandoned = Path(drop.path, ".abandoned")
    abandoned.touch()
    os.utime(abandoned, (1, 1))
    Path(drop.path, ".in-writing").touch()
    assert drop.waiting() == []
    assert drop.remove_stale(CLOCK) == 1
    assert sorted(os.listdir(drop.path)) == [".in-writing", REFUSED]


def make_symlink(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_hard_link(path: Path) -> None:
    original = path.with_name(".original")
    original.touch()
    path.hardlink_to(original)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)
    socket.socket(socket.AF_UNIX).bind(path.name)
    os.chdir(here)


@pytest.mark.parametrize("make", [make_symlink, make_hard_link, make_socket, os.mkfifo, Path.mkdir])
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_what_is_no_plain_file_is_refused_without_waiting(drop: DropDirectory, make: Callable[[Path], None]) -> None:
    name = f"{7:014x}-{7:032x}"
    make(Path(drop.path, name))
    with pytest.raises(DropRefused):
        drop.open(name)
    assert drop.put_aside(name)
    assert drop.waiting() == []
    assert os.listdir(os.path.join(drop.path, REFUSED)) == [name]


def test_a_file_that_can_not_be_put_aside_is_passed_over(drop: DropDirectory) -> None:
    os.rmdir(os.path.join(drop.path, REFUSED))
    Path(drop.path, "odd").touch()
    with pytest.raises(DropRefused):
        drop.open("odd")
    assert not drop.put_aside("odd")
    assert drop.waiting() == []


def prefixed(header: bytes, body: bytes = BODY, header_bytes: int | None = None) -> bytes:
    return b"nightmail-drop 1 %010d %020d\n" % (header_bytes or len(header), len(body)) + header + body


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Subject: no drop file\n",
        prefixed(b"{}"),
        prefixed(b"not json"),
        prefixed(b"\xff\xfe"),
        prefixed(b'{"sender": "a@b", "recipients": []}'),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d"]], "root": true}'),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d\\r\\nRCPT TO:<x@y>"]]}'),
        prefixed(b'{"sender": "a@b>", "recipients": [["c@d"]]}'),
        prefixed('{"sender": "x@-ü-.", "recipients": [["c@d"]]}'.encode()),
        prefixed('{"sender": "a@b", "recipients": [["x@-ü-."]]}'.encode()),
        prefixed(b'{"sender": "a@b", "recipients": [["@relay:c@d"]]}'),
        prefixed(b'{"sender": "a@b", "recipients": [["no-domain"]]}'),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d", "rfc822; x"]]}'),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d", "", 99]]}'),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d"]], "envid": "a b"}'),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d"]], "ret": "ALL"}'),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d"]]}', header_bytes=9_999_999_999),
        prefixed(b'{"sender": "a@b", "recipients": [["c@d"]]}') + b"more",
    ],
)
def test_what_sendmail_would_not_write_is_refused(drop: DropDirectory, content: bytes) -> None:
    with pytest.raises(DropRefused):
        drop.open(placed(drop, content))


def test_a_message_over_the_limit_is_refused(drop: DropDirectory) -> None:
    name = stored(drop)
    with pytest.raises(DropRefused, match="a message of 32 bytes; 31 are the most"):
        DropDirectory(drop.path, size_limit_bytes=31).open(name)
    DropDirectory(drop.path, size_limit_bytes=32).open(name).close()


@pytest.mark.parametrize("body", [b"a\nb\r\n", b"a\rb\r\n", b"a\r\n.\n.\r\n", b"no end", b"a\r\n\r"])
def test_a_line_that_does_not_end_in_crlf_is_refused(drop: DropDirectory, body: bytes) -> None:
    with drop.open(stored(drop, body)) as file, pytest.raises(DropRefused, match="CRLF"):
        list(file.chunks())


def test_a_file_cut_short_while_it_is_read_is_refused(drop: DropDirectory) -> None:
    name = stored(drop, b"x" * 1_000_000 + b"\r\n")
    with drop.open(name) as file:
        os.truncate(os.path.join(drop.path, name), 400_000)
        with pytest.raises(DropRefused, match="shorter"):
            list(file.chunks())


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(border=st.integers(-3, 3))
def test_a_line_end_may_fall_on_any_border_between_pieces(drop: DropDirectory, border: int) -> None:
    body = b"x" * (256 * 1024 + border) + b"\r\n" + b"y\r\n"
    with drop.open(stored(drop, body)) as file:
        pieces = list(file.chunks())
    assert b"".join(pieces) == body
    assert not any(piece.endswith(b"\r") for piece in pieces)


def test_an_argument_that_is_no_text_is_no_address() -> None:
    with pytest.raises(DropRefused, match="is no address"):
        check(Submission(sender="x\udcff@example.org", recipients=SUBMISSION.recipients))


@pytest.mark.parametrize(
    "sender", ["", "a@example.org", '"a.b"@example.org', "jörg@example.org", "a@müller.example", "a@[192.0.2.1]"]
)
def test_addresses_of_every_kind_pass(sender: str) -> None:
    check(Submission(sender=sender, recipients=SUBMISSION.recipients))


def test_a_file_is_not_refused_because_this_process_has_no_descriptor_left(
    drop: DropDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = stored(drop)

    def no_more(*_: object, **__: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", no_more)
        with pytest.raises(OSError, match="Too many") as raised:
            drop.open(name)
    assert not isinstance(raised.value, DropRefused)
    with drop.open(name) as file:
        assert file.submission.recipients
