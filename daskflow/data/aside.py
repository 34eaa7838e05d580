"""Rows set aside: the source columns of the test rows and of a sample of the training rows, for the evaluation.

They are written in the visit that makes the matrices, so that what looks at source columns later (slices, drift,
explanations) needs neither the blocks nor the files. A file holds one range; its rows stand as in the matrices.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from daskflow.core.journal import write_atomically
from daskflow.data.blocks import CONTENT, UNIT, storing_in
from daskflow.data.maps import map_file
from daskflow.data.ranges import RangeRows
from daskflow.data.split_plan import TEST

MARKER = "finished"


@dataclass(frozen=True, slots=True)
class Aside:
    """Where rows are set aside, and which; picklable.

    Attributes
    ----------
    folder : str
        On a folder that all workers see.
    columns : tuple of str
        Columns of the table that are kept.
    segments : tuple of int
        Of the training rows.
    n_train_ranges : int
        Training rows are kept of so many first ranges: a random sample, for ranges are slices of a hash.
    token : str
        Names what the rows are made from; rows of another token are made anew.
    """

    folder: str
    columns: tuple[str, ...]
    segments: tuple[int, ...]
    n_train_ranges: int
    token: str

    @property
    def is_finished(self) -> bool:
        """Whether all of it was written."""
        try:
            return (Path(self.folder) / MARKER).read_text() == self.token
        except OSError:
            return False

    def write(self, i: int, rows: RangeRows) -> None:
        """Keep what is to be kept of one range."""
        self._write("test", i, rows, rows.segments == TEST)
        if i < self.n_train_ranges:
            self._write("train", i, rows, np.isin(rows.segments, self.segments))

    def _write(self, part: str, i: int, rows: RangeRows, inside: NDArray[np.bool_]) -> None:
        """One file."""
        table = rows.table.select([name for name in self.columns if name in rows.table.column_names])
        table = table.append_column(CONTENT, pa.array(rows.content)).append_column(UNIT, pa.array(rows.units))
        kept = table.filter(pa.array(inside)).combine_chunks()
        for place, field in enumerate(kept.schema):
            if pa.types.is_dictionary(field.type):  # its dictionary is of all ranges that were gathered together
                own = kept.column(place).cast(field.type.value_type).dictionary_encode()
                kept = kept.set_column(place, field.name, own)
        kept = kept.unify_dictionaries()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, kept.schema) as file:
            file.write_table(kept, max_chunksize=max(len(kept), 1))
        folder = Path(self.folder)
        with storing_in(folder.parent, option="--runs"):
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / f"{part}-{i:06d}.arrow", sink.getvalue().to_pybytes())

    def finish(self) -> None:
        """Say that all of it was written."""
        write_atomically(Path(self.folder) / MARKER, self.token.encode())

    def test(self, i: int) -> pa.Table:
        """Return the test rows of one range, memory-mapped, with their hashes `CONTENT` and `UNIT`."""
        return _read(Path(self.folder) / f"test-{i:06d}.arrow")

    def train(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the sample of the training rows: all that is kept of them, or some columns."""
        tables = [_read(Path(self.folder) / f"train-{i:06d}.arrow") for i in range(self.n_train_ranges)]
        return together(tables if columns is None else [table.select(columns) for table in tables])

    def train_schema(self) -> pa.Schema:
        """Return the types of what is kept of the training rows."""
        return _read(Path(self.folder) / f"train-{0:06d}.arrow").schema


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """Put rows of several ranges behind each other, with one dictionary for each column of texts."""
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def _read(path: Path) -> pa.Table:
    """A file's rows."""
    return pa.ipc.open_file(map_file(path)).read_all()


def hashes(table: pa.Table, name: str) -> NDArray[Any]:
    """Return a table's hashes, shape (n_rows,), uint64."""
    return np.asarray(table.column(name).to_numpy())
