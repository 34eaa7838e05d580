"""Predictions: what a fitted estimator says of rows, in one form for scoring, evaluation and the model folder."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError


@dataclass(frozen=True, slots=True)
class Predictions:
    """Predictions of one block of rows.

    Attributes
    ----------
    labels : ndarray of shape (n_rows,)
        Class codes (int64), or numbers (float64) for regression; None when they were not asked for.
    probabilities : ndarray or None
        Binary: (n_rows,), of class 1. Multiclass: (n_rows, n_classes). None where the estimator has none.
    scores : ndarray or None
        As `probabilities` where there are, else decision values of the same shape; None for regression.
    """

    labels: NDArray[Any] | None = None
    probabilities: NDArray[np.float64] | None = None
    scores: NDArray[np.float64] | None = None

    def of(self, need: str) -> NDArray[Any]:
        """Return what a metric needs: ``labels`` or ``predictions``, ``scores``, ``probabilities``.

        Raises
        ------
        DataError
            When the estimator cannot give it.
        """
        found = {"labels": self.labels, "predictions": self.labels}.get(need)
        if need in ("scores", "probabilities"):
            found = getattr(self, need)
        if found is None:
            raise DataError(
                f"The estimator gives no {need}: it has no predict_proba"
                + (" and no decision_function." if need == "scores" else ".")
                + " Choose another metric, or an estimator that has it (for SGD: loss = 'log_loss')."
            )
        return found


ALL = frozenset({"labels", "predictions", "scores", "probabilities"})


def predict(estimator: Any, X: Any, n_classes: int, needs: Collection[str] = ALL) -> Predictions:
    """Predict rows with an estimator that was fitted on class codes 0..n_classes-1, or on numbers.

    Parameters
    ----------
    estimator : scikit-learn estimator
        Fitted; for classification its ``classes_`` may lack some codes.
    X : array or CSR matrix of shape (n_rows, n_features)
        As the estimator saw it.
    n_classes : int
        0 for regression.
    needs : collection of str
        What will be asked for: each is another pass over the rows.
    """
    if n_classes == 0:
        return Predictions(np.asarray(estimator.predict(X), dtype=np.float64).reshape(len_of(X)))
    labels = given = None
    has_labels = not {"labels", "predictions"}.isdisjoint(needs)
    has_scores = not {"scores", "probabilities"}.isdisjoint(needs)
    together = getattr(estimator, "predict_both", None)  # of `bundle.steady`: one look at the rows for both
    if has_labels and has_scores and together is not None:
        found, given = together(X)
        labels = np.asarray(found, dtype=np.int64).reshape(len_of(X))
    elif has_labels:
        labels = np.asarray(estimator.predict(X), dtype=np.int64).reshape(len_of(X))  # catboost: a column of several
    if not has_scores:
        return Predictions(labels)
    codes = np.asarray(estimator.classes_, dtype=np.int64)
    if hasattr(estimator, "predict_proba"):
        given = np.asarray(estimator.predict_proba(X) if given is None else given, dtype=np.float64)
        if n_classes == len(codes) == 2 and codes[0] == 0:
            return Predictions(labels, given[:, 1], given[:, 1])
        whole = np.zeros((len(given), n_classes))
        whole[:, codes] = given
        probabilities = whole[:, 1] if n_classes == 2 else whole
        return Predictions(labels, probabilities, probabilities)
    if not hasattr(estimator, "decision_function"):
        return Predictions(labels)
    decisions = np.asarray(estimator.decision_function(X), dtype=np.float64)
    if n_classes == 2:
        return Predictions(labels, None, decisions)
    if decisions.ndim == 1:
        decisions = np.column_stack([-decisions, decisions])
    whole = np.full((len(decisions), n_classes), -np.inf)
    whole[:, codes] = decisions
    return Predictions(labels, None, whole)


def len_of(X: Any) -> int:
    """Return the number of rows of an array or a sparse matrix."""
    return int(X.shape[0])
