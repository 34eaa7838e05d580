"""Levels replaced by how often they occur in the training rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data.arrays import Numbers
from daskflow.data.hashing import Hashes
from daskflow.data.schema import Column
from daskflow.data.tallies import Tally
from daskflow.preprocess import Step
from daskflow.preprocess.level_counts import (
    PART_BITS,
    LevelCounts,
    LevelTally,
    check_hashing,
    coded_values,
    hashed_sentence,
    own_hashing,
    places_of,
    wide,
)
from daskflow.preprocess.packing import PackedFitted
from daskflow.preprocess.steps import Fitted, Flow, Form, State


@dataclass(frozen=True, slots=True, eq=False)
class FrequencyEncoded(PackedFitted):
    """Levels replaced by a number each; 0 for levels never seen.

    Attributes
    ----------
    ids : ndarray of uint64, shape (n_levels,)
        Ascending hashes of the levels, or of the buckets that they share.
    counts : ndarray of unsigned integers, shape (n_levels,)
        Rows of each in training.
    n_rows : int
        Rows of training.
    method : str
        ``share``, ``count`` or ``log``.
    bits : int
        Bits of an id.
    hashing : int
        Tells whether this installation hashes levels as training did.
    """

    kind: ClassVar[str] = "frequency"

    ids: Hashes
    counts: NDArray[np.unsignedinteger]
    n_rows: int
    method: str
    bits: int
    hashing: int

    def numbers(self) -> Numbers:
        """Return what each level becomes, and at last what a level never seen becomes."""
        found = np.append(self.counts, np.zeros(1, self.counts.dtype)).astype(np.float64)
        return np.log1p(found) if self.method == "log" else found / (self.n_rows if self.method == "share" else 1)

    def apply(self, flow: Flow) -> Flow:
        """Look every row's level up."""
        codes, places = self._places(flow)
        return replace(flow, values=self.numbers()[places][codes])

    def unseen(self, flow: Flow) -> int | None:
        """Count rows of levels that training did not have; a missing value is one when training had none."""
        codes, places = self._places(flow)
        return int((places[codes] == len(self.ids)).sum())

    def _places(self, flow: Flow) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Each row's code, and where the levels that codes mean stand in the table."""
        check_hashing(self.hashing)
        codes, ids = coded_values(flow.values)
        return codes, places_of(ids, self.ids, self.bits)


class Frequency(Step):
    """Replace levels by how often they occur in the training rows; a level never seen is 0.

    A missing value is a level of its own. Levels of the same frequency become the same number. For a linear model put
    'scale' behind it. A level costs 9 to 12 bytes. There may be any number: more than 2**20 levels are hashed into
    2**20 buckets, which a warning says.

    Attributes
    ----------
    method : str
        ``share`` of the rows (default), ``count`` of the rows, or ``log``, the logarithm of 1 + count.
    """

    kind: Literal["frequency"] = "frequency"
    method: Literal["share", "count", "log"] = "share"

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = FrequencyEncoded
    counts_itself: ClassVar[bool] = True
    follows: ClassVar[frozenset[str] | None] = frozenset({"rare", "passthrough"})

    def gives(self, form: Form) -> Form:
        """Frequencies."""
        return Form.MEASURES

    def statistics(self, column: Column) -> frozenset[str | Tally]:
        """Rows of each level."""
        return frozenset({LevelTally()})

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Keep the counts; statistics of the frequencies follow from them."""
        name, before = state.column.name, state.statistics
        counted: LevelCounts | None = before.tallies.get(LevelTally())
        if counted is None:
            raise DataError(f"Column '{name}': 'frequency' counts the column's own values. Put it first.")
        ids, counts = counted.keys >> np.uint64(PART_BITS), counted.counts[:, 0]
        fitted = FrequencyEncoded(ids, counts, before.n_rows, self.method, counted.bits, own_hashing())
        after = replace(before, n_missing=0).counted(fitted.numbers()[:-1], wide(counts))
        warnings = (*state.warnings, *([hashed_sentence(name, counted)] if counted.is_hashed else []))
        return fitted, replace(state, form=Form.MEASURES, statistics=after, rare=None, warnings=warnings)
