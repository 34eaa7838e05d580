"""One pass over predictions: blocks of rows become a mergeable state that all metrics and pictures are read off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.results import Evaluation
from daskflow.data.predictions import Predictions
from daskflow.metrics.asked import Asked
from daskflow.metrics.calibration import Calibration
from daskflow.metrics.judging import judge
from daskflow.metrics.looking import look
from daskflow.metrics.residuals import Residuals
from daskflow.metrics.rows import Rows
from daskflow.metrics.scores import Scores
from daskflow.metrics.states import Cells, Columns


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What one pass has seen of predictions: states that merge, for all metrics and pictures together.

    Make one of each block of rows with `of`, on any worker, put them together with `merge` in any order, and read
    `evaluation` at the end. The result is the same (to 1e-12) for any cut of the rows into blocks and any order, as
    long as a row keeps its unit, or its number where rows have no unit.

    Attributes
    ----------
    asked : Asked
        Metrics, task, seed.
    n_rows : int
        Rows seen, those without weight included.
    rows, weight, squares : float
        Rows that have a weight, the sum of their weights, and of the squares of these.
    has_weight, has_unit : bool
        Whether any block came with weights, or with units.
    class_rows : ndarray of int64, shape (n_classes,)
        Rows by class.
    counts : ndarray of int64, shape (n_classes, n_classes), or None
        Rows by true and predicted class.
    cells, columns, scores, calibration, residuals, sample : states
        Each None where the task or the predictions have no use for it.
    own : mapping of str to state
        Of metrics that share none.
    broken : mapping of str to int
        Rows whose prediction is nan, by what metrics need.
    lacking : mapping of str to str
        What the predictions do not give, and the sentence that says so.
    """

    asked: Asked
    n_rows: int = 0
    rows: int = 0
    weight: float = 0.0
    squares: float = 0.0
    has_weight: bool = False
    has_unit: bool = False
    class_rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    counts: NDArray[np.int64] | None = None
    cells: Cells | None = None
    columns: Columns | None = None
    scores: Scores | None = None
    calibration: Calibration | None = None
    residuals: Residuals | None = None
    sample: Rows | None = None
    own: Mapping[str, Any] = field(default_factory=dict)
    broken: Mapping[str, int] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        asked: Asked,
        y: Any,
        predictions: Predictions,
        weight: Any = None,
        unit: Any = None,
        start: int = 0,
    ) -> Tally:
        """Look at one block of rows.

        Parameters
        ----------
        asked : Asked
            The same for all blocks.
        y : array of shape (n_rows,)
            Class codes, or numbers; multilabel: shape (n_rows, n_labels).
        predictions : Predictions
            Of these rows. Labels that are None while there are probabilities are the more probable class.
        weight : array of shape (n_rows,), optional
            Not negative; default 1 each. Rows of weight 0 count for nothing.
        unit : array of uint64, shape (n_rows,), optional
            Rows of one unit are resampled together, also across blocks. Default: every row on its own.
        start : int
            The number of the block's first row in the whole; tells rows without units apart.

        Raises
        ------
        DataError
            When arrays differ in length, a weight is negative or not finite, or a class code is outside the classes.
        """
        return cls(asked, **look(asked, y, predictions, weight, unit, start))

    def merge(self, other: Tally) -> Tally:
        """Put two tallies of the same question together; associative and commutative up to rounding (1e-12).

        Raises
        ------
        DataError
            When they were asked different things.
        """
        if self.asked != other.asked:
            raise DataError("These tallies cannot be merged: metrics, task, classes, seed or replicates differ.")
        if not self.rows or not other.rows:
            kept, empty = (other, self) if not self.rows else (self, other)
            return replace(
                kept,
                n_rows=self.n_rows + other.n_rows,
                has_weight=self.has_weight or other.has_weight,
                has_unit=self.has_unit or other.has_unit,
                lacking={**empty.lacking, **kept.lacking},
            )
        if self.lacking.keys() != other.lacking.keys():
            lack = " and ".join(", ".join(sorted(each.lacking)) or "nothing" for each in (self, other))
            raise DataError(f"These tallies cannot be merged: their predictions lack different things: {lack}.")
        families = self.asked.families.without(self.lacking)
        return Tally(
            asked=self.asked,
            n_rows=self.n_rows + other.n_rows,
            rows=self.rows + other.rows,
            weight=self.weight + other.weight,
            squares=self.squares + other.squares,
            has_weight=self.has_weight or other.has_weight,
            has_unit=self.has_unit or other.has_unit,
            class_rows=self.class_rows + other.class_rows,
            counts=_both(self.counts, other.counts, lambda left, right: left + right),
            cells=_both(self.cells, other.cells, Cells.merged),
            columns=_both(self.columns, other.columns, lambda a, b: a.merged(b, families.layout)),
            scores=_both(self.scores, other.scores, Scores.merged),
            calibration=_both(self.calibration, other.calibration, Calibration.merged),
            residuals=_both(self.residuals, other.residuals, Residuals.merged),
            sample=_both(self.sample, other.sample, Rows.merged),
            own={
                metric.name: metric.merge(self.own[metric.name], other.own[metric.name])
                for metric in families.others
                if metric.name in self.own and metric.name in other.own
            },
            broken={
                need: self.broken.get(need, 0) + other.broken.get(need, 0) for need in {*self.broken, *other.broken}
            },
            lacking={**self.lacking, **other.lacking},
        )

    def evaluation(self) -> Evaluation:
        """Return all metrics with their 95 % intervals, and what pictures are drawn from.

        See `daskflow.metrics.evaluation.evaluate` for the details.
        """
        return judge(self)


def _both(left: Any, right: Any, merge: Any) -> Any:
    """Merge two states; None where either lacks it."""
    return None if left is None or right is None else merge(left, right)
