"""Parameters as numbers between 0 and 1, so that a search's values can be averaged over evenly."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FEW = 12
"""Numbers of so few different values are a list of choices, each as likely; more are a range."""

LOG_RATIO = 20.0
"""A range is taken by its logarithm from this ratio of its ends on, if the values lie more evenly there."""

ABSENT = "(absent)"
"""Stands for a parameter that a candidate does not have."""


@dataclass(frozen=True, slots=True)
class Scale:
    """How a parameter's values become numbers.

    Attributes
    ----------
    cells : mapping
        Values that have a piece of [0, 1] of their own, by their key, with its middle.
    start : float
        Where the range of the other numbers begins; it ends at 1.
    low, high : float
        Ends of the range, as logarithms where `is_log`.
    is_log : bool
        Whether numbers are taken by their logarithm.
    """

    cells: Mapping[Hashable, float]
    start: float
    low: float
    high: float
    is_log: bool

    @classmethod
    def of(cls, values: Sequence[Any], scores: Floats) -> Scale | None:
        """Find the scale of what a search tried; None when there is one value only.

        Choices are ordered by their mean score, so that trees can part the good from the bad at once.
        """
        keys = [_key(value) for value in values]
        if len(set(keys)) < 2:
            return None
        is_number = np.array([_is_number(value) for value in values])
        numbers = np.array([float(value) for value, is_one in zip(values, is_number, strict=True) if is_one])
        n_numbers = len(np.unique(numbers))
        as_range = n_numbers > FEW
        choices: dict[Hashable, list[float]] = {}
        for key, is_one, score in zip(keys, is_number, scores, strict=True):
            if not (as_range and is_one):
                choices.setdefault(key, []).append(float(score))
        # Numbers keep their order among choices; the others are put in the order of what they scored.
        if not as_range and is_number.all():
            order = sorted(choices, key=lambda key: float(key[1]))  # type: ignore[index]  # `_key` makes pairs
        else:
            order = sorted(choices, key=lambda key: float(np.mean(choices[key])))
        width = 1.0 / (len(order) + as_range)
        cells = {key: (place + 0.5) * width for place, key in enumerate(order)}
        low, high, is_log = 0.0, 1.0, False
        if as_range:
            low, high, is_log = float(numbers.min()), float(numbers.max()), _is_log(numbers)
            low, high = (math.log(low), math.log(high)) if is_log else (low, high)
        return cls(cells, len(order) * width, low, high, is_log)

    def encoded(self, values: Sequence[Any]) -> Floats:
        """Return numbers between 0 and 1, shape (n_values,)."""
        return np.array([self._one(value) for value in values])

    def _one(self, value: Any) -> float:
        cell = self.cells.get(_key(value))
        if cell is not None:
            return cell
        number = math.log(float(value)) if self.is_log else float(value)
        return self.start + (1.0 - self.start) * (number - self.low) / (self.high - self.low)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and math.isfinite(float(value))
    )


def _key(value: Any) -> tuple[str, str]:
    """What makes two values the same; numbers are so whatever their type."""
    if _is_number(value):
        return "number", repr(float(value))
    return type(value).__name__, repr(value)


def _is_log(numbers: Floats) -> bool:
    """Whether values lie more evenly by their logarithm."""
    if numbers.min() <= 0 or numbers.max() / numbers.min() < LOG_RATIO:
        return False
    return _unevenness(np.log(numbers)) < _unevenness(numbers)


def _unevenness(values: Floats) -> float:
    """Largest distance between the values' distribution and an even one over their range (Kolmogorov-Smirnov)."""
    ordered = np.sort(values)
    even = (ordered - ordered[0]) / (ordered[-1] - ordered[0])
    return float(np.abs(even - np.linspace(0, 1, len(ordered))).max())
