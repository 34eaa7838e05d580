"""Passes over rows: lanes of several estimators trained side by side, once or until each of them stops."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import SGDClassifier

from daskflow.fused import FEW, MANY, Loss, Setting, Step
from daskflow.fused.attributes import Learned, learned

LOSSES = {
    "log_loss": Loss.LOG,
    "hinge": Loss.HINGE,
    "perceptron": Loss.HINGE,
    "squared_hinge": Loss.SQUARED_HINGE,
    "modified_huber": Loss.MODIFIED_HUBER,
    "squared_error": Loss.SQUARED_ERROR,
    "huber": Loss.HUBER,
    "epsilon_insensitive": Loss.EPSILON_INSENSITIVE,
    "squared_epsilon_insensitive": Loss.SQUARED_EPSILON_INSENSITIVE,
}
MARGINS = {"hinge": 1.0, "squared_hinge": 1.0, "perceptron": 0.0}
"""What the hinges compare with; the other losses with `epsilon`."""

STEPS = {"pa1": Step.PA1, "pa2": Step.PA2}

SMALLEST_SCALE = {"float32": 1e-6, "float64": 1e-9}
"""Scales below are multiplied into the weights, where scikit-learn does it."""

SMALLEST_STEP, STEP_DIVISOR = 1e-6, 5.0
"""The adaptive schedule divides its step by this, as long as it is larger."""


class Kind(NamedTuple):
    """What lanes have in common that stand side by side.

    Attributes
    ----------
    order : hashable
        Says in which order they take the rows.
    loss, step : int
        `Loss` and `Step`.
    averages, cuts, watches : bool
        Whether weights are averaged, L1 cuts them, and the objective is summed up.
    t : float
        Rows they have seen, and 1.
    """

    order: Hashable
    loss: int
    step: int
    averages: bool
    cuts: bool
    watches: bool
    t: float


@dataclass(slots=True)
class Lane:
    """One vector of weights in training: a model of two classes or of a number, or one class against the others.

    Attributes
    ----------
    kind : Kind
        Beside which others it may stand.
    settings : ndarray of shape (n settings,)
        One number for each `Setting`.
    weights, average, cuts : ndarray of shape (n_features,)
        Before training, then after it; and what L1 took from each weight.
    """

    kind: Kind
    settings: Any
    weights: Any
    average: Any
    cuts: Any


@dataclass(slots=True)
class Course:
    """How far the training of a lane has come, and when it ends: after so many epochs, or when it gains no more.

    Attributes
    ----------
    max_iter, patience : int
        The most epochs, and the most in a row that bring less than `tol`.
    tol : float
        What an epoch shall take from the mean objective; minus infinity where that does not matter.
    is_adaptive : bool
        Whether such epochs make the steps smaller, as long as that is possible.
    epochs : int
        So far.
    is_finite : bool
        Whether the weights stayed in the range of numbers.
    """

    max_iter: int
    patience: int
    tol: float
    is_adaptive: bool
    epochs: int = 0
    is_finite: bool = True
    best: float = math.inf
    in_vain: int = 0

    def goes_on(self, lane: Lane, n_rows: int) -> bool:
        """Take an epoch into account, and say whether there is another."""
        self.epochs += 1
        self.is_finite = math.isfinite(lane.settings[Setting.INTERCEPT]) and bool(np.isfinite(lane.weights).all())
        if not self.is_finite:
            return False
        objective = float(lane.settings[Setting.OBJECTIVE]) / n_rows
        self.in_vain = self.in_vain + 1 if objective > self.best - self.tol else 0
        if objective < self.best:
            self.best = objective
        if self.in_vain >= self.patience:
            if not self.is_adaptive or lane.settings[Setting.ETA0] <= SMALLEST_STEP:
                return False
            lane.settings[Setting.ETA0] /= STEP_DIVISOR
            self.in_vain = 0
        return self.epochs < self.max_iter


@dataclass(frozen=True, slots=True)
class Rows:
    """What lanes are trained on.

    Attributes
    ----------
    X : ndarray of float32 or float64, shape (n_rows, n_features)
        Cannot be written: mapped files and arrays of this process run the same compiled code.
    target : ndarray of float64, shape (n_rows,)
        Class codes, or numbers as the dtype of X has them.
    weight : ndarray of the dtype of X, shape (n_rows,)
        Of the rows.
    is_number : bool
        Of the target.
    """

    X: Any
    target: Any
    weight: Any
    is_number: bool


def rows_of(X: Any, y: Any, weight: Any, *, is_number: bool) -> Rows:
    """Return checked rows as lanes are trained on them; nothing is copied but the target."""
    target = y.astype(X.dtype if is_number else np.float64).astype(np.float64)
    return Rows(read_only(X), target, weight, is_number)


def read_only(X: Any) -> Any:
    """A view of rows that cannot be written."""
    rows = X.view(np.ndarray)
    rows.flags.writeable = False
    return rows


def lanes_of(estimator: Any, n_features: int, orders: Sequence[Hashable], *, watches: bool) -> list[Lane]:
    """Return the lanes of an estimator that has begun: one, or one for each of three and more classes.

    Parameters
    ----------
    orders : sequence of hashable
        Of the rows, for each lane.
    watches : bool
        Whether its objective is summed up.
    """
    now = learned(estimator, n_features)
    settings = _settings(estimator)
    step = STEPS.get(estimator.learning_rate, Step.SCHEDULE)
    averages, cuts = estimator.average > 0, bool(settings[Setting.CUT])
    lanes = []
    for number, order in zip(range(len(now.weights)), orders, strict=True):
        kind = Kind(order, int(LOSSES[estimator.loss]), int(step), averages, cuts, watches, float(estimator.t_))
        own = settings.copy()
        own[Setting.INTERCEPT], own[Setting.AVERAGE_INTERCEPT] = now.intercepts[number], now.average_intercepts[number]
        if isinstance(estimator, SGDClassifier):
            class_weight, several = estimator._expanded_class_weight, len(now.weights) > 1
            own[Setting.CLASS] = number if several else 1
            own[Setting.POSITIVE] = class_weight[number if several else 1]
            own[Setting.NEGATIVE] = 1.0 if several else class_weight[0]
        weights = now.weights[number]
        lanes.append(Lane(kind, own, weights, now.average[number], np.zeros_like(weights)))
    return lanes


def joined(lanes: Iterable[Lane]) -> Learned:
    """What an estimator's lanes learned."""
    lanes = list(lanes)
    return Learned(
        np.stack([lane.weights for lane in lanes]),
        np.stack([lane.average for lane in lanes]),
        [float(lane.settings[Setting.INTERCEPT]) for lane in lanes],
        [float(lane.settings[Setting.AVERAGE_INTERCEPT]) for lane in lanes],
    )


def train_once(lanes: Sequence[Lane], rows: Rows, shuffled: Any) -> None:
    """Take lanes over the rows once: in the order given, or as they come, where a lane's order is None."""
    in_place = np.arange(len(rows.X))
    for kind, members in _of_one_kind(lanes).items():
        _pass(members, rows, in_place if kind.order is None else shuffled, kind.t)
        _settle(members)


def train_whole(lanes: Sequence[tuple[Lane, Course]], rows: Rows) -> None:
    """Take lanes over the rows until each has come to its end.

    A lane's order is the seed that shuffles the rows once more before each epoch, or None.
    """
    from daskflow.fused import kernels

    course_of = {id(lane): course for lane, course in lanes}
    for kind, members in _of_one_kind(lane for lane, _ in lanes).items():
        going, order, t = members, np.arange(len(rows.X)), kind.t
        while going:
            if kind.order is not None:
                kernels.shuffle(order, kind.order)
            t = _pass(going, rows, order, t)
            going = [lane for lane in going if course_of[id(lane)].goes_on(lane, len(rows.X))]
        _settle(members)


def decisions(X: Any, weights: Any, intercepts: Any) -> Any:
    """Decision values of shape (n_models, n_rows), of sixteen models at a time."""
    from daskflow.fused import kernels

    rows = read_only(X)
    found = np.empty((len(weights), X.shape[0]))
    for start, width in _cut(len(weights)):
        part = weights[start : start + width]
        side_by_side, own = np.zeros((X.shape[1], width)), np.zeros(width)
        side_by_side[:, : len(part)], own[: len(part)] = part.T, intercepts[start : start + width]
        kernels.decide(rows, side_by_side.reshape(-1), own, found[start : start + width], (0,) * width)
    return found


def _of_one_kind(lanes: Iterable[Lane]) -> dict[Kind, list[Lane]]:
    groups: dict[Kind, list[Lane]] = {}
    for lane in lanes:
        groups.setdefault(lane.kind, []).append(lane)
    return groups


def _settings(estimator: Any) -> Any:
    """One number for each `Setting`, as far as the estimator's parameters say."""
    from daskflow.fused import kernels

    alpha, penalty = float(estimator.alpha), str(estimator.penalty).lower()
    l1_ratio = {"l2": 0.0, "l1": 1.0, "none": 0.0}.get(penalty, estimator.l1_ratio)
    threshold = float(MARGINS.get(estimator.loss, estimator.epsilon))
    settings = np.zeros(len(Setting))
    settings[Setting.ALPHA] = alpha
    settings[Setting.SHRUNK] = 1.0 - l1_ratio if penalty in ("l2", "l1", "elasticnet") else 0.0
    settings[Setting.CUT] = l1_ratio
    settings[Setting.ETA0] = estimator.eta0
    settings[Setting.POWER] = estimator.power_t
    settings[Setting.THRESHOLD] = threshold
    settings[Setting.AVERAGE_FROM] = float(estimator.average)
    settings[Setting.HAS_INTERCEPT] = bool(estimator.fit_intercept)
    settings[Setting.POSITIVE] = settings[Setting.NEGATIVE] = 1.0
    settings[Setting.SCALE] = settings[Setting.GROWTH] = 1.0
    settings[Setting.IS_INVERSE] = estimator.learning_rate == "invscaling"
    if estimator.learning_rate == "optimal":
        # Bottou's start: the first step is what a typical weight would be, over the slope of the loss there.
        typical = float(np.sqrt(1.0 / np.sqrt(alpha)))
        slope = kernels.slope_at(int(LOSSES[estimator.loss]), threshold, 1.0, -typical, (0,) * FEW)
        settings[Setting.IS_OPTIMAL] = 1.0
        settings[Setting.OPTIMAL_START] = 1.0 / (typical / max(1.0, slope) * alpha)
    return settings


def _cut(n_lanes: int) -> Iterator[tuple[int, int]]:
    """Where vectors of lanes begin, and how many lanes each has: many at a time, and the last few in as few."""
    start = 0
    while start < n_lanes:
        width = MANY if n_lanes - start > MANY - FEW else FEW
        yield start, width
        start += width


@dataclass(frozen=True, slots=True)
class _SideBySide:
    """Settings, weights, averages and cuts of lanes, as the compiled loops want them; places that are over are zero."""

    settings: Any
    weights: Any
    average: Any
    cuts: Any

    @classmethod
    def of(cls, lanes: Sequence[Lane], width: int) -> _SideBySide:
        """Copy lanes of one kind, not more than stand side by side."""
        shape, dtype = (len(lanes[0].weights), width), lanes[0].weights.dtype
        side = cls(
            np.zeros((len(Setting), width)), np.zeros(shape, dtype), np.zeros(shape, dtype), np.zeros(shape, dtype)
        )
        for place, lane in enumerate(lanes):
            side.settings[:, place], side.weights[:, place] = lane.settings, lane.weights
            side.average[:, place], side.cuts[:, place] = lane.average, lane.cuts
        return side

    def give_back(self, lanes: Sequence[Lane]) -> None:
        """Copy what was learned to the lanes."""
        for place, lane in enumerate(lanes):
            lane.settings, lane.weights = self.settings[:, place].copy(), self.weights[:, place].copy()
            lane.average, lane.cuts = self.average[:, place].copy(), self.cuts[:, place].copy()


def _pass(lanes: Sequence[Lane], rows: Rows, order: Any, t: float) -> float:
    """Take lanes of one kind over the rows once; return the rows seen then, and 1."""
    seen = t
    for start, width in _cut(len(lanes)):
        seen = _pass_side_by_side(lanes[start : start + width], width, rows, order, t)
    return seen


def _pass_side_by_side(lanes: Sequence[Lane], width: int, rows: Rows, order: Any, t: float) -> float:
    from daskflow.fused import kernels

    kind, dtype = lanes[0].kind, rows.X.dtype
    side = _SideBySide.of(lanes, width)
    is_inverse = side.settings[Setting.IS_INVERSE] > 0.0
    powers = np.unique(side.settings[Setting.POWER, is_inverse])
    seen = kernels.train(
        rows.X,
        order,
        rows.target,
        rows.weight,
        side.settings.reshape(-1),
        kind.loss,
        kind.step,
        rows.is_number,
        kind.averages,
        kind.cuts,
        kind.watches,
        # The inverse of a scale of 1 is exact, and rounding to float32 hides the difference.
        dtype == np.float64 and bool(side.settings[Setting.SHRUNK].any()),
        bool(side.settings[Setting.IS_OPTIMAL].any()),
        bool(is_inverse.any()),
        len(powers) == 1,
        float(powers[0]) if len(powers) else 0.0,
        0.0 if kind.loss == Loss.LOG else -1.0,
        SMALLEST_SCALE[dtype.name],
        t,
        side.weights.reshape(-1),
        side.average.reshape(-1),
        side.cuts.reshape(-1),
        (0,) * width,
    )
    side.give_back(lanes)
    return float(seen)


def _settle(lanes: Sequence[Lane]) -> None:
    """Multiply the scales of lanes of one kind into their weights and averages."""
    from daskflow.fused import kernels

    for start, width in _cut(len(lanes)):
        part = lanes[start : start + width]
        side = _SideBySide.of(part, width)
        averages = part[0].kind.averages
        kernels.settle(
            side.settings.reshape(-1), side.weights.reshape(-1), side.average.reshape(-1), averages, (0,) * width
        )
        side.give_back(part)
