"""Figures of a search: scores of the trials, their learning curves, and what each parameter did."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bokeh.models import FixedTicker
from bokeh.plotting import figure

from daskflow.core.results import SearchResult, Trial
from daskflow.core.space import FAMILY, told
from daskflow.figures import style

MAX_PARAMETERS = 12
"""Small multiples at most."""


def leaderboard(result: SearchResult, top: int = 16) -> figure:
    """Return the best trials' scores with their intervals: a dot for the score, a line for its 95 % interval.

    Without an interval the line goes from the worst to the best fold. Trials that are told apart from the best are
    hollow.

    Parameters
    ----------
    result : SearchResult
        Failed trials are left out.
    top : int
        Trials shown.
    """
    trials = _scored(result)[:top]
    folds = [_folds(trial) for trial in trials]
    lines = [_line(trial, scores) for trial, scores in zip(trials, folds, strict=True)]
    made = style.plot("leaderboard", height=style.rows_height(len(trials)), x_label=_score_label(result))
    data = style.source(
        "leaderboard",
        y=[-place for place in range(len(trials))],
        trial=[trial.id for trial in trials],
        score=[trial.score for trial in trials],
        low=[low for low, _ in lines],
        high=[high for _, high in lines],
        fill=[0.0 if trial.is_tied is False else 1.0 for trial in trials],
        folds=[", ".join(style.score(score) for score in scores) for scores in folds],
        params=[params_text(trial) for trial in trials],
        color=[style.SECOND if trial.id == result.best.id else style.ACCENT for trial in trials],
    )
    made.segment("low", "y", "high", "y", source=data, line_width=2, line_color=style.NEUTRAL)
    dots = made.scatter(
        "score", "y", source=data, size=10, fill_color="color", line_color="color", fill_alpha="fill", line_width=2
    )
    style.hover(
        made,
        [dots],
        {
            "trial": "@trial",
            result.metric: "@score{0.0000}",
            "line": "@low{0.0000} to @high{0.0000}",
            "folds": "@folds",
            "parameters": "@params",
        },
    )
    style.name_rows(made, [f"trial {trial.id}" for trial in trials])
    return made


def learning_curves(result: SearchResult) -> figure:
    """Return score against resource, one line per trial; the best one is highlighted.

    Trials beyond `style.MAX_POINTS` points in all are left out, the worst first.
    """
    trials, n_points = [], 0
    for trial in _scored(result):
        n_points += len(trial.curve)
        if 2 * n_points > style.MAX_POINTS:  # a point is a dot and a corner of its line
            break
        trials.append(trial)
    resources = sorted({point.resource for trial in trials for point in trial.curve})
    is_log = style.spans_decades(resources, 0.9)
    made = style.plot(
        "learning_curves",
        height=410,
        x_label="resource (training blocks or rounds)",
        y_label=_score_label(result),
        x_axis_type="log" if is_log else "linear",
    )
    if len(resources) <= 8:
        made.xaxis[0].ticker = FixedTicker(ticks=resources)
        made.xaxis[0].major_label_overrides = {resource: f"{resource:,}" for resource in resources}
    rest = [trial for trial in trials if trial.id != result.best.id]
    for name, some, color, width, alpha in (
        ("others", rest, style.ACCENT, 1.5, 0.45),
        ("best", [trial for trial in trials if trial.id == result.best.id], style.SECOND, 3, 1.0),
    ):
        points = [(trial, point) for trial in some for point in trial.curve if not math.isnan(point.score)]
        made.multi_line(
            [[point.resource for point in trial.curve] for trial in some],
            [[point.score for point in trial.curve] for trial in some],
            line_color=color,
            line_width=width,
            line_alpha=alpha,
            legend_label="the best trial" if name == "best" else "other trials",
        )
        data = style.source(
            f"learning_curves_{name}",
            resource=[point.resource for _, point in points],
            score=[point.score for _, point in points],
            trial=[trial.id for trial, _ in points],
            params=[params_text(trial) for trial, _ in points],
        )
        dots = made.scatter(
            "resource", "score", source=data, size=8 if name == "best" else 5, color=color, line_color=None, alpha=alpha
        )
        style.hover(
            made,
            [dots],
            {
                "trial": "@trial",
                "resource": "@resource{0,0}",
                result.metric: "@score{0.0000}",
                "parameters": "@params",
            },
        )
    style.legend(made, "bottom_right" if result.greater_is_better else "top_right")
    return made


def parameters(result: SearchResult) -> dict[str, figure]:
    """Return score against the value of each parameter that varied, by the parameter's name.

    Numbers that span decades stand on a logarithmic axis, other values side by side. At most `MAX_PARAMETERS`, in the
    order of the candidates' parameters (of several families: which one, and those of the best), and the best
    `style.MAX_POINTS` trials in all.
    """
    trials = _scored(result)
    first = [name for name in trials[0].params if name == FAMILY] + list(trials[0].params) if trials else []
    names = list(dict.fromkeys([*first, *(name for trial in trials for name in trial.params)]))
    varied = [name for name in names if len({repr(trial.params.get(name)) for trial in trials}) > 1][:MAX_PARAMETERS]
    trials = trials[: style.MAX_POINTS // max(len(varied), 1)]
    return {name: _parameter(result, trials, name, place) for place, name in enumerate(varied)}


def _parameter(result: SearchResult, trials: Sequence[Trial], name: str, place: int) -> figure:
    """One small multiple."""
    having = [trial for trial in trials if name in trial.params]
    values = [trial.params[name] for trial in having]
    is_number = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
    levels = sorted({_level(value) for value in values})
    at: list[Any] = values if is_number else [levels.index(_level(value)) for value in values]
    made = style.plot(
        f"parameter_{place}",
        height=230,
        x_label=style.shown(name),
        y_label=style.shown(result.metric, 22),
        x_axis_type="log" if is_number and style.spans_decades(at) else "linear",
    )
    if is_number and style.spans_decades(at):
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
    data = style.source(
        f"parameter_{place}",
        x=at,
        score=[trial.score for trial in having],
        value=[style.number(value) for value in values],
        trial=[trial.id for trial in having],
        color=[style.SECOND if trial.id == result.best.id else style.ACCENT for trial in having],
        alpha=[1.0 if trial.id == result.best.id else 0.55 for trial in having],
    )
    dots = made.scatter("x", "score", source=data, size=8, color="color", alpha="alpha", line_color=None)
    style.hover(made, [dots], {"trial": "@trial", "value": "@value", result.metric: "@score{0.0000}"})
    return made


def params_text(trial: Trial) -> str:
    """Return a candidate's parameters as one line."""
    return ", ".join(f"{name} = {style.number(value)}" for name, value in told(trial.params).items()) or "(defaults)"


def _level(value: Any) -> str:
    return str(value)


def _scored(result: SearchResult) -> list[Trial]:
    """Trials with a score, from best to worst."""
    return [trial for trial in result.ranked() if not math.isnan(trial.score)]


def _folds(trial: Trial) -> tuple[float, ...]:
    """Fold scores of the last scored point; the score itself when there are none."""
    scored = [point for point in trial.curve if not math.isnan(point.score)]
    return (scored[-1].fold_scores if scored else ()) or (trial.score,)


def _line(trial: Trial, fold_scores: Sequence[float]) -> tuple[float, float]:
    """Ends of a trial's line: its interval, or the worst and the best fold."""
    return (trial.low, trial.high) if trial.low == trial.low else (min(fold_scores), max(fold_scores))


def _score_label(result: SearchResult) -> str:
    return f"{result.metric} ({'higher' if result.greater_is_better else 'lower'} is better)"
