"""A store that is full, hangs, fails a sync or gives back damaged bytes: no 250 is ever wrong (J3, J11, J14)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.dialogue import MESSAGE, Dialogue, deliver
from tests.e2e.processes import is_alive
from tests.e2e.sink import Answer, Sink
from tests.e2e.switch import Switch
from tests.e2e.waiting import until
from tests.faults.ledger import Ledger
from tests.faults.load import Fate
from tests.faults.power import LossyMount, lossy_mount
from tests.faults.siege import QUICK_RETRIES, Siege, tables

SEED = 7
SMALL = {"smtp": {"message_size_limit_bytes": 1_000_000}, **QUICK_RETRIES}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[LossyMount]:
    with lossy_mount(tmp_path, SEED) as mount:
        yield mount


def mail_reply(switch: Switch) -> str:
    with Dialogue(switch.port) as session:
        return session.greet().say("MAIL FROM:<carol@example.net>")


def test_below_the_reserve_mail_is_put_off_and_service_returns_with_the_room(
    tmp_path: Path, disk: LossyMount, sink: Sink
) -> None:
    with Switch(tmp_path, tables(sink.port), SMALL, disk.path) as switch:
        deliver(switch.port, "carol@example.net", "a@sink.test")
        disk.limit_room(1_400_000)
        until(lambda: mail_reply(switch).startswith("452 4.3.1 "), "452 while the disk is full", every_s=0.2)
        disk.limit_room(None)
        until(lambda: mail_reply(switch) == "250 2.1.0 Ok", "service again", every_s=0.2)
        deliver(switch.port, "carol@example.net", "b@sink.test")
        sink.wait_for(2)


def test_a_disk_that_fills_up_under_load_loses_nothing(
    tmp_path: Path, disk: LossyMount, publish: Callable[[Ledger], Ledger]
) -> None:
    settings = {"smtp": {"message_size_limit_bytes": 2_000_000, "space_factor": 0.0}}
    with Siege(tmp_path, SEED, settings=settings, disk=disk.path) as siege:
        for _ in range(3):
            acknowledged = siege.load.count(Fate.ACKNOWLEDGED)
            until(lambda n=acknowledged: siege.load.count(Fate.ACKNOWLEDGED) > n + 20, "mail is taken")  # type: ignore[misc]
            disk.limit_room(0)
            refused = siege.load.count(Fate.REFUSED)
            until(lambda n=refused: siege.load.count(Fate.REFUSED) > n, "mail is refused")  # type: ignore[misc]
            disk.limit_room(None)
        publish(siege.settle("a full disk, three times")).assert_sound()


def test_a_store_that_hangs_delays_and_puts_off_and_loses_nothing(
    tmp_path: Path, disk: LossyMount, publish: Callable[[Ledger], Ledger]
) -> None:
    settings = {"store": {"commit_wait_s": 1.0, "answer_timeout_s": 4.0}}
    with Siege(tmp_path, SEED, settings=settings, disk=disk.path) as siege:
        for operation in ("fsync", "link", "fsyncdir", "write"):
            acknowledged = siege.load.count(Fate.ACKNOWLEDGED)
            until(lambda n=acknowledged: siege.load.count(Fate.ACKNOWLEDGED) > n + 20, "mail is taken")  # type: ignore[misc]
            disk.hang(operation)
            refused = siege.load.count(Fate.REFUSED)
            until(lambda n=refused: siege.load.count(Fate.REFUSED) > n + 5, f"451 while {operation} hangs", 30)  # type: ignore[misc]
            disk.release()
        ledger = publish(siege.settle("a store that hung four times"))
        refusals = {sent.reply[:9] for sent in siege.load.book if sent.fate is Fate.REFUSED}
        assert all(refusal[:1] == "4" for refusal in refusals), refusals
        ledger.assert_sound()


def test_who_waits_for_the_put_that_hangs_gets_no_answer_and_who_comes_later_gets_451(
    tmp_path: Path, disk: LossyMount, sink: Sink
) -> None:
    # A lease so long that no tick is due meanwhile: the put that hangs is to be the first message's.
    store = {"commit_wait_s": 1.0, "answer_timeout_s": 5.0, "lease_s": 60.0, "idle_tick_s": 60.0}
    settings = {**QUICK_RETRIES, "store": store}
    with Switch(tmp_path, tables(sink.port), settings, disk.path) as switch:
        disk.hang("fsync")
        with Dialogue(switch.port) as first, Dialogue(switch.port) as second:
            first.greet().envelope("carol@example.net", "first@sink.test").send(MESSAGE + b".\r\n")
            disk.wait_until_hanging()
            assert second.greet().envelope("carol@example.net", "second@sink.test").body().startswith("451 4.3")
            assert first.is_closed()
        disk.release()
        until(lambda: mail_reply(switch) == "250 2.1.0 Ok", "service again")
        deliver(switch.port, "carol@example.net", "third@sink.test")
        until(lambda: switch.queued() == 0, "an empty queue")
        assert [message.recipients for message in sink.received] == [("third@sink.test",)]


def test_a_server_starts_though_its_store_hangs_and_serves_once_it_is_back(
    tmp_path: Path, disk: LossyMount, sink: Sink
) -> None:
    with Switch(tmp_path, tables(sink.port), QUICK_RETRIES, disk.path) as switch:
        queue_id = deliver(switch.port, "carol@example.net", "a@sink.test")
        sink.wait_for(1)
        switch.kill()
        disk.hang("fsync")
        disk.hang("write")
        process = switch.spawn()
        until(lambda: switch.http("/live")[0] == 200, "a live server")
        assert switch.http("/ready")[0] == 503
        assert is_alive(process.pid)
        disk.release()
        until(switch.is_ready, "a ready server")
        deliver(switch.port, "carol@example.net", "b@sink.test")
        until(lambda: any("b@sink.test" in message.recipients for message in sink.received), "the next message")
        assert queue_id


def test_a_sync_that_fails_refuses_and_loses_nothing(
    tmp_path: Path, disk: LossyMount, publish: Callable[[Ledger], Ledger]
) -> None:
    with Siege(tmp_path, SEED, disk=disk.path) as siege:

        def strike() -> None:
            disk.fail("fsync", path_part="/store/")

        siege.rage(strike, 10, 0.2)
        publish(siege.settle("ten failed syncs")).assert_sound()


def test_a_sync_of_the_directory_that_fails_opens_the_next_generation(
    tmp_path: Path, disk: LossyMount, publish: Callable[[Ledger], Ledger]
) -> None:
    with Siege(tmp_path, SEED, disk=disk.path) as siege:
        before = newest(siege.switch)

        def strike() -> None:
            disk.fail("fsyncdir", path_part="/log")

        siege.rage(strike, 3, 0.5)
        until(lambda: newest(siege.switch) > before, "the next generation", 20, 0.2)
        publish(siege.settle("three failed syncs of the directory")).assert_sound()


def newest(switch: Switch) -> int:
    return max(int(queue["id"].rpartition(".")[2]) for queue in switch.facts("status")["queues"])


def attempted(switch: Switch) -> set[str]:
    """The messages whose first attempt is in the log."""
    return {row["id"] for row in switch.facts("queue", "list")["messages"] if row["attempts"]}


def segments(switch: Switch) -> list[Path]:
    return sorted(switch.store.glob("queues/*/log/*"))


@pytest.mark.parametrize("damage", ["torn", "flipped"])
def test_a_damaged_segment_is_named_and_kept_and_the_rest_is_delivered(tmp_path: Path, sink: Sink, damage: str) -> None:
    with Switch(tmp_path, tables(sink.port), {"queue": {"retry_first_s": 60}}) as switch:
        sink.on["MAIL"] = Answer(words="450 4.3.2 come back later")
        sent = [deliver(switch.port, "carol@example.net", f"n{number}@sink.test") for number in range(2)]
        # Whose outcome stands behind the damage is in no doubt: these two have theirs before it.
        until(lambda: attempted(switch) == set(sent), "the first two are put off, and that is in the log")
        sent += [deliver(switch.port, "carol@example.net", f"n{number}@sink.test") for number in range(2, 5)]
        switch.wait_for_log(f"id={sent[-1]}", "status=deferred")
        switch.kill()
        victim = next(file for file in segments(switch) if b"n2@sink.test" in file.read_bytes())
        data = victim.read_bytes()
        at = data.index(b"n2@sink.test")
        victim.write_bytes(data[: len(data) // 2] if damage == "torn" else data[:at] + b"\0" + data[at + 1 :])
        sink.on.clear()
        switch.start()
        assert switch.nightmail("queue", "retry", "--all").returncode == 0
        received = sink.wait_for(4, 20)
        assert {message.queue_id for message in received} == set(sent) - {sent[2]}
        assert switch.logged(victim.name)
        assert victim.exists()
        for queue_id in (sent[0], sent[1]):
            assert switch.logged(f"id={queue_id}", "ambiguous")
