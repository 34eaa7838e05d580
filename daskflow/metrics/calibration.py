"""Calibration by tenths of the predicted probability: sums that merge, and Wilson's interval of what was observed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.metrics import kernels

Floats = NDArray[np.float64]

TENTHS = 10
Z = 1.959963984540054
"""Of 95 %."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Sums by tenth of the predicted probability of class 1.

    Attributes
    ----------
    sums : ndarray of shape (10, 5)
        Rows, weight, weight times probability, weight of the rows of class 1, and squared weight.
    """

    sums: Floats

    @classmethod
    def of(cls, is_positive: Any, probability: Any, weight: Floats | None) -> Calibration:
        """Look at rows; a probability outside [0, 1] counts to the nearest tenth."""
        sums = np.zeros((TENTHS, 5))
        kernels.add_tenths(is_positive, probability, np.empty(0) if weight is None else weight, sums)
        return cls(sums)

    def merged(self, other: Calibration) -> Calibration:
        """Add."""
        return Calibration(self.sums + other.sums)

    def details(self) -> dict[str, Any]:
        """Return mean prediction, observed share with its 95 % interval, and rows of each tenth that has rows."""
        count, weight, predicted, positive, squares = self.sums[self.sums[:, 0] > 0].T
        if not len(count):
            return {}
        observed = np.clip(positive / weight, 0.0, 1.0)
        low, high = wilson(observed, weight**2 / squares)
        return {
            "predicted": (predicted / weight).tolist(),
            "observed": observed.tolist(),
            "count": count.astype(np.int64).tolist(),
            "low": low.tolist(),
            "high": high.tolist(),
        }


def wilson(share: Any, n: Any) -> tuple[Floats, Floats]:
    """Return the 95 % interval of a share of n rows; weighted rows count as Kish's effective number of them.

    E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927; L. Kish, "Survey
    Sampling", 1965. It has a width also where no row, or every row, is of class 1.

    Examples
    --------
    >>> low, high = wilson(0.0, 100)
    >>> round(float(low), 3), round(float(high), 3)
    (0.0, 0.037)
    """
    share, n = np.asarray(share, dtype=np.float64), np.asarray(n, dtype=np.float64)
    middle = (share + Z**2 / (2 * n)) / (1 + Z**2 / n)
    half = Z / (1 + Z**2 / n) * np.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    low = np.where(share <= 0, 0.0, np.clip(middle - half, 0.0, 1.0))
    high = np.where(share >= 1, 1.0, np.clip(middle + half, 0.0, 1.0))
    return low, high


def rule_of_three(n: float) -> float:
    """Return the greatest share that n rows without a single case leave possible at 95 %: about 3 / n.

    Examples
    --------
    >>> round(rule_of_three(300), 4)
    0.0099
    """
    return 1.0 if n < 1 else -math.expm1(math.log(0.05) / n)
