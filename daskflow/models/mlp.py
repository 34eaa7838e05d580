"""Neural networks of fully connected layers; they learn block by block."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model


class MLP(Model):
    """scikit-learn's MLPClassifier, and its MLPRegressor on a standardised target (`ScaledMLPRegressor`).

    ``max_iter`` is 100 epochs instead of 200, which on some thousand rows is minutes. A search that stops early gives
    blocks instead, one ``partial_fit`` each.

    Examples
    --------
    >>> MLP(params={"hidden_layer_sizes": [32]}).estimator("binary", {"alpha": 0.01}, seed=7)
    MLPClassifier(alpha=0.01, hidden_layer_sizes=(32,), max_iter=100, random_state=7)
    """

    kind: Literal["mlp"] = "mlp"

    copies: ClassVar[float] = 0.3
    libraries: ClassVar[tuple[str, ...]] = ("daskflow.models.scaled.network",)

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier."""
        from sklearn.neural_network import MLPClassifier

        from daskflow.models.scaled.network import ScaledMLPRegressor

        return ScaledMLPRegressor(max_iter=100) if task == "regression" else MLPClassifier(max_iter=100)

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Shape, first step, and weight decay."""
        return {
            "hidden_layer_sizes": [(32,), (64,), (128,), (64, 32), (128, 64)],
            "learning_rate_init": LogUniform(3e-4, 1e-2),
            "alpha": LogUniform(1e-6, 1.0),
        }
