"""Matrices: what estimators learn from, on disk, memory-mapped, in training order."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy import sparse

from daskflow.core.errors import StorageError
from daskflow.core.events import Listener, nobody, tell
from daskflow.core.journal import write_atomically
from daskflow.core.protocols import Executor, Outcome, Transformer, Unit
from daskflow.core.seeds import digest
from daskflow.data.blocks import storing_in
from daskflow.data.execution import run_all
from daskflow.data.maps import watch
from daskflow.data.ranges import RangeReader, range_groups
from daskflow.data.splits import TEST
from daskflow.data.targets import target_codes

FORMAT = 1
MARKER = "part.json"
UNIT_RANGES = 4
"""Ranges that one unit transforms, one after the other; more where small ranges are gathered together."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows for an estimator.

    Attributes
    ----------
    X : ndarray of float32 or CSR matrix, shape (n_rows, n_features)
        Dense ones are memory-mapped and read-only.
    y : ndarray of shape (n_rows,)
        Class codes (int64) or numbers (float64).
    weight : ndarray of float64, shape (n_rows,), or None
        Sample weight.
    """

    X: Any
    y: NDArray[Any]
    weight: NDArray[np.float64] | None


@dataclass(frozen=True, slots=True)
class MatrixPart:
    """The rows of some segments under one transformer; picklable, it holds only where they are.

    Attributes
    ----------
    folder : str
        Where its files are.
    n_rows, n_features : int
        Its shape.
    offsets : tuple of int
        Block i is rows ``offsets[i]`` to ``offsets[i + 1]``; ranges without rows are left out.
    ranges : tuple of int
        Range that each block came from.
    is_sparse, is_weighted : bool
        Whether X is CSR, and whether there are weights.
    """

    folder: str
    n_rows: int
    n_features: int
    offsets: tuple[int, ...]
    ranges: tuple[int, ...]
    is_sparse: bool
    is_weighted: bool

    @property
    def n_blocks(self) -> int:
        """Training blocks."""
        return len(self.ranges)

    def block(self, i: int) -> Batch:
        """Return one training block."""
        begin, end = self.offsets[i], self.offsets[i + 1]
        X = self._piece(i) if self.is_sparse else self._array("X")[begin:end]
        return Batch(X, self._array("y")[begin:end], self._array("weight")[begin:end] if self.is_weighted else None)

    def whole(self) -> Batch:
        """Return all rows; dense ones without a copy, sparse ones stacked in memory."""
        weight = self._array("weight") if self.is_weighted else None
        if not self.is_sparse:
            return Batch(self._array("X"), self._array("y"), weight)
        pieces = [self._piece(i) for i in range(self.n_blocks)]
        return Batch(sparse.vstack(pieces, format="csr"), self._array("y"), weight)

    def _array(self, name: str) -> NDArray[Any]:
        return _mapped(str(Path(self.folder) / f"{name}.npy"))

    def _piece(self, i: int) -> Any:
        data, indices, indptr = (self._array(f"{self.ranges[i]:06d}.{name}") for name in ("data", "indices", "indptr"))
        return sparse.csr_matrix((data, indices, indptr), shape=(len(indptr) - 1, self.n_features), copy=False)


@lru_cache(maxsize=64)
def _mapped(path: str) -> NDArray[Any]:
    """A file's array, memory-mapped; folders are named by what they hold, so maps never go stale."""
    try:
        array = np.load(path, mmap_mode="r")
        watch(array._mmap)
        return np.asarray(array)
    except FileNotFoundError as error:
        raise StorageError(
            f"Matrix {path} is gone, or this worker does not see the folder. Run the same command again."
        ) from error
    except (ValueError, OSError) as error:
        raise StorageError(f"Matrix {path} is damaged ({error}). Delete its folder and run again.") from error


@dataclass(frozen=True, slots=True)
class FoldMatrices:
    """A fold's two sides, under the transformer that was fitted on its training rows."""

    train: MatrixPart
    validation: MatrixPart


@dataclass(frozen=True, slots=True)
class Matrices:
    """Every matrix of a run.

    Attributes
    ----------
    folds : tuple of FoldMatrices
        One per fold.
    final : MatrixPart or None
        All rows but test, for the refit.
    test : MatrixPart or None
        The test rows, under the final transformer; None when nothing is kept for a test.
    """

    folds: tuple[FoldMatrices, ...]
    final: MatrixPart | None
    test: MatrixPart | None

    def fold(self, k: int) -> FoldMatrices:
        """One fold."""
        return self.folds[k]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A part to make: its token, its transformer, its segments, and whether its rows are transformed out of fold."""

    token: str
    transformer: int
    segments: tuple[int, ...]
    is_training: bool


@dataclass(frozen=True, slots=True)
class _Job:
    """A part in the making, as units see it: rows begin at ``starts[range]``."""

    wanted: _Wanted
    folder: str
    starts: dict[int, int]


def build(
    reader: RangeReader,
    transformers: Sequence[Transformer],
    final: Transformer | None,
    folder: Path,
    executor: Executor,
    listener: Listener = nobody,
    *,
    prepare: Callable[[pa.Table], pa.Table] | None = None,
) -> Matrices:
    """Write the matrices of all folds, of the refit and of the test; finished ones are used as they are.

    Each range is read once and transformed once per transformer; a part is one contiguous file that several units write
    into. Parts of equal rows and transformer are one.

    Parameters
    ----------
    reader : RangeReader
        The rows, with their segments.
    transformers : sequence of Transformer
        One per fold, fitted on its training segments.
    final : Transformer or None
        Fitted on the rows of the refit; without it there is neither ``final`` nor ``test``.
    folder : Path
        Made when it is not there; every worker sees it under this path.
    executor : Executor
        Runs one unit per four ranges.
    listener : callable
        Hears ``stage`` and ``progress`` events of the stage ``matrices``.
    prepare : callable, optional
        Adds row-wise new columns to a table, once for all transformers; picklable.

    Raises
    ------
    StorageError
        When there is no room; it is reserved before the work begins.
    """
    folder = Path(folder).absolute()
    with storing_in(folder, option="--runs"):
        folder.mkdir(parents=True, exist_ok=True)
    plan = reader.plan
    kinds = [*transformers, final] if final is not None else list(transformers)
    tokens = [token_of(transformer) for transformer in kinds]
    groups: list[tuple[int, tuple[int, ...], bool]] = []
    for k, fold in enumerate(plan.folds):
        groups += [(k, fold.train, True), (k, fold.validation, False)]
    if final is not None:
        groups.append((len(kinds) - 1, plan.final, True))
        groups += [(len(kinds) - 1, (TEST,), False)] if plan.sizes["test"] else []
    wanted = [
        _Wanted(_token(reader, tokens[number], parts, out_of_fold), number, parts, out_of_fold)
        for number, parts, is_training in groups
        for out_of_fold in [is_training and kinds[number].is_out_of_fold]
    ]
    missing = {part.token: part for part in wanted if _finished(folder / part.token) is None}
    if missing:
        _make(reader, kinds, list(missing.values()), folder, executor, listener, prepare)
    made = [_part(folder / part.token) for part in wanted]
    folds = tuple(FoldMatrices(made[2 * k], made[2 * k + 1]) for k in range(len(plan.folds)))
    rest = made[2 * len(folds) :]
    return Matrices(folds, rest[0] if rest else None, rest[1] if len(rest) > 1 else None)


def estimate_bytes(*, n_rows: int, n_features: int, n_folds: int, test: float = 0.2, is_weighted: bool = False) -> int:
    """Return about how many bytes dense matrices take: one copy of the training rows per fold, and one of all rows.

    Parameters
    ----------
    n_rows, n_features : int
        Rows of the whole table, columns of the matrix.
    n_folds : int
        1 with a validation part.
    test : float
        Share of the test rows.
    is_weighted : bool
        Whether rows have weights.

    Examples
    --------
    >>> estimate_bytes(n_rows=1_000_000, n_features=100, n_folds=3)
    1387200000
    """
    per_row = 4 * n_features + 8 + (8 if is_weighted else 0)
    return round(n_rows * per_row * (n_folds * (1 - test) + 1))


def token_of(transformer: Transformer) -> str:
    """Return a hash of a transformer's state: of what it dumps, else of its pickle."""
    dump = getattr(transformer, "dump", None)
    if callable(dump):
        return digest(dump(), 24)
    return hashlib.sha256(pickle.dumps(transformer)).hexdigest()[:24]


def _token(reader: RangeReader, transformer: str, segments: tuple[int, ...], is_training: bool) -> str:
    """Name of a part: everything that decides its content."""
    blocks, target = reader.blocks, reader.target
    files = sorted(Path(file.path).name for file in blocks.files)  # they say what was decoded and derived, and how
    rows = [files, blocks.schema.dump(), blocks.roles.weight, reader.n_ranges, reader.plan.token]
    learned = [target.name, str(target.task), list(target.classes)]
    return digest([FORMAT, transformer, rows, learned, segments, is_training], 24)


def _finished(folder: Path) -> dict[str, Any] | None:
    """A finished part's marker; it is written last."""
    try:
        marker = json.loads((folder / MARKER).read_bytes())
    except (OSError, ValueError):
        return None
    return marker if isinstance(marker, dict) else None


def _part(folder: Path) -> MatrixPart:
    """A finished part."""
    marker = _finished(folder)
    if marker is None:
        raise StorageError(f"{folder / MARKER} cannot be read though it was written. Is the folder shared by all?")
    return MatrixPart(str(folder), **{**marker, "offsets": tuple(marker["offsets"]), "ranges": tuple(marker["ranges"])})


def _make(
    reader: RangeReader,
    kinds: Sequence[Transformer],
    missing: Sequence[_Wanted],
    folder: Path,
    executor: Executor,
    listener: Listener,
    prepare: Callable[[pa.Table], pa.Table] | None,
) -> None:
    """Count, reserve, write, mark."""
    is_weighted = reader.blocks.roles.weight is not None
    counts = _count(reader, executor)
    jobs, parts = [], []
    for part in missing:
        rows = counts[:, [segment if segment != TEST else -1 for segment in part.segments]].sum(axis=1)
        ranges = np.flatnonzero(rows)
        offsets = [0, *np.cumsum(rows[ranges]).tolist()]
        jobs.append(_Job(part, str(folder / part.token), dict(zip(ranges.tolist(), offsets[:-1], strict=True))))
        transformer = kinds[part.transformer]
        parts.append(
            MatrixPart(
                folder=jobs[-1].folder,
                n_rows=offsets[-1],
                n_features=len(transformer.feature_names),
                offsets=tuple(offsets),
                ranges=tuple(ranges.tolist()),
                is_sparse=transformer.is_sparse,
                is_weighted=is_weighted,
            )
        )
        _reserve(parts[-1], reader.target.task.is_classification)
    groups = range_groups(reader.n_ranges, max(UNIT_RANGES, reader.n_together))
    used = {part.transformer: kinds[part.transformer] for part in missing}
    units = [
        Unit(f"matrices-{number}", _write, (reader, list(group), used, jobs, prepare))
        for number, group in enumerate(groups)
    ]
    done = 0

    def hear(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        tell(listener, "progress", stage="matrices", done=done, total=len(units))

    tell(listener, "stage", stage="matrices", state="started", total=len(units))
    run_all(executor, units, on_done=hear)
    for made in parts:
        _flush(Path(made.folder))
        marker = {name: value for name, value in asdict(made).items() if name != "folder"}
        write_atomically(Path(made.folder) / MARKER, json.dumps(marker).encode())
    tell(listener, "stage", stage="matrices", state="finished", total=len(units))


def _flush(folder: Path) -> None:
    """Bring a part's files to the disk, so that a marker never stands beside rows that a power cut lost."""
    for path in folder.glob("*.npy"):
        with open(path, "rb") as file:
            os.fsync(file.fileno())


def _count(reader: RangeReader, executor: Executor) -> NDArray[np.int64]:
    """Rows of every range by segment; the last column is the test's."""
    groups = range_groups(reader.n_ranges)
    units = [Unit(f"matrices-count-{number}", _count_group, (reader, list(g))) for number, g in enumerate(groups)]
    answers = run_all(executor, units)
    return np.concatenate([answers[unit.key] for unit in units])


def _count_group(reader: RangeReader, ranges: Sequence[int]) -> NDArray[np.int64]:
    n_segments = reader.plan.n_segments
    counts = np.zeros((len(ranges), n_segments + 1), dtype=np.int64)
    for row, i in enumerate(ranges):
        counts[row] = np.bincount(np.minimum(reader.read(i, ()).segments, n_segments), minlength=n_segments + 1)
    return counts


def _reserve(part: MatrixPart, is_classification: bool) -> None:
    """Make a part's files in their full size, so that a full disk is known before the work."""
    folder = Path(part.folder)
    with storing_in(folder.parent, option="--runs"):
        folder.mkdir(exist_ok=True)
        _reserve_array(folder / "y.npy", (part.n_rows,), np.dtype(np.int64 if is_classification else np.float64))
        if part.is_weighted:
            _reserve_array(folder / "weight.npy", (part.n_rows,), np.dtype(np.float64))
        if not part.is_sparse:
            _reserve_array(folder / "X.npy", (part.n_rows, part.n_features), np.dtype(np.float32))


def _reserve_array(path: Path, shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
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


def _write(
    reader: RangeReader,
    ranges: Sequence[int],
    kinds: dict[int, Transformer],
    jobs: Sequence[_Job],
    prepare: Callable[[pa.Table], pa.Table] | None,
) -> None:
    """Transform some ranges and write their rows into every part that has them."""
    weight = reader.blocks.roles.weight
    columns = [*reader.blocks.features.names, reader.target.name, *([weight] if weight else [])]
    for i in ranges:
        rows = reader.read(i, list(dict.fromkeys(columns)))
        y = target_codes(rows.table.column(reader.target.name), reader.target)
        table = rows.table if prepare is None else prepare(rows.table)
        w = None if weight is None else np.asarray(rows.table.column(weight).cast(pa.float64()))
        for number, transformer in kinds.items():
            for is_training in (True, False):
                mine = [
                    job
                    for job in jobs
                    if (job.wanted.transformer, job.wanted.is_training) == (number, is_training) and i in job.starts
                ]
                needed = np.isin(rows.segments, [segment for job in mine for segment in job.wanted.segments])
                if not needed.any():
                    continue
                parts = rows.parts[needed] if is_training else None
                X = transformer.matrix(table if needed.all() else table.filter(pa.array(needed)), parts)
                for job in mine:
                    inside = np.isin(rows.segments, job.wanted.segments)
                    _write_part(job, i, X[inside[needed]], y[inside], None if w is None else w[inside])


def _write_part(job: _Job, i: int, X: Any, y: NDArray[Any], weight: NDArray[np.float64] | None) -> None:
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
