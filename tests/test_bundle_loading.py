"""A model folder is written whole, verified before anything is built, and runs no code of its own."""

from __future__ import annotations

import io
import json
import os
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import skops.io
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier, SGDRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from daskflow import bundle
from daskflow.bundle import files, trust
from daskflow.core.errors import BundleError, StorageError
from daskflow.data.schema import Column, ColumnKind, Schema, Target, Task
from tests.bundle_transformer import TRUSTED, PlainTransformer

COLUMNS = ("a", "b", "c")


class Ours(ClassifierMixin, BaseEstimator):
    """An estimator of the user's own module."""

    built = 0

    def fit(self, X: Any, y: Any) -> Ours:
        self.classes_, self.n_features_in_ = np.unique(y), X.shape[1]
        return self

    def predict(self, X: Any) -> Any:
        return np.ones(len(X), np.int64)

    def __setstate__(self, state: dict[str, Any]) -> None:
        type(self).built += 1
        self.__dict__.update(state)


class WithFunction(Ours):
    """An estimator that no file without pickle can hold."""

    def __init__(self) -> None:
        self.function = lambda x: x


def rows(n_rows: int = 120) -> Any:
    return np.random.default_rng(1).normal(size=(n_rows, len(COLUMNS))).astype(np.float32)


def written(folder: Path, estimator: Any = None, *, is_fitted: bool = False, **changed: Any) -> Path:
    """A model folder."""
    estimator = LogisticRegression() if estimator is None else estimator
    X = rows()
    is_regression = estimator._estimator_type == "regressor" if hasattr(estimator, "_estimator_type") else False
    is_regression = is_regression or "Regressor" in type(estimator).__name__ or isinstance(estimator, Ridge)
    if not is_fitted:
        estimator.fit(X, X[:, 0] if is_regression else (X[:, 0] > X[:, 1]).astype(np.int64))
    target = Target("y", Task.REGRESSION) if is_regression else Target("y", Task.BINARY, ("no", "yes"), (60, 60))
    parts: dict[str, Any] = {
        "transformer": PlainTransformer(list(COLUMNS), {}),
        "schema": Schema(tuple(Column(name, ColumnKind.NUMERIC, "float") for name in COLUMNS)),
        "target": target,
        "card": {"name": "t"},
    }
    bundle.write(folder, estimator=estimator, **{**parts, **changed})
    return folder


def resum(folder: Path) -> None:
    """Make the checksums fit whatever the folder holds, as an attacker would."""
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != files.CHECKSUMS}
    (folder / files.CHECKSUMS).write_bytes(files.checksums(contents))


def replaced(folder: Path, change: Callable[[Any], Any], **options: Any) -> None:
    """Rewrite the tree of types in the folder's skops file, and its checksum."""
    path = folder / files.MODEL
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries["schema.json"] = json.dumps(change(json.loads(entries["schema.json"]))).encode()
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    resum(folder)


# --- what is written is what is loaded


@pytest.mark.parametrize(
    "estimator",
    [
        SGDClassifier(loss="log_loss"),
        LogisticRegression(),
        HistGradientBoostingClassifier(max_iter=5),
        HistGradientBoostingClassifier(max_iter=5, categorical_features=[2]),
        RandomForestClassifier(n_estimators=5),
        RandomForestClassifier(n_estimators=5, max_leaf_nodes=6),
        MLPClassifier((4,), max_iter=5),
        DecisionTreeClassifier(max_depth=3),
        make_pipeline(StandardScaler(), PolynomialFeatures(), RandomForestClassifier(n_estimators=3)),
        BaggingClassifier(n_estimators=3, max_features=2),
        Ridge(),
        SGDRegressor(),
        HistGradientBoostingRegressor(max_iter=5),
        RandomForestRegressor(n_estimators=5),
        MLPRegressor(hidden_layer_sizes=(4,), solver="sgd", max_iter=5),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_models_of_scikit_learn_load_without_being_named(tmp_path: Path, estimator: Any) -> None:
    X = rows()
    if getattr(estimator, "categorical_features", None):
        X[:, 2] = np.abs(X[:, 2] * 3).astype(int)
        estimator.fit(X, (X[:, 0] > X[:, 2] % 2).astype(int))
    folder = written(tmp_path / "m", estimator, is_fitted=hasattr(estimator, "n_features_in_"))

    model = bundle.load_model(folder, trusted=TRUSTED)

    expected = estimator.predict(X)
    given = model.predict(pd.DataFrame(X, columns=list(COLUMNS)))
    if model.task == "regression":  # a model multiplies in float64 and in an order of its own, see `bundle.steady`
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-5)
    else:
        assert given.tolist() == [("no", "yes")[c] for c in expected]


def test_a_run_folder_and_the_name_of_a_run_lead_to_the_model(tmp_path: Path) -> None:
    run = tmp_path / "flights" / "0a1b"
    run.mkdir(parents=True)
    written(run / "model")
    (tmp_path / "flights" / "latest").write_text("0a1b\n")
    for path in (run / "model", run, tmp_path / "flights", str(run)):
        assert bundle.load_model(path, trusted=TRUSTED).task == "binary"


def test_the_sums_are_what_sha256sum_checks(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    done = subprocess.run(["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files.PARTS, files.CHECKSUMS])


def test_a_card_keeps_plain_values_and_null_for_nan(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", card={"metrics": {"auc": np.float64(0.5), "lost": float("nan")}})
    assert bundle.load_model(folder, trusted=TRUSTED).card == {"metrics": {"auc": 0.5, "lost": None}}


def test_a_model_written_again_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    written(tmp_path / "m", card={"n": 1})
    written(tmp_path / "m", card={"n": 2})
    assert bundle.load_model(tmp_path / "m", trusted=TRUSTED).card == {"n": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_a_write_that_fails_leaves_the_old_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path / "m", card={"n": 1})

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("daskflow.bundle.writing.write_atomically", full)
    with pytest.raises(StorageError, match="No space left"):
        written(tmp_path / "m", card={"n": 2})
    assert bundle.load_model(tmp_path / "m", trusted=TRUSTED).card == {"n": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_what_cannot_be_stored_without_pickle_is_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"WithFunction cannot be stored without pickle: .*function"):
        written(tmp_path / "m", WithFunction())
    assert list(tmp_path.iterdir()) == []


def test_labels_of_mixed_types_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="labels of 'y' are int, str"):
        written(tmp_path / "m", target=Target("y", Task.BINARY, (1, "yes"), (1, 1)))


# --- what is not what was written is refused


@pytest.mark.parametrize("name", files.PARTS)
def test_a_changed_byte_is_found_and_its_file_named(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "m")
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"{name} was changed"):
        bundle.load_model(folder, trusted=TRUSTED)


def test_missing_and_extra_files_are_named_at_once(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    (folder / files.CARD).unlink()
    (folder / "setup.py").write_text("")
    with pytest.raises(BundleError, match=r"card.json is missing; setup.py is not one of the model's files"):
        bundle.load_model(folder, trusted=TRUSTED)


@pytest.mark.parametrize(
    ("sums", "said"),
    [
        ("", "lists nothing"),
        ("nonsense\n", "line 1 is not a checksum"),
        (f"{'0' * 64}  ../../secret\n", "lists ../../secret"),
    ],
)
def test_damaged_sums_are_refused(tmp_path: Path, sums: str, said: str) -> None:
    folder = written(tmp_path / "m")
    (folder / files.CHECKSUMS).write_text(sums)
    with pytest.raises(BundleError, match=said):
        bundle.load_model(folder, trusted=TRUSTED)


def test_a_link_in_place_of_a_file_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    (folder / files.CARD).rename(tmp_path / "card.json")
    (folder / files.CARD).symlink_to(tmp_path / "card.json")
    with pytest.raises(BundleError, match=r"card\.json is not a plain file"):
        bundle.load_model(folder, trusted=TRUSTED)


def test_a_folder_without_a_model_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no model"):
        bundle.load_model(tmp_path)
    folder = written(tmp_path / "m")
    (folder / files.CHECKSUMS).unlink()
    with pytest.raises(BundleError, match="has no SHA256SUMS"):
        bundle.load_model(folder)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (files.SCHEMA, b"{", "is not JSON"),
        (files.SCHEMA, b"[]", "holds no JSON object"),
        (files.SCHEMA, b'{"format": 3}', "this daskflow reads 1 and 2"),
        (files.SCHEMA, b'{"format": 1}', "files of one format and the number of another"),
        (files.SCHEMA, b'{"format": 2}', "is not as daskflow writes it"),
        (files.PREPROCESSOR, b"{}", "names ''"),
    ],
)
def test_forged_descriptions_are_one_sentence(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    folder = written(tmp_path / "m")
    (folder / name).write_bytes(content)
    resum(folder)
    with pytest.raises(BundleError, match=said):
        bundle.load_model(folder, trusted=TRUSTED)


def test_parts_of_two_models_do_not_make_one(tmp_path: Path) -> None:
    folder, other = written(tmp_path / "m"), tmp_path / "o"
    written(other, LogisticRegression().fit(rows()[:, :2], np.arange(120) % 2), is_fitted=True)
    (folder / files.MODEL).write_bytes((other / files.MODEL).read_bytes())
    resum(folder)
    with pytest.raises(BundleError, match="takes 2 columns and the preprocessing makes 3"):
        bundle.load_model(folder, trusted=TRUSTED)


# --- no code of the folder runs


def test_types_of_others_are_listed_and_built_only_when_named(tmp_path: Path) -> None:
    name = f"{Ours.__module__}.Ours"
    folder = written(tmp_path / "m", Ours())
    Ours.built = 0
    with pytest.raises(BundleError, match=rf"not trusted: {name}.*trusted=\['{name}'\]"):
        bundle.load_model(folder, trusted=TRUSTED)
    assert Ours.built == 0
    assert isinstance(bundle.load_model(folder, trusted=[*TRUSTED, name]).estimator, Ours)


def test_a_pickle_in_place_of_the_model_does_not_run(tmp_path: Path) -> None:
    import pickle

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path / 'owned'}",)

    folder = written(tmp_path / "m")
    (folder / files.MODEL).write_bytes(pickle.dumps(Evil()))
    resum(folder)
    with pytest.raises(BundleError, match="cannot be read as a skops file"):
        bundle.load_model(folder, trusted=TRUSTED)
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("loader", ["ConstructorFromReduceNode", "ObjectNode", "FunctionNode", "TypeNode"])
def test_a_call_smuggled_into_the_types_does_not_run(tmp_path: Path, loader: str) -> None:
    folder = written(tmp_path / "m")
    mark = tmp_path / "owned"

    def call(tree: dict[str, Any]) -> dict[str, Any]:
        argument = json.loads(json.dumps(tree["content"]["content"]["C"]))
        argument.update(content=json.dumps(f"touch {mark}"), __class__="str")
        tree["content"]["content"]["C"] = {
            "__class__": "system",
            "__module__": "os",
            "__loader__": loader,
            "__id__": 99,
            "content": {
                "__class__": "tuple",
                "__module__": "builtins",
                "__loader__": "TupleNode",
                "content": [argument],
            },
        }
        return tree

    replaced(folder, call)
    with pytest.raises(BundleError, match=r"os\.system|cannot be read"):
        bundle.load_model(folder, trusted=TRUSTED)
    assert not mark.exists()


def test_object_arrays_inside_the_archive_are_not_unpickled(tmp_path: Path) -> None:
    mark = tmp_path / "owned"

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {mark}",)

    folder = written(tmp_path / "m")
    forged = io.BytesIO()
    np.save(forged, np.array([Evil()], dtype=object), allow_pickle=True)
    with zipfile.ZipFile(folder / files.MODEL) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(folder / files.MODEL, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, forged.getvalue() if name.endswith(".npy") else content)
    resum(folder)
    with pytest.raises(BundleError, match="cannot be built"):
        bundle.load_model(folder, trusted=TRUSTED)
    assert not mark.exists()


def test_an_archive_that_swells_is_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    replaced(folder, lambda tree: {**tree, "padding": "0" * 10_000_000}, compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(BundleError, match="compressed"):
        bundle.load_model(folder, trusted=TRUSTED)


@pytest.mark.parametrize(
    "name", ["os.system", "daskflow.core.journal.Journal", "subprocess.Popen", "daskflow.preprocess_evil.X"]
)
def test_a_preprocessing_of_another_package_is_not_imported(tmp_path: Path, name: str) -> None:
    folder = written(tmp_path / "m")
    (folder / files.PREPROCESSOR).write_text(json.dumps({"class": name, "state": {}}))
    resum(folder)
    with pytest.raises(BundleError, match=f"names '{name}'"):
        bundle.load_model(folder, trusted=TRUSTED)


def test_an_imported_name_is_no_preprocessing(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    (folder / files.PREPROCESSOR).write_text(json.dumps({"class": "daskflow.preprocess.Registry", "state": {}}))
    resum(folder)
    with pytest.raises(BundleError, match="no preprocessing of daskflow's"):
        bundle.load_model(folder)


def forest(change: Callable[[Any], None]) -> Any:
    """A forest with one tree whose node table was changed."""
    fitted = RandomForestClassifier(n_estimators=2, max_depth=3, random_state=0).fit(rows(), np.arange(120) % 2)
    change(fitted)
    return fitted


def set_node(fitted: Any, field: str, value: int) -> None:
    tree = fitted.estimators_[1].tree_
    state = tree.__getstate__()
    state["nodes"][0][field] = value
    tree.__setstate__(state)


def narrow(fitted: Any) -> None:
    fitted.n_features_in_ = 1
    for tree in fitted.estimators_:
        tree.n_features_in_ = 1


@pytest.mark.parametrize(
    "change",
    [
        lambda fitted: set_node(fitted, "left_child", 10**6),
        lambda fitted: set_node(fitted, "right_child", -7),
        lambda fitted: set_node(fitted, "left_child", 0),
        lambda fitted: set_node(fitted, "feature", 3),
        lambda fitted: set_node(fitted, "feature", -5),
        narrow,
    ],
    ids=[
        "child beyond the table",
        "negative child",
        "loop",
        "feature beyond the columns",
        "negative feature",
        "narrow",
    ],
)
def test_a_forged_forest_is_refused_before_it_is_used(tmp_path: Path, change: Callable[[Any], None]) -> None:
    content = skops.io.dumps(forest(change))
    with pytest.raises(BundleError, match="points outside its arrays"):
        trust.build(content, (), "model.skops")
    assert trust.build(content, (trust.TREE,), "model.skops").n_estimators == 2


@pytest.mark.parametrize(
    ("field", "value"), [("left", 10**6), ("right", 0), ("feature_idx", 99), ("is_categorical", 1)]
)
def test_forged_boosted_trees_are_refused(field: str, value: int) -> None:
    fitted = HistGradientBoostingRegressor(max_iter=2).fit(rows(), rows()[:, 0])
    fitted._predictors[1][0].nodes[field][0] = value
    with pytest.raises(BundleError, match="points outside its arrays"):
        trust.build(skops.io.dumps(fitted), (), "model.skops")


def test_trees_whose_use_is_not_checked_need_to_be_named() -> None:
    content = skops.io.dumps(GradientBoostingClassifier(n_estimators=2).fit(rows(), np.arange(120) % 2))
    with pytest.raises(BundleError, match="trees of GradientBoostingClassifier cannot be checked"):
        trust.build(content, (), "model.skops")
    assert trust.build(content, (trust.TREE,), "model.skops").n_estimators == 2


# --- versions


def test_another_scikit_learn_is_a_warning_that_names_both(tmp_path: Path) -> None:
    import sklearn

    folder = written(tmp_path / "m")
    path = folder / files.SCHEMA
    path.write_text(path.read_text().replace(f'"scikit-learn": "{sklearn.__version__}"', '"scikit-learn": "1.0.2"'))
    resum(folder)
    with pytest.warns(UserWarning, match=rf"written with scikit-learn 1.0.2, and {sklearn.__version__} is installed"):
        bundle.load_model(folder, trusted=TRUSTED)


def test_the_same_version_is_no_warning(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bundle.load_model(folder, trusted=TRUSTED)
