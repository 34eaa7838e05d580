"""Several rows to an estimator's matrix, their numbers side by side: one call for all rows and columns."""

from __future__ import annotations

import marshal
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from daskflow.data.schema import ColumnKind, Schema

EXACT = 2**24
"""Whole numbers up to here are float32."""

HUGE = 2.0**62
"""Whole numbers up to here are int64, however they are rounded."""

PLAIN = frozenset({float, int, type(None)})

MOST_ROWS = 256
"""Of more rows at once, columns are made sooner than row by row."""

FORM, FLOAT = 2, ord("g")
"""Python's own form of values as bytes, which tells of each value what type it has.

So numbers, and that all of them are floats, are had by one call: half of the time of `struct` and a look at the types.
"""

HEAD_BYTES, FLOAT_BYTES = 5, 9
RECORD = np.dtype([("type", "u1"), ("value", "<f8")])

IS_KNOWN = marshal.dumps([1.5, -0.0], FORM) == struct.pack("<ciBdBd", b"[", 2, FLOAT, 1.5, FLOAT, -0.0)
"""Whether this Python writes it so; another one may not, and then nothing is packed."""


Places = slice | NDArray[np.intp]


class Packed(NamedTuple):
    """What is needed of some rows.

    Attributes
    ----------
    n_rows : int
        Rows.
    data : bytes
        Their numbers, row by row, each a `RECORD`.
    by_lane : list of slice or ndarray
        Where the numbers of each lane stand in a row, and behind them those of no lane.
    has_whole : bool
        Whether whole numbers are among them.
    singles : list of dict, or None
        By row, values of the other columns; None where there are none.
    unseen : mapping of str to int
        Rows by column whose level training has not seen.
    """

    n_rows: int
    data: bytes
    by_lane: list[Places]
    has_whole: bool
    singles: list[dict[int, Any]] | None
    unseen: Mapping[str, int]


Packer = Callable[[Sequence[Mapping[str, Any]]], Packed | None]


class SideBySide:
    """Reads rows whose numbers are plain ones; of any other row it says that somebody else should.

    Parameters
    ----------
    schema : Schema
        The columns that a row must have.
    maker : object
        Of a preprocessing, with ``columns``, ``lanes``, ``matrix_of`` and ``unseen``.
    readers : sequence of callable
        How a value of each column of the schema is read; None where this is not known here.
    """

    def __init__(self, schema: Schema, maker: Any, readers: Sequence[Callable[[Any], Any] | None]) -> None:
        """Find the columns of numbers."""
        self._maker = maker
        in_lanes = {maker.columns[number].name for lane in maker.lanes for number in lane.numbers}
        used = {column.name for column in maker.columns}
        self._n_lanes = len(maker.lanes)
        self._numbers = [
            column
            for column in schema.columns
            if column.kind is ColumnKind.NUMERIC and (column.name in in_lanes or column.name not in used)
        ]
        names = [column.name for column in self._numbers]
        self._names = names
        self._idle = [name for name in names if name not in in_lanes]
        self._get = itemgetter(*names) if len(names) > 1 else None
        self._keys: tuple[list[str] | None, list[Places]] = (None, [])
        numbers = {column.name: number for number, column in enumerate(maker.columns)}
        self._singles = [
            (column.name, reader, numbers.get(column.name))
            for column, reader in zip(schema.columns, readers, strict=True)
            if column.name not in names
        ]
        self._by_lane = self._places(names)
        is_whole = np.array(["int" in column.type for column in self._numbers])
        self._added = [
            np.where(is_whole[places], 0.0, -0.0) if is_whole.any() else None
            for places in self._by_lane[: self._n_lanes]
        ]  # a whole number is never -0.0; what is added to others changes no bit
        self._has_single = any(column.type == "float" for column in self._numbers)

    @classmethod
    def of(cls, schema: Schema, maker: Any, readers: Sequence[Callable[[Any], Any] | None]) -> SideBySide | None:
        """Return it; None where there are no two columns of numbers, or one that only Arrow reads."""
        made = cls(schema, maker, readers)
        if made._get is None or not maker.lanes or any(reader is None for _, reader, _ in made._singles):
            return None
        known = {column.name for column, reader in zip(schema.columns, readers, strict=True) if reader is not None}
        return made if known.issuperset(made._names) else None

    def _places(self, names: Sequence[str]) -> list[Places]:
        """Where the columns of each lane stand among some names, and then those of which nothing is made."""
        at = {name: place for place, name in enumerate(names)}
        columns = self._maker.columns
        lanes = [as_slice([at[columns[n].name] for n in lane.numbers]) for lane in self._maker.lanes]
        return [*lanes, as_slice([at[name] for name in self._idle])]

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float32] | None, dict[str, int]]:
        """Return the matrix of all rows, and the rows by column whose level training has not seen.

        None where a row needs a closer look: it lacks a column, or has a value that is no plain one.
        """
        packed = self.pack(rows)
        return (None, {}) if packed is None else self.matrix([packed])

    def pack(self, rows: Sequence[Mapping[str, Any]]) -> Packed | None:
        """Return what is needed of some rows, in less memory; None where one needs a closer look, or they are many."""
        if not IS_KNOWN or not 0 < len(rows) <= MOST_ROWS:
            return None
        try:
            keys, by_lane = self._keys
            if len(rows) == 1 and list(rows[0]) == keys:  # of one client have their names in one order
                flat = list(rows[0].values())
            else:
                flat, by_lane = self._flat(rows)
            has_whole = False
            data = marshal.dumps(flat, FORM)
            if len(data) != HEAD_BYTES + FLOAT_BYTES * len(
                flat
            ):  # one is no float; if it fits all the same, see `matrix`
                kinds = set(map(type, flat))
                if not kinds <= PLAIN:
                    return None
                has_whole = int in kinds
                data = marshal.dumps([math.nan if value is None else float(value) for value in flat], FORM)
            singles, unseen = self._others(rows) if self._singles else (None, {})
        except Exception:  # as a value that is not read here says it; whose it is, the way row by row finds out
            return None
        return Packed(len(rows), data[HEAD_BYTES:], by_lane, has_whole, singles, unseen)

    def matrix(self, parts: Sequence[Packed]) -> tuple[NDArray[np.float32] | None, dict[str, int]]:
        """Return the matrix of the rows of several parts, and unseen levels, as `read`."""
        by_lane = parts[0].by_lane
        if any(part.by_lane is not by_lane for part in parts):
            parts = [self._in_order(part) for part in parts]
            by_lane = self._by_lane
        n_rows = sum(part.n_rows for part in parts)
        records = np.frombuffer(b"".join([part.data for part in parts]), RECORD).reshape(n_rows, len(self._names))
        if not (records["type"] == FLOAT).all():
            return None, {}
        values = np.ascontiguousarray(records["value"])
        singles: list[dict[int, Any]] = []
        unseen: dict[str, int] = {}
        for part in parts if self._singles else ():
            singles += part.singles or ()
            for name, count in part.unseen.items():
                unseen[name] = unseen.get(name, 0) + count
        has_whole = any(part.has_whole for part in parts)
        matrix = self._made(values, by_lane, singles, has_whole=has_whole)
        return (None, {}) if matrix is None else (matrix, unseen)

    @property
    def has_only_numbers(self) -> bool:
        """Whether all columns of the schema are numbers of which no level is looked for."""
        return not self._singles and not self._maker.has_levels

    def of_numbers(self, values: NDArray[np.float64], *, has_whole: bool) -> NDArray[np.float32] | None:
        """Return the matrix of rows of which all columns are numbers; None where one needs a closer look.

        Parameters
        ----------
        values : ndarray of float64, shape (n_rows, n_columns)
            In the schema's order, nan where missing.
        has_whole : bool
            Whether some of them were whole numbers.
        """
        return self._made(values, self._by_lane, (), has_whole=has_whole)

    def _made(
        self,
        values: NDArray[np.float64],
        by_lane: Sequence[Places],
        singles: Sequence[Mapping[int, Any]],
        *,
        has_whole: bool,
    ) -> NDArray[np.float32] | None:
        """Make the matrix; None where a number is infinite, or is none that the column or float32 holds."""
        if has_whole and (np.abs(values) > (EXACT if self._has_single else HUGE)).any():
            return None
        if not np.isfinite(values).all() and np.isinf(values).any():
            return None
        lanes = [values[:, places] for places in by_lane[: self._n_lanes]]
        lanes = [lane if added is None else lane + added for lane, added in zip(lanes, self._added, strict=True)]
        try:
            matrix: NDArray[np.float32] = self._maker.matrix_of(lanes, singles, len(values))
        except Exception:  # as a value that is not read here says it
            return None
        return None if np.isinf(matrix).any() else matrix

    def _in_order(self, part: Packed) -> Packed:
        """Return a part whose numbers stand in the schema's order."""
        if part.by_lane is self._by_lane:
            return part
        values = np.frombuffer(part.data, RECORD).reshape(part.n_rows, len(self._names))
        ordered = np.empty_like(values)
        for here, there in zip(self._by_lane, part.by_lane, strict=True):
            ordered[:, here] = values[:, there]
        return part._replace(data=ordered.tobytes(), by_lane=self._by_lane)

    def _flat(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[Places]]:
        """All numbers, one after the other, and where those of each lane stand in a row.

        Rows of one client have their names in one order: then nothing is looked up.
        """
        keys, by_lane = self._keys
        first = list(rows[0])
        if len(first) == len(self._names) and not self._singles:
            if first != keys:
                if set(first) != set(self._names):
                    raise KeyError
                keys, by_lane = first, self._by_lane if first == self._names else self._places(first)
                self._keys = keys, by_lane
            flat: list[Any] = []
            for row in rows:
                if list(row) != keys:
                    break
                flat.extend(row.values())
            else:
                return flat, by_lane
        assert self._get is not None
        return list(chain.from_iterable(map(self._get, rows))), self._by_lane

    def _others(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[int, Any]], dict[str, int]]:
        """Values of the other columns, by row, as the steps take them."""
        unseen: dict[str, int] = {}
        found: list[dict[int, Any]] = []
        for row in rows:
            read: dict[int, Any] = {}
            for name, reader, number in self._singles:
                assert reader is not None
                value = reader(row[name])
                if number is not None:
                    read[number] = value
            for name in self._maker.unseen(read):
                unseen[name] = unseen.get(name, 0) + 1
            found.append(read)
        return found, unseen


def as_slice(places: Sequence[int]) -> Places:
    """Return places in the form that numpy is quickest with: neighbours, in order, need not be copied one by one."""
    at = np.array(places, dtype=np.intp)
    is_run = len(at) > 0 and bool((np.diff(at) == 1).all())
    return slice(int(at[0]), int(at[-1]) + 1) if is_run else at
