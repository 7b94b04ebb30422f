"""The stage fits its terminal, and says what happens on it."""

from __future__ import annotations

import io

import pytest
from rich.console import Console, RenderableType

from nightmail.admin.answers import ServerPicture
from nightmail.cli.demo.ledger import Books
from nightmail.cli.demo.picture import draw, draw_verdict
from nightmail.cli.demo.scene import Scene, ServerScene
from nightmail.cli.demo.verdict import Verdict
from nightmail.net.control_messages import QueueStatus


def text(what: RenderableType, width: int = 100) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    console.print(what)
    return console.file.getvalue()  # type: ignore[attr-defined]


@pytest.fixture
def scene() -> Scene:
    queues = (
        QueueStatus(id="mx2.0.1", owner="mx2", epoch=1, slot=9, messages=70),
        QueueStatus(id="mx1.0.1", owner="mx2", epoch=2, slot=4, messages=1234),
    )
    picture = ServerPicture(server="mx2", state="serving", version="1", uptime_s=5, queues=queues)
    servers = [ServerScene("mx1", "dead", left={"mx1.1.1": 5}), ServerScene("mx2", "serving", picture)]
    return Scene(servers, "mx1 is dead", "Its queue stands still.", happened=[(61.25, "mx1 is killed")])


def test_the_stage_shows_the_queues_and_whose_they_are(scene: Scene) -> None:
    shown = text(draw(scene))
    assert "mx1 is dead" in shown
    assert "mx1.1.1 with 5 messages is in the store" in shown
    [own, adopted] = [line for line in shown.splitlines() if "mx2.0.1" in line or "mx1.0.1" in line]
    assert "its own" in own
    assert adopted.split("│")[-2].split() == ["mx1.0.1", "adopted", "1,234"]
    assert "1:01.2  mx1 is killed" in shown


@pytest.mark.parametrize("width", [60, 80, 100, 200])
def test_the_stage_keeps_its_width_and_height_whatever_happens(scene: Scene, width: int) -> None:
    before = text(draw(scene), width).splitlines()
    scene.happened += [(1.0, "something with a long name happens " * 9)] * 30
    after = text(draw(scene), width).splitlines()
    assert len(before) == len(after)
    assert max(map(len, after)) <= width


def test_the_ledger_ends_with_the_verdict() -> None:
    books = Books()
    books.note_sent(1, "acknowledged", "ID1")
    verdict = Verdict(
        ledger=books.audit(frozenset(), frozenset()), lease_s=1.0, takeover_s=1.9, adopted=3, pause_s=0.4,
        pause_before_s=0.1, refused_for_good=0, damaged=0,
    )  # fmt: skip
    assert text(draw_verdict(verdict)).splitlines()[-1] == "Messages are not all well: 1 lost."
