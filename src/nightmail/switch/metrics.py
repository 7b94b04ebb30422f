"""What a switch tells whoever measures it: its counters, and the state of its queues, in Prometheus' terms."""

from __future__ import annotations

from nightmail.net.control_messages import Metric, QueueStatus, Sample, SwitchStatus

_COUNTERS = {
    "accepted": "Messages that were accepted.",
    "refused": "Messages that were refused at their end because they could not be stored.",
    "voided": "Messages that were stored while their client went away, which will send them again.",
    "unanswered": "Messages whose client was left without an answer because nobody knew what became of them.",
    "delivered": "Recipients whose delivery succeeded.",
    "deferred": "Attempts for a recipient that are to be repeated.",
    "failed": "Recipients that failed for good.",
    "ambiguous": "Attempts for a recipient that may have succeeded: the message was sent, and no answer came.",
    "reports": "Reports that were written to senders.",
    "segments": "Segments that were written to the store.",
    "slow_puts": "Segments that took longer than half a lease to write.",
}
_OF_A_QUEUE = {
    "messages": "Messages in the queue.",
    "active": "Messages of the queue with an attempt under way or waiting for a slot.",
    "waiting": "Messages of the queue that wait for their next attempt.",
    "held": "Messages of the queue that wait for an operator.",
}


def measure(status: SwitchStatus) -> list[Metric]:
    """The metrics of one switch, each sample labelled with its number."""
    labels = {"switch": str(status.switch)}
    counted = [
        Metric(name=f"nightmail_{name}", kind="counter", help=text, samples=(Sample("_total", labels, value),))
        for name, text in _COUNTERS.items()
        for value in (status.counters[name],)
    ]
    return [
        *counted,
        *(_of_queues(name, text, labels, status.queues) for name, text in _OF_A_QUEUE.items()),
        _gauge("nightmail_sessions", "SMTP sessions that are open.", labels, status.sessions),
        _gauge("nightmail_store_up", "Whether the store takes what is to be kept.", labels, status.store == "ok"),
        *_of_replicas(labels, status.replicas),
    ]


def _of_replicas(labels: dict[str, str], replicas: dict[str, str]) -> list[Metric]:
    """Nothing where there is no directory."""
    if not replicas:
        return []
    samples = tuple(Sample("", {**labels, "replica": uri}, float(state == "ok")) for uri, state in replicas.items())
    text = "Whether addresses can be looked up at this replica of the directory."
    return [Metric(name="nightmail_directory_replica_up", kind="gauge", help=text, samples=samples)]


def _of_queues(name: str, text: str, labels: dict[str, str], queues: tuple[QueueStatus, ...]) -> Metric:
    samples = tuple(Sample("", {**labels, "queue": queue.id}, float(getattr(queue, name))) for queue in queues)
    return Metric(name=f"nightmail_queue_{name}", kind="gauge", help=text, samples=samples)


def _gauge(name: str, text: str, labels: dict[str, str], value: float) -> Metric:
    return Metric(name=name, kind="gauge", help=text, samples=(Sample("", labels, float(value)),))
