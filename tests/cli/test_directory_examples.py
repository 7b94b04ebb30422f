"""The entries that the documentation shows are taken by a real directory, and mean what it says of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.conftest import Run
from tests.cli.directory_rig import Rig
from tests.directory.slapd_server import SUFFIX, Slapd

from nightmail.directory.contents import Held
from nightmail.directory.judging import judge_of
from nightmail.directory.tree import folded
from nightmail.mail.reply import Reply

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "directory.md"
EXAMPLES = re.findall(r"^```text\n(dn: .*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def rig(tmp_path: Path, run: Run) -> Iterator[Rig]:
    with Slapd(tmp_path / "master") as master, Slapd(tmp_path / "shadow", 2, master.uri) as shadow:
        yield Rig(tmp_path, master, shadow, run)


def recipients(rig: Rig, address: str) -> tuple[str, ...]:
    """To whom mail for an address goes; nobody where it is refused."""
    with rig.master.as_account("reader") as directory:
        items = [*map(folded, directory.search(SUFFIX))]
    with judge_of(Held(items), SUFFIX, "/") as judge:
        answer = judge.snapshot.accept(address, may_relay=False)
        return () if isinstance(answer, Reply) else answer.recipients


def policies(rig: Rig) -> dict[str, float]:
    """What is said of settings of `[queue]`."""
    with rig.master.as_account("reader") as directory:
        items = [*map(folded, directory.search(SUFFIX))]
    with judge_of(Held(items), SUFFIX, "/") as judge:
        return dict(judge.snapshot.policies)


def test_every_example_is_taken_and_means_what_is_said_of_it(rig: Rig) -> None:
    assert len(EXAMPLES) == 9
    for example in EXAMPLES:
        command = "modify" if "changetype: modify" in example else "add"
        done = rig.directory(command, rig.text(example))
        assert (done.exit_code, done.err) == (0, ""), example
    assert rig.directory("check").out.endswith("nothing is wrong\n")
    assert recipients(rig, "alice.example@example.org") == ("alice.example@example.org",)
    assert recipients(rig, "a.example@example.org") == ()
    assert recipients(rig, "alice@example.com") == ("alice@example.org",)
    assert recipients(rig, "carol@example.org") == ("carol@elsewhere.example",)
    assert recipients(rig, "anybody@example.net") == ()
    assert recipients(rig, "postmaster@example.org") == ("alice@example.org", "help@elsewhere.example")
    assert sorted(recipients(rig, "team@example.org")) == ["alice@example.org", "bob@example.org"]
    assert recipients(rig, "umlauts@example.org") == ("müller@example.org",)
    assert policies(rig) == {"retry_first_s": 120, "retry_max_s": 1800}
