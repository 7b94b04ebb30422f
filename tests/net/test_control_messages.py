"""Selections: which messages an operator means."""

from __future__ import annotations

import msgspec
import pytest

from nightmail.net.control_messages import Selection


def wants(selection: Selection, sender: str = "a@example.org", **facts: object) -> bool:
    facts = {"age_s": 60.0} | facts
    return selection.wants("ID1", sender, ["b@example.net", "c@example.com"], **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), True),
        (Selection(ids=("ID1", "ID2")), True),
        (Selection(ids=("ID2",)), False),
        (Selection(to="C@example.COM"), True),
        (Selection(to="@example.net"), True),
        (Selection(to="example.net"), True),
        (Selection(to="ample.net"), False),
        (Selection(to="b@example.com"), False),
        (Selection(sender="example.org"), True),
        (Selection(sender="<>"), False),
        (Selection(older_s=60), True),
        (Selection(older_s=61), False),
        (Selection(held=True), False),
        (Selection(ambiguous=True), False),
        (Selection(to="example.net", sender="example.com"), False),
    ],
)
def test_a_message_is_meant_if_it_answers_to_everything(selection: Selection, expected: bool) -> None:
    assert wants(selection) is expected


def test_the_null_sender_and_marks_can_be_meant() -> None:
    assert wants(Selection(sender="<>"), sender="")
    assert wants(Selection(held=True), is_held=True)
    assert wants(Selection(ambiguous=True), is_ambiguous=True)


def test_an_unknown_criterion_is_refused_rather_than_ignored() -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"form": "a@example.org"}, Selection)
