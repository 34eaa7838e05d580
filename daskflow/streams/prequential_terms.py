"""What each row adds to a prequential metric, and the metric and its 95 % interval of sums of these."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit

from daskflow.core.protocols import Score

Floats = NDArray[np.float64]

Z = float(ndtri(0.975))
"""Normal quantile of a 95 % interval."""

NONE = Score(math.nan)

METRICS = {
    "binary": ("accuracy", "f1", "log_loss", "brier", "roc_auc"),
    "multiclass": ("accuracy", "log_loss", "brier"),
    "regression": ("mae", "rmse", "bias"),
}
"""Metrics by task; the first is the main one."""

MOST = 1e70
"""Largest difference that counts, and what a prediction that is no number counts: sums of squares stay finite."""


def terms_of(task: str, codes: Floats, said: Floats, probabilities: Floats | None) -> dict[str, Floats]:
    """Return what each row adds to each metric.

    Parameters
    ----------
    task : str
        binary, multiclass or regression.
    codes, said : array of shape (n_rows,)
        True and predicted class codes, or numbers; a true code of -1 is a label that the model does not have.
    probabilities : array or None
        Of class 1, shape (n_rows,), or of every class, shape (n_rows, n_classes).

    Returns
    -------
    dict
        Arrays of shape (n_rows,) by name; for f1 ``f1`` (right positives) and ``f1_all`` (rows that are positive by the
        truth or the prediction).

    Notes
    -----
    A diverged model's predictions may be no numbers: they count as 1e70 off, or as probability 0. Logarithms are of at
    least 2.2e-16, as scikit-learn has it. The Brier score of several classes is the summed squared distance over them,
    from 0 to 2.
    """
    if task == "regression":
        with np.errstate(over="ignore", invalid="ignore"):
            off = np.clip(np.nan_to_num(said - codes, nan=MOST, posinf=MOST, neginf=-MOST), -MOST, MOST)
        return {"mae": np.abs(off), "rmse": np.square(off), "bias": off}
    found = {"accuracy": (codes == said).astype(np.float64)}
    if task == "binary":
        is_true, is_said = codes == 1, said == 1
        found["f1"], found["f1_all"] = (is_true & is_said).astype(np.float64), (is_true | is_said).astype(np.float64)
    if probabilities is None:
        return found
    every = np.column_stack([1 - probabilities, probabilities]) if probabilities.ndim == 1 else probabilities
    places = codes.astype(np.int64)
    every = np.nan_to_num(every, nan=0.0)
    of_truth = np.where(places < 0, 0.0, every[np.arange(len(places)), places])
    found["log_loss"] = -np.log(np.clip(of_truth, np.finfo(np.float64).eps, 1.0))
    if task == "binary":
        found["brier"] = np.where(places < 0, 1.0, np.square(of_truth - 1.0))
    else:
        found["brier"] = np.square(every).sum(axis=1) - 2 * of_truth + 1.0
    return found


def score_of(metric: str, n: float, n_effective: float, sums: Mapping[str, Sequence[float]]) -> Score:
    """Return a metric with its interval.

    Parameters
    ----------
    metric : str
        Its name.
    n, n_effective : float
        Summed weights of the rows, and how many rows of equal weight tell as much.
    sums : mapping of str to (sum, sum of squares)
        Of the terms, weighted.
    """
    if n <= 0:
        return NONE
    total, squares = sums[metric]
    if metric == "accuracy":
        return wilson(total / n, n_effective)
    if metric == "f1":
        return f1(total, sums["f1_all"][0], n_effective / n)
    mean = total / n
    found = mean_score(mean, max(squares / n - mean * mean, 0.0), n_effective)
    if metric == "rmse":
        return Score(*(math.sqrt(max(value, 0.0)) for value in (found.value, found.low, found.high)))
    low = found.low if metric == "bias" else max(found.low, 0.0) if found.low == found.low else found.low
    return Score(found.value, low, found.high)


def wilson(share: float, n: float) -> Score:
    """Return a share of n rows with Wilson's interval ("Probable inference", JASA 1927).

    Examples
    --------
    >>> score = wilson(0.9, 100)
    >>> round(score.low, 3), round(score.high, 3)
    (0.826, 0.945)
    """
    if n <= 0:
        return NONE
    part = Z * Z / n
    middle = (share + part / 2) / (1 + part)
    half = Z / (1 + part) * math.sqrt(max(share * (1 - share), 0.0) / n + part / (4 * n))
    return Score(share, max(0.0, min(middle - half, share)), min(1.0, max(middle + half, share)))


def f1(right: float, positive: float, weight: float) -> Score:
    """Return the F1 score of weighted counts, with Wilson's interval of a share that it is a function of.

    With J the share of right positives among the rows that are positive by truth or prediction, F1 is 2 J / (1 + J).

    Examples
    --------
    >>> f1(80, 120, 1.0).value
    0.8
    """
    if positive <= 0:
        return NONE
    found = wilson(right / positive, positive * weight)
    return Score(*(2 * value / (1 + value) for value in (found.value, found.low, found.high)))


def mean_score(mean: float, variance: float, n: float) -> Score:
    """Return a mean with Student's interval; without bounds for fewer than two rows."""
    if n <= 1.5:
        return Score(mean)
    half = float(stdtrit(n - 1, 0.975)) * math.sqrt(variance / (n - 1))
    return Score(mean, mean - half, mean + half)


def roc_auc(is_positive: NDArray[np.bool_], scores: Floats) -> Score:
    """Return the area under the ROC curve with DeLong's interval on the logit scale; nan with one class only.

    The variance is that of DeLong, DeLong and Clarke-Pearson (Biometrics 1988); for an area of 0 or 1, where it is 0,
    the interval is Wilson's for as many rows as the smaller class has.

    Examples
    --------
    >>> round(roc_auc(np.array([False, True, False, True]), np.array([0.1, 0.4, 0.4, 0.9])).value, 3)
    0.875
    """
    high, low = np.sort(scores[is_positive]), np.sort(scores[~is_positive])
    n, m = len(high), len(low)
    if not n or not m:
        return NONE
    above = (np.searchsorted(low, high, "left") + np.searchsorted(low, high, "right")) / (2 * m)
    below = 1 - (np.searchsorted(high, low, "left") + np.searchsorted(high, low, "right")) / (2 * n)
    area = float(above.mean())
    if min(n, m) < 2:
        return Score(area)
    variance = float(above.var(ddof=1)) / n + float(below.var(ddof=1)) / m
    if variance == 0 or not 0 < area < 1:
        return wilson(area, min(n, m))
    middle, half = math.log(area / (1 - area)), Z * math.sqrt(variance) / (area * (1 - area))
    return Score(area, *(1 / (1 + math.exp(-min(max(side, -700), 700))) for side in (middle - half, middle + half)))


def bootstrap(score: Any, arrays: Sequence[Any], *, repeats: int, seed: int) -> Score:
    """Return a metric of rows with its interval by the Poisson bootstrap.

    Parameters
    ----------
    score : callable
        Of arrays and weights.
    arrays : sequence of array
        What it is of, row by row.
    repeats, seed : int
        How many times the rows are given weights that are Poisson of mean 1, and how these are drawn: the same rows
        give the same interval.

    Notes
    -----
    Between the 2.5 and 97.5 % quantiles of the repeats that have a value (Chamandy et al., "Estimating uncertainty for
    massive data streams", Google 2012).
    """
    random, n = np.random.default_rng(seed), len(arrays[0])
    if not n:
        return NONE
    drawn = [score(*arrays, random.poisson(1.0, n).astype(np.float64)) for _ in range(repeats)]
    known = [value for value in drawn if math.isfinite(value)]
    low, high = np.quantile(known, [0.025, 0.975]).tolist() if len(known) > repeats / 2 else (math.nan, math.nan)
    return Score(float(score(*arrays, np.ones(n))), low, high)
