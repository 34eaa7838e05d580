"""The target of a profile: how each value of a column goes together with it, counted in the same pass.

For classes a column's crosstab has one column per class (the fifty most frequent, the rest together). For a regression
it has two: rows, and the sum of the target in whole steps of 2**-26 of its range, so that sums do not depend on order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data import arrays
from daskflow.data.crosstab import Counts, Crosstab, Form, Limit
from daskflow.data.profile_values import Encoded
from daskflow.data.profiles import ColumnProfile
from daskflow.data.schema import Column, ColumnKind, Task
from daskflow.data.targets import task_of

MOST_CLASSES = 50
MOST_CELLS = 1 << 18
"""Cells of a column's crosstab with the target: with many classes fewer values are kept apart."""

MOST_VALUES = 32_768
"""Values of a column that are kept apart with few classes."""

STEPS = 26
"""A regression's target is added up in steps of 2**-26 of its range."""


@dataclass(frozen=True, slots=True)
class TargetRows:
    """The target of some rows: class codes, or steps above the smallest value; -1 where there is none."""

    target: ProfiledTarget
    codes: NDArray[np.int64]

    def joint(self, column: Encoded) -> tuple[Crosstab, Counts]:
        """Count a column's values with the target; also those rows that have no value."""
        form = Form.INTEGER if column.form is Form.INSTANT else column.form  # instants have neighbours, too
        places, keys, is_exact = column.within(self.target.limit, form)
        known = self.codes >= 0
        places, codes = places[known], self.codes[known]
        n_groups, n_keys = self.target.n_groups, len(keys) + 1
        if self.target.task is Task.REGRESSION:
            counts = np.stack(
                [np.bincount(places + 1, minlength=n_keys), np.bincount(places + 1, codes, n_keys)], axis=1
            ).astype(np.int64)
        else:
            flat = np.bincount((places + 1) * n_groups + codes, minlength=n_keys * n_groups)
            counts = flat.reshape(n_keys, n_groups).astype(np.int64)
        gaps = TargetRows(self.target, self.codes[column.is_missing]).alone()
        return Crosstab.of(form, self.target.limit, keys, counts[1:], is_exact=is_exact), gaps

    def alone(self) -> Counts:
        """Count the target by itself."""
        codes = self.codes[self.codes >= 0]
        if self.target.task is Task.REGRESSION:
            return np.array([len(codes), codes.sum()], dtype=np.int64)
        return np.bincount(codes, minlength=self.target.n_groups).astype(np.int64)


@dataclass(frozen=True, slots=True)
class ProfiledTarget:
    """What is to be learned, as far as a profile needs it.

    Attributes
    ----------
    column : Column
        The target.
    task : Task
        Given, or inferred as a run would.
    classes : tuple
        The most frequent labels in sorted order, at most 50; empty for regression.
    has_others : bool
        Whether there are more classes, counted together.
    low, high : float
        Range of a regression's target.
    """

    column: Column
    task: Task
    classes: tuple[Any, ...] = ()
    has_others: bool = False
    low: float = 0.0
    high: float = 0.0

    @classmethod
    def of(cls, column: Column, seen: ColumnProfile, task: Task | str | None) -> ProfiledTarget:
        """Decide the task, and which classes are told apart.

        Raises
        ------
        DataError
            For dates, for texts as a regression, and for a task that one column cannot pose.
        """
        chosen = task_of(column, seen) if task is None else Task(task)
        if column.kind is ColumnKind.DATETIME:
            raise DataError(f"The target '{column.name}' holds dates. Derive a number or a label from them.")
        if chosen is Task.MULTILABEL:
            raise DataError("task = 'multilabel' cannot be learned from one target column. Use binary or multiclass.")
        if chosen is Task.REGRESSION:
            if column.kind is ColumnKind.CATEGORICAL:
                raise DataError(
                    f"The target '{column.name}' is text, which a regression cannot learn. "
                    f"Choose --task binary or multiclass, or convert the column."
                )
            return cls(column, chosen, low=float(seen.min or 0.0), high=float(seen.max or 0.0))
        labels = [label for label, _ in seen.top]
        if seen.distinct is None:
            raise DataError(
                f"The target '{column.name}' has more distinct values than a classification can have. "
                f"Choose --task regression, or another target."
            )
        return cls(column, chosen, tuple(sorted(labels[:MOST_CLASSES])), len(labels) > MOST_CLASSES)

    @property
    def n_groups(self) -> int:
        """Columns of a crosstab with the target."""
        return 2 if self.task is Task.REGRESSION else max(1, len(self.classes) + self.has_others)

    @property
    def limit(self) -> Limit:
        """Up to how many values of a column are kept apart."""
        return Limit(min(MOST_VALUES, max(1024, MOST_CELLS // self.n_groups)), 10 if self.n_groups <= 8 else 7)

    def rows(self, values: pa.Array) -> TargetRows:
        """Return the target of some rows from its stored column."""
        if self.task is Task.REGRESSION:
            numbers = arrays.numbers(values)
            there = np.isfinite(numbers)
            scale = (self.high - self.low) or 1.0
            steps = np.clip((np.where(there, numbers, self.low) - self.low) / scale, 0.0, 1.0) * (1 << STEPS)
            return TargetRows(self, np.where(there, np.rint(steps).astype(np.int64), -1))
        codes = arrays.levels(values).coded({label: code for code, label in enumerate(self.classes)})
        others = len(self.classes) if self.has_others else arrays.MISSING
        return TargetRows(self, np.where(codes == arrays.UNKNOWN, others, codes))
