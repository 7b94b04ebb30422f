from __future__ import annotations

import asyncio

from tests.delivery.jobs import RecordedJob

from nightmail.delivery.discard import DiscardTransport, RejectTransport
from nightmail.delivery.job import Outcome, Transport
from nightmail.routing.route import Route

DISCARD = Route(kind="discard", destination="discard")
REJECT = Route(kind="reject", text="this address is closed", destination="reject")


def deliver(transport: Transport, route: Route, *, right: bool = True) -> tuple[list[Outcome], list[str]]:
    async def run() -> tuple[list[Outcome], list[str]]:
        job = RecordedJob("a@example.org", "b@example.org")
        job.right = right
        transport.deliver(route, job)
        assert job.marks == []
        outcomes = await job.end()
        await transport.close()
        return outcomes, job.marks

    return asyncio.run(run())


def test_what_is_discarded_counts_as_delivered() -> None:
    outcomes, marks = deliver(DiscardTransport(), DISCARD)
    assert {(outcome.kind, str(outcome.reply)) for outcome in outcomes} == {("delivered", "250 2.0.0 discarded")}
    assert marks == ["may_finish", "finishing", "finished"]


def test_j6_nothing_is_discarded_without_the_right_to_deliver() -> None:
    outcomes, marks = deliver(DiscardTransport(), DISCARD, right=False)
    assert {outcome.kind for outcome in outcomes} == {"deferred"}
    assert marks == ["may_finish", "finished"]


def test_a_route_that_has_become_a_refusal_fails_the_message() -> None:
    outcomes, _ = deliver(RejectTransport(), REJECT)
    assert {(o.kind, str(o.reply)) for o in outcomes} == {("failed", "550 5.7.1 this address is closed")}
