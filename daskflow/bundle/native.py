"""Boosted estimators in their libraries' own formats: xgboost's JSON, lightgbm's text and catboost's binary.

The file holds the trees; ``estimator.json`` beside it says which of the library's estimators stood around them, with
its parameters. Both are plain data, so nothing is unpickled. xgboost and lightgbm follow the indices in a file without
a check of bounds: `daskflow.bundle.trees` checks them before the library sees the file. catboost's format cannot be
checked here, so such a model is loaded only when the caller names its class as trusted. Predictions are those of the
fitted estimator to the last bit.
"""

from __future__ import annotations

import importlib
import json
import math
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daskflow.bundle import trees
from daskflow.core.errors import BundleError

SPECIAL = "float"
"""Key of a float that JSON has no word for: ``{"float": "nan"}``."""

LIGHTGBM_STATE = ("_best_iteration", "_class_weight", "_fitted_with_feature_names", "_n_features", "_n_features_in")
"""What lightgbm's estimators know of their fit besides the trees, the objective and the classes."""


class NotPlainError(Exception):
    """A value that plain JSON does not hold; such an estimator is stored by skops."""


@dataclass(frozen=True, slots=True)
class Library:
    """One library's own format.

    Attributes
    ----------
    file : str
        Name of the file in a model folder.
    classes : tuple of str
        Full names of the estimators that are stored so.
    write : callable
        Estimator to the file's bytes and what else is known of the fit.
    read : callable
        Class, parameters, bytes and that knowledge to the estimator.
    check : callable or None
        Raises ValueError when the bytes point outside their arrays, or are of a sort that is not known; None for a
        format that is not read here.
    """

    file: str
    classes: tuple[str, ...]
    write: Callable[[Any], tuple[bytes, dict[str, Any]]]
    read: Callable[[type, dict[str, Any], bytes, Mapping[str, Any]], Any]
    check: Callable[[bytes], None] | None


def dump(estimator: Any) -> tuple[str, bytes, dict[str, Any]] | None:
    """Return the file's name, its bytes and the content of ``estimator.json``; None for estimators that skops stores.

    These are all but the plain classifiers and regressors of the three libraries; among these the ones with parameters
    that are no plain values, such as a function as objective, and with learners that are no trees.
    """
    name = _full_name(type(estimator))
    library = next((library for library in LIBRARIES if name in library.classes), None)
    if library is None:
        return None
    try:
        content, state = library.write(estimator)
        if library.check is not None:
            library.check(content)
        saved = {"class": name, "params": _plain(_params(estimator)), "state": _plain(state)}
    except (NotPlainError, ValueError):
        return None
    return library.file, content, saved


def foreign_types(file: str, saved: Mapping[str, Any]) -> list[str]:
    """Return the estimator's full name when it is built only if the caller trusts it, else nothing."""
    library = _library(file)
    return [str(saved.get("class"))] if library.check is None else []


def build(file: str, content: bytes, saved: Mapping[str, Any], trusted: Iterable[str], place: str) -> Any:
    """Build an estimator from its library's file.

    Parameters
    ----------
    file : str
        Name of the file, which says the library.
    content : bytes
        What it holds.
    saved : mapping
        Content of ``estimator.json``.
    trusted : iterable of str
        Full names of classes that the caller trusts; their files are not checked.
    place : str
        The file's path, for messages.

    Raises
    ------
    BundleError
        For another class than the library's estimators, one that is not trusted, trees that point outside their
        arrays, and a library that is not installed.
    """
    library = _library(file)
    name, accepted = str(saved.get("class", "")), set(trusted)
    if name not in library.classes:
        raise BundleError(f"{place} is said to be a '{name}'; it can be {' or '.join(library.classes)}.")
    if library.check is None and name not in accepted:
        raise BundleError(
            f"{place} holds types that are not trusted: {name}. Its library reads it unchecked. "
            f"If you know where the model comes from, load it with trusted={[name]!r}."
        )
    if library.check is not None and name not in accepted:
        try:
            library.check(content)
        except Exception as error:  # whatever a forged file makes the check raise
            raise BundleError(f"{place} is forged or damaged: {error}.") from error
    module, _, word = name.rpartition(".")
    try:
        cls = getattr(importlib.import_module(module), word)
    except (ImportError, AttributeError) as error:
        package = module.partition(".")[0]
        raise BundleError(
            f"{place} needs {package}, which cannot be imported here ({error}). "
            "Install what the folder's requirements.txt lists."
        ) from error
    try:
        params, state = _restored(saved["params"]), _restored(saved["state"])
        return library.read(cls, params, content, state)
    except Exception as error:  # third-party readers fail in their own ways
        raise BundleError(
            f"{place} cannot be read by the {module.partition('.')[0]} installed here: {type(error).__name__}: "
            f"{error}. requirements.txt lists the version it was written with."
        ) from error


def _library(file: str) -> Library:
    return next(library for library in LIBRARIES if library.file == file)


def _full_name(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _params(estimator: Any) -> dict[str, Any]:
    """Parameters that are set; catboost's estimators tell only these."""
    return {name: value for name, value in estimator.get_params().items() if value is not None}


def _write_xgboost(estimator: Any) -> tuple[bytes, dict[str, Any]]:
    return bytes(estimator.get_booster().save_raw(raw_format="json")), {}


def _read_xgboost(cls: type, params: dict[str, Any], content: bytes, state: Mapping[str, Any]) -> Any:
    estimator: Any = cls(**params)
    estimator.load_model(bytearray(content))
    for name in ("base_score", "booster", "feature_types", "enable_categorical", "objective"):
        setattr(estimator, name, params.get(name))  # reading puts what training found in place of what was asked for
    return estimator


def _write_lightgbm(estimator: Any) -> tuple[bytes, dict[str, Any]]:
    state = {name: getattr(estimator, name) for name in LIGHTGBM_STATE if hasattr(estimator, name)}
    state["objective"] = estimator.objective_
    if hasattr(estimator, "classes_"):
        state["classes"] = np.asarray(estimator.classes_).tolist()
    return estimator.booster_.model_to_string().encode(), state


def _read_lightgbm(cls: type, params: dict[str, Any], content: bytes, state: Mapping[str, Any]) -> Any:
    import lightgbm
    from sklearn.preprocessing import LabelEncoder

    estimator: Any = cls(**params)
    estimator._Booster = lightgbm.Booster(model_str=content.decode())
    estimator.fitted_ = True
    estimator._objective = state["objective"]
    for name in LIGHTGBM_STATE:
        if name in state:
            setattr(estimator, name, state[name])
    if "classes" in state:
        encoder = LabelEncoder().fit(np.array(state["classes"]))
        estimator._le, estimator._classes = encoder, encoder.classes_
        estimator._n_classes = len(encoder.classes_)
        estimator._class_map = {label: code for code, label in enumerate(encoder.classes_)}
    return estimator


def _write_catboost(estimator: Any) -> tuple[bytes, dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        estimator.save_model(str(path), format="cbm")
        return path.read_bytes(), {}


def _read_catboost(cls: type, params: dict[str, Any], content: bytes, state: Mapping[str, Any]) -> Any:
    estimator: Any = cls(**params)
    estimator.load_model(blob=content)
    return estimator


LIBRARIES = (
    Library(
        "model.xgboost.json",
        ("xgboost.sklearn.XGBClassifier", "xgboost.sklearn.XGBRegressor"),
        _write_xgboost,
        _read_xgboost,
        trees.check_xgboost,
    ),
    Library(
        "model.lightgbm.txt",
        ("lightgbm.sklearn.LGBMClassifier", "lightgbm.sklearn.LGBMRegressor"),
        _write_lightgbm,
        _read_lightgbm,
        trees.check_lightgbm,
    ),
    Library(
        "model.catboost.cbm",
        ("catboost.core.CatBoostClassifier", "catboost.core.CatBoostRegressor"),
        _write_catboost,
        _read_catboost,
        None,
    ),
)


def _plain(value: Any) -> Any:
    """A value as JSON holds it; NotPlainError when it does not."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {SPECIAL: str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping) and SPECIAL not in value and all(isinstance(key, str) for key in value):
        return {key: _plain(item) for key, item in value.items()}
    raise NotPlainError(type(value).__name__)


def _restored(value: Any) -> Any:
    """The inverse, but for tuples, which stay lists."""
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if isinstance(value, dict):
        if set(value) == {SPECIAL}:
            return float(value[SPECIAL])
        return {key: _restored(item) for key, item in value.items()}
    return value


def dumps(saved: Mapping[str, Any]) -> bytes:
    """Return the content of ``estimator.json``."""
    return (json.dumps(saved, indent=1, allow_nan=False) + "\n").encode()
