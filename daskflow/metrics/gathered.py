"""Gathered predictions: the state of metrics that can only be told from all rows at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Gathered:
    """Blocks of truth, predictions and weights; merged by standing side by side. Rows without weight are left out.

    Attributes
    ----------
    blocks : tuple of (y_true, y_pred, weight)
        Arrays with a row each.
    """

    blocks: tuple[tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]], ...]

    @classmethod
    def of(cls, y_true: Any, y_pred: Any, weight: Any) -> Gathered:
        """Keep one block."""
        weight = np.asarray(weight, dtype=np.float64)
        used = weight > 0
        return cls(((np.asarray(y_true)[used], np.asarray(y_pred)[used], weight[used]),))

    def merge(self, other: Gathered) -> Gathered:
        """Put blocks side by side."""
        return Gathered(self.blocks + other.blocks)

    def arrays(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[np.float64]]:
        """Return truth, predictions and weights of all rows."""
        y_true, y_pred, weight = (np.concatenate(parts) for parts in zip(*self.blocks, strict=True))
        return y_true, y_pred, weight
