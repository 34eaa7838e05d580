"""State of the data: which partitions are read, what came of them, and what their columns look like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from daskflow.core.journal import Record

WAITING, READING, DONE, THERE, REJECTED = range(5)
"""States of a partition; the last one is done, with rows that were refused."""

MOST_REFUSED = 200
"""Refused rows that are kept: the first ones."""


class Refused(NamedTuple):
    """A row that was refused."""

    place: int
    """Of its partition, or of the first of those that were read together."""
    file: str
    line: int | None
    reason: str


class Piece(NamedTuple):
    """Partitions that were read together."""

    first: int
    """Place of the first of them."""
    parts: int
    rows: int
    rejects: int
    bytes: int
    at: float
    seconds: float
    worker: str
    columns: Mapping[str, Sequence[float | None]]
    """By column: rows, missing, mean, std (None for what is no number)."""


@dataclass
class ColumnState:
    """A column over the partitions that are done.

    Attributes
    ----------
    rows, missing : int
        Counts.
    n, mean, spread : float
        Of the numbers: their count, mean, and sum of squared differences from it.
    """

    rows: int = 0
    missing: int = 0
    n: float = 0.0
    mean: float = 0.0
    spread: float = 0.0

    @property
    def std(self) -> float:
        """Standard deviation of the population; nan without values."""
        return math.sqrt(self.spread / self.n) if self.n else math.nan

    def add(self, rows: int, missing: int, mean: float | None, std: float | None, infinite: int = 0) -> None:
        """Take a piece in (T. Chan, G. Golub, R. LeVeque, "Updating formulae", 1979)."""
        self.rows, self.missing = self.rows + rows, self.missing + missing
        n = rows - missing - infinite
        if mean is None or std is None or n <= 0 or not math.isfinite(mean):
            return
        shift, total = mean - self.mean, self.n + n
        self.spread += std * std * n + shift * shift * self.n * n / total
        self.mean += shift * n / total
        self.n = total


@dataclass
class DataState:
    """What the scan has told.

    Attributes
    ----------
    partitions : int
        How many there are; 0 before the scan.
    bytes : int
        Of the source; 0 where that is not known.
    kinds : mapping of str to str
        Columns that are told of, and their kinds.
    n_columns : int
        Of all of them.
    states : bytearray of length partitions
        By place: WAITING, READING, DONE, THERE or REJECTED.
    began : dict of int to float
        Partitions that are being read, and since when.
    pieces : list of Piece
        In the order they were done; only ever added to.
    columns : dict of str to ColumnState
        Over the pieces.
    rows, rejects, read_bytes : int
        Of the pieces.
    found : int
        Partitions whose block was there already.
    refused : list of Refused
        The first `MOST_REFUSED` rows that were refused, as far as they were told.
    """

    partitions: int = 0
    bytes: int = 0
    kinds: dict[str, str] = field(default_factory=dict)
    n_columns: int = 0
    states: bytearray = field(default_factory=bytearray)
    began: dict[int, float] = field(default_factory=dict)
    pieces: list[Piece] = field(default_factory=list)
    columns: dict[str, ColumnState] = field(default_factory=dict)
    rows: int = 0
    rejects: int = 0
    read_bytes: int = 0
    found: int = 0
    refused: list[Refused] = field(default_factory=list)
    version: int = 0

    def hear(self, record: Record, at: float) -> None:
        """Take a record in."""
        if record["record"] == "table":
            self._table(record)
        elif record["record"] == "partitions" and self.partitions:
            self._some(record, at)
        else:
            return
        self.version += 1

    def _table(self, record: Record) -> None:
        self.partitions, self.bytes = int(record["partitions"]), int(record.get("bytes") or 0)
        self.kinds = {str(column["name"]): str(column["kind"]) for column in record.get("columns") or ()}
        self.n_columns = int(record.get("n_columns") or len(self.kinds))
        self.states = bytearray(self.partitions)
        self.began, self.pieces, self.columns = {}, [], {name: ColumnState() for name in self.kinds}
        self.rows = self.rejects = self.read_bytes = self.found = 0
        self.refused = []

    def _some(self, record: Record, at: float) -> None:
        places = [int(place) for place in record["places"] if 0 <= int(place) < self.partitions]
        if record["state"] == "reading":
            for place in places:
                if self.states[place] == WAITING:
                    self.states[place], self.began[place] = READING, at
            return
        rejects, rows = int(record.get("rejects") or 0), int(record.get("rows") or 0)
        is_there = record["state"] == "there"
        for place in places:
            self.states[place] = THERE if is_there else REJECTED if rejects else DONE
            self.began.pop(place, None)
        columns, infinite = record.get("columns") or {}, record.get("infinite") or {}
        n_bytes = int(record.get("bytes") or 0)
        self.rows, self.rejects = self.rows + rows, self.rejects + rejects
        self.read_bytes += 0 if is_there else n_bytes
        self.found += len(places) if is_there else 0
        for name, (n_rows, missing, mean, std) in columns.items():
            self.columns.setdefault(name, ColumnState()).add(
                int(n_rows), int(missing), mean, std, int(infinite.get(name) or 0)
            )
        if places:
            worker, seconds = str(record.get("worker") or ""), float(record.get("seconds") or 0.0)
            piece = Piece(min(places), len(places), rows, rejects, n_bytes, at, seconds, worker, columns)
            self.pieces.append(piece)
            self._refuse(piece.first, record.get("examples") or ())

    def _refuse(self, place: int, examples: Sequence[Sequence[Any]]) -> None:
        """Keep the first rows that were refused."""
        for file, line, reason in examples[: MOST_REFUSED - len(self.refused)]:
            self.refused.append(Refused(place, str(file), None if line is None else int(line), str(reason)))

    def shift(self, piece: Piece, name: str) -> float:
        """Return how far a piece's mean is from that of all pieces, in standard deviations of all; nan if unknown."""
        whole = self.columns.get(name)
        found: Sequence[Any] = piece.columns.get(name) or (0, 0, None, None)
        if whole is None or found[2] is None or not whole.std > 0:
            return math.nan
        return (float(found[2]) - whole.mean) / whole.std
