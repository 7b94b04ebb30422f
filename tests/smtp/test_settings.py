from __future__ import annotations

import msgspec
import pytest

from nightmail.smtp.settings import SmtpSettings


def test_the_defaults_are_those_of_the_manual() -> None:
    assert msgspec.to_builtins(SmtpSettings()) == {
        "message_size_limit_bytes": 52_428_800,
        "recipient_limit": 1000,
        "command_length_bytes": 2048,
        "received_limit": 50,
        "error_limit": 20,
        "session_limit": 1000,
        "client_session_limit": 50,
        "idle_timeout_s": 300.0,
        "space_factor": 1.5,
        "bare_newlines_from": (),
    }


@pytest.mark.parametrize(
    "wrong", [{"message_size_limit_bytes": 5}, {"bare_newlines_from": ["here"]}, {"error_limit": 0}, {"unknown": 1}]
)
def test_a_wrong_setting_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, SmtpSettings)


def test_networks_are_understood() -> None:
    assert msgspec.convert({"bare_newlines_from": ["10.0.0.0/8", "::1/128"]}, SmtpSettings).bare_newlines_from
