"""Heartbeats that are believed: newer ones of the same life, and a new life only if it answers us."""

from __future__ import annotations

from nightmail.group.hearing import Hearing, Verdict
from nightmail.group.heartbeat import Heartbeat

OWN = "our-life"


def beat(life: str, sequence: int, echo: tuple[str, int] = ("", 0)) -> Heartbeat:
    return Heartbeat("mx2", life, sequence, *echo, state="serving", config="")


def test_a_life_is_believed_once_it_answers_us() -> None:
    hearing = Hearing(OWN)
    assert hearing.hear(beat("a", 1), sent=40) is Verdict.UNPROVEN
    assert hearing.echo == ("a", 1)
    assert hearing.hear(beat("a", 2, (OWN, 40)), sent=41) is Verdict.BELIEVED
    assert (hearing.incarnation, hearing.sequence) == ("a", 2)


def test_an_answer_to_what_was_said_long_ago_or_never_proves_nothing() -> None:
    hearing = Hearing(OWN, window=25)
    assert hearing.hear(beat("a", 1, (OWN, 15)), sent=40) is Verdict.UNPROVEN
    assert hearing.hear(beat("a", 1, (OWN, 41)), sent=40) is Verdict.UNPROVEN
    assert hearing.hear(beat("a", 1, ("another life of ours", 40)), sent=40) is Verdict.UNPROVEN
    assert hearing.hear(beat("a", 1, (OWN, 16)), sent=40) is Verdict.BELIEVED


def test_within_a_life_each_is_believed_once_and_in_order_without_an_answer() -> None:
    hearing = Hearing(OWN)
    hearing.hear(beat("a", 5, (OWN, 1)), sent=1)
    assert hearing.hear(beat("a", 5), sent=2) is Verdict.REPEATED
    assert hearing.hear(beat("a", 4), sent=2) is Verdict.REPEATED
    assert hearing.hear(beat("a", 9), sent=2) is Verdict.BELIEVED


def test_a_recording_of_a_life_that_is_over_is_not_believed() -> None:
    hearing = Hearing(OWN)
    hearing.hear(beat("a", 1, (OWN, 1)), sent=1)
    assert hearing.hear(beat("b", 1, (OWN, 2)), sent=2) is Verdict.BELIEVED
    assert hearing.hear(beat("a", 2, (OWN, 2)), sent=2) is Verdict.REPEATED
    assert hearing.incarnation == "b"


def test_a_recording_of_yesterday_does_not_make_a_dead_server_look_alive() -> None:
    yesterday = beat("a", 1000, ("a life of ours that is over", 700))
    hearing = Hearing(OWN)
    assert all(hearing.hear(yesterday, sent=sent) is Verdict.UNPROVEN for sent in range(1, 2000))
    assert hearing.incarnation == ""
