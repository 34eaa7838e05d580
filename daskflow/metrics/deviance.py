"""Deviances of the Tweedie family: what regressions of counts, amounts and rates are fitted by."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator
from scipy.special import xlogy

from daskflow.metrics.probability import LossMetric

Floats = NDArray[np.float64]


class DevianceMetric(LossMetric):
    """Mean of a unit deviance; not defined where a truth or a prediction lies outside of what the distribution has."""

    needs: ClassVar[str] = "predictions"
    tasks: ClassVar[tuple[str, ...]] = ("regression",)
    undefined: ClassVar[str] = "a truth or a prediction is one that the distribution does not have, such as 0 or less"


class PoissonDeviance(DevianceMetric):
    """Mean Poisson deviance, for counts: truths of at least 0, predictions above 0; others make it nan.

    Examples
    --------
    >>> round(PoissonDeviance().score([2, 0, 1, 4], [0.5, 0.5, 2.0, 2.0]), 4)
    1.426
    """

    kind: Literal["poisson_deviance"] = "poisson_deviance"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Deviance of power 1."""
        return unit_deviance(y_true, y_pred, 1.0)


class GammaDeviance(DevianceMetric):
    """Mean gamma deviance, for amounts: truths and predictions above 0; others make it nan. It has no unit.

    Examples
    --------
    >>> round(GammaDeviance().score([2, 0.5, 1, 4], [0.5, 0.5, 2.0, 2.0]), 4)
    1.0569
    """

    kind: Literal["gamma_deviance"] = "gamma_deviance"

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Deviance of power 2."""
        return unit_deviance(y_true, y_pred, 2.0)


class TweedieDeviance(DevianceMetric):
    """Mean Tweedie deviance: of power 0 the squared error, 1 Poisson's, 2 gamma's, 3 the inverse Gaussian's.

    Attributes
    ----------
    power : float
        Not between 0 and 1. Between 1 and 2 for amounts that are often 0. Predictions must be above 0 unless it is 0;
        truths at least 0 from 1 on, and above 0 from 2 on.

    Examples
    --------
    >>> round(TweedieDeviance(power=1.5).score([2, 0, 1, 4], [0.5, 0.5, 2.0, 2.0]), 4)
    1.7782
    """

    kind: Literal["tweedie_deviance"] = "tweedie_deviance"
    power: float = Field(1.5, allow_inf_nan=False)

    defining: ClassVar[str] = "power"

    @field_validator("power")
    @classmethod
    def _exists(cls, power: float) -> float:
        """Refuse powers of no distribution."""
        if 0 < power < 1:
            raise ValueError("should not lie between 0 and 1, where there is no such distribution")
        return power

    def losses(self, y_true: Any, y_pred: Any) -> Floats:
        """Deviance of this power."""
        return unit_deviance(y_true, y_pred, self.power)


def unit_deviance(y_true: Any, y_pred: Any, power: float) -> Floats:
    """Return each row's deviance, shape (n_rows,); nan outside of what the distribution has.

    Jørgensen, "The theory of dispersion models" (1997), chapter 4.

    Examples
    --------
    >>> unit_deviance(np.array([1.0, 2.0, -1.0]), np.array([1.0, 1.0, 1.0]), 1.0).round(4)
    array([0.    , 0.7726,    nan])
    """
    y, mean = np.asarray(y_true, dtype=np.float64), np.asarray(y_pred, dtype=np.float64)
    if power == 0:
        squares: Floats = (y - mean) ** 2
        return squares
    with np.errstate(all="ignore"):
        if power == 1:
            half = xlogy(y, y / mean) - y + mean
        elif power == 2:
            half = np.log(mean / y) + y / mean - 1
        else:
            half = np.maximum(y, 0) ** (2 - power) / ((1 - power) * (2 - power))
            half += mean ** (2 - power) / (2 - power) - y * mean ** (1 - power) / (1 - power)
    lowest = -np.inf if power < 0 else 0.0
    inside = (mean > 0) & ((y >= lowest) if power < 2 else (y > lowest))
    return np.where(inside, np.where(y == mean, 0.0, 2 * half), np.nan)
