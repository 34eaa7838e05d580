"""Many SGD candidates trained in one visit to the rows: scikit-learn's estimators, brought on together.

`partial_fit_many` does for a list of `SGDClassifier` and `SGDRegressor` what their ``partial_fit`` does for one: a pass
over a block of rows. `fit_many` does what their ``fit`` does: passes until each has converged. The rows are read once
for sixteen candidates, whose arithmetic stands side by side in vector registers (`daskflow.fused.kernels`).
`decision_many` gives the decision values of many linear models in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.linear_model import SGDClassifier, SGDRegressor
from sklearn.utils import check_array, check_X_y

from daskflow.fused.attributes import begin, end, goes_on
from daskflow.fused.passes import (
    LOSSES,
    STEPS,
    Lane,
    decisions,
    joined,
    lanes_of,
    rows_of,
    train_once,
    train_whole,
)
from daskflow.fused.whole import Fit, Shared, left_the_range, weights_of

KINDS = (SGDClassifier, SGDRegressor)
"""Classes that are trained together; not what is derived from them."""

PASSIVE_AGGRESSIVE_LOSS = {SGDClassifier: "hinge", SGDRegressor: "epsilon_insensitive"}
SCHEDULES = ("optimal", "constant", "invscaling", "adaptive", *STEPS)
PENALTIES = ("l2", "l1", "elasticnet", "none")


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
    if kind in KINDS and params["early_stopping"]:
        return "early_stopping=True: partial_fit has no validation rows"
    if isinstance(params.get("class_weight"), str):
        return f"class_weight={params['class_weight']!r}: a block does not know how frequent classes are"
    return _common_obstacle(kind, params)


def fit_obstacle(kind: type[Any], params: Mapping[str, Any]) -> str:
    """Say why estimators of a class and these parameters cannot be fitted whole together; empty when they can.

    Parameters
    ----------
    kind, params : type, mapping
        As for `obstacle`.

    Examples
    --------
    >>> fit_obstacle(SGDClassifier, SGDClassifier(class_weight="balanced").get_params())
    ''
    >>> fit_obstacle(SGDClassifier, SGDClassifier(early_stopping=True).get_params())
    'early_stopping=True: each candidate would need validation rows of its own'
    """
    if kind in KINDS and params["early_stopping"]:
        return "early_stopping=True: each candidate would need validation rows of its own"
    if kind in KINDS and params["warm_start"]:
        return "warm_start=True: a fit goes on from the one before"
    if kind in KINDS and params["power_t"] < 0:
        return f"power_t={params['power_t']}: scikit-learn warns of it"
    return _common_obstacle(kind, params)


def _common_obstacle(kind: type[Any], params: Mapping[str, Any]) -> str:
    if kind not in KINDS:
        return f"{kind.__name__} is neither SGDClassifier nor SGDRegressor itself"
    loss, rate, penalty = params["loss"], params["learning_rate"], str(params["penalty"]).lower()
    if params["verbose"]:
        return f"verbose={params['verbose']}: scikit-learn reports on each pass"
    if loss not in LOSSES or loss not in kind.loss_functions:
        return f"loss={loss!r} is not one of {kind.__name__}"
    if penalty not in PENALTIES or (penalty == "elasticnet" and params["l1_ratio"] is None):
        return f"penalty={params['penalty']!r} with l1_ratio={params['l1_ratio']} is not known"
    if rate not in SCHEDULES or (rate in STEPS and loss != PASSIVE_AGGRESSIVE_LOSS[kind]):
        return f"learning_rate={rate!r} with loss={loss!r} is not known"
    if rate == "optimal" and not params["alpha"]:
        return "learning_rate='optimal' divides by alpha, which is 0"
    return ""


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
    weight = weights_of(sample_weight, X)
    shuffled = np.random.RandomState(order_seed).permutation(X.shape[0])
    n_lanes = n_classes if n_classes > 2 else 1
    errors: dict[int, Exception] = {}
    before: dict[int, dict[str, Any]] = {}
    lanes: dict[int, list[Lane]] = {}
    for place, estimator in enumerate(estimators):
        try:
            why_not = obstacle(type(estimator), vars(estimator))
            if why_not or issparse(X) or not goes_on(estimator, X, n_classes):
                _fit_alone(estimator, X, y, weight, shuffled, n_classes)
            else:
                before[place] = dict(vars(estimator))
                begin(estimator, X, n_classes)
                order = "shuffled" if estimator.shuffle else None
                lanes[place] = lanes_of(estimator, X.shape[1], [order] * n_lanes, watches=False)
        except Exception as error:  # its own fault: the others go on
            errors[place] = error
    if lanes:
        rows = rows_of(X, y, weight, is_number=n_classes == 0)
        train_once([lane for own in lanes.values() for lane in own], rows, shuffled)
    for place, own in lanes.items():
        now = joined(own)
        if np.isfinite(now.weights).all() and np.isfinite(now.intercepts).all():
            end(estimators[place], now, X.shape[0])
            continue
        errors[place] = left_the_range(estimators[place], before[place])
    if errors:
        raise errors[min(errors)]


def fit_many(estimators: Sequence[Any], X: Any, y: Any, *, sample_weight: Any = None) -> list[Exception | None]:
    """Fit SGD estimators to the same rows, each as its own ``fit`` would, in place.

    Each becomes what its own ``fit`` makes of it: rows in the order of its ``random_state``, epoch after epoch until
    ``max_iter`` or its rule of stopping ends it, the same attributes with the same numbers (coefficients to 1e-6 of
    the largest where rows are float64, to 2e-3 where they are float32). They do not depend, to the last bit, on the
    other estimators of the call. Those whose rows come in one order, by an equal ``random_state`` or without a
    shuffle, visit the rows side by side, so that sixteen cost little more than one; of several classes each class has
    an order of its own.

    Estimators of other classes and parameters (`fit_obstacle`), and sparse rows, are given to their own ``fit``.

    Parameters
    ----------
    estimators : sequence of estimator
        With any parameters each; what they learned before is forgotten.
    X : array-like or sparse matrix of shape (n_rows, n_features)
        Rows; float32 ones are worked on as float32.
    y : array-like of shape (n_rows,)
        Class labels, or numbers.
    sample_weight : array-like of shape (n_rows,), optional
        Of the rows.

    Returns
    -------
    list of Exception or None
        For each estimator why it is not fitted; None for those that are. One whose coefficients left the range of
        floating-point numbers is as it was before.

    Warns
    -----
    ConvergenceWarning
        For each whose epochs were too few to meet its rule of stopping.

    Examples
    --------
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> both = [SGDClassifier(alpha=0.1, random_state=0), SGDClassifier(loss="log_loss", random_state=0)]
    >>> fit_many(both, X, np.array(["a", "a", "b", "b"]))
    [None, None]
    >>> [model.n_iter_ for model in both] == [model.fit(X, ["a", "a", "b", "b"]).n_iter_ for model in both]
    True
    """
    errors: list[Exception | None] = [None] * len(estimators)
    shared = _shared(X, y, sample_weight)
    fits: list[Fit] = []
    for place, estimator in enumerate(estimators):
        try:
            if shared is None or fit_obstacle(type(estimator), vars(estimator)):
                estimator.fit(X, y, **({} if sample_weight is None else {"sample_weight": sample_weight}))
            else:
                fits.append(shared.begin(place, estimator))
        except Exception as error:  # its own fault: the others go on
            errors[place] = error
    for is_number in (False, True):
        own = [fit for fit in fits if isinstance(fit.estimator, SGDRegressor) == is_number]
        if own and shared is not None:
            lanes = [(lane, course) for fit in own for lane, course in zip(fit.lanes, fit.courses, strict=True)]
            train_whole(lanes, shared.rows(is_number=is_number))
    for fit in fits:
        try:
            fit.end(len(y))
        except Exception as error:
            errors[fit.place] = error
    return errors


def _shared(X: Any, y: Any, sample_weight: Any) -> Shared | None:
    """Rows that can be shared; None for those that each estimator's own ``fit`` takes, or says what is wrong with."""
    try:
        return Shared.of(X, y, sample_weight)
    except (TypeError, ValueError):
        return None


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
    found = decisions(X, np.concatenate(weights), np.concatenate(intercepts))
    parts = np.split(found, np.cumsum([len(own) for own in weights])[:-1])
    return [part[0] if len(part) == 1 else part.T for part in parts]


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
