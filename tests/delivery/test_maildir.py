from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.jobs import RecordedJob, StoredBody

from nightmail.delivery import maildir_files
from nightmail.delivery.job import Outcome
from nightmail.delivery.maildir import MaildirTransport
from nightmail.delivery.maildir_files import LineEnds, file_name
from nightmail.errors import StoreUnavailable
from nightmail.mail.envelope import Recipient
from nightmail.routing.route import Route
from nightmail.world import SystemRandomness

Scene = Callable[[MaildirTransport, Route], Awaitable[Any]]


def play(root: Path, scene: Scene, template: str = "{local_part}") -> Any:
    async def run() -> Any:
        transport = MaildirTransport(SystemRandomness(), threads=2)
        try:
            return await scene(transport, Route(kind="maildir", path=f"{root}/{template}", destination="maildir"))
        finally:
            await transport.close()

    return asyncio.run(run())


def deliver(root: Path, *addresses: str | Recipient, right: bool = True, **how: Any) -> list[Outcome]:
    async def scene(transport: MaildirTransport, route: Route) -> list[Outcome]:
        job = RecordedJob(*addresses, **how)
        job.right = right
        transport.deliver(route, job)
        return await job.end()

    return play(root, scene)


def files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.exists() else []


def the_file(maildir: Path) -> bytes:
    (file,) = files(maildir / "new")
    assert files(maildir / "tmp") == []
    return file.read_bytes()


def test_a_message_arrives_with_its_lead_lines_and_line_feeds(tmp_path: Path) -> None:
    (outcome,) = deliver(tmp_path, Recipient("Alice@example.org", orig_to="postmaster@example.org"))
    assert (outcome.kind, outcome.relay, outcome.reply.enhanced) == ("delivered", "maildir", "2.0.0")
    assert the_file(tmp_path / "alice") == (
        b"Return-Path: <sender@example.org>\nX-Original-To: postmaster@example.org\nDelivered-To: Alice@example.org\n"
        b"Subject: a test\n\nHello.\n.dot\n"
    )


def test_the_null_sender_is_an_empty_return_path(tmp_path: Path) -> None:
    deliver(tmp_path, "alice@example.org", sender="")
    assert the_file(tmp_path / "alice").startswith(b"Return-Path: <>\nDelivered-To:")


def test_directories_and_files_are_private(tmp_path: Path) -> None:
    deliver(tmp_path / "", "alice@example.org")
    maildir = tmp_path / "alice"
    assert {path.stat().st_mode & 0o777 for path in (maildir, *files(maildir))} == {0o700}
    assert files(maildir / "new")[0].stat().st_mode & 0o777 == 0o600


def test_each_recipient_has_a_maildir_and_an_outcome(tmp_path: Path) -> None:
    outcomes = deliver(tmp_path, "alice@example.org", ".hidden@example.org", "bob@example.org")
    assert [outcome.kind for outcome in outcomes] == ["delivered", "failed", "delivered"]
    assert (outcomes[1].reply.code, outcomes[1].reply.enhanced) == (550, "5.1.3")
    assert the_file(tmp_path / "alice") != the_file(tmp_path / "bob")


def test_many_messages_in_one_turn_share_a_trip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = maildir_files.sync_directory
    monkeypatch.setattr(maildir_files, "sync_directory", lambda path: (synced.append(path), sync(path)))

    async def scene(transport: MaildirTransport, route: Route) -> None:
        jobs = [RecordedJob(id=f"0M{n}") for n in range(50)]
        for job in jobs:
            transport.deliver(route, job)
        assert all([(await job.the_outcome()).kind == "delivered" for job in jobs])

    play(tmp_path, scene)
    assert len(files(tmp_path / "alice" / "new")) == 50
    assert synced.count(f"{tmp_path}/alice/new") == 1


def test_the_way_to_a_new_maildir_is_made_durable_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    sync = maildir_files.sync_directory
    monkeypatch.setattr(maildir_files, "sync_directory", lambda path: (synced.append(path), sync(path)))

    async def scene(transport: MaildirTransport, route: Route) -> None:
        for n in range(2):
            job = RecordedJob(id=f"0M{n}")
            transport.deliver(route, job)
            await job.end()

    play(tmp_path, scene, "{domain}/{local_part}")
    way = [f"{tmp_path}/example.org/alice", f"{tmp_path}/example.org", str(tmp_path)]
    assert synced == [*way, f"{way[0]}/new", f"{way[0]}/new"]


@pytest.mark.parametrize("at_hand", [True, False])
@pytest.mark.parametrize("lines", [0, 100, 30_000, 60_000])
def test_a_body_of_any_size_arrives_whole(tmp_path: Path, lines: int, at_hand: bool) -> None:
    message = b"Subject: long\r\n\r\n" + b"0123456789 0123456789 0123456789\r\n" * lines
    body = StoredBody(message, at_hand=at_hand)
    outcomes = deliver(tmp_path, "alice@example.org", "bob@example.org", body=body)
    assert {outcome.kind for outcome in outcomes} == {"delivered"}
    for name in ("alice", "bob"):
        assert the_file(tmp_path / name).partition(b"Subject")[2] == message.replace(b"\r\n", b"\n")[7:]


def test_a_large_body_is_read_in_ranges(tmp_path: Path) -> None:
    body = StoredBody(b"x" * 3_000_000, at_hand=False)
    deliver(tmp_path, "alice@example.org", body=body)
    assert max(size for _, size in body.reads) <= 256 * 1024


@given(st.lists(st.sampled_from([b"\r", b"\n", b"a", b"", b"\r\n", b"b\r\nc"])))
def test_line_ends_come_out_the_same_wherever_the_pieces_part(pieces: list[bytes]) -> None:
    ends = LineEnds()
    assert b"".join([*map(ends.feed, pieces), ends.end()]) == b"".join(pieces).replace(b"\r\n", b"\n")


def test_a_repeated_delivery_leaves_one_file(tmp_path: Path) -> None:
    deliver(tmp_path, "alice@example.org")
    (outcome,) = deliver(tmp_path, "alice@example.org", repeated=True)
    assert outcome.kind == "delivered"
    assert len(files(tmp_path / "alice" / "new")) == 1
    assert files(tmp_path / "alice" / "tmp") == []


def test_a_repeated_delivery_that_says_it_is_the_first_leaves_one_file_too(tmp_path: Path) -> None:
    deliver(tmp_path, "alice@example.org")
    (outcome,) = deliver(tmp_path, "alice@example.org")
    assert outcome.kind == "delivered"
    assert len(files(tmp_path / "alice" / "new")) == 1


@pytest.mark.parametrize("flags", ["", ":2,", ":2,RS"])
def test_a_repeated_delivery_finds_what_a_reader_has_moved(tmp_path: Path, flags: str) -> None:
    deliver(tmp_path, "alice@example.org")
    maildir = tmp_path / "alice"
    (file,) = files(maildir / "new")
    file.rename(maildir / "cur" / (file.name + flags))
    (outcome,) = deliver(tmp_path, "alice@example.org", repeated=True)
    assert outcome.kind == "delivered"
    assert files(maildir / "new") == []


def test_the_same_message_has_a_file_of_its_own_for_each_recipient() -> None:
    assert file_name("0M1", "alice@example.org") != file_name("0M1", "alice@example.net")
    assert file_name("0M1", "alice@example.org") == file_name("0M1", "alice@example.org")


def test_a_missing_root_is_temporary_and_is_not_created(tmp_path: Path) -> None:
    (outcome,) = deliver(tmp_path / "unmounted", "alice@example.org")
    assert outcome.kind == "deferred"
    assert str(outcome.reply) == f"451 4.3.0 Maildir root missing: {tmp_path}/unmounted"
    assert not (tmp_path / "unmounted").exists()


def test_a_path_without_a_brace_is_itself_the_root(tmp_path: Path) -> None:
    async def scene(transport: MaildirTransport, route: Route) -> Outcome:
        job = RecordedJob("alice@example.org")
        transport.deliver(route, job)
        return await job.the_outcome()

    assert play(tmp_path, scene, "archive").kind == "deferred"
    (tmp_path / "archive").mkdir()
    assert play(tmp_path, scene, "archive").kind == "delivered"


def test_a_maildir_that_vanished_is_made_anew(tmp_path: Path) -> None:
    async def scene(transport: MaildirTransport, route: Route) -> None:
        for n in range(2):
            job = RecordedJob(id=f"0M{n}")
            transport.deliver(route, job)
            assert (await job.the_outcome()).kind == "delivered"
            (tmp_path / "alice").rename(tmp_path / f"moved{n}")

    play(tmp_path, scene)
    assert len(files(tmp_path / "moved1" / "new")) == 1


@pytest.mark.parametrize("part", ["tmp", "new", "cur"])
def test_a_part_of_a_maildir_that_vanished_is_made_anew(tmp_path: Path, part: str) -> None:
    async def scene(transport: MaildirTransport, route: Route) -> None:
        for number in range(2):
            job = RecordedJob("alice@example.org", id=f"M{number}", repeated=number == 1)
            transport.deliver(route, job)
            assert [outcome.kind for outcome in await job.end()] == ["delivered"]
            if number == 0:
                shutil.rmtree(tmp_path / "alice" / part)

    play(tmp_path, scene)


def test_j6_a_lapsed_right_leaves_no_file(tmp_path: Path) -> None:
    (outcome,) = deliver(tmp_path, "alice@example.org", right=False)
    assert outcome.kind == "deferred"
    assert files(tmp_path / "alice" / "new") == files(tmp_path / "alice" / "tmp") == []


def test_j8_finishing_is_marked_just_before_the_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []

    async def scene(transport: MaildirTransport, route: Route) -> list[str]:
        job = RecordedJob()
        link = os.link

        def watched(*args: Any) -> None:
            seen.append(list(job.marks))
            link(*args)

        monkeypatch.setattr(os, "link", watched)
        transport.deliver(route, job)
        await job.end()
        return job.marks

    assert play(tmp_path, scene) == ["may_finish", "finishing", "finished"]
    assert seen == [["may_finish", "finishing"]]


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.ENOSPC, "452 4.3.1"), (errno.EDQUOT, "452 4.2.2"), (errno.EIO, "451 4.3.0"), (errno.EACCES, "451 4.3.0")],
)
@pytest.mark.parametrize("call", ["write", "fsync", "link"])
def test_what_the_file_system_refuses_is_temporary(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, status: str
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, refuse)
    (outcome,) = deliver(tmp_path, "alice@example.org")
    assert outcome.kind == ("ambiguous" if (call, number) == ("link", errno.EIO) else "deferred")
    assert str(outcome.reply).startswith(status)
    assert files(tmp_path / "alice" / "new") == files(tmp_path / "alice" / "tmp") == []


def test_one_mailbox_over_quota_does_not_touch_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def refuse_alice(source: str, target: str) -> None:
        if "/alice/" in target:
            raise OSError(errno.EDQUOT, "over quota")
        link(source, target)

    monkeypatch.setattr(os, "link", refuse_alice)
    outcomes = deliver(tmp_path, "alice@example.org", "bob@example.org")
    assert [outcome.kind for outcome in outcomes] == ["deferred", "delivered"]


def test_j8_an_entry_that_may_not_be_durable_is_ambiguous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = maildir_files.sync_directory

    def refuse(path: str) -> None:
        if path.endswith("/new"):
            raise OSError(errno.EIO, "input/output error")
        sync(path)

    with monkeypatch.context() as patched:
        patched.setattr(maildir_files, "sync_directory", refuse)
        assert deliver(tmp_path, "alice@example.org")[0].kind == "ambiguous"
    assert deliver(tmp_path, "alice@example.org", repeated=True)[0].kind == "delivered"
    assert len(files(tmp_path / "alice" / "new")) == 1


def test_j8_a_link_that_fails_after_it_was_made_is_ambiguous(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = os.link

    def lose_the_answer(source: str, target: str) -> None:
        link(source, target)
        raise TimeoutError(errno.ETIMEDOUT, "connection timed out")

    with monkeypatch.context() as patched:
        patched.setattr(os, "link", lose_the_answer)
        assert deliver(tmp_path, "alice@example.org")[0].kind == "ambiguous"
    (arrived,) = files(tmp_path / "alice" / "new")
    arrived.rename(tmp_path / "alice" / "cur" / f"{arrived.name}:2,S")
    assert deliver(tmp_path, "alice@example.org", repeated=True)[0].kind == "delivered"
    assert files(tmp_path / "alice" / "new") == []


def test_a_file_system_without_links_gets_a_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EPERM, "operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert deliver(tmp_path, "alice@example.org")[0].kind == "delivered"
    assert the_file(tmp_path / "alice")


@pytest.mark.parametrize("size", [100, 3_000_000])
def test_a_body_that_cannot_be_read_is_temporary(tmp_path: Path, size: int) -> None:
    body = StoredBody(b"x" * size, at_hand=False, failure=StoreUnavailable("the store is away"))
    (outcome,) = deliver(tmp_path, "alice@example.org", body=body)
    assert (outcome.kind, str(outcome.reply)) == ("deferred", "451 4.3.0 the store is away")
    assert files(tmp_path / "alice" / "new") == []


def test_closing_lets_what_was_taken_come_to_its_end(tmp_path: Path) -> None:
    async def scene(transport: MaildirTransport, route: Route) -> list[str]:
        jobs = [RecordedJob(id=f"0M{n}") for n in range(200)]
        for job in jobs:
            transport.deliver(route, job)
        await transport.close()
        return [(await job.the_outcome()).kind for job in jobs]

    assert play(tmp_path, scene) == ["delivered"] * 200
