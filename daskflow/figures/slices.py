"""Figures of a score by slice of the rows, over time, and over the rows learned from."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.models import DatetimeTickFormatter
from bokeh.plotting import figure

from daskflow.figures import style

MAX_GROUPS = 20
"""Groups of a column that are drawn."""


def by_group(place: int, column: Mapping[str, Any], metric: str, overall: float) -> figure:
    """Return a metric with its interval in each group of a column; the dashed line is that of all test rows.

    Parameters
    ----------
    place : int
        Number of the figure, for its name.
    column : mapping
        ``column`` and ``groups`` (group, rows, value, low, high, and where known target and predicted).
    metric : str
        The metric's name.
    overall : float
        Its value on all test rows.
    """
    groups = [group for group in column["groups"] if math.isfinite(style.known(group["value"]))][:MAX_GROUPS]
    name = f"slices_{place}"
    made = style.plot(name, height=style.rows_height(len(groups)) + 4, x_label=metric)
    value = [style.known(group["value"]) for group in groups]
    low = _or(value, [style.known(group.get("low")) for group in groups])
    high = _or(value, [style.known(group.get("high")) for group in groups])
    apart = [not lo <= overall <= hi for lo, hi in zip(low, high, strict=True)]
    data = style.source(
        name,
        y=[-row for row in range(len(groups))],
        group=[style.shown(group["group"], 80) for group in groups],
        rows=[group["rows"] for group in groups],
        value=value,
        low=low,
        high=high,
        target=[_text(group.get("target")) for group in groups],
        predicted=[_text(group.get("predicted")) for group in groups],
        fill=[1.0 if is_apart else 0.0 for is_apart in apart],
    )
    style.line_at(made, overall)
    made.segment("low", "y", "high", "y", source=data, line_width=3, line_color=style.NEUTRAL)
    dots = made.scatter(
        "value", "y", source=data, size=9, fill_color=style.ACCENT, fill_alpha="fill", line_color=style.ACCENT,
        line_width=2,
    )  # fmt: skip
    style.hover(
        made,
        [dots],
        {
            "": "@group",
            "rows": "@rows{0,0}",
            style.shown(metric): "@value{0.0000}",
            "95 % interval": "@low{0.0000} to @high{0.0000}",
            "mean of the truth": "@target",
            "mean prediction": "@predicted",
        },
    )
    style.movable(made, "width")
    style.name_rows(made, [group["group"] for group in groups])
    made.xaxis[0].ticker.desired_num_ticks = 4
    made.x_range.start, made.x_range.end = style.cover([*low, *high], overall)
    style.plain_numbers(made.xaxis[0], high)
    return made


def worst(slices: Sequence[Mapping[str, Any]], metric: str) -> figure:
    """Return how far the worst slices are from all other test rows, with intervals; the line at zero is no difference.

    Parameters
    ----------
    slices : sequence of mapping
        ``where`` (pairs of column and group), ``rows``, ``value``, ``difference`` and its
        ``difference_low``, ``difference_high``.
    metric : str
        The metric's name.
    """
    made = style.plot(
        "worst_slices", height=style.rows_height(len(slices)), x_label=f"{metric}: difference to the others"
    )
    names = [where_text(one) for one in slices]
    value = [style.known(one["difference"]) for one in slices]
    low = _or(value, [style.known(one.get("difference_low")) for one in slices])
    high = _or(value, [style.known(one.get("difference_high")) for one in slices])
    data = style.source(
        "worst_slices",
        y=[-row for row in range(len(slices))],
        name=[style.shown(name, 120) for name in names],
        rows=[one["rows"] for one in slices],
        score=[style.known(one["value"]) for one in slices],
        value=value,
        low=low,
        high=high,
    )
    style.line_at(made, 0.0)
    made.segment("low", "y", "high", "y", source=data, line_width=3, line_color=style.NEUTRAL)
    dots = made.scatter("value", "y", source=data, size=9, color=style.SECOND, line_color=None)
    style.hover(
        made,
        [dots],
        {
            "": "@name",
            "rows": "@rows{0,0}",
            style.shown(metric): "@score{0.0000}",
            "difference": "@value{0.0000}",
            "95 % interval": "@low{0.0000} to @high{0.0000}",
        },
    )
    style.movable(made, "width")
    style.name_rows(made, [style.shown(name, 34) for name in names])
    made.yaxis[0].major_label_overrides = {-row: style.shown(name, 34) for row, name in enumerate(names)}
    made.x_range.start, made.x_range.end = style.cover([*low, *high], 0.0)
    made.xaxis[0].ticker.desired_num_ticks = 4
    return made


def where_text(slice_: Mapping[str, Any]) -> str:
    """Return what the rows of a slice have in common, in one line.

    Examples
    --------
    >>> where_text({"where": [{"column": "carrier", "group": "WN"}, {"column": "hour", "group": "20 to 24"}]})
    'carrier: WN and hour: 20 to 24'
    """
    return " and ".join(f"{part['column']}: {part['group']}" for part in slice_["where"])


def over_time(found: Mapping[str, Any], overall: float) -> figure:
    """Return a metric in each span of time, with its interval; the dashed line is that of all test rows.

    Parameters
    ----------
    found : mapping
        ``column``, ``metric``, ``start`` and ``end`` (ISO times), ``rows``, ``value``, ``low``, ``high``.
    overall : float
        The metric on all test rows; nan draws no line.
    """
    start, end = ([style.instant(text) for text in found[word]] for word in ("start", "end"))
    value = [style.known(one) for one in found["value"]]
    low = _or(value, [style.known(one) for one in found["low"]])
    high = _or(value, [style.known(one) for one in found["high"]])
    made = style.plot(
        "over_time", height=320, x_label=style.shown(found["column"]), y_label=found["metric"], x_axis_type="datetime"
    )
    data = style.source(
        "over_time",
        middle=[(left + right) / 2 for left, right in zip(start, end, strict=True)],
        start=start,
        end=end,
        left=[str(text)[:16].replace("T", " ") for text in found["start"]],
        right=[str(text)[:16].replace("T", " ") for text in found["end"]],
        rows=list(found["rows"]),
        value=value,
        low=low,
        high=high,
    )
    if math.isfinite(overall):
        style.line_at(made, overall, "width")
    made.varea("middle", "low", "high", source=data, fill_color=style.ACCENT, fill_alpha=0.2)
    made.segment("start", "value", "end", "value", source=data, line_color=style.ACCENT, line_width=2, line_alpha=0.6)
    made.line("middle", "value", source=data, line_color=style.ACCENT, line_width=1.5)
    dots = made.scatter("middle", "value", source=data, size=7, color=style.ACCENT, line_color=None)
    style.hover(
        made,
        [dots],
        {
            "from": "@left",
            "to": "@right",
            "rows": "@rows{0,0}",
            style.shown(found["metric"]): "@value{0.0000}",
            "95 % interval": "@low{0.0000} to @high{0.0000}",
        },
    )
    style.movable(made)
    made.xaxis[0].formatter = DatetimeTickFormatter(days="%Y-%m-%d", months="%Y-%m", hours="%m-%d %H:%M")
    made.xaxis[0].ticker.desired_num_ticks = 5
    style.plain_numbers(made.yaxis[0], high)
    return made


def learning_curve(found: Mapping[str, Any]) -> figure:
    """Return a metric over the rows learned from: on rows held out, with its interval, and on the training rows.

    Parameters
    ----------
    found : mapping
        ``metric``, ``rows``, ``value``, ``low``, ``high``, and where known ``train``.
    """
    rows = [float(count) for count in found["rows"]]
    value = [style.known(one) for one in found["value"]]
    low = _or(value, [style.known(one) for one in found.get("low") or value])
    high = _or(value, [style.known(one) for one in found.get("high") or value])
    is_log = style.spans_decades(rows, 0.9)
    made = style.plot(
        "learning_curve_rows",
        height=340,
        x_label="training rows" + (" (logarithmic)" if is_log else ""),
        y_label=found["metric"],
        x_axis_type="log" if is_log else "linear",
    )
    data = style.source("learning_curve_rows", rows=rows, value=value, low=low, high=high)
    made.varea("rows", "low", "high", source=data, fill_color=style.ACCENT, fill_alpha=0.2)
    made.line("rows", "value", source=data, line_color=style.ACCENT, line_width=2.5, legend_label="rows held out")
    dots = made.scatter("rows", "value", source=data, size=8, color=style.ACCENT, line_color=None)
    shown = {
        "training rows": "@rows{0,0}",
        style.shown(found["metric"]): "@value{0.0000}",
        "95 % interval": "@low{0.0000} to @high{0.0000}",
    }
    if found.get("train") and any(math.isfinite(style.known(one)) for one in found["train"]):
        data.data["train"] = [style.known(one) for one in found["train"]]
        made.line(
            "rows", "train", source=data, line_color=style.SECOND, line_width=2, line_dash="dashed",
            legend_label="training rows",
        )  # fmt: skip
        shown["on the training rows"] = "@train{0.0000}"
    style.hover(made, [dots], shown)
    style.movable(made)
    made.xaxis[0].ticker.desired_num_ticks = 4
    if is_log:
        style.log_ticks(made.xaxis[0], rows)
    else:
        style.whole_numbers(made.xaxis[0])
    style.legend_above(made)
    return made


def _or(values: Sequence[float], bounds: Sequence[float]) -> list[float]:
    """Bounds, and the value itself where there are none."""
    return [value if math.isnan(bound) else bound for value, bound in zip(values, bounds, strict=True)]


def _text(value: Any) -> str:
    return "-" if value is None or math.isnan(float(value)) else style.number(float(value))
