"""Parallel coordinates of a search: one upright axis per parameter and one for the score, one line per trial."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bokeh.models import FixedTicker, LinearColorMapper
from bokeh.plotting import figure
from bokeh.transform import transform

from daskflow.figures import search, style
from daskflow.figures.search import Trials

MAX_AXES = 8
"""Parameters that have an axis, besides the score's."""

SCALE = ("#9ec5fe", "#6ea8fe", "#3b82f6", "#2563eb", "#7c3aed", "#b45309", "#d97706")
"""From the worst to the best."""


def parallel(drawn: Trials) -> figure | None:
    """Return one line per trial across its parameters to its score; None where fewer than two parameters varied.

    Each axis goes from its smallest to its largest value, on a logarithm where the values span decades; levels stand in
    alphabetical order. Dots on the axes are for marking trials by a range of values. Trials are drawn from the best on,
    as many as `style.MAX_POINTS` corners allow.

    Parameters
    ----------
    drawn : Trials
        Of one search; what is marked here is marked in its other figures.
    """
    names = search.varied(drawn.shown)[:MAX_AXES]
    if len(names) < 2 or len(drawn.shown) < 3:
        return None
    n_lines = min(len(drawn.shown), search.MAX_LINES, style.MAX_POINTS // (len(names) + 1))
    some = drawn.shown[:n_lines]
    heights, ticks = [], []
    for name in names:
        column, marks = _axis([trial.params.get(name) for trial in some])
        heights.append(column)
        ticks.append(marks)
    scores = [trial.score for trial in some]
    column, marks = _numbers(scores)
    heights.append(column)
    ticks.append(marks)
    corners = [[column[row] for column in heights] for row in range(n_lines)]
    rest = len(drawn.shown) - n_lines
    places = list(range(len(names) + 1))
    drawn.source.data["parallel_x"] = [places] * n_lines + [[]] * rest
    drawn.source.data["parallel_y"] = corners + [[] for _ in range(rest)]
    made = style.plot("parallel", height=360)
    made.x_range.start, made.x_range.end = -0.35, len(names) + 0.45
    made.y_range.start, made.y_range.end = -0.08, 1.1
    made.grid.grid_line_color = None
    made.yaxis[0].visible = False
    made.xaxis[0].ticker = FixedTicker(ticks=places)
    labels = [*names, drawn.result.metric]
    made.xaxis[0].major_label_overrides = {place: style.shown(name, 16) for place, name in enumerate(labels)}
    if sum(min(len(label), 16) for label in labels) > 60:
        made.xaxis[0].major_label_orientation = 0.6
    low, high = (min(scores), max(scores)) if drawn.result.greater_is_better else (max(scores), min(scores))
    palette = SCALE if drawn.result.greater_is_better else SCALE[::-1]
    mapper = LinearColorMapper(palette=list(palette), low=min(low, high), high=max(low, high) or 1.0)
    lines = made.multi_line(
        "parallel_x", "parallel_y", source=drawn.source, view=drawn.view(n_lines),
        line_color=transform("score", mapper), line_width=1.5, line_alpha=0.7, nonselection_line_alpha=0.06,
    )  # fmt: skip
    for place in places:
        style.line_at(made, place, line_dash="solid", line_width=1)
    style.hover(made, [lines], {"trial": "@trial", style.shown(drawn.result.metric): "@score{0.0000}", "": "@params"})
    style.markable(made, [lines])
    lines.tags = []
    # Dots of their own source: a box around some of them marks their trials (the page carries it over by the row).
    corner = style.source(
        "parallel_corners",
        x=[place for _ in range(n_lines) for place in places],
        y=[height for line in corners for height in line],
        row=[row for row in range(n_lines) for _ in places],
    )
    dots = made.scatter(
        "x", "y", source=corner, size=4, color=style.NEUTRAL, alpha=0.6, line_color=None, nonselection_alpha=0.2
    )
    style.boxed([dots])
    words = style.source(
        "parallel_ticks",
        x=[place for place, marks in enumerate(ticks) for _ in marks],
        y=[height for marks in ticks for height, _ in marks],
        text=[style.shown(text, 12) for marks in ticks for _, text in marks],
    )
    texts = made.text(
        "x", "y", "text", source=words, x_offset=5, padding=1, text_baseline="middle", text_color=style.INK,
        text_font_size="11px", text_font={"value": "system-ui, sans-serif"},
        background_fill_color=style.PLATE, background_fill_alpha=0.8,
    )  # fmt: skip
    texts.glyph.tags = [style.INK_TAG, style.PLATE_TAG]
    return made


def _axis(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights between 0 and 1 of a parameter's values, and what is written at which height."""
    given = [value for value in values if value is not None]
    if search.are_numbers(given) and len({float(value) for value in given}) > 4:
        return _numbers(values)
    order = sorted(set(given), key=float) if search.are_numbers(given) else sorted({str(value) for value in given})
    step = 1.0 / max(len(order) - 1, 1)
    at = {style.number(level): place * step for place, level in enumerate(order)}
    heights = [math.nan if value is None else at[style.number(value)] for value in values]
    shown = list(at.items()) if len(at) <= 12 else list(at.items())[:: len(at) // 12 + 1]
    return heights, [(place, level) for level, place in shown]


def _numbers(values: Sequence[Any]) -> tuple[list[float], list[tuple[float, str]]]:
    """Heights of numbers, on a logarithm where they span decades; their ends and the middle are written."""
    given = [float(value) for value in values if value is not None]
    is_log = style.spans_decades(given)
    scaled = [math.log(value) if is_log else value for value in given]
    low, high = min(scaled), max(scaled)
    width = (high - low) or 1.0

    def back(height: float) -> str:
        value = low + height * width
        return style.number(math.exp(value) if is_log else value, 3)

    heights = [
        math.nan if value is None else ((math.log(value) if is_log else float(value)) - low) / width for value in values
    ]
    return heights, [(height, back(height)) for height in (0.0, 0.5, 1.0)]
