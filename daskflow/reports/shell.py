"""What every page is made with: the templates, Bokeh's own script, and the texts beside them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from bokeh.plotting import figure
from bokeh.resources import Resources
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from daskflow.figures import look
from daskflow.figures.style import TURNS


@cache
def environment() -> Environment:
    """Return the templates of this room; everything is escaped that is not marked as markup in a room's file."""
    return Environment(
        loader=PackageLoader("daskflow.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_without_turns,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _without_turns(value: Any) -> Any:
    """Show what would turn the direction of text as a sign of its own: a name must not rewrite its sentence."""
    return TURNS.sub("\N{REPLACEMENT CHARACTER}", value) if type(value) is str else value


@cache
def library() -> str:
    """Return Bokeh's own script: the core is enough, there are no widgets and no tables."""
    script: Any = Resources(mode="inline", components=["bokeh"], log_level="error").render_js()
    return str(script)


@cache
def text_of(name: str) -> str:
    """Return a file of this room."""
    return files("daskflow.reports").joinpath(name).read_text(encoding="utf-8")


def style_of(name: str) -> Markup:
    """Return the look that all pages share and a page's own style sheet."""
    return Markup(look.style() + text_of(name))


def script_of(name: str) -> Markup:
    """Return the script that all pages share and a page's own."""
    return Markup(look.script() + ";\n" + text_of(name))


def drawing(figures: Mapping[str, figure]) -> tuple[Markup, dict[str, Markup]]:
    """Return what is drawn as JSON in an element of its own, and the place of each figure by its key.

    Unlike with `bokeh.embed.components` the page's own script draws it, so that colours are right from the start.
    Nothing in the JSON ends the element that holds it, whatever names and values are in it.
    """
    if not figures:
        return Markup(), {}
    content, places = look.json_of(figures, "report")
    # A place of a known size: what is measured while a figure is built lays out that figure, and not the page.
    place_of = Markup('<div class="place" id="{}" data-root-id="{}" style="height: {}px"></div>')
    return Markup('<script type="application/json" id="figures">' + content + "</script>"), {
        key: place_of.format(place, root, figures[key].height) for key, (root, place) in places.items()
    }
