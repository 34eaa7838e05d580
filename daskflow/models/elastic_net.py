"""Least squares with an l1 and an l2 penalty: sparse, and shared among columns that go together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model


class ElasticNet(Model):
    """Elastic net by scikit-learn's coordinate descent, with a penalty that does not depend on the target's unit.

    ``strength`` is the share of the smallest penalty with which no column is left (see `lasso`), ``l1_ratio`` the share
    of l1 in it. For classes: ``sgd`` with ``penalty = "elasticnet"``.

    Examples
    --------
    >>> ElasticNet().estimator("regression", {"strength": 0.02}, seed=7)
    PenalisedRegressor(l1_ratio=0.5, random_state=7, strength=0.02)
    """

    kind: Literal["elastic_net"] = "elastic_net"

    copies: ClassVar[float] = 1.2
    libraries: ClassVar[tuple[str, ...]] = ("daskflow.models.scaled.penalised",)
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def template(self, task: str) -> Any:
        """Return the regressor."""
        from daskflow.models.scaled.penalised import PenalisedRegressor

        return PenalisedRegressor(l1_ratio=0.5)

    def default_space(self, task: str) -> Mapping[str, Any]:
        """The penalty and its mixture; from much l2 to the lasso."""
        return {"strength": LogUniform(1e-5, 0.3), "l1_ratio": [0.1, 0.3, 0.5, 0.7, 0.9, 1.0]}
