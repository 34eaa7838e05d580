"""xgboost goes on from its own model, on binned rows that candidates share."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from daskflow.models.boosting import fit_anew
from daskflow.models.boosting.shared import SHELF, identity

ROUNDS = "n_estimators"

SAMPLES = ("subsample", "colsample_bytree", "colsample_bylevel", "colsample_bynode")
"""Shares of rows and columns that are drawn at random when they are below 1."""


def why_anew(estimator: Any) -> str:
    """Say why an estimator cannot go on to what training at once gives; empty when it can.

    Rows and columns are sampled by generators that are not part of a model: trees grown later would be those of other
    draws, ``seed_per_iteration`` or not (measured with 3.2).
    """
    drawn = [name for name in SAMPLES if (getattr(estimator, name) or 1.0) < 1.0]
    if drawn:
        return f"{drawn[0]} samples at random"
    return _why_its_own(estimator) or (
        "boosting starts from a forest" if (estimator.num_parallel_tree or 1) > 1 else ""
    )


def _why_its_own(estimator: Any) -> str:
    """Say why an estimator's own ``fit`` is needed; empty when training by the library is the same."""
    if estimator.booster not in (None, "gbtree") or estimator.tree_method not in (None, "auto", "hist"):
        return "only trees on histograms go on"
    if callable(estimator.objective) or callable(estimator.eval_metric) or estimator.callbacks:
        return "functions are its own"
    if estimator.early_stopping_rounds or estimator.device not in (None, "cpu"):
        return "early stopping and other devices are its own"
    return "categories are its own" if estimator.feature_types is not None else ""


def continue_fit(estimator: Any, X: Any, y: Any, rounds: int, sample_weight: Any = None) -> None:
    """Bring an estimator to `rounds` rounds in total: bit by bit as one fit, or by one fit where `why_anew` says so."""
    if _why_its_own(estimator):
        estimator.set_params(n_estimators=rounds)
        fit_anew(estimator, X, y, sample_weight)
        return
    import xgboost

    begun = estimator.get_booster() if estimator.__sklearn_is_fitted__() and not why_anew(estimator) else None
    done = begun.num_boosted_rounds() if begun is not None else 0
    options = {"max_bin": estimator.max_bin or 256, "missing": estimator.missing, "nthread": estimator.n_jobs or 1}
    where = identity(X, y, sample_weight)
    key = None if where is None else ("xgboost", where, options["max_bin"], repr(options["missing"]))
    with SHELF.rows(
        key, X.shape[0] * X.shape[1], lambda: xgboost.QuantileDMatrix(X, y, weight=sample_weight, **options)
    ) as rows:
        booster = xgboost.train(_params(estimator, y), rows, rounds - done, xgb_model=begun, verbose_eval=False)
    _adopt(estimator.set_params(n_estimators=rounds), booster)


def _params(estimator: Any, y: Any) -> dict[str, Any]:
    """Return what the library calls the estimator's parameters; of more than two classes it wants the number."""
    params = {name: value for name, value in estimator.get_xgb_params().items() if value is not None}
    params.pop("missing", None)
    n_classes = int(np.max(y)) + 1 if is_classifier(estimator) else 0
    if n_classes > 2:
        if params.get("objective") != "multi:softmax":
            params["objective"] = "multi:softprob"
        params["num_class"] = n_classes
    return params


def _adopt(estimator: Any, booster: Any) -> None:
    """Load a model into an estimator, and set back the parameters that loading writes over."""
    given = estimator.get_params()
    del given["objective"]
    estimator.load_model(bytearray(booster.save_raw("ubj")))
    estimator.set_params(**given)
