"""Figures of why: importances with intervals, partial dependence with individual rows, and SHAP values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models import DatetimeTickFormatter, FixedTicker, LinearColorMapper
from bokeh.plotting import figure
from bokeh.transform import transform

from daskflow.figures import style

MAX_COLUMNS = 20
"""Columns of an importance that are drawn."""

MAX_LINES = 30
"""Individual rows drawn beside a partial dependence."""

BLUE_TO_ORANGE = ("#2563eb", "#4f7fe0", "#8b95a5", "#c58a3d", "#d97706")
"""From low to high values."""


def importance(name: str, rows: Sequence[Mapping[str, Any]], label: str, key: str = "column") -> figure:
    """Return importances with their 95 % intervals, in the order given; the dashed line is no importance.

    Parameters
    ----------
    name : str
        The figure's name.
    rows : sequence of mapping
        The name under `key`, ``value``, ``low``, ``high``.
    label : str
        What the axis says.
    key : str
        Where a row's name stands.
    """
    some = list(rows)[:MAX_COLUMNS]
    made = style.plot(name, height=style.rows_height(len(some)), x_label=label)
    value = [style.known(row["value"]) for row in some]
    low = [style.known(row.get("low")) for row in some]
    high = [style.known(row.get("high")) for row in some]
    data = style.source(
        name,
        y=[-place for place in range(len(some))],
        name=[style.shown(row[key], 80) for row in some],
        value=value,
        low=low,
        high=high,
    )
    bars = made.hbar(
        y="y", left=0, right="value", height=0.62, source=data, color=style.ACCENT, fill_alpha=0.45, line_color=None
    )
    made.segment("low", "y", "high", "y", source=data, line_width=2.5, line_color=style.ACCENT)
    style.line_at(made, 0.0)
    style.hover(
        made, [bars], {"": "@name", "importance": "@value{0.00000}", "95 % interval": "@low{0.00000} to @high{0.00000}"}
    )
    style.movable(made, "width")
    style.name_rows(made, [row[key] for row in some])
    made.xaxis[0].ticker.desired_num_ticks = 4
    style.plain_numbers(made.xaxis[0], [one for one in high if math.isfinite(one)])
    return made


def dependence(place: int, found: Mapping[str, Any], span: tuple[float, float] | None = None) -> figure:
    """Return the mean prediction against a column's values, with some rows of their own and where the rows are.

    Parameters
    ----------
    place : int
        Number of the figure, for its name.
    found : mapping
        ``column``, ``kind``, ``values``, ``output``, ``mean``, ``low``, ``high``, ``individual``, ``share``.
    span : tuple of float or None
        Range of the prediction's axis, so that columns can be compared.
    """
    name = f"dependence_{place}"
    values, mean = list(found["values"]), [style.known(one) for one in found["mean"]]
    is_axis = found["kind"] in ("number", "time")
    at: list[float] = [float(place) for place in range(len(values))]
    if found["kind"] == "number":
        at = [style.known(value) for value in values]
    elif found["kind"] == "time":
        at = [style.instant(value) for value in values]
    made = style.plot(
        name,
        height=250,
        x_label=style.shown(found["column"]),
        y_label=style.shown(found["output"], 24),
        x_axis_type="datetime" if found["kind"] == "time" else "linear",
    )
    low, high = ([style.known(one) for one in found.get(word) or found["mean"]] for word in ("low", "high"))
    bottom, top = span or _span([mean, low, high, *found.get("individual", [])[:MAX_LINES]])
    density = [style.known(one) for one in found.get("share") or []]
    data = style.source(name, at=at, value=[style.number(value) for value in values], mean=mean, low=low, high=high)
    if density:
        most = max(density) or 1.0
        data.data["share"] = density
        data.data["density"] = [bottom + 0.22 * (top - bottom) * one / most for one in density]
        width = [min(_gap(at, row), _gap(at, row + 1)) * 0.8 for row in range(len(at))] if is_axis else 0.5
        data.data["width"] = width if isinstance(width, list) else [width] * len(at)
        made.vbar(
            "at", width="width", bottom=bottom, top="density", source=data, fill_color=style.NEUTRAL, fill_alpha=0.35,
            line_color=None,
        )  # fmt: skip
    lines = [list(line) for line in found.get("individual", [])[:MAX_LINES]]
    if lines:
        made.multi_line(
            [at] * len(lines),
            [[style.known(one) for one in line] for line in lines],
            line_color=style.NEUTRAL,
            line_alpha=0.35,
        )
    if is_axis:
        made.varea("at", "low", "high", source=data, fill_color=style.ACCENT, fill_alpha=0.25)
        made.line("at", "mean", source=data, line_color=style.ACCENT, line_width=3)
        made.xaxis[0].ticker.desired_num_ticks = 3
    else:
        made.segment("at", "low", "at", "high", source=data, line_color=style.ACCENT, line_width=3)
        _name_levels(made, [style.shown(value, 14) for value in values])
    dots = made.scatter("at", "mean", source=data, size=4 if is_axis else 9, color=style.ACCENT, line_color=None)
    shown = {
        style.shown(found["column"]): "@value",
        "mean prediction": "@mean{0.0000}",
        "95 % interval": "@low{0.0000} to @high{0.0000}",
    }
    style.hover(made, [dots], shown | ({"rows near it": "@share{0.0 %}"} if density else {}))
    style.movable(made)
    made.y_range.start, made.y_range.end = bottom, top
    if found["kind"] == "time":
        made.xaxis[0].formatter = DatetimeTickFormatter(days="%Y-%m-%d", months="%Y-%m", hours="%m-%d %H:%M")
    else:
        style.plain_numbers(made.xaxis[0], at if is_axis else [])
    style.plain_numbers(made.yaxis[0], [bottom, top])
    return made


def _name_levels(made: figure, labels: Sequence[str]) -> None:
    """Write levels below the axis, turned where they are long together."""
    made.xaxis[0].ticker = FixedTicker(ticks=list(range(len(labels))))
    made.xaxis[0].major_label_overrides = dict(enumerate(labels))
    if sum(map(len, labels)) > 32:
        made.xaxis[0].major_label_orientation = 0.8
    made.x_range.start, made.x_range.end = -0.5, len(labels) - 0.5
    made.xgrid.grid_line_color = None


def _gap(at: Sequence[float], right: int) -> float:
    """Distance between a value and the one before it; beyond the ends that of the outermost."""
    if len(at) < 2:
        return 1.0
    right = min(max(right, 1), len(at) - 1)
    return at[right] - at[right - 1] or 1e-9


def _span(lines: Sequence[Sequence[Any]]) -> tuple[float, float]:
    """Lowest and highest number of all lines, with a little room."""
    return style.cover([style.known(one) for line in lines for one in line])


def span_of(found: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Return one range for the predictions of several dependences."""
    return _span([line for one in found for line in (one["mean"], *one.get("individual", [])[:MAX_LINES])])


def shap(found: Mapping[str, Any]) -> figure:
    """Return SHAP values of a sample of rows, one line of dots per column; the colour is the column's value.

    Parameters
    ----------
    found : mapping
        ``output``, ``rows``, ``columns`` (column, value: mean of the absolute values) and ``points`` (column, shap,
        value between 0 and 1, or None where it has no order).
    """
    order = [row["column"] for row in found["columns"]][:MAX_COLUMNS]
    points = {one["column"]: one for one in found["points"]}
    order = [column for column in order if column in points]
    most = max(1, style.MAX_POINTS // max(len(order), 1))
    xs: list[float] = []
    ys: list[float] = []
    names: list[str] = []
    levels: list[float] = []
    for row, column in enumerate(order):
        values = [style.known(one) for one in points[column]["shap"]]
        given = list(points[column].get("value") or [None] * len(values))
        kept = style.every(len(values), most)
        xs += [values[place] for place in kept]
        ys += [-row + 0.32 * offset for offset in _swarm([values[place] for place in kept])]
        names += [style.shown(column, 80)] * len(kept)
        levels += [style.known(given[place]) for place in kept]
    made = style.plot(
        "shap", height=style.rows_height(len(order)) + 4 * len(order), x_label=f"SHAP value ({found['output']})"
    )
    data = style.source("shap", x=xs, y=ys, name=names, level=levels)
    mapper = LinearColorMapper(palette=list(BLUE_TO_ORANGE), low=0.0, high=1.0, nan_color=style.NEUTRAL)
    style.line_at(made, 0.0)
    dots = made.scatter("x", "y", source=data, size=5, color=transform("level", mapper), alpha=0.7, line_color=None)
    style.hover(made, [dots], {"": "@name", "SHAP value": "@x{0.0000}", "value, from lowest to highest": "@level{0 %}"})
    style.movable(made, "width")
    style.name_rows(made, order)
    made.xaxis[0].ticker.desired_num_ticks = 5
    return made


def _swarm(values: Sequence[float], n_bins: int = 40) -> list[float]:
    """Offsets between -1 and 1 that keep dots of about equal value from lying on each other.

    Examples
    --------
    >>> _swarm([0.0, 0.0, 0.0, 1.0])
    [0.0, 0.5, -0.5, 0.0]
    """
    finite = [value for value in values if math.isfinite(value)] or [0.0]
    low, width = min(finite), (max(finite) - min(finite)) or 1.0
    bins = [min(n_bins - 1, int(n_bins * (value - low) / width)) if math.isfinite(value) else 0 for value in values]
    counts = [bins.count(place) for place in range(n_bins)]
    scale = min(0.5, 2.0 / (max(counts) or 1))
    seen = [0] * n_bins
    offsets = []
    for place in bins:
        number = seen[place]
        seen[place] += 1
        offsets.append((number + 1) // 2 * (1 if number % 2 else -1) * scale)
    return [max(-1.0, min(1.0, offset)) + 0.0 for offset in offsets]
