"""sendmail's arguments, in the ways in which programs write them."""

from __future__ import annotations

import os

import pytest

from nightmail.cli.failing import CommandFailed
from nightmail.cli.sendmail_arguments import parse
from nightmail.mail.envelope import NOTIFY_DELAY, NOTIFY_FAILURE, NOTIFY_NEVER, NOTIFY_SUCCESS


@pytest.mark.parametrize(
    "words",
    [
        ["-t", "-i", "-f", "a@example.org", "b@example.net"],
        ["-ti", "-fa@example.org", "b@example.net"],
        ["-oi", "-t", "-r", "<a@example.org>", "b@example.net"],
        ["b@example.net", "-it", "-f", "a@example.org"],
        ["-bm", "-oem", "-odb", "-v", "-U", "-G", "-n", "-B8BITMIME", "-Xlog", "-p", "ESMTP:x", "-tif", "a@example.org",
         "--unheard-of", "--", "b@example.net"],
        ["-O", "DeliveryMode=b", "-L", "tag", "-h", "3", "-Am", "-tioi", "-fa@example.org", "b@example.net"],
    ],
)  # fmt: skip
def test_the_same_can_be_said_in_many_ways(words: list[str]) -> None:
    arguments = parse([word for word in words if word != "-Am"])
    assert (arguments.mode, arguments.sender, arguments.recipients) == ("m", "a@example.org", ["b@example.net"])
    assert arguments.from_header
    assert arguments.dots_are_text


def test_without_arguments_nothing_is_assumed() -> None:
    arguments = parse([])
    assert (arguments.sender, arguments.from_header, arguments.dots_are_text) == (None, False, False)
    assert parse(["-f", "<>"]).sender == parse(["-f", ""]).sender == ""


@pytest.mark.parametrize(
    ("words", "mode"), [(["-bp"], "p"), (["-bs"], "s"), (["-bi"], "i"), (["-q"], "q"), (["-q15m"], "q"), (["-b"], "m")]
)
def test_modes(words: list[str], mode: str) -> None:
    assert parse(words).mode == mode


@pytest.mark.parametrize(
    ("value", "notify"),
    [
        ("never", NOTIFY_NEVER),
        ("FAILURE", NOTIFY_FAILURE),
        ("success,delay,delay", NOTIFY_SUCCESS + NOTIFY_DELAY),
    ],
)
def test_reports_are_asked_for(value: str, notify: int) -> None:
    arguments = parse(["-N", value, "-R", "hdrs", "-V", "id 1"])
    assert (arguments.notify, arguments.ret, arguments.envid) == (notify, "HDRS", "id 1")


@pytest.mark.parametrize("words", [["-N", "sometimes"], ["-N", "never,delay"], ["-R", "some"], ["-f"], ["--config"]])
def test_what_can_not_be_meant_is_wrong_usage(words: list[str]) -> None:
    with pytest.raises(CommandFailed) as failure:
        parse(words)
    assert failure.value.exit_code == os.EX_USAGE


def test_the_options_of_the_other_commands_are_taken_too() -> None:
    arguments = parse(["--config=some.toml", "--name", "mx1", "-bp", "--json"])
    assert (arguments.config, arguments.name, arguments.mode, arguments.json) == ("some.toml", "mx1", "p", True)


def test_words_after_two_dashes_are_recipients() -> None:
    assert parse(["--", "-f", "-x"]).recipients == ["-f", "-x"]
