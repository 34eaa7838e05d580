"""Metrics: values, directions and 95 % intervals, from states that merge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import PrivateAttr

from daskflow.core.errors import Problem
from daskflow.core.registry import Registry
from daskflow.core.settings import Settings

if TYPE_CHECKING:
    from daskflow.metrics.bootstrap import Resample


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

    _task: str = PrivateAttr("")
    _n_classes: int = PrivateAttr(0)

    @property
    def name(self) -> str:
        """Name in results: the kind, with the options that are not the default behind it."""
        return self.kind

    def for_task(self, task: str, n_classes: int = 0) -> Self:
        """Return the metric for one task: of the same name, sure of the classes that a block may lack.

        Without it the number of classes is taken from the columns of `y_pred`, else from the largest code seen, and two
        classes are a binary task.

        Parameters
        ----------
        task : str
            binary, multiclass or regression.
        n_classes : int
            Classes of the target; 0 for regression.
        """
        settled = self.model_copy()
        settled._task, settled._n_classes = task, n_classes
        return settled

    def misfit(self, task: str) -> str:
        """Say why the metric cannot judge a task, naming those that can; empty when it can."""
        if task in self.tasks:
            return ""
        others = ", ".join(name for name, cls in REGISTRY.kinds.items() if task in cls.tasks)
        return f"{self.name} is for {' and '.join(self.tasks)}, and the task is {task}; for {task} there is: {others}"

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

    def on_parts(self, y_true: Any, y_pred: Any, sample_weight: Any, part: Any, n_parts: int) -> Any:
        """Return the metric on each part of the rows, shape (n_parts,); nan where it is not defined.

        `part`, shape (n_rows,), holds each row's part, from 0 on. Metrics that can be resampled quickly go through the
        rows once.
        """
        import numpy as np

        from daskflow.metrics.bootstrap import Parts

        weight = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        return self.replicates(np.asarray(y_true), np.asarray(y_pred), weight, Parts(part, n_parts))

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Any:
        """Return the metric on every resample of the rows, shape (n_replicates,): what its interval is taken from.

        This one works for every metric and goes through the rows once per replicate; metrics whose state is a sum do
        better.
        """
        import numpy as np

        return np.array([self.value(self.of(y_true, y_pred, weight * rows)) for rows in resample.rows()])


REGISTRY: Registry[Metric] = Registry(__name__, Metric, "metric")

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "balanced_accuracy", "f1"),
    "multiclass": ("f1", "balanced_accuracy", "accuracy", "roc_auc", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
"""Metrics shown when none are asked for; the first one ranks candidates."""


def defaults(task: str) -> tuple[str, ...]:
    """Return the metrics of a task when none are asked for.

    Examples
    --------
    >>> defaults("regression")
    ('rmse', 'mae', 'r2')
    """
    return DEFAULTS[task]


def default_for_ranking(task: str) -> str:
    """Return the metric that ranks candidates when the search names none.

    Binary: ``roc_auc``, which needs neither probabilities nor a threshold. Multiclass: ``f1`` (macro), which every
    classifier can be judged by, and which counts rare classes as much as frequent ones, in both directions: accuracy
    forgets them, and balanced accuracy forgives false alarms. Regression: ``rmse``.

    Examples
    --------
    >>> default_for_ranking("binary")
    'roc_auc'
    """
    return DEFAULTS[task][0]


def check(metric: Metric, task: str, where: str = "metrics") -> Problem | None:
    """Return what is wrong with judging a task by a metric, with the metrics that fit; None when it fits.

    Examples
    --------
    >>> print(check(parse("rmse"), "binary"))
    metrics: rmse is for regression, and the task is binary; for binary there is: accuracy, average_precision, ...
    >>> check(parse("f1"), "binary") is None
    True
    """
    wrong = metric.misfit(task)
    return Problem(where, wrong) if wrong else None


def parse(value: Any, where: str = "metrics") -> Metric:
    """Make a metric of its name, or of a table with ``kind`` and its options.

    A name may carry the average, as scikit-learn's scorers do: ``f1_macro`` is ``f1`` with ``average = "macro"``.

    Raises
    ------
    SettingsError
        With every mistake, each with the nearest right word.

    Examples
    --------
    >>> parse("f1_macro")
    F1(kind='f1', average='macro')
    """
    if isinstance(value, str) and value not in REGISTRY.kinds:
        kind, _, average = value.rpartition("_")
        if "average" in getattr(REGISTRY.kinds.get(kind), "model_fields", {}):
            value = {"kind": kind, "average": average}
    return REGISTRY.parse(value, where=where)


def __getattr__(name: str) -> Any:
    """Find a metric's class on first use."""
    return REGISTRY.attribute(name)
