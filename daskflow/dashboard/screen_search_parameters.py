"""What the parameters did: parallel coordinates, their importance as it settles, and score by parameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from daskflow.dashboard import screen_search_chosen as chosen
from daskflow.dashboard.screen_search_scores import beyond, score_range
from daskflow.dashboard.screen_search_standing import Standing
from daskflow.dashboard.slots import Columns, Figure, Look, Slot, Value
from daskflow.figures import live_search_parameters as pictures
from daskflow.figures import style
from daskflow.figures.parallel import MAX_AXES, SCALE
from daskflow.figures.search import MAX_LINES

MAX_FACETS = 6
"""Parameters that the score is drawn against."""

MAX_BARS = 8
"""Parameters whose importance is drawn, the largest first."""

LEAST_SCORED = 12
"""Trials with a score, before which nothing is said of importance."""

WORDS_BELOW = 0.08
"""Of the height of the scores so much is left below them, for what is written there."""

FACET_WIDTH = 0.84
"""Of the room for one parameter so much is its axis."""


def parallel_panel() -> Figure:
    """Return the panel of parallel coordinates."""
    return Figure(
        "search_parallel",
        "Parallel coordinates",
        "Each line is a candidate: it goes through its parameters to its score at the right, the better the thicker "
        "and the more orange; it has a gap where it has no such parameter. Drag boxes around dots of one axis after "
        "the other to mark the candidates that go through all of them, here and in all figures.",
        pictures.parallel(),
        empty="Lines come with the first scores, when at least one parameter differs between candidates.",
        min_width=640,
    )


def importance_panel() -> Figure:
    """Return the panel of importances."""
    return Figure(
        "search_importance",
        "Which parameters matter",
        "The share of the scores' spread that each parameter explains by itself. The line is the 95 % interval: it "
        "becomes shorter as more candidates are scored.",
        pictures.importance(),
        empty=f"Comes when {LEAST_SCORED} candidates have scores and there was time to weigh them, at the latest with "
        "the explanation at the end.",
        min_width=320,
    )


def facets_panel() -> Figure:
    """Return the panel of score by parameter."""
    return Figure(
        "search_parameters",
        "Score by parameter",
        "The last score against each parameter, the most important first. Where the best, the diamond, stands at an "
        "edge, the searched range is too narrow.",
        pictures.facets(),
        empty="Dots come with the first scores, when at least one parameter differs between candidates.",
        min_width=640,
    )


class Order:
    """The order of the parameters' axes: it changes when importance first becomes known and at the end, not between."""

    def __init__(self) -> None:
        """Begin without axes."""
        self.names: list[str] = []
        self._has_importance = self._is_last = False

    def follow(self, standing: Standing) -> list[str]:
        """Return the parameters that have an axis, first to last."""
        varied = standing.varied()
        told = [str(row["name"]) for row in importances(standing)]
        is_first = bool(told) and not self._has_importance
        is_last = standing.is_settled and bool(told) and not self._is_last
        if is_first or is_last:
            self._has_importance, self._is_last = True, standing.is_settled
            self.names = [name for name in told if name in varied]
        known = set(self.names)
        self.names = (self.names + [name for name in varied if name not in known])[:MAX_AXES]
        return self.names


def has_nothing(standing: Standing, names: Sequence[str]) -> bool:
    """Return whether no parameter differs between candidates, and none will."""
    planned = sum(step.trials for step in standing.search.plan)
    return not names and bool(standing.trials) and (standing.is_settled or planned == 1)


def importances(standing: Standing) -> list[dict[str, Any]]:
    """Return what is told of importance, the largest first."""
    rows = [dict(row) for row in standing.search.importance.get("parameters") or () if row.get("value") is not None]
    return sorted(rows, key=lambda row: -float(row["value"]))


class Parallel:
    """Draws parallel coordinates."""

    def __init__(self, order: Order) -> None:
        """Begin without lines."""
        self._order, self._drawn = order, 0

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        self._drawn += 1
        names = self._order.follow(standing) if standing.trials else []
        scales = [standing.scale(name) for name in names]
        some = chosen.some_scored(standing, MAX_LINES) if names else []
        lines: list[tuple[Any, ...]] = []
        corners: dict[str, list[Any]] = {name: [] for name in pictures.CORNERS}
        last = len(names)
        low, high = standing.span
        width = (high - low) or 1.0
        best = standing.best()
        for number, trial in enumerate(some):
            params = trial.params
            places = [place for place, name in enumerate(names) if name in params]
            heights = [chosen.height(scales[place], names[place], trial) for place in places]
            places.append(last)
            heights.append(round((standing.inside(trial.score) - low) / width, 4))
            good = (number / max(1, len(some) - 1)) ** 2  # worst first: the best seventh in the last two colours
            is_best = trial is best
            color = style.SECOND if is_best else SCALE[min(len(SCALE) - 1, int(good * len(SCALE)))]
            text = chosen.params_text(standing, trial)
            for begin, end in _runs(places):
                row = (
                    trial.id, places[begin:end], heights[begin:end], color,
                    3.5 if is_best else round(0.8 + 1.2 * good**2, 2), 1.0 if is_best else round(0.25 + 0.5 * good, 2),
                    style.score(trial.score), text,
                )  # fmt: skip
                lines.append(row)
            corners["trial"] += [trial.id] * len(places)
            corners["axis"] += places
            corners["y"] += heights
        ticks = [(place, height, text) for place, (scale, _) in enumerate(scales) for height, text in scale.ticks]
        ticks += [(last, share, style.score(low + share * width)) for share in (0.0, 0.5, 1.0)]
        words: dict[str, Sequence[Any]] = {
            "x": [place for place, _, _ in ticks],
            "y": [height for _, height, _ in ticks],
            "text": [style.shown(text, 12) for _, _, text in ticks],
        }
        epoch = f"{standing.generation}.{self._drawn}"
        labels = [style.shown(name, 16) for name in names] + [style.shown(standing.search.metric or "score", 16)]
        return [
            Value("search_parallel.hidden", has_nothing(standing, names)),
            Value("search_parallel.empty", not some),
            Columns("search_parallel_data", chosen.columns(pictures.LINES, lines), epoch),
            Columns("search_parallel_corners_data", corners, epoch),
            Columns("search_parallel_ticks_data", words, f"{standing.generation}.{hash(repr(words))}"),
            Columns("search_parallel_axes_data", {"x": list(range(last + 1))}, f"{standing.generation}.{last}"),
            Look("search_parallel_x", {"start": -0.3, "end": last + 0.4, "reset_start": -0.3, "reset_end": last + 0.4}),
            Look("search_parallel_x_ticks", {"ticks": list(range(last + 1))}),
            Look(
                "search_parallel_x_axis",
                {
                    "major_label_overrides": dict(enumerate(labels)),
                    "major_label_orientation": 0.4 if sum(map(len, labels)) > 80 else "horizontal",
                },
            ),
        ]


def _runs(places: list[int]) -> list[tuple[int, int]]:
    """Ends of the parts of a line that have no gap between them."""
    cuts = [at for at in range(1, len(places)) if places[at] != places[at - 1] + 1]
    return list(zip([0, *cuts], [*cuts, len(places)], strict=True))


class Importance:
    """Draws importances."""

    def __init__(self, order: Order) -> None:
        """Begin without bars."""
        self._order = order

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        rows = importances(standing)[:MAX_BARS]
        low = [_number(row.get("low")) for row in rows]
        high = [_number(row.get("high")) for row in rows]
        known = [place for place in range(len(rows)) if math.isfinite(low[place]) and math.isfinite(high[place])]
        bars: dict[str, Any] = {
            "y": [-place for place in range(len(rows))],
            "name": [style.shown(row["name"], 80) for row in rows],
            "value": [round(float(row["value"]), 5) for row in rows],
            "said": [f"{style.number(a, 3)} to {style.number(b, 3)}" for a, b in zip(low, high, strict=True)],
        }
        spans: dict[str, Sequence[float]] = {
            "y": [-place for place in known],
            "low": [low[p] for p in known],
            "high": [high[p] for p in known],
        }
        end = max([0.05, *bars["value"], *spans["high"]]) * 1.05
        n_trials = int(standing.search.importance.get("trials") or 0)
        words = f"share of the spread ({n_trials:,} candidates)"
        epoch = f"{standing.generation}.{hash(repr((bars, spans)))}"
        labels = {-place: style.shown(row["name"], 20) for place, row in enumerate(rows)}
        start = -max(len(rows), 1) + 0.4
        return [
            Value(
                "search_importance.hidden",
                not rows and (standing.is_settled or has_nothing(standing, self._order.names)),
            ),
            Value("search_importance.empty", not rows),
            Columns("search_importance_data", bars, epoch),
            Columns("search_importance_spans_data", spans, epoch),
            Look("search_importance_x", {"start": 0.0, "end": end, "reset_start": 0.0, "reset_end": end}),
            Look("search_importance_y", {"start": start, "end": 0.6, "reset_start": start, "reset_end": 0.6}),
            Look("search_importance_y_ticks", {"ticks": list(labels)}),
            Look("search_importance_y_axis", {"major_label_overrides": labels}),
            Look("search_importance_x_axis", {"axis_label": words}),
        ]


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


class Facets:
    """Draws score by parameter."""

    def __init__(self, order: Order) -> None:
        """Begin without dots."""
        self._order, self._drawn = order, 0

    def slots(self, standing: Standing) -> list[Slot]:
        """Return what is shown now."""
        self._drawn += 1
        names = (self._order.follow(standing) if standing.trials else [])[:MAX_FACETS]
        some = chosen.some_scored(standing, MAX_LINES) if names else []
        dots: list[tuple[Any, ...]] = []
        best = standing.best()
        marks: list[tuple[float, str, str]] = []
        drawn = [
            (
                trial, chosen.short([standing.inside(trial.score)])[0], style.SECOND if trial is best else style.ACCENT,
                1.0 if trial is best else 0.45,
                "diamond" if trial is best else "circle" if standing.is_inside(trial.score) else
                beyond(standing, trial.score),
                12.0 if trial is best else 5.0, style.score(trial.score),
            )
            for trial in some
        ]  # fmt: skip
        for place, name in enumerate(names):
            scale, title = standing.scale(name), style.shown(name, 40)
            for trial, y, color, alpha, mark, size, score in drawn:
                if name not in trial.params:
                    continue
                x = round(place + FACET_WIDTH * chosen.height(scale, name, trial), 4)
                value = chosen.value_text(trial.params[name])
                dots.append((trial.id, x, y, color, alpha, mark, size, title, value, score))
            marks += _edge_marks(place, scale[0].ends())
        words: dict[str, Sequence[Any]] = {
            "x": [x for x, _, _ in marks],
            "y": [0.01] * len(marks),
            "text": [style.shown(text, 10) for _, text, _ in marks],
            "align": [align for _, _, align in marks],
        }
        at = [round(place + FACET_WIDTH / 2, 4) for place in range(len(names))]
        edges = [place - (1 - FACET_WIDTH) / 2 for place in range(1, len(names))]
        frames = {"x": edges, "bottom": [0.0] * len(edges), "top": [1.0] * len(edges)}
        ends = (-0.08, max(len(names), 1) - 0.08)
        epoch = f"{standing.generation}.{self._drawn}"
        return [
            Value("search_parameters.hidden", has_nothing(standing, names)),
            Value("search_parameters.empty", not some),
            Columns("search_parameters_data", chosen.columns(pictures.FACETS, dots), epoch),
            Columns("search_parameters_ticks_data", words, f"{standing.generation}.{hash(repr(words))}"),
            Columns("search_parameters_edges_data", frames, f"{standing.generation}.{len(names)}"),
            score_range(standing, "search_parameters_y", below=WORDS_BELOW),
            Look("search_parameters_y_axis", {"axis_label": standing.metric_label()}),
            Look(
                "search_parameters_x",
                {"start": ends[0], "end": ends[1], "reset_start": ends[0], "reset_end": ends[1]},
            ),
            Look("search_parameters_x_ticks", {"ticks": at}),
            Look(
                "search_parameters_x_axis",
                {"major_label_overrides": dict(zip(at, (style.shown(name, 22) for name in names), strict=True))},
            ),
        ]


def _edge_marks(place: int, ends: tuple[tuple[float, str], ...]) -> list[tuple[float, str, str]]:
    """What is written below a parameter's dots."""
    aligned = []
    for height, text in ends:
        align = "left" if height < 0.1 else "right" if height > 0.9 else "center"
        aligned.append((place + FACET_WIDTH * height, text, align))
    return aligned
