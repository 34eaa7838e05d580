"""Categories turned into numbers: rare levels grouped, one column per level, or one code per level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, FiniteFloat

from daskflow.core.errors import DataError
from daskflow.data.arrays import MISSING, Level, Levels
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.steps import Fitted, Flow, Form, OneHot, State

MOST_COLUMNS = 10_000
"""Columns that one column may become."""


def free_name(name: str, taken: Iterable[Level]) -> str:
    """Return `name`, with a number behind it when the data has a level of that name.

    Examples
    --------
    >>> free_name("(rare)", ["a", "(rare)"])
    '(rare) 2'
    """
    used, number, free = set(taken), 2, name
    while free in used:
        free, number = f"{name} {number}", number + 1
    return free


def in_order(state: State) -> list[Level]:
    """Return a state's levels sorted, the one of the rare levels last."""
    counts = state.statistics.levels
    if counts is None:
        raise DataError(
            f"Column '{state.column.name}' has no levels after a step that changed its values. Encode it first."
        )
    return sorted(counts, key=lambda level: (level == state.rare, isinstance(level, str), level))


def n_unseen(levels: Levels, known: Iterable[Level]) -> int:
    """Return the rows whose level is not known; missing ones do not count."""
    seen = set(known)
    return sum(count for level, count in levels.counts().items() if level not in seen)


@dataclass(frozen=True, slots=True)
class Grouped(Fitted):
    """Levels that are not kept replaced by `name`.

    Attributes
    ----------
    kept, rare : tuple of levels
        Frequent in training; seen in training, but rarely.
    name : str or None
        What rare and unseen levels become; None when no level was rare, so that unseen ones stay unknown.
    """

    kind: ClassVar[str] = "rare"

    kept: tuple[Level, ...]
    rare: tuple[Level, ...]
    name: str | None

    def apply(self, flow: Flow) -> Flow:
        """Replace in the dictionary; rows keep their codes."""
        found = flow.levels()
        if self.name is None:
            return replace(flow, values=found)
        kept = set(self.kept)
        return replace(flow, values=Levels(found.codes, [v if v in kept else self.name for v in found.values]))

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of levels that training did not have."""
        return n_unseen(flow.levels(), (*self.kept, *self.rare))


class Rare(Step):
    """Make one level, ``(rare)``, of those that are rare in training; a level never seen joins it.

    Without a rare level in training a level never seen is unknown to the next step. Missing values stay missing.

    Attributes
    ----------
    min_frequency : float
        Levels of a smaller share of the rows are rare; default 0.001, the same rule as OneHotEncoder's.
    min_count : int, optional
        Levels of fewer rows are rare.
    max_levels : int, optional
        So many levels are kept at most: the most frequent, of equal ones the first in order.
    """

    kind: Literal["rare"] = "rare"
    min_frequency: float = Field(default=0.001, ge=0, lt=1)
    min_count: int | None = Field(default=None, ge=1)
    max_levels: int | None = Field(default=None, ge=1)

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = Grouped

    def gives(self, form: Form) -> Form:
        """Categories."""
        return Form.LEVELS

    def statistics(self, column: Column) -> frozenset[str]:
        """Levels."""
        return frozenset({"levels"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Divide the levels by their counts."""
        ordered = in_order(state)
        counts: Mapping[Level, int] = state.statistics.levels or {}
        least = max(self.min_frequency * state.statistics.n_rows, self.min_count or 0)
        frequent = [level for level in ordered if counts[level] >= least]
        if self.max_levels is not None:
            frequent = sorted(frequent, key=lambda level: -counts[level])[: self.max_levels]  # stable: first in order
        chosen = set(frequent)
        kept = tuple(level for level in ordered if level in chosen)
        rare = tuple(level for level in ordered if level not in chosen)
        name = free_name("(rare)", ordered) if rare else None
        after: dict[Level, int] = {level: counts[level] for level in kept}
        if name is not None:
            after[name] = sum(counts[level] for level in rare)
        statistics = replace(state.statistics, levels=after)
        return Grouped(kept, rare, name), replace(state, form=Form.LEVELS, statistics=statistics, rare=name)


@dataclass(frozen=True, slots=True)
class Indicators(Fitted):
    """A column of 0 and 1 for each level.

    Attributes
    ----------
    levels : tuple of levels
        In the order of the columns.
    has_missing : bool
        Whether missing values have a column, the last.
    drop_first : bool
        Whether the first level has no column.
    """

    kind: ClassVar[str] = "onehot"

    levels: tuple[Level, ...]
    has_missing: bool
    drop_first: bool

    @property
    def n_indicators(self) -> int:
        """Number of columns."""
        return len(self.levels) + self.has_missing - self.drop_first

    def apply(self, flow: Flow) -> Flow:
        """Look the levels up; unknown ones, and missing ones without a column, are zeros."""
        found = flow.levels()
        codes = found.coded({level: place - self.drop_first for place, level in enumerate(self.levels)})
        if self.has_missing:
            codes[found.codes == MISSING] = self.n_indicators - 1
        return flow.finished(OneHot(codes, self.n_indicators))

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of unknown levels."""
        return n_unseen(flow.levels(), self.levels)


class OneHotColumns(Step):
    """Make a column of 0 and 1 for each level, in sorted order, named ``COLUMN_LEVEL``.

    A missing value is a level of its own, ``(missing)``, when it occurred in training, else a row of zeros; so is a
    level never seen, which `FittedPreprocessor.unseen` counts.

    Attributes
    ----------
    drop : str, optional
        ``first`` leaves the first level's column out, ``if_binary`` only where there are two; default none.
    """

    kind: Literal["onehot"] = "onehot"
    drop: Literal["first", "if_binary"] | None = None

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = Indicators

    def gives(self, form: Form) -> Form:
        """Finished columns."""
        return Form.COLUMNS

    def statistics(self, column: Column) -> frozenset[str]:
        """Levels."""
        return frozenset({"levels"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Name the columns; a single level without missing values has none, for it says nothing."""
        ordered = in_order(state)
        name = state.column.name
        has_missing = state.statistics.n_missing > 0
        labels = [*ordered, free_name("(missing)", ordered)] if has_missing else ordered
        if len(labels) > MOST_COLUMNS:
            raise DataError(
                f"Column '{name}' has {len(labels):,} levels; 'onehot' makes at most {MOST_COLUMNS:,} columns of one. "
                f"Group them before with {{ kind = 'rare', min_frequency = 0.001 }} or max_levels = 1000, take "
                f"'ordinal', or drop the column."
            )
        if len(labels) == 1:
            ordered, labels, has_missing = ordered[:0], [], False
        drop_first = bool(labels) and (self.drop == "first" or (self.drop == "if_binary" and len(labels) == 2))
        names = [f"{name}_{label}" for label in labels][int(drop_first) :]
        fitted = Indicators(tuple(ordered), has_missing, drop_first)
        return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *names))


@dataclass(frozen=True, slots=True)
class Coded(Fitted):
    """Levels replaced by their place; unknown and missing ones by codes of their own (missing None: not a number)."""

    kind: ClassVar[str] = "ordinal"

    levels: tuple[Level, ...]
    unknown: float
    missing: float | None

    def apply(self, flow: Flow) -> Flow:
        """Look the levels up."""
        found = flow.levels()
        codes = found.coded({level: place for place, level in enumerate(self.levels)})
        numbers = np.where(codes < MISSING, self.unknown, codes).astype(np.float64)
        numbers[codes == MISSING] = math.nan if self.missing is None else self.missing
        return replace(flow, values=numbers)

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of unknown levels."""
        return n_unseen(flow.levels(), self.levels)


class Ordinal(Step):
    """Replace levels by their place in sorted order: 0, 1, 2... (the level of the rare ones last).

    Attributes
    ----------
    unknown : float
        Code of levels never seen; default -1.
    missing : float or ``"nan"``
        Code of missing values; default -2; ``"nan"`` leaves them missing, for models that take them.
    """

    kind: Literal["ordinal"] = "ordinal"
    unknown: FiniteFloat = -1.0
    missing: FiniteFloat | Literal["nan"] = -2.0

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = Coded

    def gives(self, form: Form) -> Form:
        """Codes."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Levels."""
        return frozenset({"levels"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Number the levels; the codes' statistics follow from the counts."""
        ordered = in_order(state)
        counts = state.statistics.levels or {}
        missing = None if self.missing == "nan" else float(self.missing)
        after = state.statistics.counted(np.arange(len(ordered), dtype=np.float64), [counts[v] for v in ordered])
        if missing is not None:
            after = after.filled(missing)
        fitted = Coded(tuple(ordered), self.unknown, missing)
        return fitted, replace(state, form=Form.MEASURES, statistics=replace(after, levels=None), rare=None)
