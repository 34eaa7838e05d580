"""What of a model's answer is explained: a probability, a score, or a number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.data.predictions import Predictions

Floats = NDArray[np.float64]

MOST_CLASSES = 3
"""Classes of a multiclass task that are explained: those that the model gives the most rows to."""


@dataclass(frozen=True, slots=True)
class Explained:
    """Which columns of the answer, by name.

    Attributes
    ----------
    names : tuple of str
        ``probability of yes``, ``score of yes``, ``share answered yes`` or ``prediction``.
    codes : tuple of int
        Columns of what `values` gives for all.
    """

    names: tuple[str, ...]
    codes: tuple[int, ...]

    def of(self, predictions: Predictions, n_classes: int) -> Floats:
        """Return the outputs of rows, shape (n_rows, n_outputs)."""
        return values(predictions, n_classes)[0][:, list(self.codes)]


def values(predictions: Predictions, n_classes: int) -> tuple[Floats, str]:
    """Return everything a model says of rows as (n_rows, n_outputs), and what it is.

    Binary tasks have one column, that of class 1; multiclass tasks one per class.
    """
    if n_classes == 0:
        return _columns(predictions.of("predictions")), "prediction"
    for need, word in (("probabilities", "probability of"), ("scores", "score of")):
        found = getattr(predictions, need)
        if found is not None:
            return _columns(found), word
    labels = np.asarray(predictions.of("labels"))
    codes = [1] if n_classes == 2 else range(n_classes)
    return np.column_stack([labels == code for code in codes]).astype(np.float64), "share answered"


def explained(predictions: Predictions, classes: Sequence[Any], most: int = MOST_CLASSES) -> Explained:
    """Choose what is explained: of more than two classes those that the model gives the most rows to."""
    found, word = values(predictions, len(classes))
    if not classes:
        return Explained((word,), (0,))
    if len(classes) == 2:
        return Explained((f"{word} {classes[1]}",), (0,))
    means = np.where(np.isfinite(found).all(axis=0), found.mean(axis=0), -math.inf)
    codes = [int(code) for code in np.argsort(-means, kind="stable")[:most] if math.isfinite(means[code])]
    return Explained(tuple(f"{word} {classes[code]}" for code in codes), tuple(codes))


def number(value: Any) -> float | None:
    """Return a plain number; None where there is none."""
    found = float(value)
    return found if math.isfinite(found) else None


def _columns(found: Any) -> Floats:
    given = np.asarray(found, dtype=np.float64)
    return given[:, None] if given.ndim == 1 else given
