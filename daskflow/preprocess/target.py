"""Levels replaced by the mean of the target over the rows that have them, out of fold for training rows.

The encoding is that of scikit-learn's ``TargetEncoder``: a level's mean, drawn towards the mean of all rows. A training
row is encoded from the rows of the four other inner parts of the training rows, the mean of all rows included; so no
row's own target, nor that of another row of its group or key, is in its encoding. Rows that are new are encoded from
all training rows.

Source: Daniele Micci-Barreca, "A preprocessing scheme for high-cardinality categorical attributes in classification and
prediction problems", SIGKDD Explorations 3 (2001), equations 3 to 7.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, FiniteFloat

from daskflow.core.errors import DataError
from daskflow.data.arrays import Numbers
from daskflow.data.hashing import Hashes
from daskflow.data.schema import Column
from daskflow.data.tallies import INNER_PARTS, Tally
from daskflow.preprocess import Step
from daskflow.preprocess.group_sums import KEPT, values_of
from daskflow.preprocess.level_counts import (
    LevelCounts,
    LevelTally,
    Places,
    check_hashing,
    coded_values,
    hashed_sentence,
    own_hashing,
    places_of,
    wide,
)
from daskflow.preprocess.packing import PackedFitted
from daskflow.preprocess.steps import Fitted, Flow, Form, State

ALL = INNER_PARTS
"""Place of what all rows say, after what each inner part is told by the others."""


@dataclass(frozen=True, slots=True, eq=False)
class TargetEncoded(PackedFitted):
    """Levels replaced by numbers, others for the training rows of each inner part.

    Attributes
    ----------
    ids : ndarray of uint64, shape (n_levels,)
        Ascending hashes of the levels, or of the buckets that they share.
    priors : ndarray of float64, shape (6, n_columns)
        What a level never seen becomes: for rows of inner part 0 to 4, and for new rows.
    deviations : ndarray of float32, shape (6, n_levels, n_columns)
        What is added to the prior for each level.
    bits : int
        Bits of an id.
    hashing : int
        Tells whether this installation hashes levels as training did.
    """

    kind: ClassVar[str] = "target"

    ids: Hashes
    priors: NDArray[np.float64]
    deviations: NDArray[np.float32]
    bits: int
    hashing: int

    @property
    def is_out_of_fold(self) -> bool:
        """Training rows are encoded from the rows of other parts."""
        return True

    def apply(self, flow: Flow) -> Flow:
        """Look every row's level up."""
        codes, places = self._places(flow)
        which = np.full(len(codes), ALL) if flow.parts is None else flow.parts
        rows = places[codes]
        is_known = rows < len(self.ids)
        values = self.priors[which]
        values[is_known] += self.deviations[which[is_known], rows[is_known]]
        columns = np.ascontiguousarray(values.T)
        return replace(flow, values=columns[0]) if len(columns) == 1 else flow.finished(*columns)

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of levels that training did not have; a missing value is one when training had none."""
        codes, places = self._places(flow)
        return int((places[codes] == len(self.ids)).sum())

    def _places(self, flow: Flow) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each row's code, and where the levels that codes mean stand in the table."""
        check_hashing(self.hashing)
        codes, ids = coded_values(flow.values)
        return codes, places_of(ids, self.ids, self.bits)


class TargetMean(Step):
    """Replace levels by the smoothed mean of the target over their rows, out of fold for training rows.

    A binary target gives one column, the share of the positive class; more classes give one column each, named
    ``COLUMN_CLASS``; a regression one column of means. A missing value is a level of its own. A level that training did
    not have, or only in the row's own inner part, becomes the mean of all (other) rows. Sample weights are not looked
    at. For a linear model put 'scale' behind it.

    A level costs 10 to 16 bytes for each of the five inner parts that it occurs in (binary; more classes 4 bytes each;
    regression 36, or 60 with ``smooth = "auto"``), and 32 bytes in the fitted step. Neither exceeds 32 MiB: a column
    of more levels (420,000 to a million for a binary target, 110,000 to 130,000 for a regression) is hashed into 2**18
    buckets (a regression 2**15 or 2**16), which a warning says. Sums of a regression's target lose less than 2**-64 of
    its largest size for each row, whatever the order of adding.

    Attributes
    ----------
    smooth : float or ``"auto"``
        How many rows of the overall mean are added to each level's; ``auto`` (default, as scikit-learn's
        TargetEncoder): as many as the spread within the level asks for, by empirical Bayes.
    """

    kind: Literal["target"] = "target"
    smooth: Annotated[FiniteFloat, Field(ge=0)] | Literal["auto"] = "auto"

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = TargetEncoded
    needs_target: ClassVar[bool] = True
    counts_itself: ClassVar[bool] = True
    follows: ClassVar[frozenset[str] | None] = frozenset({"rare", "passthrough"})

    def gives(self, form: Form) -> Form:
        """Means; of more than two classes finished columns."""
        return Form.MEASURES

    @property
    def _tally(self) -> LevelTally:
        return LevelTally(of_target=True, squares=self.smooth == "auto")

    def statistics(self, column: Column) -> frozenset[str | Tally]:
        """Rows of each level by inner part and class, or sums of the target."""
        return frozenset({self._tally})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Encode every level six times: from the other parts of each part, and from all."""
        name = state.column.name
        counted: LevelCounts | None = state.statistics.tallies.get(self._tally)
        if counted is None:
            raise DataError(f"Column '{name}': 'target' counts the column's own values. Put it first.")
        warnings = (*state.warnings, *([hashed_sentence(name, counted)] if counted.is_hashed else []))
        if len(counted.ids) > 1 and len(counted.ids) == len(counted.keys):
            warnings = (
                *warnings,
                f"Column '{name}': no level occurs in more than one inner part of the training rows, so it says "
                f"nothing about other rows; it is left out.",
            )
        fitted, points, rows = _encoded(counted, self.smooth)
        after = replace(state, statistics=replace(state.statistics, n_missing=0), rare=None, warnings=warnings)
        if len(counted.ids) in (1, len(counted.keys)):
            return fitted, replace(after, form=Form.COLUMNS)
        if len(counted.classes) > 2:
            names = tuple(f"{name}_{label}" for label in counted.classes)
            return fitted, replace(after, form=Form.COLUMNS, outputs=(*state.outputs, *names))
        return fitted, replace(after, form=Form.MEASURES, statistics=after.statistics.counted(points, rows))


@dataclass(frozen=True, slots=True)
class _Sums:
    """What some rows say of each level: how many they are, and sums of shape (n_levels, n_columns)."""

    rows: NDArray[np.int64]
    target: NDArray[Any]
    squares: NDArray[Any]
    total: NDArray[Any]
    total_squares: NDArray[Any]
    unknown: float


def _encoded(counted: LevelCounts, smooth: float | str) -> tuple[TargetEncoded, Numbers, NDArray[np.int64]]:
    """Return the fitted step; and what the training rows become, with how many of them."""
    ids = counted.ids
    by_part = counted.by_part(ids)
    sums = _sums_of_classes if counted.sums is None else _sums_of_numbers
    priors, deviations = zip(*(_smoothed(found, smooth) for found in sums(counted, by_part, len(ids))), strict=True)
    fitted = TargetEncoded(ids, np.stack(priors), np.stack(deviations), counted.bits, own_hashing())
    points = [priors[part][0] + deviations[part][levels, 0].astype(float) for part, (levels, _) in enumerate(by_part)]
    rows = [wide(counted.counts[entries]).sum(axis=1) for _, entries in by_part]
    return fitted, np.concatenate(points), np.concatenate(rows)


def _sums_of_classes(counted: LevelCounts, by_part: Places, n_levels: int) -> Iterator[_Sums]:
    """Without each part in turn, and of all rows: a class is a target of 0 and 1, which is its own square."""
    n_classes = counted.counts.shape[1]
    total = np.zeros((n_levels, n_classes), dtype=np.int64)
    for levels, entries in by_part:
        total[levels] += counted.counts[entries]
    chosen = slice(None) if n_classes > 2 else slice(n_classes - 1, None)
    for without in (*by_part, None):
        rest = total.copy()
        if without is not None:
            rest[without[0]] -= counted.counts[without[1]]
        ones = rest[:, chosen]
        yield _Sums(rest.sum(axis=1), ones, ones, ones.sum(axis=0), ones.sum(axis=0), 1 / n_classes)


def _sums_of_numbers(counted: LevelCounts, by_part: Places, n_levels: int) -> Iterator[_Sums]:
    """Without each part in turn, and of all rows; digits are integers: what is taken away leaves no trace."""
    sums = counted.sums or ()
    rows = np.zeros(n_levels, dtype=np.int64)
    digits = np.zeros((len(sums), n_levels, KEPT), dtype=np.int64)
    for levels, entries in by_part:
        rows[levels] += counted.counts[entries, 0]
        for number, each in enumerate(sums):
            digits[number, levels] += each.digits[entries]
    for without in (*by_part, None):
        left, rest = rows.copy(), digits.copy()
        if without is not None:
            left[without[0]] -= counted.counts[without[1], 0]
            for number, each in enumerate(sums):
                rest[number, without[0]] -= each.digits[without[1]]
        found = [values_of(rest[number], each.place)[:, None] for number, each in enumerate(sums)]
        totals = [values_of(rest[number].sum(axis=0), each.place)[None] for number, each in enumerate(sums)]
        yield _Sums(left, found[0], found[-1], totals[0], totals[-1], 0.0)


def _smoothed(found: _Sums, smooth: float | str) -> tuple[Numbers, NDArray[np.float32]]:
    """Return the mean of all rows, and how far each level's encoding lies from it."""
    n_rows = int(found.rows.sum())
    if not n_rows:
        prior = np.full(len(found.total), found.unknown)
        return prior, np.zeros(found.target.shape, dtype=np.float32)
    prior, rows = found.total / n_rows, found.rows[:, None]
    with np.errstate(invalid="ignore", divide="ignore"):
        if smooth == "auto":
            variance = np.maximum(found.total_squares / n_rows - np.square(prior), 0.0)
            within = np.maximum(found.squares - np.square(found.target.astype(float)) / rows, 0.0)
            share = variance * rows / (variance * rows + within / rows)
            deviations = share * (found.target / rows - prior)
        else:
            deviations = (found.target - rows * prior) / (rows + float(smooth))
    return prior, np.nan_to_num(deviations, copy=False).astype(np.float32)
