"""Metrics: values, directions and 95 % intervals, from states that merge."""

from __future__ import annotations

from typing import Any, ClassVar

from daskflow.core.registry import Registry
from daskflow.core.settings import Settings


class Metric(Settings):
    """A metric: its options are settings, its arithmetic is `of`, `merge` and `value`.

    Attributes
    ----------
    kind : str
        The metric's name, as scikit-learn names it.
    greater_is_better : bool
        Its direction.
    needs : str
        ``labels``, ``scores`` (any monotone score of the positive class, or one column per class) or
        ``probabilities``; ``predictions`` for regression.
    tasks : tuple of str
        Tasks it is defined for.
    """

    kind: str

    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "labels"
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass")

    @property
    def name(self) -> str:
        """Name in results: the kind, with the options that are not the default behind it."""
        return self.kind

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Return the mergeable state of one block; arrays of shape (n_rows,) or (n_rows, n_classes)."""
        raise NotImplementedError

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of both; associative and commutative."""
        raise NotImplementedError

    def value(self, state: Any) -> float:
        """Return the metric of a state; nan where it is not defined."""
        raise NotImplementedError

    def score(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Return the metric on whole arrays."""
        import numpy as np

        weight = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return float(self.value(self.of(np.asarray(y_true), np.asarray(y_pred), weight)))


REGISTRY: Registry[Metric] = Registry(__name__, Metric, "metric")


def __getattr__(name: str) -> Any:
    """Find a metric's class on first use."""
    return REGISTRY.attribute(name)
