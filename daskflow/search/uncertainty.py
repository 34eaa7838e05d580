"""Uncertainty of scores: intervals over folds or over rows, and which candidates cannot be told apart from the best."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import MetricSettings
from daskflow.core.results import Point, SearchResult, Trial
from daskflow.core.seeds import seed_of

Floats = NDArray[np.float64]

LEVEL = 0.95
"""Of the intervals, and of the statement that the truly best candidate is among those that are marked."""

GROUPS, LEAST_GROUPS, LEAST_ROWS = 16, 8, 16
"""Groups of rows that a metric is computed on one by one; the fewest that say something; rows of a group at least."""

MOST_ROWS = 8192
"""Of more rows so many are looked at: what is found on them is brought to the number of all."""


def group_scores(metric: MetricSettings, y: Any, predictions: Any, weight: Any, *, score: float, seed: int) -> Floats:
    """Return a metric on equal parts of the rows, spread about its score as parts of all rows would be.

    The rows are dealt out at random; for equal numbers of rows and one seed every candidate has the same groups, so
    that candidates can be compared group by group. It goes through the rows once for all
    groups: 0.05 to 0.3 ms for up to a thousand rows, 0.1 to 1.3 ms for any more.

    Parameters
    ----------
    metric : MetricSettings
        A metric whose value on many rows is nearly a mean over them, as all of ``daskflow.metrics`` are.
    y : array of shape (n_rows,)
        The truth.
    predictions : array of shape (n_rows,) or (n_rows, n_classes)
        What the metric needs.
    weight : array of shape (n_rows,) or None
        Of the rows.
    score : float
        The metric on all rows.
    seed : int
        Of the draw.

    Returns
    -------
    ndarray of shape (n_groups,)
        Empty for fewer than 128 rows, and where a metric is not defined on parts so small (classes that are rare).

    References
    ----------
    The spread of batch means: B. Schmeiser, "Batch Size Effects in the Analysis of Simulation Output", Operations
    Research 30, 1982.
    """
    n_rows = len(y)
    n_groups = min(GROUPS, n_rows // LEAST_ROWS)
    if n_groups < LEAST_GROUPS or not math.isfinite(score):
        return np.empty(0)
    n_seen = min(n_rows, MOST_ROWS)
    if n_seen < n_rows:
        rows = np.arange(n_seen) * n_rows // n_seen
        y, predictions, weight = y[rows], predictions[rows], None if weight is None else weight[rows]
    try:
        found = np.asarray(metric.on_parts(y, predictions, weight, _dealt(n_seen, n_groups, seed), n_groups))
    except (DataError, ValueError):
        return np.empty(0)
    if not np.isfinite(found).all():
        return np.empty(0)
    spread: Floats = score + (found - found.mean()) * math.sqrt(n_seen / n_rows)
    return spread


@lru_cache(maxsize=8)
def _dealt(n_rows: int, n_groups: int, seed: int) -> NDArray[np.int64]:
    """The group of each row; groups are equal but for one row."""
    return np.random.default_rng(seed_of(seed, "groups", n_rows)).permutation(n_rows) % n_groups


def fold_interval(scores: Sequence[float], ratio: float) -> tuple[float, float]:
    """Return the interval of a candidate's mean score over folds: the corrected resampled t interval.

    Training rows of folds overlap, so that their scores are not independent and the plain standard error is too small;
    the correction adds the ratio of validation to training rows. It says what the same search on other rows would
    score. Of 2 or 3 folds it is wide, since their spread is hardly known.

    Parameters
    ----------
    scores : sequence of float
        One per fold; repeated folds likewise.
    ratio : float
        Validation rows over training rows, of a fold.

    Returns
    -------
    (low, high)
        nan for fewer than two folds.

    References
    ----------
    C. Nadeau and Y. Bengio, "Inference for the Generalization Error", Machine Learning 52, 2003.

    Examples
    --------
    >>> low, high = fold_interval([0.80, 0.82, 0.81, 0.79, 0.83], ratio=0.25)
    >>> round(low, 3), round(high, 3)
    (0.781, 0.839)
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(values) < 2 or not np.isfinite(values).all():
        return math.nan, math.nan
    half = _quantile(len(values) - 1, (1 + LEVEL) / 2) * _error(values, ratio)
    mean = float(values.mean())
    return mean - half, mean + half


def row_interval(score: float, groups: Sequence[float]) -> tuple[float, float]:
    """Return the interval of a score on one validation part, from its spread over groups of the rows.

    The fitted model is taken as given: it says what other validation rows would have given, not what other training
    rows would.

    Parameters
    ----------
    score : float
        On all rows.
    groups : sequence of float
        See `group_scores`.

    Returns
    -------
    (low, high)
        nan without groups.
    """
    values = np.asarray(groups, dtype=np.float64)
    if len(values) < LEAST_GROUPS or math.isnan(score):
        return math.nan, math.nan
    half = _quantile(len(values) - 1, (1 + LEVEL) / 2) * _error(values, 0.0)
    return score - half, score + half


def with_intervals(result: SearchResult) -> SearchResult:
    """Return a search's result with an interval for every score, and marks on what cannot be told from the best.

    A candidate is told apart when the best beats it by more than chance explains: pair by pair over the folds (or over
    the groups of rows of one validation part), one-sided, with Bonferroni's correction for as many comparisons as there
    are other candidates. So with a probability of at least `LEVEL` the candidate that is best in truth is the best one
    or marked. Candidates of fewer blocks are compared as they stand.

    Parameters
    ----------
    result : SearchResult
        ``validation_ratio`` is used for folds; 1 / (n_folds - 1) where it is not known.

    Returns
    -------
    SearchResult
        Without marks where nothing is known of the spread.
    """
    ratio = _ratio(result)
    trials = [_with_interval(trial, result.n_folds, ratio) for trial in result.trials]
    best = next((trial for trial in trials if trial.id == result.best.id), result.best)
    scored = [trial for trial in trials if not math.isnan(trial.score)]
    sign = 1.0 if result.greater_is_better else -1.0
    for place, trial in enumerate(trials):
        if not math.isnan(trial.score):
            tied = _is_tied(best, trial, sign, ratio if result.n_folds > 1 else 0.0, len(scored) - 1)
            trials[place] = replace(trial, is_tied=tied)
    best = next((trial for trial in trials if trial.id == result.best.id), best)
    return replace(result, trials=tuple(trials), best=best)


def n_tied(result: SearchResult) -> int:
    """Return how many other trials cannot be told apart from the best: of all at once, in little time.

    Parameters
    ----------
    result : SearchResult
        With or without intervals.

    Examples
    --------
    >>> points = [(0.80, 0.82, 0.81), (0.79, 0.82, 0.80), (0.60, 0.61, 0.59)]
    >>> trials = tuple(
    ...     Trial(str(n), {}, score=sum(each) / 3, curve=(Point(1, sum(each) / 3, each),))
    ...     for n, each in enumerate(points)
    ... )
    >>> n_tied(SearchResult(trials, trials[0], "accuracy", True, 3))
    1
    """
    best, sign = result.best, 1.0 if result.greater_is_better else -1.0
    ours = _parts(best.curve[-1]) if best.curve else ()
    scored = [trial for trial in result.trials if not math.isnan(trial.score) and trial.id != best.id]
    if len(ours) < 2 or not scored:
        return 0
    rows, scores = [], []
    for trial in scored:
        parts = _parts(trial.curve[-1]) if trial.curve else ()
        if len(parts) == len(ours):
            rows.append(parts)
            scores.append(trial.score)
    if not rows:
        return 0
    gains = sign * (np.asarray(ours) - np.asarray(rows))
    ratio = _ratio(result) if result.n_folds > 1 else 0.0
    errors = np.sqrt((1 / len(ours) + ratio) * gains.var(axis=1, ddof=1))
    least = _quantile(len(ours) - 1, 1 - (1 - LEVEL) / max(1, len(scored))) * errors
    return int((sign * (best.score - np.asarray(scores)) <= least).sum())


def _ratio(result: SearchResult) -> float:
    known = result.validation_ratio
    return known if known == known else 1 / max(1, result.n_folds - 1)


def _with_interval(trial: Trial, n_folds: int, ratio: float) -> Trial:
    """A trial whose points have intervals; its own is the last scored one's."""
    curve = []
    for point in trial.curve:
        low, high = (
            fold_interval(point.fold_scores, ratio) if n_folds > 1 else row_interval(point.score, point.row_scores)
        )
        curve.append(replace(point, low=low, high=high))
    if math.isnan(trial.score) or not curve:
        return replace(trial, curve=tuple(curve))
    return replace(trial, curve=tuple(curve), low=curve[-1].low, high=curve[-1].high)


def _is_tied(best: Trial, trial: Trial, sign: float, ratio: float, n_comparisons: int) -> bool | None:
    """Whether a trial cannot be told apart from the best; None where there is nothing to compare by."""
    if trial.id == best.id:
        return True
    ours, theirs = (_parts(one.curve[-1]) if one.curve else () for one in (best, trial))
    if len(ours) != len(theirs) or len(ours) < 2:
        return None
    gains = sign * (np.asarray(ours) - np.asarray(theirs))
    least = _quantile(len(gains) - 1, 1 - (1 - LEVEL) / max(1, n_comparisons)) * _error(gains, ratio)
    return bool(sign * (best.score - trial.score) <= least)


def _parts(point: Point) -> tuple[float, ...]:
    """What candidates are compared by: folds where there are several, else groups of rows."""
    return point.fold_scores if len(point.fold_scores) > 1 else point.row_scores


def _error(values: Floats, ratio: float) -> float:
    """Standard error of a mean over folds or groups, corrected for what they have in common."""
    return math.sqrt((1 / len(values) + ratio) * float(values.var(ddof=1)))


def _quantile(freedom: int, level: float) -> float:
    """Quantile of Student's t distribution."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, level))
