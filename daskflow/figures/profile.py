"""Figures of a profile: correlations, what is missing where, what says most about the target, drift, partitions."""

from __future__ import annotations

import math
from collections.abc import Sequence

from bokeh.models import FixedTicker, LinearAxis
from bokeh.plotting import figure

from daskflow.data.table_profile import ColumnSummary, TableProfile
from daskflow.figures import style

MOST_CORRELATED, MOST_ROWS, MOST_BARS = 40, 60, 25
"""Columns shown of a heat map, of the missing values, and as bars."""

POSITIVE, NEGATIVE = "#2563eb", "#d97706"


def correlations(profile: TableProfile) -> figure | None:
    """Return the heat map of Pearson's correlations; the columns with the strongest ones when there are many."""
    kept = _kept(profile)
    size = len(kept)
    if size < 2:
        return None
    names = [profile.correlated[place] for place in kept]
    cell = max(14, min(44, 620 // size))
    longest = max(len(style.shown(name, 20)) for name in names)
    made = style.plot("correlations", height=cell * size + 24 + 7 * longest, x_axis_location="below")
    cells = [(row, column) for row in range(size) for column in range(size) if row != column]
    values = [profile.correlations[kept[row]][kept[column]] for row, column in cells]
    known = [(place, value) for place, value in zip(cells, values, strict=True) if value is not None]
    data = style.source(
        "correlations",
        x=[column for (_, column), _ in known],
        y=[-row for (row, _), _ in known],
        left=[style.shown(names[row], 80) for (row, _), _ in known],
        right=[style.shown(names[column], 80) for (_, column), _ in known],
        value=[value for _, value in known],
        alpha=[abs(value) for _, value in known],
        colour=[POSITIVE if value > 0 else NEGATIVE for _, value in known],
        dark_text=[_two(value) if abs(value) < 0.55 and cell >= 30 else "" for _, value in known],
        light_text=[_two(value) if abs(value) >= 0.55 and cell >= 30 else "" for _, value in known],
    )
    squares = made.rect("x", "y", 0.94, 0.94, source=data, fill_color="colour", fill_alpha="alpha", line_color=None)
    fonts = {"text_align": "center", "text_baseline": "middle", "text_font_size": "10px"}
    made.text("x", "y", "dark_text", source=data, text_color=style.INK, tags=[style.INK_TAG], **fonts)
    made.text("x", "y", "light_text", source=data, text_color="white", **fonts)
    style.hover(made, [squares], {"": "@left and @right", "correlation": "@value{0.0000}"})
    style.name_rows(made, [style.shown(name, 20) for name in names])
    made.xaxis[0].ticker = FixedTicker(ticks=list(range(size)))
    made.xaxis[0].major_label_overrides = {place: style.shown(name, 20) for place, name in enumerate(names)}
    made.xaxis[0].major_label_orientation = math.pi / 2
    made.x_range.start, made.x_range.end = -0.5, size - 0.5
    made.grid.grid_line_color = None
    return made


def _kept(profile: TableProfile) -> list[int]:
    """Columns with the strongest correlations, in the order of the table."""
    strength = {
        place: max((abs(value) for other, value in enumerate(line) if value is not None and other != place), default=-1)
        for place, line in enumerate(profile.correlations)
    }
    known = [place for place, most in strength.items() if most >= 0]
    return sorted(sorted(known, key=lambda place: -strength[place])[:MOST_CORRELATED])


def _two(value: float) -> str:
    """A correlation in at most five characters.

    Examples
    --------
    >>> _two(-0.456), _two(-0.003), _two(1.0)
    ('-.46', '0', '1.00')
    """
    return "0" if abs(value) < 0.005 else f"{value:.2f}".replace("0.", ".", 1)


def missing_by_stripe(profile: TableProfile) -> figure | None:
    """Return the share of missing values by column and stripe of partitions; None without gaps or with one stripe."""
    having = sorted((c for c in profile.columns if c.missing), key=lambda column: -column.missing)[:MOST_ROWS]
    if not having or len(profile.stripes) < 2:
        return None
    order = {column.name: place for place, column in enumerate(profile.columns)}
    having.sort(key=lambda column: order[column.name])
    made = style.plot("missing_by_stripe", height=style.rows_height(len(having)), x_label="partitions, in their order")
    cells = [
        (row, stripe, column, column.missing_by_stripe[stripe], rows)
        for row, column in enumerate(having)
        for stripe, rows in enumerate(profile.stripes)
        if rows and column.missing_by_stripe[stripe]
    ]
    data = style.source(
        "missing_by_stripe",
        x=[stripe for _, stripe, *_ in cells],
        y=[-row for row, *_ in cells],
        column=[style.shown(column.name, 80) for _, _, column, _, _ in cells],
        missing=[missing for *_, missing, _ in cells],
        share=[missing / rows for *_, missing, rows in cells],
        alpha=[0.12 + 0.88 * missing / rows for *_, missing, rows in cells],
    )
    squares = made.rect("x", "y", 1, 0.78, source=data, fill_color=style.SECOND, fill_alpha="alpha", line_color=None)
    style.hover(made, [squares], {"": "@column", "missing": "@missing{0,0} (@share{0.[00] %})", "stripe": "@x"})
    style.name_rows(made, [column.name for column in having])
    made.x_range.start, made.x_range.end = -0.5, len(profile.stripes) - 0.5
    made.xgrid.grid_line_color = None
    made.xaxis[0].ticker.desired_num_ticks = 6
    made.xaxis[0].ticker.min_interval = 1
    return made


def power(profile: TableProfile) -> figure | None:
    """Return the columns that say most about the target, strongest first; None without a target."""
    known = [(column.power.strength, column.name) for column in profile.columns if column.power is not None]
    known = sorted(known, key=lambda pair: -pair[0])[:MOST_BARS]
    if not known:
        return None
    return _bars("power", [name for _, name in known], [value for value, _ in known], "strength, 0 to 1", 1.0)


def drift(columns: Sequence[ColumnSummary]) -> figure | None:
    """Return the population stability index of the columns that differ most; None when none differs."""
    known = [(column.drift.psi, column.name) for column in columns if column.drift is not None]
    known = [pair for pair in sorted(known, key=lambda pair: -pair[0])[:MOST_BARS] if pair[0] >= 0.01]
    if not known:
        return None
    values = [value for value, _ in known]
    made = _bars("drift", [name for _, name in known], values, "population stability index", max(0.3, *values))
    for threshold in (0.1, 0.25):
        made.vspan(x=[threshold], line_color=style.NEUTRAL, line_dash="dashed")
    return made


def _bars(name: str, names: Sequence[str], values: Sequence[float], label: str, end: float) -> figure:
    """Horizontal bars with their values at the right edge."""
    made = style.plot(name, height=style.rows_height(len(names)), x_label=label)
    places = [-place for place in range(len(names))]
    texts = [f"{value:.3f}" for value in values]
    data = style.source(name, y=places, value=list(values), name=[style.shown(word, 80) for word in names], text=texts)
    bars = made.hbar(
        y="y", left=0, right="value", height=0.7, source=data, color=style.ACCENT, fill_alpha=0.8, line_color=None
    )
    style.hover(made, [bars], {"": "@name", "value": "@text"})
    style.name_rows(made, names)
    right = LinearAxis(
        ticker=FixedTicker(ticks=places), major_label_overrides=dict(zip(places, texts, strict=True)), name="values"
    )
    made.add_layout(right, "right")
    style.dress(right)
    right.axis_line_color = right.major_tick_line_color = None
    made.x_range.start, made.x_range.end = 0, end
    made.xaxis[0].ticker.desired_num_ticks = 4
    return made


def partition_rows(profile: TableProfile) -> figure | None:
    """Return the rows of each partition in their order; None for one partition."""
    if len(profile.partitions) < 2:
        return None
    shown = profile.partitions[: style.MAX_POINTS]
    made = style.plot("partition_rows", height=220, x_label="partitions, in their order", y_label="rows")
    data = style.source(
        "partition_rows",
        x=list(range(len(shown))),
        rows=[partition.rows for partition in shown],
        name=[style.shown(partition.name, 80) for partition in shown],
    )
    bars = made.vbar(x="x", top="rows", width=0.85, source=data, color=style.ACCENT, fill_alpha=0.8, line_color=None)
    style.hover(made, [bars], {"": "@name", "rows": "@rows{0,0}"})
    made.y_range.start = 0
    style.whole_numbers(made.yaxis[0])
    made.xaxis[0].ticker.min_interval = 1
    return made
