"""Several rows to an estimator's matrix, their numbers side by side: one call for all rows and columns."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
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
        try:
            values, by_lane = self._values(rows)
            if values is None:
                return None, {}
            singles, unseen = self._others(rows)
            lanes = [_taken(values, places) for places in by_lane]
            lanes = [lane if added is None else lane + added for lane, added in zip(lanes, self._added, strict=True)]
            matrix: NDArray[np.float32] = self._maker.matrix_of(lanes, singles)
        except Exception:  # as a value that is not read here says it; whose it is, the way row by row finds out
            return None, {}
        return (None, {}) if np.isinf(matrix).any() else (matrix, unseen)

    def _values(self, rows: Sequence[Mapping[str, Any]]) -> tuple[Any, list[NDArray[np.intp]]]:
        """All numbers of all rows, float64 of shape (n_rows, n), and where those of each lane stand."""
        flat, width, by_lane = self._flat(rows)
        kinds = set(map(type, flat))
        if not kinds <= PLAIN:
            return None, by_lane
        if type(None) in kinds:
            flat = [math.nan if value is None else value for value in flat]
        values = np.frombuffer(struct.pack(f"{len(flat)}d", *flat)).reshape(len(rows), width)
        sizes = np.abs(values)
        if np.isinf(sizes).any():
            return None, by_lane
        if int in kinds and (sizes > (EXACT if self._has_single else HUGE)).any():
            return None, by_lane
        return values, by_lane

    def _flat(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[Any], int, list[NDArray[np.intp]]]:
        """All numbers, one after the other, how many a row has, and where those of each lane stand in it.

        Rows of one client have their names in one order: then nothing is looked up.
        """
        keys, by_lane = self._keys
        first = list(rows[0])
        if len(first) == len(self._names) and not self._singles:
            if first != keys:
                if set(first) != set(self._names):
                    raise KeyError
                keys, by_lane = first, self._places(first)
                self._keys = keys, by_lane
            flat: list[Any] = []
            for row in rows:
                if list(row) != keys:
                    break
                flat.extend(row.values())
            else:
                return flat, len(keys), by_lane
        assert self._get is not None
        return list(chain.from_iterable(map(self._get, rows))), len(self._names), self._by_lane

    def _others(self, rows: Sequence[Mapping[str, Any]]) -> tuple[list[dict[int, Any]], dict[str, int]]:
        """Values of the other columns, by row, as the steps take them."""
        unseen: dict[str, int] = {}
        if not self._singles:
            return [{}] * len(rows), unseen
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
