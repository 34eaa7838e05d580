"""Figures of a table: rows per class, and missing values per column."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bokeh.plotting import figure

from daskflow.figures import style


def class_counts(classes: Sequence[str], counts: Sequence[int], top: int = 40) -> figure:
    """Return the rows of each class, the most frequent first; on a logarithmic axis when they span decades.

    Parameters
    ----------
    classes, counts : sequence
        Of equal length.
    top : int
        Classes shown.
    """
    order = sorted(range(len(classes)), key=lambda code: -counts[code])[:top]
    some = [counts[code] for code in order]
    total = sum(counts) or 1
    is_log = style.spans_decades([count for count in some if count], 2.0)
    return _bars(
        "class_counts",
        [classes[code] for code in order],
        some,
        [f"{count:,} ({_share(count, total)})" for count in some],
        x_label="rows" + (" (logarithmic)" if is_log else ""),
        is_log=is_log,
    )


def missing_values(columns: Sequence[Mapping[str, Any]], n_rows: int, top: int = 30) -> figure | None:
    """Return the share of missing values of the columns that have any, most first; None when there are none.

    Parameters
    ----------
    columns : sequence of mapping
        With ``name`` and ``missing``, as in `daskflow.core.results.RunRecord`.
    n_rows : int
        Rows of the table.
    top : int
        Columns shown.
    """
    having = sorted((c for c in columns if c.get("missing")), key=lambda c: -c["missing"])[:top]
    if not having or not n_rows:
        return None
    made = _bars(
        "missing_values",
        [column["name"] for column in having],
        [column["missing"] / n_rows for column in having],
        [f"{column['missing']:,} ({_share(column['missing'], n_rows)})" for column in having],
        x_label="share of rows without a value",
        is_log=False,
    )
    style.percentages(made.xaxis[0])
    return made


def _bars(
    name: str, names: Sequence[Any], values: Sequence[float], texts: Sequence[str], *, x_label: str, is_log: bool
) -> figure:
    """Horizontal bars, with their values written at the right edge."""
    made = style.plot(
        name,
        height=style.rows_height(len(names)),
        x_label=x_label,
        x_axis_type="log" if is_log else "linear",
    )
    start = 0.5 if is_log else 0.0
    places = [-place for place in range(len(names))]
    data = style.source(
        name,
        y=places,
        left=[start] * len(names),
        value=[max(value, start) for value in values],
        name=[style.shown(word, 80) for word in names],
        text=list(texts),
    )
    bars = made.hbar(
        y="y", left="left", right="value", height=0.7, source=data, color=style.ACCENT, fill_alpha=0.8, line_color=None
    )
    style.hover(made, [bars], {"": "@name", "value": "@text"})
    style.name_rows(made, names)
    style.texts_at_right(made, texts)
    made.x_range.start, made.x_range.end = start, max(values, default=1) or 1
    if is_log:
        style.log_ticks(made.xaxis[0], [1, max(values)])
    else:
        style.whole_numbers(made.xaxis[0])
        made.xaxis[0].ticker.desired_num_ticks = 4
    return made


def _share(part: float, whole: float) -> str:
    """A part in hundredths, and never nothing for something.

    Examples
    --------
    >>> _share(1, 3), _share(2, 494021)
    ('33.3 %', '<0.01 %')
    """
    share = 100 * part / whole if whole else 0.0
    return "<0.01 %" if 0 < share < 0.01 else f"{share:.3g} %"
