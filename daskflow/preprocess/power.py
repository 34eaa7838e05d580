"""Numbers made more like a normal distribution by the power of greatest likelihood."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from scipy.optimize import brentq

from daskflow.core.errors import DataError
from daskflow.data.arrays import Numbers
from daskflow.data.distribution import Counts
from daskflow.data.schema import Column, ColumnKind
from daskflow.preprocess import Step
from daskflow.preprocess.changes import changed, distribution_of, too_large
from daskflow.preprocess.steps import Fitted, Flow, Form, State

Method = Literal["yeo-johnson", "box-cox"]

LARGEST_EXPONENT = (math.log(sys.float_info.max) + math.log(sys.float_info.epsilon)) / 2
"""Powers stay below exp(337), so that float64 holds their squares; as scipy's."""

FAR = 20.0
"""This is so also for values twenty times the largest of training; as scipy's."""

LOST_EXPONENT = 23.0
"""The least number keeps exp(-23) beside the constant it is subtracted from: six of float64's sixteen digits."""

SERIES_BELOW = 0.02


def grown(exponent: float, logs: Numbers) -> Numbers:
    """Return (exp(exponent * logs) - 1) / exponent, which is `logs` where the exponent is 0.

    Examples
    --------
    >>> grown(2.0, np.log([3.0])).round(12).tolist()
    [4.0]
    """
    if abs(exponent) < 1e-300:
        return logs
    with np.errstate(over="ignore"):  # later values may be anything; float32 refuses what is infinite
        return np.asarray(np.expm1(exponent * logs) / exponent)


def slope(exponent: float, logs: Numbers) -> Numbers:
    """Return the derivative of `grown` by its exponent."""
    t = exponent * logs
    series = 1 / 2 + t * (1 / 3 + t * (1 / 8 + t * (1 / 30 + t * (1 / 144 + t * (1 / 840 + t / 5760)))))
    small = np.abs(t) < SERIES_BELOW
    rest = np.where(small, 1.0, t)
    return logs * logs * np.where(small, series, (rest * np.exp(rest) - np.expm1(rest)) / (rest * rest))


def yeo_johnson(exponent: float, numbers: Numbers) -> Numbers:
    """Return Yeo and Johnson's transformation of numbers, shape (n,)."""
    logs = np.log1p(np.abs(numbers))
    return np.where(numbers >= 0, grown(exponent, logs), -grown(2 - exponent, logs))


def box_cox(exponent: float, numbers: Numbers) -> Numbers:
    """Return Box and Cox's transformation of positive numbers, shape (n,)."""
    return grown(exponent, np.log(numbers))


def best_exponent(method: Method, points: Numbers, counts: Counts) -> float:
    """Return the exponent under which the transformed numbers are most likely normal.

    The likelihood's derivative is brought to zero (Brent), within exponents that keep float64's digits; scikit-learn
    searches the likelihood itself, to about 1e-7.

    Parameters
    ----------
    method : str
        ``yeo-johnson`` or ``box-cox``.
    points : ndarray of float64, shape (n,)
        At least two different numbers, increasing; positive for ``box-cox``.
    counts : ndarray of int64, shape (n,)
        How often each occurs.

    Returns
    -------
    float
        nan when no exponent keeps the squares of both negative and other numbers in float64.
    """
    weight = counts / counts.sum()
    if method == "box-cox":
        logs = np.log(points)
        return _most_likely(logs, weight, float(np.abs(logs).max()) + math.log(FAR))
    logs = np.copysign(np.log1p(np.abs(points)), points)
    far = float(np.logaddexp(0, math.log(FAR) + np.log(np.abs(points).max())))
    if points[0] >= 0:
        return _most_likely(logs, weight, far)
    if points[-1] < 0:
        return 2 - _most_likely(-logs, weight, far)
    return _most_likely_of_signed(logs, weight, far)


def _most_likely(logs: Numbers, weight: Numbers, far: float) -> float:
    """The exponent for numbers of these logarithms, shape (n,), weights that add up to 1, and a far logarithm."""
    jacobian = float((logs * weight).sum())

    def rise(exponent: float) -> float:
        """The derivative of the mean log-likelihood."""
        t = exponent * logs
        if t.max() > -1:
            return jacobian - _regression(grown(exponent, logs), slope(exponent, logs), weight)
        # all powers are small: without the constant that they are added to, no digit is lost
        powers = np.exp(t - t.max())
        return jacobian - _regression(powers, powers * (t - 1) / exponent, weight)

    return _zero_of_falling(rise, *_limits(logs, far))


def _most_likely_of_signed(signed: Numbers, weight: Numbers, far: float) -> float:
    """The same for negative and other numbers: these have the exponent, those 2 less it."""
    logs, positive = np.abs(signed), signed >= 0
    jacobian = float((signed * weight).sum())

    def rise(exponent: float) -> float:
        """The derivative of the mean log-likelihood."""
        values = np.where(positive, grown(exponent, logs), -grown(2 - exponent, logs))
        slopes = np.where(positive, slope(exponent, logs), slope(2 - exponent, logs))
        return jacobian - _regression(values, slopes, weight)

    low, high = _limits(logs, far)
    return _zero_of_falling(rise, max(low, 2 - high), min(high, 2 - low))


def _regression(values: Numbers, slopes: Numbers, weight: Numbers) -> float:
    """How much slopes change with values: their covariance over the values' variance."""
    # no dot products: a BLAS library adds in an order that depends on its threads
    size = np.abs(values).max()
    apart = values / size - (values / size * weight).sum()
    weighted = apart * weight
    return float((weighted * (slopes / size)).sum()) / float((weighted * apart).sum())


def _limits(logs: Numbers, far: float) -> tuple[float, float]:
    """Exponents of logarithms that neither overflow nor lose the digits of all numbers."""
    largest = LARGEST_EXPONENT / far
    low, high = -largest, largest
    least, most = float(logs.min()), float(logs.max())
    if least > 0:
        low = max(low, -LOST_EXPONENT / least)
    if most < 0:
        high = min(high, LOST_EXPONENT / -most)
    return low, high


def _zero_of_falling(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function is zero; the nearer end where it is not; nan where there is no room."""
    if low > high:
        return math.nan
    if function(low) <= 0:
        return low
    if function(high) >= 0:
        return high
    return float(brentq(function, low, high, xtol=1e-12))


@dataclass(frozen=True, slots=True)
class Powered(Fitted):
    """Numbers transformed by a power, less `centre`, divided by `scale`.

    Attributes
    ----------
    name : str
        The column, for messages.
    method : str
        ``yeo-johnson`` or ``box-cox``.
    exponent : float
        The papers' lambda.
    centre, scale : float
        Mean and standard deviation of the transformed numbers of training; 0 and 1 when they are left as they are.
    """

    kind: ClassVar[str] = "power"

    name: str
    method: Method
    exponent: float
    centre: float = 0.0
    scale: float = 1.0

    def apply(self, flow: Flow) -> Flow:
        """Transform; missing stays missing."""
        numbers = flow.numbers()
        if self.method == "box-cox":
            bad = int((numbers <= 0).sum())
            if bad:
                raise DataError(
                    f"Column '{self.name}' has {bad:,} values down to {np.nanmin(numbers):g}; box-cox takes positive "
                    f"numbers only. Fit with method = 'yeo-johnson', or clip before."
                )
        return replace(flow, values=(self.transform(numbers) - self.centre) / self.scale)

    def transform(self, numbers: Numbers) -> Numbers:
        """Return the powers of numbers, shape (n,)."""
        return (box_cox if self.method == "box-cox" else yeo_johnson)(self.exponent, numbers)


class Power(Step):
    """Make numbers more like a normal distribution by a power, as scikit-learn's PowerTransformer.

    The exponent is that of greatest likelihood for the whole distribution: of the column's own numbers up to 65,536
    distinct ones, else of numbers that are each within 2**-13 of them (tables above a million rows: 4,096 and 2**-10).
    With the same numbers it is scikit-learn's to 1e-6 of its size, or of 1. It is kept from where float64 would
    overflow or lose more than ten of its sixteen digits. Missing values stay missing.

    Attributes
    ----------
    method : str
        ``yeo-johnson`` (default): for any numbers (Yeo and Johnson, 2000). ``box-cox``: for positive ones (Box and Cox,
        1964).
    standardize : bool
        Bring the result to mean 0 and variance 1; default True.
    """

    kind: Literal["power"] = "power"
    method: Method = "yeo-johnson"
    standardize: bool = True

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES})
    fitted: ClassVar[type[Fitted]] = Powered

    def gives(self, form: Form) -> Form:
        """Transformed numbers."""
        return Form.MEASURES

    def check(self, column: Column, form: Form) -> str | None:
        """Refuse ``box-cox`` for booleans."""
        if self.method == "box-cox" and column.kind is ColumnKind.BOOLEAN and form is Form.NUMBERS:
            return (
                "booleans are 0 and 1, and box-cox takes positive numbers only; take 'yeo-johnson', or give booleans "
                "steps of their own with boolean = ['impute']"
            )
        return None

    def statistics(self, column: Column) -> frozenset[str]:
        """Quantiles."""
        return frozenset({"quantiles"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Find the exponent, and the moments of what it makes of the numbers."""
        before, name = state.statistics, state.column.name
        found = distribution_of(state, self.kind)
        if self.method == "box-cox" and before.min <= 0:
            raise DataError(
                f"Column '{name}' has values down to {before.min:g}; box-cox takes positive numbers only. Take "
                f"method = 'yeo-johnson', or clip before with {{ kind = 'clip', lower = ... }}."
            )
        points = np.clip(found.points, before.min, before.max)
        is_constant = points[0] == points[-1]
        exponent = 1.0 if is_constant else best_exponent(self.method, points, found.counts)
        if math.isnan(exponent):
            raise too_large(state)
        fitted = Powered(name, self.method, exponent)
        after = changed(before, fitted.transform)
        if self.standardize:
            centre = after.mean
            scale = math.sqrt(after.variance) or 1.0
            if not math.isfinite(centre) or not math.isfinite(scale):
                raise too_large(state)
            fitted = replace(fitted, centre=centre, scale=scale)
            after = after.moved(centre, scale)
        return fitted, replace(state, form=Form.MEASURES, statistics=after)
