"""Numbers brought to a common size by the training rows' moments."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from daskflow.core.errors import DataError
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.steps import Fitted, Flow, Form, State


@dataclass(frozen=True, slots=True)
class Scaled(Fitted):
    """Numbers less `centre`, divided by `scale`."""

    kind: ClassVar[str] = "scale"

    centre: float
    scale: float

    def apply(self, flow: Flow) -> Flow:
        """Scale in float64; missing stays missing."""
        return replace(flow, values=(flow.numbers() - self.centre) / self.scale)


class Scale(Step):
    """Centre and scale numbers.

    Attributes
    ----------
    method : str
        ``standard`` (default): mean 0 and variance 1, as scikit-learn's StandardScaler. ``minmax``: from 0 to 1.
    with_mean, with_std : bool
        For ``standard``: whether to centre and whether to scale; default both.
    """

    kind: Literal["scale"] = "scale"
    method: Literal["standard", "minmax"] = "standard"
    with_mean: bool = True
    with_std: bool = True

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES})
    fitted: ClassVar[type[Fitted]] = Scaled

    def gives(self, form: Form) -> Form:
        """Scaled numbers."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Moments."""
        return frozenset({"moments"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Take centre and scale from the statistics; a constant column is only centred."""
        found = state.statistics
        if self.method == "minmax":
            centre, scale = found.min, found.max - found.min
        else:
            centre = found.mean if self.with_mean else 0.0
            scale = math.sqrt(found.variance) if self.with_std else 1.0
        if not math.isfinite(centre) or not math.isfinite(scale):
            raise DataError(
                f"Column '{state.column.name}' has values up to {max(-found.min, found.max):.3g}, too large to be "
                f"scaled in float64. Bring them down with derive (a logarithm, say), or drop the column."
            )
        if found.min == found.max or scale == 0.0:
            scale = 1.0
        return Scaled(centre, scale), replace(state, form=Form.MEASURES, statistics=found.moved(centre, scale))
