"""Members: one estimator fitted on the rows of one part, and what it says of others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.dummy import DummyClassifier
from sklearn.utils.validation import has_fit_parameter

from daskflow.core.seeds import seed_of
from daskflow.models.parts.notes import Notes, take_notes


@dataclass(frozen=True, slots=True)
class Member:
    """One part's estimator.

    Attributes
    ----------
    estimator : estimator
        Fitted; for a part of a single class, one that knows nothing else.
    notes : Notes
        What the part holds.
    probed : ndarray or None
        What it says of the probed rows, shape (n_probed, n_own_classes), or (n_probed, 1) for regression.
    """

    estimator: Any
    notes: Notes
    probed: NDArray[np.float64] | None


def fit_member(
    template: Any, number: int, seed: int, X: Any, y: Any, weight: Any, probe_X: Any, *, is_classification: bool
) -> Member:
    """Fit a copy of an estimator on a part, with a seed of its own, and let it speak of the probed rows."""
    notes = take_notes(X, y, is_classification=is_classification)
    made: Any = clone(template)
    if notes.labels is not None and len(notes.labels) == 1:
        made = DummyClassifier(strategy="prior")
    seeds = {
        name: seed_of(seed, "part", number, name)
        for name in made.get_params(deep=True)
        if name.rpartition("__")[2] == "random_state"
    }
    made.set_params(**seeds)
    extra = {"sample_weight": weight} if weight is not None and has_fit_parameter(made, "sample_weight") else {}
    _fit(made.fit, X, y, extra)
    probed = None if probe_X is None else says(made, probe_X, is_classification=is_classification)
    return Member(made, notes, probed)


def _fit(fit: Callable[..., Any], X: Any, y: Any, extra: dict[str, Any]) -> None:
    """Fit; copy memory-mapped rows only for an estimator that wants to write on them."""
    try:
        fit(X, y, **extra)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        fit(X.copy(), np.array(y), **{name: np.array(value) for name, value in extra.items()})


def says(estimator: Any, X: Any, *, is_classification: bool) -> NDArray[np.float64]:
    """Return a fitted estimator's probabilities of its own classes (its votes, where it has none), or its numbers."""
    if not is_classification:
        return np.asarray(estimator.predict(X), dtype=np.float64).reshape(-1, 1)
    if hasattr(estimator, "predict_proba"):
        return np.asarray(estimator.predict_proba(X), dtype=np.float64)
    voted = np.asarray(estimator.predict(X))
    return np.asarray(voted[:, None] == np.asarray(estimator.classes_)[None, :], dtype=np.float64)


def warn_of_weights(template: Any) -> None:
    """Say that weights cannot be given on."""
    if not has_fit_parameter(template, "sample_weight"):
        warnings.warn(
            f"{type(template).__name__} takes no weights: they count for the members' weights, not in their fits.",
            stacklevel=3,
        )
