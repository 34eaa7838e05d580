"""Levels that are rare in training made one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from pydantic import Field, FiniteFloat, field_validator

from daskflow.data.arrays import Level, Levels
from daskflow.data.schema import Column
from daskflow.preprocess import Step
from daskflow.preprocess.encode import free_name, in_order, n_unseen
from daskflow.preprocess.level_counts import LevelTally
from daskflow.preprocess.steps import Fitted, Flow, Form, Single, State


@dataclass(frozen=True, slots=True)
class Grouped(Fitted):
    """Levels that are not kept replaced by `name`.

    Attributes
    ----------
    kept, rare : tuple of levels
        Frequent in training; seen in training, but rarely.
    name : str or None
        What rare levels become; None when no level was rare.
    takes_unknown : bool
        Whether levels never seen become `name` too; else they stay as they are, unknown to the next step.
    has_missing : bool
        Whether training had missing values.
    """

    kind: ClassVar[str] = "rare"

    kept: tuple[Level, ...]
    rare: tuple[Level, ...]
    name: str | None
    takes_unknown: bool
    has_missing: bool

    def apply(self, flow: Flow) -> Flow:
        """Replace in the dictionary; rows keep their codes."""
        found = flow.levels()
        if self.name is None:
            return replace(flow, values=found)
        if self.takes_unknown:
            kept = set(self.kept)
            values: list[Level] = [level if level in kept else self.name for level in found.values]
        else:
            rare = set(self.rare)
            values = [self.name if level in rare else level for level in found.values]
        return replace(flow, values=Levels(found.codes, values))

    def single(self) -> Single:
        """Replace one level."""
        name, kept, rare = self.name, set(self.kept), set(self.rare)
        if name is None:
            return Single(lambda value: value, "level", "level")
        if self.takes_unknown:
            return Single(lambda value: value if value is None or value in kept else name, "level", "level")
        return Single(lambda value: name if value in rare else value, "level", "level")

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of levels that training did not have."""
        return n_unseen(flow.levels(), (*self.kept, *self.rare), knows_missing=self.has_missing)


class Rare(Step):
    """Make one level, ``(rare)``, of those that are rare in training; a level never seen joins it.

    Without a rare level in training a level never seen is unknown to the next step. Missing values stay missing.

    Attributes
    ----------
    min_frequency : float or int
        Levels of a smaller share of the rows are rare; default 0.001. From 1 on it is a number of rows; the same rule
        as OneHotEncoder's.
    min_count : int, optional
        Levels of fewer rows are rare, too.
    max_levels : int, optional
        So many levels are kept at most, beside that of the rare ones: the most frequent, of equal ones the first in
        order.
    unknown : str
        What becomes of a level never seen: ``rare`` (default) makes it rare where a level was rare in training,
        ``keep`` leaves it to the next step, which does not know it.
    """

    kind: Literal["rare"] = "rare"
    min_frequency: FiniteFloat = Field(default=0.001, ge=0)
    min_count: int | None = Field(default=None, ge=1)
    max_levels: int | None = Field(default=None, ge=1)
    unknown: Literal["rare", "keep"] = "rare"

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = Grouped

    @field_validator("min_frequency")
    @classmethod
    def _share_or_count(cls, value: float) -> float:
        if value >= 1 and not value.is_integer():
            raise ValueError("should be a share below 1, or a whole number of rows")
        return value

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
        share = self.min_frequency if self.min_frequency < 1 else 0.0
        count = self.min_frequency if self.min_frequency >= 1 else 0.0
        least = max(share * state.statistics.n_rows, count, self.min_count or 0)
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
        tallies = state.statistics.tallies
        if name is not None:
            # steps that count levels themselves go on with the levels as they are now; other tallies no longer hold
            tallies = {t: found.grouped(list(rare), name) for t, found in tallies.items() if isinstance(t, LevelTally)}
        statistics = replace(state.statistics, levels=after, tallies=tallies)
        fitted = Grouped(kept, rare, name, self.unknown == "rare", state.statistics.n_missing > 0)
        return fitted, replace(state, form=Form.LEVELS, statistics=statistics, rare=name)
