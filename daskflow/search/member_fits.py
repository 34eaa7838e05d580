"""Members of a partitioned estimator, fitted as units: each where a worker is free, on rows that it maps."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from daskflow.core.errors import ClusterError, DataError, SearchError, StorageError
from daskflow.core.events import Listener, tell
from daskflow.core.journal import write_atomically
from daskflow.core.protocols import Executor, Outcome, PartitionedEstimator, Unit
from daskflow.core.seeds import digest
from daskflow.core.warned import gathered
from daskflow.data.execution import run_all
from daskflow.data.matrices import Batch, MatrixPart
from daskflow.search.training import native_threads


def fit_members(
    estimator: PartitionedEstimator, part: MatrixPart, executor: Executor, folder: Path, *, listener: Listener
) -> Any:
    """Fit an estimator's members on the workers and put them together.

    Every member maps its rows and reads no others, but for the probed ones; it is written to the folder, so that a run
    that was killed fits only those that are missing.

    Parameters
    ----------
    estimator : PartitionedEstimator
        Unfitted; it is fitted when this returns.
    part : MatrixPart
        All rows, in training order: any run of them is a sample of all.
    executor : Executor
        With nothing pending.
    folder : Path
        Is there; every worker sees it.
    listener : callable
        Hears ``stage`` and ``progress`` of the stage ``refit``, and a ``warning`` for each that is given.

    Raises
    ------
    SearchError
        When a member cannot be fitted.
    """
    bounds = list(estimator.bounds(part.n_rows))
    probe = np.asarray(estimator.probe(bounds), dtype=np.int64)
    fit = digest([repr(estimator), Path(part.folder).name, bounds, len(probe)], 16)
    units = [
        Unit(f"member-{number}", fit_member, (estimator, number, part, rows, probe, folder / f"member-{fit}-{number}"))
        for number, rows in enumerate(bounds)
    ]
    done = 0

    def hear(outcome: Outcome) -> None:
        nonlocal done
        done += 1
        tell(listener, "progress", stage="refit", done=done, total=len(units))

    tell(listener, "stage", stage="refit", state="started", total=len(units))
    try:
        answers = run_all(executor, units, on_done=hear)
    except (StorageError, ClusterError):
        raise
    except Exception as error:
        raise SearchError(f"A member could not be fitted: {type(error).__name__}: {error}") from error
    members = [_load(folder / f"member-{fit}-{number}", answers[f"member-{number}"]) for number in range(len(units))]
    truth = rows_at(part, probe)
    with gathered() as given:
        fitted = estimator.assemble(members, probe, truth.y, truth.weight)
    for warning in given:
        tell(listener, "warning", text=str(warning.message))
    tell(listener, "stage", stage="refit", state="finished", total=len(units))
    return fitted


def fit_member(
    estimator: PartitionedEstimator,
    number: int,
    part: MatrixPart,
    rows: tuple[int, int],
    probe: NDArray[np.int64],
    path: Path,
) -> str:
    """Fit one member, write it, and return the file's hash; one that stands there already is taken."""
    if path.exists():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    mine = rows_at(part, np.arange(*rows)) if part.is_sparse else _run_of(part, rows)
    asked = rows_at(part, probe).X if len(probe) else None
    with native_threads(estimator):
        member = estimator.fit_member(number, mine.X, mine.y, mine.weight, asked)
    content = pickle.dumps(member, protocol=pickle.HIGHEST_PROTOCOL)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def _load(path: Path, sha256: str) -> Any:
    content = path.read_bytes()
    if hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(f"{path.name} was changed since it was written. Run the same command again.")
    return pickle.loads(content)  # noqa: S301  written by this run, and its hash was just compared


def _run_of(part: MatrixPart, rows: tuple[int, int]) -> Batch:
    """Dense rows that follow each other, as they are mapped."""
    whole, run = part.whole(), slice(*rows)
    return Batch(whole.X[run], whole.y[run], None if whole.weight is None else whole.weight[run])


def rows_at(part: MatrixPart, rows: Sequence[int] | NDArray[np.int64]) -> Batch:
    """Copy rows of ascending numbers out of a part, block by block."""
    numbers = np.asarray(rows, dtype=np.int64)
    cuts = np.searchsorted(numbers, part.offsets)
    pieces = []
    for block in range(part.n_blocks):
        inside = numbers[cuts[block] : cuts[block + 1]] - part.offsets[block]
        if len(inside):
            found = part.block(block)
            weight = None if found.weight is None else found.weight[inside]
            pieces.append(Batch(found.X[inside], found.y[inside], weight))
    if not pieces:
        first = part.block(0)
        return Batch(first.X[:0], first.y[:0], None if first.weight is None else first.weight[:0])
    join: Any = sparse.vstack if part.is_sparse else np.concatenate
    weights = [piece.weight for piece in pieces if piece.weight is not None]
    X = join([piece.X for piece in pieces])
    return Batch(
        sparse.csr_matrix(X) if part.is_sparse else X,
        np.concatenate([piece.y for piece in pieces]),
        np.concatenate(weights) if weights else None,
    )
