"""Linear support vector machines by coordinate descent: the exact optimum of a hinge."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model

MANY_ROWS = 1_000_000


class LinearSVM(Model):
    """scikit-learn's LinearSVC and LinearSVR; the classifier gives scores but no probabilities.

    Of a regression the loss is squared outside ``epsilon`` (``squared_epsilon_insensitive``) instead of linear: so
    the penalty means the same whatever the target's unit. ``intercept_scaling`` is 10 there instead of 1, because
    liblinear penalises the intercept too.

    Examples
    --------
    >>> LinearSVM().estimator("binary", {"C": 0.1}, seed=7)
    LinearSVC(C=0.1, random_state=7)
    """

    kind: Literal["linear_svm"] = "linear_svm"

    copies: ClassVar[float] = 6.7
    libraries: ClassVar[tuple[str, ...]] = ("sklearn.svm",)

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier."""
        from sklearn.svm import LinearSVC, LinearSVR

        if task == "regression":
            return LinearSVR(loss="squared_epsilon_insensitive", dual="auto", intercept_scaling=10.0)
        return LinearSVC()

    def default_space(self, task: str) -> Mapping[str, Any]:
        """The inverse of the penalty."""
        return {"C": LogUniform(1e-3, 1e2) if task == "regression" else LogUniform(1e-4, 10.0)}

    def notes(self, task: str, n_rows: int) -> list[str]:
        """Say that liblinear copies its rows."""
        if n_rows <= MANY_ROWS:
            return []
        return [
            f"linear_svm copies its rows, {n_rows:,} in the last fit, into seven times their memory: sgd with "
            'loss = "hinge" learns nearly the same, and block by block under a search that stops early'
        ]
