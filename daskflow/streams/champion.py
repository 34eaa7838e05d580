"""Champion and challenger: whether one model's answers of late were better than another's, by a stated rule."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from daskflow.core.errors import SettingsError
from daskflow.core.settings import Settings
from daskflow.data.schema import Target

Count = Annotated[int, Field(ge=1)]
Floats = NDArray[np.float64]

DRAWS = 400
"""Resamples of an interval."""

TINY = 1e-15
"""Probabilities are kept so far from 0 and 1 in log loss."""

CLASS_METRICS, NUMBER_METRICS = ("error", "log_loss", "brier"), ("absolute_error", "squared_error")


class SwapRule(Settings):
    """When a challenger takes the champion's place.

    Every `every` labelled rows, the losses of both on the same last `window` rows are subtracted. The challenger is
    better when the whole interval of the mean difference lies above `margin`; for ``error`` McNemar's exact test of the
    rows that only one of them got right has to say so, too. It takes over when that was so `patience` times running,
    and `cool_down` rows have passed since the last swap.

    Attributes
    ----------
    metric : str or None
        ``error`` (share of wrong answers, the default for classes), ``log_loss``, ``brier``, or for numbers
        ``absolute_error`` (the default) and ``squared_error``; less is better.
    window, least : int
        Labelled rows that are compared, and how many there must be at least.
    margin : float
        By how much the mean loss must be less, in the metric's unit.
    confidence : float
        Of the interval and the test. Default 0.99: they are looked at again and again.
    block : int
        Neighbouring rows that are drawn together; above 1 for streams in which one error brings others.
    every, patience, cool_down : int
        As above; the first two make a short luck no reason.
    automatic : bool
        Whether a swap is made, or only told of.
    """

    metric: Literal["error", "log_loss", "brier", "absolute_error", "squared_error"] | None = None
    window: Annotated[int, Field(ge=10, le=100_000)] = 1_000
    least: Annotated[int, Field(ge=10)] = 300
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.99
    block: Count = 1
    every: Count = 100
    patience: Count = 3
    cool_down: Annotated[int, Field(ge=0)] = 2_000
    automatic: bool = True

    def model_post_init(self, context: Any) -> None:
        """Refuse what can never hold."""
        if self.least > self.window:
            raise SettingsError(f"least = {self.least} labelled rows never stand in a window of {self.window}.")


def metric_of(rule: SwapRule, target: Target, *, has_probabilities: bool) -> str:
    """Return the metric that models are compared by.

    Raises
    ------
    SettingsError
        When the target, or a model without probabilities, does not allow it.
    """
    allowed = CLASS_METRICS if target.classes else NUMBER_METRICS
    if rule.metric is None:
        return allowed[0]
    if rule.metric not in allowed:
        raise SettingsError(f"rule.metric: '{rule.metric}' is not for this target; there is: {', '.join(allowed)}")
    if rule.metric in ("log_loss", "brier") and not has_probabilities:
        raise SettingsError(f"rule.metric: '{rule.metric}' needs probabilities, which not every model gives; use error")
    return rule.metric


def loss_of(metric: str, y_true: float, y_pred: float, probabilities: Sequence[float] | None) -> float:
    """Return the loss of one row.

    Parameters
    ----------
    metric : str
        As in `SwapRule`.
    y_true, y_pred : float
        Codes of classes, or numbers.
    probabilities : sequence of float or None
        One for each class.

    Examples
    --------
    >>> loss_of("error", 1, 0, None), loss_of("brier", 1, 1, [0.25, 0.75]), loss_of("absolute_error", 2.0, 3.5, None)
    (1.0, 0.125, 1.5)
    """
    if metric == "error":
        return float(y_true != y_pred)
    if metric == "absolute_error":
        return abs(y_true - y_pred)
    if metric == "squared_error":
        return (y_true - y_pred) ** 2
    given = probabilities or ()
    if metric == "log_loss":
        return -math.log(min(max(given[int(y_true)], TINY), 1.0))
    return sum((share - (code == y_true)) ** 2 for code, share in enumerate(given))


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the losses of two models on the same rows say.

    Attributes
    ----------
    rows : int
        Rows compared.
    champion, challenger : float
        Mean losses.
    difference, low, high : float
        Mean of the champion's loss less the challenger's, and its interval: above 0 the challenger is better.
    p : float or None
        Of McNemar's exact test, two-sided; None where it does not apply.
    """

    rows: int
    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    p: float | None = None

    def is_better(self, rule: SwapRule) -> bool:
        """Whether the challenger is better as the rule has it."""
        is_sure = self.p is None or self.p <= 1.0 - rule.confidence
        return self.rows >= rule.least and self.low > rule.margin and is_sure

    def dump(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {name: getattr(self, name) for name in self.__slots__}

    def words(self, metric: str) -> str:
        """Return it as part of a sentence."""
        return words_of({**self.dump(), "metric": metric})


def words_of(evidence: Mapping[str, Any]) -> str:
    """Return a comparison that was dumped, with its ``metric``, as part of a sentence."""
    sure = f", McNemar p = {evidence['p']:.2g}" if evidence.get("p") is not None else ""
    return (
        f"over the last {evidence['rows']:,} its {evidence['metric']} is {evidence['challenger']:.4g}, "
        f"the other's {evidence['champion']:.4g} (difference {evidence['difference']:.3g} "
        f"[{evidence['low']:.3g}, {evidence['high']:.3g}]{sure})"
    )


def compare(champion: Floats, challenger: Floats, rule: SwapRule, metric: str, *, seed: int) -> Comparison:
    """Compare losses on the same rows.

    Parameters
    ----------
    champion, challenger : ndarray of shape (n_rows,)
        Losses, in the order of the rows.
    rule : SwapRule
        Confidence and block.
    metric : str
        What they are.
    seed : int
        Of the resamples: the same losses with the same seed give the same interval.

    Notes
    -----
    The interval is of the percentiles of a Poisson bootstrap: each row, or block, counts as often as a Poisson draw
    of mean 1 says (Chamandy and others, "Estimating Uncertainty for Massive Data Streams", 2012).

    Examples
    --------
    >>> found = compare(np.array([1.0, 1, 0, 1] * 50), np.zeros(200), SwapRule(), "error", seed=0)
    >>> found.difference, found.low > 0.6, found.p < 1e-20
    (0.75, True, True)
    """
    n_rows = len(champion)
    differences = champion - challenger
    wins, losses = int((differences > 0).sum()), int((differences < 0).sum())
    is_paired = metric == "error" and rule.block == 1
    random = np.random.default_rng(seed)
    if is_paired:  # the draws of many alike rows are one draw of their sum
        won, lost, others = (random.poisson(count, DRAWS) for count in (wins, losses, n_rows - wins - losses))
        means = (won - lost) / np.maximum(won + lost + others, 1)
    else:
        starts = np.arange(0, n_rows, rule.block)
        weights = random.poisson(1.0, (DRAWS, len(starts)))
        lengths = np.diff(np.append(starts, n_rows))
        means = (weights @ np.add.reduceat(differences, starts)) / np.maximum(weights @ lengths, 1)
    tail = 50.0 * (1.0 - rule.confidence)
    low, high = np.percentile(means, [tail, 100.0 - tail])
    p = mcnemar(wins, losses) if is_paired else None
    mean = float(differences.mean())
    return Comparison(n_rows, float(champion.mean()), float(challenger.mean()), mean, float(low), float(high), p)


def mcnemar(first: int, second: int) -> float:
    """Return the two-sided p of McNemar's exact test.

    Parameters
    ----------
    first, second : int
        Rows that only the one, and only the other, got wrong.

    Examples
    --------
    >>> round(mcnemar(10, 2), 4), mcnemar(0, 0)
    (0.0386, 1.0)
    """
    total, most = first + second, min(first, second)
    if first == second:
        return 1.0
    logs = [math.lgamma(total + 1) - math.lgamma(k + 1) - math.lgamma(total - k + 1) for k in range(most + 1)]
    return min(1.0, 2.0 * sum(math.exp(value - total * math.log(2.0)) for value in logs))


class Contest:
    """Losses of late by model, and how often running a challenger was better; decides, and does nothing.

    Parameters
    ----------
    rule : SwapRule
        When a challenger wins.
    metric : str
        What is compared.
    names : sequence of str
        The models.
    """

    def __init__(self, rule: SwapRule, metric: str, names: Sequence[str]) -> None:
        """Begin with no rows."""
        self.rule, self.metric = rule, metric
        self.losses: dict[str, list[float]] = {name: [] for name in names}
        self.streaks: dict[str, int] = dict.fromkeys(names, 0)

    def count(self, losses: Mapping[str, float]) -> None:
        """Take the losses of one labelled row, by model; all models or none have one."""
        for name, known in self.losses.items():
            known.append(losses[name])
            if len(known) >= 2 * self.rule.window:
                del known[: -self.rule.window]

    def judge(self, champion: str, *, labelled: int, swapped_at: int) -> tuple[str, Comparison] | None:
        """Return the challenger that should take over, the best of several, with the evidence; None for nobody.

        Parameters
        ----------
        champion : str
            Who answers.
        labelled : int
            Labelled rows so far.
        swapped_at : int
            The same when the champion last changed.
        """
        if len(self.losses[champion]) < self.rule.least:
            return None
        winners: list[tuple[str, Comparison]] = []
        for number, name in enumerate(self.losses):
            if name == champion:
                continue
            found = self.compared(champion, name, seed=1_000 * labelled + number)
            self.streaks[name] = self.streaks[name] + 1 if found.is_better(self.rule) else 0
            if self.streaks[name] >= self.rule.patience:
                winners.append((name, found))
        if not winners or labelled - swapped_at < self.rule.cool_down:
            return None
        return max(winners, key=lambda winner: winner[1].difference)

    def compared(self, champion: str, challenger: str, *, seed: int) -> Comparison:
        """Compare two models on the rows of late."""
        first, second = (np.asarray(self.losses[name][-self.rule.window :]) for name in (champion, challenger))
        return compare(first, second, self.rule, self.metric, seed=seed)

    def scores(self) -> dict[str, tuple[float, float, float]]:
        """Return each model's mean loss of late with its 95 % interval, by the normal distribution; less is better."""
        found = {}
        for name, known in self.losses.items():
            values = np.asarray(known[-self.rule.window :])
            if len(values) > 1:
                mean, half = float(values.mean()), 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values))
                found[name] = (mean, mean - half, mean + half)
        return found

    def swapped(self) -> None:
        """Take note that another model is champion: streaks begin anew, losses are of the models and stay."""
        self.streaks = dict.fromkeys(self.streaks, 0)

    def dump(self) -> dict[str, Any]:
        """Return what it knows as plain values."""
        losses = {name: known[-self.rule.window :] for name, known in self.losses.items()}
        return {"losses": losses, "streaks": self.streaks}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Take what `dump` gave; of models that were not there then there is nothing, so all begin anew."""
        if set(saved["losses"]) == set(self.losses):
            self.losses = {name: list(saved["losses"][name]) for name in self.losses}
            self.streaks = {name: int(saved["streaks"][name]) for name in self.losses}
