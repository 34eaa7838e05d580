"""Metrics that users might write, for tests."""

from __future__ import annotations

from typing import Any

import numpy as np


class Bias:
    """Size of the mean error, to a power: its state is three sums."""

    def __init__(self, power: float = 1.0) -> None:
        """Remember the power."""
        self.power = power

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Sum a block."""
        return np.array([(weight * (y_true - y_pred)).sum(), weight.sum()])

    def merge(self, left: Any, right: Any) -> Any:
        """Add."""
        return left + right

    def value(self, state: Any) -> float:
        """Divide."""
        return float(abs(state[0] / state[1]) ** self.power) if state[1] else float("nan")


def profit(y_true: Any, y_pred: Any, gain: float = 10.0, cost: float = 1.0) -> float:
    """Earn of hits and pay for every call; it takes no weights."""
    return float(gain * (y_true * y_pred).sum() - cost * y_pred.sum())


def failing(y_true: Any, y_pred: Any) -> float:
    """Fail."""
    raise KeyError("nothing")


def wordy(y_true: Any, y_pred: Any) -> str:
    """Return no number."""
    return "good"
