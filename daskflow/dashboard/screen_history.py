"""The page of the workflow's runs: the earlier ones and this one on the same axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from daskflow.dashboard import quantities
from daskflow.dashboard.quantities import is_number, plain
from daskflow.dashboard.slots import Columns, Figure, Look, Row, Slot, Value, Widget
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_search import Scored
from daskflow.dashboard.tables import table
from daskflow.figures import live_axes, live_history, style

MOST_DRAWN = 20
"""Earlier runs that are drawn: the newest."""

MOST_LISTED = 200
"""Runs that are listed."""

MOST_STEPS = 400
"""Steps of the own line; a search improves less often."""

Run = Mapping[str, Any]


class HistoryScreen:
    """What earlier runs of the workflow came to, and how this one does beside them."""

    key = "history"
    title = "History"

    def __init__(self) -> None:
        self._scores: list[Scored] = []
        self._n_heard = 0
        self._generation = 0
        self._own: dict[str, list[Any]] = {"seconds": [], "cpu": [], "score": []}
        self._drawn: tuple[Any, ...] = ()
        self._lines: list[Slot] = []
        self._reached = {"seconds": 0.0, "cpu": 0.0}

    def rows(self) -> Sequence[Row]:
        """Return the panels from top to bottom."""
        return panels()

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is known of the runs now."""
        self._take(state)
        runs, metric = earlier(state), metric_of(state)
        drawn = (state.history, metric)
        if drawn != self._drawn:
            self._drawn, self._lines = drawn, _lines(runs, metric)
        alike = [run for run in runs if run.get("metric") == metric]
        is_empty = not self._own["score"] and not any(run.get("curve") for run in alike)
        label = {"axis_label": style.shown(f"best {metric} so far" if metric else "score", 60)}
        return [
            Value("history_tiles", tiles(state, runs, metric)),
            Columns("history_own_data", self._own, str(self._generation)),
            self._to_now(state, now),
            *self._lines,
            Look("history_time_axis", label),
            Look("history_cpu_axis", label),
            Value("history_time.empty", is_empty),
            Value("history_cpu.empty", is_empty),
            *self._ends(),
            *_tests(state, runs, metric),
            Value("history_runs", listed(state, runs, metric, now)),
        ]

    def _to_now(self, state: RunState, now: float) -> Columns:
        """The own line from its last step to this moment, or to the end of the search."""
        columns: dict[str, list[Any]] = {name: [] for name in live_history.NOW_COLUMNS}
        self._reached = {"seconds": 0.0, "cpu": 0.0}
        if self._own["score"]:
            search = state.search
            last = search.fits[-1].ended if search.fits and (search.is_over or state.is_over) else now
            cpu = max(scored.cpu_seconds for scored in search.scores[-1:])
            began = {name: self._own[name][-1] or 0.0 for name in ("seconds", "cpu")}
            ends = {"seconds": state.elapsed(last), "cpu": cpu}
            self._reached = {name: max(began[name], round(ends[name], 1)) for name in began}
            values = (began["seconds"], self._reached["seconds"], began["cpu"], self._reached["cpu"])
            columns = {name: [value] for name, value in zip(columns, (*values, self._own["score"][-1]), strict=True)}
        return Columns("history_own_now_data", columns, str(hash(repr(columns))))

    def _ends(self) -> list[Slot]:
        """The ends of the axes: all runs are in sight."""
        slots: list[Slot] = []
        for slot in self._lines:
            assert isinstance(slot, Columns)
            key = slot.name.removesuffix("_data")
            name = "seconds" if key == "history_time" else "cpu"
            own = self._own[name]
            slots += [
                Look(
                    f"{key}_x",
                    live_axes.from_zero([*own, self._reached[name], *(x for xs in slot.data["xs"] for x in xs)]),
                ),
                Look(f"{key}_y", live_axes.ends([*self._own["score"], *(y for ys in slot.data["ys"] for y in ys)])),
            ]
        return slots

    def _take(self, state: RunState) -> None:
        """Add the steps by which the search became better."""
        scores = state.search.scores
        if scores is not self._scores or len(scores) < self._n_heard:
            self._scores, self._n_heard = scores, 0
            self._forget()
        for scored in scores[self._n_heard :]:
            before = self._own["score"][-1] if self._own["score"] else math.nan
            if state.search.is_better(scored.score, before):
                if len(self._own["score"]) >= MOST_STEPS:
                    self._forget(state.search.scores[0])
                self._own["seconds"].append(plain(state.elapsed(scored.at)))
                self._own["cpu"].append(plain(scored.cpu_seconds))
                self._own["score"].append(plain(scored.score))
        self._n_heard = len(scores)

    def _forget(self, first: Scored | None = None) -> None:
        """Begin the own line anew, or with every second of its steps."""
        kept = self._own if first is not None else {}
        self._own = {name: list(kept.get(name, ()))[::2] for name in ("seconds", "cpu", "score")}
        self._generation += 1


def earlier(state: RunState) -> list[Run]:
    """Return the earlier runs that can be read, newest first."""
    given = state.history.get("runs") or ()
    runs = [run for run in given if isinstance(run, Mapping) and is_number(run.get("started"))]
    return sorted((run for run in runs if run.get("id") != state.id), key=lambda run: -run["started"])


def metric_of(state: RunState) -> str:
    """Return the metric that runs are compared by: this run's, before its search the newest run's."""
    if state.search.metric:
        return state.search.metric
    return next((str(run["metric"]) for run in earlier(state) if run.get("metric")), "")


def _lines(runs: Sequence[Run], metric: str) -> list[Slot]:
    """The earlier runs' curves, against time and against cost."""
    slots: list[Slot] = []
    looks = looks_of(runs, metric)
    drawn = [run for run in runs if str(run.get("id")) in looks]
    drawn.reverse()  # the newest are drawn last, above the others
    for key, place in (("history_time", 0), ("history_cpu", 1)):
        columns: dict[str, list[Any]] = {name: [] for name in live_history.RUN_COLUMNS}
        for run in drawn:
            name = str(run["id"])
            colour, dash, _ = looks[name]
            is_older = (colour, dash) == live_history.OLDER[:2]
            xs, ys = _steps(run["curve"], place)
            columns["xs"].append(xs)
            columns["ys"].append(ys)
            columns["label"].append("older runs" if is_older else style.shown(name, 12))
            columns["run"].append(style.shown(name, 40))
            columns["color"].append(colour)
            columns["dash"].append(dash)
            columns["width"].append(1.5 if is_older else 2)
            columns["alpha"].append(0.6 if is_older else 0.9)
            columns["score"].append(plain(style.known(run["curve"][-1][2])))
            columns["began"].append(_moment(run["started"]))
        slots.append(Columns(f"{key}_data", columns, f"{metric}-{hash(repr(columns))}"))
    return slots


def looks_of(runs: Sequence[Run], metric: str) -> dict[str, tuple[str, str, str]]:
    """Return the line of each earlier run that is drawn, by its ID: those with a curve of the same metric."""
    able = [run for run in runs if run.get("metric") == metric and _is_curve(run.get("curve"))][:MOST_DRAWN]
    looks = (*live_history.LINES, *([live_history.OLDER] * MOST_DRAWN))
    return {str(run.get("id")): look for run, look in zip(able, looks, strict=False)}


def _is_curve(curve: Any) -> bool:
    return bool(curve) and all(len(point) == 3 and all(map(is_number, point)) for point in curve)


def _steps(curve: Sequence[Sequence[float]], place: int) -> tuple[list[Any], list[Any]]:
    """Points of a line that stays level until the next one."""
    xs: list[Any] = []
    ys: list[Any] = []
    for point in curve:
        if ys:
            xs.append(plain(point[place]))
            ys.append(ys[-1])
        xs.append(plain(point[place]))
        ys.append(plain(point[2]))
    return xs, ys


def _tests(state: RunState, runs: Sequence[Run], metric: str) -> list[Slot]:
    """The test metric of every run over time; this run's joins when it is known."""
    found: dict[str, list[Any]] = {
        name: [] for name in ("at", "value", "low", "high", "label", "marker", "size", "color", "fill", "said")
    }

    def add(at: float, given: Sequence[Any], label: str, look: tuple[str, int, str, float], said: str) -> None:
        value, low, high = [*given, None, None, None][:3]
        if not is_number(value) or not math.isfinite(at):
            return
        bounds = [plain(end if is_number(end) else value) for end in (low, high)]
        row = (1000 * at, plain(value), *bounds, label, *look, said)
        for column, each in zip(found.values(), row, strict=True):
            column.append(each)

    for run in reversed(runs[:MOST_LISTED]):
        given = (run.get("test") or {}).get(metric) if run.get("metric") == metric else None
        add(
            run["started"],
            given or (),
            style.shown(run.get("id"), 40),
            ("circle", 9, style.NEUTRAL, 1.0),
            "an earlier run",
        )
    test = state.evaluation
    fill, said = (1.0, "this run") if test.is_final else (0.0, "this run, not final yet")
    add(state.started, test.metrics.get(metric) or (), "this run", ("diamond", 16, style.ACCENT, fill), said)
    first, last = min(found["at"], default=0.0), max(found["at"], default=0.0)
    room = max(6 * 3_600_000.0, 0.06 * (last - first))
    return [
        Columns("history_tests_data", found, str(hash(repr(found)))),
        Look("history_tests_y", live_axes.ends([*found["low"], *found["high"]])),
        Look("history_tests_x", {"start": first - room, "end": last + room}),
        Look("history_tests_axis", {"axis_label": style.shown(f"{metric} on the test rows" if metric else "", 60)}),
        Value("history_tests.empty", not found["at"]),
    ]


def tiles(state: RunState, runs: Sequence[Run], metric: str) -> list[dict[str, Any]]:
    """Return how many runs there are, which was the best, and where this one stands."""
    alike = [run for run in runs if run.get("metric") == metric]
    others = len(runs) - len(alike)
    note = (
        f"{others:,} of another metric, listed only"
        if others
        else "of the same metric"
        if runs
        else "this is the first"
    )
    found: list[dict[str, Any]] = [{"label": "Earlier runs", "value": f"{len(runs):,}", "note": note}]
    scored = [run for run in alike if is_number(run.get("score"))]
    greater = (
        state.search.greater_is_better if state.search.metric else bool(alike and alike[0].get("greater_is_better"))
    )
    best = max(scored, key=lambda run: run["score"] if greater else -run["score"], default=None)
    if best is not None:
        found.append({
            "label": f"Best earlier {metric}",
            "value": quantities.value(best["score"]),
            "note": f"validation, run {style.shown(best.get('id'), 12)}",
        })  # fmt: skip
    own = state.search.best
    if own is not None and is_number(own.score):
        given: dict[str, Any] = {
            "label": f"This run's {metric}",
            "value": quantities.value(own.score),
            "note": "validation",
        }
        if best is not None:
            ahead = own.score - best["score"] if greater else best["score"] - own.score
            word = "better" if ahead > 0 else "worse"
            given["note"] = f"validation, {quantities.value(abs(ahead))} {word}" if ahead else "validation, as good"
            given["state"] = "good" if ahead >= 0 else "wait"
        found.append(given)
    return found


def listed(state: RunState, runs: Sequence[Run], metric: str, now: float) -> dict[str, Any]:
    """Return this run and the earlier ones, newest first."""
    test, search = state.evaluation, state.search
    low, high = search.interval()
    looks = looks_of(runs, metric)
    rows: list[dict[str, Any]] = []
    if state.status != "waiting":
        own: Run = {
            "id": state.id,
            "started": state.started,
            "status": state.status,
            "metric": search.metric,
            "score": search.best.score if search.best is not None else None,
            "low": low,
            "high": high,
            "trials": len(search.trials),
            "test": test.metrics,
            "seconds": state.seconds(now),
            "cpu_seconds": state.cpu_seconds,
        }
        rows.append(
            {**_row(own), "run": f"{own['id']} (this run)", "line": live_history.OWN[2] if search.scores else ""}
        )
    for run in runs[:MOST_LISTED]:
        look = looks.get(str(run.get("id")))
        rows.append({**_row(run), "line": look[2] if look else ""})
    heads = [("run", "Run", "text"), ("status", "State", "state"), ("line", "Drawn as", "text")]
    if len({row["metric"] for row in rows if row["metric"]}) > 1:
        heads.append(("metric", "Metric", "text"))
    heads += [("score", "Validation", "number"), ("interval", "95 % interval", "text")]
    heads += [("test", "Test", "number"), ("test_interval", "95 % interval", "text"), ("trials", "Trials", "number")]
    heads += [("seconds", "Time", "time"), ("cpu_seconds", "CPU time", "time"), ("started", "Began", "time")]
    return table(heads, rows, max(0, len(runs) - MOST_LISTED))


def _row(run: Run) -> dict[str, Any]:
    metric = str(run.get("metric") or "")
    value, low, high = (list((run.get("test") or {}).get(metric) or ()) + [None] * 3)[:3]
    return {
        "run": str(run.get("id")),
        "started": run["started"] if is_number(run.get("started")) else None,
        "status": str(run.get("status") or ""),
        "metric": metric,
        "score": _plain(run.get("score")),
        "interval": quantities.interval(run.get("low"), run.get("high")),
        "test": _plain(value),
        "test_interval": quantities.interval(low, high),
        "trials": _plain(run.get("trials")),
        "seconds": _plain(run.get("seconds")),
        "cpu_seconds": _plain(run.get("cpu_seconds")),
    }


def _plain(given: Any) -> float | None:
    return plain(given) if is_number(given) else None


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (OverflowError, OSError, ValueError):
        return quantities.UNKNOWN


def panels() -> Sequence[Row]:
    """Return the panels from top to bottom, without data."""
    own, own_now = live_history.own(), live_history.own_now()
    comes = "The best score so far appears with the first one, beside those of earlier runs of this workflow."
    return (
        Row([Widget("history_tiles", "", "tiles")]),
        Row(
            [
                Figure(
                    "history_time",
                    "Best so far, against time",
                    "The best validation score so far of this run (thick) and of earlier ones with the same metric, "
                    f"against the time since each began. The newest {MOST_DRAWN} are drawn.",
                    live_history.curves("history_time", "seconds", "time since the run began (h:mm:ss)", own, own_now),
                    comes,
                ),
                Figure(
                    "history_cpu",
                    "Best so far, against cost",
                    "The same against the processor time of the fits, which does not depend on the number of workers.",
                    live_history.curves("history_cpu", "cpu", "processor time of the fits (h:mm:ss)", own, own_now),
                    comes,
                ),
            ]
        ),
        Row(
            [
                Figure(
                    "history_tests",
                    "The test, run by run",
                    "The metric on the test rows of every run with the same metric, with its 95 % interval, against "
                    "when the run began. The diamond is this run: hollow while its test rows are judged.",
                    live_history.tested(),
                    "The test metrics of runs appear here when a run of this workflow has been tested.",
                )
            ]
        ),
        Row(
            [
                Widget(
                    "history_runs",
                    "Runs",
                    "table",
                    "Runs of this workflow appear here.",
                    "Validation is the best candidate's score, test what the test rows said. Runs of another metric "
                    "are listed, but not drawn.",
                )
            ]
        ),
    )
