"""Gradient-boosted trees by xgboost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform, RandInt, Uniform
from daskflow.models import Model
from daskflow.models.boosting import library


class XGBoost(Model):
    """xgboost's XGBClassifier and XGBRegressor; needs the extra ``xgboost``.

    ``n_estimators``, the number of rounds, is fixed by `params` (100), or counted by a search that stops trials early;
    it is not in the default space. Candidates of a search share the binned rows. An imbalance of two classes is
    answered with ``scale_pos_weight``, of more with ``[balance]``, which weighs rows.

    Examples
    --------
    >>> made = XGBoost(params={"n_estimators": 300}).estimator("regression", {}, seed=7)
    >>> type(made).__name__, made.n_estimators, made.random_state, made.n_jobs
    ('XGBRegressor', 300, 7, 1)
    """

    kind: Literal["xgboost"] = "xgboost"

    copies: ClassVar[float] = 2.0

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The library's own types; it reads what they hold by its own means, which trust the file."""
        return (
            "xgboost.core.Booster",
            "xgboost.sklearn.XGBClassifier",
            "xgboost.sklearn.XGBRegressor",
        )

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier; SettingsError that names the extra when xgboost is missing."""
        xgboost = library("xgboost", "xgboost")
        family = xgboost.XGBRegressor if task == "regression" else xgboost.XGBClassifier
        return family(n_estimators=100, tree_method="hist")

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Step, size of the trees, and three ways to hold them back."""
        return {
            "learning_rate": LogUniform(0.03, 0.3),
            "max_depth": RandInt(3, 10),
            "min_child_weight": LogUniform(0.5, 50.0),
            "reg_lambda": LogUniform(0.1, 30.0),
            "colsample_bytree": Uniform(0.4, 1.0),
        }
