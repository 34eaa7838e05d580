"""Which types of a model file may be built, and whether the trees among them stay inside their arrays.

skops builds only what is on a list: scikit-learn's public estimators and plain data. It leaves out the node tables
of trees, because scikit-learn follows their indices without a check of bounds, so that a forged table crashes the
process (scikit-learn #34558). Here they are let in, and every index is checked before the model is handed out.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import skops.io

from daskflow.bundle import files, native
from daskflow.core.errors import BundleError

TREE = "sklearn.tree._tree.Tree"
BOOSTED_TREE = "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"
CHECKED = (TREE, BOOSTED_TREE)
"""Types that are let in and then checked by `check_trees`."""

PLAIN = (
    "daskflow.models.parts.estimators.PartitionEnsembleClassifier",
    "daskflow.models.parts.estimators.PartitionEnsembleRegressor",
    "daskflow.models.scaled.network.ScaledMLPRegressor",
    "daskflow.models.scaled.penalised.PenalisedRegressor",
    "functools.partial",
    "sklearn._loss.loss.HalfTweedieLoss",
    "sklearn._loss.loss.HalfTweedieLossIdentity",
    "sklearn.calibration._CalibratedClassifier",
    "sklearn.calibration._SigmoidCalibration",
    "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
    "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
    "sklearn.utils.validation.check_array",
)
"""Our own estimators, and what scikit-learn's estimators hold besides: it holds numbers and other checked objects, and
runs nothing when built. A ``partial`` is of a function that stands on a list itself."""

CHECKED_OWNERS = ("sklearn.ensemble._forest", "sklearn.ensemble._hist_gradient_boosting", "sklearn.tree")
"""Modules of the estimators that use a tree only after the number of columns was checked."""

UNCHECKED_OWNERS = ("sklearn.ensemble._gb", "sklearn.ensemble._iforest")
"""Modules of those that reach into their trees, past the estimators around them."""


def build(content: bytes, trusted: Iterable[str], place: str) -> Any:
    """Build the estimator of a model file, after every type in it was found trusted.

    Parameters
    ----------
    content : bytes
        A skops file.
    trusted : iterable of str
        Full names of further types that the caller trusts.
    place : str
        The file's name, for messages.

    Raises
    ------
    BundleError
        When it is no skops file, swells when unpacked, holds types that are not trusted (they are listed), or trees
        that point outside their arrays. No code of a type that is not trusted has run.
    """
    accepted = set(trusted)
    try:
        _check_archive(content, place)
        refused = [name for name in foreign_types(content) if name not in accepted]
    except BundleError:
        raise
    except Exception as error:  # the reader raises many kinds on a forged file; all mean the same to the caller
        raise BundleError(f"{place} cannot be read as a skops file: {type(error).__name__}: {error}.") from error
    if refused:
        raise BundleError(
            f"{place} holds types that are not trusted: {', '.join(refused)}. Building them could run code. "
            f"If you know where the model comes from, load it with trusted={refused!r}."
        )
    try:
        estimator = skops.io.loads(content, trusted=[*CHECKED, *PLAIN, *accepted])
    except Exception as error:
        raise BundleError(
            f"{place} cannot be built with the libraries installed here: {type(error).__name__}: {error}. "
            "card.json lists the versions it was written with."
        ) from error
    check_trees(estimator, accepted, place)
    return estimator


def foreign_types(content: bytes) -> list[str]:
    """Return the full names of the types in a model file that are built only when the caller trusts them."""
    return [name for name in skops.io.get_untrusted_types(data=content) if name not in (*CHECKED, *PLAIN)]


def foreign_types_of(folder: Path) -> list[str]:
    """Return the same for a model folder; nothing of it is built. Empty where there is no model."""
    for name in (files.MODEL, *files.NATIVE):
        path = folder / name
        if path.exists() and name == files.MODEL:
            return foreign_types(path.read_bytes())
        if path.exists():
            return native.foreign_types(name, json.loads((folder / files.ESTIMATOR).read_text()))
    return []


def _check_archive(content: bytes, place: str) -> None:
    """Refuse an archive that unpacks to more than it weighs: `write` stores without compression."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        size = sum(item.file_size for item in archive.infolist())
        twice = len(archive.namelist()) != len(set(archive.namelist()))
    if size > len(content) or twice:
        raise BundleError(f"{place} is not as daskflow writes it: its entries are compressed, overlap or stand twice.")


def check_trees(estimator: Any, accepted: Container[str], place: str) -> None:
    """Check that trees inside an estimator, but those accepted, stay within their nodes and the columns they are given.

    Raises
    ------
    BundleError
        When one does not, or when its owner uses trees in a way that is not checked here.
    """
    for tree, owner, n_columns in _trees(estimator, None, 0, set()):
        module = type(owner).__module__
        name = _name(tree)
        if name in accepted:
            continue
        if not module.startswith(CHECKED_OWNERS):
            raise BundleError(
                f"{place}: the trees of {type(owner).__name__} cannot be checked. "
                f"If you know where the model comes from, load it with trusted=[{name!r}]."
            )
        good = _tree_is_whole(tree, n_columns) if name == TREE else _boosted_tree_is_whole(tree, owner, n_columns)
        if not good:
            raise BundleError(f"{place} holds a tree that points outside its arrays; the file was forged or damaged.")


def _name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__name__}"


def _trees(value: Any, owner: Any, n_columns: int, seen: set[int]) -> Iterator[tuple[Any, Any, int]]:
    """Yield every tree below a value with the estimator that uses it and the number of columns it will be given."""
    if isinstance(value, str | bytes | int | float | None) or id(value) in seen:
        return
    seen.add(id(value))
    if _name(value) in CHECKED:
        yield value, owner, n_columns
        return
    if isinstance(value, Mapping):
        children: Iterable[Any] = value.values()
    elif isinstance(value, list | tuple | set):
        children = value
    elif isinstance(value, np.ndarray):
        children = value.ravel() if value.dtype == object else ()
    else:
        children = getattr(value, "__dict__", {}).values()
        given = getattr(value, "n_features_in_", None)
        if isinstance(given, int | np.integer) and not type(owner).__module__.startswith(UNCHECKED_OWNERS):
            # A forest hands its columns on without a second check, so its own number counts for its trees too.
            is_forest = type(owner).__module__ == "sklearn.ensemble._forest"
            owner, n_columns = value, min(n_columns, int(given)) if is_forest else int(given)
    for child in children:
        yield from _trees(child, owner, n_columns, seen)


def _tree_is_whole(tree: Any, n_columns: int) -> bool:
    """Whether children stand after their parents and inside the table, and features inside the columns."""
    if tree.node_count != tree.capacity or tree.node_count < 1:
        return False
    left, right = tree.children_left, tree.children_right
    # scikit-learn follows the left child until it is -1, whatever the right one says.
    inner = left != -1
    return _are_inside(left[inner], right[inner], np.flatnonzero(inner), len(left)) and _are_columns(
        tree.feature[inner], n_columns
    )


def _boosted_tree_is_whole(tree: Any, owner: Any, n_columns: int) -> bool:
    """The same for a tree of histogram boosting, and its splits by category inside their bitsets."""
    nodes, bitsets = tree.nodes, tree.raw_left_cat_bitsets
    if nodes.ndim != 1 or not len(nodes) or bitsets.ndim != 2 or bitsets.shape[1] != 8:
        return False
    inner = nodes["is_leaf"] == 0
    split = nodes[inner]
    categorical = split[split["is_categorical"] != 0]
    if len(categorical):
        flags = np.asarray(owner._bin_mapper.is_categorical_)
        fits = flags.shape == (n_columns,) and flags.any() and (categorical["bitset_idx"] < len(bitsets)).all()
        if not fits:
            return False
    return _are_inside(split["left"], split["right"], np.flatnonzero(inner), len(nodes)) and _are_columns(
        split["feature_idx"], n_columns
    )


def _are_inside(left: Any, right: Any, places: Any, n_nodes: int) -> bool:
    children = np.concatenate([left, right]).astype(np.int64)
    parents = np.concatenate([places, places])
    return bool(((children > parents) & (children < n_nodes)).all())


def _are_columns(features: Any, n_columns: int) -> bool:
    return bool(((features >= 0) & (features < n_columns)).all())
