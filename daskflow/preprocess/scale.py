"""Numbers brought to a common size by the training rows' moments, ends or quantiles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import FiniteFloat, model_validator

from daskflow.data.schema import Column
from daskflow.data.statistics import ColumnStatistics
from daskflow.preprocess import Step
from daskflow.preprocess.changes import distribution_of, too_large
from daskflow.preprocess.steps import Fitted, Flow, Form, Single, State

Method = Literal["standard", "minmax", "maxabs", "robust"]

OPTIONS: Mapping[str, tuple[Method, ...]] = {
    "with_mean": ("standard",),
    "with_std": ("standard",),
    "feature_range": ("minmax",),
    "clip": ("minmax", "maxabs"),
    "with_centering": ("robust",),
    "with_scaling": ("robust",),
    "quantile_range": ("robust",),
    "unit_variance": ("robust",),
}
"""Which methods an option belongs to."""


@dataclass(frozen=True, slots=True)
class Scaled(Fitted):
    """Numbers less `centre`, divided by `scale`, plus `start`, and brought into [low, high] where they are given."""

    kind: ClassVar[str] = "scale"

    centre: float
    scale: float
    start: float = 0.0
    low: float | None = None
    high: float | None = None

    def apply(self, flow: Flow) -> Flow:
        """Scale in float64; missing stays missing."""
        numbers = (flow.numbers() - self.centre) / self.scale
        if self.start:
            numbers += self.start
        if self.low is not None and self.high is not None:
            np.clip(numbers, self.low, self.high, out=numbers)
        return replace(flow, values=numbers)

    def single(self) -> Single | None:
        """Scale one number; None where it is moved or brought into a range after that."""
        if self.start or self.low is not None:
            return None
        centre, scale = self.centre, self.scale
        return Single(lambda value: (value - centre) / scale, operation="scale", parameters=(centre, scale))


class Scale(Step):
    """Centre and scale numbers, as scikit-learn's StandardScaler, MinMaxScaler, MaxAbsScaler and RobustScaler.

    Where the divisor would be 0 numbers are not divided. Moments and ends are exact; quantiles up to 65,536 distinct
    numbers, else within 2**-13 of their own size (tables above a million rows: 4,096 and 2**-10).

    Attributes
    ----------
    method : str
        ``standard`` (default): mean 0 and variance 1. ``minmax``: from 0 to 1, or `feature_range`. ``maxabs``: divided
        by the largest absolute value. ``robust``: less the median, divided by the interquartile range.
    with_mean, with_std : bool
        For ``standard``: whether to centre and whether to scale; default both.
    feature_range : pair of float
        For ``minmax``: what the training rows' smallest and largest value become; default 0 and 1.
    clip : bool
        For ``minmax`` and ``maxabs``: bring later values outside of the training rows' range to its ends; default
        False.
    with_centering, with_scaling : bool
        For ``robust``: whether to centre and whether to scale; default both.
    quantile_range : pair of float
        For ``robust``: the two quantiles, in percent as scikit-learn's, whose difference numbers are divided by;
        default 25 and 75.
    unit_variance : bool
        For ``robust``: also divide so that normally distributed numbers get variance 1; default False.
    """

    kind: Literal["scale"] = "scale"
    method: Method = "standard"
    with_mean: bool = True
    with_std: bool = True
    feature_range: tuple[FiniteFloat, FiniteFloat] = (0.0, 1.0)
    clip: bool = False
    with_centering: bool = True
    with_scaling: bool = True
    quantile_range: tuple[FiniteFloat, FiniteFloat] = (25.0, 75.0)
    unit_variance: bool = False

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES})
    fitted: ClassVar[type[Fitted]] = Scaled

    @model_validator(mode="after")
    def _options_go_with_the_method(self) -> Self:
        fields = type(self).model_fields
        for name, methods in OPTIONS.items():
            if self.method not in methods and getattr(self, name) != fields[name].default:
                raise ValueError(f"{name} goes with method = {' or '.join(map(repr, methods))}, not '{self.method}'")
        if self.feature_range[0] >= self.feature_range[1]:
            raise ValueError("feature_range should be two increasing numbers, such as [0, 1]")
        low, high = self.quantile_range
        if not 0 <= low < high <= 100 or high <= 1:
            raise ValueError("quantile_range should be two increasing numbers in percent, such as [25, 75]")
        if self.unit_variance and (low == 0 or high == 100):
            raise ValueError("unit_variance needs a quantile_range without 0 and 100: normal numbers have no ends")
        return self

    def gives(self, form: Form) -> Form:
        """Scaled numbers."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Moments; for ``robust`` quantiles."""
        return frozenset({"quantiles" if self.method == "robust" else "moments"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Take centre and scale from the statistics; a constant column is only centred."""
        found = state.statistics
        if self.method == "robust":
            distribution_of(state, self.kind)
        centre, scale = {
            "standard": self._standard,
            "minmax": self._minmax,
            "maxabs": self._maxabs,
            "robust": self._robust,
        }[self.method](found)
        if not math.isfinite(centre) or not math.isfinite(scale):
            raise too_large(state)
        if scale == 0.0 or (self.method == "standard" and found.min == found.max):
            scale = 1.0
        if self.method == "robust" and self.with_scaling and self.unit_variance:
            low, high = self.quantile_range
            from scipy.special import ndtri

            scale /= float(ndtri(high / 100) - ndtri(low / 100))
        start = self.feature_range[0]
        ends: tuple[float, float] | tuple[None, None] = (None, None)
        if self.clip:
            ends = self.feature_range if self.method == "minmax" else (-1.0, 1.0)
        after = found.moved(centre, scale)
        after = after.moved(-start, 1.0) if start else after
        return Scaled(centre, scale, start, *ends), replace(state, form=Form.MEASURES, statistics=after)

    def _standard(self, found: ColumnStatistics) -> tuple[float, float]:
        """Mean and standard deviation."""
        return found.mean if self.with_mean else 0.0, math.sqrt(found.variance) if self.with_std else 1.0

    def _minmax(self, found: ColumnStatistics) -> tuple[float, float]:
        """The smallest value, and the range for each unit of the new one."""
        low, high = self.feature_range
        return found.min, (found.max - found.min) / (high - low)

    def _maxabs(self, found: ColumnStatistics) -> tuple[float, float]:
        """No centre, and the largest absolute value."""
        return 0.0, max(-found.min, found.max)

    def _robust(self, found: ColumnStatistics) -> tuple[float, float]:
        """Median, and distance of the two quantiles."""
        low, high = (found.quantile(percent / 100) for percent in self.quantile_range)
        return found.median if self.with_centering else 0.0, high - low if self.with_scaling else 1.0
