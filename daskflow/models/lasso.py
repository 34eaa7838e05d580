"""Least squares with an l1 penalty: columns that do not help get a coefficient of zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform
from daskflow.models import Model


class Lasso(Model):
    """Lasso by scikit-learn's coordinate descent, with a penalty that does not depend on the target's unit.

    Its parameter ``strength`` is the share of the smallest penalty with which no column is left, between 0 and 1;
    scikit-learn's ``alpha`` is in units of the target, so that no range of it is good for prices and for shares. For
    classes: ``sgd`` or ``logistic`` with an l1 penalty.

    Examples
    --------
    >>> Lasso().estimator("regression", {"strength": 0.02}, seed=7)
    PenalisedRegressor(random_state=7, strength=0.02)
    """

    kind: Literal["lasso"] = "lasso"

    copies: ClassVar[float] = 1.2
    libraries: ClassVar[tuple[str, ...]] = ("daskflow.models.scaled.penalised",)
    tasks: ClassVar[tuple[str, ...]] = ("regression",)

    def template(self, task: str) -> Any:
        """Return the regressor."""
        from daskflow.models.scaled.penalised import PenalisedRegressor

        return PenalisedRegressor()

    def default_space(self, task: str) -> Mapping[str, Any]:
        """The penalty: from hardly any to one that leaves the strongest columns alone."""
        return {"strength": LogUniform(1e-4, 0.3)}
