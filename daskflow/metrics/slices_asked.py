"""What is asked of slices: a metric, the groups of columns, and how it is counted; the same for every block."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric
from daskflow.metrics.slices_columns import SliceColumns, slice_columns
from daskflow.metrics.slices_terms import BUCKETS, RankTerms, Terms, can_judge, score_cuts, stand_in, terms_of

MOST_ROWS = 1_000_000
"""Of more rows so many are counted, when nobody says otherwise."""

GROUP_BYTES = 2**25
"""Memory for the sums of groups; metrics that need more are counted in fewer bins, or a loss stands for them."""

PAIR_BYTES = 2**23
"""Memory for the sums of pairs of groups: as many columns as fit are searched for conjunctions, the first ones."""

PAIR_GROUPS = 6
"""Groups of a column that conjunctions are made of: the most frequent ones."""

MOST_SEARCHED = 4
"""Worst slices are searched by the metric itself when it needs at most so many sums, else by the loss that stands
for it."""


@dataclass(frozen=True)
class SliceAsked:
    """What is asked of slices; the same for every block.

    Attributes
    ----------
    metric : Metric
        Means of a loss, metrics of labels (up to 10 classes) and, with `cuts`, metrics of the order of binary scores
        are computed themselves; for any other a loss per row stands, and the result says which.
    task : str
        binary, multiclass, multilabel or regression.
    classes : sequence of str
        Labels by code; empty for regression.
    columns : SliceColumns
        From `daskflow.metrics.slices_columns.slice_columns`.
    seed : int
        Of the buckets.
    cuts : tuple of float
        From `daskflow.metrics.slices_terms.score_cuts`, of a sample of scores; without them the log loss stands for
        metrics of the order of scores.
    most : int
        Worst slices returned.
    share : float
        Share of the rows that is counted, drawn by their units: a million rows say as much of slices as twenty
        million, and counting takes 1 to 3 microseconds a row.
    """

    metric: Metric
    task: str
    classes: Sequence[str]
    columns: SliceColumns
    seed: int = 0
    cuts: tuple[float, ...] = ()
    most: int = 10
    share: float = 1.0

    @cached_property
    def first(self) -> NDArray[np.int64]:
        """Cell of each column's first group, and last the number of cells."""
        return np.cumsum([0, *(len(column.groups) for column in self.columns.columns)]).astype(np.int64)

    def terms(self, predictions: Predictions) -> Terms:
        """Return the metric of groups as sums, or what stands for it."""
        n_classes, n_groups = len(self.classes), int(self.first[-1]) + 1
        found = terms_of(self.metric, self.task, n_classes, self.cuts)
        room = GROUP_BYTES // (8 * BUCKETS * n_groups)
        if isinstance(found, RankTerms) and found.n_sums > room >= 16:
            found = RankTerms(found.metric, found.cuts[:: math.ceil(found.n_sums / (room - 2))])
        if found is None or found.n_sums > max(room, MOST_SEARCHED) or not can_judge(found, predictions):
            return stand_in(self.metric, self.task, n_classes, predictions)
        return found

    def searched(self, predictions: Predictions) -> Terms:
        """Return what the worst slices are searched by."""
        found = self.terms(predictions)
        if found.n_sums <= MOST_SEARCHED:
            return found
        return stand_in(self.metric, self.task, len(self.classes), predictions)

    def paired(self, n_sums: int) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """Return the columns that conjunctions are made of, by place, each with its groups."""
        most = PAIR_BYTES // (8 * BUCKETS * n_sums)
        chosen: list[tuple[int, tuple[int, ...]]] = []
        n_groups = n_cells = 0
        for place, column in enumerate(self.columns.columns):
            groups = column.frequent(PAIR_GROUPS)
            n_cells += n_groups * len(groups)
            if n_cells > most:
                break
            n_groups += len(groups)
            chosen.append((place, groups))
        return tuple(chosen)


def ask_slices(
    metric: Metric,
    task: str,
    classes: Sequence[str],
    sample: pa.Table,
    predictions: Predictions,
    *,
    columns: Sequence[str] | None = None,
    n_rows: int = 0,
    seed: int = 0,
) -> SliceAsked:
    """Plan slices from a sample of rows: their groups, the bins of scores, and the share of the rows that is counted.

    Parameters
    ----------
    metric, task, classes, seed
        As of `SliceAsked`.
    sample : pa.Table
        Source columns of some thousand rows, drawn at random.
    predictions : Predictions
        Of the sample.
    columns : sequence of str, optional
        As of `daskflow.metrics.slices_columns.slice_columns`.
    n_rows : int
        Rows that there are: of more than a million a share is counted.

    Examples
    --------
    >>> from daskflow.metrics import parse
    >>> score = np.arange(100) / 100
    >>> given = Predictions(score > 0.5, score, score)
    >>> asked = ask_slices(
    ...     parse("roc_auc"), "binary", ["no", "yes"], pa.table({"a": ["x", "y"] * 50}), given, n_rows=4_000_000
    ... )
    >>> len(asked.cuts), asked.share
    (63, 0.25)
    """
    is_ranked = task == "binary" and metric.needs == "scores" and predictions.scores is not None
    return SliceAsked(
        metric,
        task,
        classes,
        slice_columns(sample, columns),
        seed,
        score_cuts(predictions.scores) if is_ranked else (),
        share=min(1.0, MOST_ROWS / n_rows) if n_rows else 1.0,
    )
