"""Averaged trees, each grown on a resample of the rows: good without tuning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import Uniform
from daskflow.models import Model

NODE_BYTES = 72
"""Of a tree of scikit-learn: 64 of the node, 8 of its value."""


class RandomForest(Model):
    """scikit-learn's RandomForestClassifier and RandomForestRegressor.

    Examples
    --------
    >>> RandomForest(params={"n_estimators": 20}).estimator("binary", {}, seed=7)
    RandomForestClassifier(n_estimators=20, random_state=7)
    """

    kind: Literal["random_forest"] = "random_forest"

    copies: ClassVar[float] = 0.2
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.ensemble",)

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier."""
        from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

        return RandomForestRegressor() if task == "regression" else RandomForestClassifier()

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Columns tried at a split, rows per leaf and per tree; ``n_estimators`` only costs, so it is not searched."""
        return {
            "max_features": [0.3, 0.5, 0.7, 1.0] if task == "regression" else ["sqrt", 0.2, 0.4, 0.7],
            "min_samples_leaf": [1, 2, 3, 5, 10, 20, 30],
            "max_samples": Uniform(0.5, 1.0),
        }

    def fit_bytes(self, task: str, n_rows: int, n_features: int) -> int:
        """Return what the matrix takes and the trees come to: with leaves of one row, a resample's rows each."""
        trees, leaf = self.params.get("n_estimators", 100), self.params.get("min_samples_leaf", 1)
        nodes = 2 * 0.63 * n_rows * trees / (leaf if isinstance(leaf, int) else leaf * n_rows)
        return super().fit_bytes(task, n_rows, n_features) + int(NODE_BYTES * nodes)
