"""Estimators and their parameters as plain values: what a workflow file and a run folder can hold."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest

PARAMETERS = ("get_params", "set_params")
"""What a class must have to be nested in an estimator, as transformers and kernels are."""

MODEL = ("fit", "predict", *PARAMETERS)
"""What a class must have to be a model."""


def encode(value: Any) -> Any:
    """Return a parameter's value as plain JSON values that `decode` turns back.

    None becomes ``"None"``, since TOML has no null; an estimator ``{"estimator": path, "params": {...}}`` with the
    parameters that are not the default; what cannot be written, such as a function, ``{"repr": text}``.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> encode([None, Ridge(alpha=2.0)])
    ['None', {'estimator': 'sklearn.linear_model:Ridge', 'params': {'alpha': 2.0}}]
    """
    if value is None:
        return "None"
    if isinstance(value, np.generic | np.ndarray):
        return encode(value.tolist())
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [encode(item) for item in value]
    if hasattr(value, "get_params") and not isinstance(value, type):
        path, params = import_path(type(value)), changed_params(value)
        if path is not None:
            return {"estimator": path, "params": encode(params)} if params else {"estimator": path}
    name = f"{value.__module__}:{value.__qualname__}" if hasattr(value, "__qualname__") else repr(value)
    return {"repr": re.sub(r" at 0x[0-9a-f]+", "", name)}


def decode(value: Any) -> Any:
    """Return what `encode` was given, but for tuples, which are lists now; steps, [name, estimator], are tuples again.

    Keys that are digits become integers: ``class_weight = {"0" = 1.0, "1" = 5.0}`` is by class code.

    Raises
    ------
    SettingsError
        For an estimator that cannot be imported or made, and for a value that was never plain.
    """
    if isinstance(value, str) and value == "None":
        return None
    if isinstance(value, list):
        items = [decode(item) for item in value]
        is_step = len(items) > 1 and isinstance(items[0], str) and hasattr(items[1], "get_params")
        return tuple(items) if is_step else items
    if not isinstance(value, Mapping):
        return value
    if set(value) == {"repr"}:
        raise SettingsError(f"was given from Python and cannot be made from its text ({value['repr']})")
    if "estimator" in value and set(value) <= {"estimator", "params"}:
        return _nested(value["estimator"], value.get("params", {}))
    return {int(key) if isinstance(key, str) and key.isdigit() else key: decode(item) for key, item in value.items()}


def _nested(path: Any, params: Mapping[str, Any]) -> Any:
    """Make an estimator that is a parameter of another one, with all of its own parameters."""
    if not isinstance(path, str):
        raise SettingsError(f"estimator should be 'package.module:Class' (found {path!r:.80})")
    made = blank(resolve(path, needed=PARAMETERS), params)
    known = made.get_params(deep=True)
    for name in params:
        if name not in known:
            raise SettingsError(f"{type(made).__name__} has no parameter '{name}'{nearest(name, known)}")
    return made.set_params(**{name: decode(value) for name, value in params.items()})


def blank(cls: type, params: Mapping[str, Any]) -> Any:
    """Make an estimator with its defaults, and with those of `params` that its class requires.

    Raises
    ------
    SettingsError
        When a required one is missing, or cannot be decoded.
    """
    signature = inspect.signature(cls).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    required = [p.name for p in signature if p.default is inspect.Parameter.empty and p.kind in named]
    given: dict[str, Any] = {}
    for name in required:
        if name not in params:
            raise SettingsError([Problem(f"params.{name}", f"is required by {cls.__name__}")])
        try:
            given[name] = decode(params[name])
        except SettingsError as error:
            raise SettingsError([Problem(f"params.{name}", error.problems[0].message)]) from None
    return cls(**given)


def changed_params(estimator: Any) -> dict[str, Any]:
    """Return the parameters of an estimator that differ from its class's defaults."""
    defaults = {name: p.default for name, p in inspect.signature(type(estimator)).parameters.items()}
    return {
        name: value
        for name, value in estimator.get_params(deep=False).items()
        if value is not defaults.get(name) and repr(value) != repr(defaults.get(name))
    }


def import_path(cls: type) -> str | None:
    """Return ``package.module:Class`` by the shortest module that has the class; None when no other process could.

    Examples
    --------
    >>> from sklearn.linear_model import SGDClassifier
    >>> import_path(SGDClassifier)
    'sklearn.linear_model:SGDClassifier'
    """
    parts = cls.__module__.split(".")
    if parts[0] == "__main__":
        return None
    for length in range(1, len(parts) + 1):
        module = importlib.import_module(".".join(parts[:length]))
        if vars(module).get(cls.__name__) is cls:
            return f"{'.'.join(parts[:length])}:{cls.__name__}"
    return None


def resolve(path: str, needed: Sequence[str] = MODEL) -> type:
    """Return the class of ``package.module:Class`` or ``package.module.Class``, if it has what is needed.

    Imports the module, so it runs the module's code.

    Raises
    ------
    SettingsError
        When the module or class does not exist (with the nearest that does), or it lacks a method.
    """
    module_name, _, class_name = path.partition(":") if ":" in path else path.rpartition(".")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", module_name) or not class_name.isidentifier():
        raise SettingsError(f"should read 'package.module:Class' (found '{path}'){_same_name(class_name)}")
    module = _module(module_name)
    found = getattr(module, class_name, None)
    if found is None:
        classes = [
            name for name, cls in inspect.getmembers(module, inspect.isclass) if not missing_methods(cls, needed)
        ]
        raise SettingsError(f"module '{module_name}' has no '{class_name}'{nearest(class_name, classes)}")
    if not inspect.isclass(found):
        raise SettingsError(f"'{path}' is a {type(found).__name__}, not a class")
    missing = missing_methods(found, needed)
    if missing:
        raise SettingsError(
            f"'{path}' is no model: it has no {' and no '.join(missing)}. "
            "Name a scikit-learn classifier or regressor, or a class that has them."
        )
    return found


def missing_methods(cls: type, needed: Sequence[str] = MODEL) -> list[str]:
    """Name the methods an estimator needs and this class lacks ; an object may have them only once fitted."""
    return [name for name in needed if not hasattr(cls, name)]


def _module(name: str) -> Any:
    """Import a module; say which part of its name is wrong."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name != missing and not name.startswith(f"{missing}."):
            raise SettingsError(f"module '{name}' cannot be imported: it needs '{missing}'; install it") from error
        parent, _, last = missing.rpartition(".")
        if not parent:
            raise SettingsError(f"there is no package '{missing}': install it, or correct its name") from error
        siblings = pkgutil.iter_modules(getattr(importlib.import_module(parent), "__path__", []))
        public = [sibling.name for sibling in siblings if not sibling.name.startswith("_")]
        raise SettingsError(f"there is no module '{last}' in '{parent}'{nearest(last, public)}") from error
    except Exception as error:
        raise SettingsError(f"module '{name}' cannot be imported: {type(error).__name__}: {error}") from error


def _same_name(class_name: str) -> str:
    """Point to scikit-learn's estimator of a name that came without its module."""
    from sklearn.utils.discovery import all_estimators

    path = next((import_path(cls) for name, cls in all_estimators() if name == class_name), None)
    return f"; did you mean '{path}'?" if path else ""
