from __future__ import annotations

import pytest

from nightmail.mail.envelope import Recipient
from nightmail.mail.fate import Action, Fate
from nightmail.mail.reply import Reply


@pytest.mark.parametrize(
    ("action", "reply", "status"),
    [
        (Action.FAILED, Reply(550, "5.1.1", "no"), "5.1.1"),
        (Action.FAILED, Reply(550, "", "no"), "5.0.0"),
        (Action.FAILED, Reply(550, "5.1.1\r\nX: y", "no"), "5.0.0"),
        (Action.FAILED, Reply(550, "4.2.2", "class and code contradict"), "5.0.0"),
        (Action.FAILED, Reply(451, "4.3.0", "not now"), "4.4.7"),
        (Action.DELAYED, Reply(451, "4.3.0", "not now"), "4.3.0"),
        (Action.DELAYED, Reply(421, "", "not now"), "4.0.0"),
        (Action.DELIVERED, Reply(250, "2.1.5", "ok"), "2.1.5"),
        (Action.RELAYED, Reply(250, "", "ok"), "2.0.0"),
        (Action.EXPANDED, Reply(250, "", "ok"), "2.0.0"),
    ],
)
def test_the_status_says_what_the_action_says(action: Action, reply: Reply, status: str) -> None:
    assert Fate(Recipient("bob@example.net"), action, reply).status == status


@pytest.mark.parametrize(
    ("relay", "host"),
    [
        ("mx.example.com[192.0.2.1]:25", "mx.example.com"),
        ("[192.0.2.1]:25", "[192.0.2.1]"),
        ("[IPv6:::1]:25", "[IPv6:::1]"),
        ("mx.example.com", "mx.example.com"),
        ("maildir", ""),
        ("", ""),
    ],
)
def test_the_next_hop_has_a_name_or_an_address(relay: str, host: str) -> None:
    assert Fate(Recipient("bob@example.net"), Action.FAILED, Reply(550, "", "no"), relay).remote_host == host
