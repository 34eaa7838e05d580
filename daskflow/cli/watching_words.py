"""Words and bars of the terminal view: nothing of them moves the cursor, and all of them have a known width."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text

from daskflow.cli.verb import number
from daskflow.core.estimates import about


@dataclass(frozen=True, slots=True)
class Ink:
    """What bars are drawn with.

    Attributes
    ----------
    full, empty, more : str
        A cell that is done, one that is not, and what ends a line that is cut.
    """

    full: str = "━"
    empty: str = "─"
    more: str = "…"


ASCII = Ink("#", ".", "~")
"""For terminals that do not know UTF-8."""


def ink_of(encoding: str | None) -> Ink:
    """Return what can be drawn in an encoding.

    Examples
    --------
    >>> ink_of("utf-8").full, ink_of("ascii").full, ink_of(None).full
    ('━', '#', '#')
    """
    return Ink() if (encoding or "").lower().replace("_", "-") in ("utf-8", "utf8") else ASCII


def clean(text: str) -> str:
    """Return a text in one line that cannot do anything to a terminal.

    Control characters, those that turn the direction of writing, and those without a width known to all terminals
    are shown as ``?``; what parts lines is a blank.

    Examples
    --------
    >>> clean("a\\x1b[2Jb\\nc\\u202ed")
    'a?[2Jb c?d'
    """
    return "".join(map(_plain, text))


def _plain(character: str) -> str:
    if character in "\n\r\t\u2028\u2029\x0b\x0c\x85":
        return " "
    return "?" if unicodedata.category(character)[0] == "C" else character


def fitted(line: Text, width: int, more: str = "…") -> Text:
    """Return a line that is no wider than `width` cells; one that is cut ends with `more`."""
    line = line.copy()
    line.rstrip()
    if line.cell_len > width:
        line.truncate(max(0, width - 1))
        line.rstrip()
        line.append(more if width > 0 else "")
    return line


def wrapped(head: str, words: Sequence[str], width: int, *, parted: str = ", ", style: str = "") -> list[Text]:
    """Return words behind a head, on as many lines as they need; no word is parted.

    Examples
    --------
    >>> [line.plain for line in wrapped("best ", ["one", "two", "three"], 14)]
    ['best one, two,', '     three']
    """
    lines = [Text(head)]
    is_first = True
    for place, word in enumerate(words):
        end = parted if place < len(words) - 1 else ""
        if not is_first and lines[-1].cell_len + cell_len(word) + len(end.rstrip()) > width:
            lines.append(Text(" " * len(head)))
        lines[-1].append(word + end, style)
        is_first = False
    for line in lines:
        line.rstrip()
    return lines if words else []


def cut(lines: list[Text], most: int) -> list[Text]:
    """Return `most` lines at most; the last one says that there were more."""
    if len(lines) > most > 0:
        last = lines[most - 1].copy()
        last.right_crop(len(last.plain) - len(last.plain.rstrip(", ")))
        return [*lines[: most - 1], last.append(" …", "dim")]
    return lines[: max(0, most)]


def shortened(lines: list[Text], most: int, what: str, width: int) -> list[Text]:
    """Return `most` lines at most; where some are left out, the last one says how many. One alone says nothing."""
    if len(lines) <= most:
        return lines
    rest = len(lines) - most + 1
    return [*lines[: most - 1], Text(f"        and {rest:,} more {what}s"[:width], "dim")] if most > 1 else []


def bar(done: float, cells: int, ink: Ink, style: str) -> Text:
    """Return a bar; all empty while the share is not known."""
    full = 0 if math.isnan(done) else min(cells, max(0, int(done * cells)))
    return Text.assemble((ink.full * full, style), (ink.empty * (cells - full), "dim"))


def share(value: float) -> str:
    """Return a share in percent, never 100 before it is whole.

    Examples
    --------
    >>> share(0.416), share(0.9999), share(1.0)
    ('41%', '99%', '100%')
    """
    return f"{int(100 * value + 1e-9)}%"


def size(n_bytes: float) -> str:
    """Return bytes in words.

    Examples
    --------
    >>> size(512), size(3.5 * 2**20), size(12 * 2**30)
    ('512 B', '3.5 MiB', '12 GiB')
    """
    value, unit = float(n_bytes), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if value < 1000:
            break
        value, unit = value / 1024, larger
    return f"{number(float(f'{value:.2g}') if value < 100 else round(value))} {unit}"


def counted(value: float) -> str:
    """Return a count with its thousands parted, and with no more digits than a rate has.

    Examples
    --------
    >>> counted(17763.2), counted(3.21)
    ('17,800', '3.21')
    """
    return f"{float(f'{value:.3g}'):,.12g}"


def left(band: tuple[float, float, float]) -> str:
    """Return how long something still takes; empty where that is not known, or no time worth telling.

    Examples
    --------
    >>> left((181.0, 121.0, 299.0)), left((math.nan, math.nan, math.nan))
    ('about 3 min left (2 to 5)', '')
    """
    return "" if math.isnan(band[0]) or band[0] < 1 else about(*band, then=" left")
