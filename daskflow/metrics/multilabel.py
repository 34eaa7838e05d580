"""Multilabel rows: truth and predictions of shape (n_rows, n_labels), each label judged as two classes."""

from __future__ import annotations

import math
from collections.abc import Iterator
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
    """Weights of rows by label, and the sum of a number per row.

    Attributes
    ----------
    labels : ndarray of shape (4, n_labels)
        Weight predicted right, predicted, true, and of all rows.
    samples : ndarray of shape (2,)
        Sum of weight times each row's own number, and of weight.
    """

    labels: Floats
    samples: Floats

    @staticmethod
    def columns(y_true: NDArray[np.bool_], y_pred: NDArray[np.bool_], each: Any) -> Floats:
        """Return what is weighed and summed, shape (n_rows, 3 * n_labels + 2); `each` is the number of each row."""
        found: Floats = np.column_stack([y_true & y_pred, y_pred, y_true, each, np.ones(len(y_true))]).astype(
            np.float64
        )
        return found

    @classmethod
    def of_sums(cls, sums: Floats) -> LabelCounts:
        """Take the sums of the columns."""
        by_label = sums[:-2].reshape(3, -1)
        return cls(np.vstack([by_label, np.full(by_label.shape[1], sums[-1])]), sums[-2:])

    def mean(self) -> float:
        """Mean of the rows' numbers; nan without rows."""
        return float(self.samples[0] / self.samples[1]) if self.samples[1] else math.nan

    def merge(self, other: LabelCounts) -> LabelCounts:
        """Add."""
        return LabelCounts(self.labels + other.labels, self.samples + other.samples)


class ByLabel(Metric):
    """Mean over labels of `metric`, one of two classes, where that is defined; of its name, with a state per label."""

    metric: Metric

    @property
    def name(self) -> str:
        """The other's."""
        return self.metric.name

    @property
    def greater_is_better(self) -> bool:  # type: ignore[override]  # of each metric, not of the class
        """The other's."""
        return self.metric.greater_is_better

    @property
    def needs(self) -> str:  # type: ignore[override]  # of each metric, not of the class
        """The other's."""
        return self.metric.needs

    def misfit(self, task: str) -> str:
        """Ask the other."""
        return self.metric.misfit(task)

    def for_task(self, task: str, n_classes: int = 0) -> Any:
        """Ask the other."""
        return self.metric.for_task(task, n_classes)

    def dump(self) -> dict[str, Any]:
        """Return the other's settings."""
        return self.metric.dump()

    def __repr__(self) -> str:
        """Show the other."""
        return repr(self.metric)

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> tuple[Any, ...]:
        """Judge each column."""
        return tuple(self.metric.of(true, said, weight) for true, said in _columns(y_true, y_pred))

    def merge(self, left: tuple[Any, ...], right: tuple[Any, ...]) -> tuple[Any, ...]:
        """Merge label by label."""
        return tuple(self.metric.merge(one, other) for one, other in zip(left, right, strict=True))

    def value(self, state: tuple[Any, ...]) -> float:
        """Mean over the labels for which it is defined."""
        return float(_defined_mean(np.array([[self.metric.value(label)] for label in state]))[0])

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Mean over the labels for which it is defined."""
        columns = _columns(y_true, y_pred)
        return _defined_mean(np.array([self.metric.replicates(true, said, weight, resample) for true, said in columns]))


class MeanOverLabels(Metric):
    """Lets a metric of two classes judge rows of several labels by its mean over them; stands before its base."""

    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass", "multilabel")

    def for_task(self, task: str, n_classes: int = 0) -> Any:
        """Return the metric for one task; for multilabel one that judges each label."""
        if task != "multilabel":
            return super().for_task(task, n_classes)
        return ByLabel(kind=self.kind, metric=super().for_task("binary", 2))

    def judge(self, n_dimensions: int) -> Metric:
        """Return the one that judges each label of a truth of two dimensions."""
        found: Metric = self.for_task("multilabel") if n_dimensions == 2 else self
        return found


def _columns(y_true: Any, y_pred: Any) -> Iterator[tuple[Any, Any]]:
    """Yield truth and prediction of each label; a label is not defined by a row of which another is not a number."""
    predicted = np.asarray(y_pred)
    if np.issubdtype(predicted.dtype, np.floating):
        predicted = np.where(np.isnan(predicted).any(axis=1, keepdims=True), np.nan, predicted)
    yield from zip(np.asarray(y_true).T, np.ascontiguousarray(predicted.T), strict=True)


def _defined_mean(values: Floats) -> Floats:
    """Mean of each column of what is defined in it; nan where nothing is."""
    defined = ~np.isnan(values)
    counts, total = defined.sum(axis=0), np.where(defined, values, 0.0).sum(axis=0)
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
