"""What the operator is told when the switches agree, differ, are silent or fail."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any

import pytest

from nightmail.admin.answers import DirectoryPicture, PeerPicture, is_leaving, why_not_ready, why_others_are_better
from nightmail.admin.exposition import render
from nightmail.admin.http import public_app
from nightmail.admin.operating import Admin
from nightmail.net.control import RequestFailed, SwitchSilent
from nightmail.net.control_messages import Listing, Metric, Sample, Selection


class StoppedClock:
    now = 100.0

    def elapsed(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class FakeSwitch:
    """Answers from a table; an exception in it is raised."""

    def __init__(
        self, number: int, answers: Mapping[str, Any], state: str = "serving", secondary_for: str = ""
    ) -> None:
        self.number = number
        self.secondary_for = secondary_for
        self.state = state
        self.pid = 100 + number
        self.restarts = number
        self.asked: list[tuple[str, Mapping[str, object]]] = []
        self._answers = answers

    async def request(self, method: str, params: Mapping[str, object] | None = None, timeout_s: float = 5.0) -> Any:
        self.asked.append((method, params or {}))
        answer = self._answers[method]
        if isinstance(answer, Exception):
            raise answer
        return answer


def status(number: int, state: str = "serving", **facts: object) -> dict[str, object]:
    queue = {"id": f"mx1.{number}.1", "owner": "mx1", "epoch": 1, "slot": 7, "messages": 3}
    return {"switch": number, "state": state, "pid": 1, "queues": [queue], "sessions": 2, **facts}


def row(message_id: str) -> dict[str, object]:
    return {"id": message_id, "queue": "mx1.0.1", "from": "a@example.org", "size_bytes": 1, "arrival": 1.0}


def ask(ask_admin: Callable[[Admin], Awaitable[Any]], *switches: FakeSwitch, **more: Any) -> Any:
    async def reload() -> None:
        return

    async def run() -> Any:
        return await ask_admin(Admin("mx1", switches, StoppedClock(), reload=reload, **more))

    return asyncio.run(run())


def test_status_shows_every_switch_and_queue_and_peer() -> None:
    picture = ask(
        Admin.status,
        FakeSwitch(0, {"status": status(0)}),
        FakeSwitch(1, {"status": status(1)}),
        peers=lambda: [PeerPicture(server="mx2")],
    )
    assert (picture.server, picture.state, picture.tables) == ("mx1", "serving", "ok")
    assert [(switch.switch, switch.state, switch.sessions, switch.restarts) for switch in picture.switches] == [
        (0, "serving", 2, 0),
        (1, "serving", 2, 1),
    ]
    assert [queue.id for queue in picture.queues] == ["mx1.0.1", "mx1.1.1"]
    assert [(peer.server, peer.state, peer.heartbeat_age_s) for peer in picture.peers] == [("mx2", "unknown", None)]


@pytest.mark.parametrize("question", [Admin.status, Admin.switches, Admin.metrics])
def test_a_switch_that_comes_while_the_others_are_asked_is_left_to_the_next_question(
    question: Callable[[Admin], Coroutine[Any, Any, Any]],
) -> None:
    """A secondary one starts at any time, and a balancer that asks in that moment must not be told of a failure."""
    switches: list[FakeSwitch] = []

    class Hesitant(FakeSwitch):
        async def request(self, method: str, params: Mapping[str, object] | None = None, timeout_s: float = 5.0) -> Any:
            switches.append(FakeSwitch(1, {}, secondary_for="mx2"))
            return await super().request(method, params, timeout_s)

    async def reload() -> None:
        return

    switches.append(Hesitant(0, {"status": status(0), "metrics": []}))
    assert asyncio.run(question(Admin("mx1", switches, StoppedClock(), reload=reload)))
    assert [switch.number for switch in switches] == [0, 1]


@pytest.mark.parametrize(
    ("fault", "state"), [(SwitchSilent("no answer"), "silent"), (RequestFailed("odd"), "silent"), ({}, "silent")]
)
def test_a_switch_that_does_not_answer_is_shown_as_silent(fault: object, state: str) -> None:
    picture = ask(Admin.status, FakeSwitch(0, {"status": status(0)}), FakeSwitch(1, {"status": fault}))
    assert [switch.state for switch in picture.switches] == ["serving", state]
    assert picture.state == "serving"


def test_a_switch_that_has_not_started_is_not_asked() -> None:
    starting = FakeSwitch(0, {}, state="starting")
    assert ask(Admin.status, starting).switches[0].state == "starting"
    assert not starting.asked


def test_the_fault_of_the_tables_is_shown() -> None:
    picture = ask(Admin.status, FakeSwitch(0, {"status": status(0)}), tables_fault=lambda: "domains:1: wrong")
    assert picture.tables == "domains:1: wrong"


def test_a_replica_is_well_where_every_switch_can_ask_it() -> None:
    first, second = "ldap://192.0.2.1", "ldap://192.0.2.2"
    away = f"{second}: no answer"
    picture = ask(
        Admin.status,
        FakeSwitch(0, {"status": status(0, replicas={first: "ok", second: "ok"})}),
        FakeSwitch(1, {"status": status(1, replicas={first: "ok", second: away})}, secondary_for="mx2"),
        FakeSwitch(2, {"status": status(2, replicas={first: "ok", second: "ok"})}),
        directory=lambda: DirectoryPicture(suffix="dc=x"),
    )
    assert picture.directory.asked == {first: "ok", second: away}


@pytest.mark.parametrize(
    ("states", "reason"),
    [
        (["serving"], ""),
        (["serving", "restarting"], ""),
        (["serving", "silent"], ""),
        (["serving", "draining"], "switch 1 is draining"),
        (["stopping"], "switch 0 is stopping"),
        (["starting", "restarting"], "switch 0 is starting; switch 1 is restarting"),
        ([], "no switch runs"),
    ],
)
def test_ready_means_that_a_switch_serves_and_none_is_leaving(states: list[str], reason: str) -> None:
    answering = {"serving", "draining"}
    switches = [
        FakeSwitch(
            number,
            {"status": status(number, state) if state in answering else SwitchSilent("no answer")},
            state="serving" if state in {*answering, "silent"} else state,
        )
        for number, state in enumerate(states)
    ]
    assert why_not_ready(ask(Admin.switches, *switches)) == reason


def test_a_secondary_switch_makes_no_server_ready_and_none_unready() -> None:
    secondary = FakeSwitch(1, {"status": status(1, "stopping")}, secondary_for="mx2")
    pictures = ask(Admin.switches, FakeSwitch(0, {"status": status(0)}), secondary)
    assert pictures[1].secondary_for == "mx2"
    assert why_not_ready(pictures) == ""
    assert not is_leaving(pictures)
    assert why_not_ready(ask(Admin.switches, FakeSwitch(0, {"status": status(0)}, secondary_for="mx2"))) != ""


def test_who_drains_is_leaving_and_who_died_is_not() -> None:
    assert is_leaving(ask(Admin.switches, FakeSwitch(0, {"status": status(0, "draining")})))
    assert not is_leaving(ask(Admin.switches, FakeSwitch(0, {}, state="restarting")))


def test_a_switch_whose_puts_do_not_get_through_sends_new_clients_to_others() -> None:
    stuck = FakeSwitch(1, {"status": status(1, is_cut_off=True, store="the store does not answer")})
    pictures = ask(Admin.switches, FakeSwitch(0, {"status": status(0)}), stuck)
    assert why_others_are_better(pictures) == "switch 1 does not get its puts through: the store does not answer"
    assert why_not_ready(pictures) == ""
    secondary = FakeSwitch(1, {"status": status(1, is_cut_off=True)}, secondary_for="mx2")
    assert why_others_are_better(ask(Admin.switches, secondary)) == ""


@pytest.mark.parametrize(("are_well", "code"), [(True, 404), (False, 200)])
def test_ready_says_so_only_while_a_partner_is_better_off(are_well: bool, code: int) -> None:
    async def ready(admin: Admin) -> int:
        scope = {"type": "http", "method": "GET", "path": "/ready", "raw_path": b"/ready", "query_string": b"",
                 "headers": [], "http_version": "1.1", "scheme": "http", "root_path": ""}  # fmt: skip
        sent: list[Any] = []

        async def receive() -> dict[str, object]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await public_app(admin)(scope, receive, send)
        return int(sent[0]["status"])

    stuck = FakeSwitch(0, {"status": status(0, is_cut_off=True, store="it hangs")})
    assert ask(ready, stuck, partners_are_well=lambda: are_well) == code


def test_ready_of_nothing() -> None:
    assert why_not_ready([]) == "no switch runs"


def test_lists_of_all_switches_become_one_in_order() -> None:
    one = FakeSwitch(0, {"queue_list": {"messages": [row("A"), row("C")], "more": False}})
    other = FakeSwitch(1, {"queue_list": {"messages": [row("B"), row("D")], "more": False}})
    page = ask(lambda admin: admin.queue_list(Listing(limit=3)), one, other)
    assert [message.id for message in page.messages] == ["A", "B", "C"]
    assert page.more
    assert one.asked[0][1]["limit"] == 3
    page = ask(lambda admin: admin.queue_list(Listing(limit=99_999)), one, other)
    assert (len(page.messages), page.more, one.asked[1][1]["limit"]) == (4, False, 1_000)


def test_an_action_counts_what_it_reached_and_names_who_was_silent() -> None:
    one = FakeSwitch(0, {"queue_act": {"count": 2}})
    other = FakeSwitch(1, {"queue_act": SwitchSilent("no answer")})
    done = ask(lambda admin: admin.queue_act("hold", Selection(sender="a@example.org")), one, other)
    assert (done.count, done.faults) == (2, ("switch 1: no answer",))
    action, selection = one.asked[0][1]["action"], one.asked[0][1]["selection"]
    assert (action, selection["from"]) == ("hold", "a@example.org")  # type: ignore[index]


def test_an_action_that_reached_nobody_is_no_success() -> None:
    silent = FakeSwitch(0, {"queue_act": SwitchSilent("no answer")})
    with pytest.raises(SwitchSilent, match="switch 0: no answer"):
        ask(lambda admin: admin.queue_act("retry", Selection()), silent)


def test_a_message_is_found_in_whichever_switch_has_it() -> None:
    one, other = FakeSwitch(0, {"queue_show": None}), FakeSwitch(1, {"queue_show": {"message": row("A")}})
    assert ask(lambda admin: admin.queue_show("A"), one, other).message.id == "A"
    assert ask(lambda admin: admin.queue_show("B"), one) is None


def test_a_message_is_not_called_missing_while_a_switch_is_silent() -> None:
    one, other = FakeSwitch(0, {"queue_show": None}), FakeSwitch(1, {"queue_show": SwitchSilent("no answer")})
    with pytest.raises(SwitchSilent):
        ask(lambda admin: admin.queue_show("A"), one, other)


@pytest.mark.parametrize(("name", "suffix"), [("nightmail_seen_total", ""), ("nightmail_seen", "_total")])
def test_a_counter_and_its_samples_have_one_name(name: str, suffix: str) -> None:
    page = render([Metric(name=name, kind="counter", help="Seen.", samples=(Sample(suffix, {"a": 'x"\n'}, 5),))])
    assert page == (
        '# HELP nightmail_seen_total Seen.\n# TYPE nightmail_seen_total counter\nnightmail_seen_total{a="x\\"\\n"} 5\n'
    )


def test_metrics_of_all_switches_are_one_family_each() -> None:
    told = [
        {"name": "nightmail_accepted_total", "kind": "counter", "help": "Messages.", "samples": [["", {}, 5]]},
        {
            "name": "nightmail_put_seconds",
            "kind": "histogram",
            "help": "Puts.",
            "samples": [["_bucket", {"le": "0.1"}, 1], ["_sum", {}, 0.05], ["_count", {}, 1]],
        },
    ]
    one, other = FakeSwitch(0, {"metrics": told}), FakeSwitch(1, {"metrics": told})
    page = render(ask(Admin.metrics, one, other, FakeSwitch(2, {"metrics": SwitchSilent("no answer")}, "restarting")))
    assert page.count("# TYPE nightmail_accepted_total counter\n") == 1
    assert 'nightmail_accepted_total{switch="0"} 5\nnightmail_accepted_total{switch="1"} 5\n' in page
    assert 'nightmail_put_seconds_bucket{switch="1",le="0.1"} 1\n' in page
    assert 'nightmail_switch_up{switch="2"} 0\n' in page
    assert 'nightmail_switch_restarts_total{switch="2"} 2\n' in page
