"""Gradient-boosted trees on binned columns: the strongest family on most tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform, RandInt, Uniform
from daskflow.models import Model


class HistGradientBoosting(Model):
    """scikit-learn's HistGradientBoostingClassifier and HistGradientBoostingRegressor.

    ``early_stopping`` is False instead of ``"auto"``: that one holds out rows of its own from 10,000 rows on, beside
    the folds. ``max_iter``, the number of rounds, is fixed by `params` (100), or counted by a search that stops trials
    early; it is not in the default space.

    Examples
    --------
    >>> HistGradientBoosting(params={"max_iter": 300}).estimator("regression", {}, seed=7)
    HistGradientBoostingRegressor(early_stopping=False, max_iter=300, random_state=7)
    """

    kind: Literal["hist_gradient_boosting"] = "hist_gradient_boosting"

    copies: ClassVar[float] = 2.7
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.ensemble",)

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier."""
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        family = HistGradientBoostingRegressor if task == "regression" else HistGradientBoostingClassifier
        return family(early_stopping=False)

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Step, size of the trees, and three ways to hold them back."""
        return {
            "learning_rate": LogUniform(0.02, 0.3),
            "max_leaf_nodes": RandInt(8, 64),
            "min_samples_leaf": RandInt(5, 100),
            "l2_regularization": LogUniform(1e-3, 10.0),
            "max_features": Uniform(0.3, 1.0),
        }
