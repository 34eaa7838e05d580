"""Pairing: the test rows of two runs brought together by what is in them, and their metrics compared on them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
from numpy.typing import NDArray

from daskflow.core.comparison import Against, ComparedRun, MetricDifference, Pairing
from daskflow.core.errors import DataError
from daskflow.core.protocols import Score
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric

PREDICTIONS = "predictions.parquet"
"""A run's test rows: what is in them (``row``, ``copy``), the truth and what was predicted."""

ENOUGH_ROWS = 100
"""Rows that two runs with other test parts must have in common for a comparison on these."""


@dataclass(frozen=True, slots=True)
class TestRows:
    """The test rows of a run, in its own order.

    Attributes
    ----------
    row : ndarray of uint64, shape (n_rows,)
        Content hash.
    copy : ndarray of int, shape (n_rows,)
        Number among equal rows.
    y : ndarray, shape (n_rows,)
        Class codes, or numbers.
    predictions : Predictions
        Of these rows.
    weight : ndarray or None
        Sample weights.
    unit : ndarray of uint64 or None
        Rows of one unit are drawn together.
    """

    __test__ = False  # the name is not that of a test

    row: NDArray[Any]
    copy: NDArray[Any]
    y: NDArray[Any]
    predictions: Predictions
    weight: NDArray[Any] | None
    unit: NDArray[Any] | None

    @classmethod
    def read(cls, folder: Path) -> TestRows | None:
        """Read those of a run folder; None when it has none."""
        path = folder / PREDICTIONS
        if not path.exists():
            return None
        table = pq.read_table(path)
        columns = {name: table.column(name).to_numpy() for name in table.column_names}

        def joined(word: str) -> Any:
            if word in columns:
                return columns[word].astype(np.float64)
            names = [f"{word}_{code}" for code in range(len(columns)) if f"{word}_{code}" in columns]
            return np.column_stack([columns[name] for name in names]).astype(np.float64) if names else None

        probabilities = joined("probability")
        scores = joined("score") if probabilities is None else probabilities
        predictions = Predictions(columns.get("label"), probabilities, scores)
        return cls(
            columns["row"], columns["copy"], columns["y"], predictions, columns.get("weight"), columns.get("unit")
        )

    def take(self, places: NDArray[np.int64]) -> TestRows:
        """Return these rows in this order."""

        def of(values: Any) -> Any:
            return None if values is None else values[places]

        given = self.predictions
        return TestRows(
            self.row[places],
            self.copy[places],
            self.y[places],
            Predictions(of(given.labels), of(given.probabilities), of(given.scores)),
            of(self.weight),
            of(self.unit),
        )


def common(first: TestRows, second: TestRows) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return where the rows that both have stand in each, in the first one's order."""
    if len(first.row) == len(second.row) and (first.row == second.row).all() and (first.copy == second.copy).all():
        places = np.arange(len(first.row))
        return places, places
    tables = [
        pd.DataFrame({"row": rows.row, "copy": rows.copy, "place": np.arange(len(rows.row))})
        for rows in (first, second)
    ]
    both = tables[0].merge(tables[1], on=["row", "copy"], suffixes=("_first", "_second"), sort=False)
    both = both.sort_values("place_first")
    return both["place_first"].to_numpy(np.int64), both["place_second"].to_numpy(np.int64)


def against(
    first: ComparedRun, second: ComparedRun, metrics: Sequence[Metric], *, seed: int, replicates: int
) -> Against:
    """Compare a run's test metrics with the baseline's, on the same rows where there are enough of them.

    Parameters
    ----------
    first, second : ComparedRun
        The baseline and the run; of one task, with the same classes.
    metrics : sequence of Metric
        That both were tested by.
    seed : int
        Of the resamples.
    replicates : int
        Resamples.
    """
    tested = [run.record.evaluation for run in (first, second)]
    if tested[0] is None or tested[1] is None:
        label = (first if tested[0] is None else second).label
        return Against(second.label, Pairing.UNTESTED, 0, f"{label} has not been tested.", {})
    rows = [TestRows.read(Path(run.path)) for run in (first, second)]
    for run, found in zip((first, second), rows, strict=True):
        if found is None:
            reason = f"{run.label} has no {PREDICTIONS} (a run keeps it unless [evaluation] predictions = false)"
            return _unpaired(first, second, metrics, 0, f"{reason}.")
    left, right = (found for found in rows if found is not None)
    places = common(left, right)
    n_common, sizes = len(places[0]), (len(left.row), len(right.row))
    is_same = n_common == sizes[0] == sizes[1]
    if not is_same and n_common < ENOUGH_ROWS:
        reason = (
            "the runs have no test row in common"
            if not n_common
            else f"the runs have only {n_common:,} test rows in common (of {sizes[0]:,} and {sizes[1]:,})"
        )
        return _unpaired(first, second, metrics, n_common, f"{reason}: other data, or another split.")
    left, right = left.take(places[0]), right.take(places[1])
    n_other = int((left.y != right.y).sum())
    if n_other:
        reason = f"{n_other:,} of {n_common:,} rows have another target in {second.label} than in {first.label}"
        return _unpaired(first, second, metrics, n_common, f"{reason}.")
    differences = _paired(first, left, right, metrics, seed=seed, replicates=replicates)
    if is_same:
        how = f"Both were tested on the same {n_common:,} rows, and are compared row by row."
    else:
        how = (
            f"They were tested on other rows ({sizes[0]:,} and {sizes[1]:,}); compared are the {n_common:,} that both "
            "have, row by row, so values are not those of either run's report."
        )
    remarks = _remarks(first, second, left, right)
    return Against(
        second.label, Pairing.SAME if is_same else Pairing.COMMON, n_common, " ".join([how, *remarks]), differences
    )


def _remarks(first: ComparedRun, second: ComparedRun, left: TestRows, right: TestRows) -> list[str]:
    """What a reader of a paired comparison should know."""
    found = []
    if not _equal(left.weight, right.weight):
        found.append(f"Their sample weights differ; those of {first.label} count.")
    if _equal(left.predictions.scores, right.predictions.scores) and _equal(
        left.predictions.labels, right.predictions.labels
    ):
        found.append(f"{second.label} predicts the same as {first.label} for every one of them.")
    return found


def _paired(
    first: ComparedRun, left: TestRows, right: TestRows, metrics: Sequence[Metric], *, seed: int, replicates: int
) -> dict[str, MetricDifference]:
    """Differences on rows that are the same, from resamples that are the same."""
    from daskflow.metrics.paired import paired

    possible = [metric for metric in metrics if _gives(left, metric.needs) and _gives(right, metric.needs)]
    if not possible:
        return {}
    unit = left.unit
    if not _equal(left.unit, right.unit):  # the larger units are the safe side
        units = [rows.unit for rows in (left, right) if rows.unit is not None]
        unit = min(units, key=lambda values: len(np.unique(values)))
    found = paired(
        possible,
        first.record.task,
        left.predictions,
        right.predictions,
        left.y,
        left.weight,
        classes=first.record.classes,
        seed=seed,
        replicates=replicates,
        unit=unit,
    )
    directions = {metric.name: metric.greater_is_better for metric in possible}
    return {
        name: MetricDifference(name, directions[name], one.first, one.second, one.value, one.low, one.high)
        for name, one in found.items()
    }


def _gives(rows: TestRows, need: str) -> bool:
    """Whether the estimator gave what a metric needs."""
    try:
        rows.predictions.of(need)
    except DataError:
        return False
    return True


def _equal(left: Any, right: Any) -> bool:
    """Whether both are absent, or the same numbers."""
    if left is None or right is None:
        return left is right
    return left.shape == right.shape and bool((left == right).all())


def _unpaired(
    first: ComparedRun, second: ComparedRun, metrics: Sequence[Metric], n_common: int, reason: str
) -> Against:
    """Differences of two estimates from rows that have nothing to do with each other."""
    tables: list[Mapping[str, Score]] = [
        {} if run.record.evaluation is None else run.record.evaluation.metrics for run in (first, second)
    ]
    differences = {}
    for metric in metrics:
        one, other = tables[0].get(metric.name), tables[1].get(metric.name)
        if one is not None and other is not None:
            value, low, high = independent(one, other)
            differences[metric.name] = MetricDifference(
                metric.name, metric.greater_is_better, one, other, value, low, high
            )
    how = f"Compared are the two test scores as they stand, each with its own interval, for {reason}"
    return Against(second.label, Pairing.NONE, n_common, how, differences)


def independent(first: Score, second: Score) -> tuple[float, float, float]:
    """Return second less first, with the 95 % interval that two independent intervals give.

    The method of variance estimates recovery: G. Y. Zou, A. Donner, "Construction of confidence limits about effect
    measures: a general approach", Statistics in Medicine 27, 2008.

    Examples
    --------
    >>> [round(bound, 3) for bound in independent(Score(0.70, 0.67, 0.73), Score(0.80, 0.76, 0.84))]
    [0.1, 0.05, 0.15]
    """
    value = second.value - first.value
    low = value - math.hypot(second.value - second.low, first.high - first.value)
    high = value + math.hypot(second.high - second.value, first.value - first.low)
    return value, low, high
