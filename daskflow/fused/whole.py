"""Whole fits of SGD estimators: the rows they share, and what each begins and ends with."""

from __future__ import annotations

import math
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.utils import check_random_state, check_X_y
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import unique_labels

from daskflow.fused.attributes import begin_anew, end
from daskflow.fused.passes import Course, Lane, Rows, joined, lanes_of, rows_of

LARGEST_SEED = np.iinfo(np.int32).max


def left_the_range(estimator: Any, before: dict[str, Any]) -> ValueError:
    """Make an estimator what it was before, and return the reason."""
    vars(estimator).clear()
    vars(estimator).update(before)
    return ValueError(
        f"coefficients of {type(estimator).__name__} left the range of floating-point numbers: "
        "scale the columns, or take smaller steps (a smaller eta0; with learning_rate='optimal' a larger alpha)"
    )


@dataclass
class Fit:
    """The fit of one estimator.

    Attributes
    ----------
    place : int
        Among the estimators of the call.
    estimator : SGDClassifier or SGDRegressor
        Its attributes are those of an estimator that has seen nothing.
    before : dict
        What they were.
    lanes, courses : sequence of Lane, sequence of Course
        One, or one for each of three and more classes.
    """

    place: int
    estimator: Any
    before: dict[str, Any]
    lanes: Sequence[Lane]
    courses: Sequence[Course]

    def end(self, n_rows: int) -> None:
        """Give the estimator what its lanes learned."""
        if not all(course.is_finite for course in self.courses):
            raise left_the_range(self.estimator, self.before)
        end(self.estimator, joined(self.lanes), n_rows, n_iter=max(course.epochs for course in self.courses))
        if _watches(self.estimator) and self.estimator.n_iter_ == self.estimator.max_iter:
            warnings.warn(
                f"{type(self.estimator).__name__} still gained after max_iter={self.estimator.max_iter} epochs: "
                "a larger max_iter may make a better model",
                ConvergenceWarning,
                stacklevel=3,
            )


@dataclass
class Shared:
    """The rows that whole fits share, checked once.

    Attributes
    ----------
    given : array-like
        The rows as they were given; they may have names of columns.
    X : ndarray of float32 or float64, shape (n_rows, n_features)
    y, weight : ndarray of shape (n_rows,)
    """

    given: Any
    X: Any
    y: Any
    weight: Any
    _class_weights: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, X: Any, y: Any, sample_weight: Any) -> Shared:
        """Check rows; ValueError or TypeError for those that are sparse, not finite, of several targets."""
        rows, target = check_X_y(X, y, dtype=[np.float64, np.float32], order="C")
        return cls(X, rows, target, weights_of(sample_weight, rows))

    @cached_property
    def labels(self) -> tuple[Any, Any]:
        """Classes, and the code of each row's; ValueError when there is one class, or y is continuous."""
        classes, codes = np.unique(self.y, return_inverse=True)
        if len(classes) < 2:
            raise ValueError(f"y has one class only ({classes[0]!r}); a classifier needs two")
        return unique_labels(classes), codes

    def rows(self, *, is_number: bool) -> Rows:
        """Rows to train on."""
        return rows_of(self.X, self.y if is_number else self.labels[1], self.weight, is_number=is_number)

    def begin(self, place: int, estimator: Any) -> Fit:
        """Begin the fit of an estimator that has no `fit_obstacle`."""
        before = dict(vars(estimator))
        try:
            classes = self.labels[0] if isinstance(estimator, SGDClassifier) else None
            begin_anew(estimator, self.given, self.X, classes, self._class_weight(estimator))
            orders = _orders(estimator, 1 if classes is None or len(classes) == 2 else len(classes), classes is None)
            lanes = lanes_of(estimator, self.X.shape[1], orders, watches=_watches(estimator))
        except Exception:
            vars(estimator).clear()
            vars(estimator).update(before)
            raise
        return Fit(place, estimator, before, lanes, [_course(estimator) for _ in lanes])

    def _class_weight(self, estimator: Any) -> Any:
        """The weight of each class; scikit-learn would count the labels anew for each estimator."""
        wanted = getattr(estimator, "class_weight", None)
        if wanted is None:
            return None
        key = repr(wanted)
        if key not in self._class_weights:
            classes = self.labels[0]
            y = self.y if wanted == "balanced" else classes
            self._class_weights[key] = compute_class_weight(wanted, classes=classes, y=y)
        return self._class_weights[key]


def weights_of(sample_weight: Any, X: Any) -> Any:
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


def _watches(estimator: Any) -> bool:
    """Whether an estimator stops when it gains no more."""
    return estimator.tol is not None and estimator.tol > -math.inf


def _course(estimator: Any) -> Course:
    return Course(
        max_iter=int(estimator.max_iter),
        patience=int(estimator.n_iter_no_change),
        tol=float(estimator.tol) if _watches(estimator) else -math.inf,
        is_adaptive=estimator.learning_rate == "adaptive",
    )


def _orders(estimator: Any, n_lanes: int, is_number: bool) -> list[Hashable]:
    """The seeds by which lanes shuffle the rows, drawn as ``fit`` draws them; None for those that do not."""
    random_state = check_random_state(estimator.random_state)
    if is_number:
        seeds = [random_state.randint(0, LARGEST_SEED)]
    elif n_lanes == 1:
        seeds = [_second(random_state)]
    else:
        seeds = [_second(check_random_state(seed)) for seed in random_state.randint(LARGEST_SEED, size=n_lanes)]
    return [int(seed) if estimator.shuffle else None for seed in seeds]


def _second(random_state: Any) -> Any:
    """The seed of a class; the draw before it is of its data set, which does not use it."""
    random_state.randint(1, LARGEST_SEED)
    return random_state.randint(LARGEST_SEED)
