"""What a part of the report is made of: sentences, pictures and tables, before any markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bokeh.plotting import figure

from daskflow.reports.pictures import Picture
from daskflow.reports.tables import Table


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph; a note is quiet."""

    text: str
    is_note: bool = False
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of what follows within a part."""

    text: str
    key: str = ""
    kind: str = "heading"


@dataclass(frozen=True, slots=True)
class Pictures:
    """Pictures side by side.

    Attributes
    ----------
    pictures : sequence of Picture
        In reading order.
    size : str
        Empty, or ``small`` for small multiples.
    whole : sequence of str
        Keys of pictures that take the whole width.
    """

    pictures: Sequence[Picture]
    size: str = ""
    whole: Sequence[str] = ()
    kind: str = "pictures"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table on the page.

    Attributes
    ----------
    table : Table
        Its text.
    caption : str
        What it is, for those who do not see it.
    is_wide : bool
        Whether it takes the whole width.
    folded : str
        The words of the line that unfolds it; empty for a table that is always open.
    marks : str
        ``trials`` or ``thresholds``: the rows are those of the source of this name (`rows` says which), and can
        be chosen.
    rows : sequence of int
        Rows of that source.
    """

    table: Table
    caption: str
    is_wide: bool = False
    folded: str = ""
    marks: str = ""
    rows: Sequence[int] = ()
    kind: str = "grid"


@dataclass(frozen=True, slots=True)
class Beside:
    """Blocks next to each other where there is room."""

    blocks: Sequence[Block]
    kind: str = "beside"


@dataclass(frozen=True, slots=True)
class Items:
    """Warnings: (words of the kind, sentence, part of the report that shows it or empty)."""

    items: Sequence[tuple[str, str, str]]
    kind: str = "items"


@dataclass(frozen=True, slots=True)
class Code:
    """Text to copy; folded away below these words where there are any."""

    text: str
    folded: str = ""
    is_copied: bool = False
    kind: str = "code"


@dataclass(frozen=True, slots=True)
class Live:
    """A line that the page writes when something is marked in the figures of this name."""

    name: str
    text: str
    kind: str = "live"


Block = Text | Heading | Pictures | Grid | Beside | Items | Code | Live


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the report: its name in the address, its heading, and its blocks."""

    key: str
    title: str
    blocks: Sequence[Block] = field(default=())

    def figures(self) -> dict[str, figure]:
        """Return the figures of all blocks by their keys."""
        found: dict[str, figure] = {}
        waiting = list(self.blocks)
        while waiting:
            block = waiting.pop(0)
            if isinstance(block, Beside):
                waiting = [*block.blocks, *waiting]
            elif isinstance(block, Pictures):
                found.update({picture.key: picture.figure for picture in block.pictures})
        return found
