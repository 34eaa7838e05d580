"""Multilabel rows: truth and predictions of shape (n_rows, n_labels), each label judged as two classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.metrics import Metric
from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.probability import LossMetric

Floats = NDArray[np.float64]


def indicators(y_true: Any, y_pred: Any) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return both as booleans of shape (n_rows, n_labels).

    Raises
    ------
    DataError
        When the shapes differ, or something else than 0 and 1 is found.
    """
    found = []
    for what, given in (("y_true", np.asarray(y_true)), ("y_pred", np.asarray(y_pred))):
        wrong = (given != 0) & (given != 1)
        if wrong.any():
            raise DataError(f"{what} has {given[wrong][0]} where a label is 0 or 1. Cut scores at a threshold first.")
        found.append(given.astype(bool))
    if found[0].shape != found[1].shape:
        raise DataError(f"y_true is of shape {found[0].shape} and y_pred of {found[1].shape}: a column per label each.")
    return found[0], found[1]


@dataclass(frozen=True, slots=True, eq=False)
class LabelCounts:
    """Weights of rows by label, and the sum of a ratio over rows.

    Attributes
    ----------
    labels : ndarray of shape (4, n_labels)
        Weight predicted right, predicted, true, and of all rows.
    samples : ndarray of shape (2,)
        Sum of weight times each row's own ratio, and of weight.
    """

    labels: Floats
    samples: Floats

    def merge(self, other: LabelCounts) -> LabelCounts:
        """Add."""
        return LabelCounts(self.labels + other.labels, self.samples + other.samples)


@dataclass(frozen=True, slots=True)
class ByLabelState:
    """A state per label, and whether all that was predicted were numbers."""

    labels: tuple[Any, ...]
    is_whole: bool


class ByLabel(Metric):
    """Makes of a metric of two classes, the next base, the mean over the labels for which it is defined."""

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Judge each column of a multilabel truth."""
        if np.ndim(y_true) < 2:
            return super().of(y_true, y_pred, weight)
        columns = zip(np.asarray(y_true).T, np.asarray(y_pred).T, strict=True)
        is_whole = not np.isnan(np.asarray(y_pred, dtype=np.float64)[np.asarray(weight) > 0]).any()
        return ByLabelState(tuple(super(ByLabel, self).of(true, said, weight) for true, said in columns), is_whole)

    def merge(self, left: Any, right: Any) -> Any:
        """Merge label by label."""
        if not isinstance(left, ByLabelState):
            return super().merge(left, right)
        pairs = zip(left.labels, right.labels, strict=True)
        merged = tuple(super(ByLabel, self).merge(one, other) for one, other in pairs)
        return ByLabelState(merged, left.is_whole and right.is_whole)

    def value(self, state: Any) -> float:
        """Mean over the labels for which it is defined; nan when a prediction was not a number."""
        if not isinstance(state, ByLabelState):
            return float(super().value(state))
        if not state.is_whole:
            return math.nan
        values = np.array([super(ByLabel, self).value(label) for label in state.labels])
        defined = ~np.isnan(values)
        return math.fsum(values[defined]) / int(defined.sum()) if defined.any() else math.nan

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Mean over the labels for which it is defined."""
        if np.ndim(y_true) < 2:
            return np.asarray(super().replicates(y_true, y_pred, weight, resample))
        columns = zip(np.asarray(y_true).T, np.asarray(y_pred).T, strict=True)
        each = np.array([super(ByLabel, self).replicates(true, said, weight, resample) for true, said in columns])
        defined = ~np.isnan(each)
        counts, total = defined.sum(axis=0), np.where(defined, each, 0.0).sum(axis=0)
        return np.asarray(np.divide(total, counts, out=np.full(len(total), math.nan), where=counts > 0))


class HammingLoss(LossMetric):
    """Share of labels (multilabel) or rows (by weight) that were predicted wrong.

    Examples
    --------
    >>> HammingLoss().score([[0, 1], [1, 1]], [[0, 0], [1, 1]])
    0.25
    >>> HammingLoss().score([0, 1, 2, 2], [0, 1, 1, 2])
    0.25
    """

    kind: Literal["hamming_loss"] = "hamming_loss"

    needs: ClassVar[str] = "labels"
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel")

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Share of a row's labels that are wrong."""
        if y_true.ndim == 1:
            return np.asarray(y_true != y_pred, dtype=np.float64)
        true, predicted = indicators(y_true, y_pred)
        return np.asarray((true != predicted).mean(axis=1))
