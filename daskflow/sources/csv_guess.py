"""Guesses how a CSV file is written (encoding, separator, header, blanks, words for missing), each with its reason."""

from __future__ import annotations

import codecs
from collections import Counter
from dataclasses import replace
from typing import Any

import pyarrow as pa

from daskflow.core.errors import DataError
from daskflow.sources.csv_coding import MARKS, as_text, as_utf8, coding_of
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_sample import evidence
from daskflow.sources.csv_text import HEAD_BYTES, Record, records, text_of
from daskflow.sources.csv_types import Cells, type_of_sample
from daskflow.sources.csv_unpacking import beginning, check_beginning, packing_of
from daskflow.sources.reading import FoundFile

SEPARATORS = (",", ";", "\t", "|")

LOOKED_AT_ROWS = 500

NAMED = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}

WORD_FOR_MISSING = "?"


def dialect_of(file: FoundFile) -> tuple[dict[str, Any], list[str]]:
    """Return options of the ``csv`` source for a file, and sentences on what was found.

    Parameters
    ----------
    file : FoundFile
        Its beginning is read.

    Returns
    -------
    options : dict
        Those that differ from the defaults.
    notes : list of str
        One per finding.

    Raises
    ------
    DataError
        For a file without a line.
    """
    packing = packing_of(file, "infer")
    data = beginning(file, HEAD_BYTES, packing)
    check_beginning(file, data, packing)
    encoding, notes = _encoding(data)
    coding, plain = coding_of(data, encoding, file.name), Dialect()
    text = text_of(as_utf8(as_text(data, coding, file.name, is_whole=False), coding.charset))
    separator, rows = _separated(text, plain, file.name, is_whole=len(data) < HEAD_BYTES)
    if not rows:
        raise DataError(f"{file.name} is empty, but for blank lines. Write it again, or take it out of the path.")
    options: dict[str, Any] = {}
    if encoding is not None:
        options["encoding"] = encoding
    if separator != ",":
        options["separator"] = separator
        notes.append(f"Separated by {NAMED[separator]}s: the {len(rows)} rows looked at have as many cells with it.")
    width, count = Counter(len(row.cells) for row in rows).most_common(1)[0]
    if count < len(rows):
        odd = next(row for row in rows if len(row.cells) != width)
        notes.append(
            f"{len(rows) - count} of {len(rows)} rows have not {width} cells, the first in line {odd.line}: "
            "see skip_rows, comment, quote and on_bad_rows."
        )
    whole = [row.cells for row in rows if len(row.cells) == width]
    found, more = _cells(whole, replace(plain, separator=separator))
    return {**options, **found}, notes + more


def _encoding(data: bytes) -> tuple[str | None, list[str]]:
    """The encoding of a file's beginning, with a note unless it is UTF-8; None where it need not be said."""
    marked = next((word for mark, word in MARKS.items() if data.startswith(mark)), None)
    if marked is not None:
        return (None, []) if marked == "utf-8" else (marked[:6], [f"Encoding {marked[:6]}, by its byte order mark."])
    zeros = [data[:4096:2].count(0), data[1:4096:2].count(0)]
    if max(zeros) > len(data[:4096]) // 4:
        encoding = "utf-16-be" if zeros[0] > zeros[1] else "utf-16-le"
        return encoding, [f"Encoding {encoding}: every other byte is zero."]
    try:
        codecs.getincrementaldecoder("utf-8")("strict").decode(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        encoding = "cp1252" if _is_cp1252(data) else "latin-1"
        return encoding, [
            f"Encoding {encoding}: byte {data[error.start : error.start + 1]!r} in line {line} is not UTF-8. Look at "
            "the text in the profile; many encodings look alike."
        ]
    return None, []


def _is_cp1252(data: bytes) -> bool:
    """Whether bytes that latin-1 leaves to control codes are the letters of Windows."""
    if not any(0x80 <= byte <= 0x9F for byte in set(data)):
        return False
    try:
        data.decode("cp1252")
    except UnicodeDecodeError:
        return False
    return True


def _separated(text: str, plain: Dialect, name: str, *, is_whole: bool) -> tuple[str, list[Record]]:
    """The separator by which most rows have the same number of cells, more than one; and the rows cut by it."""
    best: tuple[tuple[float, int], str, list[Record]] = ((0.0, 0), ",", [])
    for separator in SEPARATORS:
        rows: list[Record] = []
        try:
            for row in records(text, replace(plain, separator=separator), name, is_whole=is_whole):
                rows.append(row)
                if len(rows) == LOOKED_AT_ROWS:
                    break
        except DataError:
            pass  # a quote that is open by this separator; the rows before it count
        if not rows:
            continue
        width, count = Counter(len(row.cells) for row in rows).most_common(1)[0]
        rank = (count / len(rows) if width > 1 else 0.0, width)
        if not best[2] or rank > best[0]:
            best = (rank, separator, rows)
    return best[1], best[2]


def _cells(rows: list[list[str]], dialect: Dialect) -> tuple[dict[str, Any], list[str]]:
    """What cells of equal rows say of blanks, words for missing, and the header."""
    options: dict[str, Any] = {}
    notes: list[str] = []
    inner = [cell for row in rows for cell in row[1:]]
    if inner and sum(cell.startswith(" ") for cell in inner) > len(inner) / 4:
        options["skip_initial_space"] = True
        notes.append("Cells begin with blanks, which skip_initial_space takes off.")
    missing = (WORD_FOR_MISSING,) if any(cell.strip() == WORD_FOR_MISSING for cell in inner) else ()
    if missing:
        options["na_values"] = list(missing)
        notes.append(f"Some cells are {WORD_FOR_MISSING!r}, taken to be missing.")
    cells = Cells(dialect, {}, missing)
    kinds = [type_of_sample(pa.array(column, pa.string()), cells) for column in zip(*rows[1:], strict=True)]
    like_data, like_names = evidence(rows[0], kinds, cells)
    shown = dialect.separator.join(rows[0])[:60]
    if like_data and not like_names:
        options["header"] = False
        notes.append(f"No header: the first row ({shown!r}) is like the rows below. Give the columns names = [...].")
    elif like_names:
        notes.append(f"The first row ({shown!r}) is a header: there are words above numbers, times or booleans.")
    elif kinds:
        notes.append(f"The first row ({shown!r}) is taken to be a header; all columns are text, so it may be data.")
    return options, notes
