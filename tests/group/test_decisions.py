"""Who adopts what, and when: never a journal that moves, never before its promise is over, one server at a time."""

from __future__ import annotations

import msgspec
import pytest
from tests.group.scene import PATIENCE, PROMISE_S, QUEUE, Scene, kill

from nightmail.group.events import (
    BegunAnew,
    DrainBegan,
    HandedOver,
    Listed,
    Running,
)
from nightmail.group.view import Member


def test_the_queue_of_a_dead_server_is_adopted_once_its_promise_is_over(scene: Scene) -> None:
    died = kill(scene)
    scene.pass_time(5)
    [(adopted, slot)] = scene.adopted
    assert slot == scene.tail
    assert died + PROMISE_S < adopted < died + PATIENCE.late_after_s + PROMISE_S * 1.1 + 0.3
    assert QUEUE in scene.view.here


def test_it_is_looked_at_as_soon_as_its_promise_is_over(scene: Scene) -> None:
    for promise_s in (1.00, 1.02, 1.04, 1.06):
        scene.promise_s = promise_s
        scene.hear("mx2", runs=(QUEUE,))
        scene.is_written = True
        scene.tell(Running(frozenset()))
        scene.tell(BegunAnew())
        scene.pass_time(20)
        kill(scene)
        scene.adopted.clear()
        scene.pass_time(0.6)
        first_seen = scene.view.queues[QUEUE].since
        scene.pass_time(5)
        [(adopted, _)] = scene.adopted
        assert first_seen + 1.1 * promise_s <= adopted < first_seen + 1.1 * promise_s + 0.051


def test_a_last_look_that_fails_is_followed_by_others_in_their_time(scene: Scene) -> None:
    kill(scene)
    scene.pass_time(1.2)
    scene.is_store_away = True
    looks = scene.looks
    scene.pass_time(3)
    assert scene.looks - looks <= 3 / PATIENCE.look_often_s + 2
    assert not scene.adopted
    scene.is_store_away = False
    scene.pass_time(2)
    assert len(scene.adopted) == 1


def test_it_is_prepared_while_the_promise_runs_out(scene: Scene) -> None:
    died = kill(scene)
    scene.pass_time(5)
    assert died < scene.prepared[-1] <= died + PATIENCE.read_after_s + 0.1


def test_a_lost_heartbeat_has_nothing_read(scene: Scene) -> None:
    kill(scene)
    scene.pass_time(2 * PATIENCE.beat_s + 0.05)
    scene.hear("mx2", runs=(QUEUE,))
    scene.pass_time(5)
    assert not scene.prepared


def test_an_owner_that_is_late_has_its_queue_read_and_keeps_it(scene: Scene) -> None:
    late = kill(scene)
    scene.pass_time(PATIENCE.missing_after_s - 0.1)
    [prepared] = scene.prepared
    assert prepared < late + PATIENCE.missing_after_s
    scene.hear("mx2", runs=(QUEUE,))
    scene.pass_time(PATIENCE.look_rarely_s + 0.1)
    assert (scene.adopted, scene.forgotten) == ([], 1)


def test_a_server_that_starts_gives_its_peers_the_time_to_be_heard() -> None:
    scene = Scene()
    scene.pass_time(PATIENCE.missing_after_s - 0.2)
    scene.hear("mx2", runs=(QUEUE,))
    scene.pass_time(20)
    assert not scene.prepared


def test_a_queue_whose_owner_is_cut_off_but_writes_is_never_adopted(scene: Scene) -> None:
    del scene.beats["mx2"]
    scene.pass_time(600)
    assert not scene.adopted


def test_an_owner_that_is_heard_and_well_has_ten_promises(scene: Scene) -> None:
    scene.is_written = False
    stopped = scene.now
    scene.pass_time(10)
    assert not scene.adopted
    scene.pass_time(10)
    [(adopted, _)] = scene.adopted
    assert adopted >= stopped + 10 * PROMISE_S


@pytest.mark.parametrize("why", ["silent", "cut off", "not run", "draining"])
def test_an_owner_that_is_heard_but_does_not_run_it_has_one_promise(scene: Scene, why: str) -> None:
    scene.is_written = False
    scene.hear("mx2", runs=() if why == "not run" else (QUEUE,), silent=why == "silent", cut_off=why == "cut off",
               state="draining" if why == "draining" else "serving")  # fmt: skip
    scene.pass_time(3)
    assert len(scene.adopted) == 1


@pytest.mark.parametrize(("why", "at_once"), [("silent", False), ("not run", False), ("draining", True)])
def test_a_server_that_lives_has_most_of_a_promise_to_start_its_switch_again(
    scene: Scene, why: str, *, at_once: bool
) -> None:
    scene.is_written = False
    scene.hear("mx2", runs=() if why == "not run" else (QUEUE,), silent=why == "silent",
               state="draining" if why == "draining" else "serving")  # fmt: skip
    scene.pass_time(0.8 * PROMISE_S)
    assert bool(scene.prepared) == at_once
    scene.pass_time(0.2)
    assert scene.prepared
    assert not scene.adopted


def test_a_server_that_is_back_has_nothing_forgotten_that_was_read_of_its_old_queue(scene: Scene) -> None:
    scene.promise_s = 3.0
    scene.pass_time(2 * PATIENCE.look_rarely_s)
    kill(scene)
    scene.pass_time(0.9)
    scene.hear("mx2", runs=())
    scene.pass_time(5)
    assert (scene.forgotten, len(scene.prepared), len(scene.adopted)) == (0, 1, 1)


def test_an_owner_with_more_queues_than_it_can_tell_is_taken_to_run_it(scene: Scene) -> None:
    scene.is_written = False
    scene.hear("mx2", runs=(), hidden=500)
    scene.pass_time(9)
    assert not scene.adopted


def test_a_long_promise_is_waited_for(scene: Scene) -> None:
    scene.promise_s = 10.0
    scene.pass_time(20)
    died = kill(scene)
    scene.pass_time(9)
    assert not scene.adopted
    scene.pass_time(10)
    assert scene.adopted[0][0] >= died + 10.0


def test_a_yielded_queue_is_adopted_at_once(scene: Scene) -> None:
    scene.promise_s = 10.0
    scene.is_written = False
    scene.is_yielded = True
    scene.tail += 1
    scene.hear("mx2", state="stopping")
    yielded = scene.now
    scene.pass_time(2)
    assert scene.adopted[0][0] <= yielded + 0.3


def test_a_yielded_queue_is_first_of_all_for_the_server_of_its_name() -> None:
    adopted = {}
    for server in ("mx1", "mx2", "mx3"):
        scene = Scene(server, ("mx1", "mx2", "mx3", "mx4"))
        scene.owner, scene.is_written, scene.is_yielded = "mx4", False, True
        for other in {"mx1", "mx2", "mx3"} - {server}:
            scene.hear(other)
        scene.pass_time(10)
        adopted[server] = scene.adopted[0][0]
    assert min(adopted, key=adopted.__getitem__) == "mx2"
    assert len(set(adopted.values())) == 3


def test_a_queue_that_was_handed_over_is_the_others_first(scene: Scene) -> None:
    scene.tell(HandedOver(QUEUE))
    given_up = kill(scene)
    scene.is_yielded = True
    scene.pass_time(PATIENCE.handover_s - 1)
    assert not scene.adopted
    scene.pass_time(3)
    assert scene.adopted[0][0] >= given_up + PATIENCE.handover_s


def test_a_closed_queue_is_left_alone(scene: Scene) -> None:
    kill(scene)
    scene.is_closed = True
    scene.pass_time(30)
    assert not scene.adopted


def test_a_queue_that_its_owner_closed_is_looked_at_before_anything_is_started_for_it(scene: Scene) -> None:
    scene.is_closed = True
    scene.hear("mx2")
    scene.pass_time(20)
    assert not scene.prepared


def test_a_queue_that_is_run_here_is_not_watched(scene: Scene) -> None:
    scene.tell(Running(frozenset({QUEUE})))
    looks = scene.looks
    kill(scene)
    scene.pass_time(30)
    assert scene.looks == looks
    assert not scene.adopted


def test_our_own_queue_that_nobody_here_runs_is_adopted(scene: Scene) -> None:
    scene.owner = "mx1"
    scene.is_written = False
    scene.tail += 1
    scene.pass_time(10)
    assert len(scene.adopted) == 1


@pytest.mark.parametrize(("server", "epoch", "is_met"), [("mx2", 1, True), ("mx2", 2, False), ("mx1", 1, False)])
def test_who_of_our_name_opened_a_queue_and_writes_it_elsewhere_is_told(server: str, epoch: int, is_met: bool) -> None:
    scene = Scene(server)
    scene.epoch = epoch
    scene.pass_time(10)
    assert ((QUEUE, "life") in scene.met) == is_met
    assert not scene.adopted


def test_who_is_second_waits_one_promise_more() -> None:
    died, adopted = {}, {}
    for server in ("mx1", "mx3"):
        scene = Scene(server, ("mx1", "mx2", "mx3"))
        for other in {"mx1", "mx2", "mx3"} - {server}:
            scene.hear(other, runs=(QUEUE,) if other == "mx2" else ())
        scene.pass_time(20)
        died[server] = kill(scene)
        scene.pass_time(10)
        adopted[server] = scene.adopted[0][0]
    first, second = sorted(adopted[server] - died[server] for server in adopted)
    assert PROMISE_S / 2 < second - first < 2 * PROMISE_S


def test_the_second_goes_on_at_once_when_the_first_is_dead_too() -> None:
    for server, other in (("mx1", "mx3"), ("mx3", "mx1")):
        scene = Scene(server, ("mx1", "mx2", "mx3"))
        scene.hear("mx2", runs=(QUEUE,))
        scene.hear(other)
        scene.pass_time(20)
        died = kill(scene)
        del scene.beats[other]
        scene.pass_time(10)
        assert scene.adopted[0][0] < died + 1.1 * PROMISE_S + PATIENCE.missing_after_s + 0.4


def test_another_group_waits_until_the_queue_is_an_orphan() -> None:
    scene = Scene(group="another")
    scene.view = msgspec.structs.replace(scene.view, members={**scene.view.members, "mx2": Member("mx2", "g")})
    scene.hear("mx2", runs=(QUEUE,))
    scene.pass_time(20)
    died = kill(scene)
    scene.pass_time(PATIENCE.orphan_after_s)
    assert not scene.adopted
    scene.pass_time(10)
    assert scene.adopted[0][0] >= died + PATIENCE.orphan_after_s


def test_no_stillness_counts_while_our_own_puts_are_slow(scene: Scene) -> None:
    scene.probe_takes_s = 0.6
    kill(scene)
    scene.pass_time(60)
    assert not scene.adopted
    scene.probe_takes_s = 0.01
    scene.pass_time(3)
    assert len(scene.adopted) == 1


def test_no_stillness_counts_while_a_put_of_ours_does_not_end(scene: Scene) -> None:
    scene.probe_takes_s = 1e9
    kill(scene)
    scene.pass_time(60)
    assert not scene.adopted


def test_nothing_is_adopted_while_the_store_is_out_of_reach(scene: Scene) -> None:
    scene.is_store_away = True
    kill(scene)
    scene.pass_time(60)
    assert not scene.adopted
    scene.is_store_away = False
    back = scene.now
    scene.pass_time(5)
    assert scene.adopted[0][0] >= back + PROMISE_S


def test_who_lost_the_race_for_a_queue_measures_anew(scene: Scene) -> None:
    kill(scene)
    scene.pass_time(1.5)
    assert not scene.adopted
    scene.tail += 1  # another adopter, just before us
    scene.owner = "mx3"
    moved = scene.now
    scene.pass_time(5)
    [(adopted, slot)] = scene.adopted
    assert slot == scene.tail
    assert adopted >= moved + PROMISE_S


def test_a_server_that_drains_adopts_nothing(scene: Scene) -> None:
    scene.tell(DrainBegan())
    kill(scene)
    scene.pass_time(60)
    assert not scene.adopted


def test_a_healthy_queue_is_looked_at_rarely(scene: Scene) -> None:
    looks = scene.looks
    scene.pass_time(60)
    assert scene.looks - looks <= 60 / PATIENCE.look_rarely_s + 2


def test_a_store_that_stalls_now_and_then_deposes_nobody(scene: Scene) -> None:
    """Design section 4: puts that stall for 1.5 s at a lease of 1 s, both servers healthy, for an hour."""
    for _ in range(3600 // 10):
        scene.is_written, scene.probe_takes_s = False, 1.5
        scene.pass_time(1.5)
        scene.is_written, scene.probe_takes_s = True, 0.01
        scene.pass_time(8.5)
    assert not scene.adopted


def test_a_queue_that_can_not_be_looked_at_is_in_no_other_queues_way(scene: Scene) -> None:
    scene.tell(Listed((QUEUE, "mx3.0.1")))
    scene.unreadable.add("mx3.0.1")
    died = kill(scene)
    scene.pass_time(5)
    assert scene.adopted[0][0] < died + PROMISE_S * 1.1 + PATIENCE.missing_after_s + 0.4


def test_a_look_that_failed_is_no_sign_that_a_journal_stands_still(scene: Scene) -> None:
    kill(scene)
    scene.pass_time(0.8)
    scene.unreadable.add(QUEUE)
    scene.pass_time(20)
    assert not scene.adopted


def test_what_was_prepared_and_is_written_again_is_forgotten(scene: Scene) -> None:
    beat = scene.beats["mx2"]
    kill(scene)
    scene.pass_time(1.0)
    assert scene.prepared
    scene.beats["mx2"], scene.is_written = beat, True
    scene.pass_time(5)
    assert scene.forgotten == 1
    assert not scene.adopted


def test_a_driver_that_begins_anew_waits_for_nothing_that_was_under_way(scene: Scene) -> None:
    kill(scene)
    scene.pass_time(1.0)
    scene.answers_nothing = True
    scene.pass_time(5)
    assert scene.view.is_listing
    scene.answers_nothing = False
    scene.tell(BegunAnew())
    assert scene.forgotten == 1
    began = scene.now
    scene.pass_time(5)
    assert scene.adopted[0][0] >= began + PROMISE_S
