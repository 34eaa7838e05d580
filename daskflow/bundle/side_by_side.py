"""Several rows to an estimator's matrix, their numbers side by side: one call for all rows and columns."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.data.schema import ColumnKind, Schema

EXACT = 2**24
"""Whole numbers up to here are float32."""

HUGE = 2.0**62
"""Whole numbers up to here are int64, however they are rounded."""

PLAIN = frozenset({float, int, type(None)})


@dataclass(frozen=True, slots=True)
class Packed:
    """What is needed of some rows.

    Attributes
    ----------
    n_rows : int
        Rows.
    data : bytes
        Their numbers as float64, row by row.
    by_lane : list of ndarray
        Where the numbers of each lane stand in a row.
    has_whole : bool
        Whether whole numbers are among them.
    singles : list of dict, or None
        By row, values of the other columns; None where there are none.
    unseen : mapping of str to int
        Rows by column whose level training has not seen.
    """

    n_rows: int
    data: bytes
    by_lane: list[NDArray[np.intp]]
    has_whole: bool
    singles: list[dict[int, Any]] | None
    unseen: Mapping[str, int]


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
        self._numbers = [
            column
            for column in schema.columns
            if column.kind is ColumnKind.NUMERIC and (column.name in in_lanes or column.name not in used)
        ]
        names = [column.name for column in self._numbers]
        self._names = names
        self._get = itemgetter(*names) if len(names) > 1 else None
        self._keys: tuple[list[str], list[NDArray[np.intp]]] = ([], [])
        numbers = {column.name: number for number, column in enumerate(maker.columns)}
        self._singles = [
            (column.name, reader, numbers.get(column.name))
            for column, reader in zip(schema.columns, readers, strict=True)
            if column.name not in names
        ]
        self._by_lane = self._places(names)
        is_whole = np.array(["int" in column.type for column in self._numbers])
        self._added = [
            np.where(np.array([is_whole[place] for place in places]), 0.0, -0.0) if is_whole.any() else None
            for places in self._by_lane
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

    def _places(self, names: Sequence[str]) -> list[NDArray[np.intp]]:
        """Where the columns of each lane stand among some names."""
        at = {name: place for place, name in enumerate(names)}
        columns = self._maker.columns
        return [np.array([at[columns[n].name] for n in lane.numbers], dtype=np.intp) for lane in self._maker.lanes]

    def read(self, rows: Sequence[Mapping[str, Any]]) -> tuple[NDArray[np.float32] | None, dict[str, int]]:
        """Return the matrix of all rows, and the rows by column whose level training has not seen.

        None where a row needs a closer look: it lacks a column, or has a value that is no plain one.
        """
        packed = self.pack(rows)
        return (None, {}) if packed is None else self.matrix([packed])

    def pack(self, rows: Sequence[Mapping[str, Any]]) -> Packed | None:
        """Return what is needed of some rows, in less memory; None where one needs a closer look."""
        try:
            flat, by_lane = self._flat(rows)
            kinds = set(map(type, flat))
            if not kinds <= PLAIN:
                return None
            if type(None) in kinds:
                flat = [math.nan if value is None else value for value in flat]
            data = struct.pack(f"{len(flat)}d", *flat)
            singles, unseen = self._others(rows) if self._singles else (None, {})
        except Exception:  # as a value that is not read here says it; whose it is, the way row by row finds out
            return None
        return Packed(len(rows), data, by_lane, int in kinds, singles, unseen)

    def matrix(self, parts: Sequence[Packed]) -> tuple[NDArray[np.float32] | None, dict[str, int]]:
        """Return the matrix of the rows of several parts, and unseen levels, as `read`."""
        by_lane = parts[0].by_lane
        if any(part.by_lane is not by_lane for part in parts):
            parts = [self._in_order(part) for part in parts]
            by_lane = self._by_lane
        n_rows = sum(part.n_rows for part in parts)
        values = np.frombuffer(b"".join([part.data for part in parts])).reshape(n_rows, len(self._names))
        sizes = np.abs(values)
        has_whole = any(part.has_whole for part in parts)
        if np.isinf(sizes).any() or (has_whole and (sizes > (EXACT if self._has_single else HUGE)).any()):
            return None, {}
        lanes = [_taken(values, places) for places in by_lane]
        lanes = [lane if added is None else lane + added for lane, added in zip(lanes, self._added, strict=True)]
        singles: list[dict[int, Any]] = [{}] * n_rows if not self._singles else []
        unseen: dict[str, int] = {}
        for part in parts if self._singles else ():
            singles += part.singles or ()
            for name, count in part.unseen.items():
                unseen[name] = unseen.get(name, 0) + count
        try:
            matrix: NDArray[np.float32] = self._maker.matrix_of(lanes, singles)
        except Exception:  # as above
            return None, {}
        return (None, {}) if np.isinf(matrix).any() else (matrix, unseen)

    def _in_order(self, part: Packed) -> Packed:
        """Return a part whose numbers stand in the schema's order."""
        if part.by_lane is self._by_lane:
            return part
        values = np.frombuffer(part.data).reshape(part.n_rows, len(self._names))
        ordered = np.empty_like(values)
        for here, there in zip(self._by_lane, part.by_lane, strict=True):
            ordered[:, here] = values[:, there]
        return replace(part, data=ordered.tobytes(), by_lane=self._by_lane)

    def _flat(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Any], list[NDArray[np.intp]]]:
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
            if len(rows) == 1:
                return list(rows[0].values()), by_lane
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


def _taken(values: Any, places: NDArray[np.intp]) -> Any:
    """Return some columns of an array; itself where they are all of them, in order."""
    n = len(places)
    if n == values.shape[1] and n and places[0] == 0 and places[-1] == n - 1 and (np.diff(places) == 1).all():
        return values
    return values[:, places]
