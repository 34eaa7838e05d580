"""Columns of a sample: cut into bins, so that all kinds can be compared, and how much they go together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform
from scipy.stats import rankdata

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data import arrays
from daskflow.data.schema import ColumnKind, kind_of

Floats = NDArray[np.float64]

BINS = 10
"""Bins of a column: tenths of its rows, or its most frequent levels; missing values have one of their own."""

LOOKED_AT = 2_000
"""Rows that the association of columns is found from."""

MOST_PAIRED = 200
"""Columns that are compared with each other, at most."""


@dataclass(frozen=True, slots=True)
class Binned:
    """A column as bins.

    Attributes
    ----------
    codes : ndarray of int64, shape (n_rows,)
        Bin of each row.
    n_bins : int
        Bins.
    ranks : ndarray of float64 or None
        Ranks of the values, the missing ones in the middle; None for categories.
    """

    codes: NDArray[np.int64]
    n_bins: int
    ranks: Floats | None


def open_rows(rows: pa.Table | str | Path) -> pa.Table:
    """Return a table, or that of an Arrow IPC file, memory-mapped.

    Raises
    ------
    DataError
        When the file is not there, or is none.
    """
    if isinstance(rows, pa.Table):
        return rows.unify_dictionaries()
    try:
        source = pa.memory_map(str(rows))
        try:
            return pa.ipc.open_file(source).read_all().unify_dictionaries()
        except pa.ArrowInvalid:
            source.seek(0)
            return pa.ipc.open_stream(source).read_all().unify_dictionaries()
    except (OSError, pa.ArrowInvalid) as error:
        raise DataError(f"{rows} cannot be read as an Arrow file: {error}.") from error


def columns_of(predictor: Any, rows: pa.Table, asked: Sequence[str] | None = None) -> list[str]:
    """Return the columns that are to be explained: those asked for, else those the model learned, else all.

    Raises
    ------
    DataError
        For a column that is asked for and is not there, or stands twice.
    """
    names = list(rows.column_names)
    if asked is None:
        schema = getattr(predictor, "schema", None)
        return [name for name in names if schema is None or name in schema.names]
    for name in asked:
        if name not in names:
            raise DataError(f"There is no column '{name}' to explain{nearest(str(name), names)}")
    if len(set(asked)) < len(asked):
        raise DataError(
            f"Columns to explain stand twice: {', '.join(sorted({n for n in asked if asked.count(n) > 1}))}."
        )
    return list(asked)


def numbers_of(column: pa.ChunkedArray, kind: ColumnKind) -> Floats:
    """Return numbers, truths or times as float64; missing is nan."""
    return arrays.seconds(column) if kind is ColumnKind.DATETIME else arrays.numbers(column)


def binned(column: pa.ChunkedArray, name: str) -> Binned:
    """Cut a column into bins.

    Examples
    --------
    >>> binned(pa.chunked_array([["a", None, "b", "a"]]), "x").codes
    array([0, 2, 1, 0])
    """
    kind = kind_of(column.type, name)
    if kind is ColumnKind.CATEGORICAL:
        found = arrays.levels(column)
        counts = np.bincount(found.codes + 1, minlength=len(found.values) + 1)[1:]
        frequent = np.argsort(-counts, kind="stable")[: BINS - 1]
        codes_of = np.full(len(found.values) + 1, min(len(frequent), BINS - 1), dtype=np.int64)
        codes_of[frequent] = np.arange(len(frequent))
        codes_of[-1] = len(frequent) + 1
        return _dense(codes_of[found.codes], None)
    values = numbers_of(column, kind)
    is_missing = np.isnan(values)
    there = values[~is_missing]
    if not len(there):
        return Binned(np.zeros(len(values), dtype=np.int64), 1, np.zeros(len(values)))
    edges = np.unique(np.quantile(there, np.linspace(0, 1, BINS + 1)[1:-1], method="inverted_cdf"))
    codes = np.searchsorted(edges, values, side="left").astype(np.int64)
    codes[is_missing] = len(edges) + 1
    ranks = rankdata(np.where(is_missing, np.median(there), values))
    return _dense(codes, ranks)


def _dense(codes: NDArray[np.int64], ranks: Floats | None) -> Binned:
    """Bins that have rows, numbered without gaps."""
    used, dense = np.unique(codes, return_inverse=True)
    return Binned(dense.astype(np.int64), max(len(used), 1), ranks)


def explained_share(column: Binned, outputs: Floats) -> float:
    """Return the share of the outputs' variance that lies between a column's bins; outputs (n_rows, n_outputs).

    Examples
    --------
    >>> explained_share(Binned(np.array([0, 0, 1, 1]), 2, None), np.array([[1.0], [1.0], [3.0], [3.0]]))
    1.0
    """
    centred = outputs - outputs.mean(axis=0)
    total = float((centred**2).sum())
    if not np.isfinite(total) or total == 0.0:
        return 0.0
    counts = np.bincount(column.codes, minlength=column.n_bins)
    sums = np.column_stack([np.bincount(column.codes, values, column.n_bins) for values in centred.T])
    return float((sums**2 / np.maximum(counts, 1)[:, None]).sum()) / total


def by_promise(rows: pa.Table, names: Sequence[str], outputs: Floats) -> list[str]:
    """Return columns in the order of how much the predictions go with them, so that those that matter come first."""
    outputs = outputs[:, np.isfinite(outputs).all(axis=0)]  # classes that an estimator never saw have no scores
    shares = {name: explained_share(binned(rows.column(name), name), outputs) for name in names}
    return sorted(names, key=lambda name: -shares[name])


def associations(rows: pa.Table, names: Sequence[str]) -> Floats:
    """Return how much each two columns go together, from 0 to 1; shape (n_columns, n_columns).

    Of numbers, truths and times it is the size of Spearman's rank correlation; where a category is among the two,
    Cramér's V of their bins, corrected for chance (Bergsma, 2013). Found from evenly spaced rows, `LOOKED_AT` at most.
    """
    if len(rows) > LOOKED_AT:
        rows = rows.take(pa.array(np.arange(LOOKED_AT) * len(rows) // LOOKED_AT))
    columns = [binned(rows.column(name), name) for name in names]
    if len(columns) < 2 or len(rows) < 2:
        return np.eye(len(columns))
    starts = np.concatenate([[0], np.cumsum([column.n_bins for column in columns])])
    indicator = np.zeros((len(rows), int(starts[-1])), dtype=np.float32)
    for start, column in zip(starts, columns, strict=False):
        indicator[np.arange(len(rows)), start + column.codes] = 1.0
    tables = (indicator.T @ indicator).astype(np.float64)
    found = np.eye(len(columns))
    ranks = {number: column.ranks for number, column in enumerate(columns) if column.ranks is not None}
    for i, left in enumerate(columns):
        for j in range(i):
            if left.ranks is None or columns[j].ranks is None:
                block = tables[starts[i] : starts[i + 1], starts[j] : starts[j + 1]]
                found[i, j] = found[j, i] = _cramers_v(block)
    if len(ranks) > 1:
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = np.corrcoef(np.column_stack(list(ranks.values())), rowvar=False)
        found[np.ix_(list(ranks), list(ranks))] = np.minimum(np.abs(np.nan_to_num(correlation)), 1.0)
    np.fill_diagonal(found, 1.0)
    return found


def _cramers_v(table: Floats) -> float:
    """Cramér's V of a table of counts, less what chance gives."""
    n = table.sum()
    n_rows, n_columns = table.shape
    if n < 2 or min(table.shape) < 2:
        return 0.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0, keepdims=True) / n
    phi = float(((table - expected) ** 2 / expected).sum()) / n
    phi = max(0.0, phi - (n_rows - 1) * (n_columns - 1) / (n - 1))
    least = min(n_rows - (n_rows - 1) ** 2 / (n - 1), n_columns - (n_columns - 1) ** 2 / (n - 1)) - 1
    return float(min(1.0, np.sqrt(phi / least))) if least > 0 else 0.0


def associated_pairs(rows: pa.Table, names: Sequence[str], least: float = 0.8) -> list[tuple[str, str, float]]:
    """Return the pairs of columns that go together at least so much, strongest first; of the first 200 columns."""
    names = list(names)[:MOST_PAIRED]
    found = associations(rows, names)
    pairs = [
        (names[j], names[i], round(float(found[i, j]), 3))
        for i in range(len(names))
        for j in range(i)
        if found[i, j] >= least
    ]
    return sorted(pairs, key=lambda pair: -pair[2])


def associated_groups(rows: Any, least: float = 0.9, columns: Sequence[str] | None = None) -> dict[str, list[str]]:
    """Group columns that say nearly the same, for `permutation_importance` to permute together.

    Parameters
    ----------
    rows : pyarrow.Table, pandas.DataFrame, or path of an Arrow IPC file
        A sample of rows.
    least : float
        Every two columns of a group go together at least so much (complete linkage); see `associations`. Default 0.9.
    columns : sequence of str, optional
        Which to look at; default all, 200 at most.

    Returns
    -------
    dict of str to list of str
        Groups of two columns or more, by the names of their columns joined with " + ".

    Examples
    --------
    >>> import pandas as pd
    >>> x = np.random.default_rng(0).normal(size=(2, 500))
    >>> associated_groups(pd.DataFrame({"km": x[0], "miles": x[0] / 1.609, "age": x[1]}))
    {'km + miles': ['km', 'miles']}
    """
    table = pa.Table.from_pandas(rows, preserve_index=False) if hasattr(rows, "iloc") else open_rows(rows)
    names = columns_of(None, table, columns)[:MOST_PAIRED]
    if len(names) < 2:
        return {}
    distance = 1.0 - associations(table, names)
    np.fill_diagonal(distance, 0.0)
    clusters = fcluster(linkage(squareform(distance, checks=False), "complete"), 1.0 - least + 1e-12, "distance")
    groups: dict[int, list[str]] = {}
    for name, cluster in zip(names, clusters, strict=True):
        groups.setdefault(int(cluster), []).append(name)
    return {" + ".join(members): members for members in groups.values() if len(members) > 1}
