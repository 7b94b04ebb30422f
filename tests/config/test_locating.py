from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightmail.config.locating import Lines

TEXT = '''\
# a comment
[server]
name = "mx1"
"host name" = "x"

[servers.mx1]
smtp = "a:1"
store.url = "x"
[[listener]]
address = "b"   # [not.a.header]
note = """
[queue]
address = 1
"""
[[ listener ]]
address = "c"
[ queue ] # comment
retry_first_s=3
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("server",), 2),
        (("server", "name"), 3),
        (("server", "host name"), 4),
        (("servers", "mx1"), 6),
        (("servers", "mx1", "store", "url"), 8),
        (("listener",), 9),
        (("listener", 0, "address"), 10),
        (("listener", 1), 15),
        (("listener", 1, "address"), 16),
        (("queue", "retry_first_s"), 18),
        (("queue", "other"), 17),
        (("nowhere",), 0),
        ((), 0),
    ],
)
def test_a_setting_has_the_line_on_which_it_stands(path: tuple[str | int, ...], line: int) -> None:
    assert Lines(TEXT).line(path) == line


@given(st.text(max_size=200))
def test_any_text_has_lines(text: str) -> None:
    assert 0 <= Lines(text).line(("server",)) <= text.count("\n") + 1
