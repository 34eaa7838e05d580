"""Metrics: values, directions and 95 % intervals, from states that merge."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, Union, get_args, get_origin

from pydantic import PrivateAttr

from daskflow.core.errors import Problem
from daskflow.core.registry import Registry
from daskflow.core.settings import Settings

if TYPE_CHECKING:
    from daskflow.metrics.bootstrap import Resample


class Metric(Settings):
    """A metric: its options are settings, its arithmetic is `of`, `merge` and `value`.

    Attributes
    ----------
    kind : str
        The metric's name, as scikit-learn names it.
    greater_is_better : bool
        Its direction.
    needs : str
        ``labels``, ``scores`` (any monotone score of the positive class, or one column per class) or
        ``probabilities``; ``predictions`` for regression.
    tasks : tuple of str
        Tasks it is defined for. multilabel: truth and predictions have a column of 0 and 1, or of scores, per label.
    defining : str
        The option that always stands in the name, such as the share of a lift: ``lift_0.1``.
    in_name : tuple of str
        Options that stand in the name when they are not the default: ``f1_macro``.
    undefined : str
        What keeps it from having a value, when rows, weights and classes do not.
    """

    kind: str

    greater_is_better: ClassVar[bool] = True
    needs: ClassVar[str] = "labels"
    tasks: ClassVar[tuple[str, ...]] = ("binary", "multiclass")
    defining: ClassVar[str] = ""
    in_name: ClassVar[tuple[str, ...]] = ()
    undefined: ClassVar[str] = "it has no value for these rows"

    _task: str = PrivateAttr("")
    _n_classes: int = PrivateAttr(0)

    @property
    def name(self) -> str:
        """Name in results: the kind, and behind it the options that tell its variants apart."""
        fields, words = type(self).model_fields, [self.kind]
        for option in (self.defining, *self.in_name):
            value = getattr(self, option) if option else None
            if option and (option == self.defining or value != fields[option].default):
                words.append(option if value is True else str(value).removesuffix(".0"))
        return "_".join(words)

    def for_task(self, task: str, n_classes: int = 0) -> Self:
        """Return the metric for one task: of the same name, sure of the classes that a block may lack.

        Without it the number of classes is taken from the columns of `y_pred`, else from the largest code seen, and two
        classes are a binary task.

        Parameters
        ----------
        task : str
            binary, multiclass, multilabel or regression.
        n_classes : int
            Classes of the target, or labels; 0 for regression.
        """
        settled = self.model_copy()
        settled._task, settled._n_classes = task, n_classes
        return settled

    def misfit(self, task: str) -> str:
        """Say why the metric cannot judge a task, naming those that can; empty when it can."""
        if task in self.tasks:
            return ""
        others = ", ".join(name for name, cls in REGISTRY.kinds.items() if task in cls.tasks)
        own = [each for each in self.tasks if each != "multilabel"] or self.tasks  # which no workflow has
        return f"{self.name} is for {' and '.join(own)}, and the task is {task}; for {task} there is: {others}"

    def judge(self, n_dimensions: int) -> Metric:
        """Return the metric whose states judge a truth of 1 or 2 dimensions, where no task was named: itself."""
        return self

    def of(self, y_true: Any, y_pred: Any, weight: Any) -> Any:
        """Return the mergeable state of one block; arrays of shape (n_rows,), or (n_rows, n_classes or n_labels)."""
        raise NotImplementedError

    def merge(self, left: Any, right: Any) -> Any:
        """Return the state of both; associative and commutative."""
        raise NotImplementedError

    def value(self, state: Any) -> float:
        """Return the metric of a state; nan where it is not defined."""
        raise NotImplementedError

    def score(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> float:
        """Return the metric on whole arrays; nan where it is not defined.

        Parameters
        ----------
        y_true : array of shape (n_rows,) or (n_rows, n_labels)
            Class codes 0..n_classes-1, numbers, or 0 and 1 per label.
        y_pred : array of shape (n_rows,), (n_rows, n_classes) or (n_rows, n_labels)
            What the metric `needs`; of two classes the score of class 1.
        sample_weight : array of shape (n_rows,), optional
            Default: 1 each. A row of weight 0 counts as if it were not there.
        """
        import numpy as np

        weight = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        metric = self.judge(np.ndim(y_true))
        return float(metric.value(metric.of(np.asarray(y_true), np.asarray(y_pred), weight)))

    def on_parts(self, y_true: Any, y_pred: Any, sample_weight: Any, part: Any, n_parts: int) -> Any:
        """Return the metric on each part of the rows, shape (n_parts,); nan where it is not defined.

        `part`, shape (n_rows,), holds each row's part, from 0 on. Metrics that can be resampled quickly go through the
        rows once.
        """
        import numpy as np

        from daskflow.metrics.bootstrap import Parts

        weight = np.ones(len(y_true)) if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        metric = self.judge(np.ndim(y_true))
        return metric.replicates(np.asarray(y_true), np.asarray(y_pred), weight, Parts(part, n_parts))

    def replicates(self, y_true: Any, y_pred: Any, weight: Any, resample: Resample) -> Any:
        """Return the metric on every resample of the rows, shape (n_replicates,): what its interval is taken from.

        This one works for every metric and goes through the rows once per replicate; metrics whose state is a sum do
        better.
        """
        import numpy as np

        return np.array([self.value(self.of(y_true, y_pred, weight * rows)) for rows in resample.rows()])


REGISTRY: Registry[Metric] = Registry(__name__, Metric, "metric")

DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "log_loss", "brier", "accuracy", "balanced_accuracy", "f1"),
    "multiclass": ("f1", "balanced_accuracy", "accuracy", "roc_auc", "log_loss"),
    "regression": ("rmse", "mae", "r2"),
}
"""Metrics shown when none are asked for; the first one ranks candidates."""


def defaults(task: str) -> tuple[str, ...]:
    """Return the metrics of a task when none are asked for.

    Examples
    --------
    >>> defaults("regression")
    ('rmse', 'mae', 'r2')
    """
    return DEFAULTS[task]


def default_for_ranking(task: str) -> str:
    """Return the metric that ranks candidates when the search names none.

    Binary: ``roc_auc``, which needs neither probabilities nor a threshold. Multiclass: ``f1`` (macro), which every
    classifier can be judged by, and which counts rare classes as much as frequent ones, in both directions: accuracy
    forgets them, and balanced accuracy forgives false alarms. Regression: ``rmse``.

    Examples
    --------
    >>> default_for_ranking("binary")
    'roc_auc'
    """
    return DEFAULTS[task][0]


def check(metric: Metric, task: str, where: str = "metrics") -> Problem | None:
    """Return what is wrong with judging a task by a metric, with the metrics that fit; None when it fits.

    Examples
    --------
    >>> print(check(parse("rmse"), "binary"))
    metrics: rmse is for regression, and the task is binary; for binary there is: accuracy, average_precision, ...
    >>> check(parse("f1"), "binary") is None
    True
    """
    wrong = metric.misfit(task)
    return Problem(where, wrong) if wrong else None


ALIASES: Mapping[str, str] = {
    "auc": "roc_auc",
    "brier_score_loss": "brier",
    "ece": "expected_calibration_error",
    "g_mean": "geometric_mean",
    "kappa": "cohen_kappa",
    "kolmogorov_smirnov": "ks",
    "mcc": "matthews_corrcoef",
    "mean_absolute_error": "mae",
    "mean_absolute_percentage_error": "mape",
    "mean_gamma_deviance": "gamma_deviance",
    "mean_pinball_loss": "pinball",
    "mean_poisson_deviance": "poisson_deviance",
    "mean_squared_error": "mse",
    "mean_squared_log_error": "msle",
    "mean_tweedie_deviance": "tweedie_deviance",
    "roc_auc_ovr": "roc_auc",
    "root_mean_squared_error": "rmse",
    "root_mean_squared_log_error": "rmsle",
    "sensitivity": "recall",
}
"""Other names of kinds. Besides, ``neg_`` before a name and ``_score`` behind it are left out."""


def parse(value: Any, where: str = "metrics") -> Metric:
    """Make a metric of its name, or of a table with ``kind`` and its options.

    A name may carry options, as names in results do: ``f1_macro`` is ``f1`` with ``average = "macro"``. The names of
    scikit-learn's functions and scorers are understood; one with ``neg_`` is the metric without it, which knows that
    less is better.

    Raises
    ------
    SettingsError
        With every mistake, each with the nearest right word.

    Examples
    --------
    >>> parse("f1_macro")
    F1(kind='f1', average='macro')
    >>> parse("fbeta_0.5_macro")
    FBeta(kind='fbeta', average='macro', beta=0.5)
    >>> parse("neg_root_mean_squared_error").name
    'rmse'
    >>> parse({"kind": "pinball", "alpha": 0.9}).name
    'pinball_0.9'
    """
    if isinstance(value, str):
        value = _spelled(value)
    elif isinstance(value, Mapping) and isinstance(value.get("kind"), str):
        value = {**value, "kind": _kind(value["kind"]) or value["kind"]}
    return REGISTRY.parse(value, where=where)


def _kind(word: str) -> str:
    """Return the kind that a word means; empty when it means none."""
    bare = word.removeprefix("neg_")
    for name in (word, bare, bare.removesuffix("_score")):
        if name in REGISTRY.kinds or name in ALIASES:
            return ALIASES.get(name, name)
    return ""


def _spelled(name: str) -> Any:
    """Return the table that a name with options stands for; the name as it is where it stands for none."""
    words = name.split("_")
    for n_words in range(len(words), 0, -1):
        kind = _kind("_".join(words[:n_words]))
        if kind and n_words == len(words):
            return kind
        options = _options(REGISTRY.kinds[kind], words[n_words:]) if kind else {}
        if options:
            return {"kind": kind, **options}
    return name


def _options(cls: type[Metric], words: list[str]) -> dict[str, Any]:
    """Return the options that words behind a kind's name stand for; empty when they are not all options."""
    left = [option for option in (cls.defining, *cls.in_name) if option]
    found: dict[str, Any] = {}
    for word in words:
        for option in left:
            value = _value(cls.model_fields[option].annotation, option, word)
            if value is not None:
                break
        else:
            if not left:
                return {}
            option, value = left[-1], word  # which the option will refuse, naming what it takes
        left.remove(option)
        found[option] = value
    return found


def _value(annotation: Any, option: str, word: str) -> Any:
    """Return what a word of a name means as an option of a type; None when it is none."""
    for kind in get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,):
        if get_origin(kind) is Literal and word in get_args(kind):
            return word
        if kind is bool and word == option:
            return True
        if kind in (int, float):
            try:
                return kind(word)
            except ValueError:
                continue
    return None


def __getattr__(name: str) -> Any:
    """Find a metric's class on first use."""
    return REGISTRY.attribute(name)
