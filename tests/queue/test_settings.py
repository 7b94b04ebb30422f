from __future__ import annotations

import msgspec
import pytest

from nightmail.queue.settings import QueueSettings


def test_the_defaults_are_a_postmasters_usual_ones() -> None:
    settings = QueueSettings()
    assert settings.retry_first_s == 300
    assert settings.retry_max_s == 3600
    assert settings.expire_s == 5 * 86_400
    assert settings.delay_report_s == 4 * 3600
    assert settings.destination_connections == 20


def test_a_longest_pause_below_the_first_is_refused_with_what_would_be_right() -> None:
    with pytest.raises(
        msgspec.ValidationError, match=r"retry_max_s \(60\) is less than retry_first_s \(300\); make it"
    ):
        msgspec.convert({"retry_max_s": 60}, QueueSettings)


@pytest.mark.parametrize("wrong", [{"retry_first_s": 0}, {"destination_connections": 0}, {"retry_frist_s": 5}])
def test_a_wrong_or_unknown_setting_is_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(wrong, QueueSettings)


def test_every_setting_is_described_in_a_sentence() -> None:
    for field in msgspec.json.schema(QueueSettings)["$defs"]["QueueSettings"]["properties"].values():
        assert field["description"].endswith(".")
