"""Categories turned into numbers: one column per level, or one code per level."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Self

import numpy as np
from pydantic import FiniteFloat, StrictBool, StrictInt, StrictStr, field_validator, model_validator

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data.arrays import MISSING, UNKNOWN, Level, Levels
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.steps import Fitted, Flow, Form, OneHot, Single, State

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


def n_unseen(levels: Levels, known: Iterable[Level], *, knows_missing: bool) -> int:
    """Return the rows whose level is not known; missing values are one more level."""
    seen = set(known)
    unknown = sum(count for level, count in levels.counts().items() if level not in seen)
    return unknown if knows_missing else unknown + int((levels.codes == MISSING).sum())


def refuse_unknown(column: str, levels: Levels, known: Iterable[Level]) -> None:
    """Raise DataError when rows have levels that are not known."""
    seen = set(known)
    unknown = {level: count for level, count in levels.counts().items() if level not in seen}
    if unknown:
        shown = ", ".join(f"{level!r:.60} ({count:,})" for level, count in list(unknown.items())[:5])
        more = f" and {len(unknown) - 5:,} more" if len(unknown) > 5 else ""
        raise DataError(
            f"Column '{column}' has levels that training did not have: {shown}{more} (rows in brackets). Correct them, "
            f"or train with unknown set to something else than 'error'."
        )


@dataclass(frozen=True, slots=True)
class Indicators(Fitted):
    """A column of 0 and 1 for each level.

    Attributes
    ----------
    column : str
        Its name, for messages.
    levels : tuple of levels
        In the order of their columns; without the one that has no column.
    without : tuple of levels
        Levels without a column: one or none.
    has_missing : bool
        Whether missing values have a column, the last.
    unknown : str
        ``ignore``, ``infrequent`` or ``error``.
    rare : str or None
        The level of the rare ones.
    """

    kind: ClassVar[str] = "onehot"

    column: str
    levels: tuple[Level, ...]
    without: tuple[Level, ...]
    has_missing: bool
    unknown: str
    rare: str | None

    @property
    def n_indicators(self) -> int:
        """Number of columns."""
        return len(self.levels) + self.has_missing

    def apply(self, flow: Flow) -> Flow:
        """Look the levels up; unknown ones, and missing ones without a column, are zeros."""
        found = flow.levels()
        if self.unknown == "error":
            refuse_unknown(self.column, found, (*self.levels, *self.without))
        places = {level: place for place, level in enumerate(self.levels)}
        codes = found.coded(places | dict.fromkeys(self.without, UNKNOWN - 1))
        if self.unknown == "infrequent" and self.rare in places:
            codes[codes == UNKNOWN] = places[self.rare]
        if self.has_missing:
            codes[found.codes == MISSING] = self.n_indicators - 1
        return flow.finished(OneHot(codes, self.n_indicators))

    def single(self) -> Single | None:
        """Look one level up; None where an unknown one is an error."""
        if self.unknown == "error":
            return None
        places: dict[Level | None, int] = {level: place for place, level in enumerate(self.levels)}
        unknown = places[self.rare] if self.unknown == "infrequent" and self.rare in places else UNKNOWN
        places |= dict.fromkeys(self.without, UNKNOWN)
        places[None] = self.n_indicators - 1 if self.has_missing else MISSING
        return Single(lambda value: places.get(value, unknown), "level", "place")

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of unknown levels."""
        return n_unseen(flow.levels(), (*self.levels, *self.without), knows_missing=self.has_missing)


class OneHotColumns(Step):
    """Make a column of 0 and 1 for each level, in sorted order, named ``COLUMN_LEVEL``.

    A missing value is a level of its own, ``(missing)``, when it occurred in training, else a row of zeros; so is a
    level never seen, which `FittedPreprocessor.unseen` counts. A matrix of more than 256 columns, most of them of this
    sort, is sparse for models that take it.

    Attributes
    ----------
    drop : str, optional
        ``first`` leaves the first level's column out, ``if_binary`` only where there are two; default none.
    reference : str, number or boolean, optional
        The level whose column is left out, instead of `drop`; training must have it.
    unknown : str
        What a level never seen becomes: ``ignore`` (default) a row of zeros; ``infrequent`` joins the rare ones if
        'rare' stands before with ``unknown = "keep"`` and found some, else zeros; ``error`` refuses the rows.
    """

    kind: Literal["onehot"] = "onehot"
    drop: Literal["first", "if_binary"] | None = None
    reference: StrictBool | StrictInt | FiniteFloat | StrictStr | None = None
    unknown: Literal["ignore", "infrequent", "error"] = "ignore"

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = Indicators

    @model_validator(mode="after")
    def _one_rule_of_dropping(self) -> Self:
        if self.drop is not None and self.reference is not None:
            raise ValueError("drop and reference both say which column is left out; give one of them")
        return self

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
        n_columns = len(ordered) + has_missing
        if n_columns > MOST_COLUMNS:
            raise DataError(
                f"Column '{name}' has {n_columns:,} levels; 'onehot' makes at most {MOST_COLUMNS:,} columns of one. "
                f"Group them before with {{ kind = 'rare', min_frequency = 0.001 }} or max_levels = 1000, take 'hash', "
                f"'target', 'frequency' or 'ordinal', or drop the column."
            )
        without = self._without(name, ordered, has_missing)
        levels = [level for level in ordered if level not in without]
        labels = [str(level) for level in levels] + ([free_name("(missing)", ordered)] if has_missing else [])
        fitted = Indicators(name, tuple(levels), tuple(without), has_missing, self.unknown, state.rare)
        names = [f"{name}_{label}" for label in labels]
        return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *names))

    def _without(self, name: str, ordered: list[Level], has_missing: bool) -> list[Level]:
        """The levels that get no column."""
        n_columns = len(ordered) + has_missing
        if n_columns == 1:
            return ordered
        if self.reference is not None:
            if self.reference not in ordered:
                raise DataError(
                    f"Column '{name}': reference = {self.reference!r} is none of its levels in training"
                    f"{nearest(str(self.reference), [str(level) for level in ordered])}"
                )
            return [level for level in ordered if level == self.reference]
        return ordered[:1] if self.drop == "first" or (self.drop == "if_binary" and n_columns == 2) else []


@dataclass(frozen=True, slots=True)
class Coded(Fitted):
    """Levels replaced by their place.

    Attributes
    ----------
    column : str
        Its name, for messages.
    levels : tuple of levels
        In order.
    unknown, missing : float or None
        Codes of levels never seen, and of missing values; None: not a number.
    refuses : bool
        Whether a level never seen is an error.
    has_missing : bool
        Whether training had missing values.
    """

    kind: ClassVar[str] = "ordinal"

    column: str
    levels: tuple[Level, ...]
    unknown: float | None
    missing: float | None
    refuses: bool
    has_missing: bool

    def apply(self, flow: Flow) -> Flow:
        """Look the levels up."""
        found = flow.levels()
        if self.refuses:
            refuse_unknown(self.column, found, self.levels)
        codes = found.coded({level: place for place, level in enumerate(self.levels)})
        numbers = codes.astype(np.float64)
        numbers[codes < MISSING] = math.nan if self.unknown is None else self.unknown
        numbers[codes == MISSING] = math.nan if self.missing is None else self.missing
        return replace(flow, values=numbers)

    def single(self) -> Single | None:
        """Look one level up; None where an unknown one is an error."""
        if self.refuses:
            return None
        codes: dict[Level | None, float] = {level: float(place) for place, level in enumerate(self.levels)}
        codes[None] = math.nan if self.missing is None else self.missing
        unknown = math.nan if self.unknown is None else self.unknown
        return Single(lambda value: codes.get(value, unknown), "level", "number")

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of unknown levels."""
        return n_unseen(flow.levels(), self.levels, knows_missing=self.has_missing)


class Ordinal(Step):
    """Replace levels by their place in sorted order: 0, 1, 2... (the level of the rare ones last).

    Attributes
    ----------
    order : list of levels, optional
        Another order, such as ``["low", "middle", "high"]``; it must name every level of the training rows, and may
        name more. The level of the rare ones, where there is one, is last all the same.
    unknown : float, ``"nan"`` or ``"error"``
        Code of levels never seen; default -1; ``"nan"`` makes them missing, ``"error"`` refuses the rows.
    missing : float or ``"nan"``
        Code of missing values; default -2; ``"nan"`` leaves them missing, for models that take them.
    """

    kind: Literal["ordinal"] = "ordinal"
    order: tuple[StrictBool | StrictInt | FiniteFloat | StrictStr, ...] | None = None
    unknown: FiniteFloat | Literal["nan", "error"] = -1.0
    missing: FiniteFloat | Literal["nan"] = -2.0

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = Coded

    @field_validator("order")
    @classmethod
    def _each_once(cls, value: tuple[Level, ...] | None) -> tuple[Level, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("names a level twice")
        return value

    def gives(self, form: Form) -> Form:
        """Codes."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str]:
        """Levels."""
        return frozenset({"levels"})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Number the levels; the codes' statistics follow from the counts."""
        counts = state.statistics.levels or {}
        ordered = self._ordered(state)
        unknown = None if isinstance(self.unknown, str) else float(self.unknown)
        missing = None if isinstance(self.missing, str) else float(self.missing)
        there = [place for place, level in enumerate(ordered) if level in counts]
        after = state.statistics.counted(np.array(there, dtype=np.float64), [counts[ordered[place]] for place in there])
        if missing is not None:
            after = after.filled(missing)
        has_missing = state.statistics.n_missing > 0
        fitted = Coded(state.column.name, tuple(ordered), unknown, missing, self.unknown == "error", has_missing)
        return fitted, replace(state, form=Form.MEASURES, statistics=replace(after, levels=None), rare=None)

    def _ordered(self, state: State) -> list[Level]:
        """The levels in the order of their codes."""
        found = in_order(state)
        if self.order is None:
            return found
        given = [level for level in self.order if level != state.rare]
        known = set(given)
        forgotten = [level for level in found if level not in known and level != state.rare]
        if forgotten:
            shown = ", ".join(f"{level!r:.60}" for level in forgotten[:5])
            more = f" and {len(forgotten) - 5:,} more" if len(forgotten) > 5 else ""
            raise DataError(
                f"Column '{state.column.name}': order does not name {shown}{more}, which the training rows have. Add "
                f"them, or group them before with 'rare'."
            )
        return [*given, *([state.rare] if state.rare is not None else [])]
