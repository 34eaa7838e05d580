"""Matrices on disk for tests of the last fit, and families that make given estimators."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from scipy import sparse
from sklearn.base import clone

from daskflow.data.matrices import MatrixPart
from daskflow.search import boosting, checkpoints
from daskflow.search.boosters import Seat
from daskflow.search.boosting import Boost


@dataclass(frozen=True)
class Family:
    """Model settings of one estimator."""

    given: Any

    def estimator(self, task: str, params: Mapping[str, Any], seed: int | None) -> Any:
        """A copy of it with these parameters."""
        return clone(self.given).set_params(**params)


def write_part(folder: Path, X: Any, y: Any, *, n_blocks: int = 8, weight: Any = None) -> MatrixPart:
    """Write rows as the matrices of a run are written: dense ones as one file, sparse ones block by block."""
    folder.mkdir(parents=True)
    offsets = np.linspace(0, X.shape[0], n_blocks + 1).astype(int).tolist()
    if sparse.issparse(X):
        for number in range(n_blocks):
            piece = X[offsets[number] : offsets[number + 1]]
            for name in ("data", "indices", "indptr"):
                np.save(folder / f"{number:06d}.{name}.npy", getattr(piece, name))
    else:
        np.save(folder / "X.npy", np.ascontiguousarray(X, dtype=np.float32))
    np.save(folder / "y.npy", y)
    if weight is not None:
        np.save(folder / "weight.npy", np.asarray(weight, dtype=np.float64))
    return MatrixPart(
        folder=str(folder),
        n_rows=X.shape[0],
        n_features=X.shape[1],
        offsets=tuple(offsets),
        ranges=tuple(range(n_blocks)),
        is_sparse=sparse.issparse(X),
        is_weighted=weight is not None,
    )


HELD_SECONDS = 300.0
"""A rank that nobody lets go on goes on by itself, long after its test has failed."""


def held_rank(job: Boost, seat: Seat) -> None:
    """Train as `boosting.boost_rank` does, but wait behind each checkpoint as long as there is no file ``go``."""
    save, go = checkpoints.save, Path(job.folder).with_name("go")
    end = time.monotonic() + HELD_SECONDS

    def save_and_wait(folder: Path, fit: str, rounds: int, content: bytes) -> None:
        save(folder, fit, rounds, content)
        while rounds < job.recipe.rounds and not go.exists() and time.monotonic() < end:
            time.sleep(0.02)

    with mock.patch.object(checkpoints, "save", save_and_wait):
        boosting.boost_rank(job, seat)


def rounds_on_disk(folder: Path) -> int:
    """Rounds of the checkpoint in a folder."""
    return int(json.loads((folder / "booster.json").read_bytes())["rounds"])
