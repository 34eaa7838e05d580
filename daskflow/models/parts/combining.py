"""Combining: one prediction from those of an ensemble's members, with equal, earned or learned weights."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

LEAST = 1e-6
"""Probabilities are held so far from 0 and 1 before their logarithm is taken."""


def aligned(probabilities: NDArray[np.float64], own: NDArray[Any], classes: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities of all classes: zero for those that a member never saw.

    Parameters
    ----------
    probabilities : ndarray of shape (n_rows, n_own)
        What a member says.
    own, classes : ndarray
        Its classes and all classes, each sorted.

    Examples
    --------
    >>> aligned(np.array([[0.2, 0.8]]), np.array(["a", "c"]), np.array(["a", "b", "c"]))
    array([[0.2, 0. , 0.8]])
    """
    whole = np.zeros((len(probabilities), len(classes)))
    whole[:, np.searchsorted(classes, own)] = probabilities
    return whole


def earned_weights(
    said: NDArray[np.float64], truth: NDArray[Any], sample_weight: NDArray[np.float64], is_out: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Weigh members by what they say of rows that they were not fitted on.

    A member's weight is ``guess / loss - 1``, or 0 where that is negative: its loss is the mean squared error (over
    the classes' probabilities, Brier's), `guess` that of a constant prediction, the mean of the same rows. For members
    whose errors have nothing to do with each other weights of ``1 / loss`` are the best there are; a member that is no
    better than guessing gets none.

    Parameters
    ----------
    said : ndarray of shape (n_members, n_rows, n_outputs)
        Predictions: probabilities of all classes, or one number.
    truth : ndarray of shape (n_rows, n_outputs)
        Ones and zeros, or the target.
    sample_weight : ndarray of shape (n_rows,)
        Of the rows.
    is_out : ndarray of bool, shape (n_members, n_rows)
        Whether a row is of another part than the member's.

    Returns
    -------
    ndarray of shape (n_members,)
        Sums to 1; all equal where no member is better than guessing.

    Examples
    --------
    >>> truth = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> said = np.array([truth + 0.1, truth + 1.0, np.full((4, 1), 9.0)])
    >>> earned_weights(said, truth, np.ones(4), np.ones((3, 4), dtype=bool)).round(3)
    array([0.998, 0.002, 0.   ])
    """
    weights = np.zeros(len(said))
    for k, predictions in enumerate(said):
        counted = np.where(is_out[k], sample_weight, 0.0)
        if not counted.any():
            continue
        mean = np.average(truth, axis=0, weights=counted)
        guess = np.average(((truth - mean) ** 2).sum(axis=1), weights=counted)
        loss = np.average(((truth - predictions) ** 2).sum(axis=1), weights=counted)
        weights[k] = max(0.0, guess / max(loss, LEAST * guess, np.finfo(float).tiny) - 1.0)
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(said), 1 / len(said))


def features(said: NDArray[np.float64], *, is_classification: bool) -> NDArray[np.float64]:
    """Return what the final estimator learns from, shape (n_rows, n_members * n_outputs), one column for two classes.

    Probabilities become logarithms of their odds: members that agree add up, as independent evidence does.
    """
    if not is_classification:
        return np.ascontiguousarray(said[:, :, 0].T)
    held = np.clip(said, LEAST, 1 - LEAST)
    logs = np.log(held) - np.log1p(-held)
    logs = logs[:, :, 1:] if logs.shape[2] == 2 else logs
    return np.ascontiguousarray(logs.transpose(1, 0, 2).reshape(said.shape[1], -1))


def without_own(said: NDArray[np.float64], is_out: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Put, in the place of what a member says of rows it was fitted on, the mean of what the others say.

    Examples
    --------
    >>> without_own(np.array([[[9.0]], [[2.0]], [[4.0]]]), np.array([[False], [True], [True]])).ravel()
    array([3., 2., 4.])
    """
    out = is_out[:, :, None]
    others = np.where(out, said, 0.0).sum(axis=0) / np.maximum(out.sum(axis=0), 1)
    return np.where(out, said, others[None])


def final_estimator(*, is_classification: bool) -> Any:
    """Return the small model over the members: logistic, or ridge with a penalty chosen by leave-one-out."""
    last = LogisticRegression(max_iter=1000) if is_classification else RidgeCV(np.logspace(-2, 4, 7))
    return make_pipeline(StandardScaler(), last)
