"""Scoring of rows as they come: one object for single rows, requests, streams and whole tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy import sparse

from daskflow.bundle import Model
from daskflow.bundle.origin import Origin
from daskflow.bundle.rows import check_names, learned_array
from daskflow.bundle.side_by_side import MOST_ROWS, Packed, Packer
from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.data.predictions import Predictions
from daskflow.data.schema import Schema
from daskflow.streams.reading import MixedRows, Problems, RowReader

PREDICTION = "prediction"

FRACTIONS = frozenset({"double", "float"})
NUMBERS = FRACTIONS | {"int8", "int16", "int32", "int64", "uint8", "uint16", "uint32"}
"""Types of columns that can stand side by side as float64."""

MOST_VALUES = 2**20
"""Of tables with more, columns are read one after the other: side by side they would take much memory."""


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows.

    Attributes
    ----------
    n_rows : int
        Rows that were asked about.
    places : ndarray of int64
        Those that have an answer, rising.
    predictions : Predictions
        Of those, in this order.
    problems : mapping of int to (str, str)
        Of the others: the reason in one word, as in `records.Dead`, and a sentence.
    unseen : mapping of str to int
        Rows by column whose level training has not seen; they have an answer, as the encoder says.
    classes : tuple
        The labels, in the order of the codes; empty for regression.
    """

    n_rows: int
    places: NDArray[np.int64]
    predictions: Predictions
    problems: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    unseen: Mapping[str, int] = field(default_factory=dict)
    classes: tuple[Any, ...] = ()

    def dicts(self) -> list[dict[str, Any] | None]:
        """Return, by row, ``prediction`` and ``probability_LABEL`` as plain values; None where there is a problem."""
        columns = {PREDICTION: self._labels()}
        columns |= {name: values.tolist() for name, values in self._probabilities().items()}
        names = tuple(columns)
        if len(self.places) == self.n_rows and len(names) == 3:  # most models have two classes: half of the time
            first, second, third = names
            return [{first: a, second: b, third: c} for a, b, c in zip(*columns.values(), strict=True)]
        made: list[dict[str, Any] | None] = [None] * self.n_rows
        for place, values in zip(self.places.tolist(), zip(*columns.values(), strict=True), strict=True):
            made[place] = dict(zip(names, values, strict=True))
        return made

    def arrow(self) -> pa.Table:
        """Return the answered rows as a table of ``prediction`` and ``probability_LABEL``, as `predict` writes them."""
        if self.classes:
            labels = pd.Series(list(self.classes)).array.take(self.predictions.of("labels"))
            made = {PREDICTION: pa.Array.from_pandas(labels)}
        else:
            made = {PREDICTION: pa.array(self.predictions.of("labels"))}
        return pa.table(made | {name: pa.array(values) for name, values in self._probabilities().items()})

    def _labels(self) -> list[Any]:
        found = self.predictions.of("labels").tolist()
        return [self.classes[code] for code in found] if self.classes else found

    def _probabilities(self) -> dict[str, NDArray[np.float64]]:
        given = self.predictions.probabilities
        if given is None or not self.classes:
            return {}
        columns = [1.0 - given, given] if len(self.classes) == 2 else list(given.T)
        return {f"probability_{label}": values for label, values in zip(self.classes, columns, strict=True)}


class Scorer:
    """Answers rows as they come, with the same bits as ``Model.predict`` and ``daskflow predict``.

    Threads may share it, and it can be pickled.

    Parameters
    ----------
    model : Model
        As `load_model` returns it.
    probabilities : bool
        Whether answers have ``probability_LABEL``, where the estimator gives probabilities.
    is_strict : bool
        Whether a row with names that are no columns is refused.

    Attributes
    ----------
    columns : Schema
        What a row must have: columns of the files that the model was trained on, before joins and derived columns.

    Examples
    --------
    >>> import daskflow as flow  # doctest: +SKIP
    >>> scorer = Scorer(flow.load_model("runs/cars"))  # doctest: +SKIP
    >>> scorer.rows([{"year": 2015, "mileage": 41_000.0}]).dicts()  # doctest: +SKIP
    [{'prediction': 8940.2}]
    """

    def __init__(self, model: Model, *, probabilities: bool = True, is_strict: bool = False) -> None:
        """Find out what a row must have."""
        self.model = model
        self._origin = Origin.of(model)
        self.columns: Schema = self._origin.columns
        self._reader = RowReader(self.columns, is_strict)
        has_probabilities = model.task != "regression" and hasattr(model.estimator, "predict_proba")
        self.has_probabilities = probabilities and has_probabilities
        self._is_quick = self._origin.is_plain and not is_strict
        self._learned = pa.schema(
            [(c.name, pa.string() if c.type == "null" else c.arrow_type) for c in model.schema.columns]
        )
        self._types = {c.name: None if c.type == "null" else c.arrow_type for c in self.columns.columns}
        self._needs: Collection[str] = {"labels", "probabilities"} if self.has_probabilities else {"labels"}
        types = {column.type for column in model.schema.columns}
        self._is_numbers = self._origin.is_plain and types <= NUMBERS and model.has_only_numbers
        self._has_whole = not types <= FRACTIONS

    def rows(self, rows: Sequence[Mapping[str, Any]]) -> Answers:
        """Answer rows of JSON values; a row that cannot be read is a problem of its own, never of its neighbours.

        Parameters
        ----------
        rows : sequence of mapping
            Values by column name: numbers, texts, booleans, None for a missing value; times as ISO 8601 text.
        """
        if not 0 < len(rows) <= MOST_ROWS or not self._is_quick:
            return self._by_columns(rows)
        try:
            predictions, places, unseen = self.model.of_rows(rows, self._needs)
        except Exception:  # which row it is, the general way finds out
            return self._by_columns(rows)
        if predictions is None:
            return self._by_columns(rows)
        quick = Answers(len(rows), np.asarray(places, dtype=np.int64), predictions, {}, unseen, self.model.classes)
        if len(places) == len(rows):
            return quick
        left = sorted(set(range(len(rows))) - set(places))
        return _among(quick, left, self._by_columns([rows[place] for place in left]))

    def packer(self) -> Packer:
        """Return what takes out of rows all that is needed; it returns None for those that `rows` should be asked."""
        return (self.model.packer() if self._is_quick else None) or _nothing_of

    def packed(self, parts: Sequence[Packed]) -> Answers | None:
        """Answer packed rows, with the bits of `rows`; None where that should be asked."""
        try:
            predictions, unseen = self.model.of_packed(parts, self._needs)
        except Exception:  # which row it is, the general way finds out
            return None
        if predictions is None:
            return None
        n_rows = sum(part.n_rows for part in parts)
        return Answers(n_rows, np.arange(n_rows), predictions, {}, unseen, self.model.classes)

    def _by_columns(self, rows: Sequence[Mapping[str, Any]]) -> Answers:
        """Answer rows whose columns are read one after the other."""
        try:
            table, places, problems = self._reader.read(rows)
        except MixedRows:
            middle = len(rows) // 2
            return _side_by_side(self._by_columns(rows[:middle]), self._by_columns(rows[middle:]))
        return self._answers(table, np.asarray(places, dtype=np.int64), problems, len(rows))

    def matrix(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, list[int]]:
        """Return the preprocessed matrix of the rows that can be read, as an estimator is given it, and their places.

        Parameters
        ----------
        rows : sequence of mapping
            As for `rows`.
        """
        if self._is_quick and 0 < len(rows) <= MOST_ROWS:
            found, places = self.model.matrix_of_rows(rows)
            if found is not None and len(places) == len(rows):
                return found, places
        try:
            table, places, _ = self._reader.read(rows)
            return self._matrix(table), places
        except (MixedRows, DataError):
            if len(rows) < 2:
                return None, []
        parts = [(self.matrix([row]), place) for place, row in enumerate(rows)]
        known = [(matrix, place) for (matrix, places), place in parts if places]
        return (_stacked([matrix for matrix, _ in known]) if known else None), [place for _, place in known]

    def _matrix(self, table: pa.Table) -> Any:
        rows = table if self._origin.is_plain else self._origin.rows(table)
        return self.model.transformer.matrix(
            pa.table({c.name: learned_array(rows.column(c.name), c) for c in self.model.schema.columns})
        )

    def table(self, table: pa.Table) -> Answers:
        """Answer the rows of a table; its order of columns does not matter, and others are passed over.

        Raises
        ------
        DataError
            For columns that are missing, stand twice, or hold something else than the model learned.
        """
        quick = self._of_numbers(table) if self._is_numbers else None
        if quick is not None:
            return quick
        checked, infinite = self._checked(table)
        places = np.arange(table.num_rows)
        problems: Problems = {}
        if infinite:
            for place, names in infinite.items():
                listed = ", ".join(f"'{name}'" for name in names)
                problems[place] = ("value", f"column {listed} is infinite; make it missing, or a number")
            places = np.setdiff1d(places, np.fromiter(problems, dtype=np.int64))
            checked, _ = self._checked(table.take(pa.array(places)))
        return self._answers(checked, places, problems, table.num_rows)

    def _of_numbers(self, table: pa.Table) -> Answers | None:
        """Answer a table of numbers in the types that were learned, all columns at once; None for any other."""
        names = list(self.model.schema.names)
        if not 0 < table.num_rows * len(names) <= MOST_VALUES:
            return None
        try:
            if table.column_names != names:
                table = table.select(names)
            if not table.schema.equals(self._learned):
                return None
            (batch,) = table.combine_chunks().to_batches()
            values = np.asarray(batch.to_tensor(null_to_nan=True, row_major=True), dtype=np.float64)
            predictions = self.model.of_numbers(values, self._needs, has_whole=self._has_whole)
        except Exception:  # what is wrong, and which row it is, the general way finds out
            return None
        if predictions is None:
            return None
        n_rows = table.num_rows
        return Answers(n_rows, np.arange(n_rows), predictions, {}, {}, self.model.classes)

    def _checked(self, table: pa.Table) -> tuple[pa.Table, dict[int, list[str]]]:
        """Return the columns in the types that were learned, and the columns that are infinite by row."""
        names = table.column_names
        missing = [name for name in self.columns.names if name not in names]
        if missing:
            hint = nearest(missing[0], names) if len(missing) == 1 else ""
            hint = hint if "did you mean" in hint else ""
            raise DataError(f"The table lacks {', '.join(missing)}{hint}. Add them; without values is allowed.")
        twice = [name for name in self.columns.names if names.count(name) > 1]
        if twice:
            raise DataError(f"These columns stand twice in the table: {', '.join(twice)}. Drop one of each.")
        arrays, problems = {}, []
        infinite: dict[int, list[str]] = {}
        for column in self.columns.columns:
            array = table.column(column.name).combine_chunks()
            if pa.types.is_floating(array.type) and not _is_finite(array):
                for place in pc.indices_nonzero(pc.fill_null(pc.is_inf(array), False)).to_pylist():
                    infinite.setdefault(place, []).append(column.name)
                array = pc.if_else(pc.is_nan(array), pa.scalar(None, array.type), array)
            if infinite:
                continue
            if array.type == self._types[column.name]:
                arrays[column.name] = array
                continue
            try:
                arrays[column.name] = learned_array(array, column)
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError(f"The table does not fit the model: {' '.join(problems)}")
        return (table if infinite else pa.table(arrays)), infinite

    def _answers(self, table: pa.Table, places: NDArray[np.int64], problems: Problems, n_rows: int) -> Answers:
        """Answer checked rows; where the model raises, row by row."""
        try:
            predictions, unseen = self._ask(table)
        except Exception as error:
            if table.num_rows > 1:
                return self._halves(table, places, problems, n_rows)
            if table.num_rows == 0:
                raise
            reason = "value" if isinstance(error, DataError) else "model"
            words = str(error) if isinstance(error, DataError) else f"the model raised {type(error).__name__}: {error}"
            problems[int(places[0])] = (reason, words)
            predictions, unseen, places = self._nothing, {}, places[:0]
        return Answers(n_rows, places, predictions, problems, unseen, self.model.classes)

    def _halves(self, table: pa.Table, places: NDArray[np.int64], problems: Problems, n_rows: int) -> Answers:
        """Answer each half by itself, to find the rows that the model cannot answer."""
        middle = table.num_rows // 2
        parts = [(table.slice(0, middle), places[:middle]), (table.slice(middle), places[middle:])]
        found = [self._answers(rows, at, problems, n_rows) for rows, at in parts]
        return Answers(
            n_rows,
            np.concatenate([part.places for part in found]),
            _joined([part.predictions for part in found]),
            problems,
            _sum([part.unseen for part in found]),
            self.model.classes,
        )

    def prepared(self, rows: pa.Table) -> Answers:
        """Answer rows that are joined and derived already, all of them; further columns are passed over.

        Raises
        ------
        DataError
            For a column that is missing, or of which one value is not what the model learned or is infinite.
        """
        schema = self.model.schema
        check_names(rows.column_names, schema, "table")
        arrays, problems = {}, []
        for column in schema.columns:
            try:
                arrays[column.name] = learned_array(rows.column(column.name), column)
            except DataError as error:
                problems.append(str(error))
        if problems:
            raise DataError(f"The table does not fit the model: {' '.join(problems)}")
        predictions, unseen = self._of(pa.table(arrays))
        return Answers(rows.num_rows, np.arange(rows.num_rows), predictions, {}, unseen, self.model.classes)

    def _ask(self, table: pa.Table) -> tuple[Predictions, dict[str, int]]:
        """Ask the model about checked rows of the source's columns."""
        if table.num_rows == 0:
            return self._nothing, {}
        rows = table if self._origin.is_plain else self._origin.rows(table)
        if not rows.schema.equals(self._learned):
            rows = pa.table({c.name: learned_array(rows.column(c.name), c) for c in self.model.schema.columns})
        return self._of(rows)

    def _of(self, rows: pa.Table) -> tuple[Predictions, dict[str, int]]:
        """Ask the model about rows of its own columns."""
        if rows.num_rows == 0:
            return self._nothing, {}
        unseen = {name: int(count) for name, count in self.model.transformer.unseen(rows).items() if count}
        return self.model.predictions(rows, self._needs), unseen

    @property
    def _nothing(self) -> Predictions:
        """Predictions of no rows."""
        n_classes = len(self.model.classes)
        labels: Any = np.empty(0, np.int64 if n_classes else np.float64)
        shape = 0 if n_classes == 2 else (0, n_classes)
        return Predictions(labels, np.empty(shape) if self.has_probabilities else None)


def _nothing_of(rows: Sequence[Mapping[str, Any]]) -> None:
    """Pack no rows."""


def _is_finite(array: Any) -> bool:
    """Whether an array of floats has neither a gap nor a value that is no number, by one look at all."""
    return array.null_count == 0 and bool(np.isfinite(array.to_numpy()).all())


def _side_by_side(left: Answers, right: Answers) -> Answers:
    """Join the answers of rows and of those that follow them."""
    moved = {place + left.n_rows: problem for place, problem in right.problems.items()}
    return Answers(
        left.n_rows + right.n_rows,
        np.concatenate([left.places, right.places + left.n_rows]),
        _joined([left.predictions, right.predictions]),
        {**left.problems, **moved},
        _sum([left.unseen, right.unseen]),
        left.classes,
    )


def _among(some: Answers, left: Sequence[int], others: Answers) -> Answers:
    """Put the answers of the rows that were left among those of the others, in the order of the rows."""
    at = np.asarray(left, dtype=np.int64)
    places = np.concatenate([some.places, at[others.places]])
    order = np.argsort(places, kind="stable")
    joined = _joined([some.predictions, others.predictions])
    return Answers(
        some.n_rows,
        places[order],
        Predictions(joined.of("labels")[order], None if joined.probabilities is None else joined.probabilities[order]),
        {left[place]: problem for place, problem in others.problems.items()},
        _sum([some.unseen, others.unseen]),
        some.classes,
    )


def _stacked(parts: Sequence[Any]) -> Any:
    """Rows of dense or sparse matrices, one below the other."""
    if any(sparse.issparse(part) for part in parts):
        return sparse.vstack(parts, format="csr")
    return np.vstack(parts)


def _sum(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in counts:
        for name, count in part.items():
            total[name] = total.get(name, 0) + count
    return total


def _joined(parts: Sequence[Predictions]) -> Predictions:
    def of(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if any(array is None for array in arrays) else np.concatenate(arrays)

    return Predictions(of("labels"), of("probabilities"))
