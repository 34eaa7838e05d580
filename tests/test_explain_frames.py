"""Explanations of a loaded model on pandas and dask frames: the calls of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge

import daskflow as flow
from daskflow import bundle
from daskflow.core.errors import DataError
from tests.explained import fitted_model, mixed_frame


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> bundle.Model:
    """A model that went through its folder."""
    folder = tmp_path_factory.mktemp("explained") / "model"
    made = fitted_model(LogisticRegression(max_iter=500), mixed_frame(), "y")
    bundle.write(
        folder, estimator=made.estimator, transformer=made.transformer, schema=made.schema, target=made.target, card={}
    )
    return flow.load_model(folder)


def test_importance_of_a_frame(model: bundle.Model) -> None:
    # given rows the model has not seen, some of them without the truth
    frame = mixed_frame(500, seed=1)
    frame.loc[:20, "y"] = None
    # when
    found = flow.explain.importance(model, frame, target="y", metric="log_loss", seed=3)
    # then
    assert found.index.name == "column"
    assert sorted(found.index) == sorted(model.schema.names)
    assert found.loc["idle", "low"] <= 0.002
    assert found["value"].is_monotonic_decreasing
    assert found.attrs["details"]["rows"] == 479
    assert found.attrs["details"]["metric"] == "log_loss"


def test_weights_groups_and_a_metric_object_are_taken(model: bundle.Model) -> None:
    frame = mixed_frame(300, seed=1).assign(w=1.0, family=np.arange(300) // 3)
    plain = flow.explain.importance(model, frame, target="y", metric=flow.metrics.RocAuc())
    found = flow.explain.importance(
        model, frame, target="y", weight="w", group="family", groups={"both": ["size", "city"]}
    )
    assert "both" in found.index
    assert found.loc["rooms", "value"] == pytest.approx(plain.loc["rooms", "value"])
    assert found.loc["rooms", "low"] != plain.loc["rooms", "low"]


def test_dependence_of_a_frame(model: bundle.Model) -> None:
    found = flow.explain.dependence(model, mixed_frame(seed=1), columns=["city", "rooms"])
    assert list(found.columns) == ["column", "output", "value", "mean", "low", "high", "share"]
    assert found["output"].unique().tolist() == ["probability of class 1"]
    rooms = found[found["column"] == "rooms"]
    assert rooms["value"].tolist() == list(range(1, 9))
    assert rooms["mean"].is_monotonic_increasing
    assert [entry["column"] for entry in found.attrs["details"]] == ["city", "rooms"]


def test_shap_of_a_frame_adds_up_to_the_model_s_own_probability(model: bundle.Model) -> None:
    frame = mixed_frame(seed=1).set_index(np.arange(400) * 2 + 7)
    found = flow.explain.shap(model, frame, rows=30)
    p = model.predict_proba(frame.loc[found.index])["class 1"]
    assert found.attrs["output"] == "log-odds of class 1"
    assert np.allclose(1 / (1 + np.exp(-found.sum(axis=1) - found.attrs["base"])), p, atol=1e-6)


def test_a_dask_frame_of_one_part_is_the_pandas_frame_and_of_many_a_random_sample(model: bundle.Model) -> None:
    frame = mixed_frame(400, seed=1)
    here = flow.explain.importance(model, frame, target="y", rows=150, repeats=2)
    whole = flow.explain.importance(model, dd.from_pandas(frame, npartitions=1), target="y", rows=150, repeats=2)
    assert here.equals(whole)
    assert here.attrs["details"]["rows"] == 150
    # and of parts of unequal length every row is as likely
    parts = dd.concat([dd.from_pandas(frame.iloc[:40], npartitions=1), dd.from_pandas(frame.iloc[40:], npartitions=3)])
    taken = np.concatenate(
        [flow.explain.shap(model, parts, rows=100, seed=seed).index.to_numpy() for seed in range(20)]
    )
    assert len(taken) == 2000
    assert 130 < (taken < 40).sum() < 270
    assert len(np.unique(taken)) > 380


@pytest.mark.slow
def test_a_cluster_gives_the_same(model: bundle.Model, client: Any) -> None:
    frame = mixed_frame(200, seed=1)
    here = flow.explain.importance(model, frame, target="y", repeats=1)
    assert here.equals(flow.explain.importance(model, frame, target="y", repeats=1, client=client))


def test_columns_that_are_named_by_numbers_are_found() -> None:
    frame = mixed_frame(200)[["size", "rooms", "y"]]
    frame["size"] = frame["size"].fillna(1.0)
    made = fitted_model(LogisticRegression(), frame.set_axis(["0", "1", "y"], axis=1), "y")
    found = flow.explain.importance(made, frame.set_axis([0, 1, "y"], axis=1), target="y")
    assert sorted(found.index) == ["0", "1"]


def test_numbers_are_explained_too() -> None:
    frame = mixed_frame(300, n_classes=0)
    made = fitted_model(Ridge(), frame, "y")
    assert flow.explain.importance(made, frame, target="y").attrs["details"]["metric"] == "rmse"
    assert flow.explain.shap(made, frame).attrs["output"] == "prediction"


def test_what_is_wrong_with_a_frame_is_said(model: bundle.Model) -> None:
    frame = mixed_frame(50)
    with pytest.raises(DataError, match="lacks 'y'"):
        flow.explain.importance(model, frame.drop(columns="y"), target="y")
    with pytest.raises(DataError, match="'maybe', which is no class of the model"):
        flow.explain.importance(model, frame.assign(y="maybe"), target="y")
    with pytest.raises(DataError, match="stand twice in the frame: 'city'"):
        flow.explain.shap(model, pd.concat([frame, frame[["city"]]], axis=1))
    with pytest.raises(DataError, match="no rows"):
        flow.explain.dependence(model, frame.iloc[:0])
    with pytest.raises(DataError, match="pandas or dask DataFrame"):
        flow.explain.shap(model, frame.to_numpy())


@pytest.mark.slow
def test_a_real_table_s_explanations_agree_on_what_matters(shared_data: Path) -> None:
    # given credit card clients, and a forest
    table = pd.read_csv(next((shared_data / "credit_default").glob("*.csv.gz")), nrows=9000).drop(columns="ID")
    table = table.rename(columns={"default.payment.next.month": "late"})
    table["late"] = table["late"].map({0: "no", 1: "yes"})
    table["GENDER"] = table["GENDER"].astype(str)
    made = fitted_model(RandomForestClassifier(30, max_depth=8, random_state=0), table.iloc[:6000], "late")
    test = table.iloc[6000:]
    # when
    importance = flow.explain.importance(made, test, target="late", repeats=3)
    shap = flow.explain.shap(made, test, rows=200)
    dependence = flow.explain.dependence(made, test, columns=["PAY_0"])
    # then the last month's delay leads in all of them, and more delay means more risk
    assert importance.index[0] == "PAY_0"
    assert importance.loc["PAY_0", "low"] > 0.02
    assert shap.abs().mean().idxmax() == "PAY_0"
    assert dependence["mean"].iloc[-1] > dependence["mean"].iloc[0] + 0.1
    # and delays of neighbouring months are said to go together
    assert {"BILL_AMT1", "BILL_AMT2"} in [set(pair[:2]) for pair in importance.attrs["details"]["associated"]]
