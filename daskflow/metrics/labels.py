"""Metrics of predicted labels: all of them are read off one confusion table, which is their state."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskflow.core.errors import DataError
from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.multilabel import LabelCounts, indicators

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

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Count one block."""
        if np.ndim(y_true) == 2:
            return LabelCounts.of_sums(np.asarray(weight, dtype=np.float64) @ self._label_columns(y_true, y_pred))
        return confusion(y_true, y_pred, weight, self._n_classes)

    def by_row(self, y_true: NDArray[np.bool_], y_pred: NDArray[np.bool_]) -> Any:
        """Return what each multilabel row gives by itself, shape (n_rows,), from arrays of shape (n_rows, n_labels)."""
        raise DataError(f"{self.name} is for one label per row (found {y_true.shape[1]}).")

    def _label_columns(self, y_true: Any, y_pred: Any) -> Floats:
        """What is summed of multilabel rows."""
        true, predicted = indicators(y_true, y_pred)
        return LabelCounts.columns(true, predicted, self.by_row(true, predicted))

    def merge(self, left: Any, right: Any) -> Any:
        """Add two tables; a block that lacks the last classes has a smaller one."""
        if isinstance(left, LabelCounts):
            return left.merge(right)
        size = max(len(left), len(right))
        return _padded(left, size) + _padded(right, size)

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the entries of the table that are not empty; of multilabel rows, the sums."""
        if np.ndim(y_true) == 2:
            columns = self._label_columns(y_true, y_pred) * np.asarray(weight, dtype=np.float64)[:, None]
            return np.array([self.value(LabelCounts.of_sums(sums)) for sums in resample.totals(list(columns.T))])
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
    """Share of rows (by weight) whose class was predicted right; multilabel: all of whose labels were.

    Examples
    --------
    >>> Accuracy().score([0, 1, 1, 2], [0, 1, 2, 2])
    0.75
    """

    kind: Literal["accuracy"] = "accuracy"

    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel")

    def by_row(self, y_true: NDArray[np.bool_], y_pred: NDArray[np.bool_]) -> Any:
        """Whether every label is right."""
        return (y_true == y_pred).all(axis=1)

    def value(self, state: Any) -> float:
        """Right over all."""
        if isinstance(state, LabelCounts):
            return state.mean()
        return _ratio(float(np.trace(state)), float(state.sum()))


class BalancedAccuracy(LabelMetric):
    """Mean over the classes that occur of the share of their rows that was predicted right.

    Attributes
    ----------
    adjusted : bool
        Whether guessing scores 0, and not one over the number of classes.

    Examples
    --------
    >>> BalancedAccuracy().score([0, 0, 0, 1], [0, 0, 0, 0])
    0.5
    >>> BalancedAccuracy(adjusted=True).score([0, 0, 0, 1], [0, 0, 0, 0])
    0.0
    """

    kind: Literal["balanced_accuracy"] = "balanced_accuracy"
    adjusted: bool = False

    in_name: ClassVar[tuple[str, ...]] = ("adjusted",)

    def value(self, state: Floats) -> float:
        """Mean of the diagonal over the rows' sums."""
        recalls = recalls_of(state)
        if not len(recalls):
            return math.nan
        chance = 1.0 / len(recalls)
        found = float(np.mean(recalls))
        return _ratio(found - chance, 1.0 - chance) if self.adjusted else found


class AveragedMetric(LabelMetric):
    """A metric of one class against the rest, averaged over classes.

    Attributes
    ----------
    average : str or None
        ``binary`` (class 1 only), ``macro`` (mean over classes that occur in truth or prediction; multilabel: over all
        labels), ``weighted`` (by their true weight), ``micro`` (counts summed first) or, multilabel only, ``samples``
        (mean over rows of what each row's labels give). None: ``binary`` for binary tasks, ``macro`` for others.
    """

    average: Literal["binary", "macro", "micro", "weighted", "samples"] | None = None

    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel")
    in_name: ClassVar[tuple[str, ...]] = ("average",)

    def misfit(self, task: str) -> str:
        """Also: one positive class is for two, and the mean over rows for rows of several labels."""
        if task in ("multiclass", "multilabel") and self.average == "binary":
            others = "macro, micro or weighted" if task == "multiclass" else "macro, micro, weighted or samples"
            return f"average = 'binary' is for two classes, and the task is {task}; choose {others}"
        if task in ("binary", "multiclass") and self.average == "samples":
            return f"average = 'samples' is for multilabel, and the task is {task}; choose macro, micro or weighted"
        return super().misfit(task)

    def ratio(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Return numerator and denominator per class from the weights predicted right, predicted, true, and of all."""
        raise NotImplementedError

    def by_row(self, y_true: NDArray[np.bool_], y_pred: NDArray[np.bool_]) -> Any:
        """Judge each row by its labels, where that is asked for."""
        if self.average != "samples":
            return np.zeros(len(y_true))
        parts = (y_true & y_pred, y_pred, y_true, np.ones_like(y_true))
        return self._ratios(*(part.sum(axis=1) for part in parts))

    def value(self, state: Any) -> float:
        """Divide per class, 0 where nothing stands below as in scikit-learn, and average."""
        if isinstance(state, LabelCounts):
            if self.average == "samples":
                return state.mean()
            right, predicted, true, total = state.labels
            return self._averaged(right, predicted, true, total, self.average or "macro", total > 0)
        right, predicted, true = np.diagonal(state), state.sum(axis=0), state.sum(axis=1)
        binary = self._task == "binary" if self._task else len(state) == 2
        average = self.average or ("binary" if binary else "macro")
        total = np.full(len(state), true.sum())
        return self._averaged(right, predicted, true, total, average, (predicted > 0) | (true > 0))

    def _averaged(
        self, right: Floats, predicted: Floats, true: Floats, total: Floats, average: str, occurs: NDArray[np.bool_]
    ) -> float:
        """Average over classes; nan without rows."""
        if not total.any():
            return math.nan
        counts = (right, predicted, true, total)
        if average == "micro":
            return float(self._ratios(*(np.atleast_1d(count.sum()) for count in counts))[0])
        values = self._ratios(*counts)
        if average == "binary":
            return float(values[1])
        if average == "weighted":
            return float(np.average(values, weights=true)) if true.any() else 0.0
        return float(np.mean(values[occurs]))

    def _ratios(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> Floats:
        """Divide, 0 where nothing stands below."""
        above, below = self.ratio(right, predicted, true, total)
        return np.asarray(np.divide(above, below, out=np.zeros(len(above)), where=below > 0))


class Precision(AveragedMetric):
    """Of the rows predicted to be of a class, the share that is.

    Examples
    --------
    >>> Precision().score([0, 1, 1, 0], [1, 1, 1, 1])
    0.5
    """

    kind: Literal["precision"] = "precision"

    def ratio(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> tuple[Floats, Floats]:
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

    def ratio(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Right over true."""
        return right, true


class Specificity(AveragedMetric):
    """Of the rows that are not of a class, the share predicted not to be: the recall of the rest.

    Examples
    --------
    >>> Specificity().score([0, 1, 1, 0], [1, 1, 0, 0])
    0.5
    """

    kind: Literal["specificity"] = "specificity"

    def ratio(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Neither predicted nor true, over not true."""
        return total - predicted - true + right, total - true


class F1(AveragedMetric):
    """Harmonic mean of precision and recall.

    Examples
    --------
    >>> F1().score([0, 1, 1, 0], [0, 1, 0, 1])
    0.5
    """

    kind: Literal["f1"] = "f1"

    def ratio(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Twice right over predicted and true."""
        return 2 * right, predicted + true


class FBeta(AveragedMetric):
    """Harmonic mean of precision and recall that gives recall `beta` squared times the weight of precision.

    Attributes
    ----------
    beta : float
        Above 1 a missed row costs more than a false alarm, below 1 less; above 0.

    Examples
    --------
    >>> round(FBeta(beta=0.5).score([0, 1, 1, 0], [0, 1, 0, 0]), 4)
    0.8333
    """

    kind: Literal["fbeta"] = "fbeta"
    beta: float = Field(2.0, gt=0, allow_inf_nan=False)

    defining: ClassVar[str] = "beta"

    def ratio(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Right over predicted and true, weighted."""
        square = self.beta**2
        return (1.0 + square) * right, predicted + square * true


class Jaccard(AveragedMetric):
    """Rows that are of a class and predicted to be, over those that are either: intersection over union.

    Examples
    --------
    >>> round(Jaccard().score([0, 1, 1, 0], [0, 1, 0, 1]), 4)
    0.3333
    """

    kind: Literal["jaccard"] = "jaccard"

    def ratio(self, right: Floats, predicted: Floats, true: Floats, total: Floats) -> tuple[Floats, Floats]:
        """Right over predicted or true."""
        return right, predicted + true - right


def recalls_of(table: Floats) -> Floats:
    """Return the share predicted right of each class that occurs in the truth."""
    total = table.sum(axis=1)
    occurs = total > 0
    found: Floats = np.diagonal(table)[occurs] / total[occurs]
    return found


def _padded(table: Floats, size: int) -> Floats:
    """Give a table the missing last classes."""
    return np.pad(table, (0, size - len(table)))


def _ratio(above: float, below: float) -> float:
    return above / below if below else math.nan
