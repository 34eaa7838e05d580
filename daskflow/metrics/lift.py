"""What the rows with the highest scores hold: gain, lift, and how far two classes' scores stand apart."""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskflow.metrics.bootstrap import Resample
from daskflow.metrics.ranking import RankingMetric

Floats = NDArray[np.float64]


class Gain(RankingMetric):
    """Share of the positive rows that are among a share of all rows, those with the highest scores.

    Of rows that tie at the border the part that is needed counts: what drawing among them at random gives on average.
    Multiclass: mean over the classes that occur of the class against the rest.

    Attributes
    ----------
    share : float
        Of all rows (by weight), above 0 and up to 1.

    Examples
    --------
    >>> Gain(share=0.5).score([0, 1, 0, 1], [0.1, 0.4, 0.35, 0.8])
    1.0
    """

    kind: Literal["gain"] = "gain"
    share: float = Field(0.1, gt=0, le=1)

    defining: ClassVar[str] = "share"

    def area(self, positive: Floats, negative: Floats) -> float:
        """Positive weight before the border, with a part of what ties at it."""
        return _gain(positive, negative, self.share)


class Lift(RankingMetric):
    """How many times more positive rows are among a share of all rows, those with the highest scores, than on average.

    It is the gain over the share: 1 as guessed, at most one over the larger of the share and the positive class's own.
    Ties and more than two classes as for `gain`.

    Attributes
    ----------
    share : float
        Of all rows (by weight), above 0 and up to 1.

    Examples
    --------
    >>> Lift(share=0.25).score([0, 1, 0, 1], [0.1, 0.4, 0.35, 0.8])
    2.0
    """

    kind: Literal["lift"] = "lift"
    share: float = Field(0.1, gt=0, le=1)

    defining: ClassVar[str] = "share"

    def area(self, positive: Floats, negative: Floats) -> float:
        """Gain over share."""
        return _gain(positive, negative, self.share) / self.share

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Floats:
        """Resample the gain, which is what lies between 0 and 1."""
        return Gain(share=self.share).replicates(y_true, y_pred, weight, resample) / self.share


class KolmogorovSmirnov(RankingMetric):
    """Largest distance between the distributions of the scores of positive and of negative rows.

    The two-sample statistic of Kolmogorov and Smirnov; also the largest true positive rate less false positive rate
    (Youden's J) that a threshold reaches. Multiclass: mean over the classes that occur (and are not the only one) of
    the class against the rest.

    Examples
    --------
    >>> KolmogorovSmirnov().score([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8])
    0.5
    """

    kind: Literal["ks"] = "ks"

    def area(self, positive: Floats, negative: Floats) -> float:
        """Largest difference of the two running shares."""
        n_positive, n_negative = float(positive.sum()), float(negative.sum())
        if not n_positive or not n_negative:
            return math.nan
        apart = np.cumsum(positive) / n_positive - np.cumsum(negative) / n_negative
        return float(np.abs(apart).max())


def _gain(positive: Floats, negative: Floats, share: float) -> float:
    """Share of the positive weight within a share of all weight, scores going down; nan without positive rows."""
    n_positive = float(positive.sum())
    if not n_positive:
        return math.nan
    taken = np.cumsum(positive + negative)
    found = np.interp(share * taken[-1], np.append(0.0, taken), np.append(0.0, np.cumsum(positive)))
    return float(found) / n_positive
