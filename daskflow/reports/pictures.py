"""A figure as it stands on a page: with a title, and what it says in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bokeh.plotting import figure

from daskflow.reports.tables import Table


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure with its caption, which also is what a screen reader reads.

    Attributes
    ----------
    key : str
        Its name on the page.
    title, caption : str
        Plain text.
    figure : bokeh figure
        As wide as its place.
    min_width : int
        Pixels below which it is moved sideways instead of made narrower.
    table : Table or None
        The same numbers as a table, folded away below the figure.
    choices : sequence of pairs
        What the cells can show: (value, words) for a switch above the figure, the first one chosen.
    """

    key: str
    title: str
    caption: str
    figure: figure
    min_width: int = 0
    table: Table | None = None
    choices: Sequence[tuple[str, str]] = ()
