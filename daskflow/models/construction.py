"""Estimators made from a template, parameters and a seed; and what is wrong with the parameters, all at once."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.utils import get_tags

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.seeds import seed_of
from daskflow.core.settings import nearest
from daskflow.models.plain import decode


def build(template: Any, params: Mapping[str, Any], seed: int | None) -> Any:
    """Set parameters, seeds and ``n_jobs`` on an unfitted estimator of our own, and return it.

    Parameters
    ----------
    template : estimator
        Changed in place.
    params : mapping
        By scikit-learn's names; plain values are decoded. A list where the default is a tuple becomes one.
    seed : int or None
        Set where ``random_state`` is None and `params` does not name it.
    """
    before = template.get_params(deep=True)
    made = template.set_params(**{name: _like(before.get(name), decode(value)) for name, value in params.items()})
    free = {name for name, value in made.get_params(deep=True).items() if value is None and name not in params}
    jobs = {name: 1 for name in free if _last(name) == "n_jobs" and not _is_scikit_learns(made, name)}
    seeds: dict[str, int] = {}
    if seed is not None:
        for name in sorted(free):
            if _last(name) == "random_state":
                seeds[name] = seed if name == "random_state" else seed_of(seed, name)
    return made.set_params(**jobs, **seeds)


def problems(
    template: Any, fixed: Mapping[str, Any], names: Iterable[str], further: Iterable[str] = ()
) -> list[Problem]:
    """Return what is wrong with fixed parameters (names, then values) and with the names of a search space.

    `further` are names that the estimator takes besides those it tells of.
    """
    known = {*template.get_params(deep=True), *further}
    names = [name for name in names if name not in fixed]
    new = {*fixed, *names}
    found = [
        Problem(f"{place}.{name}", f"no such option{nearest(name, known)}")
        for place, group in (("model.params", fixed), ("search.space", names))
        for name in group
        if name not in known and not ("__" in name and name.split("__")[0] in new)
    ]
    return found or _wrong_values(template, fixed)


def misfit(estimator: Any, task: str) -> str:
    """Say why an estimator cannot do a task; empty when it can, or does not say what it is."""
    name = type(estimator).__name__
    if not is_classifier(estimator) and not is_regressor(estimator):
        return ""
    if task == "regression" and not is_regressor(estimator):
        return f"{name} is a classifier, and the task is regression; name a regressor"
    if task != "regression" and not is_classifier(estimator):
        return f"{name} is a regressor, and the task is {task}; name a classifier"
    return ""


def partial_fit(estimator: Any, X: Any, y: Any, *, n_classes: int, sample_weight: Any = None) -> None:
    """Call an estimator's ``partial_fit`` with the classes and weights that it takes."""
    takes = inspect.signature(estimator.partial_fit).parameters
    extra: dict[str, Any] = {}
    if n_classes and "classes" in takes:
        extra["classes"] = np.arange(n_classes)
    if sample_weight is not None and "sample_weight" in takes:
        extra["sample_weight"] = sample_weight
    estimator.partial_fit(X, y, **extra)


def takes_sparse(estimator: Any) -> bool:
    """Return whether an estimator's scikit-learn tags say that it fits on sparse matrices; False without tags."""
    try:
        return bool(get_tags(estimator).input_tags.sparse)
    except (AttributeError, ValueError):
        return False


def _wrong_values(template: Any, fixed: Mapping[str, Any]) -> list[Problem]:
    """What scikit-learn's own validation, which a fit would begin with, says of fixed values."""
    for name, value in fixed.items():
        try:
            decode(value)
        except SettingsError as error:
            return [Problem(f"model.params.{name}", error.problems[0].message)]
    made = build(template, fixed, None)
    try:
        if hasattr(made, "_parameter_constraints"):  # the estimators of other packages inherit the method alone
            made._validate_params()
    except ValueError as error:
        named = re.match(r"The '(\w+)' parameter", str(error))
        return [Problem(f"model.params.{named[1]}" if named else "model.params", str(error))]
    return []


def _last(name: str) -> str:
    """The parameter's own name, without the steps it is nested in."""
    return name.rpartition("__")[2]


def _is_scikit_learns(estimator: Any, name: str) -> bool:
    """Return whether a parameter is of a class of scikit-learn, whose ``n_jobs=None`` is one job already."""
    step = name.rpartition("__")[0]
    owner = estimator.get_params(deep=True)[step] if step else estimator
    return type(owner).__module__.startswith("sklearn.")


def _like(before: Any, value: Any) -> Any:
    """Make a list a tuple where the parameter was one: TOML has no tuples."""
    return tuple(value) if isinstance(before, tuple) and isinstance(value, list) else value
