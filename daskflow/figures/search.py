"""Figures of a search: scores of the trials, their learning curves, and what each parameter did.

The figures of one search share the rows of one source (`Trials`), so that what is marked in one is marked in all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bokeh.models import CDSView, ColumnDataSource, FixedTicker, IndexFilter
from bokeh.plotting import figure

from daskflow.core.results import SearchResult, Trial
from daskflow.core.space import FAMILY, told
from daskflow.figures import style

MAX_PARAMETERS = 12
"""Small multiples at most."""

MAX_TRIALS = 1000
"""Trials whose scores are drawn, from the best on."""

MAX_LINES = 300
"""Trials that are drawn as lines, from the best on: more are one grey surface."""

FADED = 0.12
"""Opacity of what is not marked while something is."""


@dataclass(frozen=True, slots=True)
class Trials:
    """The trials that are drawn, and the one source that all figures of the search draw them from.

    Attributes
    ----------
    result : SearchResult
        The search.
    shown : tuple of Trial
        Scored trials from best to worst; row i of the source is trial i.
    source : bokeh ColumnDataSource
        Named ``trials_data``.
    """

    result: SearchResult
    shown: tuple[Trial, ...]
    source: ColumnDataSource

    def view(self, rows: int | Sequence[int]) -> CDSView:
        """Return a view of the first rows, or of these."""
        places = list(range(min(rows, len(self.shown)))) if isinstance(rows, int) else list(rows)
        return CDSView(filter=IndexFilter(places))


def trials(result: SearchResult) -> Trials:
    """Return the scored trials, at most `MAX_TRIALS`, with the source that the figures of the search share."""
    shown = tuple(scored(result)[:MAX_TRIALS])
    is_best = [trial.id == result.best.id for trial in shown]
    data = style.source(
        "trials",
        trial=[style.shown(trial.id) for trial in shown],
        score=[trial.score for trial in shown],
        params=[params_text(trial) for trial in shown],
        state=[str(trial.state) for trial in shown],
        color=[style.SECOND if best else style.ACCENT for best in is_best],
        alpha=[1.0 if best else 0.55 for best in is_best],
    )
    return Trials(result, shown, data)


def leaderboard(drawn: Trials, top: int = 16) -> figure:
    """Return the best trials' scores with their intervals: a dot for the score, a line for its 95 % interval.

    Without an interval the line goes from the worst to the best fold. Trials that are told apart from the best are
    hollow.

    Parameters
    ----------
    drawn : Trials
        Of one search.
    top : int
        Trials shown.
    """
    result, some = drawn.result, drawn.shown[:top]
    lines = [_line(trial, _folds(trial)) for trial in some]
    rest = [math.nan] * (len(drawn.shown) - len(some))
    columns: dict[str, Sequence[Any]] = {
        "y": [-place for place in range(len(some))],
        "low": [low for low, _ in lines],
        "high": [high for _, high in lines],
        "fill": [0.0 if trial.is_tied is False else 1.0 for trial in some],
        "seconds": [trial.seconds for trial in some],
    }
    for name, values in columns.items():
        drawn.source.data[name] = [*values, *rest]
    drawn.source.data["folds"] = [", ".join(style.score(score) for score in _folds(trial)[:12]) for trial in some] + [
        ""
    ] * len(rest)
    made = style.plot("leaderboard", height=style.rows_height(len(some)), x_label=score_label(result))
    view = drawn.view(top)
    made.segment("low", "y", "high", "y", source=drawn.source, view=view, line_width=2, line_color=style.NEUTRAL)
    dots = made.scatter(
        "score", "y", source=drawn.source, view=view, size=10, line_width=2, fill_alpha="fill",
        fill_color="color", line_color="color", nonselection_fill_alpha=FADED, nonselection_line_alpha=2 * FADED,
    )  # fmt: skip
    style.hover(
        made,
        [dots],
        {
            "trial": "@trial",
            style.shown(result.metric): "@score{0.0000}",
            "line": "@low{0.0000} to @high{0.0000}",
            "folds": "@folds",
            "seconds": "@seconds{0,0.0}",
            "parameters": "@params",
        },
    )
    style.markable(made, [dots])
    style.movable(made, "width")
    style.name_rows(made, [f"trial {trial.id}" for trial in some])
    return made


def learning_curves(drawn: Trials) -> figure:
    """Return score against resource, one line per trial; the best one is highlighted.

    Trials beyond `style.MAX_POINTS` points in all are left out, the worst first.
    """
    result = drawn.result
    curves = [[point for point in trial.curve if not math.isnan(point.score)] for trial in drawn.shown]
    sums = [0]
    for curve in curves:
        sums.append(sums[-1] + len(curve))
    n_lines = sum(total <= style.MAX_POINTS for total in sums[1:])
    best = next((place for place, trial in enumerate(drawn.shown) if trial.id == result.best.id), None)
    # The best is drawn last, over the others.
    order = [place for place in reversed(range(n_lines)) if place != best] + ([best] if best is not None else [])
    resources = sorted({point.resource for place in order for point in curves[place]})
    is_log = style.spans_decades(resources, 0.9)
    made = style.plot(
        "learning_curves",
        height=380,
        x_label="resource (training blocks or rounds)",
        y_label=score_label(result),
        x_axis_type="log" if is_log else "linear",
    )
    if len(resources) <= 8:
        made.xaxis[0].ticker = FixedTicker(ticks=resources)
        made.xaxis[0].major_label_overrides = {resource: f"{resource:,}" for resource in resources}
    is_line = set(order)
    drawn.source.data["resources"] = [
        [point.resource for point in curve] if place in is_line else [] for place, curve in enumerate(curves)
    ]
    drawn.source.data["scores"] = [
        [point.score for point in curve] if place in is_line else [] for place, curve in enumerate(curves)
    ]
    drawn.source.data["width"] = [3.0 if place == best else 1.5 for place in range(len(drawn.shown))]
    lines = made.multi_line(
        "resources", "scores", source=drawn.source, view=drawn.view(sorted(is_line)), line_color="color",
        line_width="width", line_alpha="alpha", nonselection_line_alpha=FADED,
    )  # fmt: skip
    if best is not None:
        made.line(
            [point.resource for point in curves[best]], [point.score for point in curves[best]],
            line_color=style.SECOND, line_width=3,
        )  # fmt: skip
    style.hover(
        made,
        [lines],
        {
            "trial": "@trial",
            "resource": "$snap_x{0,0}",
            style.shown(result.metric): "$snap_y{0.0000}",
            "parameters": "@params",
        },
        line_policy="nearest",
    )
    style.markable(made, [lines])
    style.movable(made)
    return made


def parameters(drawn: Trials) -> dict[str, figure]:
    """Return score against the value of each parameter that varied, by the parameter's name.

    Numbers that span decades stand on a logarithmic axis, other values side by side. At most `MAX_PARAMETERS`, in the
    order of the candidates' parameters (of several families: which one, and those of the best).
    """
    return {name: _parameter(drawn, name, place) for place, name in enumerate(varied(drawn.shown)[:MAX_PARAMETERS])}


def varied(some: Sequence[Trial]) -> list[str]:
    """Return the parameters that differ between trials, which family first, then in the order of the best's."""
    first = [name for name in some[0].params if name == FAMILY] + list(some[0].params) if some else []
    names = list(dict.fromkeys([*first, *(name for trial in some for name in trial.params)]))
    return [name for name in names if len({repr(trial.params.get(name)) for trial in some}) > 1]


def _parameter(drawn: Trials, name: str, place: int) -> figure:
    """One small multiple."""
    having = [row for row, trial in enumerate(drawn.shown) if name in trial.params]
    values = [drawn.shown[row].params[name] for row in having]
    is_number = are_numbers(values)
    levels = sorted({_level(value) for value in values})
    at: list[Any] = values if is_number else [levels.index(_level(value)) for value in values]
    is_log = is_number and style.spans_decades(at)
    made = style.plot(
        f"parameter_{place}",
        height=220,
        x_label=style.shown(name),
        y_label=style.shown(drawn.result.metric, 22),
        x_axis_type="log" if is_log else "linear",
    )
    if is_log:
        style.log_ticks(made.xaxis[0], at)
    elif is_number:
        made.xaxis[0].ticker.desired_num_ticks = 4
    else:
        made.xaxis[0].ticker = FixedTicker(ticks=list(range(len(levels))))
        made.xaxis[0].major_label_overrides = {i: style.shown(level, 14) for i, level in enumerate(levels)}
        made.x_range.start, made.x_range.end = -0.5, len(levels) - 0.5
        if sum(min(len(level), 14) for level in levels) > 32:
            made.xaxis[0].major_label_orientation = 0.8
        made.xgrid.grid_line_color = None
    column: list[Any] = [math.nan] * len(drawn.shown)
    texts = [""] * len(drawn.shown)
    for row, where, value in zip(having, at, values, strict=True):
        column[row], texts[row] = where, style.number(value)
    drawn.source.data[f"at_{place}"] = column
    drawn.source.data[f"value_{place}"] = texts
    dots = made.scatter(
        f"at_{place}", "score", source=drawn.source, view=drawn.view(having), size=7, color="color", alpha="alpha",
        line_color=None, nonselection_alpha=FADED,
    )  # fmt: skip
    style.hover(
        made,
        [dots],
        {"trial": "@trial", "value": f"@value_{place}", style.shown(drawn.result.metric): "@score{0.0000}"},
    )
    style.markable(made, [dots])
    style.movable(made)
    return made


def params_text(trial: Trial, length: int = 300) -> str:
    """Return a candidate's parameters as one line."""
    text = ", ".join(f"{name} = {style.number(value)}" for name, value in told(trial.params).items()) or "(defaults)"
    return text if len(text) <= length else f"{text[: length - 1]}…"


def are_numbers(values: Sequence[Any]) -> bool:
    """Return whether all values are numbers, and stand on an axis of their own kind."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def scored(result: SearchResult) -> list[Trial]:
    """Return the trials with a score, from best to worst."""
    return [trial for trial in result.ranked() if not math.isnan(trial.score)]


def score_label(result: SearchResult) -> str:
    """Return the search's metric with its direction."""
    return f"{result.metric} ({'higher' if result.greater_is_better else 'lower'} is better)"


def _level(value: Any) -> str:
    return str(value)


def _folds(trial: Trial) -> tuple[float, ...]:
    """Fold scores of the last scored point; the score itself when there are none."""
    points = [point for point in trial.curve if not math.isnan(point.score)]
    return (points[-1].fold_scores if points else ()) or (trial.score,)


def _line(trial: Trial, fold_scores: Sequence[float]) -> tuple[float, float]:
    """Ends of a trial's line: its interval, or the worst and the best fold."""
    return (trial.low, trial.high) if trial.low == trial.low else (min(fold_scores), max(fold_scores))
