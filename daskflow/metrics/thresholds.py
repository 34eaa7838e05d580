"""Thresholds: what answering class 1 from a probability on gives and costs, and the threshold that serves best.

The answer is class 1 where the probability is at least the threshold. A threshold is chosen on predictions of rows that
the model was not fitted on, and that it is not judged by afterwards (`daskflow.metrics.decisions`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest

Floats = NDArray[np.float64]

RULES = ("f1", "balanced_accuracy", "youden", "mcc", "cost")
SHOWN = ("f1", "youden", "mcc", "cost")
"""Rules whose thresholds a table names: the balanced accuracy's is Youden's."""

POINTS = 200
"""Thresholds of a table."""

NATURAL = 0.5
"""Threshold that a probability has when nobody chooses one."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Weights of rows answered class 1, by threshold from the highest to the lowest.

    Attributes
    ----------
    threshold : ndarray of shape (n_thresholds,)
        Half-way between distinct probabilities; first, where there is room below 1, one above all of them; last 0.
    level : ndarray of shape (n_thresholds,)
        Lowest probability that each takes; infinite for none.
    right, wrong : ndarray of shape (n_thresholds,)
        Weight of the rows of class 1, and of class 0, whose probability is at least the threshold.
    positive, negative : float
        All weight of class 1 and of class 0.
    """

    threshold: Floats
    level: Floats
    right: Floats
    wrong: Floats
    positive: float
    negative: float

    def __len__(self) -> int:
        """Thresholds."""
        return len(self.threshold)

    def at(self, threshold: float) -> tuple[float, float]:
        """Return right and wrong at any threshold."""
        place = int(np.searchsorted(-self.level, -threshold, side="right")) - 1
        return (0.0, 0.0) if place < 0 else (float(self.right[place]), float(self.wrong[place]))


def taken(y: Any, probability: Any, weight: Any = None) -> Taken:
    """Count what every threshold takes; rows without weight count for nothing.

    Raises
    ------
    DataError
        For shapes that differ, a probability that is none, a weight below 0, and no rows.
    """
    p, positive, w = _checked(y, probability, weight)
    order = np.argsort(-p, kind="stable")
    p, positive, w = p[order], positive[order], w[order]
    last = np.flatnonzero(np.append(p[1:] != p[:-1], True))
    right, wrong = np.cumsum(w * positive)[last], np.cumsum(w * ~positive)[last]
    levels = p[last]
    below = np.append(levels[1:], 0.0)
    # half-way to the next lower probability; the float nearest to it may be that one itself, which must not be taken
    cuts = (levels + below) / 2
    cuts = np.where(cuts > below, cuts, levels)
    cuts[-1] = 0.0
    if levels[0] < 1.0:
        above = (levels[0] + 1.0) / 2
        cuts = np.concatenate([[above if above > levels[0] else 1.0], cuts])
        levels = np.concatenate([[np.inf], levels])
        right, wrong = np.concatenate([[0.0], right]), np.concatenate([[0.0], wrong])
    return Taken(cuts, levels, right, wrong, float(right[-1]), float(wrong[-1]))


def choose_threshold(
    rule: str | float, y: Any, probability: Any, weight: Any = None, *, costs: Sequence[Sequence[float]] | None = None
) -> float:
    """Return the threshold that serves a rule best on these rows.

    Parameters
    ----------
    rule : str or float
        ``f1``; ``balanced_accuracy`` or ``youden`` (Youden, 1950: recall less the false positive rate, which is highest
        at the same threshold); ``mcc`` (Matthews' correlation); ``cost`` (the lowest mean cost); or the threshold
        itself.
    y : array of shape (n_rows,)
        0 or 1.
    probability : array of shape (n_rows,)
        Of class 1, of rows that the model was not fitted on.
    weight : array of shape (n_rows,), optional
        Default: 1 each.
    costs : 2 x 2, optional
        ``[[tn, fp], [fn, tp]]``: what a row costs by its class (down) and the answer (across). A benefit is negative.

    Returns
    -------
    float
        Between 0 and 1, half-way between two probabilities. Of equally good ones the nearest to 0.5.

    Raises
    ------
    DataError
        For an unknown rule, a cost matrix that cannot be used, and rows of one class.

    Examples
    --------
    >>> choose_threshold("f1", [0, 0, 1, 1], [0.1, 0.3, 0.2, 0.9])
    0.15000000000000002
    >>> choose_threshold("cost", [0, 0, 1, 1], [0.1, 0.3, 0.2, 0.9], costs=[[0, 5], [1, 0]])
    0.6
    """
    if not isinstance(rule, str):
        return _given(rule)
    if rule not in RULES:
        raise DataError(
            f"threshold = '{rule}' is no rule{nearest(rule, RULES)}. There are {', '.join(RULES)}, or a number."
        )
    matrix = cost_matrix(costs)
    if rule == "cost" and matrix is None:
        raise DataError("threshold = 'cost' needs costs = [[tn, fp], [fn, tp]], such as [[0, 1], [10, 0]].")
    counts = taken(y, probability, weight)
    if not counts.positive or not counts.negative:
        raise DataError(
            f"A threshold cannot be chosen: only class {int(not counts.negative)} occurs among the rows. Use more "
            "rows, a stratified split, or give the threshold itself as a number."
        )
    return _best(counts, rule, matrix)


def threshold_table(
    y: Any,
    probability: Any,
    weight: Any = None,
    *,
    costs: Sequence[Sequence[float]] | None = None,
    chosen: float = NATURAL,
    rule: str = "",
) -> dict[str, Any]:
    """Return what thresholds give and cost, for a table and a picture; plain JSON values, None where not defined.

    Parameters
    ----------
    y, probability, weight, costs
        As of `choose_threshold`.
    chosen : float
        The threshold in use; it is one of those shown.
    rule : str
        How it was chosen; empty when nobody chose.

    Returns
    -------
    dict
        ``threshold`` (at most 200, falling: evenly by the rows they take, and those named), and by threshold ``taken``
        (share of the weight answered class 1), ``precision``, ``recall``, ``f1``, ``false_positive_rate``, ``cost``
        (mean per row, or None without costs); ``costs``, ``chosen``, ``rule``; ``best``: by ``f1``, ``youden``, ``mcc``
        and ``cost`` the best threshold on these rows, None where it is not defined; and ``cost_if_calibrated``: the
        threshold that costs least when probabilities are right (Elkan, "The foundations of cost-sensitive learning",
        2001).

    Examples
    --------
    >>> table = threshold_table([0, 0, 1, 1], [0.1, 0.3, 0.2, 0.9], costs=[[0, 1], [10, 0]])
    >>> table["best"]["cost"], round(table["cost_if_calibrated"], 3)
    (0.15000000000000002, 0.091)
    """
    matrix = cost_matrix(costs)
    value = _given(chosen)
    counts = taken(y, probability, weight)
    has_both = counts.positive > 0 and counts.negative > 0
    best = {
        name: _best(counts, name, matrix) if has_both and (name != "cost" or matrix is not None) else None
        for name in SHOWN
    }
    named = [value, *(threshold for threshold in best.values() if threshold is not None)]
    thresholds = _thinned(counts, named)
    right, wrong = np.array([counts.at(threshold) for threshold in thresholds]).T
    shown = Taken(thresholds, thresholds, right, wrong, counts.positive, counts.negative)
    total = counts.positive + counts.negative
    return {
        "threshold": thresholds.tolist(),
        "taken": _plain((right + wrong) / total),
        "precision": _plain(_ratio(right, right + wrong)),
        "recall": _plain(_ratio(right, counts.positive)),
        "f1": _plain(_ratio(2 * right, right + wrong + counts.positive)),
        "false_positive_rate": _plain(_ratio(wrong, counts.negative)),
        "cost": None if matrix is None else _plain(_cost(shown, matrix)),
        "costs": None if matrix is None else matrix.tolist(),
        "chosen": value,
        "rule": rule,
        "best": best,
        "cost_if_calibrated": None if matrix is None else if_calibrated(matrix),
    }


def cost_matrix(costs: Any) -> Floats | None:
    """Return a cost matrix as float64 of shape (2, 2), checked; None for none.

    Raises
    ------
    DataError
        When it is not two by two finite numbers, when the answer makes no difference, or when the wrong answer is
        cheaper for both classes, which is a matrix the wrong way round.
    """
    if costs is None:
        return None
    shape = "costs should be [[tn, fp], [fn, tp]]: two rows (true class 0, 1) of two numbers (answer 0, 1)"
    try:
        matrix = np.asarray(costs, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"{shape}; found {costs!r:.80}.") from None
    if matrix.shape != (2, 2) or not np.isfinite(matrix).all():
        raise DataError(f"{shape}; found {costs!r:.80}.")
    (tn, fp), (fn, tp) = matrix.tolist()
    if fp == tn and fn == tp:
        raise DataError(f"{shape}; found {costs!r:.80}, by which no answer is better than the other.")
    if fp <= tn and fn <= tp:
        raise DataError(
            f"{shape}; found {costs!r:.80}, by which the wrong answer is the cheaper one for both classes. Benefits "
            "are negative costs; rows are the true class."
        )
    return matrix


def if_calibrated(matrix: Floats) -> float:
    """Return the threshold of least expected cost when probabilities are right: (fp - tn) / (fp - tn + fn - tp).

    Examples
    --------
    >>> if_calibrated(np.array([[0.0, 1.0], [9.0, 0.0]]))
    0.1
    """
    (tn, fp), (fn, tp) = matrix.tolist()
    for_wrong, for_missed = fp - tn, fn - tp
    if for_wrong <= 0 or for_missed <= 0:
        return 0.0 if for_wrong <= 0 else 1.0
    return float(for_wrong / (for_wrong + for_missed))


def measures(y: Any, probability: Any, threshold: Any, weight: Any = None, costs: Any = None) -> Mapping[str, Any]:
    """Return accuracy, balanced accuracy, precision, recall, F1, Matthews' correlation and cost of the answers.

    `threshold` is one number, or one for each row.
    """
    p, positive, w = _checked(y, probability, weight, kept_all=True)
    answered = p >= np.asarray(threshold)
    right, wrong = float(w[positive & answered].sum()), float(w[~positive & answered].sum())
    both = float(w[positive].sum()), float(w[~positive].sum())
    counts = Taken(np.zeros(1), np.zeros(1), np.array([right]), np.array([wrong]), *both)
    matrix = cost_matrix(costs)
    found = {
        "accuracy": _ratio(counts.right + counts.negative - counts.wrong, sum(both)),
        "balanced_accuracy": (1 + _youden(counts)) / 2,
        "precision": _ratio(counts.right, counts.right + counts.wrong),
        "recall": _ratio(counts.right, counts.positive),
        "f1": _ratio(2 * counts.right, counts.right + counts.wrong + counts.positive),
        "mcc": _mcc(counts),
    }
    if matrix is not None:
        found["cost"] = _cost(counts, matrix)
    return {name: _plain(value)[0] for name, value in found.items()}


def _checked(
    y: Any, probability: Any, weight: Any, *, kept_all: bool = False
) -> tuple[Floats, NDArray[np.bool_], Floats]:
    """Probabilities, which rows are of class 1, and weights, of the rows that have some."""
    codes, p = np.asarray(y), np.asarray(probability, dtype=np.float64)
    w = np.ones(len(codes)) if weight is None else np.asarray(weight, dtype=np.float64)
    if p.ndim != 1 or codes.shape != p.shape or w.shape != p.shape:
        raise DataError(
            f"A threshold is for two classes and one probability per row; found shapes {codes.shape} (target), "
            f"{p.shape} (probabilities) and {w.shape} (weights)."
        )
    if not np.isfinite(w).all() or (w < 0).any():
        raise DataError("Weights should be finite and not negative.")
    if not kept_all:
        codes, p, w = codes[w > 0], p[w > 0], w[w > 0]
    if not len(p):
        raise DataError("There are no rows (with weight) to look at thresholds on.")
    n_wrong = int((~((p >= 0) & (p <= 1))).sum())
    if n_wrong:
        raise DataError(
            f"{n_wrong} of {len(p)} probabilities do not lie between 0 and 1; thresholds need an estimator with "
            "predict_proba."
        )
    if not np.isin(codes, (0, 1)).all():
        raise DataError("A threshold is for two classes, coded 0 and 1.")
    return p, codes == 1, w


def _given(threshold: Any) -> float:
    """A threshold that a person gave."""
    if isinstance(threshold, bool) or not isinstance(threshold, int | float | np.number):
        raise DataError(f"threshold = {threshold!r:.40} is neither a rule ({', '.join(RULES)}) nor a number.")
    if not 0.0 <= float(threshold) <= 1.0:
        raise DataError(f"threshold = {threshold} does not lie between 0 and 1; it is compared with a probability.")
    return float(threshold)


def _best(counts: Taken, rule: str, matrix: Floats | None) -> float:
    """The best threshold; of equally good ones that nearest to 0.5."""
    if rule == "cost" and matrix is not None:
        merit = -_cost(counts, matrix)
    elif rule == "mcc":
        merit = _mcc(counts)
    elif rule == "f1":
        merit = _ratio(2 * counts.right, counts.right + counts.wrong + counts.positive)
    else:
        merit = _youden(counts)
    merit = np.where(np.isnan(merit), -np.inf, merit)
    scale = max(1.0, float(np.abs(merit[np.isfinite(merit)]).max(initial=0.0)))
    places = np.flatnonzero(merit >= merit.max() - 1e-12 * scale)
    near = np.abs(counts.threshold[places] - NATURAL)
    return float(counts.threshold[places[int(near.argmin())]])


def _youden(counts: Taken) -> Floats:
    return _ratio(counts.right, counts.positive) - _ratio(counts.wrong, counts.negative)


def _mcc(counts: Taken) -> Floats:
    """Matthews' correlation, from shares, so that no product overflows; 0 where all answers are the same."""
    total = counts.positive + counts.negative
    right, answered, true = counts.right / total, (counts.right + counts.wrong) / total, counts.positive / total
    below = np.sqrt(answered * (1 - answered) * true * (1 - true))
    return np.divide(right - answered * true, below, out=np.zeros(len(right)), where=below > 1e-15)


def _cost(counts: Taken, matrix: Floats) -> Floats:
    """Mean cost per row."""
    (tn, fp), (fn, tp) = matrix.tolist()
    sums = (
        tn * (counts.negative - counts.wrong)
        + fp * counts.wrong
        + fn * (counts.positive - counts.right)
        + tp * counts.right
    )
    return np.asarray(sums / (counts.positive + counts.negative))


def _thinned(counts: Taken, named: Sequence[float]) -> Floats:
    """At most `POINTS` thresholds, evenly by the rows they take, with those named; falling."""
    room = POINTS - len(set(named))
    share = (counts.right + counts.wrong) / (counts.positive + counts.negative)
    if len(counts) <= room:
        chosen = counts.threshold
    else:
        places = np.unique(np.searchsorted(share, np.linspace(share[0], share[-1], room)))
        chosen = counts.threshold[np.minimum(places, len(counts) - 1)]
    return np.unique(np.concatenate([chosen, named]))[::-1].copy()


def _ratio(above: Any, below: Any) -> Floats:
    """Division, nan where nothing stands below."""
    above, below = np.broadcast_arrays(np.asarray(above, dtype=np.float64), np.asarray(below, dtype=np.float64))
    found: Floats = np.divide(above, below, out=np.full(above.shape, math.nan), where=below > 0)
    return found


def _plain(values: Floats) -> list[float | None]:
    """Plain values, None for nan."""
    return [float(value) if math.isfinite(value) else None for value in np.atleast_1d(values)]
