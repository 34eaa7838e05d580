"""Outliers brought to the edge of a range: between values, quantiles, or so many deviations around the middle."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import Field, FiniteFloat, model_validator

from daskflow.core.errors import DataError
from daskflow.data.arrays import Numbers
from daskflow.data.schema import Column, ColumnKind
from daskflow.data.statistics import ColumnStatistics
from daskflow.preprocess import Step
from daskflow.preprocess.changes import changed, distribution_of, too_large
from daskflow.preprocess.steps import Fitted, Flow, Form, Single, State

Quantile = Annotated[float, Field(ge=0, le=1)]

Multiple = Annotated[FiniteFloat, Field(gt=0)]

LOWER_QUANTILE, UPPER_QUANTILE = 0.01, 0.99


@dataclass(frozen=True, slots=True)
class Clipped(Fitted):
    """Numbers brought into [low, high]; None is an open side."""

    kind: ClassVar[str] = "clip"

    low: float | None
    high: float | None

    def apply(self, flow: Flow) -> Flow:
        """Clip; missing stays missing."""
        return replace(flow, values=self.clip(flow.numbers()))

    def clip(self, numbers: Numbers) -> Numbers:
        """Return numbers, shape (n,), in the range."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return np.clip(numbers, low, high)

    def single(self) -> Single:
        """Clip one number; nan is in no comparison, so it stays."""
        low = -math.inf if self.low is None else self.low
        high = math.inf if self.high is None else self.high
        return Single(
            lambda value: low if value < low else high if value > high else value,
            operation="clip",
            parameters=(low, high),
        )


class Clip(Step):
    """Bring outliers to the edge of a range (winsorize); without options: between the quantiles 0.01 and 0.99.

    A side without a rule is open. Missing values stay missing, and booleans stay as they are. Quantiles are exact up to
    65,536 distinct numbers, else within 2**-13 of their own size (tables above a million rows: 4,096 and 2**-10). Steps
    after it see the statistics of the clipped numbers: exact as long, else their mean and standard deviation are off by
    at most that share of the clipped numbers' root mean square.

    Attributes
    ----------
    lower, upper : float, optional
        Smallest and largest value, as in ``DataFrame.clip``.
    lower_quantile, upper_quantile : float, optional
        The same as quantiles of the training rows, from 0 to 1.
    n_std : float, optional
        Standard deviations on each side of the mean that are left, such as 3.
    n_iqr : float, optional
        Interquartile ranges below the first and above the third quartile that are left, such as 1.5 (Tukey's fences).
    """

    kind: Literal["clip"] = "clip"
    lower: FiniteFloat | None = None
    upper: FiniteFloat | None = None
    lower_quantile: Quantile | None = None
    upper_quantile: Quantile | None = None
    n_std: Multiple | None = None
    n_iqr: Multiple | None = None

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES})
    fitted: ClassVar[type[Fitted]] = Clipped

    @model_validator(mode="after")
    def _one_rule_for_a_side(self) -> Self:
        both = {"n_std": self.n_std, "n_iqr": self.n_iqr}
        for side in ("lower", "upper"):
            rules = {side: getattr(self, side), f"{side}_quantile": getattr(self, f"{side}_quantile")} | both
            given = [name for name, value in rules.items() if value is not None]
            if len(given) > 1:
                raise ValueError(f"{' and '.join(given)} both rule the {side} side; give one of them")
        for low, high in (("lower", "upper"), ("lower_quantile", "upper_quantile")):
            first, last = getattr(self, low), getattr(self, high)
            if first is not None and last is not None and first >= last:
                raise ValueError(f"{low} should be below {high}, and {first:g} is not below {last:g}")
        return self

    def gives(self, form: Form) -> Form:
        """Clipped numbers."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Quantiles."""
        return frozenset({"quantiles"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Find the range, and what is known of the numbers in it."""
        before = state.statistics
        if state.column.kind is ColumnKind.BOOLEAN and state.form is Form.NUMBERS:
            return Clipped(None, None), replace(state, form=Form.MEASURES, statistics=replace(before, levels=None))
        distribution_of(state, self.kind)
        low, high = self._range(before)
        if not all(side is None or math.isfinite(side) for side in (low, high)):
            raise too_large(state)
        if low is not None and high is not None and low > high:
            raise DataError(
                f"Column '{state.column.name}': 'clip' finds a lower side of {low:g} above the upper side of {high:g}. "
                f"Give both sides as values or both as quantiles."
            )
        fitted = Clipped(low, high)
        leaves_all = (low is None or low <= before.min) and (high is None or high >= before.max)
        after = replace(before, levels=None) if leaves_all else changed(before, fitted.clip)
        return fitted, replace(state, form=Form.MEASURES, statistics=after)

    def _range(self, before: ColumnStatistics) -> tuple[float | None, float | None]:
        """The edges; None where a side is open."""
        if self.n_std is not None:
            reach = self.n_std * math.sqrt(before.variance)
            return before.mean - reach, before.mean + reach
        if self.n_iqr is not None:
            first, third = before.quantile(0.25), before.quantile(0.75)
            reach = self.n_iqr * (third - first)
            return first - reach, third + reach
        quantiles = self.lower_quantile, self.upper_quantile
        if (self.lower, self.upper, *quantiles) == (None,) * 4:
            quantiles = LOWER_QUANTILE, UPPER_QUANTILE
        found = [None if q is None else before.quantile(q) for q in quantiles]
        return self.lower if found[0] is None else found[0], self.upper if found[1] is None else found[1]
