"""Matrices: what estimators learn from, on disk, memory-mapped, in training order."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
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
from daskflow.data.aside import Aside
from daskflow.data.balance import Balancing, PartBalance
from daskflow.data.blocks import storing_in
from daskflow.data.execution import run_all
from daskflow.data.maps import watch
from daskflow.data.matrix_files import Job, Wanted, flush, reserve_array, write_ranges
from daskflow.data.range_counts import count_classes, count_rows
from daskflow.data.ranges import RangeReader, range_groups
from daskflow.data.split_plan import TEST

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
        y = self._array("y")[: self.n_rows]
        weight = self._array("weight")[: self.n_rows] if self.is_weighted else None
        if not self.is_sparse:
            return Batch(self._array("X")[: self.n_rows], y, weight)
        pieces = [self._piece(i) for i in range(self.n_blocks)]
        return Batch(sparse.vstack(pieces, format="csr"), y, weight)

    def head(self, n_blocks: int) -> MatrixPart:
        """Return the part of the first blocks: a random sample of its rows, for they stand in the order of hashes."""
        n_blocks = min(n_blocks, self.n_blocks)
        offsets = self.offsets[: n_blocks + 1]
        return replace(self, n_rows=offsets[-1], offsets=offsets, ranges=self.ranges[:n_blocks])

    def _array(self, name: str) -> NDArray[Any]:
        return _mapped(os.path.join(self.folder, f"{name}.npy"))  # a Path would take a quarter of a small fit's time

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


def build(
    reader: RangeReader,
    transformers: Sequence[Transformer],
    final: Transformer | None,
    folder: Path,
    executor: Executor,
    listener: Listener = nobody,
    *,
    prepare: Callable[[pa.Table], pa.Table] | None = None,
    balancing: Balancing | None = None,
    aside: Aside | None = None,
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
    balancing : Balancing, optional
        Weighs the classes of training rows, or leaves some rows of the largest out.
    aside : Aside, optional
        Source rows that are kept for the evaluation, written in the same visit.

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
    groups: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []
    for k, fold in enumerate(plan.folds):
        groups += [(k, fold.train, fold.train), (k, fold.validation, fold.train)]
    if final is not None:
        groups.append((len(kinds) - 1, plan.final, plan.final))
        groups += [(len(kinds) - 1, (TEST,), plan.final)] if plan.sizes["test"] else []
    wanted = []
    for number, parts, learned in groups:
        is_training = parts == learned
        out_of_fold = is_training and kinds[number].is_out_of_fold
        balanced = learned if balancing is not None and (is_training or balancing.in_scores) else None
        token = _token(reader, tokens[number], parts, out_of_fold, (balancing, balanced) if balanced else None)
        wanted.append(Wanted(token, number, parts, out_of_fold, balanced))
    missing = {part.token: part for part in wanted if _finished(folder / part.token) is None}
    aside = None if aside is None or aside.is_finished else aside
    if missing or aside is not None:
        _make(reader, kinds, list(missing.values()), folder, executor, listener, prepare, balancing, aside)
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


def _token(
    reader: RangeReader, transformer: str, segments: tuple[int, ...], is_out_of_fold: bool, balanced: Any
) -> str:
    """Name of a part: everything that decides its content."""
    blocks, target = reader.blocks, reader.target
    files = sorted(Path(file.path).name for file in blocks.files)  # they say what was decoded and derived, and how
    rows = [files, blocks.schema.dump(), blocks.roles.weight, reader.n_ranges, reader.plan.token]
    learned = [target.name, str(target.task), list(target.classes)]
    return digest([FORMAT, transformer, rows, learned, segments, is_out_of_fold, balanced], 24)


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
    missing: Sequence[Wanted],
    folder: Path,
    executor: Executor,
    listener: Listener,
    prepare: Callable[[pa.Table], pa.Table] | None,
    balancing: Balancing | None,
    aside: Aside | None,
) -> None:
    """Count, reserve, write, mark."""
    classes = count_classes(reader, balancing, executor) if balancing is not None else None
    counts = count_rows(reader, executor) if classes is None else classes.rows.sum(axis=2)
    jobs, parts = [], []
    for part in missing:
        places = [segment if segment != TEST else -1 for segment in part.segments]
        rows, balance = counts[:, places].sum(axis=1), None
        is_training = part.learned == part.segments
        if classes is not None and balancing is not None and part.learned is not None:
            balance = balancing.of(classes, part.learned)
            if is_training:
                rows = np.where(balance.is_cut, classes.kept[:, places], classes.rows[:, places]).sum(axis=(1, 2))
        ranges = np.flatnonzero(rows)
        offsets = [0, *np.cumsum(rows[ranges]).tolist()]
        starts = dict(zip(ranges.tolist(), offsets[:-1], strict=True))
        jobs.append(_job(part, str(folder / part.token), starts, balancing, balance, is_training=is_training))
        transformer = kinds[part.transformer]
        parts.append(
            MatrixPart(
                folder=jobs[-1].folder,
                n_rows=offsets[-1],
                n_features=len(transformer.feature_names),
                offsets=tuple(offsets),
                ranges=tuple(ranges.tolist()),
                is_sparse=transformer.is_sparse,
                is_weighted=reader.blocks.roles.weight is not None or jobs[-1].factors is not None,
            )
        )
        _reserve(parts[-1], reader.target.task.is_classification)
    groups = range_groups(reader.n_ranges, max(UNIT_RANGES, reader.n_together))
    used = {part.transformer: kinds[part.transformer] for part in missing}
    units = [
        Unit(f"matrices-{number}", write_ranges, (reader, list(group), used, jobs, prepare, aside))
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
        flush(Path(made.folder))
        marker = {name: value for name, value in asdict(made).items() if name != "folder"}
        write_atomically(Path(made.folder) / MARKER, json.dumps(marker).encode())
    if aside is not None:
        aside.finish()
    tell(listener, "stage", stage="matrices", state="finished", total=len(units))


def _job(
    part: Wanted,
    folder: str,
    starts: dict[int, int],
    balancing: Balancing | None,
    balance: PartBalance | None,
    *,
    is_training: bool,
) -> Job:
    """A part in the making; training rows have the balance of their own, others at most its factors."""
    if balance is None:
        return Job(part, folder, starts)
    if is_training:
        return Job(part, folder, starts, balancing, balance.is_cut, balance.factors)
    return Job(part, folder, starts, factors=balance.score_factors)


def _reserve(part: MatrixPart, is_classification: bool) -> None:
    """Make a part's files in their full size, so that a full disk is known before the work."""
    folder = Path(part.folder)
    with storing_in(folder.parent, option="--runs"):
        folder.mkdir(exist_ok=True)
        reserve_array(folder / "y.npy", (part.n_rows,), np.dtype(np.int64 if is_classification else np.float64))
        if part.is_weighted:
            reserve_array(folder / "weight.npy", (part.n_rows,), np.dtype(np.float64))
        if not part.is_sparse:
            reserve_array(folder / "X.npy", (part.n_rows, part.n_features), np.dtype(np.float32))
