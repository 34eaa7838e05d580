"""Missing values replaced by one value of the training rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
from pydantic import (
    AliasChoices,
    AllowInfNan,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    field_validator,
    model_validator,
)

from daskflow.core.errors import DataError
from daskflow.data.arrays import MISSING, Level, Levels, level_of
from daskflow.data.schema import Column, ColumnKind
from daskflow.data.tallies import Tally
from daskflow.preprocess import Step
from daskflow.preprocess.changes import distribution_of, too_large
from daskflow.preprocess.sentinels import WithoutSentinels, statistics_without, without_levels, without_numbers
from daskflow.preprocess.steps import Fitted, Flow, Form, Single, State

NEEDS: Mapping[str, frozenset[str | Tally]] = {
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
    sentinels : tuple of levels
        Values that mean that a value is missing.
    """

    kind: ClassVar[str] = "impute"

    fill: Level
    is_level: bool
    indicator: bool
    sentinels: tuple[Level, ...] = ()

    def apply(self, flow: Flow) -> Flow:
        """Replace."""
        if self.is_level:
            found = without_levels(flow.levels(), self.sentinels) if self.sentinels else flow.levels()
            missing = found.codes == MISSING
            codes = np.where(missing, len(found.values), found.codes)
            filled: Flow = replace(flow, values=Levels(codes, [*found.values, self.fill]))
        else:
            numbers = flow.numbers()
            numbers = without_numbers(numbers, self.sentinels) if self.sentinels else numbers  # type: ignore[arg-type]  # numbers, by check
            missing = np.isnan(numbers)
            filled = replace(flow, values=np.where(missing, float(self.fill), numbers))
        if not self.indicator:
            return filled
        return replace(filled, outputs=(*flow.outputs, missing.astype(np.float64)))

    def single(self) -> Single | None:
        """Replace one value; None with sentinels or an indicator."""
        if self.sentinels or self.indicator:
            return None
        if self.is_level:
            level = self.fill
            return Single(lambda value: level if value is None else value, "level", "level")
        number = float(self.fill)
        return Single(lambda value: value if value == value else number, operation="fill", parameters=(number,))


class Impute(Step):
    """Replace missing values by the training rows' mean, median or most frequent value, or by a constant.

    As scikit-learn's SimpleImputer. A column without any value in training is left out of the matrix, with a warning.

    Attributes
    ----------
    strategy : str
        ``mean`` (default), ``median`` (exact up to 65,536 distinct values, else within 2**-13 of its own size; tables
        above a million rows: 4,096 and 2**-10), ``most_frequent`` (the smallest of several; also for strings) or
        ``constant``.
    value : number, boolean or str
        For ``constant`` alone; may be called ``fill_value``.
    indicator : bool
        Add a column ``COLUMN_missing`` of 0 and 1 where a value was missing in training; default False. May be called
        ``add_indicator``.
    missing_values : list of numbers or str
        Values that mean missing, beside the missing ones, such as ``[-999]``; default none. For numbers as they stand
        in the table, or strings.
    """

    kind: Literal["impute"] = "impute"
    strategy: Literal["mean", "median", "most_frequent", "constant"] = "mean"
    value: StrictBool | StrictInt | Annotated[StrictFloat, AllowInfNan(False)] | StrictStr | None = Field(
        default=None, validation_alias=AliasChoices("value", "fill_value")
    )
    indicator: bool = Field(default=False, validation_alias=AliasChoices("indicator", "add_indicator"))
    missing_values: tuple[StrictInt | Annotated[StrictFloat, AllowInfNan(False)] | StrictStr, ...] = ()

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.MEASURES, Form.LEVELS})
    fitted: ClassVar[type[Fitted]] = Imputed

    @field_validator("missing_values", mode="before")
    @classmethod
    def _without_nan(cls, value: Any) -> Any:
        """One value alone, as in scikit-learn; nan is missing anyway."""
        several = value if isinstance(value, list | tuple) else [value]
        return [one for one in several if one == one]

    @model_validator(mode="after")
    def _value_goes_with_constant(self) -> Self:
        if (self.strategy == "constant") != (self.value is not None):
            raise ValueError("strategy = 'constant' and value go together, and only together")
        return self

    def check(self, column: Column, form: Form) -> str | None:
        """Refuse numbers for strings and strings for numbers."""
        is_text = form is Form.LEVELS and column.kind is ColumnKind.CATEGORICAL
        if self.missing_values and not is_text and form is not Form.NUMBERS:
            return "missing_values are looked for among the column's own values; put 'impute' first"
        wrong = [value for value in self.missing_values if isinstance(value, str) != is_text]
        if wrong:
            return f"missing_values should be of the column's own type, {column.type} (found {wrong[0]!r})"
        if form is Form.LEVELS:
            if self.strategy in ("mean", "median"):
                return f"strings have no {self.strategy}; use strategy = 'most_frequent', or 'constant' with a value"
            if self.value is not None and isinstance(self.value, str) != (column.kind is ColumnKind.CATEGORICAL):
                return f"value should be one of the column's own type, {column.type} (found {self.value!r})"
        elif isinstance(self.value, str):
            return f"value should be a number, as the column's values are (found '{self.value}')"
        return None

    def statistics(self, column: Column) -> frozenset[str | Tally]:
        """What the strategy needs; with `missing_values` a tally of the others."""
        if not self.missing_values or column.kind is ColumnKind.CATEGORICAL:
            return NEEDS[self.strategy]
        others: Tally = WithoutSentinels(tuple(float(value) for value in self.missing_values))
        return NEEDS[self.strategy] | {others}

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Take the value from the statistics."""
        if self.missing_values:
            state = replace(state, statistics=statistics_without(state, self.missing_values, self.kind))
        before = state.statistics
        fill = self._fill(state)
        indicator = self.indicator and before.n_missing > 0
        outputs = (*state.outputs, f"{state.column.name}_missing") if indicator else state.outputs
        fitted = Imputed(fill, state.form is Form.LEVELS, indicator, self.missing_values)
        return fitted, replace(state, statistics=before.filled(fill), outputs=outputs)

    def _fill(self, state: State) -> Level:
        """The value that replaces missing ones."""
        statistics = state.statistics
        if self.value is not None:
            return self.value if not isinstance(self.value, float) else level_of(self.value)
        if self.strategy == "most_frequent":
            return _most_frequent(state)
        if self.strategy == "median":
            distribution_of(state, self.kind)
        number = statistics.mean if self.strategy == "mean" else statistics.median
        if not math.isfinite(number):
            raise too_large(state)
        return level_of(number)


def _most_frequent(state: State) -> Level:
    """The most frequent value; the smallest of several."""
    counts, found = state.statistics.levels, state.statistics.distribution
    if counts:
        return min(counts, key=lambda level: (-counts[level], isinstance(level, str), level))
    if found is not None and found.is_exact and len(found.points):
        return level_of(float(found.points[np.argmax(found.counts)]))
    raise DataError(
        f"Column '{state.column.name}': the most frequent value is not known after a step that changed the values. "
        f"Put 'impute' first."
    )
