"""Streams as Prometheus reads them: families beside those of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Sample = tuple[Mapping[str, str], float]

COUNTERS = (
    ("requests", "Requests, or records, that were answered."),
    ("rows", "Rows that were predicted."),
    ("swaps", "Models that took the place of another."),
    ("alarms", "Alarms of drift."),
)
GAUGES = (
    ("queue", "Requests or records that wait."),
    ("queue_limit", "How many may."),
    ("lag", "Records that wait at the source."),
)

QUANTILES = {"p50": "0.5", "p95": "0.95", "p99": "0.99"}


def families_of_streams(
    told: Sequence[tuple[Mapping[str, Any], Mapping[str, str]]],
) -> Iterator[tuple[str, str, str, list[Sample]]]:
    """Yield name, type, text and samples of each metric of the streams of some runs, given as `summary_of` has them."""
    streams = [(one, {**labels, "stream": str(one["id"])}) for summary, labels in told for one in summary["streams"]]
    running: list[Sample] = [(labels, float(one["status"] == "running")) for one, labels in streams]
    yield "daskflow_stream_running", "gauge", "1 while it goes on.", running
    for name, text in COUNTERS:
        yield f"daskflow_stream_{name}_total", "counter", text, [(labels, one[name]) for one, labels in streams]
    yield (
        "daskflow_stream_errors_total",
        "counter",
        "Requests or records without an answer.",
        [({**labels, "reason": why}, count) for one, labels in streams for why, count in one["errors"].items()],
    )
    for name, text in GAUGES:
        yield f"daskflow_stream_{name}", "gauge", text, [(labels, one[name]) for one, labels in streams]
    yield (
        "daskflow_stream_latency_seconds",
        "gauge",
        "Seconds from a request, or from when a record was taken, to its answer, in the last second.",
        [
            ({**labels, "quantile": share}, one["latency"][name])
            for one, labels in streams
            for name, share in QUANTILES.items()
        ],
    )
    for place, (suffix, text) in enumerate((("", "Distance of a column to training."), ("_bound", "Its bound."))):
        yield (
            f"daskflow_stream_drift{suffix}",
            "gauge",
            text,
            [
                ({**labels, "column": column}, pair[place])
                for one, labels in streams
                for column, pair in one["drift"].items()
            ],
        )
    scored = [(one["score"], {**labels, "metric": one["score"]["metric"]}) for one, labels in streams if one["score"]]
    for suffix, field, text in (
        ("", "value", "Score of the answers whose truth has come."),
        ("_low", "low", "Low end of its 95 % interval."),
        ("_high", "high", "High end."),
    ):
        yield f"daskflow_stream_score{suffix}", "gauge", text, [(labels, found[field]) for found, labels in scored]
