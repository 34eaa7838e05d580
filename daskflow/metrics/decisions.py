"""Calibrations and thresholds, fitted on predictions of rows that the model was not fitted on, and what they change.

What a decision changes is measured on rows that it was not fitted on either: the rows are cut into folds, each is
judged by a decision fitted on the others, and the one that is used is fitted on all. The test part is never looked at.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data.decision import KINDS, TINY, Calibration, Decision, log_odds
from daskflow.data.hashing import mix
from daskflow.metrics.probability import Brier, LogLoss
from daskflow.metrics.thresholds import NATURAL, choose_threshold, measures

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

LEAST = {"isotonic": 50, "sigmoid": 10, "temperature": 10}
"""Rows that a calibration needs of each class: by the parameters that it has."""

N_SPLITS = 5
"""Folds that a decision is judged by when none are given."""

BINS = 10
"""Bins of the expected calibration error."""


def fit_calibration(kind: str, y: Any, probabilities: Any, weight: Any = None, *, n_classes: int) -> Calibration:
    """Fit a map from a model's probabilities to calibrated ones.

    Parameters
    ----------
    kind : str
        ``isotonic``: any non-decreasing function; needs many rows, and joins probabilities that it cannot tell
        apart (scikit-learn's IsotonicRegression). ``sigmoid``: a logistic function of the log-odds, its targets
        drawn in as Platt (1999) does. ``temperature``: all log-probabilities over one number (Guo et al., 2017),
        which keeps every answer as it was. More than two classes: the first two are fitted for each class against the
        rest, and divided by their sum.
    y : array of shape (n_rows,)
        Class codes.
    probabilities : array of shape (n_rows,) or (n_rows, n_classes)
        Of class 1, or of all classes, of rows that the model was not fitted on.
    weight : array of shape (n_rows,), optional
        Default: 1 each.
    n_classes : int
        At least 2.

    Returns
    -------
    Calibration
        Its slope is never negative: a model that ranks rows the wrong way round becomes flat, not turned around.

    Raises
    ------
    DataError
        For an unknown kind, wrong shapes, rows of one class, and too few rows of a class.

    Examples
    --------
    >>> y = np.arange(400) % 2
    >>> given = np.where(y == 1, 0.99, 0.01)
    >>> given[::10] = 0.99
    >>> fitted = fit_calibration("temperature", y, given, n_classes=2)
    >>> fitted.apply(np.array([0.5, 0.99])).round(2)
    array([0.5, 0.9])
    """
    codes, given, weights = _checked(kind, y, probabilities, weight, n_classes)
    _check_rows(kind, codes, n_classes)
    return _fitted(kind, codes, given, weights)


def calibration_report(
    kind: str,
    y: Any,
    probabilities: Any,
    weight: Any = None,
    *,
    n_classes: int,
    fold: Any = None,
    unit: Any = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return what a calibration changes on rows that it was not fitted on: plain JSON values.

    Parameters
    ----------
    kind, y, probabilities, weight, n_classes
        As of `fit_calibration`.
    fold : int array of shape (n_rows,), optional
        Each fold is judged by the calibration fitted on the others: the folds of the out-of-fold predictions. Default,
        and where a class is missing outside a fold: five, each with its share of every class.
    unit : uint64 array of shape (n_rows,), optional
        Rows of one unit stand in one fold.
    seed : int
        Of the folds when none are given.

    Returns
    -------
    dict
        ``kind``, ``rows``, ``before`` and ``after``: ``log_loss``, ``brier``, ``ece``.
    """
    codes, given, weights = _checked(kind, y, probabilities, weight, n_classes)
    _check_rows(kind, codes, n_classes)
    folds = folds_of(codes, _kept(fold, weight), _kept(unit, weight), seed)
    after = _cross_fitted(kind, codes, given, weights, folds)
    return {
        "kind": kind,
        "rows": len(codes),
        "before": _losses(codes, given, weights),
        "after": _losses(codes, after, weights),
    }


def fit_decision(
    *,
    y: Any,
    probabilities: Any,
    weight: Any = None,
    n_classes: int,
    calibrate: str | None = None,
    threshold: str | float | None = None,
    costs: Sequence[Sequence[float]] | None = None,
    fold: Any = None,
    unit: Any = None,
    seed: int = 0,
) -> tuple[Decision, dict[str, Any]]:
    """Fit a calibration, choose a threshold on what it gives, and say what both change.

    Parameters
    ----------
    y, probabilities, weight, n_classes
        As of `fit_calibration`.
    calibrate : str, optional
        A kind of calibration.
    threshold : str or float, optional
        A rule, or the threshold itself; see `daskflow.metrics.thresholds.choose_threshold`. Two classes only.
    costs : 2 x 2, optional
        ``[[tn, fp], [fn, tp]]``.
    fold, unit, seed
        As of `calibration_report`.

    Returns
    -------
    decision : Decision
        Fitted on all rows.
    details : dict
        ``calibration``: as of `calibration_report`, or None. ``threshold``: ``value``, ``rule``, ``rows``, ``costs``,
        ``before`` (at 0.5) and ``after``: ``accuracy``, ``balanced_accuracy``, ``precision``, ``recall``, ``f1``,
        ``mcc`` and with costs ``cost``, each row answered by a decision of the other folds; or None.

    Raises
    ------
    DataError
        As of `fit_calibration` and `choose_threshold`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> p = rng.random(2000)
    >>> y = (rng.random(2000) < p**2).astype(int)
    >>> decision, details = fit_decision(
    ...     y=y, probabilities=p, n_classes=2, calibrate="isotonic", threshold="cost", costs=[[0, 1], [4, 0]]
    ... )
    >>> details["calibration"]["after"]["brier"] < details["calibration"]["before"]["brier"]
    True
    >>> details["threshold"]["after"]["cost"] < details["threshold"]["before"]["cost"], round(decision.threshold, 1)
    (True, 0.2)
    """
    if threshold is not None and n_classes != 2:
        raise DataError(f"threshold = {threshold!r} is for two classes, and the target has {n_classes}. Leave it out.")
    kind = calibrate or "temperature"
    codes, given, weights = _checked(kind, y, probabilities, weight, n_classes)
    calibration = None if calibrate is None else fit_calibration(calibrate, codes, given, weights, n_classes=n_classes)
    if threshold is None:
        report = None
        if calibrate is not None:
            report = calibration_report(
                calibrate, y, probabilities, weight, n_classes=n_classes, fold=fold, unit=unit, seed=seed
            )
        return Decision(calibration), {"calibration": report, "threshold": None}
    calibrated = given if calibration is None else calibration.apply(given)
    value = choose_threshold(threshold, codes, calibrated, weights, costs=costs)
    folds = folds_of(codes, _kept(fold, weight), _kept(unit, weight), seed)
    judged, limits = given.copy(), np.full(len(codes), value)
    for number in np.unique(folds):
        other = folds != number
        learned, asked = given[other], given[~other]
        if calibrate is not None:
            fitted = _fitted(calibrate, codes[other], learned, weights[other])
            learned, asked = fitted.apply(learned), fitted.apply(asked)
        judged[~other] = asked
        limits[~other] = choose_threshold(threshold, codes[other], learned, weights[other], costs=costs)
    report = None
    if calibrate is not None:
        before, after = _losses(codes, given, weights), _losses(codes, judged, weights)
        report = {"kind": calibrate, "rows": len(codes), "before": before, "after": after}
    return Decision(calibration, value), {
        "calibration": report,
        "threshold": {
            "value": value,
            "rule": threshold if isinstance(threshold, str) else "given",
            "rows": len(codes),
            "before": measures(codes, judged, NATURAL, weights, costs),
            "after": measures(codes, judged, limits, weights, costs),
            "costs": None if costs is None else [[float(cost) for cost in row] for row in costs],
        },
    }


def expected_calibration_error(y: Any, probabilities: Any, weight: Any = None, n_bins: int = BINS) -> float:
    """Return the mean distance between predicted probability and observed share over bins of equal width.

    Two classes: of class 1. More: of the most probable class and how often it is the true one (Guo et al., "On
    calibration of modern neural networks", 2017). An edge belongs to the bin below it.

    Examples
    --------
    >>> expected_calibration_error([0, 1, 1, 1], [0.75, 0.75, 0.75, 0.75])
    0.0
    """
    codes, given = np.asarray(y), np.asarray(probabilities, dtype=np.float64)
    weights = np.ones(len(codes)) if weight is None else np.asarray(weight, dtype=np.float64)
    if not len(codes) or not weights.sum() > 0 or np.isnan(given).any():
        return math.nan
    right = (codes == 1) if given.ndim == 1 else (given.argmax(axis=1) == codes)
    sure = given if given.ndim == 1 else given.max(axis=1)
    place = np.searchsorted(np.linspace(0.0, 1.0, n_bins + 1)[1:-1], sure)
    gaps = np.bincount(place, weights * (sure - right), n_bins)
    return float(np.abs(gaps).sum() / weights.sum())


def folds_of(y: Any, fold: Any = None, unit: Any = None, seed: int = 0, n_splits: int = N_SPLITS) -> Integers:
    """Return the fold of every row: as given, else by unit, else with every class in its share; int64 (n_rows,).

    Folds whose outside lacks a class that occurs cannot be used, and others are made instead.
    """
    codes = np.asarray(y)
    if fold is not None and _is_usable(codes, np.asarray(fold)):
        return np.unique(np.asarray(fold), return_inverse=True)[1].astype(np.int64)
    if unit is not None:
        by_unit = (mix(np.asarray(unit, dtype=np.uint64), seed) % np.uint64(n_splits)).astype(np.int64)
        if _is_usable(codes, by_unit):
            return by_unit
    order = np.random.default_rng(seed).permutation(len(codes))
    order = order[np.argsort(codes[order], kind="stable")]
    found = np.empty(len(codes), dtype=np.int64)
    found[order] = np.arange(len(codes)) % n_splits
    return found


def _is_usable(codes: NDArray[Any], folds: NDArray[Any]) -> bool:
    """Whether there are two folds or more, and every class occurs outside each."""
    numbers, n_classes = np.unique(folds), len(np.unique(codes))
    return len(numbers) > 1 and all(len(np.unique(codes[folds != number])) == n_classes for number in numbers)


def _cross_fitted(kind: str, codes: Integers, given: Floats, weight: Floats, folds: Integers) -> Floats:
    """Every row calibrated by the other folds."""
    found = given.copy()
    for number in np.unique(folds):
        other = folds != number
        found[~other] = _fitted(kind, codes[other], given[other], weight[other]).apply(given[~other])
    return found


def _losses(codes: Integers, given: Floats, weight: Floats) -> dict[str, float]:
    """Log loss, Brier score and expected calibration error."""
    return {
        "log_loss": LogLoss().score(codes, given, weight),
        "brier": Brier().score(codes, given, weight),
        "ece": expected_calibration_error(codes, given, weight),
    }


def _fitted(kind: str, codes: Integers, given: Floats, weight: Floats) -> Calibration:
    """Fit without another look at the rows."""
    if kind == "temperature":
        return Calibration(kind, (((_temperature(codes, given, weight),),),))
    fit = _isotonic if kind == "isotonic" else _sigmoid
    if given.ndim == 1:
        return Calibration(kind, (fit(codes == 1, given, weight),))
    return Calibration(kind, tuple(fit(codes == code, given[:, code], weight) for code in range(given.shape[1])))


def _isotonic(positive: NDArray[np.bool_], given: Floats, weight: Floats) -> tuple[tuple[float, ...], ...]:
    """Knots and values of the isotonic regression."""
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    fitted.fit(given, positive.astype(np.float64), sample_weight=weight)
    return tuple(fitted.X_thresholds_.tolist()), tuple(fitted.y_thresholds_.tolist())


def _sigmoid(positive: NDArray[np.bool_], given: Floats, weight: Floats) -> tuple[tuple[float, ...], ...]:
    """Slope and intercept of Platt's logistic function of the log-odds."""
    from scipy.optimize import minimize

    odds = log_odds(given)
    scale = max(1.0, float(np.abs(odds).max()))
    x, total = odds / scale, float(weight.sum())
    above, below = float(weight[positive].sum()), float(weight[~positive].sum())
    # Platt's targets: what a rule of succession makes of as many rows
    target = np.where(positive, (above + 1) / (above + 2), 1 / (below + 2))

    def loss(parameters: Any) -> tuple[float, Any]:
        raw = parameters[0] * x + parameters[1]
        excess = weight * (1 / (1 + np.exp(-np.clip(raw, -700, 700))) - target)
        value = float((weight * (np.logaddexp(0, raw) - target * raw)).sum()) / total
        return value, np.array([(excess * x).sum(), excess.sum()]) / total

    is_flat = bool(np.ptp(odds) == 0)
    start: Any = np.array([0.0 if is_flat else scale, math.log((above + 1) / (below + 1)) if is_flat else 0.0])
    bounds: Any = [(0.0, 0.0 if is_flat else None), (None, None)]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"gtol": 1e-9, "ftol": 1e-15})
    return ((float(found.x[0]) / scale, float(found.x[1])),)


def _temperature(codes: Integers, given: Floats, weight: Floats) -> float:
    """The temperature of least log loss."""
    from scipy.optimize import minimize_scalar

    if given.ndim == 1:
        half = log_odds(given) / 2
        logs = np.column_stack([-half, half])
    else:
        logs = np.log(np.clip(given, TINY, 1.0))
    rows = np.arange(len(codes))

    def loss(log_inverse: float) -> float:
        raw = logs * math.exp(log_inverse)
        top = raw.max(axis=1)
        normal = top + np.log(np.exp(raw - top[:, None]).sum(axis=1))
        return float((weight * (normal - raw[rows, codes])).sum() / weight.sum())

    # no warmer than e**5 and no colder than e**-5: beyond that all rows are alike, or all certain
    found = minimize_scalar(loss, bounds=(-5.0, 5.0), method="bounded", options={"xatol": 1e-10})
    return math.exp(-float(found.x))


def _checked(kind: str, y: Any, probabilities: Any, weight: Any, n_classes: int) -> tuple[Integers, Floats, Floats]:
    """Codes, probabilities and weights of the rows that have a weight."""
    if kind not in KINDS:
        raise DataError(f"calibrate = '{kind}' is no calibration{nearest(kind, KINDS)}. There are {', '.join(KINDS)}.")
    codes, given = np.asarray(y).astype(np.int64), np.asarray(probabilities, dtype=np.float64)
    if given.ndim == 2 and n_classes == 2 and given.shape[1] == 2:
        given = np.ascontiguousarray(given[:, 1])
    weights = np.ones(len(codes)) if weight is None else np.asarray(weight, dtype=np.float64)
    wanted = (len(codes),) if n_classes == 2 else (len(codes), n_classes)
    if given.shape != wanted or weights.shape != codes.shape:
        raise DataError(
            f"Probabilities of {n_classes} classes and {len(codes)} rows have the shape {wanted}; found {given.shape}, "
            f"and {len(weights)} weights."
        )
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise DataError("Weights should be finite and not negative.")
    used = weights > 0
    codes, given, weights = codes[used], given[used], weights[used]
    is_wrong = ~((given >= 0) & (given <= 1))
    n_wrong = int((is_wrong if given.ndim == 1 else is_wrong.any(axis=1)).sum())
    if n_wrong:
        raise DataError(
            f"The probabilities of {n_wrong} of {len(codes)} rows do not lie between 0 and 1. A decision needs an "
            "estimator with predict_proba."
        )
    if len(codes) and not 0 <= int(codes.min()) <= int(codes.max()) < n_classes:
        raise DataError(f"Class codes lie between {codes.min()} and {codes.max()}; there are {n_classes} classes.")
    return codes, given, weights


def _check_rows(kind: str, codes: Integers, n_classes: int) -> None:
    """Raise for rows that cannot carry a calibration."""
    counts = np.bincount(codes, minlength=n_classes)
    if (counts > 0).sum() < 2:
        occurs = f"only class {int(counts.argmax())} occurs among the {len(codes)} rows" if len(codes) else "no rows"
        raise DataError(
            f"calibrate = '{kind}' has nothing to learn from: {occurs}. Use more rows or a stratified split, or leave "
            "calibrate out."
        )
    # the temperature is one number for all classes, the others are fitted class by class
    held = len(codes) - int(counts.max()) if kind == "temperature" else int(counts.min())
    if held < LEAST[kind]:
        which = "all classes but the largest" if kind == "temperature" else f"class {int(counts.argmin())}"
        others = {"isotonic": "use 'sigmoid' or 'temperature'", "sigmoid": "use 'temperature'"}.get(kind, "")
        remedy = f"Use more rows, {others}, or leave calibrate out." if others else "Use more rows, or leave it out."
        raise DataError(f"calibrate = '{kind}' needs {LEAST[kind]} rows of each class; {which} has {held}. {remedy}")


def _kept(values: Any, weight: Any) -> Any:
    """What belongs to the rows that have a weight."""
    if values is None or weight is None:
        return values
    return np.asarray(values)[np.asarray(weight, dtype=np.float64) > 0]
