"""One table of notations: what is read has one normal text, which is read as the same."""

from __future__ import annotations

import pytest

from nightmail.errors import ConfigInvalid
from nightmail.routing.notation import NOTATIONS
from nightmail.routing.source import NAMES, Entry

LINES = [
    ("domains", "Example.ORG", "local", ("example.org", "local")),
    ("domains", ".Sub.example.org", "relay   verify", (".sub.example.org", "relay verify")),
    ("domains", "example.com", "alias  EXAMPLE.org", ("example.com", "alias example.org")),
    ("routes", "Carol@example.org", "lmtp:unix:run/lmtp", ("carol@example.org", "lmtp:unix:run/lmtp")),
    ("aliases", "Team@Example.org", "b@x.org,  a@x.org, b@X.org", ("team@example.org", "a@x.org, b@x.org")),
    ("mailboxes", '"alice"@example.org', "", ("alice@example.org", "")),
    ("clients", "2001:DB8:0::/32", "deny", ("2001:db8::/32", "deny")),
    ("policies", "retry_first_s", "060.50", ("retry_first_s", "60.5")),
    ("policies", "total_connections", "40.0", ("total_connections", "40")),
]


@pytest.mark.parametrize(("table", "key", "value", "normal"), LINES)
def test_the_normal_text_is_read_as_what_was_written(table: str, key: str, value: str, normal: tuple[str, str]) -> None:
    notation = NOTATIONS[table]
    assert notation.normal(Entry("here", key, value)) == normal
    assert notation.normal(Entry("here", *normal)) == normal
    assert notation.parse_key(normal[0], "here") == notation.parse_key(key, "here")
    meant, again = (notation.parse_value(text, "here", "/base") for text in (value, normal[1]))
    assert again == (tuple(sorted(set(meant))) if isinstance(meant, tuple) else meant)


def test_every_table_has_a_notation_that_says_where_a_fault_is() -> None:
    assert set(NOTATIONS) == set(NAMES)
    for notation in NOTATIONS.values():
        with pytest.raises(ConfigInvalid, match=r"^here: "):
            notation.normal(Entry("here", "no key", "no value"))


def test_paths_start_from_where_they_are_told_to() -> None:
    route = NOTATIONS["routes"].parse_value("maildir:mail/{local_part}", "here", "/srv")
    assert getattr(route, "path", "") == "/srv/mail/{local_part}"
