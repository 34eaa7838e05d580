"""Gradient-boosted symmetric trees by CatBoost."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.errors import Problem
from daskflow.core.space import LogUniform, RandInt
from daskflow.models import Model
from daskflow.models.boosting import library

ALIASES: Mapping[str, str] = {
    "colsample_bylevel": "rsm",
    "eta": "learning_rate",
    "max_bin": "border_count",
    "max_depth": "depth",
    "min_child_samples": "min_data_in_leaf",
    "n_estimators": "iterations",
    "n_jobs": "thread_count",
    "num_boost_round": "iterations",
    "num_leaves": "max_leaves",
    "num_trees": "iterations",
    "objective": "loss_function",
    "random_state": "random_seed",
    "reg_lambda": "l2_leaf_reg",
}
"""CatBoost has two names for these, and refuses an estimator that is given both."""


class CatBoost(Model):
    """CatBoostClassifier and CatBoostRegressor; needs the extra ``catboost``.

    ``iterations``, the number of rounds, is fixed by `params` (200), or counted by a search that stops trials early; it
    is not in the default space. ``learning_rate`` is 0.1: CatBoost's own depends on the rounds and the rows, so that
    rungs of a search would learn with different ones. It writes nothing and keeps no folder of its own. Columns come
    encoded, so its treatment of categories is not used. An imbalance is answered with ``auto_class_weights`` or
    ``class_weights``.

    Examples
    --------
    >>> made = CatBoost(params={"iterations": 300}).estimator("regression", {"depth": 4}, seed=7).get_params()
    >>> made["iterations"], made["depth"], made["random_seed"], made["thread_count"]
    (300, 4, 7, 1)
    """

    kind: Literal["catboost"] = "catboost"

    copies: ClassVar[float] = 2.2

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The library's own types; it reads what they hold by its own means, which trust the file."""
        return (
            "catboost.core.CatBoostClassifier",
            "catboost.core.CatBoostRegressor",
        )

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier; SettingsError that names the extra when CatBoost is missing."""
        catboost = library("catboost", "catboost")
        family = catboost.CatBoostRegressor if task == "regression" else catboost.CatBoostClassifier
        return family(iterations=200, learning_rate=0.1, verbose=False, allow_writing_files=False)

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Step, depth, and two ways to hold the trees back."""
        return {
            "learning_rate": LogUniform(0.03, 0.3),
            "depth": RandInt(4, 9),
            "l2_leaf_reg": LogUniform(0.3, 30.0),
            "random_strength": LogUniform(0.1, 10.0),
        }

    @property
    def further_names(self) -> tuple[str, ...]:
        """All its parameters: its ``get_params`` tells those that were set."""
        catboost = library("catboost", "catboost")
        names = inspect.signature(catboost.CatBoostClassifier.__init__).parameters
        return tuple(name for name in names if name not in ALIASES and name != "self")

    def check(self, task: str, names: Iterable[str] = ()) -> list[Problem]:
        """Return what is wrong, and for CatBoost's second names the first."""
        names = list(names)
        found = [
            Problem(f"{place}.{name}", f"is called '{ALIASES[name]}' here")
            for place, group in (("model.params", self.params), ("search.space", names))
            for name in group
            if name in ALIASES
        ]
        return found or super().check(task, names)

    def estimator(self, task: str, params: Mapping[str, Any], seed: int | None) -> Any:
        """Return an unfitted estimator of one thread and this seed, where the parameters do not say otherwise."""
        made = super().estimator(task, params, seed)
        given = made.get_params()
        if seed is not None and "random_seed" not in given:
            made.set_params(random_seed=seed)
        return made if "thread_count" in given else made.set_params(thread_count=1)
