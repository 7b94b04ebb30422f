"""Whose heartbeat is overdue is knocked at; what its host says of it has the survivor get ready, and no more."""

from __future__ import annotations

from tests.group.scene import PATIENCE, PROMISE_S, Scene, kill

from nightmail.group.events import Refused


def test_where_the_host_says_that_nobody_listens_it_is_prepared_at_once(scene: Scene) -> None:
    scene.does_host_answer = True
    died = kill(scene)
    scene.pass_time(5)
    [prepared], [(adopted, _)] = scene.prepared, scene.adopted
    assert prepared <= died + PATIENCE.knock_after_s + 0.1
    assert len(scene.knocks) == 1
    assert died + PROMISE_S * 1.1 < adopted <= died + PATIENCE.knock_after_s + PROMISE_S * 1.1 + 0.15


def test_a_host_that_says_so_of_a_server_that_lives_has_nothing_adopted(scene: Scene) -> None:
    scene.does_host_answer = True
    late = scene.now
    beat = scene.beats.pop("mx2")
    scene.pass_time(PATIENCE.knock_after_s + 0.1)
    assert late < scene.prepared[0]
    scene.beats["mx2"] = beat
    scene.pass_time(PATIENCE.look_rarely_s + 20)
    assert (scene.adopted, scene.forgotten, len(scene.prepared)) == ([], 1, 1)


def test_a_refusal_that_comes_after_a_heartbeat_is_none(scene: Scene) -> None:
    scene.is_written = False
    scene.tell(Refused("mx2"))
    scene.tell(Refused("mx7"))
    scene.pass_time(5)
    assert not scene.prepared


def test_a_refused_server_that_was_heard_and_well_has_its_ten_promises_until_it_is_missing(scene: Scene) -> None:
    scene.does_host_answer = True
    scene.promise_s = 0.3
    scene.pass_time(2 * PATIENCE.look_rarely_s)
    died = kill(scene)
    scene.pass_time(5)
    assert scene.adopted[0][0] > died + PATIENCE.missing_after_s


def test_who_is_silent_is_knocked_at_until_it_is_missing_and_who_stops_is_not(scene: Scene) -> None:
    kill(scene)
    scene.pass_time(5)
    assert 2 <= len(scene.knocks) <= 3
    assert scene.knocks[-1] <= scene.knocks[0] + PATIENCE.missing_after_s
    scene.hear("mx2", state="stopping")
    scene.pass_time(1)
    scene.knocks.clear()
    del scene.beats["mx2"]
    scene.pass_time(5)
    assert not scene.knocks
