"""Gradient-boosted trees by lightgbm."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from daskflow.core.space import LogUniform, RandInt, Uniform
from daskflow.models import Model
from daskflow.models.boosting import library

FURTHER = (
    "alpha",
    "bin_construct_sample_cnt",
    "boost_from_average",
    "cat_l2",
    "cat_smooth",
    "data_sample_strategy",
    "drop_rate",
    "enable_bundle",
    "extra_trees",
    "fair_c",
    "feature_fraction_bynode",
    "histogram_pool_size",
    "interaction_constraints",
    "is_unbalance",
    "linear_lambda",
    "linear_tree",
    "max_bin",
    "max_delta_step",
    "min_data_in_bin",
    "monotone_constraints",
    "monotone_constraints_method",
    "monotone_penalty",
    "other_rate",
    "path_smooth",
    "poisson_max_delta_step",
    "scale_pos_weight",
    "skip_drop",
    "top_rate",
    "tweedie_variance_power",
    "use_missing",
    "use_quantized_grad",
    "zero_as_missing",
)


class LightGBM(Model):
    """lightgbm's LGBMClassifier and LGBMRegressor; needs the extra ``lightgbm``.

    ``deterministic`` and ``force_col_wise`` are true: lightgbm would measure which of two ways is quicker in each fit,
    and they differ in the last bits. It writes nothing (``verbose = -1``). ``n_estimators``, the number of rounds, is
    fixed by `params` (100), or counted by a search that stops trials early; it is not in the default space. Candidates
    of a search share the binned rows. An imbalance is answered with ``class_weight``, and of two classes with
    ``is_unbalance`` or ``scale_pos_weight``. Of lightgbm's parameters that are not among those of its estimators the
    names in `further_names` are taken.

    Examples
    --------
    >>> made = LightGBM(params={"n_estimators": 300}).estimator("regression", {}, seed=7)
    >>> type(made).__name__, made.n_estimators, made.random_state, made.n_jobs
    ('LGBMRegressor', 300, 7, 1)
    """

    kind: Literal["lightgbm"] = "lightgbm"

    copies: ClassVar[float] = 3.6

    @property
    def stored_types(self) -> tuple[str, ...]:
        """The library's own types; it reads what they hold by its own means, which trust the file."""
        return (
            "collections.OrderedDict",
            "lightgbm.basic.Booster",
            "lightgbm.sklearn.LGBMClassifier",
            "lightgbm.sklearn.LGBMRegressor",
        )

    def template(self, task: str) -> Any:
        """Return the regressor or the classifier; SettingsError that names the extra when lightgbm is missing."""
        lightgbm = library("lightgbm", "lightgbm")
        family = lightgbm.LGBMRegressor if task == "regression" else lightgbm.LGBMClassifier
        return family(deterministic=True, force_col_wise=True, verbose=-1)

    @property
    def further_names(self) -> tuple[str, ...]:
        """Parameters of the library that its estimators take without naming them."""
        return FURTHER

    def default_space(self, task: str) -> Mapping[str, Any]:
        """Step, size of the trees, and three ways to hold them back."""
        return {
            "learning_rate": LogUniform(0.03, 0.3),
            "num_leaves": RandInt(8, 64),
            "min_child_samples": RandInt(5, 100),
            "reg_lambda": LogUniform(1e-3, 10.0),
            "colsample_bytree": Uniform(0.4, 1.0),
        }
