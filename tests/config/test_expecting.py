from __future__ import annotations

from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta

from nightmail.config.expecting import describe_value, settings_of


class Example(msgspec.Struct, kw_only=True):
    flag: bool = False
    count: Annotated[int, Meta(ge=0, le=10)] = 0
    wait_s: Annotated[float, Meta(gt=0, le=0.5, description="How long.")] = 0.1
    size_bytes: int = 1
    name: Annotated[str, Meta(min_length=1, extra={"path": True})]
    word: Annotated[Literal["b", "a"], Meta(description="Which.")] = "a"
    plain_word: Literal["x", "y"] = "x"
    names: tuple[str, ...] = ()
    maybe: int | None = None
    table: dict[str, int] = {}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flag", "true or false"),
        ("count", "a whole number from 0 to 10"),
        ("wait_s", "a number above 0 and of at most 0.5"),
        ("size_bytes", "a whole number"),
        ("name", "text in quotes, not empty"),
        ("word", "one of b, a"),
        ("plain_word", "one of x, y"),
        ("names", "a list, each entry text in quotes"),
        ("maybe", "a whole number"),
        ("table", "a table, each value a whole number"),
    ],
)
def test_what_is_expected_is_said_in_words(name: str, expected: str) -> None:
    assert settings_of(Example)[name].expected == expected


def test_a_setting_knows_what_was_declared_about_it() -> None:
    settings = settings_of(Example)
    assert [settings[name].unit for name in ("wait_s", "size_bytes", "count")] == ["seconds", "bytes", ""]
    assert settings["wait_s"].description == "How long."
    assert settings["name"].extra == {"path": True}
    assert [name for name, setting in settings.items() if setting.required] == ["name"]
    assert (settings["count"].default, settings["table"].default) == (0, {})


@pytest.mark.parametrize(
    ("value", "words"),
    [(True, "true"), (-1, "-1"), (2.5, "2.5"), (12345678, "12345678"), ("secret", "this text"), ([1], "a list"),
     ({}, "a table")],
)  # fmt: skip
def test_what_was_found_is_described_without_repeating_text(value: object, words: str) -> None:
    assert describe_value(value) == words
