"""The files of matrices: which rows of a range go into which part, and how they are written."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from daskflow.core.errors import StorageError
from daskflow.core.protocols import Transformer
from daskflow.data.aside import Aside
from daskflow.data.balance import Balancing
from daskflow.data.blocks import storing_in
from daskflow.data.ranges import RangeReader, RangeRows
from daskflow.data.targets import target_codes


@dataclass(frozen=True, slots=True)
class Wanted:
    """A part to make.

    Attributes
    ----------
    token : str
        Its name.
    transformer : int
        Which of the transformers.
    segments : tuple of int
        Of its rows.
    is_out_of_fold : bool
        Whether its rows are transformed out of fold.
    learned : tuple of int or None
        The training segments whose balance it has; None without one.
    """

    token: str
    transformer: int
    segments: tuple[int, ...]
    is_out_of_fold: bool
    learned: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class Job:
    """A part in the making, as units see it: rows begin at ``starts[range]``.

    Of the classes that `is_cut` only the rows stay that the balancing says; `factors` of the classes weigh the rows.
    """

    wanted: Wanted
    folder: str
    starts: dict[int, int]
    balancing: Balancing | None = None
    is_cut: tuple[bool, ...] = ()
    factors: tuple[float, ...] | None = None

    def holds(self, rows: RangeRows, y: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which rows of a range are in the part."""
        inside = np.isin(rows.segments, self.wanted.segments)
        if self.balancing is not None and any(self.is_cut):
            inside &= self.balancing.stays(rows.order, y) | ~np.array(self.is_cut)[y]
        return inside


def flush(folder: Path) -> None:
    """Bring a part's files to the disk, so that a marker never stands beside rows that a power cut lost."""
    for path in folder.glob("*.npy"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def reserve_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    """Write an array's header and reserve the room of its values."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        size = file.tell() + int(np.prod(shape)) * dtype.itemsize
        file.truncate(size)
        file.flush()
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # some file systems cannot reserve
                raise


def write_ranges(
    reader: RangeReader,
    ranges: Sequence[int],
    kinds: dict[int, Transformer],
    jobs: Sequence[Job],
    prepare: Callable[[pa.Table], pa.Table] | None,
    aside: Aside | None = None,
) -> None:
    """Transform some ranges and write their rows into every part that has them, and what is kept of them aside."""
    weight = reader.blocks.roles.weight
    columns = list(dict.fromkeys([*reader.blocks.features.names, reader.target.name, *([weight] if weight else [])]))
    kept = aside.columns if aside is not None else ()
    for i in ranges:
        rows = reader.read(i, list(dict.fromkeys([*columns, *kept])))
        if aside is not None:
            aside.write(i, rows)
        y = target_codes(rows.table.column(reader.target.name), reader.target)
        table = rows.table.select(columns)
        table = table if prepare is None else prepare(table)
        w = None if weight is None else np.asarray(rows.table.column(weight).cast(pa.float64()))
        for number, transformer in kinds.items():
            for is_out_of_fold in (True, False):
                held = [
                    (job, job.holds(rows, y))
                    for job in jobs
                    if (job.wanted.transformer, job.wanted.is_out_of_fold) == (number, is_out_of_fold)
                    and i in job.starts
                ]
                if not held:
                    continue
                needed = np.logical_or.reduce([inside for _, inside in held])
                parts = rows.parts[needed] if is_out_of_fold else None
                X = transformer.matrix(table if needed.all() else table.filter(pa.array(needed)), parts)
                for job, inside in held:
                    _write_part(job, i, X[inside[needed]], y[inside], _weights(job, y[inside], w, inside))


def _weights(job: Job, y: NDArray[Any], weight: NDArray[np.float64] | None, inside: Any) -> Any:
    """The weights of a part's rows: their own, by the factors of their classes."""
    own = None if weight is None else weight[inside]
    if job.factors is None:
        return own
    factors = np.array(job.factors)[y]
    return factors if own is None else own * factors


def _write_part(job: Job, i: int, X: Any, y: NDArray[Any], weight: NDArray[np.float64] | None) -> None:
    """Write one range's rows of one part."""
    folder, start = Path(job.folder), job.starts[i]
    with storing_in(folder.parent, option="--runs"):
        if sparse.issparse(X):
            for name in ("data", "indices", "indptr"):
                np.save(folder / f"{i:06d}.{name}.npy", getattr(X, name))
        else:
            _write_rows(folder / "X.npy", start, np.asarray(X, dtype=np.float32))
        _write_rows(folder / "y.npy", start, y)
        if weight is not None:
            _write_rows(folder / "weight.npy", start, weight)


def _write_rows(path: Path, start: int, rows: NDArray[Any]) -> None:
    """Write rows into their place by ``write``: through a memory map a full disk would kill the process."""
    with open(path, "r+b") as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise StorageError(f"Matrix {path} is damaged: not an array of version 1.0. Delete its folder.")
        np.lib.format.read_array_header_1_0(file)
        file.seek(file.tell() + start * rows[:1].nbytes)
        file.write(np.ascontiguousarray(rows).data)
