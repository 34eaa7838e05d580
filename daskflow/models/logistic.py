"""Logistic regression by L-BFGS: the exact optimum of what `sgd` approaches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model


class Logistic(Model):
    """scikit-learn's LogisticRegression; classification only (for regression: `ridge`).

    ``max_iter`` is 1000 instead of 100, which is too few for weak regularisation on a hundred columns.

    Examples
    --------
    >>> Logistic().estimator("multiclass", {"C": 10.0}, seed=None)
    LogisticRegression(C=10.0, max_iter=1000)
    """

    kind: Literal["logistic"] = "logistic"

    copies: ClassVar[float] = 0.1
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.linear_model",)
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass")

    def template(self, task: str) -> Any:
        """Return the classifier."""
        from sklearn.linear_model import LogisticRegression

        return LogisticRegression(max_iter=1000)

    def default_space(self, task: str) -> Mapping[str, Any]:
        """The inverse of the regularisation's strength."""
        return {"C": LogUniform(1e-4, 1e3)}
