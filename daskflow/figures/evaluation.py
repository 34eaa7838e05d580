"""Figures of an evaluation: intervals of the metrics, confusion and residuals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from bokeh.core.properties import value
from bokeh.models import FixedTicker
from bokeh.plotting import figure

from daskflow.core.protocols import Score
from daskflow.figures import style

MAX_CELLS_WITH_TEXT = 24
"""Classes up to which the cells of a confusion matrix carry their counts."""

CELL = "#1d4ed8"
"""A full cell: dark enough for white text."""

FULL = 0.72
"""Share from which a cell is so: here dark and white text are read equally well on light ground."""


def metric_intervals(metrics: Mapping[str, Score]) -> list[figure]:
    """Return forest plots of metrics with their 95 % intervals.

    One figure holds what lies between 0 and 1, another what does not (errors in the target's unit); what is not a
    number is left out.
    """
    known = {name: score for name, score in metrics.items() if math.isfinite(score.value)}
    shares = {name: score for name, score in known.items() if 0 <= score.value <= 1}
    others = {name: score for name, score in known.items() if name not in shares}
    return [_forest(f"metrics_{word}", group) for word, group in (("shares", shares), ("others", others)) if group]


def _forest(name: str, metrics: Mapping[str, Score]) -> figure:
    """One forest plot."""
    low = [score.value if math.isnan(score.low) else score.low for score in metrics.values()]
    high = [score.value if math.isnan(score.high) else score.high for score in metrics.values()]
    is_log = style.spans_decades(low)
    made = style.plot(
        name,
        height=style.rows_height(len(metrics)),
        x_label="value on the test rows, 95 % interval" + (" (logarithmic)" if is_log else ""),
        x_axis_type="log" if is_log else "linear",
    )
    data = style.source(
        name,
        y=[-place for place in range(len(metrics))],
        metric=list(metrics),
        value=[score.value for score in metrics.values()],
        low=low,
        high=high,
    )
    made.segment("low", "y", "high", "y", source=data, line_width=3, line_color=style.NEUTRAL)
    dots = made.scatter("value", "y", source=data, size=10, color=style.ACCENT, line_color=None)
    style.hover(
        made, [dots], {"metric": "@metric", "value": "@value{0.0000}", "95 % interval": "@low{0.0000} to @high{0.0000}"}
    )
    style.movable(made, "width")
    style.name_rows(made, list(metrics))
    if is_log:
        style.log_ticks(made.xaxis[0], [*low, *high])
    else:
        style.plain_numbers(made.xaxis[0], high)
        made.xaxis[0].ticker.desired_num_ticks = 5
    return made


def confusion(classes: Sequence[str], counts: Sequence[Sequence[int]]) -> figure:
    """Return the confusion matrix: rows are true classes, columns predicted ones.

    A cell's depth is its share of the true class's rows, so that rare classes can be read beside frequent ones.
    Classes beyond `MAX_CELLS_WITH_TEXT` have no counts in their cells, and beyond 40 only the most frequent are shown.
    """
    most = sorted(range(len(classes)), key=lambda code: -sum(counts[code]))[: math.isqrt(style.MAX_POINTS) - 4]
    kept = sorted(most)
    size = len(kept)
    cell = 90 if size <= 3 else 48 if size <= 6 else 30
    longest = max((len(style.shown(classes[code], 18)) for code in kept), default=0)
    made = style.plot(
        "confusion",
        height=cell * size + 80 + (7 * longest if size > 6 else 0),
        x_label="predicted class",
        y_label="true class",
        x_axis_location="below",
    )
    cells = [(row, column) for row in range(size) for column in range(size)]
    rows = [sum(counts[code]) for code in kept]
    count = [counts[kept[row]][kept[column]] for row, column in cells]
    share = [n / rows[row] if rows[row] else 0.0 for n, (row, _) in zip(count, cells, strict=True)]
    has_text = size <= MAX_CELLS_WITH_TEXT
    data = style.source(
        "confusion",
        x=[column for _, column in cells],
        y=[-row for row, _ in cells],
        true=[style.shown(classes[kept[row]], 80) for row, _ in cells],
        predicted=[style.shown(classes[kept[column]], 80) for _, column in cells],
        count=count,
        share=share,
        **_cell_texts("count", [short(n) if n and has_text else "" for n in count], share),
        **_cell_texts("share", [_percent(s) if s and has_text else "" for s in share], share),
        alpha=[0.05 if not n else 0.15 + 0.85 * part for n, part in zip(count, share, strict=True)],
    )
    squares = made.rect("x", "y", 0.95, 0.93, source=data, fill_color=CELL, fill_alpha="alpha", line_color=None)
    fonts = {
        "text_align": "center",
        "text_baseline": "middle",
        "text_font": value("system-ui, sans-serif"),
        "text_font_size": "13px" if size <= 6 else "10px",
    }
    made.text(
        "x", "y", "count_dark", source=data, text_color=style.INK, tags=[style.INK_TAG], name="cells_dark", **fonts
    )
    made.text("x", "y", "count_light", source=data, text_color="white", name="cells_light", **fonts)
    style.hover(
        made,
        [squares],
        {"true": "@true", "predicted": "@predicted", "rows": "@count{0,0}", "of the true class": "@share{0.0 %}"},
    )
    style.name_rows(made, [style.shown(classes[code], 18) for code in kept])
    made.xaxis[0].ticker = FixedTicker(ticks=list(range(size)))
    made.xaxis[0].major_label_overrides = {place: style.shown(classes[code], 18) for place, code in enumerate(kept)}
    if size > 6:
        made.xaxis[0].major_label_orientation = math.pi / 2
    made.x_range.start, made.x_range.end = -0.5, size - 0.5
    made.grid.grid_line_color = None
    return made


def _cell_texts(name: str, texts: Sequence[str], share: Sequence[float]) -> dict[str, list[str]]:
    """Texts of cells in two columns: in the colour of text on pale cells, white on full ones."""
    return {
        f"{name}_dark": [text if part < FULL else "" for text, part in zip(texts, share, strict=True)],
        f"{name}_light": [text if part >= FULL else "" for text, part in zip(texts, share, strict=True)],
    }


def residuals(sample: Mapping[str, Sequence[float]]) -> figure:
    """Return truth minus prediction against prediction, for a sample of rows."""
    predicted, true = list(sample["y_pred"])[: style.MAX_POINTS], list(sample["y_true"])[: style.MAX_POINTS]
    made = style.plot("residuals", height=340, x_label="prediction", y_label="truth - prediction")
    data = style.source(
        "residuals",
        predicted=predicted,
        true=true,
        residual=[y - given for y, given in zip(true, predicted, strict=True)],
    )
    dots = made.scatter("predicted", "residual", source=data, size=5, color=style.ACCENT, alpha=0.35, line_color=None)
    if predicted:
        made.line([min(predicted), max(predicted)], [0, 0], line_color=style.SECOND, line_width=2)
    style.hover(
        made, [dots], {"truth": "@true{0,0.00}", "prediction": "@predicted{0,0.00}", "difference": "@residual{0,0.00}"}
    )
    style.movable(made)
    style.plain_numbers(made.xaxis[0], predicted)
    style.plain_numbers(made.yaxis[0], data.data["residual"])
    made.xaxis[0].ticker.desired_num_ticks = 5
    return made


def residual_histogram(bins: Mapping[str, Sequence[float]]) -> figure:
    """Return how many rows have which truth minus prediction."""
    edges, counts = list(bins["edges"]), list(bins["counts"])
    made = style.plot("residual_histogram", height=340, x_label="truth - prediction", y_label="rows")
    data = style.source("residual_histogram", left=edges[:-1], right=edges[1:], count=counts)
    bars = made.quad("left", "right", "count", 0, source=data, fill_color=style.ACCENT, fill_alpha=0.7, line_color=None)
    style.hover(made, [bars], {"from": "@left{0,0.00}", "to": "@right{0,0.00}", "rows": "@count{0,0}"})
    style.movable(made, "width")
    made.y_range.start = 0
    style.whole_numbers(made.yaxis[0])
    style.plain_numbers(made.xaxis[0], edges)
    made.xaxis[0].ticker.desired_num_ticks = 5
    return made


def short(count: int) -> str:
    """Return a count in at most five characters.

    Examples
    --------
    >>> short(987), short(56158), short(4898431)
    ('987', '56.2k', '4.9M')
    """
    for size, unit in ((1_000_000, "M"), (10_000, "k")):
        if count >= size:
            return f"{count / (1000 if unit == 'k' else size):.1f}{unit}"
    return str(count)


def _percent(share: float) -> str:
    """A share of a class's rows in at most four characters.

    Examples
    --------
    >>> _percent(1.0), _percent(0.123), _percent(0.0001)
    ('100%', '12%', '<1%')
    """
    return "<1%" if 0 < share < 0.005 else f"{100 * share:.0f}%"
