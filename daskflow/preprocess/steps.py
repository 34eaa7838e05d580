'''The contract of a step: what a column is along its chain, and what a fitted step does to rows.

A chain is a list of steps for one column. `Step.fit` sees a `State`: the column, and its statistics as they are after
the steps before. It returns the fitted step and the state after it, so a whole chain is fitted exactly from one pass.
A `Fitted` is plain data; its `apply` sees a `Flow`: the column's values in one table, and the columns of the matrix
that are finished.

A step is one settings class and its fitted class, in any file of this room, or in another package under the entry
point group ``daskflow.preprocess``:

>>> import math
>>> from dataclasses import dataclass, replace
>>> from typing import ClassVar, Literal
>>> import numpy as np
>>> from daskflow.preprocess import Step
>>> from daskflow.preprocess.steps import Fitted, Flow, Form, State
>>>
>>> @dataclass(frozen=True, slots=True)
... class Clipped(Fitted):
...     """Numbers brought into [low, high]."""
...     kind: ClassVar[str] = "clip_at"
...     low: float
...     high: float
...
...     def apply(self, flow: Flow) -> Flow:
...         return replace(flow, values=np.clip(flow.numbers(), self.low, self.high))
>>>
>>> class ClipAt(Step):
...     """Bring numbers into the range between two quantiles."""
...     kind: Literal["clip_at"] = "clip_at"
...     low: float = 0.01
...     high: float = 0.99
...     takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS})
...     fitted: ClassVar[type[Fitted]] = Clipped
...
...     def gives(self, form: Form) -> Form:
...         return Form.MEASURES
...
...     def statistics(self, column):
...         return frozenset({"quantiles"})
...
...     def fit(self, state: State) -> tuple[Fitted, State]:
...         before = state.statistics
...         low, high = before.quantile(self.low), before.quantile(self.high)
...         points = np.clip(before.distribution.points, low, high)
...         after = before.counted(points, before.distribution.counts)
...         return Clipped(low, high), replace(state, form=Form.MEASURES, statistics=after)
>>>
>>> from daskflow.preprocess import Preprocessor
>>> Preprocessor(numeric=[ClipAt(high=0.5), "passthrough"]).fit_transform(np.array([[1.0], [2.0], [90.0]])).tolist()
[[1.0199999809265137], [2.0], [2.0]]

``ColumnStatistics`` has the arithmetic of the usual changes: `filled` (missing values replaced), `moved` (centred and
scaled), `counted` (any values with their counts).
'''

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.data import arrays
from daskflow.data.arrays import Levels, Numbers
from daskflow.data.schema import Column, ColumnKind
from daskflow.data.statistics import ColumnStatistics
from daskflow.preprocess import Step

if TYPE_CHECKING:
    from scipy import sparse


class Form(StrEnum):
    """What a column is at one place of its chain; the value is how messages call it."""

    NUMBERS = "numbers"
    """As they stand in the table; booleans are 0 and 1."""

    LEVELS = "strings"
    """Categories: strings, or numbers taken as names."""

    DATES = "dates"
    """Dates or timestamps."""

    MEASURES = "scaled or coded numbers"
    """Numbers that no longer are the table's own, so they cannot be categories."""

    COLUMNS = "finished columns"
    """Nothing may follow."""


FORMS: Mapping[ColumnKind, Form] = {
    ColumnKind.NUMERIC: Form.NUMBERS,
    ColumnKind.BOOLEAN: Form.NUMBERS,
    ColumnKind.CATEGORICAL: Form.LEVELS,
    ColumnKind.DATETIME: Form.DATES,
}
"""What a column of each kind is before its first step."""


@dataclass(frozen=True, slots=True)
class State:
    """A column in the middle of fitting its chain.

    Attributes
    ----------
    column : Column
        Name, kind and type in the table.
    form : Form
        What it is now.
    statistics : ColumnStatistics
        As they are after the steps so far; only what was asked for is there.
    outputs : tuple of str
        Names of the matrix columns that are finished.
    rare : str or None
        The level that rare ones have become.
    warnings : tuple of str
        Sentences for the user.
    """

    column: Column
    form: Form
    statistics: ColumnStatistics
    outputs: tuple[str, ...] = ()
    rare: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OneHot:
    """Columns of zeros with at most a single one in each row.

    Attributes
    ----------
    codes : ndarray of int64, shape (n_rows,)
        Which column has the one; negative for none.
    width : int
        Number of columns.
    """

    codes: NDArray[np.int64]
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class SparseColumns:
    """Columns of which most values are zero.

    Attributes
    ----------
    matrix : scipy.sparse.csr_matrix of float64, shape (n_rows, width)
        The values.
    """

    matrix: sparse.csr_matrix

    @property
    def width(self) -> int:
        """Number of columns."""
        return int(self.matrix.shape[1])


Output = Numbers | OneHot | SparseColumns
"""Finished columns of the matrix: one of float64, or several with their ``width``."""


@dataclass(frozen=True, slots=True)
class Flow:
    """A column of one table in the middle of applying its chain.

    Attributes
    ----------
    values : pyarrow.Array, ndarray of float64, Levels or None
        What the next step sees: an Arrow array before the first; None when all columns are finished.
    outputs : tuple of ndarray of float64, OneHot or SparseColumns
        Matrix columns that are finished, in the order of `State.outputs`.
    parts : ndarray of uint8, shape (n_rows,), or None
        Inner part of each row where they are training rows, else None; see `Fitted.is_out_of_fold`.
    """

    values: pa.Array | Numbers | Levels | None
    outputs: tuple[Output, ...] = ()
    parts: NDArray[np.uint8] | None = None

    def numbers(self) -> Numbers:
        """Return the values as float64; missing is nan."""
        return self.values if isinstance(self.values, np.ndarray) else arrays.numbers(self.values)

    def levels(self) -> Levels:
        """Return the values as codes and levels."""
        if isinstance(self.values, Levels):
            return self.values
        if isinstance(self.values, np.ndarray):
            return arrays.levels_of_numbers(self.values)
        return arrays.levels(self.values)

    def finished(self, *outputs: Output) -> Flow:
        """Return the flow with these columns finished and nothing left for a next step."""
        return Flow(None, (*self.outputs, *outputs), self.parts)


@dataclass(frozen=True, slots=True)
class Single:
    """What a fitted step does to one value in plain Python: the same as `Fitted.apply`, to the last bit.

    Attributes
    ----------
    function : callable or None
        The value to the next one; None when it stays as it is.
    takes : str
        ``number`` (a float, nan where missing) or ``level`` (a `Level`, None where missing).
    gives : str
        The same, or ``place``: which of the finished columns has the one, negative for none.
    operation : str
        Its name in `one_row.OPERATIONS`, where it is one that numbers of many rows and columns can go through at once.
    parameters : tuple of float
        Of it.
    """

    function: Callable[[Any], Any] | None
    takes: str = "number"
    gives: str = "number"
    operation: str = ""
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Fitted(ABC):
    """A fitted step: plain data that JSON can hold, and a vectorised `apply`; subclasses are frozen dataclasses."""

    kind: ClassVar[str]

    @abstractmethod
    def apply(self, flow: Flow) -> Flow:
        """Do the step to the values of one table."""

    def unseen(self, flow: Flow) -> int | None:
        """Return the rows whose level did not occur in training; None when the step cannot know."""
        return None

    def single(self) -> Single | None:
        """Return what it does to one value; None when it is asked for tables only, which is always right."""
        return None

    @property
    def n_indicators(self) -> int:
        """How many of the columns it finishes are mostly zero."""
        return 0

    @property
    def is_out_of_fold(self) -> bool:
        """Whether rows of an inner part (`Flow.parts`) become what the other parts say of them."""
        return False

    def dump(self) -> dict[str, Any]:
        """Return the step as plain JSON values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {"kind": self.kind} | {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> Self:
        """Return the step of what `dump` gave."""
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items() if name != "kind"})


@dataclass(frozen=True, slots=True)
class Unchanged(Fitted):
    """Nothing done."""

    kind: ClassVar[str] = "passthrough"

    def apply(self, flow: Flow) -> Flow:
        """Return the values as they are."""
        return flow

    def single(self) -> Single:
        """The value as it is."""
        return Single(None)


class Passthrough(Step):
    """Do nothing: numbers reach the model as they stand, missing values as nan.

    For models that take missing values and need no scaling, such as ``hist_gradient_boosting``.
    """

    kind: Literal["passthrough"] = "passthrough"

    takes: ClassVar[frozenset[Form]] = frozenset({Form.NUMBERS, Form.LEVELS, Form.DATES, Form.MEASURES})
    fitted: ClassVar[type[Fitted]] = Unchanged

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Return the state as it is."""
        return Unchanged(), replace(state)


@dataclass(frozen=True, slots=True)
class Dropped(Fitted):
    """Nothing left."""

    kind: ClassVar[str] = "drop"

    def apply(self, flow: Flow) -> Flow:
        """Return no columns."""
        return flow.finished()


class Drop(Step):
    """Leave the column out of the matrix; functions and interactions may still use it."""

    kind: Literal["drop"] = "drop"

    takes: ClassVar[frozenset[Form]] = frozenset(FORMS.values())
    fitted: ClassVar[type[Fitted]] = Dropped
    counts_itself: ClassVar[bool] = True

    def gives(self, form: Form) -> Form:
        """Finished columns, of which there are none."""
        return Form.COLUMNS

    def fit(self, state: State) -> tuple[Fitted, State]:
        """Return the state without a column."""
        return Dropped(), replace(state, form=Form.COLUMNS)
