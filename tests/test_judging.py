"""`flow.evaluate` judges any fitted model on pandas and dask frames alike."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask_ml.wrappers import ParallelPostFit
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, mean_absolute_error, roc_auc_score
from sklearn.svm import LinearSVC

import daskflow as flow
from daskflow.core.errors import DataError, SettingsError


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    x, z = draw.normal(size=(2, 2_000))
    label = np.where(x - 0.5 * z + draw.logistic(size=2_000) > 0, "yes", "no")
    kind = np.where(x + z > 1.2, "high", np.where(x - z > 0.5, "low", "mid"))
    return pd.DataFrame({"x": x, "z": z, "label": label, "kind": kind, "value": 2 * x + z + draw.normal(size=2_000)})


def test_a_classifier_on_pandas_scores_as_scikit_learn_says(frame: pd.DataFrame) -> None:
    model = LogisticRegression().fit(frame[["x", "z"]], frame["label"])
    found = flow.evaluate(model, frame, target="label", metrics=["roc_auc", "log_loss", "accuracy"])
    said = model.predict_proba(frame[["x", "z"]])
    assert found["roc_auc"].value == pytest.approx(roc_auc_score(frame["label"] == "yes", said[:, 1]), abs=1e-9)
    assert found["log_loss"].value == pytest.approx(log_loss(frame["label"], said), abs=1e-9)
    assert found["accuracy"].value == pytest.approx(accuracy_score(frame["label"], model.predict(frame[["x", "z"]])))
    assert found["roc_auc"].low < found["roc_auc"].value < found["roc_auc"].high


@pytest.mark.parametrize("npartitions", [1, 3, 20])
def test_dask_frames_give_what_pandas_frames_give(frame: pd.DataFrame, npartitions: int) -> None:
    model = LogisticRegression().fit(frame[["x", "z"]], frame["kind"])
    columns = frame[["x", "z", "kind"]]
    whole = flow.evaluate(model, columns, target="kind", slices=["x"])
    parts = flow.evaluate(model, dd.from_pandas(columns, npartitions=npartitions), target="kind", slices=["x"])
    for name, score in whole.metrics.items():
        assert parts[name].value == pytest.approx(score.value, abs=1e-9)
    assert parts.n_rows == 2_000
    assert parts.details["confusion"] == whole.details["confusion"]


def test_a_table_of_files_is_judged_with_its_roles(frame: pd.DataFrame, tmp_path: Path) -> None:
    # given files of two columns, a target, a weight and a group
    model = LogisticRegression().fit(frame[["x", "z"]], frame["label"])
    told = frame[["x", "z", "label"]].assign(w=np.where(frame["x"] > 0, 2.0, 1.0), shop=np.arange(len(frame)) % 40)
    for number in range(3):
        told[number::3].to_parquet(tmp_path / f"part-{number}.parquet")
    # when
    table = flow.read(str(tmp_path / "*.parquet"), target="label", weight="w", group="shop")
    found = flow.evaluate(model, table, metrics=["accuracy"])["accuracy"]
    # then
    expected = flow.evaluate(model, told, target="label", weight="w", group="shop", metrics=["accuracy"])["accuracy"]
    assert found.value == pytest.approx(expected.value)
    assert found.high - found.low == pytest.approx(expected.high - expected.low, rel=0.5)


def test_arrays_of_numpy_and_dask_are_taken_as_x_and_y(frame: pd.DataFrame) -> None:
    X, y = frame[["x", "z"]].to_numpy(), frame["value"].to_numpy()
    model = LinearRegression().fit(X, y)
    expected = mean_absolute_error(y, model.predict(X))
    assert flow.evaluate(model, (X, y), metrics=["mae"])["mae"].value == pytest.approx(expected)
    chunked = da.from_array(X, chunks=(700, 1)), da.from_array(y, chunks=700)
    assert flow.evaluate(model, chunked, metrics=["mae"])["mae"].value == pytest.approx(expected)


@pytest.mark.parametrize(
    "model",
    [
        ParallelPostFit(LogisticRegression()),
        LinearSVC(),
        DummyClassifier(),
    ],
    ids=lambda model: type(model).__name__,
)
def test_any_estimator_of_scikit_learns_interface_is_judged(frame: pd.DataFrame, model: Any) -> None:
    model.fit(frame[["x", "z"]], frame["label"])
    found = flow.evaluate(model, frame, target="label", metrics=["accuracy"])
    expected = (model.predict(frame[["x", "z"]]) == frame["label"]).mean()
    assert found["accuracy"].value == pytest.approx(expected)


def test_empty_partitions_change_nothing(frame: pd.DataFrame) -> None:
    model = LogisticRegression().fit(frame[["x", "z"]], frame["label"])
    ordered = frame.sort_values("x", ignore_index=True)
    parts = dd.from_pandas(ordered, npartitions=6)
    kept = flow.evaluate(model, parts[parts["x"] > 0.5], target="label", metrics=["roc_auc"], slices=["z"])
    whole = flow.evaluate(model, ordered[ordered["x"] > 0.5], target="label", metrics=["roc_auc"])
    assert kept["roc_auc"].value == pytest.approx(whole["roc_auc"].value, abs=1e-9)
    assert sum(group["rows"] for group in kept.details["slices"]["columns"][0]["groups"]) == whole.n_rows
    with pytest.raises(DataError, match="no rows"):
        flow.evaluate(model, parts[parts["x"] > 100], target="label")


def test_a_table_that_lacks_features_is_refused_by_name(frame: pd.DataFrame) -> None:
    model = LogisticRegression().fit(frame[["x", "z"]], frame["label"])
    with pytest.raises(DataError, match="lacks 1 of the 2 columns that LogisticRegression needs: z"):
        flow.evaluate(model, frame.drop(columns="z"), target="label")


def test_weights_count(frame: pd.DataFrame) -> None:
    model = Ridge().fit(frame[["x"]], frame["value"])
    weighted = frame.assign(w=np.where(frame["x"] > 0, 3.0, 0.0))
    found = flow.evaluate(model, weighted, target="value", weight="w", metrics=["mae"])["mae"].value
    above = frame[frame["x"] > 0]
    assert found == pytest.approx(mean_absolute_error(above["value"], model.predict(above[["x"]])))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda f: f.assign(label=f["label"].where(f.index > 3)), DataError, "lacks a value in 4 of 2000 rows"),
        (lambda f: f.replace({"label": {"no": "perhaps"}}), DataError, "such as 'perhaps'"),
        (lambda f: f.drop(columns="label"), SettingsError, "there is no column 'label'"),
    ],
)
def test_a_truth_that_cannot_be_judged_by_is_refused(frame: pd.DataFrame, change: Any, error: Any, words: str) -> None:
    model = LogisticRegression().fit(frame[["x", "z"]], frame["label"])
    with pytest.raises(error, match=words):
        flow.evaluate(model, change(frame), target="label")


def test_metrics_of_another_task_and_arrays_without_names_are_refused(frame: pd.DataFrame) -> None:
    model = LinearRegression().fit(frame[["x", "z"]], frame["value"])
    with pytest.raises(SettingsError, match="roc_auc is for"):
        flow.evaluate(model, frame, target="value", metrics=["roc_auc"])
    with pytest.raises(DataError, match="Give a pandas or dask DataFrame"):
        flow.evaluate(model, frame.to_numpy(), target="value")
    with pytest.raises(SettingsError, match="is required"):
        flow.evaluate(model, frame)


def test_a_judgement_shows_itself_without_markup_of_the_data(frame: pd.DataFrame) -> None:
    model = LinearRegression().fit(frame[["x", "z"]], frame["value"])
    found = flow.evaluate(model, frame, target="value")
    assert "rmse" in repr(found)
    assert "2,000 rows" in found._repr_html_()
    assert list(found.to_frame().columns) == ["value", "low", "high"]
