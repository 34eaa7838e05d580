"""Slots: what a screen says of the state now, in pieces that are sent again only when they changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from bokeh.plotting import figure

from daskflow.dashboard.state import RunState


@dataclass(frozen=True, slots=True)
class Columns:
    """The columns of a figure's source; sources are found by their name, see `figures.style.source`.

    Attributes
    ----------
    name : str
        The source's own name, such as ``scores_data``.
    data : mapping of str to sequence
        Columns of equal length, plain JSON values (None for not-a-number).
    epoch : str
        As long as it stays the same, rows are only ever added at the end, and viewers get the new ones alone. A screen
        that changes rows changes the epoch.
    """

    name: str
    data: Mapping[str, Sequence[Any]]
    epoch: str = ""


@dataclass(frozen=True, slots=True)
class Value:
    """What a widget shows, as plain JSON; sent whole when it differs from what was sent before.

    Attributes
    ----------
    name : str
        Of the widget's place on the page.
    value : object
        Plain JSON.
    """

    name: str
    value: Any


@dataclass(frozen=True, slots=True)
class Look:
    """Attributes of a named bokeh model: a range's ends, an axis's ticks and labels.

    Attributes
    ----------
    name : str
        The model's name.
    attributes : mapping
        What bokeh's ``setv`` takes, plain JSON.
    """

    name: str
    attributes: Mapping[str, Any]


Slot = Columns | Value | Look


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure on a page.

    Attributes
    ----------
    key : str
        Its name on the page.
    title, caption : str
        What it shows, as plain text; the caption also is what a screen reader reads.
    figure : bokeh figure
        Without data, as wide as its place.
    empty : str
        What will come, shown in its place as long as ``Value(f"{key}.empty", True)``; screens tell it.
    min_width : int
        Pixels below which it is moved sideways instead of made narrower.
    """

    key: str
    title: str
    caption: str
    figure: figure
    empty: str = ""
    min_width: int = 0


@dataclass(frozen=True, slots=True)
class Widget:
    """Something that the page's script draws from a `Value` of the same name.

    Attributes
    ----------
    key : str
        Name of the place and of its value.
    title : str
        Heading; empty for none.
    kind : str
        Which of the script's widgets: ``tiles``, ``stages``, ``table``, ``lines``, ``notes``...; see widgets.js.
    empty : str
        What will come, shown as long as the value is empty.
    caption : str
        What it shows.
    """

    key: str
    title: str
    kind: str
    empty: str = ""
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """Panels side by side where there is room, below each other where there is none; wider ones get more of it.

    Attributes
    ----------
    panels : sequence of Figure or Widget
        From left to right.
    widths : sequence of int
        Relative widths; empty for equal ones.
    """

    panels: Sequence[Figure | Widget]
    widths: Sequence[int] = field(default=())


class Screen(Protocol):
    """One page of the dashboard; made once per run and kept, so it can keep what it has already drawn."""

    key: str
    """``overview``, ``data``, ``search``, ``evaluation``, ``stream`` or ``history``."""

    title: str

    def rows(self) -> Sequence[Row]:
        """Return the page's panels from top to bottom, without data; asked once."""

    def slots(self, state: RunState, now: float) -> Sequence[Slot]:
        """Return what is shown at `now` (seconds since 1970; the replay's own clock).

        Asked twice a second at most, and only while somebody looks. It takes a few milliseconds for any run: what
        grows with the run is kept from one call to the next.
        """
