"""Averaged trees whose cuts are drawn at random: quicker than a random forest, and often as good."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.models import Model

NODE_BYTES = 72
"""Of a tree of scikit-learn: 64 of the node, 8 of its value."""


class ExtraTrees(Model):
    """scikit-learn's ExtraTreesClassifier and ExtraTreesRegressor.

    Examples
    --------
    >>> ExtraTrees(params={"n_estimators": 20}).estimator("binary", {}, seed=7)
    ExtraTreesClassifier(n_estimators=20, random_state=7)
    """

    kind: Literal["extra_trees"] = "extra_trees"

    copies: ClassVar[float] = 0.2
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.ensemble",)

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier."""
        from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor

        return ExtraTreesRegressor() if task == "regression" else ExtraTreesClassifier()

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Columns tried at a split and rows per leaf; ``n_estimators`` only costs, so it is not searched."""
        return {
            "max_features": [0.3, 0.5, 0.7, 1.0] if task == "regression" else ["sqrt", 0.3, 0.6, 1.0],
            "min_samples_leaf": [1, 2, 3, 5, 10, 20],
        }

    def fit_bytes(self, task: str, n_rows: int, n_features: int) -> int:
        """Return what the matrix takes and the trees come to: with leaves of one row, a tree of every row."""
        trees, leaf = self.params.get("n_estimators", 100), self.params.get("min_samples_leaf", 1)
        nodes = 2 * n_rows * trees / (leaf if isinstance(leaf, int) else leaf * n_rows)
        return super().fit_bytes(task, n_rows, n_features) + int(NODE_BYTES * nodes)
