"""A user's own metric: a function of all predictions, or a class whose states merge."""

from __future__ import annotations

import importlib
import inspect
import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_serializer, field_validator, model_validator

from daskflow.core.errors import DataError
from daskflow.core.settings import nearest
from daskflow.metrics import Metric
from daskflow.metrics.gathered import Gathered

Floats = NDArray[np.float64]

METHODS = ("of", "merge", "value")


class Function(Metric):
    """A user's own metric: a function of the gathered predictions, or a class whose states merge.

    Attributes
    ----------
    function : str or callable
        ``package.module:name``; in Python also the thing itself. One of

        - a function ``(y_true, y_pred, sample_weight=None, **params) -> float``. It is given all rows that have a
          weight at once. Without a parameter ``sample_weight`` it is given rows as often as they weigh, which must be
          a whole number then;
        - a class, which is made with `params`, with ``of(y_true, y_pred, weight)``, which returns the state of a block
          of rows that have a weight (it may have none), ``merge(left, right)`` and ``value(state)``.

        ``y_true`` holds class codes (the place of the label in order, from 0 on) or numbers.
    greater_is_better : bool
        Its direction.
    needs : str
        What ``y_pred`` is: ``labels`` (class codes), ``predictions`` (numbers), ``scores`` or ``probabilities``; of two
        classes those of class 1, shape (n_rows,), of more (n_rows, n_classes).
    mergeable : bool or None
        None: whether it has ``of``, ``merge`` and ``value``. True demands them; False gathers the predictions and calls
        it, if it can be called.
    name : str
        In results; the function's by default.
    params : mapping
        Keyword arguments of the function, or of the class.
    tasks : tuple of str
        Tasks it can judge: binary, multiclass, multilabel, regression.

    Notes
    -----
    Memory: a function needs truth, predictions and weights of all rows in one process, 24 bytes a row for one column
    of predictions. Time: its interval takes one call per resample on all rows; a class is called as often, and its
    states may be small. A ``ValueError`` says that a function is not defined on these rows: the value is nan.

    Examples
    --------
    >>> from sklearn.metrics import zero_one_loss
    >>> metric = Function(function=zero_one_loss, greater_is_better=False)
    >>> metric.name, metric.score([0, 1, 1, 0], [0, 1, 0, 0])
    ('zero_one_loss', 0.25)
    >>> Function(function="sklearn.metrics:fbeta_score", params={"beta": 2.0}).score([0, 1, 1, 0], [0, 1, 1, 0])
    1.0
    """

    kind: Literal["function"] = "function"
    function: Any
    is_greater_better: bool = Field(True, alias="greater_is_better")
    need: Literal["labels", "predictions", "scores", "probabilities"] = Field("labels", alias="needs")
    mergeable: bool | None = None
    title: str = Field("", alias="name")
    params: Mapping[str, Any] = Field(default_factory=dict)
    judges: tuple[Literal["binary", "multiclass", "multilabel", "regression"], ...] = Field(
        ("binary", "multiclass", "multilabel", "regression"), alias="tasks", min_length=1
    )

    tasks: ClassVar[tuple[str, ...]] = ()
    undefined: ClassVar[str] = "its function says so by a ValueError, or by nan"

    @field_validator("function")
    @classmethod
    def _can_be_found(cls, function: Any) -> Any:
        """Import what is named, and refuse what no other process could have."""
        if isinstance(function, str):
            if not function.startswith("__main__:"):
                resolve(function)
            return function
        if not callable(function) or not hasattr(function, "__qualname__"):
            raise ValueError("should be a function, a class, or 'package.module:name'; arguments go to params")
        name = path_of(function).partition(":")[2]
        if "<" in name:
            what = "a lambda" if "<lambda>" in name else "made inside another function"
            raise ValueError(f"is {what}, which cannot be named again; write it with def at the top of a module")
        return function

    @model_validator(mode="after")
    def _merges_as_said(self) -> Function:
        """Refuse what does not merge where it should."""
        if self.mergeable and not _merges(self._found()):
            raise ValueError(f"{self.name} should have {', '.join(METHODS)}, since mergeable = true")
        return self

    @field_serializer("function")
    def _path(self, function: Any) -> str:
        """Its import path."""
        return function if isinstance(function, str) else path_of(function)

    @property
    def name(self) -> str:
        """The one given, else the function's."""
        return self.title or self._path(self.function).partition(":")[2].rpartition(".")[2]

    @property
    def greater_is_better(self) -> bool:  # type: ignore[override]  # of each function, not of the kind
        """Its direction."""
        return self.is_greater_better

    @property
    def needs(self) -> str:  # type: ignore[override]  # of each function, not of the kind
        """What its predictions are."""
        return self.need

    def misfit(self, task: str) -> str:
        """Say why it cannot judge a task; empty when it can."""
        return "" if task in self.judges else f"{self.name} is for {' and '.join(self.judges)}, and the task is {task}"

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Return the class's state, or keep the block."""
        merging = self._merging()
        if merging is None:
            return Gathered.of(y_true, y_pred, weight)
        weight = np.asarray(weight, dtype=np.float64)
        used = weight > 0
        return self._called(merging.of, np.asarray(y_true)[used], np.asarray(y_pred)[used], weight[used])

    def merge(self, left: Any, right: Any) -> Any:
        """Merge two states, or put blocks side by side."""
        merging = self._merging()
        return left.merge(right) if merging is None else self._called(merging.merge, left, right)

    def value(self, state: Any) -> float:
        """Ask the class, or call the function on all rows; nan when that raises ValueError."""
        merging = self._merging()
        if merging is not None:
            return self._number(merging.value, state)
        y_true, y_pred, weight = state.arrays()
        if not len(y_true):
            return math.nan
        function, given = self._found(), dict(self.params)
        if _takes_weight(function):
            given["sample_weight"] = weight
        elif (weight != 1).any():
            times = weight.astype(np.int64)
            if (times != weight).any():
                raise DataError(
                    f"Metric {self.name} met weights that are no whole numbers, and its function takes none. Give it a "
                    "parameter sample_weight."
                )
            y_true, y_pred = np.repeat(y_true, times, axis=0), np.repeat(y_pred, times, axis=0)
        return self._number(function, y_true, y_pred, **given)

    def _found(self) -> Any:
        """What is called."""
        try:
            return resolve(self.function) if isinstance(self.function, str) else self.function
        except ValueError as error:
            raise DataError(f"Metric {self.name}: {self.function} {error}.") from error

    def _merging(self) -> Any:
        """The object whose states merge; None when predictions are gathered."""
        found = self._found()
        if self.mergeable is False or not _merges(found):
            return None
        return found(**self.params) if inspect.isclass(found) else found

    def _called(self, function: Any, *arguments: Any, **options: Any) -> Any:
        """Call what a user wrote."""
        try:
            return function(*arguments, **options)
        except Exception as error:  # a user's code raises what it likes
            raise DataError(f"Metric {self.name} failed: {type(error).__name__}: {error}") from error

    def _number(self, function: Any, *arguments: Any, **options: Any) -> float:
        """Call what a user wrote for a number; nan when it raises ValueError: it is not defined on these rows."""
        try:
            value = self._called(function, *arguments, **options)
        except DataError as error:
            if isinstance(error.__cause__, ValueError):
                return math.nan
            raise
        if np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.number):
            raise DataError(f"Metric {self.name} should return a number (found {type(value).__name__}: {value!r:.60})")
        return float(value)


@lru_cache(maxsize=256)
def resolve(path: str) -> Any:
    """Import ``package.module:name``; this runs the module's code.

    Raises
    ------
    ValueError
        When there is none, with the nearest that is, or it can neither be called nor merges.
    """
    place, _, name = path.partition(":")
    if not name:
        raise ValueError("should read 'package.module:name'")
    try:
        module = importlib.import_module(place)
    except Exception as error:  # a user's module raises what it likes
        raise ValueError(
            f"cannot be imported: {type(error).__name__}: {error}. Install its module, or put its folder on "
            "PYTHONPATH, here and on every worker"
        ) from error
    found = module
    for word in name.split("."):
        if not hasattr(found, word):
            known = [each for each, value in vars(found).items() if callable(value) and not each.startswith("_")]
            raise ValueError(f"module '{place}' has no '{word}'{nearest(word, known)}")
        found = getattr(found, word)
    if not callable(found) and not _merges(found):
        raise ValueError("can neither be called nor has it of, merge and value")
    return found


def path_of(function: Any) -> str:
    """Return the import path of a function or class.

    Examples
    --------
    >>> import math
    >>> path_of(math.hypot)
    'math:hypot'
    """
    return f"{function.__module__}:{function.__qualname__}"


def _merges(found: Any) -> bool:
    """Whether it has what a mergeable metric has."""
    return all(callable(getattr(found, method, None)) for method in METHODS)


def _takes_weight(function: Any) -> bool:
    """Whether a function has a parameter for weights."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some functions written in C say nothing
        return False
    return any(each.name == "sample_weight" for each in parameters)
