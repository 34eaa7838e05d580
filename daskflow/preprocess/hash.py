"""Levels hashed into a fixed number of columns: nothing is learned, so there may be any number of levels."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse
from sklearn.feature_extraction import FeatureHasher

from daskflow.data.arrays import MISSING, Level
from daskflow.preprocess import Step
from daskflow.preprocess.steps import Fitted, Flow, Form, OneHot, Output, SparseColumns, State

MOST_FEATURES = 1 << 20


@dataclass(frozen=True, slots=True)
class Hashed(Fitted):
    """A level's hash says which column has its 1, or its -1.

    Attributes
    ----------
    n_features : int
        Columns.
    signed : bool
        Whether half of the levels have -1.
    indicator : bool
        Whether a last column says where a value is missing.
    """

    kind: ClassVar[str] = "hash"

    n_features: int
    signed: bool
    indicator: bool

    @property
    def n_indicators(self) -> int:
        """Number of columns."""
        return self.n_features + self.indicator

    def apply(self, flow: Flow) -> Flow:
        """Hash every distinct level once; a missing value has zeros."""
        found = flow.levels()
        columns, signs = self._hashed(found.values)
        codes = found.replaced(columns.tolist())
        if self.signed:
            outputs: list[Output] = [_signed(codes, np.append(signs, 0.0)[found.codes], self.n_features)]
        else:
            outputs = [OneHot(codes, self.n_features)]
        if self.indicator:
            outputs.append((found.codes == MISSING).astype(np.float64))
        return flow.finished(*outputs)

    def _hashed(self, levels: list[Level]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Each level's column, and its sign."""
        if not levels:
            return np.empty(0, dtype=np.int64), np.empty(0)
        matrix = _hasher(self.n_features, self.signed).transform([[_text_of(level)] for level in levels])
        return matrix.indices.astype(np.int64), matrix.data


@cache
def _hasher(n_features: int, signed: bool) -> FeatureHasher:
    return FeatureHasher(n_features, input_type="string", alternate_sign=signed)


def _text_of(level: Level) -> str:
    """Return what is hashed: numbers of one value as one text, whatever type they came in; booleans are 0 and 1."""
    return str(int(level)) if isinstance(level, bool) else str(level)


def _signed(codes: NDArray[np.int64], signs: NDArray[np.float64], width: int) -> SparseColumns:
    """Lay out at most one entry in each row."""
    is_there = codes >= 0
    ends = np.concatenate([[0], np.cumsum(is_there)])
    shape = (len(codes), width)
    return SparseColumns(sparse.csr_matrix((signs[is_there], codes[is_there].astype(np.int32), ends), shape=shape))


class Hash(Step):
    """Hash levels into a fixed number of columns of 0 and 1 (or -1), named ``COLUMN_hash0``...

    For columns of very many levels: nothing is counted, nothing is remembered, and a level never seen has its column
    like any other. Levels that share a column cannot be told apart; of L levels a share of about L / (2 n_features)
    meets another. The same columns and signs as scikit-learn's FeatureHasher for the level as text (murmurhash3). A
    missing value is a row of zeros, and 1 in ``COLUMN_missing`` when values were missing in training.

    Attributes
    ----------
    n_features : int
        Columns, 2 to 2**20; default 1024. A matrix of more than 256 columns, most of them of this sort, is sparse for
        models that take it.
    signed : bool
        Give half of the levels -1 instead of 1, so that those that meet cancel out in the mean; default True, as
        scikit-learn's ``alternate_sign``.
    """

    kind: Literal["hash"] = "hash"
    n_features: int = Field(default=1024, ge=2, le=MOST_FEATURES)
    signed: bool = True

    takes: ClassVar[frozenset[Form]] = frozenset({Form.LEVELS, Form.NUMBERS})
    fitted: ClassVar[type[Fitted]] = Hashed
    counts_itself: ClassVar[bool] = True

    def gives(self, form: Form) -> Form:
        """Finished columns."""
        return Form.COLUMNS

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Name the columns."""
        name, indicator = state.column.name, state.statistics.n_missing > 0
        names = [f"{name}_hash{number}" for number in range(self.n_features)]
        names += [f"{name}_missing"] if indicator else []
        fitted = Hashed(self.n_features, self.signed, indicator)
        return fitted, replace(state, form=Form.COLUMNS, outputs=(*state.outputs, *names))
