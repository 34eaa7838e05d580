"""Pages: a screen as HTML without data, made once, which the page's script fills from the feed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from daskflow.dashboard.slots import Figure, Row, Screen
from daskflow.dashboard.static import version_of
from daskflow.figures import look
from daskflow.figures.style import TURNS

SCRIPTS = (
    "bokeh.min.js", "text.js", "widgets.js", "widgets_pictures.js", "table.js", "marks.js", "figures.js", "feed.js",
    "head.js", "trial.js", "page.js",
)  # fmt: skip
"""In the order they run. Bokeh's script for WebGL makes code from text, which our pages forbid: see `page_of`."""

KINDS = ("tiles", "stages", "table", "notes", "lines", "strip", "rungs")
"""Widgets that the scripts draw."""

DASK = (
    ("status", "Status"), ("workers", "Workers"), ("tasks", "Task stream"), ("system", "System"),
    ("profile", "Profile"), ("graph", "Graph"), ("groups", "Groups"), ("info/main/workers.html", "Info"),
)  # fmt: skip
"""Dask's own pages, beside ours."""


def page_of(screen: Screen, screens: Sequence[Screen]) -> bytes:
    """Return the whole HTML of one page.

    It has no script of its own and loads everything from the server it came from, by relative addresses: it works
    below any prefix, without a network, and under a Content-Security-Policy of ``script-src 'self'``. So figures are
    drawn on canvases: Bokeh's WebGL needs ``unsafe-eval``.

    Parameters
    ----------
    screen : Screen
        What it shows.
    screens : sequence of Screen
        All of them, for the navigation.

    Raises
    ------
    ValueError
        When two panels have the same key, or there is no widget of a kind.
    """
    rows = list(screen.rows())
    panels = [panel for row in rows for panel in row.panels]
    keys = [panel.key for panel in panels]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"Screen {screen.key!r} has several panels with the key {twice[0]!r}; give each its own.")
    for panel in panels:
        if not isinstance(panel, Figure) and panel.kind not in KINDS:
            raise ValueError(f"There is no widget of kind {panel.kind!r} ({panel.key}); there are {', '.join(KINDS)}.")
    figures = {panel.key: panel.figure for panel in panels if isinstance(panel, Figure)}
    for one in figures.values():
        one.output_backend = "canvas"
    drawing, places = look.json_of(figures, screen.key) if figures else ("", {})
    text = (
        _environment()
        .get_template("page.html")
        .render(
            screen=screen,
            screens=screens,
            rows=rows,
            places=places,
            drawing=Markup(drawing),
            scripts=SCRIPTS,
            dask=DASK,
            address=address,
            path_of=path_of,
            columns_of=columns_of,
        )
    )
    return text.encode()


def path_of(key: str) -> str:
    """Return where a screen's page is, relative to any other page.

    Examples
    --------
    >>> path_of("overview"), path_of("search")
    ('daskflow', 'daskflow-search')
    """
    return "daskflow" if key == "overview" else f"daskflow-{key}"


def address(name: str) -> str:
    """Return where a page finds one of the files that it loads."""
    return f"daskflow-static/{name}?v={version_of(name)}"


def columns_of(row: Row) -> str:
    """Return a row's columns as CSS says them.

    Examples
    --------
    >>> from daskflow.dashboard.slots import Widget
    >>> columns_of(Row([Widget("a", "", "lines"), Widget("b", "", "lines")], widths=(2, 1)))
    'minmax(0, 2fr) minmax(0, 1fr)'
    """
    return " ".join(f"minmax(0, {int(width)}fr)" for width in row.widths or [1] * len(row.panels))


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("daskflow.dashboard", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_turns,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _without_turns(value: Any) -> Any:
    """Show what would turn the direction of text as a sign of its own: a name must not rewrite its sentence."""
    return TURNS.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value
