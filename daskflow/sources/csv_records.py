"""Rows of CSV records, one by one: the careful way, which says of every bad row where it stands and why it is bad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from daskflow.sources.csv_coding import USUAL
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_text import SHOWN_TEXT, Head, Record, has_undecoded, readable
from daskflow.sources.csv_types import Cells
from daskflow.sources.parquet_schema import key

SHOWN_ROWS = 3
"""Bad rows told in full; the rest is counted."""

COUNTED_ROWS = 1_000
"""Bad rows after which a file that must not have any is given up."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that does not fit: its line, why, which column it was (if it was one), and its text."""

    line: int
    reason: str
    column: str | None
    text: str


def by_record(batch: Sequence[Record], head: Head, cells: Cells) -> tuple[pa.Table, list[BadRow]]:
    """Turn records into rows in the schema's order; what does not fit is left out and told.

    Parameters
    ----------
    batch : sequence of Record
        As cut from the text.
    head : Head
        Columns in the order of the file.
    cells : Cells
        How cells become values; of the columns that it has types for.
    """
    names = head.names
    bad: list[BadRow] = []
    good: list[Record] = []
    for record in batch:
        reason = _malformed(record, head)
        if reason is None:
            good.append(record)
        else:
            bad.append(BadRow(record.line, reason, None, readable(record.text[:SHOWN_TEXT])))
    columns: dict[str, Any] = {}
    first_misfit: dict[int, str] = {}
    by_column = zip(*(record.cells for record in good), strict=True) if good else [[] for _ in names]
    for name, text in zip(names, by_column, strict=True):
        if name not in cells.types:
            continue
        columns[name], misfits = cells.convert(name, pa.array(text, pa.string()))
        for row in misfits:
            first_misfit.setdefault(int(row), name)
    for row, name in first_misfit.items():
        found, record = good[row].cells[names.index(name)], good[row]
        reason = f"column '{name}' is {found!r:.60}, not {cells.described(name)}"
        bad.append(BadRow(record.line, reason, name, record.text[:SHOWN_TEXT]))
    rows = pa.table([columns[name] for name in cells.types], names=list(cells.types))
    if first_misfit:
        keep = np.ones(len(good), dtype=bool)
        keep[list(first_misfit)] = False
        rows = rows.filter(pa.array(keep))
    return rows, sorted(bad, key=lambda row: row.line)


def _malformed(record: Record, head: Head) -> str | None:
    """Why a record is no row at all; None when it is one."""
    if len(record.cells) != len(head.names):
        return f"{len(record.cells)} cells where there are {len(head.names)} columns"
    if head.is_repeated(record.cells):
        return "the header once more"
    if "\0" in record.text:
        return "a NUL byte"
    if has_undecoded(record.text):
        return f"bytes that are not {head.coding.encoding}"
    return None


def complaint(name: str, bad: Sequence[BadRow], dialect: Dialect) -> str:
    """Say which rows are bad, and what can be done."""
    rows = [f"{name}, line {row.line}: {row.reason} ({row.text.strip()[:80]!r})." for row in bad[:SHOWN_ROWS]]
    if len(bad) > SHOWN_ROWS:
        more = f"{len(bad) - SHOWN_ROWS}{' or more' if len(bad) > COUNTED_ROWS else ''}"
        rows.append(f"{name} has {more} other bad rows, the next in line {bad[SHOWN_ROWS].line}.")
    columns = list(dict.fromkeys(row.column for row in bad if row.column is not None))
    reasons = {row.reason for row in bad if row.column is None}
    remedies = ["correct the file"]
    if columns:
        types = ", ".join(f"{key(column)} = 'string'" for column in columns[:SHOWN_ROWS])
        remedies.append(f"set dtypes = {{{types}}} to keep such values as text")
        remedies.append("name the word in na_values if it stands for a missing value")
    if any("cells" in reason for reason in reasons):
        remedies.append(f"check separator ({dialect.separator!r}), quote and skip_rows")
        if dialect.escape is None and any("\\" in row.text for row in bad):
            remedies.append("set escape = '\\' when a backslash stands before separators and quotes that are text")
    if any("header" in reason for reason in reasons):
        remedies.append("put files together without their headers")
    if any("NUL" in reason or "bytes" in reason for reason in reasons):
        remedies.append(f"set encoding to what the file is written in ({USUAL})")
    remedies.append("set on_bad_rows = 'reject' to leave such rows out and have them listed")
    return "\n".join([*rows, f"What to do: {'; or '.join(remedies)}."])
