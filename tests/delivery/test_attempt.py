from __future__ import annotations

import asyncio
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st
from tests.delivery.jobs import RecordedJob
from tests.delivery.scenes import ROUTE

from nightmail.delivery.attempt import Attempt
from nightmail.mail.reply import Reply
from nightmail.smtp.extensions import Extensions

BUSY = Reply(452, "4.5.3", "too many recipients")
GONE = Reply(550, "5.1.1", "nobody")
OK = Reply(250, "2.0.0", "Ok")


def attempt_at(*addresses: str, then: Callable[[Attempt], None]) -> list[str]:
    """Let `then` act on an attempt, and tell the outcomes that its job heard of."""

    async def run() -> list[str]:
        job = RecordedJob(*addresses)
        attempt = Attempt(ROUTE, job)
        then(attempt)
        assert not attempt.open
        attempt.end()
        return [outcome.kind for outcome in await job.end()]

    return asyncio.run(run())


def test_the_first_outcome_stands() -> None:
    def then(attempt: Attempt) -> None:
        attempt.settle((0,), "failed", GONE)
        attempt.settle((0,), "delivered", OK)

    assert attempt_at("a@example.net", then=then) == ["failed"]


def test_too_many_is_deferred_where_a_transaction_took_nobody() -> None:
    def then(attempt: Attempt) -> None:
        attempt.next_batch(Extensions(), 100)
        attempt.refused(0, BUSY, "")
        attempt.transaction_ended("")

    assert attempt_at("a@example.net", then=then) == ["deferred"]


def test_too_many_stays_open_where_a_transaction_took_somebody() -> None:
    def then(attempt: Attempt) -> None:
        attempt.next_batch(Extensions(), 100)
        attempt.taken()
        attempt.refused(1, BUSY, "")
        attempt.settle((0,), "delivered", OK)
        attempt.transaction_ended("")
        assert list(attempt.open) == [1]
        attempt.settle_open("delivered", OK)

    assert attempt_at("a@example.net", "b@example.net", then=then) == ["delivered", "delivered"]


@given(
    st.lists(st.sampled_from(["x.example", "X.example", "y.example", "z.example"]), min_size=1, max_size=30),
    st.integers(1, 10),
    st.none() | st.integers(1, 10),
    st.none() | st.integers(1, 3),
)
def test_batches_keep_to_the_limits_and_reach_everybody_once(
    domains: list[str], limit: int, rcpt_max: int | None, domain_max: int | None
) -> None:
    peer = Extensions(rcpt_max=rcpt_max, rcpt_domain_max=domain_max)
    addresses = [f"r{n}@{domain}" for n, domain in enumerate(domains)]

    def then(attempt: Attempt) -> None:
        while attempt.open:
            batch = attempt.next_batch(peer, limit)
            assert 1 <= len(batch) <= min(limit, rcpt_max or limit)
            named = {addresses[index].rpartition("@")[2].lower() for index in batch}
            assert domain_max is None or len(named) <= domain_max
            assert all(index in attempt.open for index in batch)
            attempt.settle(batch, "delivered", OK)

    assert len(attempt_at(*addresses, then=then)) == len(domains)
