"""Counts of a served model: what one process has answered, the sum over several, and both as Prometheus reads them."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

LATENCIES = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
"""Upper ends in seconds."""

BATCHES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 1024, 4096)
"""Upper ends in rows."""

MOST_RECENT = 50_000
"""Latencies between two records that are kept, and sizes of batches; under another server nobody asks for any."""

Values = dict[str, Any]
"""Numbers by name, lists of numbers and mappings of them: plain JSON that can be added up."""


class Counts:
    """What a process has answered since it began; used by its event loop only."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.codes: Counter[str] = Counter()
        self.problems: Counter[str] = Counter()
        self.unseen: Counter[str] = Counter()
        self.rows = self.swaps = 0
        self.queue = 0
        self._latencies = [0] * (len(LATENCIES) + 1)
        self._batches = [0] * (len(BATCHES) + 1)
        self._seconds, self._batch_rows = 0.0, 0
        self._answered: list[tuple[int, float]] = []
        self._recent: list[float] = []
        self._recent_batches: Counter[str] = Counter()
        self._told: Values = {"requests": 0, "rows": 0, "problems": {}}
        self._n_requests = 0
        self._since = time.monotonic()

    def request(self, status: int, seconds: float) -> None:
        """Count a request to the model that was answered after so many seconds."""
        self._answered.append((status, seconds))
        if len(self._answered) >= MOST_RECENT:
            self._sort()

    def _sort(self) -> None:
        """Count what was answered since the last time: many at once cost less than each by itself."""
        answered, self._answered = self._answered, []
        if not answered:
            return
        self.codes.update(str(status) for status, _ in answered)
        latencies = [seconds for _, seconds in answered]
        for seconds in latencies:
            self._latencies[bisect_left(LATENCIES, seconds)] += 1
        self._seconds += sum(latencies)
        self._n_requests += len(latencies)
        self._recent += latencies[: MOST_RECENT - len(self._recent)]

    def batch(self, rows: int) -> None:
        """Count rows that the model was asked for at once."""
        self._batches[bisect_left(BATCHES, rows)] += 1
        self._batch_rows += rows
        size = str(rows)
        if size in self._recent_batches or len(self._recent_batches) < MOST_RECENT:  # clients choose it
            self._recent_batches[size] += 1

    def dump(self) -> Values:
        """Return all that was counted, as plain JSON."""
        self._sort()
        return {
            "codes": dict(self.codes),
            "problems": dict(self.problems),
            "unseen": dict(self.unseen),
            "rows": self.rows,
            "swaps": self.swaps,
            "latency": list(self._latencies),
            "latency_seconds": self._seconds,
            "batches": list(self._batches),
            "batch_rows": self._batch_rows,
            "queue": self.queue,
            "processes": 1,
        }

    def recent(self) -> Values:
        """Return the record ``stream`` of what came since the last call, as `seconds.merged` takes it."""
        self._sort()
        told: Values = {"requests": self._n_requests, "rows": self.rows, "problems": dict(self.problems)}
        before, self._told = self._told, told
        latencies, self._recent = self._recent, []
        batches, self._recent_batches = self._recent_batches, Counter()
        errors = {name: count - before["problems"].get(name, 0) for name, count in told["problems"].items()}
        since, self._since = self._since, time.monotonic()
        return {
            "requests": told["requests"] - before["requests"],
            "rows": told["rows"] - before["rows"],
            "seconds": self._since - since,
            "latencies": [round(seconds, 6) for seconds in latencies],
            "batches": dict(batches),
            "errors": {name: count for name, count in errors.items() if count},
        }


def total(parts: Sequence[Values]) -> Values:
    """Add up what several processes counted.

    Examples
    --------
    >>> total([{"rows": 1, "codes": {"200": 1}}, {"rows": 2, "codes": {"200": 1, "400": 3}}])
    {'rows': 3, 'codes': {'200': 2, '400': 3}}
    """
    found: Values = {}
    for part in parts:
        for name, value in part.items():
            if isinstance(value, dict):
                found[name] = total([found.get(name, {}), value])
            elif isinstance(value, list):
                before = found.get(name, [0] * len(value))
                found[name] = [left + right for left, right in zip(before, value, strict=True)]
            else:
                found[name] = found.get(name, 0) + value
    return found


def prometheus(values: Values, identity: str, *, is_ready: bool, started: float) -> str:
    """Return counts in Prometheus' text format 0.0.4; every line ends with a newline.

    Parameters
    ----------
    values : dict
        As `Counts.dump` or `total` gives; with ``drift``, index and bound by column, where it is watched.
    identity : str
        Of the model that answers now.
    is_ready : bool
        Whether requests are taken.
    started : float
        When the server began, in seconds since 1970.
    """
    lines: list[str] = []

    def family(name: str, kind: str, text: str, samples: Mapping[str, float]) -> None:
        lines.extend([f"# HELP daskflow_serve_{name} {text}", f"# TYPE daskflow_serve_{name} {kind}"])
        lines.extend(f"daskflow_serve_{name}{labels} {number:g}" for labels, number in samples.items())

    def labelled(label: str, counts: Mapping[str, float]) -> dict[str, float]:
        return {f'{{{label}="{_escaped(name)}"}}': count for name, count in sorted(counts.items())}

    family("model_info", "gauge", "1 for the model that answers.", {f'{{identity="{_escaped(identity)}"}}': 1})
    family("ready", "gauge", "1 while requests are taken.", {"": int(is_ready)})
    family("processes", "gauge", "Worker processes.", {"": values["processes"]})
    lines += ["# HELP daskflow_serve_start_time_seconds When the server began, in seconds since 1970."]
    lines += ["# TYPE daskflow_serve_start_time_seconds gauge", f"daskflow_serve_start_time_seconds {started:.3f}"]
    family("requests_total", "counter", "Requests to the model by status.", labelled("code", values["codes"]))
    family("rows_total", "counter", "Rows that were answered.", {"": values["rows"]})
    family(
        "problems_total", "counter", "Rows and requests without a prediction.", labelled("reason", values["problems"])
    )
    family(
        "unseen_levels_total",
        "counter",
        "Rows whose level training has not seen.",
        labelled("column", values["unseen"]),
    )
    moved = values.get("drift", {})
    of_column, bounds = ({name: each[place] for name, each in moved.items()} for place in (0, 1))
    family("drift", "gauge", "Population stability index against the training.", labelled("column", of_column))
    family("drift_bound", "gauge", "What is an alarm beyond it.", labelled("column", bounds))
    family("queue", "gauge", "Requests that wait for the model.", {"": values["queue"]})
    family("swaps_total", "counter", "Models that took the place of another, by process.", {"": values["swaps"]})
    lines += _histogram("request_seconds", "Seconds from a request to its answer.", LATENCIES, values["latency"])
    lines += [f"daskflow_serve_request_seconds_sum {values['latency_seconds']:.6f}"]
    lines += _histogram("batch_rows", "Rows that the model was asked for at once.", BATCHES, values["batches"])
    lines += [f"daskflow_serve_batch_rows_sum {values['batch_rows']}"]
    return "".join(f"{line}\n" for line in lines)


def _histogram(name: str, text: str, ends: Sequence[float], counts: Sequence[int]) -> list[str]:
    sums = list(accumulate(counts))
    named = [*(f"{end:g}" for end in ends), "+Inf"]
    return [
        f"# HELP daskflow_serve_{name} {text}",
        f"# TYPE daskflow_serve_{name} histogram",
        *(f'daskflow_serve_{name}_bucket{{le="{end}"}} {count}' for end, count in zip(named, sums, strict=True)),
        f"daskflow_serve_{name}_count {sums[-1]}",
    ]


def _escaped(text: str) -> str:
    """Write what would end a label's value as the format asks."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\r", "\\n").replace("\n", "\\n")
