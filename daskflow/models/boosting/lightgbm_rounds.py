"""lightgbm goes on from its own model, on binned rows that candidates share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.utils.class_weight import compute_sample_weight

from daskflow.core.seeds import seed_of
from daskflow.models.boosting import fit_anew
from daskflow.models.boosting.shared import SHELF, identity

ROUNDS = "n_estimators"

WRAPPED = ("class_weight", "importance_type", "n_estimators")
"""Parameters of the estimator that are not the library's."""

SETTLED: Mapping[str, Any] = {"feature_pre_filter": False, "data_random_seed": 1}
"""How rows are binned whatever the candidate: columns that its leaves could not split are kept, and the rows whose
values set the bins are the same (they are a sample from ``subsample_for_bin`` rows on)."""

FREE = (
    "boosting_type",
    "num_leaves",
    "max_depth",
    "learning_rate",
    "objective",
    "min_split_gain",
    "min_child_weight",
    "min_child_samples",
    "subsample",
    "subsample_freq",
    "colsample_bytree",
    "reg_alpha",
    "reg_lambda",
    "random_state",
    "n_jobs",
    "scale_pos_weight",
    "is_unbalance",
    "verbose",
    "deterministic",
    "num_class",
)
"""Parameters that say nothing of the bins; candidates with the same others share them."""


def why_anew(estimator: Any) -> str:
    """Say why an estimator cannot go on to what training at once gives; empty when it can."""
    params = estimator.get_params()
    words = {str(params.get(name)) for name in ("boosting_type", "boosting", "data_sample_strategy")}
    if words & {"dart", "rf", "random_forest", "goss"}:
        return "earlier trees change, or rows are drawn at random"
    frequency = params.get("subsample_freq") or params.get("bagging_freq") or 0
    if frequency > 0 and params["subsample"] < 1:
        return "subsample draws rows at random"
    return _why_its_own(estimator)


def _why_its_own(estimator: Any) -> str:
    """Say why an estimator's own ``fit`` is needed; empty when training by the library is the same."""
    params = estimator.get_params()
    if callable(params["objective"]):
        return "a function is its own"
    if params.get("early_stopping_round") or params.get("early_stopping_rounds"):
        return "early stopping is its own"
    return ""


def continue_fit(estimator: Any, X: Any, y: Any, rounds: int, sample_weight: Any = None) -> None:
    """Bring an estimator to `rounds` rounds in total: bit by bit as one fit, or by one fit where `why_anew` says so.

    Columns that are sampled are drawn by a seed of each round (``colsample_bytree``), and not by a generator that goes
    through all of them, so that they are the same from wherever training goes on.
    """
    if _why_its_own(estimator):
        estimator.set_params(n_estimators=rounds)
        fit_anew(estimator, X, y, sample_weight)
        return
    import lightgbm

    is_exact = not why_anew(estimator)
    begun = estimator.booster_ if estimator.__sklearn_is_fitted__() and is_exact else None
    done = begun.current_iteration() if begun is not None else 0
    params = _params(estimator, y)
    weight = _weight(estimator, y, sample_weight)
    where = identity(X, y)
    binning = {name: value for name, value in params.items() if name not in FREE}
    key = None if where is None else ("lightgbm", where, repr(sorted(binning.items())))
    with SHELF.rows(key, X.shape[0] * X.shape[1], lambda: _binned(X, y, params)) as rows:
        if begun is not None:  # going on sets scores on the rows, which stay: they are cut anew by the same bins
            rows = lightgbm.Dataset(X, y, params=params, reference=rows, free_raw_data=False)
        rows.construct()
        rows.weight = weight
        rows.set_field("weight", weight)  # set_weight(None) would leave those of the candidate before
        booster = lightgbm.train(
            params,
            rows,
            rounds - done,
            init_model=begun,
            callbacks=[_seed_of_the_round(estimator)] if is_exact and params["colsample_bytree"] < 1 else None,
        )
    _adopt(estimator.set_params(n_estimators=rounds), booster, X.shape[1], y)


def _binned(X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    """Cut the columns into bins."""
    import lightgbm

    return lightgbm.Dataset(X, y, params=dict(params), free_raw_data=False).construct()


def _params(estimator: Any, y: Any) -> dict[str, Any]:
    """Return the estimator's parameters for the library, which knows them by the same names."""
    given = estimator.get_params().items()
    params = {name: value for name, value in given if value is not None and name not in WRAPPED}
    n_classes = int(np.max(y)) + 1 if is_classifier(estimator) else 0
    if n_classes > 2:
        if params.get("objective") not in ("multiclass", "softmax", "multiclassova", "ova", "ovr"):
            params["objective"] = "multiclass"
        params["num_class"] = n_classes
    params.setdefault("objective", "binary" if n_classes else "regression")
    return {"verbose": -1, **params, **SETTLED}


def _weight(estimator: Any, y: Any, sample_weight: Any) -> Any:
    """Return the rows' weights times those of their classes; None where every row counts the same."""
    if not is_classifier(estimator) or estimator.class_weight is None:
        return sample_weight
    own = compute_sample_weight(estimator.class_weight, y)
    return own if sample_weight is None else own * sample_weight


def _seed_of_the_round(estimator: Any) -> Any:
    """Return a callback that sets the seed of the columns before each round."""
    seed = estimator.random_state if isinstance(estimator.random_state, int) else 0

    def seeded(env: Any) -> None:
        env.model.reset_parameter({"feature_fraction_seed": seed_of(seed, "columns", env.iteration)})

    seeded.before_iteration = True  # type: ignore[attr-defined]  # where lightgbm looks for it
    return seeded


def _adopt(estimator: Any, booster: Any, n_features: int, y: Any) -> None:
    """Let a copy fit a row of each class, which sets all that an estimator keeps, and put the model in its place."""
    labels = np.arange(max(2, int(np.max(y)) + 1)) if is_classifier(estimator) else np.arange(2.0)
    fitted = clone(estimator).set_params(n_estimators=1, class_weight=None, verbose=-1)
    fitted.fit(np.zeros((len(labels), n_features), dtype=np.float32), labels)
    given = {"_other_params", *estimator.get_params()}
    own = {name: value for name, value in vars(fitted).items() if name not in given}
    vars(estimator).update(own)
    estimator._Booster = booster
