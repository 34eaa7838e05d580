"""scikit-learn's histogram boosting goes on by ``warm_start``: bit by bit what fitting at once gives."""

from __future__ import annotations

from typing import Any

from daskflow.models.boosting import fit_anew

ROUNDS = "max_iter"


def continue_fit(estimator: Any, X: Any, y: Any, rounds: int, sample_weight: Any = None) -> None:
    """Bring an estimator to `rounds` rounds in total; its generator of columns is kept, so nothing is drawn twice.

    One that stops early by itself begins anew: continued, it would grow one more round at every rung.
    """
    begun = estimator.warm_start
    estimator.set_params(warm_start=begun or estimator.early_stopping is False, max_iter=rounds)
    try:
        fit_anew(estimator, X, y, sample_weight)
    finally:
        estimator.set_params(warm_start=begun)
