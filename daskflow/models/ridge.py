"""Least squares with an l2 penalty, solved in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model


class Ridge(Model):
    """scikit-learn's Ridge and RidgeClassifier; the classifier gives scores but no probabilities.

    Examples
    --------
    >>> Ridge().estimator("regression", {"alpha": 10.0}, seed=None)
    Ridge(alpha=10.0)
    """

    kind: Literal["ridge"] = "ridge"

    copies: ClassVar[float] = 3.0
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.linear_model",)

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier."""
        from sklearn.linear_model import Ridge as RidgeRegressor
        from sklearn.linear_model import RidgeClassifier

        return RidgeRegressor() if task == "regression" else RidgeClassifier()

    def default_space(self, task: str) -> Mapping[str, Any]:
        """The penalty, which stands beside a sum over rows: from none to as much as a table of 100,000 rows needs."""
        return {"alpha": LogUniform(1e-3, 1e5)}
