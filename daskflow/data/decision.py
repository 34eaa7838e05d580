"""Decision: what stands between an estimator's probabilities and the answer: a calibration, and a threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.data.predictions import Predictions

Floats = NDArray[np.float64]

KINDS = ("isotonic", "sigmoid", "temperature")
TINY, BELOW_ONE = 1e-12, 1.0 - 1e-12
"""Probabilities nearer to 0 or 1 count as this near before their logarithm is taken: a forest's 0 and 1 are no infinite
certainty. (scikit-learn's temperature scaling adds as much.)"""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A map of probabilities to calibrated ones; `daskflow.metrics.decisions` fits it.

    Attributes
    ----------
    kind : str
        ``isotonic`` (Zadrozny and Elkan, 2002): a non-decreasing function, linear between knots and flat beyond them.
        ``sigmoid`` (Platt, 1999): a logistic function of the log-odds. ``temperature`` (Guo et al., 2017): all
        log-probabilities divided by one number.
    curves : tuple of tuple of tuple of float
        One per class against the rest (binary: one, of class 1). Isotonic: ``(x, y)``, knots and their values, neither
        falling. Sigmoid: ``((slope, intercept),)``, slope at least 0. Temperature: one only, ``((temperature,),)``,
        above 0. So a calibration never turns the order of two rows around.

    Examples
    --------
    >>> Calibration("temperature", (((2.0,),),)).apply(np.array([0.5, 0.9])).round(2)
    array([0.5 , 0.75])
    """

    kind: str
    curves: tuple[tuple[tuple[float, ...], ...], ...]

    def apply(self, probabilities: Floats) -> Floats:
        """Return calibrated probabilities of the same shape: (n_rows,) of class 1, or (n_rows, n_classes).

        Classes calibrated one against the rest are divided by their sum; a row whose sum is 0 is left as it was.

        Raises
        ------
        DataError
            For probabilities of another number of classes.
        """
        given = np.asarray(probabilities, dtype=np.float64)
        if self.kind != "temperature" and len(self.curves) != (1 if given.ndim == 1 else given.shape[1]):
            raise DataError(
                f"The calibration was fitted for {max(len(self.curves), 2)} classes, and there are probabilities of "
                f"{2 if given.ndim == 1 else given.shape[1]}. Use the model it belongs to."
            )
        if self.kind == "temperature":
            return self._tempered(given, self.curves[0][0][0])
        if given.ndim == 1:
            return self._curve(given, self.curves[0])
        found = np.column_stack([self._curve(given[:, code], curve) for code, curve in enumerate(self.curves)])
        total = found.sum(axis=1, keepdims=True)
        return np.where(total > 0, np.divide(found, total, out=np.zeros_like(found), where=total > 0), given)

    def _curve(self, given: Floats, curve: tuple[tuple[float, ...], ...]) -> Floats:
        """One class's."""
        if self.kind == "isotonic":
            return np.interp(given, curve[0], curve[1])
        slope, intercept = curve[0]
        return _expit(slope * log_odds(given) + intercept)

    @staticmethod
    def _tempered(given: Floats, temperature: float) -> Floats:
        """Softmax of the log-probabilities over the temperature."""
        if given.ndim == 1:
            return _expit(log_odds(given) / temperature)
        logs = np.log(np.clip(given, TINY, 1.0)) / temperature
        powers = np.exp(logs - logs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def dump(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {"kind": self.kind, "curves": [[list(values) for values in curve] for curve in self.curves]}

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Calibration:
        """Read what `dump` gave; ValueError, KeyError or TypeError for anything else."""
        kind = saved["kind"]
        if kind not in KINDS:
            raise ValueError(f"no calibration is called {kind!r:.40}")
        curves = tuple(tuple(tuple(_number(v) for v in values) for values in curve) for curve in saved["curves"])
        if not curves or (kind == "temperature" and len(curves) != 1):
            raise ValueError(f"a {kind} calibration of {len(curves)} curves is not whole")
        for curve in curves:
            if not _IS_WHOLE[kind](curve):
                raise ValueError(f"a {kind} calibration's curve is not whole")
        return cls(kind, curves)


@dataclass(frozen=True, slots=True)
class Decision:
    """A calibration and a threshold, either of which may be absent.

    Attributes
    ----------
    calibration : Calibration or None
        Applied to probabilities first.
    threshold : float or None
        Binary: class 1 is answered where its (calibrated) probability is at least this. None leaves the estimator's
        own answers, or with a calibration the most probable class.
    """

    calibration: Calibration | None = None
    threshold: float | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return self.calibration is None and self.threshold is None

    def apply(self, predictions: Predictions) -> Predictions:
        """Return predictions with calibrated probabilities, and the answers that follow from them.

        Raises
        ------
        DataError
            Without probabilities.
        """
        if self.is_empty:
            return predictions
        given = predictions.of("probabilities")
        if self.calibration is not None:
            given = self.calibration.apply(given)
        if given.ndim == 2 and self.threshold is not None:
            raise DataError("A threshold is for two classes.")
        least = 0.5 if self.threshold is None else self.threshold
        labels = given.argmax(axis=1) if given.ndim == 2 else given >= least
        return replace(predictions, labels=labels.astype(np.int64), probabilities=given, scores=given)

    def dump(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "calibration": None if self.calibration is None else self.calibration.dump(),
            "threshold": self.threshold,
        }

    @classmethod
    def load(cls, saved: Mapping[str, Any]) -> Decision:
        """Read what `dump` gave; ValueError, KeyError or TypeError for anything else."""
        given = saved["calibration"]
        threshold = None if saved["threshold"] is None else _number(saved["threshold"])
        if threshold is not None and not 0.0 <= threshold <= 1.0:
            raise ValueError("a threshold lies between 0 and 1")
        return cls(None if given is None else Calibration.load(given), threshold)


def _number(value: Any) -> float:
    """A finite number of a JSON file; texts and truth values are none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value):
        raise ValueError(f"{value!r:.40} is not a finite number")
    return float(value)


def _is_isotonic(curve: Sequence[Sequence[float]]) -> bool:
    """Knots that rise, and as many values between 0 and 1 that do not fall."""
    if len(curve) != 2 or not curve[0] or len(curve[0]) != len(curve[1]):
        return False
    x, y = np.asarray(curve[0]), np.asarray(curve[1])
    return bool((np.diff(x) >= 0).all() and (np.diff(y) >= 0).all() and y[0] >= 0.0 and y[-1] <= 1.0)


def _is_sigmoid(curve: Sequence[Sequence[float]]) -> bool:
    """A slope that does not fall, and an intercept."""
    return len(curve) == 1 and len(curve[0]) == 2 and curve[0][0] >= 0.0


def _is_temperature(curve: Sequence[Sequence[float]]) -> bool:
    """One number above 0."""
    return len(curve) == 1 and len(curve[0]) == 1 and curve[0][0] > 0.0


_IS_WHOLE = {"isotonic": _is_isotonic, "sigmoid": _is_sigmoid, "temperature": _is_temperature}


def log_odds(probability: Floats) -> Floats:
    """Return the logarithm of p / (1 - p), with p kept inside (0, 1)."""
    inside = np.clip(probability, TINY, BELOW_ONE)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def _expit(value: Floats) -> Floats:
    """The logistic function, without overflow."""
    small = np.exp(-np.abs(value))
    return np.asarray(np.where(value >= 0, 1.0 / (1.0 + small), small / (1.0 + small)))
