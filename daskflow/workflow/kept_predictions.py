"""Kept predictions: what the model said of the test rows, piece by piece on disk, and one Parquet file at last."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from daskflow.core.journal import write_atomically
from daskflow.data.blocks import storing_in
from daskflow.data.maps import map_file
from daskflow.data.predictions import Predictions
from daskflow.data.schema import Target


@dataclass(frozen=True, slots=True)
class Judged:
    """Test rows with what was said of them, in test order.

    Attributes
    ----------
    y : ndarray of shape (n_rows,)
        Class codes, or numbers.
    said : Predictions
        Of all rows.
    weight : ndarray of float64, shape (n_rows,), or None
        Sample weight.
    unit, content : ndarray of uint64, shape (n_rows,)
        Hash of what belongs together, and of the source row.
    """

    y: NDArray[Any]
    said: Predictions
    weight: NDArray[np.float64] | None
    unit: NDArray[np.uint64]
    content: NDArray[np.uint64]

    def head(self, rows: slice) -> Judged:
        """Return some of the rows."""
        names = ("labels", "probabilities", "scores")
        parts = [None if (array := getattr(self.said, name)) is None else array[rows] for name in names]
        weight = None if self.weight is None else self.weight[rows]
        return Judged(self.y[rows], Predictions(*parts), weight, self.unit[rows], self.content[rows])


def piece_path(folder: Path | str, number: int) -> Path:
    """Where a piece is kept."""
    return Path(folder) / f"piece-{number:06d}.arrow"


def keep_piece(path: Path, judged: Judged) -> None:
    """Write some rows."""
    table = pa.table(_columns(judged))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, table.schema) as file:
        file.write_table(table)
    with storing_in(path.parent, option="--runs"):
        write_atomically(path, sink.getvalue().to_pybytes())


def _columns(judged: Judged) -> dict[str, Any]:
    """The rows as columns: several classes one by one."""
    said = judged.said
    columns: dict[str, Any] = {"row": judged.content, "unit": judged.unit, "y": judged.y, "label": said.labels}
    for name, array in (("probability", said.probabilities), ("score", said.scores)):
        if array is None or (name == "score" and said.probabilities is not None):
            continue
        if array.ndim == 1:
            columns[name] = array
        else:
            columns |= {f"{name}_{code}": np.ascontiguousarray(array[:, code]) for code in range(array.shape[1])}
    if judged.weight is not None:
        columns["weight"] = judged.weight
    return columns


def read_pieces(folder: Path, numbers: Sequence[int]) -> Judged:
    """Return the rows of all pieces, in order."""
    tables = [pa.ipc.open_file(map_file(piece_path(folder, number))).read_all() for number in numbers]
    return judged_of(pa.concat_tables(tables))


def judged_of(table: pa.Table) -> Judged:
    """Return rows from their columns."""

    def column(name: str) -> Any:
        return table.column(name).to_numpy() if name in table.column_names else None

    def several(name: str) -> Any:
        codes = sum(each.startswith(f"{name}_") for each in table.column_names)
        return np.column_stack([column(f"{name}_{code}") for code in range(codes)]) if codes else column(name)

    probabilities = several("probability")
    scores = several("score") if probabilities is None else probabilities
    return Judged(
        column("y"),
        Predictions(column("label"), probabilities, scores),
        column("weight"),
        column("unit"),
        column("row"),
    )


def copies_of(content: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Number the rows of equal content, in their order.

    Examples
    --------
    >>> copies_of(np.array([7, 5, 7, 7], dtype=np.uint64))
    array([0, 0, 1, 2])
    """
    order = np.argsort(content, kind="stable")
    ordered = content[order]
    begins = np.concatenate([[True], ordered[1:] != ordered[:-1]]) if len(order) else np.empty(0, dtype=bool)
    starts = np.flatnonzero(begins)
    copy = np.empty(len(order), dtype=np.int64)
    copy[order] = np.arange(len(order)) - starts[np.cumsum(begins) - 1] if len(order) else 0
    return copy


def write_parquet(path: Path, judged: Judged, target: Target) -> None:
    """Write all test rows as one Parquet file.

    Columns: ``row`` (uint64, hash of the source row) and ``copy`` (0 and on for equal rows), by which two runs are
    paired; ``unit`` (uint64: rows of one group or key); ``y``, ``label`` (codes of the classes, or numbers);
    ``probability`` or ``score`` of class 1, or one per class (``probability_0``...); ``weight`` where there is one. The
    file's metadata hold ``daskflow``: JSON of the target's name, task and classes.
    """
    columns = _columns(judged)
    columns = {"row": columns.pop("row"), "copy": copies_of(judged.content), **columns}
    told = {
        "target": target.name,
        "task": str(target.task),
        "classes": [str(label) for label in target.classes],
    }
    table = pa.table(columns).replace_schema_metadata({"daskflow": json.dumps(told)})
    with storing_in(path.parent, option="--runs"):
        temporary = path.with_name(f".{path.name}.new")
        pq.write_table(table, temporary, compression="zstd")
        temporary.replace(path)
