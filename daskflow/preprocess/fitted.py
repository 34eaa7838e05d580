"""FittedPreprocessor: the fitted steps of every column, from a table to a matrix of float32."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.seeds import digest
from daskflow.data import arrays
from daskflow.data.schema import Column, ColumnKind
from daskflow.preprocess import REGISTRY
from daskflow.preprocess.one_row import WIDEST, RowMaker
from daskflow.preprocess.preparation import NOTHING, Preparation
from daskflow.preprocess.reading import read
from daskflow.preprocess.steps import Fitted, Flow, OneHot, Output, SparseColumns

if TYPE_CHECKING:
    from scipy import sparse

Outputs = list[tuple[int, Output]]
"""Finished columns with their first place in the matrix."""

CACHED_VALUES = 65_536
"""Values of float32 that are filled at once: a quarter of a megabyte."""


@dataclass(frozen=True, slots=True)
class FittedColumn:
    """A column's chain after fitting.

    Attributes
    ----------
    column : Column
        Name, kind and type in training.
    steps : tuple of Fitted
        In order.
    outputs : tuple of str
        Names of its matrix columns; no other column has them.
    keeps_values : bool
        Whether what the last step leaves is a matrix column, the last.
    """

    column: Column
    steps: tuple[Fitted, ...]
    outputs: tuple[str, ...]
    keeps_values: bool

    def apply(self, array: pa.Array, parts: NDArray[np.uint8] | None = None) -> tuple[Output, ...]:
        """Return the finished columns; of training rows, with their inner parts, out of fold."""
        flow = Flow(array, parts=parts)
        for step in self.steps:
            flow = step.apply(flow)
        return (*flow.outputs, flow.numbers()) if self.keeps_values else flow.outputs

    def unseen(self, array: pa.Array) -> int | None:
        """Count rows with a level that training did not have; None where there are no levels."""
        flow = Flow(array)
        for step in self.steps:
            found = step.unseen(flow)
            if found is not None:
                return found
            flow = step.apply(flow)
        return None

    def dump(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "name": self.column.name,
            "kind": str(self.column.kind),
            "type": self.column.type,
            "steps": [step.dump() for step in self.steps],
            "outputs": list(self.outputs),
            "keeps_values": self.keeps_values,
        }

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> FittedColumn:
        """Return what `dump` gave."""
        return cls(
            Column(values["name"], ColumnKind(values["kind"]), values["type"]),
            tuple(REGISTRY.find(step["kind"]).fitted.load(step) for step in values["steps"]),
            tuple(values["outputs"]),
            values["keeps_values"],
        )


@dataclass(frozen=True)
class FittedPreprocessor:
    """A fitted preprocessing; a `daskflow.core.protocols.Transformer` of plain data.

    Attributes
    ----------
    columns : tuple of FittedColumn
        Those that reach the matrix, in order.
    is_sparse : bool
        Whether `matrix` returns CSR.
    warnings : tuple of str
        Sentences on columns that were left out.
    preparation : Preparation
        Makes the new columns among them.
    """

    columns: tuple[FittedColumn, ...]
    is_sparse: bool = False
    warnings: tuple[str, ...] = field(default=(), compare=False)
    preparation: Preparation = NOTHING

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of the matrix's columns."""
        return tuple(name for column in self.columns for name in column.outputs)

    @cached_property
    def sources(self) -> tuple[tuple[str, ...], ...]:
        """Columns of the table that each of the matrix's columns is made of: one, but for new columns of several."""
        origins = self.preparation.origins
        return tuple(
            origins.get(column.column.name, (column.column.name,)) for column in self.columns for _ in column.outputs
        )

    @cached_property
    def token(self) -> str:
        """A hash of everything that decides the matrix."""
        return digest(self.dump(), 16)

    @cached_property
    def is_out_of_fold(self) -> bool:
        """Whether training rows become other numbers than new rows of the same values."""
        return any(step.is_out_of_fold for column in self.columns for step in column.steps)

    @property
    def functions(self) -> tuple[str, ...]:
        """Import paths of the users' functions that it calls; they are imported when they are first called."""
        return tuple(function.function for function in self.preparation.functions)

    def load_functions(self) -> None:
        """Import the functions now; DataError when one cannot be imported, or is not the one of training."""
        self.preparation.check_sources()

    def matrix(self, table: pa.Table, parts: NDArray[np.uint8] | None = None) -> Any:
        """Turn rows into numbers, in float64 up to the last step, which rounds to float32.

        Parameters
        ----------
        table : pyarrow.Table
            Columns by name, in any order; others are not looked at. New columns are made here, unless the same
            preparation has made them already.
        parts : ndarray of uint8, shape (n_rows,), optional
            Inner part of each row when they are training rows; see `daskflow.data.tallies`.

        Returns
        -------
        ndarray of float32, C-contiguous, or scipy.sparse.csr_matrix, of shape (n_rows, n_features)

        Raises
        ------
        DataError
            For missing columns, columns of another kind than in training, infinite values, and numbers that float32
            does not hold; every one is named.
        """
        outputs: Outputs = []
        place = 0
        table = self.preparation.apply(table)
        for column, array in zip(self.columns, self._read(table), strict=True):
            at = place
            for output in column.apply(array, parts):
                outputs.append((at, self._single(output, at)))
                at += 1 if isinstance(output, np.ndarray) else output.width
            place += len(column.outputs)
        build = _sparse if self.is_sparse else _dense
        return build(outputs, table.num_rows, len(self.feature_names))

    def one_row(self) -> RowMaker | None:
        """Return what makes the matrix of one row, quicker than `matrix`; None where new columns are made first.

        Also for sparse matrices.
        """
        if self.preparation.new.columns or self.is_sparse or not 0 < len(self.feature_names) <= WIDEST:
            return None
        return RowMaker(self.columns)

    def unseen(self, table: pa.Table) -> dict[str, int]:
        """Count, for each column with levels, the rows whose level did not occur in training."""
        table = self.preparation.apply(table)
        counts = {
            column.column.name: column.unseen(array)
            for column, array in zip(self._with_levels, self._read(table, self._with_levels), strict=True)
        }
        return {name: count for name, count in counts.items() if count is not None}

    def dump(self) -> dict[str, Any]:
        """Return plain JSON values, from which `load` makes the same preprocessing."""
        return {
            "columns": [column.dump() for column in self.columns],
            "is_sparse": self.is_sparse,
            "warnings": list(self.warnings),
            "preparation": self.preparation.dump(),
        }

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> FittedPreprocessor:
        """Return what `dump` gave."""
        columns = tuple(FittedColumn.load(column) for column in values["columns"])
        preparation = Preparation.load(values["preparation"])
        return cls(columns, values["is_sparse"], tuple(values["warnings"]), preparation)

    @cached_property
    def _with_levels(self) -> tuple[FittedColumn, ...]:
        """Columns in which a level may be one that training has not seen."""
        return tuple(
            column for column in self.columns if column.unseen(pa.nulls(1, column.column.arrow_type)) is not None
        )

    def _read(self, table: pa.Table, columns: Sequence[FittedColumn] | None = None) -> list[pa.Array]:
        """Columns of the table, by default all that are used; all problems at once."""
        problems: list[str] = []
        found: list[pa.Array] = []
        infinite: dict[str, int] = {}
        for column in self.columns if columns is None else columns:
            try:
                array = read(table, column.column)
            except DataError as error:
                problems.append(str(error))
                continue
            found.append(array)
            count = n_infinite(array)
            if count:
                infinite[column.column.name] = count
        problems += [infinite_sentence(infinite)] if infinite else []
        if problems:
            raise DataError("\n".join(problems))
        return found

    def _single(self, output: Output, at: int) -> Any:
        """Finished columns as float32."""
        if isinstance(output, OneHot):
            return output
        if isinstance(output, SparseColumns):
            from scipy import sparse

            found = output.matrix
            rounded = self._rounded(np.asarray(found.data), at)
            return SparseColumns(sparse.csr_matrix((rounded, found.indices, found.indptr), shape=found.shape))
        return self._rounded(output, at)

    def _rounded(self, values: NDArray[np.float64], at: int) -> NDArray[np.float32]:
        """Numbers as float32."""
        with np.errstate(over="ignore"):
            rounded = values.astype(np.float32)
        if np.isinf(rounded).any():
            raise DataError(
                f"'{self.feature_names[at]}' has values up to {np.nanmax(np.abs(values)):.3g}, which float32 does not "
                f"hold. Scale the column, or bring it down with derive (a logarithm, say)."
            )
        return rounded


def n_infinite(array: pa.Array) -> int:
    """Count the infinite values of a column."""
    plain = arrays.plain(array) if pa.types.is_dictionary(array.type) else array
    return int(pc.sum(pc.is_inf(plain)).as_py() or 0) if pa.types.is_floating(plain.type) else 0


def infinite_sentence(counts: Mapping[str, int]) -> str:
    """Say which columns have infinite values, and what to do."""
    columns = ", ".join(f"'{name}' ({count:,})" for name, count in counts.items())
    return (
        f"Infinite values in {columns}: no mean and no model can use them. Replace them with derive, for example "
        f'derive = {{ name = "name.clip(-1e9, 1e9)" }}, or drop the columns.'
    )


def _dense(outputs: Outputs, n_rows: int, width: int) -> NDArray[np.float32]:
    """Fill a matrix column by column, as many rows at once as the processor's cache holds."""
    matrix = np.zeros((n_rows, width), dtype=np.float32)
    step = max(1, CACHED_VALUES // width)
    for start in range(0, n_rows, step):
        piece = matrix[start : start + step]
        for at, output in outputs:
            if isinstance(output, OneHot):
                codes = output.codes[start : start + step]
                rows = np.flatnonzero(codes >= 0)
                piece[rows, at + codes[rows]] = 1.0
            elif isinstance(output, SparseColumns):
                piece[:, at : at + output.width] = output.matrix[start : start + step].toarray()
            else:
                piece[:, at] = output[start : start + step]
    return matrix


def _sparse(outputs: Outputs, n_rows: int, width: int) -> sparse.csr_matrix:
    """Lay the columns side by side; those that are sparse already as they are."""
    from scipy import sparse

    pieces: list[sparse.csr_matrix] = []
    begin, plain = 0, Outputs()
    for at, output in outputs:
        if isinstance(output, SparseColumns):
            pieces += [_entries(plain, n_rows, at - begin), output.matrix]
            begin, plain = at + output.width, Outputs()
        else:
            plain.append((at - begin, output))
    if not pieces:
        return _entries(plain, n_rows, width)
    return sparse.csr_matrix(sparse.hstack([*pieces, _entries(plain, n_rows, width - begin)], format="csr"))


def _entries(outputs: Outputs, n_rows: int, width: int) -> sparse.csr_matrix:
    """Lay the entries of each row side by side: one for each number, at most one for each one-hot column."""
    from scipy import sparse

    places = np.empty((n_rows, len(outputs)), dtype=np.int32)
    values = np.ones((n_rows, len(outputs)), dtype=np.float32)
    is_there = np.ones((n_rows, len(outputs)), dtype=np.bool_)
    for number, (at, output) in enumerate(outputs):
        if isinstance(output, SparseColumns):
            raise TypeError("sparse columns have no place among entries")
        if isinstance(output, OneHot):
            places[:, number] = at + output.codes
            is_there[:, number] = output.codes >= 0
        else:
            places[:, number], values[:, number] = at, output
            is_there[:, number] = output != 0
    ends = np.concatenate([[0], np.cumsum(is_there.sum(axis=1))])
    return sparse.csr_matrix((values[is_there], places[is_there], ends), shape=(n_rows, width))


def unique_names(names: Sequence[str]) -> list[str]:
    """Return the names, later ones of the same name with a number behind.

    Examples
    --------
    >>> unique_names(["a_b", "a_b", "c"])
    ['a_b', 'a_b#2', 'c']
    """
    taken: set[str] = set()
    chosen: list[str] = []
    for name in names:
        number, free = 2, name
        while free in taken:
            free, number = f"{name}#{number}", number + 1
        taken.add(free)
        chosen.append(free)
    return chosen
