"""Stochastic gradient descent of linear models side by side over the same rows in the same order, compiled.

What is computed, and in which order, is what scikit-learn documents for its SGD estimators: Bottou's scaled weights and
lazy averages (Stochastic Gradient Descent Tricks, 2012), the cumulative L1 penalty (Tsuruoka, Tsujii and Ananiadou,
2009), passive-aggressive steps (Crammer et al., 2006); so are its roundings, where the matrix is float32. Each model
has a lane of its own (`daskflow.models.fused.lanes`), so that its weights do not depend, to the last bit, on its
neighbours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from daskflow.data.kernels import compiled
from daskflow.models.fused import Loss, Setting, Step
from daskflow.models.fused.lanes import (
    any_of,
    exponential,
    fill,
    load,
    multiply_add,
    narrow,
    raised,
    store,
    times,
    where,
    wide,
)

LARGEST_SLOPE = 1e12

NO_EXPONENTIAL = -746.0
"""Below, exp is 0 in float64."""


@compiled
def setting(settings: Any, which: int, width: Any) -> Any:
    """Return one setting of all lanes."""
    return load(settings, which * len(width), width)


@compiled
def magnitude(value: Any) -> Any:
    """Return absolute values."""
    return where(value < 0.0, -value, value)


@compiled
def limited(value: Any, low: Any, high: Any) -> Any:
    """Return values not below `low` and not above `high`."""
    value = where(value < low, low, value)
    return where(value > high, high, value)


@compiled
def slope(loss: int, threshold: Any, y: Any, p: Any) -> Any:
    """Return the derivative of the loss by the prediction; `y` is 0 or 1 for `LOG`, -1 or 1 for the margins."""
    if loss == Loss.LOG:
        is_far = p <= -37.0
        z = where(is_far, p, -p)
        # The library takes its time to say that it is 0; models with large steps ask for most rows.
        e = where(z < NO_EXPONENTIAL, 0.0, exponential(where(z < NO_EXPONENTIAL, 0.0, z)))
        return where(is_far, e - y, ((1.0 - y) - y * e) / (e + 1.0))
    if loss == Loss.HINGE:
        return where(p * y <= threshold, -y, 0.0)
    if loss == Loss.SQUARED_HINGE:
        gap = threshold - p * y
        return where(gap > 0.0, y * gap * -2.0, 0.0)
    if loss == Loss.MODIFIED_HUBER:
        z = p * y
        return where(z >= 1.0, 0.0, where(z >= -1.0, (1.0 - z) * -y * 2.0, y * -4.0))
    residual = p - y
    if loss == Loss.SQUARED_ERROR:
        return residual
    if loss == Loss.HUBER:
        return limited(residual, -threshold, threshold)
    if loss == Loss.EPSILON_INSENSITIVE:
        return where(residual < -threshold, -1.0, where(residual > threshold, 1.0, 0.0))
    excess = where(residual < 0.0, residual + threshold, residual - threshold)
    return where(magnitude(residual) > threshold, excess * 2.0, 0.0)


@compiled
def slope_at(loss: int, threshold: float, y: float, p: float, width: Any) -> Any:
    """Return the derivative of a loss at one prediction."""
    found = np.empty(len(width))
    store(found, 0, slope(loss, fill(threshold, width), fill(y, width), fill(p, width)))
    return found[0]


@compiled
def passive_aggressive(step: int, loss: int, threshold: Any, eta0: Any, y: Any, p: Any, squared_norm: float) -> Any:
    """Return the signed step of a passive-aggressive update."""
    if loss == Loss.HINGE:
        miss, sign = threshold - p * y, y
    else:
        miss, sign = magnitude(y - p) - threshold, where(y - p < 0.0, -1.0, 1.0)
    miss = where(miss > 0.0, miss, 0.0)
    if step == Step.PA1:
        size = miss / squared_norm
        return where(size < eta0, size, eta0) * sign
    return miss / (squared_norm + 0.5 / eta0) * sign


@compiled
def rescale(w: Any, average: Any, averages: bool, scale: Any, drift: Any, growth: Any, chosen: Any, width: Any) -> None:
    """Write the scales of chosen lanes into their weights and averages; the caller resets the scales."""
    factor, shift = wide(narrow(scale, w)), wide(narrow(drift, w))
    shrink = wide(narrow(1.0 / growth, w))
    for place in range(0, len(w), len(width)):
        value = wide(load(w, place, width))
        if averages:
            kept = wide(load(average, place, width))
            total = wide(narrow(kept + shift * value, w))
            store(average, place, narrow(where(chosen, total * shrink, kept), w))
        store(w, place, narrow(where(chosen, value * factor, value), w))


@compiled
def squared(x: Any) -> Any:
    """Return the squared norm of a row, summed in float64."""
    total = 0.0
    for value in x:
        total += np.float64(value) * np.float64(value)
    return total


@compiled
def first_dots(w: Any, x: Any, width: Any) -> Any:
    """Return the products of the weights and a row, summed in float64."""
    total = fill(0.0, width)
    for j in range(len(x)):
        total = total + times(load(w, j * len(width), width), fill(x[j], width))
    return total


@compiled
def move(
    w: Any, average: Any, averages: bool, x: Any, step: Any, drift: Any, rate: Any, following: Any, width: Any
) -> Any:
    """Add a row to the weights, and in another measure to the averages; return the next row's dots."""
    total = fill(0.0, width)
    for j in range(len(x)):
        place = j * len(width)
        value = fill(x[j], width)
        moved = multiply_add(value, step, load(w, place, width))
        store(w, place, moved)
        total = total + times(moved, fill(following[j], width))
        if averages:
            store(average, place, narrow(wide(load(average, place, width)) + drift * wide(value) * rate, w))
    return total


@compiled
def move_and_cut(
    w: Any,
    average: Any,
    cuts: Any,
    averages: bool,
    x: Any,
    step: Any,
    drift: Any,
    rate: Any,
    following: Any,
    due: Any,
    scale: Any,
    divides: bool,
    width: Any,
) -> Any:
    """As `move`, and cut each weight towards zero by what is due less what it was cut before."""
    total = fill(0.0, width)
    back = 1.0 / scale
    for j in range(len(x)):
        place = j * len(width)
        value = fill(x[j], width)
        if averages:
            store(average, place, narrow(wide(load(average, place, width)) + drift * wide(value) * rate, w))
        before = wide(multiply_add(value, step, load(w, place, width)))
        had = wide(load(cuts, place, width))
        is_positive = before > 0.0
        amount = where(is_positive, due + had, due - had)
        amount = amount / scale if divides else amount * back
        above, below = before - amount, before + amount
        above = where(above > 0.0, above, 0.0)
        below = where(below < 0.0, below, 0.0)
        cut = narrow(where(is_positive, above, where(before < 0.0, below, before)), w)
        store(w, place, cut)
        store(cuts, place, narrow(had + scale * (wide(cut) - before), w))
        total = total + times(cut, fill(following[j], width))
    return total


@compiled
def train(
    X: Any,
    order: Any,
    target: Any,
    weight: Any,
    settings: Any,
    loss: int,
    step_kind: int,
    is_regression: bool,
    averages: bool,
    cuts_weights: bool,
    divides: bool,
    has_optimal: bool,
    has_inverse: bool,
    has_common_power: bool,
    common_power: float,
    low_label: float,
    smallest_scale: float,
    t: float,
    w: Any,
    average: Any,
    cuts: Any,
    width: Any,
) -> None:
    """Take linear models side by side over the rows once, in one order.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n_rows, n_features)
        Rows.
    order : ndarray of int64
        Which row comes when.
    target : ndarray of float64, shape (n_rows,)
        Class codes, or numbers.
    weight : ndarray of the dtype of X, shape (n_rows,)
        Of rows.
    settings : ndarray of float64, flat, one for each lane and `Setting`
        Of the models; the intercepts are written back.
    loss, step_kind : int
        `Loss` and `Step` of all of them.
    is_regression, averages, cuts_weights, has_optimal, has_inverse : bool
        What at least one of them does.
    divides : bool
        Whether L1 divides by the scales, instead of multiplying by their inverse.
    has_common_power, common_power : bool, float
        Whether all raise the number of rows to one power, and which.
    low_label : float
        What the loss takes the other classes for: 0 or -1.
    smallest_scale : float
        Below which a scale is multiplied into the weights.
    t : float
        Rows they have seen, and 1.
    w, average, cuts : ndarray of the dtype of X, flat, one for each lane and feature
        Weights, their averages, and what the L1 penalty took from them so far; changed in place.
    width : tuple
        As long as there are lanes.
    """
    alpha, shrunk = setting(settings, Setting.ALPHA, width), setting(settings, Setting.SHRUNK, width)
    cut_share, eta0 = setting(settings, Setting.CUT, width), setting(settings, Setting.ETA0, width)
    is_optimal = setting(settings, Setting.IS_OPTIMAL, width) > 0.0
    optimal_start = setting(settings, Setting.OPTIMAL_START, width)
    is_inverse = setting(settings, Setting.IS_INVERSE, width) > 0.0
    power, threshold = setting(settings, Setting.POWER, width), setting(settings, Setting.THRESHOLD, width)
    average_from = setting(settings, Setting.AVERAGE_FROM, width)
    label = setting(settings, Setting.CLASS, width)
    positive, negative = setting(settings, Setting.POSITIVE, width), setting(settings, Setting.NEGATIVE, width)
    has_intercept = setting(settings, Setting.HAS_INTERCEPT, width)
    intercept = setting(settings, Setting.INTERCEPT, width)
    average_intercept = setting(settings, Setting.AVERAGE_INTERCEPT, width)
    scale, drift, growth, due = fill(1.0, width), fill(0.0, width), fill(1.0, width), fill(0.0, width)
    drift_before, rate = drift, drift
    last = len(order) - 1
    dots = first_dots(w, X[order[0]], width)
    for i in range(len(order)):
        row = order[i]
        x, following = X[row], X[order[min(i + 1, last)]]
        p = wide(narrow(dots * scale, w)) + intercept
        y = fill(target[row], width)
        share = positive
        if not is_regression:
            is_positive = label == y
            y = where(is_positive, 1.0, low_label)
            share = where(is_positive, positive, negative)
        share = times(narrow(share, w), fill(weight[row], width))
        eta = eta0
        if has_optimal:
            eta = where(is_optimal, 1.0 / (alpha * (optimal_start + t - 1.0)), eta)
        if has_inverse:
            divisor = fill(math.pow(t, common_power), width) if has_common_power else raised(fill(t, width), power)
            eta = where(is_inverse, eta0 / divisor, eta)
        if step_kind == Step.SCHEDULE:
            update = -(eta * limited(slope(loss, threshold, y, p), -LARGEST_SLOPE, LARGEST_SLOPE)) * share
        else:
            squared_norm = squared(x)
            if step_kind == Step.PA1 and squared_norm == 0.0:
                dots = first_dots(w, following, width)
                continue
            update = passive_aggressive(step_kind, loss, threshold, eta0, y, p, squared_norm) * share
        kept = 1.0 - shrunk * eta * alpha
        scale = scale * wide(narrow(where(kept > 0.0, kept, 0.0), w))
        is_small = scale < smallest_scale
        if any_of(is_small):
            rescale(w, average, averages, scale, drift, growth, is_small, width)
            scale, drift = where(is_small, 1.0, scale), where(is_small, 0.0, drift)
            growth = where(is_small, 1.0, growth)
        amount = wide(narrow(update, w))
        step = narrow(amount / wide(narrow(scale, w)), w)
        intercept = intercept + update * has_intercept
        if averages:
            seen = t - average_from + 1.0
            is_on = (average_from > 0.0) & (average_from <= t)
            drift_before, rate = drift, where(is_on, -amount / scale, 0.0)
            rounded = wide(narrow(seen, w))
            mu = 1.0 / rounded
            growth = where(is_on & (rounded > 1.0), growth / (1.0 - mu), growth)
            drift = where(is_on, drift + mu * growth * scale, drift)
            average_intercept = where(
                is_on, average_intercept + (intercept - average_intercept) / seen, average_intercept
            )
        if cuts_weights:
            due = due + cut_share * eta * alpha
            dots = move_and_cut(
                w, average, cuts, averages, x, step, drift_before, rate, following, due, scale, divides, width
            )
        else:
            dots = move(w, average, averages, x, step, drift_before, rate, following, width)
        t += 1.0
    rescale(w, average, averages, scale, drift, growth, scale == scale, width)
    store(settings, Setting.INTERCEPT * len(width), intercept)
    store(settings, Setting.AVERAGE_INTERCEPT * len(width), average_intercept)


@compiled
def decide(X: Any, w: Any, intercepts: Any, decisions: Any, width: Any) -> None:
    """Write the decision values of models side by side: intercepts and products, summed in float64.

    Parameters
    ----------
    X : ndarray of float32 or float64, shape (n_rows, n_features)
        Rows.
    w : ndarray of float64, flat, one for each lane and feature
        Weights.
    intercepts : ndarray of float64, shape (n_lanes,)
        Of the models.
    decisions : ndarray of float64, shape (n_models, n_rows)
        Written; at most as many models as lanes.
    width : tuple
        As long as there are lanes.
    """
    found = np.empty(len(width))
    intercept = load(intercepts, 0, width)
    for row in range(len(X)):
        x = X[row]
        total = fill(0.0, width)
        for j in range(len(x)):
            total = total + load(w, j * len(width), width) * np.float64(x[j])
        store(found, 0, total + intercept)
        for place in range(len(decisions)):
            decisions[place, row] = found[place]
