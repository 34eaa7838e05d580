"""Hints on columns of text that look like something else: the option that would read them, for the user to decide."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from daskflow.core.errors import DataError
from daskflow.sources.csv_sample import SampledFile, text_columns
from daskflow.sources.csv_types import TIME, Cells, type_of_sample
from daskflow.sources.opening import listed

LOOKED_AT_VALUES = 200

NUMBERS: Sequence[tuple[str, dict[str, Any]]] = (
    ("thousands = ','", {"thousands": ","}),
    ("currency = '£$€'", {"currency": "£$€"}),
    ("currency = '£$€' and thousands = ','", {"currency": "£$€", "thousands": ","}),
    ("decimal = ','", {"decimal": ","}),
    ("decimal = ',' and thousands = '.'", {"decimal": ",", "thousands": "."}),
)
"""Ways to write numbers, the simplest first."""

DATES = (
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y/%m/%d",
    "%d %B %Y",
    "%d %b %Y",
    "%d-%b-%Y",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M:%S",
)
"""Ways to write dates; where two fit, which is meant cannot be known."""

LIKE_A_NUMBER = r"^[+-]?\s*[£$€]?\s*[+-]?[0-9][0-9.,]*\s*[£$€]?$"
LIKE_A_DATE = r"^[0-9]{1,4}[-/. ][0-9A-Za-z]{1,9}[-/. ][0-9]{2,4}( [0-9:]+)?$"
"""What all values must look like before they are tried."""

BLANK_AND_QUOTE = re.compile(' +"')

SHOWN_HINTS, SHOWN_TYPES = 5, 40


def note_on_types(sample: Sequence[SampledFile], cells: Cells, said: Mapping[str, object]) -> list[str]:
    """Say which types were found, and in how much of the files."""
    found = [f"{name} {kind}" for name, kind in cells.types.items() if name not in said]
    if not found:
        return []
    n_rows, n_files = sum(len(one.rows) for one in sample), len(sample)
    more = f" and {len(found) - SHOWN_TYPES} more" if len(found) > SHOWN_TYPES else ""
    return [
        f"types found in {n_rows:,} rows of {n_files} file{'s' * (n_files > 1)}: {', '.join(found[:SHOWN_TYPES])}"
        f"{more}; a value that does not fit is a bad row, and dtypes says another type"
    ]


def hints(sample: Sequence[SampledFile], cells: Cells, said: Mapping[str, object]) -> list[str]:
    """Say of columns of text, whose type nobody has said, that they look like numbers or dates.

    Parameters
    ----------
    sample : sequence of SampledFile
        Rows that were looked at.
    cells : Cells
        How cells become values, with the types that were found.
    said : mapping
        Columns whose types the user said.
    """
    texts = [name for name, kind in cells.types.items() if pa.types.is_string(kind) and name not in said]
    found: dict[str, list[str]] = {}
    for name, column in text_columns(sample, texts).items():
        for hint in _hints_on(name, column, cells):
            found.setdefault(hint, []).append(name)
    shown = [
        f"{listed(names)} {'are' if len(names) > 1 else 'is'} text, but look{'' if len(names) > 1 else 's'} like {hint}"
        for hint, names in found.items()
    ]
    return shown[:SHOWN_HINTS]


def _hints_on(name: str, column: pa.Array, cells: Cells) -> Iterator[str]:
    """What one column looks like."""
    distinct = pc.unique(pc.utf8_trim_whitespace(column))
    values = distinct.filter(pc.invert(pc.is_in(distinct, value_set=pa.array(cells.missing)))).slice(
        0, LOOKED_AT_VALUES
    )
    if not len(values):
        return
    is_number, is_date = (
        pc.all(pc.match_substring_regex(values, like)).as_py() for like in (LIKE_A_NUMBER, LIKE_A_DATE)
    )
    for words, marks in NUMBERS if is_number else ():
        kind = type_of_sample(values, replace(cells, types={}, dialect=replace(cells.dialect, **marks)), name=name)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            yield f"numbers: {words} under [data] reads them so"
            return
    tried = DATES if is_date else ()
    fits = [known for known in tried if type_of_sample(values, replace(cells, types={}), known, name) == TIME]
    if len(fits) == 1:
        yield f"dates: date_format = '{fits[0]}' (or by column) under [data] reads them so"
    elif fits:
        yield f"dates of the format {' or '.join(map(repr, fits))}, which cannot be told apart: say date_format"


def has_blank_and_quote(text: pa.ChunkedArray) -> bool:
    """Whether some text begins with blanks and a quote, as the cell ``, "a"`` does where blanks belong to it."""
    return bool(pc.any(pc.match_substring_regex(text, f"^{BLANK_AND_QUOTE.pattern}")).as_py())


def refuse_quotes_behind_blanks(sample: Sequence[SampledFile], separator: str) -> None:
    """Refuse cells such as ``, "a"`` when nobody has said what the blank is: the quotes would be part of the text.

    Raises
    ------
    DataError
        With the first such row.
    """
    for one in sample:
        for row in one.rows:
            if ' "' in row.text and any(BLANK_AND_QUOTE.match(cell) for cell in row.cells):
                raise DataError(
                    f"{one.file.name}, line {row.line}: a blank stands between {separator!r} and a quote "
                    f"({row.text.strip()[:80]!r}), so the quote would be part of the text. Set skip_initial_space = "
                    "true under [data]; or skip_initial_space = false if it is part of the text."
                )
