"""Bins of a column, and the population stability index of recent rows against the rows that made them."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import chdtri

from daskflow.data.predictions import Predictions
from daskflow.data.schema import ColumnKind, Schema

Counts = NDArray[np.int64]
Floats = NDArray[np.float64]

PREDICTION = "(prediction)"
"""Name of the model's answers among the columns; in parentheses, since a column may have any name."""

MOST_ANSWERS = 100_000
"""Answers that bins are made of."""

QUANTILES = 10
"""Bins of numbers: tenths of the rows, fewer where values repeat."""

LAST_DAY = 2_932_896
"""The end of the year 9999, in days since 1970: later ones have a digit more, and days are compared as texts."""

LEVELS = 30
"""Levels that are a bin of their own, the most frequent."""

LEAST_SHARE = 0.005
"""Levels below this share are one bin together: an index over nearly empty bins says nothing."""

LEAST_EXPECTED = 5
"""Rows that a bin should have by its share; Cochran's rule for chi-square tests (Biometrics 1954)."""

KNOWN = 300
"""Levels that are remembered; of more, nothing new can be told from something rare."""

LONGEST = 64
"""Characters of a level that are kept; longer ones are shortened, with a digest."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Where the values of a column are counted, and how many of the reference rows fell where.

    Attributes
    ----------
    edges : tuple of float or None
        Of numbers, rising: bin i holds ``edges[i - 1] < value <= edges[i]``; one more bin above, one for missing.
    levels : tuple of str
        Of others: a bin for each; then those that were seen but rare, those that were not seen, and missing.
    rare : frozenset of str or None
        The levels of the bin of rare ones; None when there are too many to know, and the bin holds the unseen ones too.
    first_day : str or None
        Of times, as ``2024-05-01``, a day before all of training: a bin for those before it, one for those from then
        on, one for missing. A stream's
        times move on by themselves; but they do not fall behind all that training saw, and do not begin to be missing.
    counts : tuple of int
        Reference rows by bin.
    """

    edges: tuple[float, ...] | None = None
    levels: tuple[str, ...] = ()
    rare: frozenset[str] | None = frozenset()
    first_day: str | None = None
    counts: tuple[int, ...] = ()

    @classmethod
    def of(cls, values: Sequence[Any] | pa.Array | pa.ChunkedArray, kind: ColumnKind) -> Self:
        """Make the bins of values, such as a sample of the training rows, and count these.

        Parameters
        ----------
        values : sequence or pyarrow array
            Of one column; None and nan are missing.
        kind : ColumnKind
            Numbers are cut at their quantiles, times a day before the first of them, since days depend on the time
            zone; booleans and texts are levels.
        """
        if kind is ColumnKind.NUMERIC:
            numbers = numbers_of(values)
            there = numbers[np.isfinite(numbers)]
            cuts = np.arange(1, QUANTILES) / QUANTILES
            edges = np.unique(np.quantile(there, cuts, method="inverted_cdf")) if len(there) else there
            if len(edges) and edges[-1] == there.max():
                edges = edges[:-1]
            made = cls(edges=tuple(edges.tolist()))
        elif kind is ColumnKind.DATETIME:
            days = [day for day in days_of(values) if day is not None]
            made = cls(first_day=str(np.datetime64(min(days), "D") - 1) if days else "")
        else:
            seen = counted(values)
            seen.pop(None, None)
            ranked = sorted((level for level in seen if level is not None), key=lambda level: (-seen[level], level))
            least = LEAST_SHARE * sum(seen.values())
            levels = tuple(level for level in ranked[:LEVELS] if seen[level] >= least)
            rest = ranked[len(levels) :]
            made = cls(levels=levels, rare=frozenset(rest) if len(rest) <= KNOWN else None)
        return replace(made, counts=tuple(made.count(values).tolist()))

    @property
    def n_bins(self) -> int:
        """How many bins there are, those without rows too."""
        if self.first_day is not None:
            return 3
        return len(self.levels) + 3 if self.edges is None else len(self.edges) + 2

    @property
    def names(self) -> tuple[str, ...]:
        """What each bin holds, in words."""
        if self.first_day is not None:
            if not self.first_day:  # training saw none
                return "no time", "any time", "missing"
            return f"before {self.first_day}", f"from {self.first_day} on", "missing"
        if self.edges is None:
            return (*self.levels, "other levels", "unseen levels", "missing")
        low, high = ("", *(f"over {edge:.6g} " for edge in self.edges)), (*(f"to {e:.6g}" for e in self.edges), "")
        cut = tuple((a + b).strip() or "any number" for a, b in zip(low, high, strict=True))
        return (*cut, "missing")

    def count(self, values: Sequence[Any] | pa.Array | pa.ChunkedArray) -> Counts:
        """Count values by bin, shape (n_bins,)."""
        if self.edges is not None:
            numbers = numbers_of(values)
            codes = np.searchsorted(np.asarray(self.edges), numbers, side="left")
            codes[np.isnan(numbers)] = self.n_bins - 1
            return np.bincount(codes, minlength=self.n_bins)
        if self.first_day is not None:
            places = [2 if day is None else int(day >= self.first_day) for day in days_of(values)]
            return np.bincount(np.array(places, dtype=np.int64), minlength=self.n_bins)
        at: dict[Any, int] = {level: place for place, level in enumerate(self.levels)}
        found = np.zeros(self.n_bins, dtype=np.int64)
        other = len(self.levels)
        for level, count in counted(values).items():
            if level is None:
                found[-1] += count
            elif level in at:
                found[at[level]] += count
            else:
                found[other if self.rare is None or level in self.rare else other + 1] += count
        return found

    def are_of(self, kind: ColumnKind) -> bool:
        """Whether values of a kind can be counted by these."""
        if kind is ColumnKind.NUMERIC or self.edges is not None:
            return kind is ColumnKind.NUMERIC and self.edges is not None
        return (kind is ColumnKind.DATETIME) == (self.first_day is not None)

    def dump(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        if self.edges is not None:
            return {"edges": list(self.edges), "counts": list(self.counts)}
        if self.first_day is not None:
            return {"first_day": self.first_day, "counts": list(self.counts)}
        rare = None if self.rare is None else sorted(self.rare)
        return {"levels": list(self.levels), "rare": rare, "counts": list(self.counts)}

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Self:
        """Make it of what `dump` gave."""
        counts = tuple(int(count) for count in values["counts"])
        if "edges" in values:
            return cls(edges=tuple(float(edge) for edge in values["edges"]), counts=counts)
        if "first_day" in values:
            return cls(first_day=str(values["first_day"]), counts=counts)
        rare = values["rare"]
        return cls(levels=tuple(values["levels"]), rare=None if rare is None else frozenset(rare), counts=counts)


def reference_of(table: pa.Table, schema: Schema, said: Predictions, classes: Sequence[Any]) -> dict[str, Any]:
    """Return the bins of training rows by column, and of a model's answers, as plain JSON values for its card.

    Parameters
    ----------
    table : pa.Table
        Training rows, a random sample; ten thousand are plenty.
    schema : Schema
        Its columns.
    said : Predictions
        Answers to rows that the model was not trained on; the first hundred thousand count.
    classes : sequence
        Labels in the order of their codes; empty for regression.
    """
    return {**inputs_of(table, schema), **prediction_of(said, classes)}


def inputs_of(table: pa.Table, schema: Schema) -> dict[str, Any]:
    """Return the bins of training rows by column, as `reference_of` does, for the columns that the table has."""
    return {
        column.name: Bins.of(table.column(column.name), column.kind).dump()
        for column in schema.columns
        if column.name in table.column_names
    }


def prediction_of(said: Predictions, classes: Sequence[Any]) -> dict[str, Any]:
    """Return the bins of a model's answers under `PREDICTION`, as `reference_of` does; empty without answers."""
    kind, values = answers_of(said, classes, slice(0, MOST_ANSWERS))
    return {PREDICTION: Bins.of(values, kind).dump()} if len(values) else {}


def answers_of(said: Predictions, classes: Sequence[Any], chosen: slice) -> tuple[ColumnKind, Any]:
    """Return what is watched of answers: numbers, the probability of the second of two classes, or labels."""
    if len(classes) == 2 and said.probabilities is not None:
        return ColumnKind.NUMERIC, said.probabilities[chosen]
    labels = said.of("labels")[chosen]
    if not classes:
        return ColumnKind.NUMERIC, labels
    return ColumnKind.CATEGORICAL, [str(classes[code]) for code in labels.tolist()]


def numbers_of(values: Sequence[Any] | NDArray[Any] | pa.Array | pa.ChunkedArray) -> NDArray[np.float64]:
    """Return values as float64, shape (n_values,), a missing one as nan."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False) if len(values) else []
    elif not isinstance(values, np.ndarray):
        values = [np.nan if value is None else float(value) for value in values]
    return np.asarray(values, dtype=np.float64)


def days_of(values: Sequence[Any] | pa.Array | pa.ChunkedArray) -> list[str | None]:
    """Return the days of times as ISO 8601 texts, a missing one as None; each by its own zone.

    Examples
    --------
    >>> days_of(["2024-05-01T13:30:00Z", None, "2024-05-02"])
    ['2024-05-01', None, '2024-05-02']
    """
    if isinstance(values, pa.Array | pa.ChunkedArray):
        days = values.cast(pa.date32()).cast(pa.int32()).to_pylist()
        return [None if day is None else str(np.datetime64(min(day, LAST_DAY), "D")) for day in days]
    return [None if value is None or value != value else str(value)[:10] for value in values]


def counted(values: Sequence[Any] | pa.Array | pa.ChunkedArray) -> Counter[str | None]:
    """Return how often each level is among values, as `levels_of` gives them; a level of an array is made once."""
    array = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    if not isinstance(array, pa.DictionaryArray | pa.StringArray):
        return Counter(levels_of(values))
    pairs = array.value_counts()
    found: Counter[str | None] = Counter()
    for level, count in zip(levels_of(pairs.field("values")), pairs.field("counts").to_pylist(), strict=True):
        found[level] += count
    return found


def levels_of(values: Sequence[Any] | pa.Array | pa.ChunkedArray) -> Iterable[str | None]:
    """Return values as texts of bounded length, a missing one as None."""
    if isinstance(values, pa.Array | pa.ChunkedArray):
        values = values.to_pylist()
    return [_level(value) for value in values]


def _level(value: Any) -> str | None:
    if value is None or value != value:
        return None
    text = value if isinstance(value, str) else str(value)
    if len(text) <= LONGEST:
        return text
    return f"{text[: LONGEST - 17]} {hashlib.blake2b(text.encode('utf-8', 'surrogatepass'), digest_size=8).hexdigest()}"


def stability(reference: Sequence[int] | Counts, recent: Sequence[int] | Counts) -> float:
    """Return the population stability index of rows by bin: sum of (q - p) * ln(q / p) of their shares p and q.

    Parameters
    ----------
    reference, recent : sequence of int of shape (n_bins,)
        Rows by bin.

    Returns
    -------
    float
        0 for equal shares; nan when a side has no rows.

    Notes
    -----
    Every bin is given half a row more on each side, so that a bin that is empty on one of them has a finite
    logarithm; one that is empty on both is left out.

    Examples
    --------
    >>> stability([500, 500], [50, 50])
    0.0
    >>> round(stability([9000, 1000], [1000, 9000]), 3)
    3.514
    >>> round(stability([1000, 0], [97, 3]), 3)
    0.146
    """
    p, q = np.asarray(reference, dtype=np.float64), np.asarray(recent, dtype=np.float64)
    if not p.sum() or not q.sum():
        return float("nan")
    return float(np.sum(parts_of(p, q)))


def parts_of(p: Floats, q: Floats) -> Floats:
    """Return what each bin adds to the index; 0 for bins without rows on either side."""
    there = (p + q) > 0
    p, q = np.where(there, p + 0.5, 0.0), np.where(there, q + 0.5, 0.0)
    p, q = p / p.sum(), q / q.sum()
    return np.where(there, (q - p) * np.log(np.where(there, q, 1) / np.where(there, p, 1)), 0.0)


def together(reference: Counts, recent: Counts) -> tuple[Counts, Counts]:
    """Put neighbouring bins together until five recent rows are expected: for so many it is known what chance gives.

    Parameters
    ----------
    reference, recent : array of shape (n_bins,)
        Rows by bin. A bin's expected rows are by its share of both; those with more stay alone.

    Examples
    --------
    >>> together(np.array([500, 490, 8, 2]), np.array([60, 36, 3, 1]))
    (array([500, 490,  10]), array([60, 36,  4]))
    """
    expected = (reference + recent) * (recent.sum() / (reference.sum() + recent.sum()))
    is_small = expected < LEAST_EXPECTED
    groups: list[list[int]] = [[place] for place in np.flatnonzero(~is_small).tolist()]
    n_alone, room = len(groups), 0.0
    for place in np.flatnonzero(is_small).tolist():
        if room <= 0:
            groups.append([])
            room = LEAST_EXPECTED
        groups[-1].append(place)
        room -= expected[place]
    if room > 0 and len(groups) > n_alone + 1:
        rest = groups.pop()
        groups[-1] += rest
    joined = [np.array([side[group].sum() for group in groups], dtype=np.int64) for side in (reference, recent)]
    return joined[0], joined[1]


def chance_bound(n_reference: int, n_recent: int, n_bins: int, chance: float) -> float:
    """Return the index that two samples of one population exceed with this probability.

    Parameters
    ----------
    n_reference, n_recent : int
        Rows of either.
    n_bins : int
        Bins that have rows.
    chance : float
        Probability, over 0.

    Notes
    -----
    The index of two samples of n and m rows of one population is distributed about as ``(1 / n + 1 / m)`` times a
    chi-square variable of ``n_bins - 1`` degrees of freedom (Yurdakul and Naranjo, "Statistical properties of the
    population stability index", Journal of Risk Model Validation 14(4), 2020). Simulated with half a row more in every
    bin and small bins put together, chance exceeds the bound of 0.001 in 9 to 17 of 10,000 windows of 200 rows or more.

    Examples
    --------
    >>> round(chance_bound(10_000, 100, 10, 0.05), 3), round(chance_bound(10_000, 2_000, 10, 0.05), 3)
    (0.171, 0.01)
    """
    if n_bins < 2 or not n_reference or not n_recent:
        return 0.0
    return (1 / n_reference + 1 / n_recent) * float(chdtri(n_bins - 1, chance))
