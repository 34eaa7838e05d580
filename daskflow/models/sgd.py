"""Linear models by stochastic gradient descent: the family that learns block by block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model


class SGD(Model):
    """scikit-learn's SGDClassifier and SGDRegressor.

    The classifier's default loss is ``log_loss`` instead of scikit-learn's ``hinge``, so that there are probabilities.
    The regressor's ``max_iter`` is 100 instead of 1000: its stopping rule ``tol`` is in squared units of the target, so
    that for targets in thousands it never holds, and a whole fit does every epoch it may.

    Candidates that learn block by block are trained sixteen at a time (`daskflow.fused.sgd`).

    Examples
    --------
    >>> SGD(params={"penalty": "l1"}).estimator("binary", {"alpha": 0.01}, seed=7)
    SGDClassifier(alpha=0.01, loss='log_loss', penalty='l1', random_state=7)
    """

    kind: Literal["sgd"] = "sgd"

    copies: ClassVar[float] = 0.1
    libraries: ClassVar[tuple[str, ...]] = ("daskflow.fused.sgd", "daskflow.fused.kernels")

    def template(self, task: str) -> Any:
        """Return the classifier or the regressor."""
        from sklearn.linear_model import SGDClassifier, SGDRegressor

        return SGDRegressor(max_iter=100) if task == "regression" else SGDClassifier(loss="log_loss")

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Regularisation, averaging and the first step's size: what moves the score on standardised columns."""
        common = {"alpha": LogUniform(1e-7, 1e-2), "penalty": ["l2", "l1", "elasticnet"], "average": [False, True]}
        if task == "regression":
            return {**common, "eta0": LogUniform(1e-3, 3e-2)}
        return {**common, "learning_rate": ["optimal", "invscaling"], "eta0": LogUniform(1e-2, 1.0)}

    def fuses(self, task: str, params: Mapping[str, Any]) -> bool:
        """Return whether candidates of these parameters are trained together; see `daskflow.fused.sgd.obstacle`."""
        from daskflow.models.fusing import fuses

        return fuses(self.template(task), {**self.params, **params})

    def partial_fit_many(
        self,
        estimators: Sequence[Any],
        X: Any,
        y: Any,
        *,
        n_classes: int,
        sample_weight: Any = None,
        order_seed: int = 0,
    ) -> None:
        """Bring estimators over one block of rows together; see `daskflow.fused.sgd.partial_fit_many`."""
        from daskflow.fused import sgd as fused_sgd

        fused_sgd.partial_fit_many(
            estimators, X, y, n_classes=n_classes, sample_weight=sample_weight, order_seed=order_seed
        )
