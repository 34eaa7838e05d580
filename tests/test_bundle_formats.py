"""A model folder keeps boosters in their libraries' own formats, says what it decides and needs, and stays readable."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge, SGDClassifier

from daskflow import bundle
from daskflow.bundle import files, native, trees
from daskflow.bundle.trust import foreign_types_of
from daskflow.core.errors import BundleError
from daskflow.data.decision import Calibration, Decision
from daskflow.data.schema import Column, ColumnKind, Schema, Target, Task
from tests.bundle_transformer import TRUSTED, PlainTransformer

COLUMNS = ("a", "b", "c")
OLD = Path(__file__).parent / "model_of_format_1"


def rows(n_rows: int = 400) -> Any:
    """Numbers with gaps."""
    X = np.random.default_rng(2).normal(size=(n_rows, len(COLUMNS))).astype(np.float32)
    X[::7, 1] = np.nan
    return X


def codes(n_classes: int) -> Any:
    X = rows()
    return np.digitize(X[:, 0] + 0.5 * np.nan_to_num(X[:, 1]), np.linspace(-1, 1, n_classes - 1)).astype(np.int64)


def frame() -> pd.DataFrame:
    return pd.DataFrame(rows(), columns=list(COLUMNS))


class KeepsMissing(PlainTransformer):
    """The three columns as they are."""

    def matrix(self, table: Any, parts: Any = None) -> Any:
        columns = [np.asarray(table[name].to_pandas(), dtype=np.float32) for name in self.numbers]
        return np.ascontiguousarray(np.column_stack(columns))


NAMES = (*TRUSTED, f"{__name__}.KeepsMissing")


def written(folder: Path, estimator: Any, n_classes: int, **changed: Any) -> Path:
    """The folder of a fitted estimator."""
    task = {0: Task.REGRESSION, 2: Task.BINARY}.get(n_classes, Task.MULTICLASS)
    parts: dict[str, Any] = {
        "transformer": KeepsMissing(list(COLUMNS), {}),
        "schema": Schema(tuple(Column(name, ColumnKind.NUMERIC, "float") for name in COLUMNS)),
        "target": Target("y", task, tuple("abcdefg"[:n_classes]), (10,) * n_classes),
        "card": {"name": "t"},
    }
    bundle.write(folder, estimator=estimator, **{**parts, **changed})
    return folder


def resum(folder: Path) -> None:
    contents = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != files.CHECKSUMS}
    (folder / files.CHECKSUMS).write_bytes(files.checksums(contents))


# --- boosters in their own formats


def boosters() -> list[Any]:
    """Estimators with their numbers of classes; those of libraries that are installed."""
    import catboost
    import lightgbm
    import xgboost

    quiet = {"verbose": False, "thread_count": 1, "allow_writing_files": False, "iterations": 7}
    return [
        (xgboost.XGBClassifier(n_estimators=7, max_depth=3, n_jobs=1), 2),
        (xgboost.XGBClassifier(n_estimators=7, max_depth=3, n_jobs=1), 4),
        (xgboost.XGBRegressor(n_estimators=7, base_score=0.25, missing=-1.0, n_jobs=1), 0),
        (xgboost.XGBRegressor(n_estimators=7, booster="dart", rate_drop=0.5, num_parallel_tree=2, n_jobs=1), 0),
        (lightgbm.LGBMClassifier(n_estimators=7, verbose=-1, n_jobs=1), 2),
        (lightgbm.LGBMClassifier(n_estimators=7, verbose=-1, n_jobs=1, class_weight="balanced", deterministic=True), 4),
        (lightgbm.LGBMRegressor(n_estimators=12, num_leaves=5, verbose=-1, n_jobs=1, boosting_type="dart"), 0),
        (catboost.CatBoostClassifier(**quiet), 2),
        (catboost.CatBoostClassifier(**quiet), 4),
        (catboost.CatBoostRegressor(**quiet), 0),
    ]


@pytest.mark.parametrize("number", range(10))
def test_a_booster_in_its_own_format_predicts_the_same_to_the_last_bit(tmp_path: Path, number: int) -> None:
    # given
    estimator, n_classes = boosters()[number]
    estimator.fit(rows(), codes(n_classes) if n_classes else rows()[:, 0])
    library = type(estimator).__module__.partition(".")[0]
    # when
    folder = written(tmp_path / "m", estimator, n_classes)
    model = bundle.load_model(folder, trusted=[*NAMES, *foreign_types_of(folder)])
    # then
    names = {path.name for path in folder.iterdir()}
    assert names == {*files.COMMON, files.ESTIMATOR, files.CHECKSUMS, *(n for n in files.NATIVE if library in n)}
    assert type(model.estimator) is type(estimator)
    np.testing.assert_array_equal(model.estimator.predict(rows()), estimator.predict(rows()))
    if n_classes:
        np.testing.assert_array_equal(model.estimator.predict_proba(rows()), estimator.predict_proba(rows()))
        assert list(model.estimator.classes_) == list(range(n_classes))
        assert model.predict(frame()).tolist() == ["abcdefg"[code] for code in np.ravel(estimator.predict(rows()))]
    given = {name: value for name, value in estimator.get_params().items() if value is not None and value == value}
    assert {name: model.estimator.get_params()[name] for name in given} == given


def test_xgboost_and_lightgbm_load_without_being_named_and_catboost_does_not(tmp_path: Path) -> None:
    for number, trusts in ((0, True), (4, True), (7, False)):
        estimator, n_classes = boosters()[number]
        folder = written(tmp_path / str(number), estimator.fit(rows(), codes(n_classes)), n_classes)
        assert foreign_types_of(folder) == ([] if trusts else ["catboost.core.CatBoostClassifier"])
        if trusts:
            assert bundle.load_model(folder, trusted=NAMES).task == "binary"
        else:
            with pytest.raises(
                BundleError, match=r"not trusted: catboost.*unchecked.*trusted=\['catboost.core.CatBoostClassifier'\]"
            ):
                bundle.load_model(folder, trusted=NAMES)


def test_rounds_after_the_best_one_are_not_used(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    X, y = rows(), codes(2)
    noise = np.random.default_rng(0).integers(0, 2, len(y))
    for estimator in (
        xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, n_jobs=1).fit(
            X, y, eval_set=[(X, noise)], verbose=False
        ),
        lightgbm.LGBMClassifier(n_estimators=60, verbose=-1, n_jobs=1).fit(
            X, y, eval_set=[(X, noise)], callbacks=[lightgbm.early_stopping(3, verbose=False)]
        ),
    ):
        model = bundle.load_model(written(tmp_path / "m", estimator, 2), trusted=NAMES)
        np.testing.assert_array_equal(model.estimator.predict_proba(X), estimator.predict_proba(X))


def test_boosters_that_are_no_plain_trees_are_stored_by_skops(tmp_path: Path) -> None:
    import lightgbm
    import xgboost

    for estimator in (
        xgboost.XGBRegressor(n_estimators=3, booster="gblinear", n_jobs=1),
        lightgbm.LGBMRegressor(n_estimators=3, linear_tree=True, verbose=-1, n_jobs=1),
    ):
        folder = written(tmp_path / "m", estimator.fit(np.nan_to_num(rows()), rows()[:, 0]), 0)
        assert (folder / files.MODEL).exists()
        assert foreign_types_of(folder)


@cache
def splits_of_categories() -> Any:
    """A booster that splits by category, and its rows."""
    import lightgbm

    X = rows()
    X[:, 2] = np.abs(X[:, 2] * 3).astype(int)
    estimator = lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1, min_data_per_group=5)
    estimator.fit(X, (X[:, 2] % 2).astype(int), categorical_feature=[2])
    return estimator, X


def test_splits_by_category_are_kept(tmp_path: Path) -> None:
    estimator, X = splits_of_categories()
    saved = native.dump(estimator)
    assert saved is not None
    assert b"num_cat=1" in saved[1]
    loaded = native.build(*saved, (), "m")
    np.testing.assert_array_equal(loaded.predict_proba(X), estimator.predict_proba(X))


# --- forged trees


@cache
def stored(kind: str) -> Any:
    """A booster's file of its own, and what stands beside it."""
    import lightgbm
    import xgboost

    made = {
        "xgboost": xgboost.XGBClassifier(n_estimators=2, max_depth=2, n_jobs=1),
        "lightgbm": lightgbm.LGBMClassifier(n_estimators=3, num_leaves=5, verbose=-1, n_jobs=1),
    }[kind]
    return native.dump(made.fit(rows(), codes(2)))


def forged_json(change: Callable[[Any], None]) -> bytes:
    """xgboost's file with something changed."""
    learner = json.loads(stored("xgboost")[1])
    change(learner["learner"]["gradient_booster"]["model"])
    return json.dumps(learner).encode()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m["trees"][1]["left_children"].__setitem__(0, 10**6), "child outside"),
        (lambda m: m["trees"][1]["left_children"].__setitem__(0, 0), "child outside"),
        (lambda m: m["trees"][1]["right_children"].__setitem__(0, -7), "child outside"),
        (lambda m: m["trees"][1]["split_indices"].__setitem__(0, 3), "column that is not there"),
        (lambda m: m["trees"][1]["split_indices"].__setitem__(0, -1), "column that is not there"),
        (lambda m: m["trees"][1]["split_conditions"].pop(), "different lengths"),
        (lambda m: m["trees"][1]["split_type"].__setitem__(0, 1), "categories that are not there"),
        (lambda m: m["trees"][1]["tree_param"].__setitem__("num_feature", "9"), "another number of columns"),
        (lambda m: m["tree_info"].__setitem__(0, 5), "an output that is not there"),
        (lambda m: m["trees"].pop(), "another number of trees"),
        (lambda m: m["iteration_indptr"].__setitem__(1, 9), "not in order"),
        (lambda m: m["trees"][0]["left_children"].__setitem__(0, 1.5), "something else"),
    ],
)
def test_forged_trees_of_xgboost_are_refused_before_the_library_sees_them(
    tmp_path: Path, change: Callable[[Any], None], said: str
) -> None:
    trees.check_xgboost(forged_json(lambda model: None))
    saved = {"class": "xgboost.sklearn.XGBClassifier", "params": {}, "state": {}}
    with pytest.raises(BundleError, match=f"forged or damaged: .*{said}"):
        native.build("model.xgboost.json", forged_json(change), saved, (), "m")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (rb"left_child=\S+", b"left_child=9999", "child outside"),
        (rb"right_child=\S+", b"right_child=0", "child outside"),
        (rb"right_child=\S+", b"right_child=-99", "leaf outside"),
        (rb"split_feature=\S+", b"split_feature=3", "column that is not there"),
        (rb"decision_type=\S+", b"decision_type=1", "cat_boundaries"),
        (rb"leaf_value=\S+ ", b"leaf_value=", "different lengths"),
        (rb"num_leaves=\d+", b"num_leaves=77", "different lengths"),
        (rb"max_feature_idx=\d+", b"max_feature_idx=1", "another number of columns"),
        (rb"num_tree_per_iteration=1", b"num_tree_per_iteration=3", "numbers of classes"),
        (rb"tree_sizes=\d+", b"tree_sizes=17", "not as long as it says"),
        (rb"is_linear=0", b"is_linear=1", "no plain leaves"),
        (rb"Tree=1\n", b"Tree=8\n", "called 8|not as long"),
        (rb"end of trees", b"", "end is missing"),
        (rb"^tree\n", b"TREE\n", "does not begin"),
    ],
)
def test_forged_trees_of_lightgbm_are_refused_before_the_library_sees_them(old: bytes, new: bytes, said: str) -> None:
    saved = stored("lightgbm")
    content = re.sub(old, new, saved[1], count=1)
    assert content != saved[1]
    if b"tree_sizes" not in old:  # what is changed is as long as the file says
        length = content.index(b"Tree=", content.index(b"Tree=0") + 1) - content.index(b"Tree=0")
        content = re.sub(rb"tree_sizes=\d+", b"tree_sizes=%d" % length, content, count=1)
    with pytest.raises(BundleError, match=f"forged or damaged: .*({said})"):
        native.build(*saved[:1], content, saved[2], (), "m")


def test_categories_outside_of_their_list_are_refused() -> None:
    estimator, _ = splits_of_categories()
    saved = native.dump(estimator)
    assert saved is not None
    content = re.sub(rb"cat_boundaries=0 1", b"cat_boundaries=0 9", saved[1], count=1)
    assert content != saved[1]
    with pytest.raises(BundleError, match="categories outside"):
        native.build(saved[0], content, saved[2], (), "m")


@pytest.mark.parametrize("name", ["os.system", "xgboost.sklearn.XGBRanker", "lightgbm.sklearn.LGBMClassifier"])
def test_a_file_of_one_library_is_no_estimator_of_another(tmp_path: Path, name: str) -> None:
    saved = {"class": name, "params": {}, "state": {}}
    with pytest.raises(BundleError, match=f"said to be a '{name}'"):
        native.build("model.xgboost.json", b"{}", saved, [name], "m")


# --- what stands between probabilities and answers

ISOTONIC = Calibration("isotonic", (((0.0, 0.4, 1.0), (0.1, 0.2, 0.9)),))


def test_a_decision_is_kept_and_applied_to_every_answer(tmp_path: Path) -> None:
    # given
    estimator = LogisticRegression().fit(np.nan_to_num(rows()), codes(2))
    decision = Decision(ISOTONIC, 0.15)
    given = {"transformer": PlainTransformer(list(COLUMNS), {}), "decision": decision}
    model = bundle.load_model(written(tmp_path / "m", estimator, 2, **given), trusted=NAMES)
    # when
    raw = estimator.predict_proba(np.nan_to_num(rows()))[:, 1]
    expected = ISOTONIC.apply(raw)
    labels = ["b" if p >= 0.15 else "a" for p in expected]
    # then
    assert model.decision == decision
    assert model.predict_proba(frame())["b"].to_numpy() == pytest.approx(expected, rel=1e-6)
    assert model.predict(frame()).tolist() == labels
    first = frame().head(1)
    assert model.predict(first).tolist() == labels[:1]
    assert model.predict_one(first.iloc[0].to_dict()) == labels[0]
    assert model.predict_proba_one(first.iloc[0].to_dict())["b"] == model.predict_proba(frame())["b"].iloc[0]
    import pyarrow as pa

    table = pa.Table.from_pandas(frame())
    assert model.predictions(table).of("labels").tolist() == [int(label == "b") for label in labels]


def test_without_a_decision_the_answers_are_the_estimators(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(np.nan_to_num(rows()), codes(2))
    model = bundle.load_model(
        written(tmp_path / "m", estimator, 2, transformer=PlainTransformer(list(COLUMNS), {})), trusted=NAMES
    )
    assert model.decision.is_empty
    assert json.loads((tmp_path / "m" / files.DECISION).read_text()) == {"calibration": None, "threshold": None}


@pytest.mark.parametrize(
    ("estimator", "n_classes", "decision", "said"),
    [
        (Ridge(), 0, Decision(None, 0.5), "need probabilities"),
        (SGDClassifier(), 2, Decision(None, 0.5), "need probabilities"),
        (LogisticRegression(), 3, Decision(None, 0.5), "a threshold is for two classes, and there are 3"),
        (LogisticRegression(), 3, Decision(ISOTONIC), "1 curves, where 3 are needed"),
    ],
)
def test_a_decision_that_does_not_fit_is_refused_when_it_is_written_and_when_it_is_read(
    tmp_path: Path, estimator: Any, n_classes: int, decision: Decision, said: str
) -> None:
    estimator.fit(np.nan_to_num(rows()), codes(n_classes) if n_classes else rows()[:, 0])
    with pytest.raises(BundleError, match=said):
        written(tmp_path / "m", estimator, n_classes, decision=decision)
    folder = written(tmp_path / "m", estimator, n_classes)
    (folder / files.DECISION).write_text(json.dumps(decision.dump()))
    resum(folder)
    with pytest.raises(BundleError, match=said):
        bundle.load_model(folder, trusted=NAMES)


def test_a_forged_decision_is_one_sentence(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", LogisticRegression().fit(np.nan_to_num(rows()), codes(2)), 2)
    for text in ('{"threshold": 2, "calibration": null}', "{}", '{"calibration": {"kind": "x"}, "threshold": null}'):
        (folder / files.DECISION).write_text(text)
        resum(folder)
        with pytest.raises(BundleError, match=r"decision\.json is not as daskflow writes it"):
            bundle.load_model(folder, trusted=NAMES)


# --- older folders


@pytest.mark.filterwarnings("ignore:.*was written with scikit-learn")
def test_a_folder_of_format_1_is_still_read() -> None:
    model = bundle.load_model(OLD)
    given = pd.DataFrame(
        {"age": [68, 23, 29], "income": [1.751736223827358, 1.4576785081689014, None], "city": ["Oslo", "Lima", "Lima"]}
    )
    expected = [0.9939950108528137, 0.007312508299946785, 0.01853952743113041]
    assert model.predict_proba(given)["yes"].tolist() == pytest.approx(expected, rel=1e-6)
    assert model.predict(given).tolist() == ["yes", "no", "no"]
    assert model.decision.is_empty


def test_files_of_one_format_under_the_number_of_another_are_refused(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", LogisticRegression().fit(np.nan_to_num(rows()), codes(2)), 2)
    for name in (files.DECISION, files.CARD_TEXT, files.REQUIREMENTS):
        (folder / name).unlink()
    resum(folder)
    with pytest.raises(BundleError, match="files of one format and the number of another"):
        bundle.load_model(folder, trusted=NAMES)


# --- what a person reads

CARD = {
    "name": "late | flights",
    "run": "0a1b",
    "intended_use": "Plan crews.",
    "model": {"kind": "logistic"},
    "params": {"C": 0.5, "penalty": None},
    "search": {"metric": "roc_auc", "score": 0.81234, "trials": 12},
    "metrics": {"roc_auc": {"value": 0.8, "low": 0.79, "high": 0.81}, "f1": {"value": 0.4, "low": None, "high": None}},
    "rows": {"train": 8000, "validation": 0, "test": 2000},
    "split": {"kind": "group", "folds": 3},
    "data": "ffee",
    "source": {"kind": "csv", "derive": {"late": "delay > 15"}, "joins": [{}]},
    "decision": {
        "source": "out-of-fold",
        "calibration": {"before": {"ece": 0.04}, "after": {"ece": 0.01}},
        "threshold": {"rule": "f1", "before": {"f1": 0.3}, "after": {"f1": 0.4}},
    },
    "slices": {
        "metric": "roc_auc",
        "columns": [
            {"column": "<b>x", "groups": [{"group": "a|b", "rows": 12, "value": 0.7, "low": 0.6, "high": 0.8}]}
        ],
    },
    "worst_slices": [{"where": [{"column": "a", "group": "[1, 2)"}], "rows": 7, "value": 0.5, "low": 0.4, "high": 0.6}],
    "drift": [{"column": "a", "statistic": "KS", "value": 0.3, "bound": 0.1, "is_drifted": True}],
    "leaks": [{"column": "b", "text": "'b' alone predicts it."}],
    "warnings": ["One class has 3 rows."],
    "versions": {"python": "3.11.7", "scikit-learn": "1.9.1"},
}


def test_the_card_tells_everything_that_is_known(tmp_path: Path) -> None:
    estimator = LogisticRegression().fit(np.nan_to_num(rows()), codes(2))
    folder = written(tmp_path / "m", estimator, 2, card=CARD, decision=Decision(ISOTONIC, 0.25))
    text = (folder / files.CARD_TEXT).read_text()
    for said in (
        "# Model card: late \\| flights",
        "Plan crews.",
        "Parameters: `C = 0.5`.",
        "| `roc_auc` | 0.8 | 0.79 to 0.81 |",
        "| `f1` | 0.4 | – |",
        "8,000 training, 2,000 test",
        "split: group, 3 folds",
        "`late = delay > 15`",
        "12 candidates by `roc_auc` 0.8123",
        "calibrated (isotonic): `ece` 0.04 → 0.01",
        "*b* is answered from a probability of 0.25 on, chosen by f1: `f1` 0.3 → 0.4.",
        "Fitted on out-of-fold predictions",
        "| a\\|b | 12 | 0.7 | 0.6 to 0.8 |",
        "| a = \\[1, 2) | 7 | 0.5 | 0.4 to 0.6 |",
        "Suspicion of a leak: 'b' alone predicts it.",
        "**a** is distributed otherwise",
        "One class has 3 rows.",
        "scikit-learn 1.9.1",
        "flow.load_model",
        "| `a` | numbers | `float` |",
    ):
        assert said in text, said
    assert "<b>" not in text


def test_a_card_of_nothing_is_written_too(tmp_path: Path) -> None:
    folder = written(tmp_path / "m", Ridge().fit(np.nan_to_num(rows()), rows()[:, 0]), 0, card={})
    text = (folder / files.CARD_TEXT).read_text()
    assert "# Model card: unnamed" in text
    assert "There was no test part" in text


def test_the_requirements_are_what_loading_needs_and_no_more(tmp_path: Path) -> None:
    import lightgbm
    import sklearn

    folder = written(tmp_path / "m", LogisticRegression().fit(np.nan_to_num(rows()), codes(2)), 2)
    lines = [line for line in (folder / files.REQUIREMENTS).read_text().splitlines() if not line.startswith("#")]
    names = [re.split("[<>=]", line)[0] for line in lines]
    assert names == ["daskflow", "numpy", "pandas", "pyarrow", "pydantic", "scikit-learn", "scipy", "skops"]
    assert f"scikit-learn=={sklearn.__version__}" in lines
    estimator = lightgbm.LGBMClassifier(n_estimators=2, verbose=-1, n_jobs=1).fit(rows(), codes(2))
    other = (written(tmp_path / "n", estimator, 2) / files.REQUIREMENTS).read_text()
    assert f"\nlightgbm=={lightgbm.__version__}\n" in other
    assert "skops" not in other
