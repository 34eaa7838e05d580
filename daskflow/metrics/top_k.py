"""How often the true class is among those that score highest."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskflow.metrics.probability import LossMetric

Floats = NDArray[np.float64]


class TopKAccuracy(LossMetric):
    """Share of rows (by weight) whose true class is among the k that score highest.

    Of classes that tie at the border those with the higher code are among them, as in scikit-learn.

    Attributes
    ----------
    k : int
        With as many as there are classes the share is 1.

    Examples
    --------
    >>> scores = [[0.5, 0.2, 0.2], [0.3, 0.4, 0.2], [0.2, 0.4, 0.3], [0.7, 0.2, 0.1]]
    >>> TopKAccuracy(k=2).score([0, 1, 2, 2], scores)
    0.75
    """

    kind: Literal["top_k_accuracy"] = "top_k_accuracy"
    k: int = Field(2, ge=1)

    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "scores"
    tasks: ClassVar[tuple[str, ...]] = ("multiclass",)
    defining: ClassVar[str] = "k"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """1 where fewer than k classes stand before the true one; nan where a score is."""
        codes = y_true.astype(np.int64)[:, None]
        own = np.take_along_axis(y_pred, codes, axis=1)
        before = (y_pred > own) | ((y_pred == own) & (np.arange(y_pred.shape[1]) > codes))
        hit = before.sum(axis=1) < self.k
        return np.where(np.isnan(y_pred).any(axis=1), np.nan, hit)
