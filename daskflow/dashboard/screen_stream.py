"""The page of a stream: a model that answers requests, how fast, how much waits, and whether its world moves."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.journal import Record
from daskflow.core.live import place_in_words
from daskflow.dashboard import quantities
from daskflow.dashboard.slots import Columns, Look, Row, Slot, Value
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_stream import StreamState
from daskflow.dashboard.stream_events import Standing, happened, marks, models
from daskflow.dashboard.stream_panels import PANELS, panels
from daskflow.dashboard.tables import table
from daskflow.figures import live_axes, live_stream, style

WINDOW_SECONDS = 900.0
"""What figures over time show."""

WINDOW_RECORDS = 900
"""Seconds that a page gets when it comes, at least; as many more are added before it gets them anew."""

GAP_SECONDS = 3.0
"""After so long without a word nothing was answered."""

MOST_COLUMNS = 20
"""Columns whose drift is drawn."""

LEAST_ROWS = 9
"""Rows of that figure, which is as high as its neighbour."""

MOST_BATCHES = 16
"""Sizes of batches that are drawn one by one; of more, each bar is of those up to a power of two."""

MOST_ERRORS = 50
"""Reasons that are listed."""

MANY_ERRORS = 0.01
"""Share of the requests from which on errors are called bad."""

OVER_TIME = ("stream_requests", "stream_rows", "latency", "queue", "prequential", "compared", "lag")
"""Figures whose axis of time is the same."""


class StreamScreen:
    """What a model that answers tells of itself."""

    key = "stream"
    title = "Stream"

    def __init__(self) -> None:
        self._generation = 0
        self._forget(StreamState())

    def _forget(self, stream: StreamState) -> None:
        """Begin anew with a stream."""
        self._heard, self._n_heard, self._base = stream, 0, 0
        self._generation += 1
        self._seconds: dict[str, list[Any]] = {column: [] for column in live_stream.COLUMNS}
        self._score: dict[str, list[Any]] = {column: [] for column in ("seconds", "value", "low", "high", "rows")}
        self._standing = Standing()

    def rows(self) -> Sequence[Row]:
        """Return the panels from top to bottom."""
        return panels()

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is known of the stream now."""
        stream = state.stream
        if stream is not self._heard or stream.n_seen < self._n_heard:
            self._forget(stream)
        self._take(stream)
        last = self._seconds["seconds"][-1] if self._seconds["seconds"] else 0.0
        time = {"start": max(0.0, last - WINDOW_SECONDS), "end": max(10.0, last)}
        has_latency = any(value is not None for value in self._seconds["p50"])
        is_empty = not stream.n_seen
        has_lag = any(value is not None for value in self._seconds["lag"])
        unused = () if stream.challengers else ("compared", "stream_models")
        unused = unused if has_lag else (*unused, "lag")
        epoch = f"{self._generation}-{self._base}"
        return [
            Value("stream_tiles", tiles(stream)),
            Columns("stream_data", self._seconds, epoch),
            *(Look(f"{key}_x", time) for key in OVER_TIME),
            *self._heights(time["start"]),
            Value("stream_requests.empty", is_empty),
            Value("stream_rows.empty", is_empty),
            Value("latency.empty", not has_latency),
            Value("queue.empty", is_empty),
            *_batches(stream),
            *_drift(stream),
            Columns("prequential_data", self._score, epoch),
            Look("prequential_axis", {"axis_label": _metric(stream)}),
            Value("prequential.empty", not self._score["seconds"]),
            Value("stream_errors", errors(stream)),
            Columns("stream_marks_data", marks(stream), str(stream.n_events)),
            Value("stream_events", happened(stream)),
            Value("stream_models", models(stream)),
            Value("lag.empty", not has_lag),
            *self._standing.slots(epoch, time["start"]),
            *(Value(f"{key}.hidden", is_empty or key in unused) for key in PANELS),  # one sentence says that they come
        ]

    def _heights(self, start: float) -> list[Slot]:
        """The ends of upright axes, by what is in sight."""
        first = bisect_left(self._seconds["seconds"], start)
        seen = {name: column[first:] for name, column in self._seconds.items()}
        first = bisect_left(self._score["seconds"], start)
        bounds = [*self._score["low"][first:], *self._score["high"][first:]]
        return [
            Look("stream_requests_y", live_axes.from_zero(seen["requests"])),
            Look("stream_rows_y", live_axes.from_zero(seen["rows"])),
            Look("latency_y", live_axes.decades([*seen["p50"], *seen["p95"], *seen["p99"]])),
            Look("queue_y", live_axes.from_zero([*seen["queue"], _in_sight(seen["queue"], seen["limit"])])),
            Look("lag_y", live_axes.from_zero(seen["lag"])),
            Look("prequential_y", live_axes.ends(bounds)),
        ]

    def _take(self, stream: StreamState) -> None:
        """Take in the seconds that are new; what is far behind the window is forgotten together."""
        n_new = min(stream.n_seen - self._n_heard, len(stream.seen))
        if not n_new:
            return
        if n_new > WINDOW_RECORDS or len(self._seconds["seconds"]) + n_new > 2 * WINDOW_RECORDS:
            n_new = min(len(stream.seen), WINDOW_RECORDS)
            self._base = stream.n_seen
            for columns in (self._seconds, self._score, self._standing.columns):
                for name in columns:
                    columns[name] = []
        self._n_heard = stream.n_seen
        for place in range(len(stream.seen) - n_new, len(stream.seen)):
            self._add(*stream.seen[place], stream.began)

    def _add(self, at: float, record: Record, began: float) -> None:
        """Add a second; where nothing was told for a while before it, as between two invocations, lines break off."""
        seconds, lasted = round(at - began, 2), float(record.get("seconds") or 1.0)
        before = self._seconds["seconds"][-1] if self._seconds["seconds"] else seconds
        if seconds - lasted - before > GAP_SECONDS:
            for place in (before + 0.01, round(seconds - lasted - 0.01, 2)):
                silence = {"seconds": place, "requests": 0, "rows": 0}
                for name, column in self._seconds.items():
                    column.append(silence.get(name))
        latency: Mapping[str, Any] = record.get("latency") or {}
        found = {
            "seconds": seconds,
            "requests": quantities.plain(float(record.get("requests") or 0) / lasted),
            "rows": quantities.plain(float(record.get("rows") or 0) / lasted),
            "queue": int(record.get("queue") or 0),
            "limit": record.get("queue_limit"),
            "lag": record.get("lag"),
        }
        for name in live_stream.PERCENTILES:
            given = style.known(latency.get(name))
            found[name] = quantities.plain(1000 * given) if given > 0 else None
        for name, value in found.items():
            self._seconds[name].append(value)
        self._standing.add(seconds, record)
        score = record.get("score") or {}
        if quantities.is_number(score.get("value")):
            value = score["value"]
            self._score["seconds"].append(seconds)
            self._score["value"].append(quantities.plain(value))
            self._score["low"].append(
                quantities.plain(score["low"] if quantities.is_number(score.get("low")) else value)
            )
            self._score["high"].append(
                quantities.plain(score["high"] if quantities.is_number(score.get("high")) else value)
            )
            self._score["rows"].append(int(score.get("rows") or 0))


def _in_sight(queue: Sequence[int | None], limit: Sequence[int | None]) -> float:
    """How far the axis of the queue goes: to its limit from a quarter of it on; a short queue shall be seen, too.

    Examples
    --------
    >>> _in_sight([300, None], [1000]), _in_sight([5], [1000]), _in_sight([0], [1000]), _in_sight([], [])
    (1000, 20, 10, 10)
    """
    longest, most = (max((one for one in column if one is not None), default=0) for column in (queue, limit))
    return most if 4 * longest >= most > 0 else max(10, 4 * longest)


def tiles(stream: StreamState) -> list[dict[str, Any]]:
    """Return the numbers that matter of the last ten seconds, and of all."""
    if not stream.n_seen:
        note = "This page fills while the model is served (daskflow serve) or answers a stream (daskflow stream)."
        return [{"label": "Stream", "value": f"no {stream.unit} yet", "note": note}]
    recent = [record for _, record in list(stream.seen)[-10:]]
    seconds = sum(float(record.get("seconds") or 1.0) for record in recent) or 1.0
    requests, rows = (sum(int(record.get(word) or 0) for record in recent) for word in ("requests", "rows"))
    slowest = max((style.known((record.get("latency") or {}).get("p99") or 0.0) for record in recent), default=0.0)
    last, n_errors = recent[-1], sum(stream.errors.values())
    waiting, limit = int(last.get("queue") or 0), last.get("queue_limit")
    is_full = bool(limit) and waiting >= 0.8 * float(limit or 0)
    moved = [name for name, given in stream.drift.items() if _is_beyond(given)]
    found: list[dict[str, Any]] = [
        about(stream),
        {
            "label": f"{stream.unit.capitalize()} per second",
            "value": quantities.count(requests / seconds),
            "note": f"{quantities.count(rows / seconds)} rows per second; {stream.requests:,} {stream.unit} in all",
        },
        {
            "label": "Slowest of 100",
            "value": f"{1000 * slowest:.3g} ms" if slowest < 0.9995 else f"{slowest:.3g} s",
            "note": "in the last ten seconds",
        },
        {
            "label": "Waiting",
            "value": f"{waiting:,}",
            "note": f"of {int(limit):,} at most" if limit else "",
            "state": "bad" if is_full else "good",
        },
        {
            "label": "Errors",
            "value": f"{n_errors:,}",
            "note": quantities.share(n_errors, stream.requests) + f" of the {stream.unit}" if n_errors else "",
            "state": "good" if not n_errors else "bad" if n_errors >= MANY_ERRORS * stream.requests else "wait",
        },
        {
            "label": "Columns that drift",
            "value": f"{len(moved):,}",
            "note": style.shown(moved[0], 40) if moved else f"of {len(stream.drift):,}",
            "state": "wait" if moved else "good",
        },
    ]
    return found if stream.drift else found[:-1]


def about(stream: StreamState) -> dict[str, Any]:
    """Return what runs, whether it does, and which model answers."""
    verb = {"serve": "Server", "stream": "Stream"}.get(str(stream.about.get("verb")), "Stream")
    told = [place_in_words(stream.about.get(word)) for word in ("source", "sink")]
    places = [style.shown(place, 30) for place in told if place]
    notes = [f"model {style.shown(stream.champion, 40)}" if stream.champion else "", " to ".join(places)]
    notes += [f"{stream.lag:,} wait at the source" if stream.lag is not None else ""]
    value = {"running": "goes on", "done": "has ended", "": "told"}.get(stream.status, stream.status)
    tone = {"running": "good", "failed": "bad", "interrupted": "wait"}.get(stream.status, "")
    label = f"{verb} {style.shown(stream.id, 30)}" if stream.id else verb
    return {"label": label, "value": value, "note": "; ".join(note for note in notes if note), "state": tone}


def errors(stream: StreamState) -> dict[str, Any]:
    """Return why requests or records were not answered, the most frequent reason first."""
    total = sum(stream.errors.values())
    some = stream.errors.most_common(MOST_ERRORS)
    rows = [
        {"reason": reason, "count": count, "share": {"share": count / total, "text": quantities.share(count, total)}}
        for reason, count in some
        if total
    ]
    heads = [
        ("reason", "Why", "text"),
        ("count", stream.unit.capitalize(), "number"),
        ("share", "Of the errors", "bar"),
    ]
    return table(heads, rows, len(stream.errors) - len(rows))


def _batches(stream: StreamState) -> list[Slot]:
    counts = batch_sizes(stream.batches)
    total = sum(counts.values()) or 1
    columns: dict[str, list[Any]] = {
        "size": list(counts),
        "count": list(counts.values()),
        "share": [quantities.plain(count / total) for count in counts.values()],
    }
    return [
        Columns("batches_data", columns, str(stream.n_seen)),
        Look("batches_sizes", {"factors": list(counts) or [" "]}),
        Look("batches_y", live_axes.from_zero(counts.values())),
        Value("batches.empty", not counts),
    ]


def batch_sizes(batches: Mapping[int, int]) -> dict[str, int]:
    """Return how many batches had which size; where there are many sizes, up to each power of two.

    Examples
    --------
    >>> batch_sizes({1: 5, 3: 2}), batch_sizes({size: 1 for size in range(1, 101)})["33-64"]
    ({'1': 5, '3': 2}, 32)
    """
    if len(batches) <= MOST_BATCHES:
        return {f"{size:,}": batches[size] for size in sorted(batches)}
    found: dict[str, int] = {}
    for size in sorted(batches):
        end = 1 << max(0, size - 1).bit_length()
        name = str(end) if end <= 2 else f"{end // 2 + 1}-{end}"
        found[name] = found.get(name, 0) + batches[size]
    return found


def _drift(stream: StreamState) -> list[Slot]:
    given = [(str(name), pair) for name, pair in stream.drift.items() if quantities.is_number(pair[0])]
    given.sort(
        key=lambda item: -item[1][0] / item[1][1] if quantities.is_number(item[1][1]) and item[1][1] else -item[1][0]
    )
    some = given[:MOST_COLUMNS]
    labels = live_axes.labels_of([name for name, _ in some])
    beyond = [_is_beyond(pair) for _, pair in some]
    values = [quantities.plain(pair[0]) for _, pair in some]
    bounds = [quantities.plain(style.known(pair[1])) for _, pair in some]
    columns: dict[str, list[Any]] = {
        "label": labels,
        "name": [style.shown(name, 80) for name, _ in some],
        "value": values,
        "bound": bounds,
        "color": [style.SECOND if is_beyond else style.ACCENT for is_beyond in beyond],
        "pattern": ["right_diagonal_line" if is_beyond else " " for is_beyond in beyond],
        "said": ["beyond its bound" if is_beyond else "within its bound" for is_beyond in beyond],
    }
    most = max((one for one in (*values, *bounds) if one is not None), default=1.0)
    return [
        Columns("stream_drift_data", columns, str(stream.n_seen)),
        Look("stream_drift_rows", live_axes.rows(labels, LEAST_ROWS)),
        Look("stream_drift_values", {"start": 0.0, "end": quantities.plain(1.08 * most or 1.0)}),
        Look("stream_drift", live_axes.height_of(max(LEAST_ROWS, len(labels)))),
        Value("stream_drift.empty", not labels),
    ]


def _is_beyond(pair: Sequence[Any]) -> bool:
    return quantities.is_number(pair[0]) and quantities.is_number(pair[1]) and pair[0] > pair[1]


def _metric(stream: StreamState) -> str:
    """What the prequential score is of."""
    return style.shown(stream.score.get("metric") or "metric", 40)
