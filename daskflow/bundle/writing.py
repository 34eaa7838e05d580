"""Writing a model folder: all of it, or nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from platform import python_version
from typing import Any

import numpy as np
import skops.io

import daskflow
from daskflow.bundle import files, native, trust
from daskflow.bundle.card_text import card_text
from daskflow.bundle.loading import LABELS, misfit
from daskflow.bundle.model import StoredTransformer
from daskflow.bundle.requirements import requirements
from daskflow.core.errors import BundleError, StorageError
from daskflow.core.journal import plain, write_atomically
from daskflow.core.warned import ignored
from daskflow.data.decision import Decision
from daskflow.data.joins import Join
from daskflow.data.schema import Schema, Target

LIBRARIES = ("scikit-learn", "skops", "numpy", "scipy")
"""Libraries whose versions decide whether and how a model loads."""


def write(
    folder: Path,
    *,
    estimator: Any,
    transformer: StoredTransformer,
    schema: Schema,
    target: Target,
    card: Mapping[str, Any],
    joins: Sequence[Join] = (),
    decision: Decision | None = None,
) -> None:
    """Write a fitted model as a folder that `load_model` reads without running code.

    Parameters
    ----------
    folder : Path
        A model that is there already is replaced.
    estimator : scikit-learn estimator
        Fitted on class codes 0..k-1, or on numbers. Those of xgboost, lightgbm and catboost are stored in their
        libraries' own formats, all others by skops.
    transformer : StoredTransformer
        Fitted; its class stands at the top of a module.
    schema : Schema
        The feature columns.
    target : Target
        Its labels are bool, int, float or str, all of one type.
    card : mapping
        Plain values: metrics, data, versions, parameters; not-a-number becomes null. ``card.md`` is written from it;
        `daskflow.bundle.card_text` says which keys it tells of.
    joins : sequence of Join
        Small tables that new rows are joined to before they are scored.
    decision : Decision, optional
        Calibration and threshold between the estimator's probabilities and the answers; default none.

    Raises
    ------
    BundleError
        When the estimator cannot be stored without pickle, with the reason; when the decision does not fit it.
    StorageError
        When the folder cannot be written.
    """
    decision = decision or Decision()
    problem = misfit(decision, estimator, target)
    if problem:
        raise BundleError(f"The decision does not fit the model: {problem}.")
    plain_card = plain(card)
    made = _estimator(estimator)
    name = files.model_of(made)
    contents = {
        **made,
        files.PREPROCESSOR: _text({"class": _name_of(transformer), "state": transformer.dump()}),
        files.SCHEMA: _text(
            {
                "format": files.FORMAT,
                "features": schema.dump(),
                "target": _target(target),
                "written_with": {
                    "daskflow": daskflow.__version__,
                    "python": python_version(),
                    **{library: version(library) for library in LIBRARIES},
                },
            }
        ),
        files.DECISION: _text(decision.dump()),
        files.CARD: _text(plain_card),
        files.CARD_TEXT: card_text(plain_card, estimator, schema, target, decision).encode(),
        files.REQUIREMENTS: requirements(estimator, is_native=name != files.MODEL).encode(),
        **{f"join-{number}.arrow": join.dump() for number, join in enumerate(joins)},
    }
    _place(Path(folder), {**contents, files.CHECKSUMS: files.checksums(contents)})


def _estimator(estimator: Any) -> dict[str, bytes]:
    """The estimator's files: its library's own, or one of skops that was read back once, so that it can be loaded."""
    own = native.dump(estimator)
    if own is not None:
        name, content, saved = own
        return {name: content, files.ESTIMATOR: native.dumps(saved)}
    try:
        with ignored():
            content = skops.io.dumps(estimator)
            trust.build(content, skops.io.get_untrusted_types(data=content), files.MODEL)
    except Exception as error:  # third-party estimators fail in their own ways
        raise BundleError(
            f"{type(estimator).__name__} cannot be stored without pickle: {type(error).__name__}: {error}. "
            "Leave functions and open resources out of its parameters, or choose another estimator."
        ) from error
    return {files.MODEL: content}


def _name_of(transformer: StoredTransformer) -> str:
    """Full name of the class that reads the preprocessing."""
    cls = type(transformer)
    if "." in cls.__qualname__:
        raise BundleError(f"{cls.__qualname__} cannot be found by its name; define the class at the top of a module.")
    return f"{cls.__module__}.{cls.__qualname__}"


def _target(target: Target) -> dict[str, Any]:
    """The target with its labels as JSON values of a named type."""
    labels = [label.item() if isinstance(label, np.generic) else label for label in target.classes]
    types = sorted({type(label).__name__ for label in labels})
    if len(types) > 1 or not set(types) <= set(LABELS):
        raise BundleError(
            f"The labels of '{target.name}' are {', '.join(types)}; a model can keep labels of one type out of "
            f"{', '.join(LABELS)}. Convert the target."
        )
    return {
        "name": target.name,
        "task": str(target.task),
        "label_type": types[0] if types else "",
        "classes": labels,
        "counts": [int(count) for count in target.counts],
    }


def _text(value: Any) -> bytes:
    return (json.dumps(value, indent=1, allow_nan=False) + "\n").encode()


def _place(folder: Path, contents: Mapping[str, bytes]) -> None:
    """Write the files into a folder beside the place, and move it there."""
    fresh = folder.with_name(f".{folder.name}.{os.getpid()}.new")
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    try:
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
        fresh.mkdir(parents=True)
        for name, content in contents.items():
            write_atomically(fresh / name, content)
        if folder.exists():
            folder.rename(old)
        fresh.rename(folder)
    except OSError as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if old.exists() and not folder.exists():
            old.rename(folder)
        raise StorageError(f"{folder} cannot be written: {error.strerror or error}.") from error
    shutil.rmtree(old, ignore_errors=True)
