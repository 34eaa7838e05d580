"""Regressions with normal priors, of logarithms of seconds some of which are only known to be above a bound."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr, ndtr, ndtri

Floats = NDArray[np.float64]

SPREAD, SPREAD_WEIGHT = 0.5, 3.0
"""Spread of what is left over before anything is known, and how many rows that is worth."""

TURNS = 5
"""Turns of the EM algorithm."""

ALIKE = 0.9
"""Share of its variance that rows of a group have in common before anything is known."""


@dataclass(frozen=True)
class Columns:
    """What is regressed on: rows that are known, rows that are asked for, and each column's prior.

    Attributes
    ----------
    rows, wanted : ndarray of shape (n_rows or n_wanted, n_columns)
        Their columns.
    expected, spread : ndarray of shape (n_columns,)
        Mean and standard deviation of the slopes before anything is known.
    """

    rows: Floats
    wanted: Floats
    expected: Floats
    spread: Floats

    def beside(self, other: Columns) -> Columns:
        """Return these columns with others behind them."""
        return Columns(
            np.hstack([self.rows, other.rows]),
            np.hstack([self.wanted, other.wanted]),
            np.append(self.expected, other.expected),
            np.append(self.spread, other.spread),
        )


@dataclass(frozen=True)
class Regression:
    """Slopes and what is left over; the first column stands for the mean.

    Attributes
    ----------
    columns : Columns
        What was regressed on.
    slopes, covariance : ndarray
        Of the slopes, after the rows.
    residuals : ndarray of shape (n_rows,)
        What is left over, widened by what the fit took out of it.
    variance, within, freedom : float
        Of what is left over, the part of it that rows of one group do not share, and how many groups it rests on.
    error : float
        Mean squared error on groups left out one by one, about.
    evidence : float
        Logarithm of how likely the rows are under the prior, up to what is the same for all columns.
    """

    columns: Columns
    slopes: Floats
    covariance: Floats
    residuals: Floats
    variance: float
    within: float
    freedom: float
    error: float
    evidence: float

    def draw(self, scale: Floats, rng: np.random.Generator) -> Floats:
        """Return possible means of the wanted rows, shape (n_replicates, n_wanted).

        Parameters
        ----------
        scale : ndarray of shape (n_replicates,)
            How much wider than `covariance` the slopes are taken to spread.
        rng : numpy Generator
            Draws.
        """
        n_columns = len(self.slopes)
        away = rng.multivariate_normal(np.zeros(n_columns), self.covariance, len(scale), method="cholesky")
        found: Floats = (self.slopes + away * scale[:, None]) @ self.columns.wanted.T
        return found

    def known(self, groups: NDArray[np.int64]) -> Floats:
        """Return what each group has for itself, shape (n_groups,); drawn towards 0 where it has few rows."""
        sizes = np.bincount(groups)
        between = self.variance - self.within
        found: Floats = np.bincount(groups, self.residuals) * between / (sizes * between + self.within)
        return found

    def mean(self, rows: Floats) -> Floats:
        """Return the means of rows, shape (n_rows,)."""
        found: Floats = rows @ self.slopes
        return found


def fitted(columns: Columns, values: Floats, groups: NDArray[np.int64], *, unsure: float = 0.0) -> Regression:
    """Fit by the slopes' priors; rows of one group are alike in what is left over.

    Parameters
    ----------
    columns : Columns
        Their first column is 1 in every row.
    values : ndarray of shape (n_rows,)
        What is foretold.
    groups : ndarray of shape (n_rows,)
        Numbers from 0 on, such as the row's candidate.
    unsure : float
        Sum of the variances of values that are expected ones.

    References
    ----------
    The weighing by groups is that of a model with random intercepts; see P. Diggle et al., "Analysis of Longitudinal
    Data", 2002, chapter 4.
    """
    sizes = np.bincount(groups)
    prior = np.diag(columns.spread**-2.0)
    between, within = SPREAD**2 * ALIKE, SPREAD**2 * (1 - ALIKE)
    for _ in range(4):
        kept = 1 - np.sqrt(within / (within + sizes * between))
        rows = columns.rows - (kept / sizes)[groups, None] * _sums(columns.rows, groups, len(sizes))[groups]
        left = values - (kept / sizes)[groups] * np.bincount(groups, values)[groups] - rows @ columns.expected
        inverse = np.linalg.inv(rows.T @ rows / within + prior)
        covariance = (inverse + inverse.T) / 2
        shift = covariance @ rows.T @ left / within
        leverage = np.einsum("ij,jk,ik->i", rows, covariance, rows) / within
        taken = float(leverage.sum())
        residuals = values - columns.rows @ (columns.expected + shift)
        white = left - rows @ shift
        last = within
        between, within = _variances(residuals, groups, sizes, taken, unsure)
    scaled = rows * columns.spread
    inner = np.eye(scaled.shape[1]) + scaled.T @ scaled / last
    explained = float(left @ rows @ covariance @ rows.T @ left) / last**2
    return Regression(
        columns=columns,
        slopes=columns.expected + shift,
        covariance=covariance,
        residuals=residuals / np.sqrt(np.maximum(1 - leverage, 0.25)),
        variance=between + within,
        within=within,
        freedom=max(1.0, SPREAD_WEIGHT + len(sizes) - min(taken, len(sizes) - 1.0)),
        error=float(np.mean((white / np.maximum(1 - leverage, 0.1)) ** 2)),
        evidence=0.5 * (explained - float(left @ left) / last - float(np.linalg.slogdet(inner)[1]))
        - 0.5 * len(values) * math.log(last),
    )


def _sums(rows: Floats, groups: NDArray[np.int64], n_groups: int) -> Floats:
    """Sums of each column over groups."""
    found = np.zeros((n_groups, rows.shape[1]))
    np.add.at(found, groups, rows)
    return found


def _variances(
    residuals: Floats, groups: NDArray[np.int64], sizes: Any, taken: float, unsure: float
) -> tuple[float, float]:
    """Variance between groups, and within them."""
    n_rows, n_groups = len(residuals), len(sizes)
    means = np.bincount(groups, residuals) / sizes
    inside = residuals - means[groups]
    weight = SPREAD_WEIGHT
    widened = n_rows / max(1.0, n_rows - taken)
    within = weight * SPREAD**2 * (1 - ALIKE) + float(inside @ inside) * widened
    within /= weight + n_rows - n_groups
    whole = weight * SPREAD**2 + float(residuals @ residuals) * widened + unsure
    whole /= weight + n_rows
    return max(whole - within, 0.0), max(within, 1e-6)


def fitted_above(
    columns: Columns, values: Floats, groups: NDArray[np.int64], running: NDArray[np.int64], least: Floats
) -> Regression:
    """Fit to values, and to wanted rows whose values are only known to lie above some bounds.

    What runs is rather long; what is done, taken alone, would be too short. Some turns of the EM algorithm.

    Parameters
    ----------
    columns : Columns
        Rows of `values`, and wanted rows.
    values : ndarray of shape (n_rows,)
        What is known.
    groups : ndarray of shape (n_rows + n_running,)
        Of the rows, then of what runs.
    running : ndarray of shape (n_running,)
        Places among the wanted rows; of groups of their own.
    least : ndarray of shape (n_running,)
        Their bounds.
    """
    found = fitted(columns, values, groups[: len(values)])
    if not len(running):
        return found
    evidence = found.evidence
    theirs = columns.wanted[running]
    both = replace(columns, rows=np.vstack([columns.rows, theirs]))
    for _ in range(TURNS):
        spread = math.sqrt(found.variance)
        above = (least - found.mean(theirs)) / spread
        expected = np.exp(-above * above / 2 - log_ndtr(-above)) / math.sqrt(2 * math.pi)
        unsure = found.variance * float(np.maximum(1 + above * expected - expected**2, 0).sum())
        filled = np.append(values, found.mean(theirs) + spread * expected)
        found = fitted(both, filled, groups, unsure=unsure)
    # What was filled in by the regression itself is no evidence for it.
    return replace(found, evidence=evidence)


def normal_above(least: Floats, rng: np.random.Generator) -> Floats:
    """Draw from a standard normal distribution what lies above some values, one for each.

    Examples
    --------
    >>> drawn = normal_above(np.array([-50.0, 2.0, 50.0]), np.random.default_rng(0))
    >>> bool((drawn > [-50, 2, 50]).all()), bool(drawn[2] < 51)
    (True, True)
    """
    tail = ndtr(-least)
    far = least + rng.exponential(size=least.shape) / np.maximum(least, 1.0)
    drawn = -ndtri(np.maximum(tail, 1e-300) * rng.uniform(size=least.shape))
    found: Floats = np.where(tail > 1e-12, drawn, far)
    return found


def weights_of(some: Sequence[Regression]) -> Floats:
    """Return how likely each regression of the same values is beside the others."""
    evidence = np.array([one.evidence for one in some])
    weights = np.exp(evidence - evidence.max())
    found: Floats = weights / weights.sum()
    return found
