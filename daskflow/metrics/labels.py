"""Metrics of predicted labels: all of them are read off one confusion table, which is their state."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample

Floats = NDArray[np.float64]


def cells_of(y_true: Any, y_pred: Any, n_classes: int = 0) -> tuple[NDArray[np.int64], int]:
    """Return the place of every row in a flattened confusion table, and the number of classes of that table.

    Parameters
    ----------
    y_true, y_pred : array of shape (n_rows,)
        Class codes.
    n_classes : int
        0: the largest code seen and one, at least 2.

    Raises
    ------
    DataError
        For a code outside 0..n_classes-1.
    """
    true, predicted = np.asarray(y_true).astype(np.int64), np.asarray(y_pred).astype(np.int64)
    both = (true, predicted) if len(true) else ()
    low, high = (
        min((int(codes.min()) for codes in both), default=0),
        max((int(codes.max()) for codes in both), default=0),
    )
    size = n_classes or max(high + 1, 2)
    if low < 0 or high >= size:
        wrong = low if low < 0 else high
        raise DataError(f"Class code {wrong} was found where there are the codes 0 to {size - 1}.")
    return true * size + predicted, size


def confusion(y_true: Any, y_pred: Any, weight: Any = None, n_classes: int = 0) -> Floats:
    """Return the weight of rows by true class (down) and predicted class (across)."""
    cell, size = cells_of(y_true, y_pred, n_classes)
    return np.bincount(cell, weights=weight, minlength=size * size).reshape(size, size).astype(np.float64)


class LabelMetric(Metric):
    """A metric whose state is the confusion table, shape (n_classes, n_classes)."""

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Floats:
        """Count one block."""
        return confusion(y_true, y_pred, weight, self._n_classes)

    def merge(self, left: Floats, right: Floats) -> Floats:
        """Add two tables; a block that lacks the last classes has a smaller one."""
        size = max(len(left), len(right))
        return _padded(left, size) + _padded(right, size)

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the entries of the table that are not empty."""
        cell, size = cells_of(y_true, y_pred, self._n_classes)
        occurs = np.bincount(cell, minlength=size * size) > 0
        used, place = np.flatnonzero(occurs), (np.cumsum(occurs) - 1)[cell]
        table = np.zeros(size * size)
        values = np.empty(resample.n_replicates)
        for number, sums in enumerate(resample.cells(place, weight, len(used))):
            table[used] = sums
            values[number] = self.value(table.reshape(size, size))
        return values


class Accuracy(LabelMetric):
    """Share of rows (by weight) whose class was predicted right.

    Examples
    --------
    >>> Accuracy().score([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """

    kind: Literal["accuracy"] = "accuracy"

    def value(self, state: Floats) -> float:
        """Right over all."""
        return _ratio(float(np.trace(state)), float(state.sum()))


class BalancedAccuracy(LabelMetric):
    """Mean over the classes that occur of the share of their rows that was predicted right.

    Examples
    --------
    >>> BalancedAccuracy().score([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    """

    kind: Literal["balanced_accuracy"] = "balanced_accuracy"

    def value(self, state: Floats) -> float:
        """Mean of the diagonal over the rows' sums."""
        total = state.sum(axis=1)
        occurs = total > 0
        return float(np.mean(np.diagonal(state)[occurs] / total[occurs])) if occurs.any() else math.nan


class AveragedMetric(LabelMetric):
    """A metric of one class against the rest, averaged over classes.

    Attributes
    ----------
    average : str or None
        ``binary`` (class 1 only), ``macro`` (mean over classes that occur in truth or prediction), ``weighted`` (by
        their true weight) or ``micro`` (counts summed first). None: ``binary`` for binary tasks, ``macro`` for others.
    """

    average: Literal["binary", "macro", "micro", "weighted"] | None = None

    @property
    def name(self) -> str:
        """The kind, and the average when one was chosen: ``f1_macro``."""
        return f"{self.kind}_{self.average}" if self.average else self.kind

    def misfit(self, task: str) -> str:
        """Also: one positive class is for two."""
        if task == "multiclass" and self.average == "binary":
            return f"average = 'binary' is for two classes, and the task is {task}; choose macro, micro or weighted"
        return super().misfit(task)

    def ratio(self, right: Floats, predicted: Floats, true: Floats) -> tuple[Floats, Floats]:
        """Return numerator and denominator per class from the weights predicted right, predicted, and true."""
        raise NotImplementedError

    def value(self, state: Floats) -> float:
        """Divide per class, 0 where nothing stands below as in scikit-learn, and average."""
        right, predicted, true = np.diagonal(state), state.sum(axis=0), state.sum(axis=1)
        if not true.sum():
            return math.nan
        binary = self._task == "binary" if self._task else len(state) == 2
        average = self.average or ("binary" if binary else "macro")
        if average == "micro":
            right, predicted, true = (np.atleast_1d(counts.sum()) for counts in (right, predicted, true))
        above, below = self.ratio(right, predicted, true)
        values = np.divide(above, below, out=np.zeros(len(above)), where=below > 0)
        if average == "binary":
            return float(values[1])
        if average == "weighted":
            return float(np.average(values, weights=true))
        return float(np.mean(values[(predicted > 0) | (true > 0)]))


class Precision(AveragedMetric):
    """Of the rows predicted to be of a class, the share that is.

    Examples
    --------
    >>> Precision().score([0, 1, 1, 0], [1, 1, 1, 1])
    0.5
    """

    kind: Literal["precision"] = "precision"

    def ratio(self, right: Floats, predicted: Floats, true: Floats) -> tuple[Floats, Floats]:
        """Right over predicted."""
        return right, predicted


class Recall(AveragedMetric):
    """Of the rows of a class, the share predicted to be.

    Examples
    --------
    >>> Recall().score([0, 1, 1, 0], [1, 1, 0, 1])
    0.5
    """

    kind: Literal["recall"] = "recall"

    def ratio(self, right: Floats, predicted: Floats, true: Floats) -> tuple[Floats, Floats]:
        """Right over true."""
        return right, true


class F1(AveragedMetric):
    """Harmonic mean of precision and recall.

    Examples
    --------
    >>> F1().score([0, 1, 1, 0], [0, 1, 0, 1])
    0.5
    """

    kind: Literal["f1"] = "f1"

    def ratio(self, right: Floats, predicted: Floats, true: Floats) -> tuple[Floats, Floats]:
        """Twice right over predicted and true."""
        return 2 * right, predicted + true


def _padded(table: Floats, size: int) -> Floats:
    """Give a table the missing last classes."""
    return np.pad(table, (0, size - len(table)))


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan
