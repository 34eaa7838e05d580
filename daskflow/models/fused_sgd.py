"""Many SGD candidates trained in one visit to a block of rows: scikit-learn's estimators, brought on together.

`partial_fit_many` does for a list of `SGDClassifier` and `SGDRegressor` what their ``partial_fit`` does for one: a pass
over the rows. The rows are read once for sixteen candidates, whose arithmetic stands side by side in vector registers
(`daskflow.models.fused.kernels`). `decision_many` gives the decision values of many linear models in the same way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.utils import check_array, check_X_y

from daskflow.models.fused import FEW, MANY, Loss, Setting, Step
from daskflow.models.fused.attributes import Learned, begin, end, goes_on, learned
from daskflow.models.plain import decode

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

KINDS = (SGDClassifier, SGDRegressor)
"""Classes that are trained together; not what is derived from them."""

STEPS = {"pa1": Step.PA1, "pa2": Step.PA2}
PASSIVE_AGGRESSIVE_LOSS = {SGDClassifier: "hinge", SGDRegressor: "epsilon_insensitive"}
SCHEDULES = ("optimal", "constant", "invscaling", "adaptive", *STEPS)
PENALTIES = ("l2", "l1", "elasticnet", "none")

SMALLEST_SCALE = {"float32": 1e-6, "float64": 1e-9}
"""Scales below are multiplied into the weights, where scikit-learn does it."""


def obstacle(kind: type[Any], params: Mapping[str, Any]) -> str:
    """Say why estimators of a class and these parameters cannot be trained together; empty when they can.

    Parameters
    ----------
    kind : type
        Class of the estimators.
    params : mapping
        All their parameters, as ``get_params`` gives them.

    Examples
    --------
    >>> obstacle(SGDClassifier, SGDClassifier(penalty="l1").get_params())
    ''
    >>> obstacle(SGDClassifier, SGDClassifier(early_stopping=True).get_params())
    'early_stopping=True: partial_fit has no validation rows'
    """
    if kind not in KINDS:
        return f"{kind.__name__} is neither SGDClassifier nor SGDRegressor itself"
    loss, rate, penalty = params["loss"], params["learning_rate"], str(params["penalty"]).lower()
    if params["early_stopping"]:
        return "early_stopping=True: partial_fit has no validation rows"
    if params["verbose"]:
        return f"verbose={params['verbose']}: scikit-learn reports on each pass"
    if isinstance(params.get("class_weight"), str):
        return f"class_weight={params['class_weight']!r}: a block does not know how frequent classes are"
    if loss not in LOSSES or loss not in kind.loss_functions:
        return f"loss={loss!r} is not one of {kind.__name__}"
    if penalty not in PENALTIES or (penalty == "elasticnet" and params["l1_ratio"] is None):
        return f"penalty={params['penalty']!r} with l1_ratio={params['l1_ratio']} is not known"
    if rate not in SCHEDULES or (rate in STEPS and loss != PASSIVE_AGGRESSIVE_LOSS[kind]):
        return f"learning_rate={rate!r} with loss={loss!r} is not known"
    if rate == "optimal" and not params["alpha"]:
        return "learning_rate='optimal' divides by alpha, which is 0"
    return ""


def fuses(template: Any, params: Mapping[str, Any]) -> bool:
    """Return whether estimators like a template, with some parameters of plain values over it, train together."""
    plain = {name: decode(value) for name, value in params.items()}
    return not obstacle(type(template), {**template.get_params(deep=False), **plain})


def partial_fit_many(
    estimators: Sequence[Any],
    X: Any,
    y: Any,
    *,
    n_classes: int,
    sample_weight: Any = None,
    order_seed: int = 0,
) -> None:
    """Bring SGD estimators over one block of rows, in one order for all, in place.

    Each becomes what its own ``partial_fit`` makes of it when it is given the rows in this order and does not shuffle
    them: the same attributes with the same numbers, so that it can be used, copied, pickled and trained on as if
    scikit-learn had done it. They do not depend, to the last bit, on the other estimators of the call.

    Estimators that cannot be trained together (`obstacle`; sparse rows; rows of another dtype than before) are given
    the rows by their own ``partial_fit``, in the same order.

    Parameters
    ----------
    estimators : sequence of SGDClassifier or SGDRegressor
        Fresh or partially fitted, with any parameters each; their ``random_state`` is not used.
    X : ndarray or CSR matrix of float32 or float64, shape (n_rows, n_features)
        Rows; read only.
    y : ndarray of shape (n_rows,)
        Class codes from 0 to ``n_classes - 1``, or numbers.
    n_classes : int
        0 for regression.
    sample_weight : ndarray of shape (n_rows,), optional
        Of the rows.
    order_seed : int
        Makes the order of the rows; estimators with ``shuffle=False`` take them as they come. Candidates of a search
        have seeds of their own, so that their own orders would all differ; here one order serves all.

    Raises
    ------
    ValueError
        For rows that scikit-learn refuses; when coefficients of an estimator left the range of floating-point numbers,
        or its own ``partial_fit`` refuses it. The others are trained first; of several errors the first estimator's is
        raised. What leaves the range keeps what it had learned before.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> both = [SGDClassifier(alpha=0.1), SGDClassifier(loss="log_loss")]
    >>> partial_fit_many(both, X, np.array([0, 0, 1, 1]), n_classes=2)
    >>> [float(model.t_) for model in both]
    [5.0, 5.0]
    """
    kinds = [np.float64, np.float32]
    X, y = check_X_y(X, y, accept_sparse="csr", dtype=kinds, order="C", y_numeric=n_classes == 0)
    if n_classes and not np.isin(y, np.arange(n_classes)).all():
        raise ValueError(f"y should hold class codes from 0 to {n_classes - 1} (found {y.min()} to {y.max()})")
    weight = _weights(sample_weight, X)
    shuffled = np.random.RandomState(order_seed).permutation(X.shape[0])
    errors: dict[int, Exception] = {}
    before: dict[int, dict[str, Any]] = {}
    lanes: dict[int, list[_Lane]] = {}
    for place, estimator in enumerate(estimators):
        try:
            why_not = obstacle(type(estimator), vars(estimator))
            if why_not or issparse(X) or not goes_on(estimator, X, n_classes):
                _fit_alone(estimator, X, y, weight, shuffled, n_classes)
            else:
                before[place] = dict(vars(estimator))
                begin(estimator, X, n_classes)
                lanes[place] = _lanes(estimator, X.shape[1])
        except Exception as error:  # its own fault: the others go on
            errors[place] = error
    _train([lane for own in lanes.values() for lane in own], X, y, weight, shuffled, is_number=n_classes == 0)
    for place, own in lanes.items():
        now = _joined(own)
        if np.isfinite(now.weights).all() and np.isfinite(now.intercepts).all():
            end(estimators[place], now, X.shape[0])
            continue
        vars(estimators[place]).clear()
        vars(estimators[place]).update(before[place])
        errors[place] = ValueError(
            f"coefficients of {type(estimators[place]).__name__} left the range of floating-point numbers: "
            "scale the columns, or take smaller steps (a smaller eta0; with learning_rate='optimal' a larger alpha)"
        )
    if errors:
        raise errors[min(errors)]


def decision_many(estimators: Sequence[Any], X: Any) -> list[Any]:
    """Return the decision values of many linear models on the same rows.

    One product of matrices would be as fast, but what it gives for one model depends, in the last bits, on where the
    model stands among the others (OpenBLAS, float64); here it does not.

    Parameters
    ----------
    estimators : sequence of fitted linear estimators
        With ``coef_`` and ``intercept_`` of the columns of X.
    X : ndarray or CSR matrix of float32 or float64, shape (n_rows, n_features)
        Rows; read only.

    Returns
    -------
    list of ndarray
        For each its ``decision_function``, or the predictions of a regressor: float64 of shape (n_rows,), or (n_rows,
        n_classes) for more than two classes; the same but for rounding, because sums are made in float64.
    """
    X = check_array(X, accept_sparse="csr", dtype=[np.float64, np.float32], order="C")
    if issparse(X):
        found = [X @ np.atleast_2d(model.coef_).T + model.intercept_ for model in estimators]
        return [values[:, 0] if values.shape[1] == 1 else values for values in found]
    if not estimators:
        return []
    weights = [np.atleast_2d(model.coef_) for model in estimators]
    intercepts = [np.broadcast_to(model.intercept_, len(own)) for model, own in zip(estimators, weights, strict=True)]
    found = _decisions(X, np.concatenate(weights), np.concatenate(intercepts))
    parts = np.split(found, np.cumsum([len(own) for own in weights])[:-1])
    return [part[0] if len(part) == 1 else part.T for part in parts]


@dataclass(slots=True)
class _Lane:
    """One vector of weights in training: a model of two classes or of a number, or one class against the others.

    Attributes
    ----------
    group : tuple
        Lanes of one group stand side by side: shuffle, loss, step, whether it averages, whether L1 cuts, t.
    settings : ndarray of shape (n settings,)
        One number for each `Setting`.
    weights, average : ndarray of shape (n_features,)
        Before training, then after it.
    """

    group: tuple[bool, int, int, bool, bool, float]
    settings: Any
    weights: Any
    average: Any


def _weights(sample_weight: Any, X: Any) -> Any:
    """Weights of the rows in the dtype of the rows."""
    if sample_weight is None:
        return np.ones(X.shape[0], X.dtype)
    weight = np.ascontiguousarray(sample_weight, dtype=X.dtype)
    if weight.shape != (X.shape[0],) or not np.isfinite(weight).all() or not weight.any():
        raise ValueError(
            f"sample_weight of shape {weight.shape} should have shape {(X.shape[0],)}, and finite numbers that are not "
            "all 0"
        )
    return weight


def _fit_alone(estimator: Any, X: Any, y: Any, weight: Any, order: Any, n_classes: int) -> None:
    """Give the rows to an estimator's own ``partial_fit`` in an order."""
    shuffles = getattr(estimator, "shuffle", False)
    order = order if shuffles else np.arange(X.shape[0])
    classes = {"classes": np.arange(n_classes)} if n_classes else {}
    try:
        if shuffles:
            estimator.shuffle = False
        estimator.partial_fit(X[order], y[order], sample_weight=weight[order], **classes)
    finally:
        if shuffles:
            estimator.shuffle = shuffles


def _lanes(estimator: Any, n_features: int) -> list[_Lane]:
    """The lanes of an estimator that has begun: one, or one for each of three and more classes."""
    now = learned(estimator, n_features)
    settings = _settings(estimator)
    step = STEPS.get(estimator.learning_rate, Step.SCHEDULE)
    averages, cuts = estimator.average > 0, bool(settings[Setting.CUT])
    group = (bool(estimator.shuffle), int(LOSSES[estimator.loss]), int(step), averages, cuts, float(estimator.t_))
    lanes = []
    for number in range(len(now.weights)):
        own = settings.copy()
        own[Setting.INTERCEPT], own[Setting.AVERAGE_INTERCEPT] = now.intercepts[number], now.average_intercepts[number]
        if isinstance(estimator, SGDClassifier):
            class_weight, several = estimator._expanded_class_weight, len(now.weights) > 1
            own[Setting.CLASS] = number if several else 1
            own[Setting.POSITIVE] = class_weight[number if several else 1]
            own[Setting.NEGATIVE] = 1.0 if several else class_weight[0]
        lanes.append(_Lane(group, own, now.weights[number], now.average[number]))
    return lanes


def _joined(lanes: Iterable[_Lane]) -> Learned:
    """What an estimator's lanes learned."""
    lanes = list(lanes)
    return Learned(
        np.stack([lane.weights for lane in lanes]),
        np.stack([lane.average for lane in lanes]),
        [float(lane.settings[Setting.INTERCEPT]) for lane in lanes],
        [float(lane.settings[Setting.AVERAGE_INTERCEPT]) for lane in lanes],
    )


def _settings(estimator: Any) -> Any:
    """One number for each `Setting`, as far as the estimator's parameters say."""
    from daskflow.models.fused import kernels

    alpha, penalty = float(estimator.alpha), str(estimator.penalty).lower()
    l1_ratio = {"l2": 0.0, "l1": 1.0, "none": 0.0}.get(penalty, estimator.l1_ratio)
    threshold = float(MARGINS.get(estimator.loss, estimator.epsilon))
    settings = np.zeros(len(Setting))
    settings[Setting.ALPHA] = alpha
    settings[Setting.SHRUNK] = 1.0 - l1_ratio if penalty in ("l2", "elasticnet") else 0.0
    settings[Setting.CUT] = l1_ratio
    settings[Setting.ETA0] = estimator.eta0
    settings[Setting.POWER] = estimator.power_t
    settings[Setting.THRESHOLD] = threshold
    settings[Setting.AVERAGE_FROM] = float(estimator.average)
    settings[Setting.HAS_INTERCEPT] = bool(estimator.fit_intercept)
    settings[Setting.POSITIVE] = settings[Setting.NEGATIVE] = 1.0
    settings[Setting.IS_INVERSE] = estimator.learning_rate == "invscaling"
    if estimator.learning_rate == "optimal":
        # Bottou's start: the first step is what a typical weight would be, over the slope of the loss there.
        typical = float(np.sqrt(1.0 / np.sqrt(alpha)))
        slope = kernels.slope_at(int(LOSSES[estimator.loss]), threshold, 1.0, -typical, (0,) * FEW)
        settings[Setting.IS_OPTIMAL] = 1.0
        settings[Setting.OPTIMAL_START] = 1.0 / (typical / max(1.0, slope) * alpha)
    return settings


def _read_only(X: Any) -> Any:
    """A view of rows that cannot be written: mapped files and arrays of this process run the same compiled code."""
    rows = X.view(np.ndarray)
    rows.flags.writeable = False
    return rows


def _train(lanes: Sequence[_Lane], X: Any, y: Any, weight: Any, shuffled: Any, *, is_number: bool) -> None:
    """Train lanes of one group sixteen at a time."""
    groups: dict[tuple[Any, ...], list[_Lane]] = {}
    for lane in lanes:
        groups.setdefault(lane.group, []).append(lane)
    if not groups:
        return
    rows, in_place = _read_only(X), np.arange(X.shape[0])
    target = y.astype(X.dtype if is_number else np.float64).astype(np.float64)
    for group, members in groups.items():
        order = shuffled if group[0] else in_place
        for start, width in _cut(len(members)):
            _train_side_by_side(members[start : start + width], width, rows, order, target, weight, is_number=is_number)


def _cut(n_lanes: int) -> Iterator[tuple[int, int]]:
    """Where vectors of lanes begin, and how many lanes each has: many at a time, and the last few in as few."""
    start = 0
    while start < n_lanes:
        width = MANY if n_lanes - start > MANY - FEW else FEW
        yield start, width
        start += width


def _train_side_by_side(
    lanes: Sequence[_Lane], width: int, X: Any, order: Any, target: Any, weight: Any, *, is_number: bool
) -> None:
    """Train lanes of one group, not more than are side by side; places that are over stay zero."""
    from daskflow.models.fused import kernels

    _, loss, step, averages, cuts, t = lanes[0].group
    settings = np.zeros((len(Setting), width))
    weights, average = np.zeros((X.shape[1], width), X.dtype), np.zeros((X.shape[1], width), X.dtype)
    for place, lane in enumerate(lanes):
        settings[:, place], weights[:, place], average[:, place] = lane.settings, lane.weights, lane.average
    is_inverse = settings[Setting.IS_INVERSE] > 0.0
    powers = np.unique(settings[Setting.POWER, is_inverse])
    kernels.train(
        X,
        order,
        target,
        weight,
        settings.reshape(-1),
        loss,
        step,
        is_number,
        averages,
        cuts,
        # The inverse of a scale of 1 is exact, and rounding to float32 hides the difference.
        X.dtype == np.float64 and bool(settings[Setting.SHRUNK].any()),
        bool(settings[Setting.IS_OPTIMAL].any()),
        bool(is_inverse.any()),
        len(powers) == 1,
        float(powers[0]) if len(powers) else 0.0,
        0.0 if loss == Loss.LOG else -1.0,
        SMALLEST_SCALE[X.dtype.name],
        t,
        weights.reshape(-1),
        average.reshape(-1),
        np.zeros(weights.size if cuts else width, X.dtype),
        (0,) * width,
    )
    for place, lane in enumerate(lanes):
        lane.settings, lane.weights, lane.average = settings[:, place], weights[:, place], average[:, place]


def _decisions(X: Any, weights: Any, intercepts: Any) -> Any:
    """Decision values of shape (n_models, n_rows), of sixteen models at a time."""
    from daskflow.models.fused import kernels

    rows = _read_only(X)
    decisions = np.empty((len(weights), X.shape[0]))
    for start, width in _cut(len(weights)):
        part = weights[start : start + width]
        side_by_side, own = np.zeros((X.shape[1], width)), np.zeros(width)
        side_by_side[:, : len(part)], own[: len(part)] = part.T, intercepts[start : start + width]
        kernels.decide(rows, side_by_side.reshape(-1), own, decisions[start : start + width], (0,) * width)
    return decisions
