"""Loading a model folder: verified first, and without running any code of it."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import json
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from daskflow.bundle import files, native
from daskflow.bundle.model import Model, StoredTransformer
from daskflow.core.errors import BundleError, DataError
from daskflow.core.warned import ignored
from daskflow.data.decision import Decision
from daskflow.data.schema import Schema, Target, Task

if TYPE_CHECKING:
    from daskflow.data.joins import Join

PREPROCESSING = "daskflow.preprocess"
"""The package whose classes may read ``preprocessor.json`` without being named as trusted."""

LABELS: Mapping[str, type] = {"bool": bool, "int": int, "float": float, "str": str}
"""Types a label may have, by their names in ``schema.json``."""


def load_model(path: str | Path, *, trusted: Sequence[str] = ()) -> Model:
    """Load a model, after its files were verified.

    Parameters
    ----------
    path : str or Path
        A model folder, the folder of a finished run, or ``runs/NAME`` for its latest run.
    trusted : sequence of str
        Full names of types in the model that are not scikit-learn's own, such as ``"lightgbm.sklearn.LGBMClassifier"``,
        and of the functions that its preprocessing calls, such as ``"package.module:name"``. Building and importing
        them may run their code: name them only when you know where the folder comes from.

    Returns
    -------
    Model
        Predicts on pandas and on dask DataFrames.

    Raises
    ------
    BundleError
        When a file is changed, missing or extra, or a type or function is not trusted; nothing of the model has been
        built then, and nothing imported. Also for functions that cannot be imported, or are not those of training.

    Warns
    -----
    UserWarning
        When the scikit-learn installed is not the version that wrote the model.
    """
    folder = files.find(Path(path))
    contents = files.read(folder)
    described = _json(contents, files.SCHEMA, folder)
    if described.get("format") not in files.READ:
        raise BundleError(
            f"{folder} has format {described.get('format')!r}; this daskflow reads "
            f"{' and '.join(map(str, files.READ))}. Load it with the daskflow that wrote it (card.json)."
        )
    if (described["format"] == 1) != (files.DECISION not in contents):
        raise BundleError(f"{folder} holds files of one format and the number of another. Write the model again.")
    try:
        schema = Schema.load(described["features"])
        target = _target(described["target"])
        written_with = dict(described["written_with"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{folder / files.SCHEMA} is not as daskflow writes it: {error!r}.") from error
    transformer = _transformer(_json(contents, files.PREPROCESSOR, folder), trusted, folder)
    _warn_of_versions(written_with, folder)
    estimator = _estimator(contents, trusted, folder)
    width = getattr(estimator, "n_features_in_", 0)  # 0, too, of a CatBoost model that was read: it forgets the number
    if width and width != len(transformer.feature_names):
        raise BundleError(
            f"{folder}: the estimator takes {width} columns and the preprocessing makes "
            f"{len(transformer.feature_names)}; they are not of one model. Write the model again."
        )
    identity = hashlib.sha256(files.checksums(contents)).hexdigest()
    joins = tuple(_join(contents, name, folder) for name in sorted(contents, key=_number) if files.JOIN.fullmatch(name))
    decision = _decision(contents, estimator, target, folder)
    return Model(estimator, transformer, schema, target, _json(contents, files.CARD, folder), identity, joins, decision)


def _estimator(contents: Mapping[str, bytes], trusted: Sequence[str], folder: Path) -> Any:
    """The estimator, by skops or by its own library."""
    name = files.model_of(contents)
    if name == files.MODEL:
        from daskflow.bundle import trust  # skops and all of scikit-learn's estimators: a second that boosters need not

        with ignored(message="Trying to unpickle estimator"):  # said above, once
            return trust.build(contents[name], trusted, str(folder / name))
    return native.build(name, contents[name], _json(contents, files.ESTIMATOR, folder), trusted, str(folder / name))


def _decision(contents: Mapping[str, bytes], estimator: Any, target: Target, folder: Path) -> Decision:
    """The calibration and the threshold; format 1 has none."""
    if files.DECISION not in contents:
        return Decision()
    try:
        decision = Decision.load(_json(contents, files.DECISION, folder))
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{folder / files.DECISION} is not as daskflow writes it: {error!r}.") from error
    problem = misfit(decision, estimator, target)
    if problem:
        raise BundleError(f"{folder / files.DECISION} does not fit the model: {problem}. Write the model again.")
    return decision


def misfit(decision: Decision, estimator: Any, target: Target) -> str:
    """Say why a decision does not fit an estimator; empty when it does."""
    if decision.is_empty:
        return ""
    n_classes = len(target.classes)
    if n_classes < 2 or not hasattr(estimator, "predict_proba"):
        return "a calibration and a threshold need probabilities, which the estimator does not give"
    if decision.threshold is not None and n_classes > 2:
        return f"a threshold is for two classes, and there are {n_classes}"
    calibration = decision.calibration
    n_curves = 1 if n_classes == 2 or (calibration and calibration.kind == "temperature") else n_classes
    if calibration is not None and len(calibration.curves) != n_curves:
        return f"its calibration has {len(calibration.curves)} curves, where {n_curves} are needed"
    return ""


def _number(name: str) -> int:
    """The number in a file's name."""
    return int("".join(filter(str.isdigit, name)) or 0)


def _join(contents: Mapping[str, bytes], name: str, folder: Path) -> Join:
    """A small table."""
    from daskflow.data.joins import Join  # few models have one, and it brings the compiled loops of the scan

    try:
        return Join.load(contents[name])
    except (ValueError, KeyError, TypeError, pa.ArrowException) as error:
        raise BundleError(f"{folder / name} is not as daskflow writes it: {error!r}.") from error


def _json(contents: Mapping[str, bytes], name: str, folder: Path) -> dict[str, Any]:
    """A file's JSON object."""
    try:
        value = json.loads(contents[name])
    except ValueError as error:
        raise BundleError(f"{folder / name} is not JSON: {error}.") from error
    if not isinstance(value, dict):
        raise BundleError(f"{folder / name} holds no JSON object.")
    return value


def _target(saved: Mapping[str, Any]) -> Target:
    """The target, its labels in their own type."""
    kind = LABELS[saved["label_type"]] if saved["classes"] else str
    return Target(
        name=str(saved["name"]),
        task=Task(saved["task"]),
        classes=tuple(kind(label) for label in saved["classes"]),
        counts=tuple(int(count) for count in saved["counts"]),
    )


def _transformer(saved: Mapping[str, Any], trusted: Sequence[str], folder: Path) -> StoredTransformer:
    """The preprocessing, read by the class that wrote it if that one is trusted."""
    name = str(saved.get("class", ""))
    place, _, word = name.rpartition(".")
    refusal = BundleError(
        f"{folder / files.PREPROCESSOR} names '{name}', which is no preprocessing of daskflow's. "
        f"If you know where the model comes from, load it with trusted=[{name!r}]."
    )
    is_ours = place == PREPROCESSING or place.startswith(f"{PREPROCESSING}.")
    if not place or not (is_ours or name in trusted):
        raise refusal
    try:
        cls = getattr(importlib.import_module(place), word)
    except (ImportError, AttributeError) as error:
        raise BundleError(f"{folder / files.PREPROCESSOR} names '{name}', which is not installed here.") from error
    if not inspect.isclass(cls) or cls.__module__ != place or not hasattr(cls, "load"):
        raise refusal
    try:
        transformer: StoredTransformer = cls.load(saved["state"])
    except Exception as error:  # whatever a forged state makes it raise
        raise BundleError(
            f"{folder / files.PREPROCESSOR} cannot be read by {name}: {type(error).__name__}: {error}."
        ) from error
    _load_functions(transformer, trusted, folder)
    return transformer


def _load_functions(transformer: StoredTransformer, trusted: Sequence[str], folder: Path) -> None:
    """Import the functions that a preprocessing calls, once all of them were found trusted."""
    called = list(getattr(transformer, "functions", ()))
    unknown = [function for function in called if function not in trusted]
    if unknown:
        raise BundleError(
            f"{folder / files.PREPROCESSOR} calls functions that are not trusted: {', '.join(unknown)}. Importing them "
            f"runs code. If you know where the model comes from, load it with trusted={unknown!r}."
        )
    if called:
        try:
            transformer.load_functions()  # type: ignore[attr-defined]  # a preprocessing with functions has it
        except DataError as error:
            raise BundleError(f"{folder / files.PREPROCESSOR}: {error}") from error


def _warn_of_versions(written_with: Mapping[str, str], folder: Path) -> None:
    """Warn when scikit-learn is another version than the one that wrote the model."""
    then, now = written_with.get("scikit-learn"), version("scikit-learn")
    if then != now:
        warnings.warn(
            f"{folder} was written with scikit-learn {then}, and {now} is installed: predictions may differ. "
            f"Install scikit-learn=={then}, or train the model again.",
            UserWarning,
            stacklevel=3,
        )
