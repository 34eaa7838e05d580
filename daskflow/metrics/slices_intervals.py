"""Values of groups of rows and of their differences, with intervals, from sums by bucket."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import betainc, stdtrit

from daskflow.core.protocols import Score
from daskflow.metrics.slices_terms import MeanTerms, Terms

Floats = NDArray[np.float64]

LEVEL = 0.95

LEAST_HELD = 1.5
"""Of fewer rows of equal weight no error is known."""


@dataclass(frozen=True, slots=True)
class Moved:
    """A value, and by how much each bucket moves it.

    Attributes
    ----------
    value : float
        Of all buckets together; for means of a loss the mean itself.
    influence : ndarray of shape (n_buckets,)
        Sums to 0.
    held : float
        As many buckets of equal weight would be as sure: fewer than there are where rows are few or weights uneven.
    """

    value: float
    influence: Floats
    held: float

    @property
    def variance(self) -> float:
        """Of the value over tables drawn like this one."""
        if self.held < LEAST_HELD:
            return math.nan
        return float((self.influence**2).sum()) * self.held / (self.held - 1)

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the variance."""
        return self.held - 1


def held_of(weight: Floats) -> Floats:
    """Return how many buckets of equal weight would be as sure, from weights of shape (n_buckets, ...); Kish (1965).

    Examples
    --------
    >>> held_of(np.array([2.0, 2.0, 0.0])), held_of(np.array([3.0, 1.0, 0.0]))
    (np.float64(2.0), np.float64(1.6))
    """
    squares = (weight**2).sum(axis=0)
    return np.asarray(np.divide(weight.sum(axis=0) ** 2, squares, out=np.zeros_like(squares), where=squares > 0))[()]


def moved(terms: Terms, sums: Floats) -> Moved | None:
    """Return a value with its influences from sums of shape (n_buckets, n_sums); None where it is not defined."""
    total = sums.sum(axis=0)
    value = terms.value(total)
    if not math.isfinite(value):
        return None
    if isinstance(terms, MeanTerms):
        value = float(total[0] / total[1])
    gradient = terms.gradient(total)
    if not np.isfinite(gradient).all():
        return None
    return Moved(
        value, sums @ gradient, float(held_of(sums[:, 1] if isinstance(terms, MeanTerms) else sums.sum(axis=1)))
    )


def score(terms: Terms, sums: Floats, rows: int) -> Score:
    """Return a group's value with its 95 % interval; nan where they are not defined.

    Shares: Wilson's (1927) interval, with as many rows as give the variance found. Where no bucket moves the value
    (every row right, say) as many rows as the smallest class has. Means of a loss: Student's t, corrected for their
    skewness by the transformation of Hall, "On the removal of skewness by transformation" (1992), which moves the
    interval towards the long tail.
    """
    found = moved(terms, sums)
    if found is None:
        return Score(terms.value(sums.sum(axis=0)) if rows else math.nan)
    if math.isnan(found.variance):
        return Score(terms.value(sums.sum(axis=0)))
    quantile = quantile_of(LEVEL, found.freedom)
    if terms.is_share and 0.0 <= found.value <= 1.0:
        low, high = _wilson(found, quantile, _least(terms, sums.sum(axis=0), rows))
        return Score(found.value, low, high)
    low, high = _hall(found, quantile)
    if not isinstance(terms, MeanTerms):
        return Score(found.value, low, high)
    if not (sums[:, 0] < 0).any():
        low = max(low, 0.0)
    ends = terms.of_mean(low), terms.of_mean(high)
    return Score(terms.of_mean(found.value), min(ends), max(ends))


def _wilson(found: Moved, quantile: float, least: float) -> tuple[float, float]:
    """Wilson's interval of a share."""
    share = found.value
    spread = share * (1.0 - share)
    rows = spread / found.variance if found.variance > 1e-300 and spread > 0 else least
    rows = min(max(rows, 1.0), 1e15)
    square = quantile**2 / rows
    middle = (share + square / 2) / (1 + square)
    half = quantile / (1 + square) * math.sqrt(spread / rows + square / 4 / rows)
    return max(0.0, min(middle - half, found.value)), min(1.0, max(middle + half, found.value))


def _least(terms: Terms, total: Floats, rows: int) -> float:
    """The smallest number of rows that a share without error can rest on: of a class that occurs."""
    if isinstance(terms, MeanTerms) or total.sum() <= 0:
        return float(rows)
    if terms.n_sums % 2 == 0 and not hasattr(terms, "n_classes"):
        by_class = total.reshape(-1, 2).sum(axis=0)
    else:
        by_class = total.reshape(round(math.sqrt(len(total))), -1).sum(axis=1)
    return float(by_class[by_class > 0].min() / total.sum() * rows)


def _hall(found: Moved, quantile: float) -> tuple[float, float]:
    """Interval of a mean whose rows are skew."""
    error, skewness = math.sqrt(found.variance), skewness_of(found.influence)

    def back(x: float) -> float:
        if abs(skewness) < 1e-6:
            return x
        inner = 1.0 + skewness * (x - skewness / 6)
        return 3.0 / skewness * (math.copysign(abs(inner) ** (1 / 3), inner) - 1.0)

    return found.value - error * back(quantile), found.value - error * back(-quantile)


def quantile_of(level: float, freedom: float) -> float:
    """Return how many standard errors hold so much of Student's t on both sides.

    Examples
    --------
    >>> round(quantile_of(0.95, 63), 3)
    1.998
    """
    return float(stdtrit(freedom, 0.5 + level / 2))


def log_p_of(t: Floats, freedom: Floats) -> Floats:
    """Return the logarithm of Student's two-sided p; scipy.stats, which has it too, takes long to import.

    Examples
    --------
    >>> log_p_of(np.array([0.0, 2.0]), np.array([63.0, 63.0])).round(3) + 0.0
    array([ 0.   , -2.999])
    """
    return np.asarray(np.log(betainc(freedom / 2, 0.5, freedom / (freedom + t**2))))


def skewness_of(influence: Floats) -> float:
    """Third cumulant of a sum over the 3/2 power of its second."""
    square = float((influence**2).sum())
    return float((influence**3).sum()) / square**1.5 if square > 0 else 0.0
