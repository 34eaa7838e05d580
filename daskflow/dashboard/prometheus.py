"""Runs as Prometheus reads them: its text format 0.0.4."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from daskflow.dashboard.prometheus_streams import families_of_streams
from daskflow.dashboard.state import RunState
from daskflow.dashboard.summary import summary_of

Sample = tuple[Mapping[str, str], float]

STATUSES = ("waiting", "running", "paused", "stopping", "done", "failed", "interrupted")
JOB_STATES = ("pending", "starting", "running", "retiring")
STAGE_STATES = ("waiting", "running", "done", "failed")


def metrics_of(runs: Sequence[tuple[RunState, float]]) -> str:
    """Return the metrics of some runs, each with the moment it is asked for; every line ends with a newline.

    A number that is not known has no line.
    """
    told = [(summary_of(state, now), {"name": state.name, "run": state.id}) for state, now in runs]
    lines: list[str] = []
    for name, kind, text, samples in _families(told):
        known = [(labels, value) for labels, value in samples if value is not None and not math.isnan(value)]
        if known:
            lines += [f"# HELP {name} {_escaped(text)}", f"# TYPE {name} {kind}"]
            lines += [f"{name}{{{_labels(labels)}}} {_number(value)}" for labels, value in known]
    return "".join(f"{line}\n" for line in lines)


def _families(told: Sequence[tuple[dict[str, Any], dict[str, str]]]) -> Iterator[tuple[str, str, str, list[Sample]]]:
    """Yield name, type, text and samples of each metric."""

    def each(*path: str) -> list[Sample]:
        return [(labels, _at(summary, path)) for summary, labels in told]

    def by(label: str, *path: str, states: Iterable[str] = ()) -> list[Sample]:
        return [
            ({**labels, label: key}, value)
            for summary, labels in told
            for key, value in {**dict.fromkeys(states, 0), **_at(summary, path)}.items()
            if key != "all"
        ]

    yield (
        "daskflow_run_status",
        "gauge",
        "1 for the status the run has.",
        [({**labels, "status": word}, float(word == s["status"])) for s, labels in told for word in STATUSES],
    )
    yield "daskflow_run_seconds", "gauge", "Seconds the run has gone on, over its invocations.", each("seconds")
    yield (
        "daskflow_run_cpu_seconds_total",
        "counter",
        "Processor seconds of what has ended.",
        each("cost", "cpu_seconds"),
    )
    yield (
        "daskflow_stage_state",
        "gauge",
        "1 for the state the stage is in.",
        [
            ({**labels, "stage": stage["name"], "state": word}, float(word == stage["state"]))
            for summary, labels in told
            for stage in summary["stages"]
            for word in STAGE_STATES
        ],
    )
    for name, text, field in (
        ("daskflow_stage_done_ratio", "Share of the stage that is done, 0 to 1.", "share"),
        ("daskflow_stage_seconds", "Seconds since the stage began, or that it took.", "seconds"),
    ):
        yield (
            name,
            "gauge",
            text,
            [({**labels, "stage": st["name"]}, st[field]) for summary, labels in told for st in summary["stages"]],
        )
    for place, word in enumerate(("middle", "low", "high")):
        suffix = "" if word == "middle" else f"_{word}"
        yield (
            f"daskflow_stage_left_seconds{suffix}",
            "gauge",
            "Seconds the stage will still take" + ("." if word == "middle" else f", {word} end of its band."),
            [
                ({**labels, "stage": stage["name"]}, stage["left"][place])
                for summary, labels in told
                for stage in summary["stages"]
                if stage["left"] is not None
            ],
        )
    yield "daskflow_rows", "gauge", "Rows of the data that were read.", each("rows")
    yield "daskflow_rows_rejected", "gauge", "Rows that were refused.", each("rejects")
    yield "daskflow_partitions", "gauge", "Partitions of the data.", each("partitions", "all")
    yield "daskflow_partitions_done", "gauge", "Partitions that are done.", each("partitions", "done")
    yield "daskflow_workers", "gauge", "Workers by status.", by("status", "workers", states=("running",))
    on_queues = [(summary["jobs"], labels) for summary, labels in told if summary["jobs"] is not None]
    yield (
        "daskflow_jobs",
        "gauge",
        "Jobs of workers in the batch queue by state.",
        [
            ({**labels, "state": word}, found["counts"].get(word, 0))
            for found, labels in on_queues
            for word in JOB_STATES
        ],
    )
    yield (
        "daskflow_jobs_ended_total",
        "counter",
        "Jobs that ended, by how.",
        [({**labels, "why": why}, count) for found, labels in on_queues for why, count in found["ended"].items()],
    )
    yield (
        "daskflow_core_hours",
        "gauge",
        "Core-hours of the run's jobs: requested, used, and of these busy, idle, wasted, controller and unseen.",
        [
            ({**labels, "category": word}, value)
            for found, labels in on_queues
            for word, value in found["core_hours"].items()
        ],
    )
    yield "daskflow_trials", "gauge", "Trials of the search by state.", by("state", "trials")
    yield "daskflow_fits_total", "counter", "Fits that ended.", each("fits", "done")
    yield (
        "daskflow_fits_planned",
        "gauge",
        "Fits the search means to do in all; 0 while not known.",
        each("fits", "planned"),
    )
    yield "daskflow_failures_total", "counter", "Trials that failed.", each("failures")
    best = [(summary["best"], labels) for summary, labels in told if summary["best"] is not None]
    for suffix, field, text in (
        ("", "score", "Score of the best trial so far."),
        ("_low", "low", "Low end of the 95 % interval of the best score."),
        ("_high", "high", "High end of the 95 % interval of the best score."),
    ):
        yield (
            f"daskflow_best_score{suffix}",
            "gauge",
            text,
            [({**labels, "metric": found["metric"]}, found[field]) for found, labels in best],
        )
    for place, (suffix, text) in enumerate(
        (
            ("", "Metric on the test rows judged so far."),
            ("_low", "Low end of its 95 % interval."),
            ("_high", "High end."),
        )
    ):
        yield (
            f"daskflow_test_metric{suffix}",
            "gauge",
            text,
            [
                ({**labels, "metric": metric}, value[place])
                for summary, labels in told
                for metric, value in summary["test"]["metrics"].items()
            ],
        )
    yield from families_of_streams(told)


def _at(summary: Mapping[str, Any], path: Sequence[str]) -> Any:
    found: Any = summary
    for key in path:
        found = found[key]
    return found


def _escaped(text: str, quote: str = "") -> str:
    r"""Write what would end a line or a label's value as the format asks.

    Examples
    --------
    >>> _escaped('a"b\\c', '"')
    'a\\"b\\\\c'
    """
    text = text.replace("\\", "\\\\").replace("\r\n", "\\n").replace("\n", "\\n").replace("\r", "\\n")
    return text.replace(quote, f"\\{quote}") if quote else text


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{_escaped(str(value), chr(34))}"' for name, value in labels.items())


def _number(value: float) -> str:
    """Write a number as the format asks.

    Examples
    --------
    >>> _number(3), _number(0.5), _number(float("inf"))
    ('3', '0.5', '+Inf')
    """
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return repr(int(value)) if float(value).is_integer() and abs(value) < 2**53 else repr(float(value))
