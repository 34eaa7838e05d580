"""Drift: whether the test rows hold other values than the training rows, column by column.

Numbers and times: the statistic of Kolmogorov and Smirnov, the largest distance between two distribution functions,
with missing values below all others. Other columns: the total variation, half the summed distance between two shares of
levels, missing being one. Both lie between 0 (alike) and 1 (nothing in common), and are set against what chance gives
to two samples of the same rows in 999 of 1000 tables, for all columns together (Bonferroni).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data.arrays import MISSING, ORIGIN, Level, levels, numbers, seconds
from daskflow.data.profile_words import shown_of
from daskflow.data.schema import ColumnKind, kind_of

Floats = NDArray[np.float64]

CHANCE = 0.001
"""How often any column is called drifted where none is."""

SHOWN = 2
"""Levels named in a sentence."""


def drift(
    train: pa.Table,
    test: pa.Table,
    *,
    train_units: int | None = None,
    test_units: int | None = None,
    n_columns: int | None = None,
) -> list[dict[str, Any]]:
    """Compare two samples of rows column by column; those that both have, most drifted first.

    Parameters
    ----------
    train, test : pa.Table
        Random samples of the rows of either side, of source columns; ten thousand rows each are plenty.
    train_units, test_units : int, optional
        How many groups the rows of each sample come from, where rows of a group are alike: so many rows are what chance
        is reckoned by. Default: as many as rows.
    n_columns : int, optional
        How many columns are compared in all, where these are some of them. Default: these are all.

    Returns
    -------
    list of dict
        ``column``, ``statistic`` (``KS`` or ``TV``), ``value``, ``bound`` (what chance gives at most), ``is_drifted``,
        and ``train``, ``test``: what either side holds, as words. Columns of types that no model can use are left out.

    Raises
    ------
    DataError
        When a side has no rows.

    Notes
    -----
    Bounds: for KS the asymptotic one, ``sqrt(log(2 / a) / 2 * (1 / n + 1 / m))``, which holds for ties too. For the
    total variation its expected value (at most ``sum(sqrt(p * (1 - p) * (1 / n + 1 / m))) / 2`` over the levels) and
    ``sqrt(log(1 / a) / 2 * (1 / n + 1 / m))`` by McDiarmid's inequality ("On the method of bounded differences",
    1989): chance goes beyond it less often than that.

    Examples
    --------
    >>> train = pa.table({"fuel": ["gas"] * 900 + ["oil"] * 100, "age": range(1000)})
    >>> test = pa.table({"fuel": ["gas"] * 500 + ["oil"] * 500, "age": range(1000)})
    >>> [(row["column"], row["is_drifted"], row["test"]) for row in drift(train, test)]
    [('fuel', True, "'gas' 50.0 %, 'oil' 50.0 %"), ('age', False, 'median 500, half between 250 and 750')]
    """
    if not train.num_rows or not test.num_rows:
        side = "training" if not train.num_rows else "test"
        raise DataError(f"The sample of {side} rows is empty: drift needs rows on both sides.")
    names = comparable(train.schema, test.schema)
    if not names:
        return []
    n = min(train.num_rows, train_units or train.num_rows)
    m = min(test.num_rows, test_units or test.num_rows)
    chance = CHANCE / (n_columns or len(names))
    return ranked(_row(train, test, name, 1 / n + 1 / m, chance) for name in names)


def ranked(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return what `drift` says of columns in its order: drifted ones first, the most drifted before others."""
    return sorted(rows, key=lambda row: (not row["is_drifted"], -row["value"] / row["bound"], row["column"]))


def comparable(train: pa.Schema, test: pa.Schema) -> list[str]:
    """Return the columns that both sides have and that can be compared."""
    return [name for name in train.names if name in test.names and _is_usable(train, test, name)]


def _is_usable(train: pa.Schema, test: pa.Schema, name: str) -> bool:
    """Whether a column can be compared."""
    try:
        kind_of(train.field(name).type, name)
        kind_of(test.field(name).type, name)
    except DataError:
        return False
    return True


def _row(train: pa.Table, test: pa.Table, name: str, uncertainty: float, chance: float) -> dict[str, Any]:
    """One column's comparison."""
    one, other = train.column(name), test.column(name)
    # a column without values has no type of its own
    kind = kind_of(other.type if pa.types.is_null(one.type) else one.type, name)
    if kind in (ColumnKind.NUMERIC, ColumnKind.DATETIME):
        is_time = kind is ColumnKind.DATETIME
        first, second = ((seconds(side) if is_time else numbers(side)) for side in (one, other))
        value = distance(first, second)
        bound = math.sqrt(math.log(2 / chance) / 2 * uncertainty)
        words = tuple(_numbers_as_words(side, is_time) for side in (first, second))
        statistic = "KS"
    else:
        known, counts = _counts(one, other)
        shares = counts / counts.sum(axis=1, keepdims=True)
        value = float(np.abs(shares[0] - shares[1]).sum() / 2)
        pooled = counts.sum(axis=0) / counts.sum()
        expected = float(np.sqrt(pooled * (1 - pooled) * uncertainty).sum() / 2)
        bound = expected + math.sqrt(math.log(1 / chance) / 2 * uncertainty)
        words = _levels_as_words(known, shares)
        statistic = "TV"
    return {
        "column": name,
        "statistic": statistic,
        "value": value,
        "bound": min(bound, 1.0),
        "is_drifted": bool(value > bound),
        "train": words[0],
        "test": words[1],
    }


def distance(first: Floats, second: Floats) -> float:
    """Return the largest distance between two distribution functions, missing values standing below all others.

    Examples
    --------
    >>> distance(np.array([1.0, 2.0, 3.0, 4.0]), np.array([3.0, 4.0, np.nan, np.nan]))
    0.5
    """
    gaps = np.isnan(first).mean(), np.isnan(second).mean()
    one, other = np.sort(first[~np.isnan(first)]), np.sort(second[~np.isnan(second)])
    places = np.concatenate([one, other])
    below = gaps[0] + np.searchsorted(one, places, side="right") / len(first)
    beside = gaps[1] + np.searchsorted(other, places, side="right") / len(second)
    return float(np.abs(below - beside).max(initial=abs(gaps[0] - gaps[1])))


def _counts(one: Any, other: Any) -> tuple[list[Level], Floats]:
    """The levels of both sides, and rows by side and level, missing last."""
    sides = levels(one), levels(other)
    known = list(dict.fromkeys([*sides[0].values, *sides[1].values]))
    places = {level: place for place, level in enumerate(known)}
    codes = [np.where(code == MISSING, len(known), code) for code in (side.coded(places) for side in sides)]
    return known, np.vstack([np.bincount(code, minlength=len(known) + 1) for code in codes]).astype(np.float64)


def _levels_as_words(known: list[Level], shares: Floats) -> tuple[str, str]:
    """The levels whose shares differ most, by their shares on either side."""
    names = [*(shown_of(level) for level in known), "missing"]
    order = np.argsort(-np.abs(shares[0] - shares[1]), kind="stable")[:SHOWN].tolist()
    places = [place for place in order if shares[:, place].any()]
    words = [", ".join(f"{names[place]} {_share(side[place])}" for place in places) for side in shares]
    return words[0], words[1]


def _numbers_as_words(values: Floats, is_time: bool) -> str:
    """Median and quartiles, and how many are missing."""
    present = values[~np.isnan(values)]
    gaps = len(values) - len(present)
    missing = f"{_share(gaps / len(values))} missing" if gaps else ""
    if not len(present):
        return missing or "no values"
    low, middle, high = np.quantile(present, [0.25, 0.5, 0.75], method="higher").tolist()
    shown = [_instant(value) if is_time else shown_of(float(f"{value:.3g}")) for value in (low, middle, high)]
    found = f"median {shown[1]}, half between {shown[0]} and {shown[2]}"
    return f"{found}, {missing}" if missing else found


def _instant(value: float) -> str:
    """An instant to the minute."""
    return str(np.datetime64(int(value) + ORIGIN, "s").astype("datetime64[m]")).replace("T", " ")


def _share(share: float) -> str:
    """A share in hundredths."""
    return f"{100 * share:.1f} %"


def texts(rows: list[dict[str, Any]]) -> list[str]:
    """Return a sentence for each drifted column.

    Examples
    --------
    >>> train, test = pa.table({"age": range(1000)}), pa.table({"age": range(500, 1500)})
    >>> texts(drift(train, test))
    ["'age' differs between training and test rows (KS 0.50, chance gives at most 0.09): median 500, half between 250
    and 750 in training, median 1000, half between 750 and 1250 in test."]
    >>> texts(drift(train, train))
    []
    """
    return [
        f"{shown_of(row['column'])} differs between training and test rows ({row['statistic']} {row['value']:.2f}, "
        f"chance gives at most {row['bound']:.2f}): {row['train']} in training, {row['test']} in test."
        for row in rows
        if row["is_drifted"]
    ]
