"""Missing values replaced by one value of the training rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal, Self

import numpy as np
from pydantic import AllowInfNan, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from daskflow.core.errors import DataError
from daskflow.data.arrays import MISSING, Level, Levels, level_of
from daskflow.data.schema import Column, ColumnKind
from daskflow.preprocess import Step
from daskflow.preprocess.steps import Fitted, Flow, Form, State

NEEDS: Mapping[str, frozenset[str]] = {
    "mean": frozenset({"moments"}),
    "median": frozenset({"quantiles"}),
    "most_frequent": frozenset({"levels"}),
    "constant": frozenset(),
}


@dataclass(frozen=True, slots=True)
class Imputed(Fitted):
    """Missing values replaced by one value.

    Attributes
    ----------
    fill : level
        The value.
    is_level : bool
        Whether the column is one of categories.
    indicator : bool
        Whether a finished column says where a value was missing.
    """

    kind: ClassVar[str] = "impute"

    fill: Level
    is_level: bool
    indicator: bool

    def apply(self, flow: Flow) -> Flow:
        """Replace."""
        if self.is_level:
            found = flow.levels()
            missing = found.codes == MISSING
            codes = np.where(missing, len(found.values), found.codes)
            filled: Flow = replace(flow, values=Levels(codes, [*found.values, self.fill]))
        else:
            numbers = flow.numbers()
            missing = np.isnan(numbers)
            filled = replace(flow, values=np.where(missing, float(self.fill), numbers))
        if not self.indicator:
            return filled
        return replace(filled, outputs=(*flow.outputs, missing.astype(np.float64)))


class Impute(Step):
    """Replace missing values by the training rows' mean, median or most frequent value, or by a constant.

    Attributes
    ----------
    strategy : str
        ``mean`` (default, as scikit-learn's SimpleImputer), ``median`` (exact up to 65,536 distinct values, else
        within 0.012 %), ``most_frequent`` (the smallest of several; also for strings) or ``constant``.
    value : number, boolean or str
        For ``constant`` alone.
    indicator : bool
        Add a column ``COLUMN_missing`` of 0 and 1 where a value was missing in training; default False.
    """

    kind: Literal["impute"] = "impute"
    strategy: Literal["mean", "median", "most_frequent", "constant"] = "mean"
    value: StrictBool | StrictInt | Annotated[StrictFloat, AllowInfNan(False)] | StrictStr | None = None
    indicator: bool = False

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES, Form.LEVELS})
    fitted: ClassVar[type[Fitted]] = Imputed

    @model_validator(mode="after")
    def _value_goes_with_constant(self) -> Self:
        if (self.strategy == "constant") != (self.value is not None):
            raise ValueError("strategy = 'constant' and value go together, and only together")
        return self

    def check(self, column: Column, form: Form) -> str | None:
        """Refuse numbers for strings and strings for numbers."""
        if form is Form.LEVELS:
            if self.strategy in ("mean", "median"):
                return f"strings have no {self.strategy}; use strategy = 'most_frequent', or 'constant' with a value"
            if self.value is not None and isinstance(self.value, str) != (column.kind is ColumnKind.CATEGORICAL):
                return f"value should be one of the column's own type, {column.type} (found {self.value!r})"
        elif isinstance(self.value, str):
            return f"value should be a number, as the column's values are (found '{self.value}')"
        return None

    def statistics(self, column: Column) -> frozenset[str]:
        """What the strategy needs."""
        return NEEDS[self.strategy]

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Take the value from the statistics."""
        before = state.statistics
        fill = self._fill(state)
        indicator = self.indicator and before.n_missing > 0
        outputs = (*state.outputs, f"{state.column.name}_missing") if indicator else state.outputs
        fitted = Imputed(fill, state.form is Form.LEVELS, indicator)
        return fitted, replace(state, statistics=before.filled(fill), outputs=outputs)

    def _fill(self, state: State) -> Level:
        """The value that replaces missing ones."""
        statistics = state.statistics
        if self.value is not None:
            return self.value if not isinstance(self.value, float) else level_of(self.value)
        if self.strategy == "mean":
            return level_of(statistics.mean)
        if self.strategy == "median":
            return level_of(statistics.median)
        if statistics.levels is None:
            raise DataError(
                f"Column '{state.column.name}': the most frequent value is not known after a step that changed the "
                f"values. Put 'impute' first."
            )
        counts = statistics.levels
        return min(counts, key=lambda level: (-counts[level], isinstance(level, str), level))
