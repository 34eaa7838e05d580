"""What pages with figures share: their look, and their figures as JSON that nothing in it can break out of."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

from bokeh.core.json_encoder import serialize_json
from bokeh.document import Document
from bokeh.plotting import figure

from daskflow.figures.style import TURNS

ESCAPED_TURNS = re.compile(r"\\u(061c|200e|200f|202[a-e]|206[6-9])")
"""Characters that change the direction of text, as JSON writes them."""


@cache
def style() -> str:
    """Return the style sheet of colours and type, in light, dark and on paper."""
    return files("daskflow.figures").joinpath("look.css").read_text(encoding="utf-8")


@cache
def script() -> str:
    """Return the script that keeps figures in the colours of the page."""
    return files("daskflow.figures").joinpath("look.js").read_text(encoding="utf-8")


def document_of(figures: Iterable[figure]) -> Document:
    """Return one document of all figures.

    Bokeh looks through all models of a document whenever one is added, so they are added at once: the time grows with
    their number instead of its square.
    """
    document = Document()
    with document.models.freeze():
        for one in figures:
            document.add_root(one)
    return document


def json_of(figures: Mapping[str, figure], name: str) -> tuple[str, dict[str, tuple[str, str]]]:
    """Return what is drawn as JSON for an element of its own, and by key each figure's model and the id of its place.

    Nothing in the JSON ends the element that holds it, whatever names and values are in it.

    Parameters
    ----------
    figures : mapping of str to bokeh figure
        By their keys.
    name : str
        Of the document.
    """
    document = document_of(figures.values())
    places = {key: (str(one.id), f"place-{number}") for number, (key, one) in enumerate(figures.items())}
    item = {"docid": name, "roots": dict(places.values()), "root_ids": [root for root, _ in places.values()]}
    content = serialize_json({"docs": {name: document.to_json(deferred=False)}, "items": [item]}, pretty=False)
    content = TURNS.sub("\N{REPLACEMENT CHARACTER}", ESCAPED_TURNS.sub(r"\\ufffd", content))
    for sign, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        content = content.replace(sign, code)
    return content, places
