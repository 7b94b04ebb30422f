"""Clients that hang, drip, reset, talk nonsense or leave after the dot: they harm themselves and nobody else."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import relaying
from tests.e2e.dialogue import Dialogue, deliver
from tests.e2e.processes import resident_bytes
from tests.e2e.sink import Sink
from tests.e2e.switch import Switch
from tests.e2e.waiting import until
from tests.faults.ledger import Ledger, audit
from tests.faults.load import Fate, Sent

BODY = (
    b"X-Audit-Id: %s\r\n\r\nThe quick brown fox jumps over the lazy dog; the switch must not lose him on the way.\r\n"
)


@pytest.fixture(scope="module")
def destination() -> Iterator[Sink]:
    with Sink() as sink:
        yield sink


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, destination: Sink) -> Iterator[Switch]:
    settings = {"smtp": {"idle_timeout_s": 2.0, "client_session_limit": 500}}
    with Switch(tmp_path_factory.mktemp("clients"), relaying(destination), settings) as switch:
        yield switch


def begun(port: int, number: int) -> Dialogue:
    """A session in which everything has been sent but the final dot."""
    session = Dialogue(port).greet().envelope("load@example.net", f"m{number}@sink.test")
    session.send(BODY % f"m{number}".encode())
    return session


def reset(session: Dialogue) -> None:
    session.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    session.socket.close()


def drip(session: Dialogue) -> str:
    for octet in b"NOOP\r\n":
        session.send(bytes([octet]))
        time.sleep(0.01)
    return session.reply()


def test_clients_that_hang_are_closed_while_others_are_served(server: Switch) -> None:
    hanging = [begun(server.port, number) for number in range(100)]
    queue_id = deliver(server.port, "carol@example.net", "alice@example.org")
    until(lambda: server.logged(f"id={queue_id}", "status=sent"), "a delivery meanwhile", 2)
    for session in hanging:
        assert session.reply().startswith("421 4.4.2 ")
        assert session.is_closed()
        session.socket.close()


def test_a_client_that_drips_is_understood(server: Switch) -> None:
    with Dialogue(server.port) as session:
        assert drip(session.greet()) == "250 2.0.0 Ok"


def test_clients_that_reset_leave_nothing_behind(server: Switch) -> None:
    deliver(server.port, "carol@example.net", "alice@example.org")
    before = server.queued()
    for number in range(100):
        reset(begun(server.port, 1000 + number))
    until(lambda: sessions(server) == 0, "the end of the sessions")
    assert server.queued() == before


def sessions(server: Switch) -> int:
    return sum(each["sessions"] for each in server.facts("status")["switches"])


def test_nonsense_without_end_takes_no_memory(server: Switch) -> None:
    before = resident_bytes(server.switch_pids()[0])
    for noise in (b"\xff\x00" * 65536, b"A" * 131_072, b"NOOP\r\n" * 20_000):
        session = Dialogue(server.port)
        try:
            for _ in range(50):
                session.send(noise)
        except OSError:
            continue  # closed on us, as it should be, or full because we never read
        finally:
            session.socket.close()
    assert resident_bytes(server.switch_pids()[0]) - before < 30_000_000
    deliver(server.port, "carol@example.net", "alice@example.org")


@pytest.mark.parametrize("leave", [reset, lambda session: session.socket.close()], ids=["reset", "close"])
def test_who_leaves_right_after_the_dot_is_delivered_to_once_or_not_at_all(
    server: Switch, destination: Sink, publish: Callable[[Ledger], Ledger], leave: Callable[[Dialogue], None]
) -> None:
    first = len(destination.received)
    book = []
    for number in range(60):
        session = begun(server.port, number)
        session.send(b".\r\n")
        leave(session)
        book.append(Sent(f"m{number}", (f"m{number}@sink.test",), Fate.UNANSWERED, "", 0.0))
    deliver(server.port, "load@example.net", "m60@sink.test", data=BODY % b"m60")
    book.append(Sent("m60", ("m60@sink.test",), Fate.ACKNOWLEDGED, "", 0.0))
    until(lambda: server.queued() == 0 and sessions(server) == 0, "an empty queue")
    received = [message for message in destination.received[first:] if message.sender == "load@example.net"]
    publish(
        audit("left after the dot", book=book, received=received, mailbox=[], queued_ids=set(), log=server.log())
    ).assert_sound()


def test_a_session_that_is_gone_has_its_message_voided(tmp_path: Path, destination: Sink) -> None:
    """Its message is in the journal when the client's reset is seen: it must not be delivered (J1)."""
    from tests.faults.power import lossy_mount

    with lossy_mount(tmp_path, 1) as disk, Switch(tmp_path, relaying(destination), disk=disk.path) as switch:
        disk.hang("fsync")
        session = begun(switch.port, 5000)
        session.send(b".\r\n")
        disk.wait_until_hanging()
        reset(session)
        until(lambda: sessions(switch) == 0, "the end of the session")
        disk.release()
        until(lambda: switch.queued() == 0, "an empty queue")
        deliver(switch.port, "carol@example.net", "after@sink.test")
        until(lambda: any(message.recipients == ("after@sink.test",) for message in destination.received), "the next")
        assert not any("m5000@sink.test" in message.recipients for message in destination.received)
