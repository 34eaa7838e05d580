"""Stochastic gradient descent of linear models side by side over the same rows in the same order, compiled.

What is computed, and in which order, is what scikit-learn documents for its SGD estimators: Bottou's scaled weights and
lazy averages (Stochastic Gradient Descent Tricks, 2012), the cumulative L1 penalty (Tsuruoka, Tsujii and Ananiadou,
2009), passive-aggressive steps (Crammer et al., 2006); so are its roundings, where the matrix is float32. Each model
has a lane of its own (`daskflow.fused.lanes`), so that its weights do not depend, to the last bit, on its
neighbours.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from daskflow.data.kernels import compiled
from daskflow.fused import Loss, Setting, Step
from daskflow.fused.lanes import (
    any_of,
    exponential,
    fill,
    load,
    logarithm_of_one_and,
    multiply_add,
    narrow,
    raised,
    root,
    store,
    times,
    where,
    wide,
)

LARGEST_SLOPE = 1e12

NO_EXPONENTIAL = -746.0
"""Below, exp is 0 in float64."""

FAR = -37.0
"""Below, exp and the logistic function are alike in float64."""


@compiled
def setting(settings: Any, which: int, width: Any) -> Any:
    """Return one setting of all lanes."""
    return load(settings, which * len(width), width)


@compiled
def keep(settings: Any, which: int, lanes: Any, width: Any) -> None:
    """Write one setting of all lanes."""
    store(settings, which * len(width), lanes)


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
def exponential_of(loss: int, p: Any) -> Any:
    """Return what the logistic loss needs an exponential for: exp(p) of predictions below -37, else exp(-p)."""
    if loss != Loss.LOG:
        return p
    z = where(p <= FAR, p, -p)
    # The library takes its time to say that it is 0; models with large steps ask for most rows.
    return where(z < NO_EXPONENTIAL, 0.0, exponential(where(z < NO_EXPONENTIAL, 0.0, z)))


@compiled
def slope(loss: int, threshold: Any, y: Any, p: Any, e: Any) -> Any:
    """Return the derivative of the loss by the prediction; `y` is 0 or 1 for `LOG`, -1 or 1 for the margins."""
    if loss == Loss.LOG:
        return where(p <= FAR, e - y, ((1.0 - y) - y * e) / (e + 1.0))
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
def value(loss: int, threshold: Any, y: Any, p: Any, e: Any) -> Any:
    """Return the loss of the prediction; its arguments are those of `slope`."""
    if loss == Loss.LOG:
        is_high, is_far = p > 0.0, p <= FAR
        softplus = logarithm_of_one_and(where(is_high, e, where(is_far, e, 1.0 / e)))
        return where(is_high, p + softplus, softplus) - y * p
    if loss == Loss.HINGE:
        z = p * y
        return where(z <= threshold, threshold - z, 0.0)
    if loss == Loss.SQUARED_HINGE:
        gap = threshold - p * y
        return where(gap > 0.0, gap * gap, 0.0)
    if loss == Loss.MODIFIED_HUBER:
        z = p * y
        return where(z >= 1.0, 0.0, where(z >= -1.0, (1.0 - z) * (1.0 - z), z * -4.0))
    residual = magnitude(y - p)
    if loss == Loss.SQUARED_ERROR:
        return residual * residual * 0.5
    if loss == Loss.HUBER:
        return where(residual <= threshold, residual * residual * 0.5, threshold * (residual - threshold * 0.5))
    excess = where(residual > threshold, residual - threshold, 0.0)
    return excess if loss == Loss.EPSILON_INSENSITIVE else excess * excess


@compiled
def slope_at(loss: int, threshold: float, y: float, p: float, width: Any) -> Any:
    """Return the derivative of a loss at one prediction."""
    found = np.empty(len(width))
    given = fill(p, width)
    store(found, 0, slope(loss, fill(threshold, width), fill(y, width), given, exponential_of(loss, given)))
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
    w: Any,
    average: Any,
    averages: bool,
    watches: bool,
    x: Any,
    step: Any,
    drift: Any,
    rate: Any,
    following: Any,
    width: Any,
) -> Any:
    """Add a row to the weights, and in another measure to the averages.

    Returns the next row's dots, and, if `watches`, the sums of the weights' squares and sizes.
    """
    total, squares, sizes = fill(0.0, width), fill(0.0, width), fill(0.0, width)
    for j in range(len(x)):
        place = j * len(width)
        value = fill(x[j], width)
        moved = multiply_add(value, step, load(w, place, width))
        store(w, place, moved)
        total = total + times(moved, fill(following[j], width))
        if averages:
            store(average, place, narrow(wide(load(average, place, width)) + drift * wide(value) * rate, w))
        if watches:
            squares, sizes = squares + times(moved, moved), sizes + magnitude(wide(moved))
    return total, squares, sizes


@compiled
def move_and_cut(
    w: Any,
    average: Any,
    cuts: Any,
    averages: bool,
    watches: bool,
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
    """As `move`, and cut each weight towards zero by what is due less what it was cut before; the sums precede that."""
    total, squares, sizes = fill(0.0, width), fill(0.0, width), fill(0.0, width)
    back = 1.0 / scale
    for j in range(len(x)):
        place = j * len(width)
        value = fill(x[j], width)
        if averages:
            store(average, place, narrow(wide(load(average, place, width)) + drift * wide(value) * rate, w))
        moved = multiply_add(value, step, load(w, place, width))
        before = wide(moved)
        if watches:
            squares, sizes = squares + times(moved, moved), sizes + magnitude(before)
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
    return total, squares, sizes


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
    watches: bool,
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
) -> float:
    """Take linear models side by side over the rows once, in one order; return the rows seen then, and 1.

    Scales stay apart from the weights until `settle`: what the settings say of them is for the next call.

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
        Of the models; what changes by the rows is written back.
    loss, step_kind : int
        `Loss` and `Step` of all of them.
    is_regression, averages, cuts_weights, has_optimal, has_inverse : bool
        What at least one of them does.
    watches : bool
        Whether the objective is summed up, for rules of stopping.
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
    scale, drift = setting(settings, Setting.SCALE, width), setting(settings, Setting.DRIFT, width)
    growth, due = setting(settings, Setting.GROWTH, width), setting(settings, Setting.DUE, width)
    squared_norm, l1_norm = setting(settings, Setting.SQUARED_NORM, width), setting(settings, Setting.L1_NORM, width)
    drift_before, rate, objective = drift, drift, fill(0.0, width)
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
        e = exponential_of(loss, p)
        if watches:
            objective = objective + value(loss, threshold, y, p, e)
        if step_kind == Step.SCHEDULE:
            if watches:
                norm = narrow(root(squared_norm), w)
                size = shrunk * 0.5 * times(norm, norm) + cut_share * wide(narrow(l1_norm, w))
                objective = objective + alpha * size
            update = -(eta * limited(slope(loss, threshold, y, p, e), -LARGEST_SLOPE, LARGEST_SLOPE)) * share
        else:
            length = squared(x)
            if step_kind == Step.PA1 and length == 0.0:
                dots = first_dots(w, following, width)
                continue
            update = passive_aggressive(step_kind, loss, threshold, eta0, y, p, length) * share
        kept = 1.0 - shrunk * eta * alpha
        shrink = narrow(where(kept > 0.0, kept, 0.0), w)
        scale = scale * wide(shrink)
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
            dots, squares, sizes = move_and_cut(
                w, average, cuts, averages, watches, x, step, drift_before, rate, following, due, scale, divides, width
            )
        else:
            dots, squares, sizes = move(w, average, averages, watches, x, step, drift_before, rate, following, width)
        if watches:
            rounded_scale, stands = narrow(scale, w), update == 0.0
            squared_norm = where(
                stands, squared_norm * times(shrink, shrink), squares * times(rounded_scale, rounded_scale)
            )
            l1_norm = where(stands, l1_norm * wide(shrink), sizes * wide(rounded_scale))
        t += 1.0
    keep(settings, Setting.INTERCEPT, intercept, width)
    keep(settings, Setting.AVERAGE_INTERCEPT, average_intercept, width)
    keep(settings, Setting.SCALE, scale, width)
    keep(settings, Setting.DRIFT, drift, width)
    keep(settings, Setting.GROWTH, growth, width)
    keep(settings, Setting.DUE, due, width)
    keep(settings, Setting.SQUARED_NORM, squared_norm, width)
    keep(settings, Setting.L1_NORM, l1_norm, width)
    keep(settings, Setting.OBJECTIVE, objective, width)
    return t


@compiled
def settle(settings: Any, w: Any, average: Any, averages: bool, width: Any) -> None:
    """Multiply the scales into the weights and averages, once training has ended."""
    scale, drift = setting(settings, Setting.SCALE, width), setting(settings, Setting.DRIFT, width)
    growth = setting(settings, Setting.GROWTH, width)
    rescale(w, average, averages, scale, drift, growth, scale == scale, width)


@compiled
def shuffle(order: Any, seed: Any) -> None:
    """Shuffle rows in place from a seed, by Fisher and Yates's method and Marsaglia's generator (xorshift, 2003)."""
    state = np.uint32(seed if seed else 1)
    for place in range(len(order) - 1):
        state = np.uint32(state ^ np.uint32(state << np.uint32(13)))
        state = np.uint32(state ^ np.uint32(state >> np.uint32(17)))
        state = np.uint32(state ^ np.uint32(state << np.uint32(5)))
        other = place + np.int64(state & np.uint32(0x7FFFFFFF)) % (len(order) - place)
        order[place], order[other] = order[other], order[place]


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
