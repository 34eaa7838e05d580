"""Notebook: what objects show of themselves as small, escaped HTML without scripts."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

TURNS = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\x00]")
"""Characters that change the direction of the text after them, or end it."""

MAX_CELL = 60
"""Characters of a cell; longer text is cut, and its tooltip has more of it."""

MAX_ROWS = 12
"""Rows of a table; the rest is counted."""

CELL = (
    "text-align:left;vertical-align:top;padding:2px 14px 2px 0;border:0;border-bottom:1px solid rgba(128,128,128,.35)"
)
SOFT = "opacity:.72"


def text(value: object, length: int = 400) -> str:
    """Return a value as escaped text of one line, cut when long.

    Examples
    --------
    >>> text("<b>&"), text("a" * 9, 5)
    ('&lt;b&gt;&amp;', 'aaaa…')
    """
    line = TURNS.sub("\N{REPLACEMENT CHARACTER}", " ".join(str(value).split()))
    return escape(line if len(line) <= length else f"{line[: length - 1]}…", quote=True)


def block(
    what: str,
    title: str,
    *,
    pairs: Mapping[str, object] | None = None,
    sentences: Sequence[str] = (),
    head: Sequence[str] = (),
    rows: Sequence[Sequence[object]] = (),
) -> str:
    """Return what a notebook shows of an object.

    Colours are those of the page it stands in, light or dark; nothing is loaded, and there is no script and no style
    sheet that could reach other parts of the page.

    Parameters
    ----------
    what : str
        What it is, such as ``Run``.
    title : str
        Which one.
    pairs : mapping, optional
        Words and their values.
    sentences : sequence of str
        Paragraphs.
    head, rows : sequence
        A table; at most `MAX_ROWS` rows are shown and the others counted.
    """
    parts = [
        '<div style="font-family:system-ui,sans-serif;font-size:13px;line-height:1.5;max-width:72em;overflow-x:auto">',
        f'<div style="margin:0 0 4px"><span style="{SOFT}">{text(what)}</span> <strong>{text(title)}</strong></div>',
        *(f'<p style="margin:0 0 4px">{text(sentence)}</p>' for sentence in sentences),
    ]
    if pairs:
        name = f'<th scope="row" style="{CELL};font-weight:400;{SOFT}">'
        body = "".join(
            f'<tr style="background:none">{name}{text(word, MAX_CELL)}</th><td style="{CELL}">{text(value)}</td></tr>'
            for word, value in pairs.items()
        )
        parts.append(_table(body))
    if rows:
        names = "".join(f'<th scope="col" style="{CELL};font-weight:600">{text(word, MAX_CELL)}</th>' for word in head)
        body = "".join(f'<tr style="background:none">{"".join(map(_cell, row))}</tr>' for row in rows[:MAX_ROWS])
        parts.append(_table(f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody>"))
        if len(rows) > MAX_ROWS:
            parts.append(f'<div style="{SOFT}">and {len(rows) - MAX_ROWS:,} more</div>')
    return "".join([*parts, "</div>"])


def _table(body: str) -> str:
    return f'<table style="border-collapse:collapse;margin:4px 0;border:0;font:inherit;color:inherit">{body}</table>'


def _cell(value: object) -> str:
    """A cell, with a tooltip when it is cut."""
    whole = str(value)
    title = f' title="{text(whole)}"' if len(whole) > MAX_CELL else ""
    return f'<td style="{CELL}"{title}>{text(whole, MAX_CELL)}</td>'
