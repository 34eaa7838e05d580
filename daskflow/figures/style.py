"""Look of every figure: colours, a blank figure, and text that is only text."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from bokeh.models import (
    ColumnDataSource,
    FixedTicker,
    HoverTool,
    LinearAxis,
    NumeralTickFormatter,
    Span,
    TapTool,
)
from bokeh.plotting import figure

MAX_POINTS = 2000
"""Points of a figure at most: more are slower to draw than they are worth to see."""

MAX_LABEL = 28
"""Characters of a name beside an axis; the whole name is in the tooltip."""

ACCENT, SECOND, NEUTRAL = "#3b82f6", "#d97706", "#8b95a5"
"""Series colours: contrast of 3 or more to white and to near-black."""

INK, SOFT, GRID = "#1f2328", "#57606a", "#d8dee4"
"""Text, quiet text and lines on light ground."""

PLATE = "#fefeff"
"""Ground of text that stands on lines, on light ground."""

PLATE_TAG = "plate"
"""Tag of glyphs with such a ground."""

INK_TAG = "ink"
"""Tag of glyphs that are drawn in the colour of text."""

TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that change the direction of the text after them."""

TEX = re.compile(r"\$(?=\$)|\\(?=[\[(])")
"""What bokeh would take for the beginning of a formula, for which it loads a library from the network."""


def shown(text: Any, length: int = MAX_LABEL) -> str:
    r"""Return a value as a label: one line, cut in the middle when long, and never a formula.

    Examples
    --------
    >>> shown("a" * 20 + "b" * 20, 11)
    'aaaaa…bbbbb'
    >>> "$$" in shown("$$x$$")
    False
    """
    line = TURNS.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(text).split())) or "(empty)"
    if len(line) > length:
        head = (length - 1) // 2
        line = f"{line[: length - 1 - head]}…{line[-head:]}"
    return TEX.sub(lambda match: f"{match[0]}\N{ZERO WIDTH SPACE}", line)


def number(value: Any, digits: int = 4) -> str:
    """Return a number as people write it: thousands parted, so many significant digits, never a long tail.

    Examples
    --------
    >>> number(0.123456), number(1234567), number(0.00001234), number(float("nan")), number(12.0)
    ('0.1235', '1,234,567', '1.234e-05', 'not a number', '12')
    """
    if value is None:
        return "not a number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    if math.isnan(value) or math.isinf(value):
        return "not a number" if math.isnan(value) else ("∞" if value > 0 else "-∞")
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    if 1000 <= abs(value) < 1e15:
        return f"{value:,.1f}"
    return f"{value:.{digits}g}"


def score(value: float) -> str:
    """Return a metric's value with four decimals, so that values below each other can be compared.

    Examples
    --------
    >>> score(0.771), score(0.00123456), score(2203.218)
    ('0.7710', '0.001235', '2,203.2')
    """
    return f"{value:.4f}" if 0.01 <= abs(value) < 100 else number(value)


def plot(name: str, *, height: int, x_label: str = "", y_label: str = "", **options: Any) -> figure:
    """Return an empty figure in the house's look; `options` are bokeh's."""
    made = figure(
        name=name,
        height=height,
        sizing_mode="stretch_width",
        toolbar_location=None,
        tools="",
        x_axis_label=shown(x_label, 60) if x_label else None,
        y_axis_label=shown(y_label, 60) if y_label else None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
        min_border_right=20,
        **options,
    )
    made.toolbar.active_drag = made.toolbar.active_scroll = None
    made.title = None  # the page has it
    for axis in made.axis:
        dress(axis)
    made.grid.grid_line_color = GRID
    made.grid.grid_line_alpha = 0.6
    return made


def dress(axis: Any) -> None:
    """Give an axis the house's look."""
    axis.axis_line_color = axis.major_tick_line_color = GRID
    axis.minor_tick_line_color = None
    axis.axis_label_text_color = axis.major_label_text_color = SOFT
    axis.axis_label_text_font_style = "normal"
    axis.axis_label_text_font = axis.major_label_text_font = "system-ui, sans-serif"
    axis.axis_label_text_font_size = axis.major_label_text_font_size = "12px"


def source(name: str, /, **columns: Any) -> ColumnDataSource:
    """Return the columns of a figure, named ``NAME_data``, by which tests and callbacks find them."""
    return ColumnDataSource(data=columns, name=f"{name}_data")


def hover(made: figure, renderers: Sequence[Any], tooltips: Mapping[str, str], **options: Any) -> None:
    """Show values at the pointer; values from the data are escaped by bokeh."""
    made.add_tools(HoverTool(renderers=list(renderers), tooltips=list(tooltips.items()), **options))


def movable(made: figure, dimensions: str = "both") -> None:
    """Let the page zoom and move the figure by dragging, along these `dimensions` (both, width or height).

    It is said by a tag only: the page gives a figure its tools when the pointer first comes to it, so that a page of
    many figures is drawn sooner, and on a phone a figure does not hold the page fast.
    """
    made.tags = [*made.tags, f"moves-{dimensions}"]


def markable(made: figure, renderers: Sequence[Any]) -> None:
    """Let rows of the renderers' source be marked: by a tap, and by a box where the page says that dragging marks."""
    tap = TapTool(renderers=list(renderers), mode="xor")
    made.add_tools(tap)
    made.toolbar.active_tap = tap
    boxed(renderers)


def boxed(renderers: Sequence[Any]) -> None:
    """Say by a tag which dots a box marks."""
    for one in renderers:
        one.tags = [*one.tags, "boxed"]


def line_at(made: figure, place: float, dimension: str = "height", name: str = "", **look: Any) -> None:
    """Draw a line through the figure: upright at x = `place`, or level at y = `place` with dimension ``width``."""
    options = {"line_color": NEUTRAL, "line_dash": "dashed", "line_width": 1.5, **look}
    made.add_layout(Span(location=place, dimension=dimension, name=name or None, **options))


def texts_at_right(made: figure, texts: Sequence[str]) -> None:
    """Write a text at the right edge of each row, on an axis that keeps room for it at any width."""
    places = [-place for place in range(len(texts))]
    right = LinearAxis(
        ticker=FixedTicker(ticks=places), major_label_overrides=dict(zip(places, texts, strict=True)), name="values"
    )
    made.add_layout(right, "right")
    dress(right)
    right.axis_line_color = right.major_tick_line_color = None


def known(value: Any) -> float:
    """Return a number of the record as a float; nan for what it does not know.

    Examples
    --------
    >>> known(0.5), known(None), known("inf")
    (0.5, nan, inf)
    """
    return math.nan if value is None else float(value)


def instant(text: Any) -> float:
    """Return the milliseconds since 1970 of an ISO time; one without a zone is taken as it is.

    Examples
    --------
    >>> instant("1970-01-02"), instant("1970-01-01T00:00:01.000000000")
    (86400000.0, 1000.0)
    """
    line = str(text).rstrip("Z")
    moment = datetime.fromisoformat(line[:26] if "." in line else line)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000


def every(n_values: int, most: int) -> list[int]:
    """Return the places of at most `most` of `n_values` values, evenly spread, the first and the last among them.

    Examples
    --------
    >>> every(3, 10), every(9, 3)
    ([0, 1, 2], [0, 4, 8])
    """
    if n_values <= most:
        return list(range(n_values))
    return sorted({round(place * (n_values - 1) / (most - 1)) for place in range(most)})


def name_rows(made: figure, names: Sequence[Any]) -> None:
    """Write names beside the y axis, the first at the top; row i stands at y = -i."""
    axis = made.yaxis[0]
    axis.ticker = FixedTicker(ticks=[-place for place in range(len(names))])
    axis.major_label_overrides = {-place: shown(name) for place, name in enumerate(names)}
    made.ygrid.grid_line_color = None
    made.y_range.start, made.y_range.end = -len(names) + 0.4, 0.6


def rows_height(n_rows: int) -> int:
    """Return the height in pixels of a figure of named rows with an axis below."""
    return 22 * n_rows + 58


def spans_decades(values: Sequence[float], decades: float = 1.5) -> bool:
    """Return whether positive values spread so far that a logarithmic axis shows them better.

    Examples
    --------
    >>> spans_decades([1e-6, 1e-1]), spans_decades([1, 2, 3]), spans_decades([0, 1e6])
    (True, False, False)
    """
    return len(values) > 0 and min(values) > 0 and math.log10(max(values) / min(values)) > decades


def legend(made: figure, location: str) -> None:
    """Place the legend without a frame."""
    box = made.legend[0]
    box.location = location
    box.background_fill_alpha = 0.0
    box.border_line_color = None
    box.label_text_color = SOFT
    box.label_text_font = "system-ui, sans-serif"
    box.label_text_font_size = "12px"
    box.spacing, box.padding = 2, 4


def legend_above(made: figure, n_columns: int = 0) -> None:
    """Place the legend above the figure, where it hides nothing: in a line, or in columns that a phone has room for."""
    legend(made, "left")
    box = made.legend[0]
    made.add_layout(box, "above")
    box.orientation = "horizontal"
    box.spacing, box.padding, box.margin = 6 if n_columns else 16, 0, 0
    if n_columns:
        box.ncols = n_columns


def cover(values: Sequence[float], *others: float) -> tuple[float, float]:
    """Return a range that holds all these values, those that are no numbers aside, with a little room.

    Examples
    --------
    >>> cover([0.25, float("nan"), 0.75], 1.25)
    (0.2, 1.3)
    """
    finite = [value for value in (*values, *others) if math.isfinite(value)] or [0.0, 1.0]
    room = 0.05 * (max(finite) - min(finite)) or 0.05 * abs(finite[0]) or 0.5
    return round(min(finite) - room, 12), round(max(finite) + room, 12)


def log_ticks(axis: Any, values: Sequence[float]) -> None:
    """Place at most six ticks on a logarithmic axis of these positive values, in plain numbers."""
    low, high = min(values) / 1.5, max(values) * 1.5
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for mantissas in ((1, 2, 5), (1, 3), (1,)):
        ticks = [mantissa * 10.0**power for power in powers for mantissa in mantissas]
        kept = [tick for tick in ticks if low <= tick <= high]
        if len(kept) <= 6:
            break
    kept = kept[:: math.ceil(len(kept) / 6)]
    axis.ticker = FixedTicker(ticks=kept)
    axis.major_label_overrides = {tick: f"{tick:.0e}" if tick < 0.001 else number(tick) for tick in kept}


def whole_numbers(axis: Any) -> None:
    """Write an axis of counts without exponents."""
    axis.formatter = NumeralTickFormatter(format="0,0")


def plain_numbers(axis: Any, values: Sequence[float]) -> None:
    """Write an axis of numbers that reach into the thousands with the thousands parted."""
    if 1000 <= max((abs(value) for value in values), default=0) < 1e12:
        whole_numbers(axis)


def percentages(axis: Any) -> None:
    """Write an axis of shares in hundredths."""
    axis.formatter = NumeralTickFormatter(format="0.[000] %")
