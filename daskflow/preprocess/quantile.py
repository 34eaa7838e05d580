"""Numbers replaced by their place in the training distribution, from 0 to 1 or as a normal deviate."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, Literal

import numpy as np
from pydantic import AliasChoices, Field
from scipy.special import ndtri

from daskflow.data.arrays import Numbers
from daskflow.data.distribution import Distribution
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.changes import changed, distribution_of, too_large
from daskflow.preprocess.steps import Fitted, Flow, Form, State

Method = Literal["linear", "inverted_cdf", "averaged_inverted_cdf"]

EDGE = 1e-7
"""How near to 0 and 1 a place comes before it becomes a normal deviate, which is infinite there; as scikit-learn's."""


def quantiles_of(distribution: Distribution, places: Numbers, method: Method = "linear") -> Numbers:
    """Return quantiles at places of [0, 1], in numpy's three commonest ways between two order statistics.

    Parameters
    ----------
    distribution : Distribution
        Of at least one number.
    places : ndarray of float64, shape (n,)
        Increasing.
    method : str
        As in ``numpy.quantile``.

    Returns
    -------
    ndarray of float64, shape (n,)
        Never decreasing.

    Examples
    --------
    >>> two = Distribution.of(np.array([1.0, 3.0]))
    >>> [quantiles_of(two, np.array([0.25, 0.5]), method).tolist() for method in ("linear", "averaged_inverted_cdf")]
    [[1.5, 2.0], [1.0, 2.0]]
    """
    reached = np.cumsum(distribution.counts)
    n_values = int(reached[-1])
    at = (n_values - 1) * places if method == "linear" else n_values * places - 1
    below = np.floor(at)
    share = at - below
    if method != "linear":
        share = np.where(share > 0, 1.0, 0.5 if method == "averaged_inverted_cdf" else 0.0)
    ranks = np.clip(np.stack([below, below + 1]).astype(np.int64), 0, n_values - 1)
    low, high = distribution.points[np.searchsorted(reached, ranks, side="right")]
    return np.maximum.accumulate(low + (high - low) * share)


@dataclass(frozen=True, slots=True)
class Placed(Fitted):
    """Numbers replaced by their place among quantiles at equal distances.

    Attributes
    ----------
    quantiles : tuple of float
        From the smallest to the largest number of training.
    is_normal : bool
        Whether the place becomes a normal deviate.
    """

    kind: ClassVar[str] = "quantile"

    quantiles: tuple[float, ...]
    is_normal: bool

    def apply(self, flow: Flow) -> Flow:
        """Interpolate; among equal quantiles the place is their middle. Missing stays missing."""
        return replace(flow, values=self.place(flow.numbers()))

    def place(self, numbers: Numbers) -> Numbers:
        """Return the places of numbers, shape (n,)."""
        known = np.array(self.quantiles)
        places = np.linspace(0, 1, len(known))
        up, down = np.interp(numbers, known, places), -np.interp(-numbers, -known[::-1], -places[::-1])
        found: Numbers = (up + down) / 2
        near = EDGE if self.is_normal else 0.0
        found[numbers - near <= known[0]] = 0.0
        found[numbers + near >= known[-1]] = 1.0
        if not self.is_normal:
            return found
        least = EDGE - np.spacing(1)
        return np.clip(ndtri(found), ndtri(least), ndtri(1 - least))


class Quantile(Step):
    """Replace numbers by their place in the training distribution, from 0 to 1 or as a normal deviate.

    As scikit-learn's QuantileTransformer, but of the whole distribution, not of a sample. Values below or above those
    of training get the first or last place; missing values stay missing. Quantiles are exact up to 65,536 distinct
    numbers, else within 2**-13 of their own size (tables above a million rows: 4,096 and 2**-10).

    Attributes
    ----------
    n_quantiles : int
        Quantiles between which places are interpolated; default 1000, at most one for each row.
    output_distribution : str
        ``uniform`` (default): from 0 to 1. ``normal``: normal deviates, from -5.2 to 5.2.
    """

    kind: Literal["quantile"] = "quantile"
    n_quantiles: int = Field(default=1000, ge=2, le=100_000)
    output_distribution: Literal["uniform", "normal"] = Field(
        default="uniform", validation_alias=AliasChoices("output_distribution", "output")
    )

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES})
    fitted: ClassVar[type[Fitted]] = Placed

    def gives(self, form: Form) -> Form:
        """Places."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Quantiles."""
        return frozenset({"quantiles"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Take the quantiles from the distribution."""
        before = state.statistics
        found = distribution_of(state, self.kind)
        if not np.isfinite(before.max - before.min):
            raise too_large(state)
        places = np.linspace(0, 1, min(self.n_quantiles, before.n_rows))
        known = np.clip(quantiles_of(found, places), before.min, before.max)
        known[0], known[-1] = before.min, before.max
        fitted = Placed(tuple(known.tolist()), self.output_distribution == "normal")
        return fitted, replace(state, form=Form.MEASURES, statistics=changed(before, partial(Placed.place, fitted)))
