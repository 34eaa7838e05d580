"""Small matrices of given arrays, in the files that `data.matrices` writes: what search tests train on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from daskflow.data.matrices import FoldMatrices, Matrices, MatrixPart


def part_of(folder: Path, X: Any, y: Any, weight: Any = None, n_blocks: int = 4) -> MatrixPart:
    """Write one part."""
    folder.mkdir(parents=True)
    offsets = np.linspace(0, len(y), n_blocks + 1).astype(int).tolist()
    np.save(folder / "y.npy", y)
    if weight is not None:
        np.save(folder / "weight.npy", np.asarray(weight, dtype=np.float64))
    if sparse.issparse(X):
        for number in range(n_blocks):
            piece = X[offsets[number] : offsets[number + 1]]
            for name in ("data", "indices", "indptr"):
                np.save(folder / f"{number:06d}.{name}.npy", getattr(piece, name))
    else:
        np.save(folder / "X.npy", np.asarray(X, dtype=np.float32))
    return MatrixPart(
        folder=str(folder),
        n_rows=len(y),
        n_features=X.shape[1],
        offsets=tuple(offsets),
        ranges=tuple(range(n_blocks)),
        is_sparse=sparse.issparse(X),
        is_weighted=weight is not None,
    )


def matrices_of(folder: Path, X: Any, y: Any, *, weight: Any = None, n_folds: int = 2, n_blocks: int = 4) -> Matrices:
    """Write folds of every n-th row, and all rows as the final part."""
    rows = np.arange(len(y))

    def cut(name: str, chosen: Any, blocks: int) -> MatrixPart:
        return part_of(folder / name, X[chosen], y[chosen], None if weight is None else weight[chosen], blocks)

    folds = tuple(
        FoldMatrices(
            cut(f"train-{k}", rows[rows % n_folds != k], n_blocks), cut(f"validation-{k}", rows[rows % n_folds == k], 2)
        )
        for k in range(n_folds)
    )
    return Matrices(folds, cut("final", rows, n_blocks), None)


def classes(n_rows: int = 240, n_features: int = 6, n_classes: int = 2, seed: int = 0) -> tuple[Any, Any]:
    """Rows of noisy classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    scores = X @ rng.normal(size=(n_features, n_classes)) + rng.normal(scale=1.5, size=(n_rows, n_classes))
    return X, scores.argmax(axis=1).astype(np.int64)


def numbers(n_rows: int = 240, n_features: int = 6, seed: int = 0) -> tuple[Any, Any]:
    """Rows of a noisy linear target."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    return X, X @ rng.normal(size=n_features) + rng.normal(size=n_rows)
