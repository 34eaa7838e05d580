"""Prequential metrics: each record is answered first and judged when its truth comes, with 95 % intervals.

Three views of the same rows: of the newest ones (``window``), of all with weights that fade with age (``fading``), and
of all alike (``start``); after Gama, Sebastiao and Rodrigues, "On evaluating stream learning algorithms" (Machine
Learning 90, 2013).
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError
from daskflow.core.protocols import MetricSettings, Score
from daskflow.data.predictions import Predictions
from daskflow.streams import prequential_terms as terms
from daskflow.streams.meter import Meter

View = Literal["window", "fading", "start"]

REPEATS = 200
"""Of the bootstrap, for metrics that the caller brings."""


class Prequential:
    """Metrics of answers by their true values, as these come in; of bounded size, and carried over a restart.

    Parameters
    ----------
    task : str
        binary, multiclass or regression.
    classes : sequence
        Labels in the order of their codes.
    window : int
        Newest rows that the view ``window`` is of.
    fading : float
        What a row weighs against the next one; 0.999 counts as much as about 2,000 rows.
    metrics : sequence of MetricSettings
        Further metrics, each of the window, with a bootstrap interval.

    Examples
    --------
    >>> found = Prequential("binary", ["no", "yes"])
    >>> said = Predictions(np.array([1, 0, 1, 1]), np.array([0.9, 0.2, 0.6, 0.7]))
    >>> found.learned(["yes", "no", "no", None], said)
    array([ 0.,  0.,  1., nan])
    >>> score = found.scores("start")["accuracy"]
    >>> found.rows("start"), round(score.value, 3), round(score.low, 3), round(score.high, 3)
    (3, 0.667, 0.208, 0.939)
    """

    def __init__(
        self,
        task: str,
        classes: Sequence[Any] = (),
        *,
        window: int = 1_000,
        fading: float = 0.999,
        metrics: Sequence[MetricSettings] = (),
    ) -> None:
        """Begin with no rows."""
        if window < 1 or not 0 < fading < 1:
            raise ValueError(f"window is at least 1 and fading between 0 and 1; found {window} and {fading}.")
        self._task, self._classes, self._window = task, tuple(classes), window
        self._codes = {label: code for code, label in enumerate(classes)}
        self._metrics = tuple(metric.for_task(task, len(classes)) for metric in metrics)
        self._start, self._fading = Sums(1.0), Sums(fading)
        self._truths, self._said = np.empty(0), np.empty(0)
        self._probabilities: NDArray[np.float64] | None = None
        self.n_unknown = 0

    @property
    def main(self) -> str:
        """Name of the metric that `tell` tells: accuracy or mae."""
        return terms.METRICS[self._task][0]

    def learned(self, truths: Sequence[Any] | NDArray[Any], predictions: Predictions) -> NDArray[np.float64]:
        """Take true values, in order, and what had been predicted for these rows before they were known.

        Parameters
        ----------
        truths : sequence of length n_rows
            Labels as they stand in the data, or numbers. None and nan, an unknown one, is passed over. A label that the
            model does not have is a wrong answer, with probability 0, and counted by `n_unknown`.
        predictions : Predictions
            Of as many rows.

        Returns
        -------
        ndarray of shape (n_rows,)
            Errors for `DriftWatch.learned`: 1 for a wrong label, or the absolute difference; nan where unknown.

        Raises
        ------
        DataError
            For lengths that differ, for true values of a regression that are no finite numbers, and for answers with
            probabilities after some without.
        """
        said = np.asarray(predictions.of("labels"), dtype=np.float64)
        if len(truths) != len(said):
            raise DataError(f"There are {len(truths):,} true values of {len(said):,} predictions; give one of each.")
        codes = self._coded(truths)
        known = ~np.isnan(codes)
        given = predictions.probabilities
        if len(self._said) and (given is None) != (self._probabilities is None):
            raise DataError("Answers with and without probabilities do not mix; begin anew for another model.")
        of_known = None if given is None else np.asarray(given, dtype=np.float64)[known]
        found = terms.terms_of(self._task, codes[known], said[known], of_known)
        self._start.add(found)
        self._fading.add(found)
        self._keep(codes[known], said[known], of_known)
        self.n_unknown += int(np.count_nonzero(codes[known] == -1)) if self._classes else 0
        errors = np.full(len(said), np.nan)
        errors[known] = 1 - found["accuracy"] if self._classes else found["mae"]
        return errors

    def _coded(self, truths: Sequence[Any] | NDArray[Any]) -> NDArray[np.float64]:
        """Return class codes, -1 for labels that are none, or numbers; nan for what is unknown."""
        values = truths.tolist() if isinstance(truths, np.ndarray) else truths
        if self._classes:
            return np.array([math.nan if _is_missing(v) else self._code(v) for v in values], dtype=np.float64)
        found = np.empty(len(values))
        for place, value in enumerate(values):
            is_number = isinstance(value, int | float) and not isinstance(value, bool) and not math.isinf(value)
            if not is_number and not _is_missing(value):
                raise DataError(f"A true value is {value!r:.60}; a regression's is a finite number, or missing.")
            found[place] = math.nan if value is None else float(value)
        return found

    def _code(self, label: Any) -> int:
        try:
            return self._codes.get(label, -1)
        except TypeError:  # a list or an object of JSON
            return -1

    def _keep(self, codes: Any, said: Any, probabilities: NDArray[np.float64] | None) -> None:
        """Keep the newest rows."""
        if probabilities is not None:
            before = np.empty((0, *probabilities.shape[1:])) if self._probabilities is None else self._probabilities
            self._probabilities = np.concatenate([before, probabilities])[-self._window :]
        self._truths = np.concatenate([self._truths, codes])[-self._window :]
        self._said = np.concatenate([self._said, said])[-self._window :]

    def rows(self, view: View) -> int:
        """Return how many rows a view is of; for ``fading`` how many of equal weight would tell as much."""
        if view == "window":
            return len(self._truths)
        return round((self._start if view == "start" else self._fading).n_effective)

    def scores(self, view: View = "window") -> dict[str, Score]:
        """Return every metric with its 95 % interval, for rows that are independent of each other.

        Shares (accuracy) have Wilson's interval, f1 that of a share it is a function of, means Student's, roc_auc
        DeLong's, metrics of the caller the Poisson bootstrap's. nan stands for what these rows do not give.
        """
        if view == "window":
            return self._of_window()
        sums = self._start if view == "start" else self._fading
        return {name: sums.score(name) for name in terms.METRICS[self._task] if name in sums.sums}

    def _of_window(self) -> dict[str, Score]:
        found = terms.terms_of(self._task, self._truths, self._said, self._probabilities)
        sums = Sums(1.0)
        sums.add(found)
        made = {name: sums.score(name) for name in terms.METRICS[self._task] if name in found}
        if self._task == "binary" and self._probabilities is not None:
            there = self._truths >= 0
            made["roc_auc"] = terms.roc_auc(self._truths[there] == 1, self._probabilities[there])
        return made | {metric.name: self._asked(metric) for metric in self._metrics}

    def _asked(self, metric: MetricSettings) -> Score:
        """Return the caller's metric of the window."""
        there = self._truths >= 0 if self._classes else np.ones(len(self._truths), dtype=bool)
        said = self._said if metric.needs == "labels" else self._probabilities
        if said is None or not there.any():
            return terms.NONE
        truths = self._truths[there].astype(np.int64) if self._classes else self._truths
        given = said[there].astype(np.int64) if self._classes and metric.needs == "labels" else said[there]
        return terms.bootstrap(metric.score, (truths, given), repeats=REPEATS, seed=len(self._truths))

    def tell(self, meter: Meter) -> None:
        """Tell the main metric of the window; nothing before any true value."""
        score = self.scores("window").get(self.main, terms.NONE) if len(self._truths) else terms.NONE
        if not math.isnan(score.value):
            meter.score(self.main, score.value, low=score.low, high=score.high, rows=len(self._truths))

    def dump(self) -> dict[str, Any]:
        """Return what it knows as plain JSON values."""
        shape = None if self._probabilities is None else list(self._probabilities.shape[1:])
        return {
            "start": self._start.dump(),
            "fading": self._fading.dump(),
            "unknown": self.n_unknown,
            "truths": _packed(self._truths),
            "said": _packed(self._said),
            "probabilities": None if self._probabilities is None else _packed(self._probabilities),
            "shape": shape,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` of the same task, window and fading gave; DataError when it is damaged."""
        try:
            start, fading = Sums(1.0), Sums(self._fading.factor)
            start.load(state["start"])
            fading.load(state["fading"])
            truths, said = _unpacked(state["truths"]), _unpacked(state["said"])
            given = state["probabilities"]
            probabilities = None if given is None else _unpacked(given).reshape(-1, *state["shape"])
            n_unknown = int(state["unknown"])
            if len(truths) != len(said) or (probabilities is not None and len(probabilities) != len(said)):
                raise ValueError("its rows differ in number")
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(f"The state of the prequential metrics is damaged: {error!r}; begin without it.") from error
        self._start, self._fading, self.n_unknown = start, fading, n_unknown
        self._truths, self._said, self._probabilities = truths, said, probabilities


class Sums:
    """Sums of terms in which each row weighs `factor` times what the next one does; the same bits however rows come.

    Attributes
    ----------
    sums : dict of str to [float, float]
        Weighted sum and sum of squares by term.
    """

    def __init__(self, factor: float) -> None:
        """Begin with no rows."""
        self.factor = factor
        self._n = self._n_squares = 0.0
        self.sums: dict[str, list[float]] = {}

    def add(self, found: Mapping[str, NDArray[np.float64]]) -> None:
        """Add rows by their terms, arrays of shape (n_rows,), in order."""
        n_rows = max((len(values) for values in found.values()), default=0)
        ones = np.ones(n_rows)
        self._n = _faded(self._n, ones, self.factor)
        self._n_squares = _faded(self._n_squares, ones, self.factor * self.factor)
        for name, values in found.items():
            total, squares = self.sums.get(name, (0.0, 0.0))
            self.sums[name] = [_faded(total, values, self.factor), _faded(squares, np.square(values), self.factor)]

    @property
    def n_effective(self) -> float:
        """How many rows of equal weight would tell as much (Kish)."""
        return self._n * self._n / self._n_squares if self._n_squares else 0.0

    def score(self, metric: str) -> Score:
        """Return a metric with its interval."""
        return terms.score_of(metric, self._n, self.n_effective, self.sums)

    def dump(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "n": self._n,
            "squares": self._n_squares,
            "sums": {name: list(pair) for name, pair in self.sums.items()},
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave."""
        self._n, self._n_squares = float(state["n"]), float(state["squares"])
        self.sums = {name: [float(pair[0]), float(pair[1])] for name, pair in state["sums"].items()}


def _faded(total: float, values: NDArray[np.float64], factor: float) -> float:
    """Add values one after the other, so that it does not matter which came together."""
    if factor == 1.0:
        return float(np.cumsum(np.concatenate([[total], values]))[-1])
    for value in values.tolist():
        total = factor * total + value
    return total


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _packed(values: NDArray[np.float64]) -> str:
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode()


def _unpacked(text: str) -> NDArray[np.float64]:
    return np.frombuffer(base64.b64decode(text), dtype="<f8").astype(np.float64)
