"""The groups of rows, and conjunctions of two, where a model is worse than on the rest.

Every group of one column and every conjunction of two columns' frequent groups that holds enough rows is compared with
the rows outside it, as Slice Finder does (Chung et al., "Automated data slicing for model validation", 2019), with the
least support of SliceLine (Sagadeeva and Boehm, "SliceLine: fast, linear-algebra-based slice finding for ML model
debugging", 2021). What is shown is adjusted for all of these looks (Holm, "A simple sequentially rejective multiple
test procedure", 1979): where no slice is bad, in at most 5 of 100 tables is any shown.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.slices_columns import SliceColumn
from daskflow.metrics.slices_intervals import held_of, log_p_of, moved, quantile_of, score
from daskflow.metrics.slices_terms import MeanTerms, Terms, stepped

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ALPHA = 0.05
"""How often a slice is shown where none is bad."""

LEAST_ROWS, LEAST_SHARE = 32, 0.01
"""A slice holds at least so many rows and so much of all rows, and so does the rest."""

LEAST_EFFECT = 0.1
"""A slice's difference is at least this part of the standard deviation of the loss among rows: among many rows
differences are found that matter to nobody."""

STILL = 0.01
"""A slice that overlaps a shown one is shown when, without the rows of that one, it is worse at this level."""

ALIKE = 0.5
"""Slices that share this much of the rows that either has are one."""


@dataclass(frozen=True, slots=True)
class Slice:
    """One group, or the conjunction of two: their cells, and that of both."""

    cell: int
    parts: tuple[int, ...]


@dataclass(frozen=True)
class Cells:
    """Sums of groups, of all rows and of pairs of groups; see `daskflow.metrics.slices.SliceTally`.

    Attributes
    ----------
    terms : Terms
        The metric as a function of sums.
    columns : tuple of SliceColumn
        The columns.
    first : int64 of shape (n_columns + 1,)
        Cell of each column's first group; the last is that of all rows, and pairs follow.
    paired : tuple of (place, groups)
        Columns that conjunctions are made of.
    sums : float64 of shape (n_buckets, n_cells, n_sums)
        Sums.
    rows : int64 of shape (n_cells,)
        Rows.
    spread : float64 of shape (2,)
        Sums of weight times squared loss, and of squared weight.
    """

    terms: Terms
    columns: tuple[SliceColumn, ...]
    first: Integers
    paired: Sequence[tuple[int, tuple[int, ...]]]
    sums: Floats
    rows: Integers
    spread: Floats

    @property
    def all(self) -> int:
        """The cell of all rows."""
        return int(self.first[-1])

    @cached_property
    def slices(self) -> tuple[Slice, ...]:
        """Every group, then every conjunction."""
        found = [Slice(cell, (cell,)) for cell in range(self.all)]
        cell = self.all + 1
        for one in range(len(self.paired)):
            for other in range(one + 1, len(self.paired)):
                for left in self.paired[one][1]:
                    for right in self.paired[other][1]:
                        parts = (
                            int(self.first[self.paired[one][0]]) + left,
                            int(self.first[self.paired[other][0]]) + right,
                        )
                        found.append(Slice(cell, parts))
                        cell += 1
        return tuple(found)

    @cached_property
    def of_pair(self) -> dict[tuple[int, ...], int]:
        """The cell of a conjunction by its parts' cells."""
        return {found.parts: found.cell for found in self.slices if len(found.parts) == 2}

    @cached_property
    def losses(self) -> tuple[Floats, Floats]:
        """Sums of a loss per row that rises where the metric gets worse, and of weight, by bucket and cell.

        Of a mean it is the loss itself. Of a metric of a table it is how much a row moves the metric of all rows, for
        which a group as good as all rows has the mean 0.
        """
        sign = -1.0 if self.terms.metric.greater_is_better else 1.0
        if isinstance(self.terms, MeanTerms):
            return sign * self.sums[:, :, 0], self.sums[:, :, 1]
        total = self.sums[:, self.all].sum(axis=0)
        return sign * self.sums @ (stepped(self.terms.value, total) * total.sum()), self.sums.sum(axis=2)

    @cached_property
    def sigma(self) -> float:
        """Standard deviation of the loss among rows."""
        loss, weight = (float(part[:, self.all].sum()) for part in self.losses)
        if isinstance(self.terms, MeanTerms):
            square = float(self.spread[0])
        else:
            total = self.sums[:, self.all].sum(axis=0)
            square = float(total @ (stepped(self.terms.value, total) * total.sum()) ** 2)
        return math.sqrt(max(square / weight - (loss / weight) ** 2, 0.0))

    @cached_property
    def uneven(self) -> float:
        """How many times larger weights make a mean's variance: 1 when all are equal."""
        weight = float(self.losses[1][:, self.all].sum())
        return float(self.spread[1]) * int(self.rows[self.all]) / weight**2

    def name(self, cell: int) -> dict[str, str]:
        """A group's column and name."""
        place = int(np.searchsorted(self.first, cell, side="right")) - 1
        column = self.columns[place]
        return {"column": column.name, "group": column.groups[cell - int(self.first[place])]}


@dataclass(frozen=True, slots=True)
class Compared:
    """Sets of rows beside others: differences of their mean losses, their errors and the logarithm of p.

    All of shape (n_sets,); p is 1 where the first is not worse, or where there are too few rows.
    """

    difference: Floats
    error: Floats
    log_p: Floats


def compare(cells: Cells, one: tuple[Floats, Floats, Any], other: tuple[Floats, Floats, Any], least: int) -> Compared:
    """Compare mean losses of sets of rows that have none in common, by Student's t.

    The error is the larger of two: from what the buckets say of these sets, and from the spread of all rows. The first
    allows for rows that depend on each other and for losses of another spread, the second keeps a handful of rows
    that happen to be alike from looking certain.

    Parameters
    ----------
    cells : Cells
        What they are of.
    one, other : (loss, weight, rows)
        Sums of shape (n_buckets, n_sets), and rows of shape (n_sets,).
    least : int
        Rows that either must have.
    """
    loss, weight, rows = one
    loss_beside, weight_beside, rows_beside = other
    with np.errstate(invalid="ignore", divide="ignore"):
        totals, totals_beside = weight.sum(axis=0), weight_beside.sum(axis=0)
        mean, mean_beside = loss.sum(axis=0) / totals, loss_beside.sum(axis=0) / totals_beside
        influence = (loss - mean * weight) / totals - (loss_beside - mean_beside * weight_beside) / totals_beside
        held = np.minimum(held_of(weight), held_of(weight_beside))
        own = (influence**2).sum(axis=0) * held / (held - 1)
        common = cells.sigma**2 * cells.uneven * (1 / rows + 1 / rows_beside)
        difference = mean - mean_beside
        error = np.sqrt(np.maximum(own, common))
        log_p = log_p_of(difference / error, held - 1)
    usable = (rows >= least) & (rows_beside >= least) & (held > 2) & np.isfinite(log_p) & (difference > 0)
    return Compared(difference, error, np.where(usable, np.minimum(log_p, 0.0), 0.0))


def worst(cells: Cells, *, most: int = 10) -> list[dict[str, Any]]:
    """Return the slices where the metric is worse than on the rest, those of the strongest evidence first.

    Returns
    -------
    list of dict
        ``where`` (one or two of ``column``, ``group``), ``rows``, ``value``, ``low``, ``high`` (95 %), ``difference``
        (to the rows outside, in the metric's unit and direction) with ``difference_low``, ``difference_high`` (95 % for
        all slices that were looked at together, after Bonferroni), ``p`` (Holm's, for all looks), ``effect`` (the
        difference of mean losses over their standard deviation among rows), ``metric``, ``greater_is_better``.

    Notes
    -----
    Groups and conjunctions share the chance of a false alarm half and half, so that the many conjunctions do not hide a
    bad group. A conjunction must be worse than the rest *and* than what is left of either part without it: it is not
    shown for being a piece of a bad group. A slice that overlaps one shown before is shown only if it is worse without
    those rows too.
    """
    least = max(LEAST_ROWS, math.ceil(LEAST_SHARE * int(cells.rows[cells.all])))
    if int(cells.rows[cells.all]) < 2 * least or not np.isfinite(cells.sums[:, cells.all]).all():
        return []
    if not math.isfinite(cells.terms.value(cells.sums[:, cells.all].sum(axis=0))) or not cells.sigma > 0:
        return []
    candidates = [found for found in cells.slices if _is_large(cells, found, least)]
    if not candidates:
        return []
    found = _against_rest(cells, candidates, least)
    log_p = found.log_p.copy()
    for part in (0, 1):
        log_p = np.maximum(log_p, _against_part(cells, candidates, part, least))
    log_p = np.where(found.difference >= LEAST_EFFECT * cells.sigma, log_p, 0.0)
    n_parts = np.array([len(candidate.parts) for candidate in candidates])
    n_looks = {count: int((n_parts == count).sum()) * len(set(n_parts.tolist())) for count in set(n_parts.tolist())}
    adjusted = np.ones(len(candidates))
    for count in n_looks:
        adjusted[n_parts == count] = np.minimum(len(n_looks) * holm(log_p[n_parts == count]), 1.0)
    shown: list[Slice] = []
    rows: list[dict[str, Any]] = []
    for place in np.argsort(log_p, kind="stable"):
        candidate = candidates[place]
        if len(rows) >= most:
            break
        if adjusted[place] > ALPHA or any(_is_explained(cells, candidate, earlier, least) for earlier in shown):
            continue
        row = _row(cells, candidate, n_looks[len(candidate.parts)], float(found.error[place]))
        if row is None:
            continue
        row |= {"p": float(adjusted[place]), "effect": float(found.difference[place]) / cells.sigma}
        shown.append(candidate)
        rows.append(row)
    return rows


def holm(log_p: Floats) -> Floats:
    """Return p adjusted for their number by Holm's method, from logarithms.

    Examples
    --------
    >>> holm(np.log([0.01, 0.04, 0.03])).round(2).tolist()
    [0.03, 0.06, 0.06]
    """
    order = np.argsort(log_p, kind="stable")
    steps = np.exp(np.minimum(log_p[order] + np.log(np.arange(len(log_p), 0, -1)), 0.0))
    adjusted = np.empty(len(log_p))
    adjusted[order] = np.maximum.accumulate(steps)
    return adjusted


def _is_large(cells: Cells, found: Slice, least: int) -> bool:
    """Whether a slice and the rest have enough rows, and a conjunction leaves enough of its parts."""
    rows, all_rows = int(cells.rows[found.cell]), int(cells.rows[cells.all])
    if not least <= rows <= all_rows - least:
        return False
    return len(found.parts) == 1 or all(int(cells.rows[part]) - rows >= LEAST_ROWS for part in found.parts)


def _sums(cells: Cells, places: Integers) -> tuple[Floats, Floats, Integers]:
    """Losses, weights and rows of some cells."""
    loss, weight = cells.losses
    return loss[:, places], weight[:, places], cells.rows[places]


def _less(one: tuple[Floats, Floats, Any], other: tuple[Floats, Floats, Any]) -> tuple[Floats, Floats, Any]:
    """Sums of rows without some of them; weights that are but rounding become none."""
    weight = one[1] - other[1]
    gone = weight <= 1e-9 * one[1]
    return np.where(gone, 0.0, one[0] - other[0]), np.where(gone, 0.0, weight), one[2] - other[2]


def _against_rest(cells: Cells, candidates: Sequence[Slice], least: int) -> Compared:
    """Slices beside the rows outside them."""
    inside = _sums(cells, np.array([found.cell for found in candidates]))
    everything = _sums(cells, np.full(len(candidates), cells.all))
    return compare(cells, inside, _less(everything, inside), least)


def _against_part(cells: Cells, candidates: Sequence[Slice], part: int, least: int) -> Floats:
    """Conjunctions beside what is left of one part; logarithms of p, of single groups minus infinity."""
    log_p = np.full(len(candidates), -np.inf)
    places = np.array([place for place, found in enumerate(candidates) if len(found.parts) == 2], dtype=np.int64)
    if len(places):
        inside = _sums(cells, np.array([candidates[place].cell for place in places]))
        whole = _sums(cells, np.array([candidates[place].parts[part] for place in places]))
        log_p[places] = compare(cells, inside, _less(whole, inside), LEAST_ROWS).log_p
    return log_p


def _is_explained(cells: Cells, candidate: Slice, earlier: Slice, least: int) -> bool:
    """Whether a slice is bad only for the rows it has in common with one that is shown, or is nearly the same."""
    if set(earlier.parts) < set(candidate.parts):
        return False  # it was already compared with what is left of that part
    if _likeness(cells, candidate, earlier) >= ALIKE:
        return True
    common = _common(cells, candidate, earlier)
    if common is None or not cells.rows[common]:
        return False
    everything, shown, own, both = (
        _sums(cells, np.array([cell])) for cell in (cells.all, earlier.cell, candidate.cell, common)
    )
    left = _less(own, both)
    found = compare(cells, left, _less(_less(everything, shown), left), LEAST_ROWS)
    return float(found.log_p[0]) > math.log(STILL)


def _common(cells: Cells, one: Slice, other: Slice) -> int | None:
    """The cell of the rows that two slices have in common; None where nobody counted them."""
    parts = tuple(sorted({*one.parts, *other.parts}))
    return cells.of_pair.get(parts) if len(parts) == 2 else None


def _likeness(cells: Cells, one: Slice, other: Slice) -> float:
    """Rows that two slices share over rows that either has; of conjunctions, of their parts in the better order."""
    if len(one.parts) != len(other.parts):
        return 0.0
    orders = [other.parts, other.parts[::-1]]
    return max(
        math.prod(_alike(cells, left, right) for left, right in zip(one.parts, parts, strict=True)) for parts in orders
    )


def _alike(cells: Cells, left: int, right: int) -> float:
    """Rows of both groups over rows of either."""
    if left == right:
        return 1.0
    both = cells.of_pair.get((min(left, right), max(left, right)))
    if both is None:
        return 0.0
    shared = int(cells.rows[both])
    return shared / (int(cells.rows[left]) + int(cells.rows[right]) - shared)


def _row(cells: Cells, found: Slice, n_looks: int, error: float) -> dict[str, Any] | None:
    """A slice as plain values; None where the metric itself is not worse there."""
    terms = cells.terms
    inside, rows = cells.sums[:, found.cell], int(cells.rows[found.cell])
    outside = cells.sums[:, cells.all] - inside
    here, beside = moved(terms, inside), moved(terms, outside)
    if here is None or beside is None:
        return None
    value, elsewhere = score(terms, inside, rows), terms.value(outside.sum(axis=0))
    df = max(min(here.freedom, beside.freedom), 1.0)
    sign = -1.0 if terms.metric.greater_is_better else 1.0
    change = here.value - beside.value
    if not isinstance(terms, MeanTerms):
        own = math.sqrt(float(((here.influence - beside.influence) ** 2).sum()))
        error = max(error, own)
        if sign * change - error * quantile_of(1 - ALPHA, df) <= 0:
            return None
    wide = error * quantile_of(1 - ALPHA / n_looks, df)
    low, high = change - wide, change + wide
    if isinstance(terms, MeanTerms):
        # the metric (a root, say) of the mean beside it and of what that may differ by
        floor = -math.inf if (cells.sums[:, cells.all, 0] < 0).any() else 0.0
        low, high = sorted(terms.of_mean(max(beside.value + end, floor)) - elsewhere for end in (low, high))
    return {
        "where": [cells.name(part) for part in found.parts],
        "rows": rows,
        "value": value.value,
        "low": _plain(value.low),
        "high": _plain(value.high),
        "difference": value.value - elsewhere,
        "difference_low": _plain(low),
        "difference_high": _plain(high),
        "metric": terms.metric.name,
        "greater_is_better": bool(terms.metric.greater_is_better),
    }


def _plain(value: float) -> float | None:
    return value if math.isfinite(value) else None


def texts(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each worst slice.

    Examples
    --------
    >>> row = {"where": [{"column": "fuel", "group": "oil"}], "rows": 90, "value": 0.7, "difference": -0.2}
    >>> next(texts([row | {"metric": "accuracy", "p": 0.001}]))
    'fuel = oil (90 rows): accuracy 0.7, elsewhere 0.9'
    """
    for row in rows:
        where = " and ".join(f"{part['column']} = {part['group']}" for part in row["where"])
        beside = row["value"] - row["difference"]
        yield f"{where} ({row['rows']:,} rows): {row['metric']} {row['value']:.4g}, elsewhere {beside:.4g}"
