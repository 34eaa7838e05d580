"""Is the second model better than the first: differences of metrics on the same rows, with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from daskflow.core.errors import DataError
from daskflow.core.protocols import Score
from daskflow.data.predictions import Predictions
from daskflow.metrics import Metric
from daskflow.metrics.asked import Asked
from daskflow.metrics.bootstrap import interval
from daskflow.metrics.judging import judgement_of
from daskflow.metrics.rankings import FINE_CELLS
from daskflow.metrics.tally import Tally


@dataclass(frozen=True, slots=True)
class Difference:
    """A metric of two models on the same rows.

    Attributes
    ----------
    name : str
        Of the metric.
    first, second : Score
        Each model's value and 95 % interval.
    value : float
        Second minus first.
    low, high : float
        95 % interval of the difference; it is exactly 0 to 0 for a model against itself. nan where either value is, and
        without resampling.
    """

    name: str
    first: Score
    second: Score
    value: float
    low: float = math.nan
    high: float = math.nan

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out 0: chance in the rows alone hardly explains the difference."""
        return self.low > 0 or self.high < 0


def paired(
    metrics: Sequence[Metric],
    task: str,
    first: Predictions,
    second: Predictions,
    y: Any,
    weight: Any = None,
    *,
    classes: Sequence[str],
    seed: int,
    replicates: int = 500,
    unit: Any = None,
) -> dict[str, Difference]:
    """Compare two models on the same rows, metric by metric.

    Both are judged on the same resamples, so that what makes rows easy or hard for both cancels: the interval of the
    difference is as a rule much narrower than those of the two values suggest.

    Parameters
    ----------
    metrics : sequence of Metric
        Any number.
    task : str
        binary, multiclass, multilabel or regression.
    first, second : Predictions
        Of the same rows in the same order.
    y : array of shape (n_rows,)
        Class codes, or numbers.
    weight : array of shape (n_rows,), optional
        Not negative; default 1 each.
    classes : sequence of str
        Labels by code; empty for regression.
    seed : int
        Of the resamples.
    replicates : int
        Resamples of the Poisson bootstrap.
    unit : array of uint64, shape (n_rows,), optional
        Rows of one unit (a patient, a customer) are resampled together; default: every row on its own.

    Returns
    -------
    dict of str to Difference
        By the metric's name.

    Raises
    ------
    DataError
        When arrays differ in length.

    Examples
    --------
    >>> from daskflow.metrics import parse
    >>> rng = np.random.default_rng(0)
    >>> y = rng.normal(size=1000)
    >>> near, far = (Predictions(y + rng.normal(0, spread, 1000)) for spread in (1.0, 1.3))
    >>> found = paired([parse("rmse")], "regression", far, near, y, classes=[], seed=7)["rmse"]
    >>> round(found.value, 2), found.high < 0
    (-0.25, True)
    """
    asked = Asked(metrics, task, classes, seed, replicates)
    return compare(*(Tally.of(asked, y, predictions, weight, unit) for predictions in (first, second)))


def compare(first: Tally, second: Tally) -> dict[str, Difference]:
    """Return the differences of two tallies of the same rows, made block by block.

    Parameters
    ----------
    first, second : Tally
        Asked the same, of the same rows with the same units or row numbers.

    Raises
    ------
    DataError
        When they are of different rows, as far as their numbers and sums tell, or were asked different things.
    """
    if first.asked != second.asked:
        raise DataError("These tallies cannot be compared: metrics, task, classes, seed or replicates differ.")
    if (first.n_rows, first.rows) != (second.n_rows, second.rows) or not np.array_equal(
        first.class_rows, second.class_rows
    ):
        raise DataError(
            f"These tallies are of different rows: {first.n_rows} and {second.n_rows}, or of other classes. "
            "A paired comparison needs both models' predictions of the same rows."
        )
    ours, theirs = (judgement_of(tally, FINE_CELLS) for tally in (first, second))
    scores = [judgement.scores(tally)[0] for judgement, tally in ((ours, first), (theirs, second))]
    found = {}
    for name in ours.metrics:
        one, other = ours.metrics[name], theirs.metrics[name]
        value = other.value - one.value
        low = high = math.nan
        if not math.isnan(value) and one.replicates is not None and other.replicates is not None:
            low, high = interval(other.replicates - one.replicates)
            low, high = low - (one.error + other.error), high + (one.error + other.error)
        found[name] = Difference(name, scores[0][name], scores[1][name], value, low, high)
    return found
