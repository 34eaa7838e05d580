"""Metrics of how far predicted classes and true ones agree beyond what chance gives."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics.labels import LabelMetric, recalls_of

Floats = NDArray[np.float64]


class MatthewsCorrcoef(LabelMetric):
    """Matthews' correlation between predicted and true classes: 1 all right, 0 as guessed, -1 all wrong.

    For more than two classes as Gorodkin, "Comparing two K-category assignments by a K-category correlation
    coefficient" (2004). 0 when all rows are, or were predicted to be, of one class, as in scikit-learn.

    Examples
    --------
    >>> round(MatthewsCorrcoef().score([1, 1, 1, 0], [1, 0, 1, 1]), 4)
    -0.3333
    """

    kind: Literal["matthews_corrcoef"] = "matthews_corrcoef"

    def value(self, state: Any) -> float:
        """Covariance over the root of both variances."""
        total = float(state.sum())
        if not total:
            return math.nan
        predicted, true = state.sum(axis=0) / total, state.sum(axis=1) / total
        if np.count_nonzero(predicted) < 2 or np.count_nonzero(true) < 2:
            return 0.0
        covariance = float(np.trace(state)) / total - float(true @ predicted)
        # 1 - p·p, without the rounding of a p that is nearly 1
        spread = float(predicted @ (1.0 - predicted)) * float(true @ (1.0 - true))
        return covariance / math.sqrt(spread)


class CohenKappa(LabelMetric):
    """Cohen's kappa: agreement beyond what classes drawn at random, as often as they occur, would have.

    Attributes
    ----------
    weights : str or None
        None: every disagreement counts alike. ``linear``, ``quadratic``: by how far apart the codes are, or by its
        square, for classes that are in order (their codes follow the order of their labels).

    Notes
    -----
    Distances are between the codes of all classes of the task. scikit-learn's are between those that occur in the rows
    at hand, unless it is given ``labels``. Not defined when truth and prediction have one class, the same.

    Examples
    --------
    >>> round(CohenKappa().score([0, 0, 1, 2], [0, 1, 1, 2]), 4)
    0.6364
    >>> round(CohenKappa(weights="quadratic").score([0, 0, 1, 2], [0, 1, 1, 2]), 4)
    0.8
    """

    kind: Literal["cohen_kappa"] = "cohen_kappa"
    weights: Literal["linear", "quadratic"] | None = None

    in_name: ClassVar[tuple[str, ...]] = ("weights",)
    undefined: ClassVar[str] = "all rows are, and were predicted to be, of one class"

    def value(self, state: Any) -> float:
        """One minus the disagreement found over that of chance."""
        total = float(state.sum())
        place = np.arange(len(state))
        apart = np.abs(place[:, None] - place).astype(np.float64)
        cost = apart**2 if self.weights == "quadratic" else apart if self.weights == "linear" else np.sign(apart)
        by_chance = float((cost * np.outer(state.sum(axis=1), state.sum(axis=0))).sum())
        return 1.0 - float((cost * state).sum()) * total / by_chance if by_chance else math.nan


class GeometricMean(LabelMetric):
    """Geometric mean over the classes that occur of the share of their rows that was predicted right.

    Of two classes the root of sensitivity times specificity; 0 as soon as one class is never found (Kubat and Matwin,
    "Addressing the curse of imbalanced training sets", 1997).

    Examples
    --------
    >>> round(GeometricMean().score([0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 0]), 4)
    0.6124
    """

    kind: Literal["geometric_mean"] = "geometric_mean"

    def value(self, state: Any) -> float:
        """Root of the recalls' product, by logarithms where there is no zero."""
        recalls = recalls_of(state)
        if not len(recalls):
            return math.nan
        return float(np.exp(np.log(recalls).mean())) if recalls.all() else 0.0
