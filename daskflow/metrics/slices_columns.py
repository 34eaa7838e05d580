"""Groups of rows by the values of a column: levels, ranges of numbers, spans of time, and missing as one of its own.

They are chosen once, from a sample of rows, so that every block of a table is cut in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data.arrays import MISSING, ORIGIN, UNKNOWN, Level, levels, numbers, seconds
from daskflow.data.schema import ColumnKind, kind_of

Codes = NDArray[np.int64]

FEW = 2
"""A number of at most so many times `n_bins` distinct values is taken level by level: a code, not a measure."""

NAMED = 0.5
"""Texts whose most frequent levels hold less than this share of the rows are names of single things, not groups; they
are left out unless they were asked for."""

MISSING_GROUP, OTHER_GROUP = "missing", "other"


@dataclass(frozen=True, slots=True)
class SliceColumn:
    """One column's groups.

    Attributes
    ----------
    name : str
        The column.
    kind : str
        ``levels``, ``bins`` (numbers) or ``times``.
    values : tuple
        Levels, or the inner edges between bins (numbers; seconds since 2000 for times), in order.
    groups : tuple of str
        Names of the groups: of the values, or of the bins between the edges; then ``other`` where there are levels
        beyond the values; last ``missing``.
    shares : tuple of float
        Share of the sample's rows in each group.
    """

    name: str
    kind: Literal["levels", "bins", "times"]
    values: tuple[Level, ...]
    groups: tuple[str, ...]
    shares: tuple[float, ...]

    @property
    def other(self) -> int:
        """Code of the group ``other``; -1 where there is none."""
        return len(self.values) if self.kind == "levels" else -1

    def codes(self, table: pa.Table) -> Codes:
        """Return each row's group, int64 of shape (n_rows,)."""
        column = table.column(self.name)
        last = len(self.groups) - 1
        if self.kind == "levels":
            known = {value: place for place, value in enumerate(self.values)}
            found = levels(column).coded(known)
            return np.where(found == MISSING, last, np.where(found == UNKNOWN, self.other, found))
        given = numbers(column) if self.kind == "bins" else seconds(column)
        codes = np.searchsorted(np.asarray(self.values, dtype=np.float64), given, side="right")
        return np.where(np.isnan(given), last, codes).astype(np.int64)

    def frequent(self, most: int) -> tuple[int, ...]:
        """Return the codes of the most frequent groups of the sample; ``other`` is none."""
        chosen = [code for code in range(len(self.groups)) if code != self.other and self.shares[code] > 0]
        return tuple(sorted(sorted(chosen, key=lambda code: (-self.shares[code], code))[:most]))


@dataclass(frozen=True, slots=True)
class SliceColumns:
    """The columns that rows are grouped by.

    Attributes
    ----------
    columns : tuple of SliceColumn
        In the table's order, or in the order they were asked for.
    left_out : tuple of str
        Sentences: which columns are not among them, and why.
    """

    columns: tuple[SliceColumn, ...]
    left_out: tuple[str, ...] = ()


def slice_columns(
    sample: pa.Table,
    columns: Sequence[str] | None = None,
    n_bins: int = 5,
    n_levels: int = 20,
    *,
    most: int = 50,
) -> SliceColumns:
    """Choose the groups of columns from a sample of rows.

    Numbers are cut at quantiles into bins of about equal rows, unless they have few distinct values; dates and times
    are cut in the same way; other columns keep their most frequent levels, and the rest is the group ``other``. Missing
    values are a group of their own in every column.

    Parameters
    ----------
    sample : pa.Table
        Rows of source columns; some thousands are enough.
    columns : sequence of str, optional
        Default: every column that has groups; identifiers and constants are left out.
    n_bins : int
        Bins of a number or a time.
    n_levels : int
        Levels of any other column.
    most : int
        Columns when none are named; the first of the table.

    Raises
    ------
    DataError
        For a named column that does not exist, or that has a type without groups.

    Examples
    --------
    >>> table = pa.table({"fuel": ["gas", "oil", None, "gas"], "age": [1.5, 2.5, 30.5, 40.5]})
    >>> fuel, age = slice_columns(table, n_bins=1).columns
    >>> fuel.kind, fuel.groups, fuel.codes(table)
    ('levels', ('gas', 'oil', 'other', 'missing'), array([0, 1, 3, 0]))
    >>> slice_columns(pa.table({"age": [float(i) + 0.5 for i in range(40)]}), n_bins=3).columns[0].groups
    ('< 13.5', '13.5 to < 26.5', '>= 26.5', 'missing')
    """
    if n_bins < 1 or n_levels < 1:
        raise DataError(f"Slices need at least one bin and one level; found n_bins = {n_bins}, n_levels = {n_levels}.")
    asked = columns is not None
    chosen: list[SliceColumn] = []
    left_out: list[str] = []
    beyond: list[str] = []
    for name in sample.column_names if columns is None else dict.fromkeys(columns):
        if name not in sample.column_names:
            raise DataError(f"slices names '{name}': there is no such column{nearest(name, sample.column_names)}")
        found = _column(sample, name, n_bins, n_levels, asked)
        if isinstance(found, str):
            left_out.append(found)
        elif not asked and len(chosen) >= most:
            beyond.append(name)
        else:
            chosen.append(found)
    if beyond:
        left_out.append(
            f"{len(beyond)} columns beyond the first {most} are not looked at: {', '.join(beyond[:10])}"
            f"{', ...' if len(beyond) > 10 else ''}. Name those that matter: slices = [...]."
        )
    return SliceColumns(tuple(chosen), tuple(left_out))


def _column(sample: pa.Table, name: str, n_bins: int, n_levels: int, asked: bool) -> SliceColumn | str:
    """Return a column's groups, or the sentence that says why it has none."""
    column = sample.column(name)
    try:
        kind = kind_of(column.type, name)
    except DataError:
        if asked:
            raise
        return f"'{name}' is {column.type}, which has no groups."
    if kind is ColumnKind.DATETIME:
        values = seconds(column)
        if not asked and len(np.unique(values[np.isfinite(values)])) < 2:
            return f"'{name}' has one value."
        return _cut(name, "times", values, n_bins)
    if kind is ColumnKind.NUMERIC:
        values = numbers(column)
        if len(np.unique(values[~np.isnan(values)])) > FEW * n_bins:
            return _cut(name, "bins", values, n_bins)
    return _level_groups(name, column, n_levels, asked, is_ordered=kind is not ColumnKind.CATEGORICAL)


def _level_groups(name: str, column: Any, n_levels: int, asked: bool, *, is_ordered: bool) -> SliceColumn | str:
    """Return the groups of the most frequent levels; numbers and booleans in their order, texts by frequency."""
    found = levels(column)
    counts = found.counts()
    frequent = sorted(counts, key=lambda level: (-counts[level], str(level)))[:n_levels]
    if is_ordered:
        frequent = sorted(frequent, key=float)
    n_rows, n_missing = len(found.codes), int((found.codes == MISSING).sum())
    n_known = sum(counts[level] for level in frequent)
    if not asked and len(counts) < 2 and not (counts and n_missing):
        return f"'{name}' has one value."
    if not asked and n_known < NAMED * (n_rows - n_missing):
        return (
            f"'{name}' has {len(counts):,} values in {n_rows:,} rows, of which the {n_levels} most frequent hold "
            f"{100 * n_known / max(n_rows - n_missing, 1):.0f} %: names, not groups."
        )
    rows = [*(counts[level] for level in frequent), n_rows - n_missing - n_known, n_missing]
    names = [*(_text(level) for level in frequent), OTHER_GROUP, MISSING_GROUP]
    return SliceColumn(name, "levels", tuple(frequent), _apart(names), tuple(count / max(n_rows, 1) for count in rows))


def _cut(name: str, kind: Literal["bins", "times"], values: NDArray[np.float64], n_bins: int) -> SliceColumn:
    """Return the groups between quantiles; equal values are never cut apart."""
    present = values[~np.isnan(values)]
    edges: list[float] = []
    if len(present):
        quantiles = np.quantile(present, np.arange(1, n_bins) / n_bins, method="higher")
        edges = [edge for edge in np.unique(quantiles).tolist() if edge > present.min()]
    texts = _edge_texts(edges) if kind == "bins" else _instants(edges)
    names = ["all values"]
    if texts and kind == "bins" and all(_is_whole(value) for value in np.unique(present).tolist()):
        spans = [(int(low), int(high) - 1) for low, high in pairwise(edges)]
        inner = [str(low) if low == high else f"{low} to {high}" for low, high in spans]
        names = [f"< {texts[0]}", *inner, f">= {texts[-1]}"]
    elif texts:
        names = [f"< {texts[0]}", *(f"{low} to < {high}" for low, high in pairwise(texts)), f">= {texts[-1]}"]
    codes = np.where(np.isnan(values), len(names), np.searchsorted(edges, values, side="right"))
    shares = np.bincount(codes, minlength=len(names) + 1) / max(len(values), 1)
    return SliceColumn(name, kind, tuple(edges), (*names, MISSING_GROUP), tuple(shares.tolist()))


def _edge_texts(edges: Sequence[float]) -> list[str]:
    """Numbers with as few digits as tell them apart, at least three; whole numbers with all of theirs."""
    texts: list[str] = []
    for digits in range(3, 18):
        texts = [str(int(edge)) if _is_whole(edge) else _rounded(edge, digits) for edge in edges]
        if len(set(texts)) == len(texts):
            break
    return texts


def _rounded(edge: float, digits: int) -> str:
    """A number with so many digits, written out up to a thousand million million.

    Examples
    --------
    >>> _rounded(1604.25, 3), _rounded(0.12345, 3), _rounded(1.234e-7, 3), _rounded(1.5e20, 3)
    ('1600', '0.123', '1.23e-07', '1.5e+20')
    """
    text = f"{edge:.{digits}g}"
    return f"{float(text):.0f}" if "e+" in text and abs(edge) < 1e15 else text


def _is_whole(edge: float) -> bool:
    return abs(edge) < 1e15 and edge.is_integer()


def _instants(edges: Sequence[float]) -> list[str]:
    """Instants as ISO text: dates where all are midnights."""
    at = (np.asarray(edges, dtype=np.float64).round() + ORIGIN).astype("int64").astype("datetime64[s]")
    is_dates = len(at) and (at == at.astype("datetime64[D]")).all()
    return [str(instant) for instant in (at.astype("datetime64[D]") if is_dates else at)]


def _text(level: Level) -> str:
    """A level as it is shown."""
    return level if isinstance(level, str) else str(level)


def _apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names, those of levels that are the words for our own groups in quotes."""
    own = len(names) - 2
    taken = (MISSING_GROUP, OTHER_GROUP, "")
    return tuple(f"'{name}'" if place < own and name in taken else name for place, name in enumerate(names))
