"""A forest that learns scores from parameters, and the variance of each one's mean effect in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES, TREES = 40, 6
"""Bootstrap samples of the trials, and trees of each: a random forest of 240 trees in all."""

CELLS, POINTS = 32, 512
"""Pieces of a parameter's range in which its mean effect is found; points that the whole spread is found from."""

LEAF_SHARE = 250
"""A leaf holds at least one in so many scores."""

OFFERED = 0.4
"""Share of the parameters that each split chooses from: with more the weak ones are never split by."""

RESOURCE = "(resource)"
"""The resource that a score was reached with, as a covariate."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Variance of one family's scores by parameter, for every bootstrap sample.

    Attributes
    ----------
    names : tuple of str
        Parameters that took more than one value.
    alone : ndarray of shape (n_resamples, n_names)
        Variance of each parameter's mean effect.
    total : ndarray of shape (n_resamples,)
        Variance of the score, less that of the resource.
    mean : ndarray of shape (n_resamples,)
        Mean score.
    pooled_alone, pooled_total : ndarray of shape (n_names,), float
        The same of all trees together.
    residuals : ndarray of shape (n_scores,)
        Scores less what trees say that have not seen them.
    """

    names: tuple[str, ...]
    alone: Floats
    total: Floats
    mean: Floats
    pooled_alone: Floats
    pooled_total: float
    residuals: Floats


def analysed(columns: Mapping[str, Floats], scores: Floats, trials: NDArray[np.int64], seed: int) -> Parts:
    """Fit the trees and take their means."""
    from sklearn.tree import DecisionTreeRegressor  # a run tells of its standing before its first trial

    draw = np.random.default_rng(seed)
    n_trials = int(trials.max()) + 1
    X = np.column_stack([np.zeros(len(scores)), *columns.values()]).astype(np.float32)
    points = draw.random((POINTS, X.shape[1]))
    scale = float(scores.std()) or 1.0
    y = (scores - scores.mean()) / scale
    effects = np.empty((RESAMPLES, TREES, X.shape[1], CELLS))
    answers = np.empty((RESAMPLES, TREES, POINTS))
    least = max(1 if len(scores) < 50 else 2, len(scores) // LEAF_SHARE)
    missed, n_missed = np.zeros(len(scores)), np.zeros(len(scores))
    for resample in range(RESAMPLES):
        counts = np.bincount(draw.integers(0, n_trials, n_trials), minlength=n_trials)
        for tree in range(TREES):
            weight = (counts * draw.poisson(1.0, n_trials))[trials].astype(np.float64)
            rows = np.flatnonzero(weight)
            rows = rows if len(rows) else np.arange(len(scores))
            grown = DecisionTreeRegressor(
                min_samples_leaf=least,
                max_features=max(1, round(OFFERED * X.shape[1])),
                random_state=int(draw.integers(2**31 - 1)),
            ).fit(X[rows], y[rows], sample_weight=weight[rows] if weight[rows].any() else None)
            effects[resample, tree] = tree_effects(grown.tree_, X.shape[1])
            answers[resample, tree] = grown.tree_.predict(points.astype(np.float32))[:, 0]
            out = np.flatnonzero(weight == 0)
            missed[out] += grown.tree_.predict(X[out])[:, 0] if len(out) else 0.0
            n_missed[out] += 1
    alone = _between(effects - effects.mean(axis=3, keepdims=True), axis=1).mean(axis=2)
    total = _between(answers - answers.mean(axis=2, keepdims=True), axis=1).mean(axis=1)
    merged = effects.reshape(1, RESAMPLES * TREES, *effects.shape[2:])
    merged_answers = answers.reshape(1, RESAMPLES * TREES, POINTS)
    pooled_alone = _between(merged - merged.mean(axis=3, keepdims=True), axis=1).mean(axis=2)[0]
    pooled_total = float(_between(merged_answers - merged_answers.mean(axis=2, keepdims=True), axis=1).mean())
    names = ["", *columns]
    kept = [place for place, name in enumerate(names) if name not in ("", RESOURCE)]
    if RESOURCE in names:
        at = names.index(RESOURCE)
        total, pooled_total = total - alone[:, at], pooled_total - float(pooled_alone[at])
    return Parts(
        tuple(names[place] for place in kept),
        alone[:, kept] * scale**2,
        total * scale**2,
        answers.mean(axis=(1, 2)) * scale + float(scores.mean()),
        pooled_alone[kept] * scale**2,
        pooled_total * scale**2,
        scores - (np.divide(missed, n_missed, out=np.zeros(len(scores)), where=n_missed > 0) * scale + scores.mean()),
    )


def _between(values: Floats, axis: int) -> Floats:
    """Mean product of two different trees' values: their common variance without what each has by chance."""
    n = values.shape[axis]
    return np.asarray((values.sum(axis=axis) ** 2 - (values**2).sum(axis=axis)) / (n * (n - 1)))


def tree_effects(tree: Any, n_features: int) -> Floats:
    """Return a tree's mean over all other features, each even on [0, 1], in `CELLS` pieces of each feature's range.

    Exact: a leaf is a box, and its share of the mean is the box's volume without the feature's own side.

    Parameters
    ----------
    tree : sklearn.tree._tree.Tree
        Fitted on features in [0, 1].
    n_features : int
        Its features.

    Returns
    -------
    ndarray of shape (n_features, CELLS)
    """
    low = np.zeros((tree.node_count, n_features))
    high = np.ones((tree.node_count, n_features))
    left, right, feature, threshold = tree.children_left, tree.children_right, tree.feature, tree.threshold
    level = np.array([0])
    while True:
        level = level[left[level] >= 0]
        if not len(level):
            break
        one, other = left[level], right[level]
        low[one], high[one], low[other], high[other] = low[level], high[level], low[level], high[level]
        cut = np.clip(threshold[level], 0.0, 1.0)
        high[one, feature[level]] = cut
        low[other, feature[level]] = cut
        level = np.concatenate([one, other])
    leaves = np.flatnonzero(left < 0)
    low, high = low[leaves], high[leaves]
    side = high - low
    volume = side.prod(axis=1, keepdims=True)
    weight = tree.value[leaves, 0, 0][:, None] * np.divide(volume, side, out=np.zeros_like(side), where=side > 0)
    edges = np.linspace(0, 1, CELLS + 1)
    inside = np.minimum(high[:, :, None], edges[1:]) - np.maximum(low[:, :, None], edges[:-1])
    return np.asarray(np.einsum("lf,lfc->fc", weight, np.maximum(inside, 0.0)) * CELLS)
