"""Error by slice: a metric on every group of rows that a column makes, and the groups where it is worst.

The sums of all groups come from one pass, block by block; they merge, and take memory by groups and buckets, never by
rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import Score
from daskflow.data.predictions import Predictions
from daskflow.metrics.slices_asked import SliceAsked as SliceAsked
from daskflow.metrics.slices_asked import ask_slices as ask_slices
from daskflow.metrics.slices_intervals import score
from daskflow.metrics.slices_sums import add_groups, add_pairs
from daskflow.metrics.slices_terms import BUCKETS, RankTerms, Terms, buckets_of
from daskflow.metrics.slices_worst import Cells, worst

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class SliceTally:
    """Sums of a block's rows by group and pair of groups; merges, in any order.

    Attributes
    ----------
    asked : SliceAsked
        What is asked.
    terms, searched : Terms
        The metric of groups, and that of the worst slices, as functions of sums.
    sums : float64 of shape (n_buckets, n_cells, n_sums)
        Of `terms`; the last cell holds all rows.
    search : float64 of shape (n_buckets, n_cells + n_pair_cells, n_sums)
        Of `searched`; all rows in the cell between groups and pairs.
    rows : int64 of shape (n_cells + n_pair_cells,)
        Rows of each.
    means : float64 of shape (n_cells, 3)
        Sums of weight, of weight times truth, of weight times prediction.
    spread : float64 of shape (2,)
        Sums of weight times squared loss, and of squared weight.
    """

    asked: SliceAsked
    terms: Terms
    searched: Terms
    sums: Floats
    search: Floats
    rows: NDArray[np.int64]
    means: Floats
    spread: Floats

    @classmethod
    def of(
        cls,
        asked: SliceAsked,
        table: pa.Table,
        y: Any,
        predictions: Predictions,
        weight: Any = None,
        unit: Any = None,
        start: int = 0,
    ) -> SliceTally:
        """Sum a block.

        Parameters
        ----------
        asked : SliceAsked
            What is asked.
        table : pa.Table
            Source columns of the rows.
        y : array of shape (n_rows,)
            Class codes, or numbers.
        predictions : Predictions
            Of the rows.
        weight : array of shape (n_rows,), optional
            Default: 1 each. Rows without weight are left out.
        unit : uint64 array of shape (n_rows,), optional
            Rows of one unit depend on each other. Default: each row is its own.
        start : int
            Number of the first row, for rows without unit.

        Raises
        ------
        DataError
            When the numbers of rows differ.
        """
        y = np.asarray(y)
        if table.num_rows != len(y):
            raise DataError(f"There are {table.num_rows} rows of source columns and {len(y)} of the target.")
        weights = np.ones(len(y)) if weight is None else np.asarray(weight, dtype=np.float64)
        bucket, drawn = buckets_of(len(y), unit, start, asked.seed, asked.share)
        # by bucket, so that a bucket's sums stay in the processor's cache
        order = np.argsort(bucket, kind="stable")
        order = order[(drawn & (weights > 0))[order]]
        bucket, y, weights = bucket[order], y[order], weights[order]
        predictions = _taken(predictions, order)
        if 2 * len(order) < table.num_rows:
            table, order = table.take(pa.array(order)), np.arange(len(order))
        codes = np.zeros((len(order), len(asked.columns.columns) + 1), dtype=np.int64)
        for place, column in enumerate(asked.columns.columns):
            codes[:, place] = column.codes(table)[order]
        terms, searched = asked.terms(predictions), asked.searched(predictions)
        n_cells = int(asked.first[-1]) + 1
        sums = np.zeros((BUCKETS, n_cells, terms.n_sums))
        add_groups(codes, asked.first, bucket, *terms.entries(y, predictions, weights), sums)
        means = _means(asked, codes, y, predictions, weights)
        search, rows, spread = _searched(asked, searched, codes, bucket, y, predictions, weights)
        return cls(asked, terms, searched, sums, search, rows, means, spread)

    def merge(self, other: SliceTally) -> SliceTally:
        """Return the sums of both; the same in any order, but for the last digits."""
        return SliceTally(
            self.asked,
            self.terms,
            self.searched,
            self.sums + other.sums,
            self.search + other.search,
            self.rows + other.rows,
            self.means + other.means,
            self.spread + other.spread,
        )

    def result(self) -> dict[str, Any]:
        """Return ``slices`` and ``worst_slices``, as plain JSON values (None for nan).

        Returns
        -------
        dict
            ``slices``: ``metric``, ``greater_is_better``, ``overall``, ``columns`` (each with ``column``, ``kind`` and
            ``groups``: ``group``, ``rows``, ``value``, ``low``, ``high``, ``target``, ``predicted``), ``left_out``
            (sentences); where a loss stands for the metric ``stands_for``, its name; ``share`` of the rows that was
            counted, where not all were; and for metrics of the order of scores ``bound``, here and in each group: at
            most so far is the area under the ROC curve off for its bins.
            ``worst_slices``: see `daskflow.metrics.slices_worst.worst`.
        """
        columns = []
        for place, column in enumerate(self.asked.columns.columns):
            first = int(self.asked.first[place])
            groups = [
                {"group": group, **self._shown(first + code)}
                for code, group in enumerate(column.groups)
                if self.rows[first + code]
            ]
            columns.append({"column": column.name, "kind": column.kind, "groups": groups})
        slices: dict[str, Any] = {
            "metric": self.terms.metric.name,
            "greater_is_better": bool(self.terms.metric.greater_is_better),
            "overall": plain(score(self.terms, self.sums[:, -1], int(self.rows[self._all]))),
            "columns": columns,
            "left_out": [*self.asked.columns.left_out, *self._not_paired()],
        }
        if self.asked.share < 1.0:
            slices["share"] = self.asked.share
        if self.terms.metric.name != self.asked.metric.name:
            slices["stands_for"] = self.asked.metric.name
        if isinstance(self.terms, RankTerms):
            slices["bound"] = _number(self.terms.bound(self.sums[:, -1].sum(axis=0)))
        cells = Cells(
            self.searched,
            tuple(self.asked.columns.columns),
            self.asked.first,
            self.asked.paired(self.searched.n_sums),
            self.search,
            self.rows,
            self.spread,
        )
        return {"slices": slices, "worst_slices": worst(cells, most=self.asked.most)}

    @property
    def _all(self) -> int:
        """The cell of all rows."""
        return int(self.asked.first[-1])

    def _shown(self, cell: int) -> dict[str, Any]:
        """A group's numbers."""
        weight, truth, predicted = self.means[cell].tolist()
        bound = {}
        if isinstance(self.terms, RankTerms):
            bound["bound"] = _number(self.terms.bound(self.sums[:, cell].sum(axis=0)))
        return {
            "rows": int(self.rows[cell]),
            **plain(score(self.terms, self.sums[:, cell], int(self.rows[cell]))),
            "target": _number(truth / weight if weight else math.nan),
            "predicted": _number(predicted / weight if weight else math.nan),
            **bound,
        }

    def _not_paired(self) -> list[str]:
        """The sentence on columns that no conjunctions were made of."""
        n_paired, columns = len(self.asked.paired(self.searched.n_sums)), self.asked.columns.columns
        if n_paired == len(columns):
            return []
        return [
            f"Conjunctions were searched among the first {n_paired} of {len(columns)} columns; name those that matter "
            "first: slices = [...]."
        ]


def plain(found: Score) -> dict[str, float | None]:
    """Return a score as plain JSON values.

    Examples
    --------
    >>> plain(Score(0.5))
    {'value': 0.5, 'low': None, 'high': None}
    """
    return {"value": _number(found.value), "low": _number(found.low), "high": _number(found.high)}


def _number(value: float) -> float | None:
    """None for what JSON has no number for."""
    return float(value) if math.isfinite(value) else None


def _taken(predictions: Predictions, rows: NDArray[np.int64]) -> Predictions:
    """Some rows of predictions."""
    return Predictions(
        *(
            None if given is None else np.asarray(given)[rows]
            for given in (predictions.labels, predictions.probabilities, predictions.scores)
        )
    )


def _means(
    asked: SliceAsked, codes: NDArray[np.int64], y: NDArray[Any], predictions: Predictions, weight: Floats
) -> Floats:
    """Sums of weight, truth and prediction by cell; nan where the task has no mean."""
    n_cells = int(asked.first[-1]) + 1
    undefined = np.full(len(y), math.nan)
    truth = given = undefined
    if asked.task == "regression":
        truth, given = y.astype(np.float64), predictions.of("predictions").astype(np.float64)
    elif asked.task == "binary":
        found = predictions.probabilities if predictions.probabilities is not None else predictions.labels
        truth = (y == 1).astype(np.float64)
        given = undefined if found is None else np.asarray(found, dtype=np.float64)
    sums = np.zeros((n_cells, 3))
    for place, first in enumerate(asked.first):
        cells = first + codes[:, place]
        for number, values in enumerate((weight, weight * truth, weight * given)):
            sums[:, number] += np.bincount(cells, values, n_cells)
    return sums


def _searched(
    asked: SliceAsked,
    terms: Terms,
    codes: NDArray[np.int64],
    bucket: NDArray[np.int64],
    y: NDArray[Any],
    predictions: Predictions,
    weight: Floats,
) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Sums, rows and spread that the worst slices are found by: groups, all rows, pairs of groups."""
    paired = asked.paired(terms.n_sums)
    n_cells = int(asked.first[-1]) + 1
    first, widths, n_pairs = pair_places(paired)
    search = np.zeros((BUCKETS, n_cells + n_pairs, terms.n_sums))
    rows = np.zeros(n_cells + n_pairs, dtype=np.int64)
    places, values = terms.entries(y, predictions, weight)
    add_groups(codes, asked.first, bucket, places, values, search)
    for place, begin in enumerate(asked.first):
        rows[:n_cells] += np.bincount(begin + codes[:, place], minlength=n_cells)
    chosen = np.empty((len(y), len(paired)), dtype=np.int64)
    for place, (column, groups) in enumerate(paired):
        renamed = np.full(len(asked.columns.columns[column].groups), -1, dtype=np.int64)
        renamed[list(groups)] = np.arange(len(groups))
        chosen[:, place] = renamed[codes[:, column]]
    add_pairs(chosen, first + n_cells, widths, bucket, places, values, search, rows)
    losses = values[:, 0] / weight
    return search, rows, np.array([(weight * losses**2).sum(), (weight**2).sum()])


def pair_places(
    paired: Sequence[tuple[int, tuple[int, ...]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Return the first cell of each pair of columns, the groups of each column, and the cells of all pairs.

    Examples
    --------
    >>> pair_places([(0, (0, 1)), (3, (0, 1, 4))])[2]
    6
    """
    widths = np.array([len(groups) for _, groups in paired], dtype=np.int64)
    first = np.zeros((len(paired), len(paired)), dtype=np.int64)
    n_cells = 0
    for one in range(len(paired)):
        for other in range(one + 1, len(paired)):
            first[one, other] = n_cells
            n_cells += int(widths[one] * widths[other])
    return first, widths, n_cells
