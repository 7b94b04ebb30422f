"""Metrics as Prometheus reads them (text exposition format 0.0.4)."""

from __future__ import annotations

from collections.abc import Iterable

from nightmail.net.control_messages import Metric, Sample

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def render(metrics: Iterable[Metric]) -> str:
    """The whole page."""
    return "".join(map(_family, metrics))


def _family(metric: Metric) -> str:
    name, ending = metric.name, ""
    if metric.kind == "counter":
        # In this format a counter's family is named as its samples are, with the ending that OpenMetrics leaves off.
        name, ending = metric.name.removesuffix("_total") + "_total", "_total"
    lines = [f"# HELP {name} {metric.help}", f"# TYPE {name} {metric.kind}"]
    lines += [_sample(name + sample.suffix.removeprefix(ending), sample) for sample in metric.samples]
    return "\n".join(lines) + "\n"


def _sample(name: str, sample: Sample) -> str:
    labels = ",".join(f'{key}="{value.translate(_ESCAPES)}"' for key, value in sample.labels.items())
    return f"{name}{{{labels}}} {float(sample.value):.15g}"
