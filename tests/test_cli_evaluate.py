"""`daskflow evaluate`: a model judged on files whose truth has become known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from sklearn.metrics import roc_auc_score

import daskflow as flow
from daskflow.cli import main


def orders(seed: int, n_rows: int = 500) -> pd.DataFrame:
    """Orders whose delay, in hours, depends on the distance and the shop."""
    draw = np.random.default_rng(seed)
    shop = draw.choice(["north", "south"], n_rows, p=[0.7, 0.3])
    distance = draw.gamma(2.0, 10.0, n_rows)
    delay = distance + 20.0 * (shop == "south") + draw.normal(0, 15, n_rows)
    return pd.DataFrame({"shop": shop, "distance": distance.round(1), "delay": delay.round(2)})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run whose target is derived."""
    folder = tmp_path_factory.mktemp("orders")
    orders(0, 1_500).to_csv(folder / "orders.csv", sep=";", index=False)
    workflow = flow.Workflow(
        name="orders",
        data={
            "kind": "csv",
            "path": str(folder / "orders.csv"),
            "separator": ";",
            "derive": {"late": "delay > 30"},
            "target": "late",
            "drop": ["delay"],
        },
        split={"test": 0.2, "validation": 0.2},
        model={"kind": "logistic"},
        search="none",
        evaluation={"explain": False, "learning_curve": False},
        cluster="inline",
        cache={"folder": str(folder / "cache")},
    )
    return workflow.run(folder / "runs")


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, ["evaluate", *[str(word) for word in words]])


def test_new_files_are_judged_with_the_target_derived_as_in_training(run: Any, tmp_path: Path) -> None:
    # given two files
    frames = [orders(1), orders(2, 300)]
    for number, frame in enumerate(frames):
        frame.to_csv(tmp_path / f"new.{number}.csv", sep=";", index=False)
    # when
    result = call(run.path, tmp_path / "*.csv", "--metric", "roc_auc", "--metric", "accuracy", "--json")
    # then
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    rows = pd.concat(frames, ignore_index=True)
    said = run.model.predict_proba(rows)[True]
    assert found["rows"] == 800
    assert found["metrics"]["roc_auc"]["value"] == pytest.approx(roc_auc_score(rows["delay"] > 30, said), abs=1e-9)
    assert found["metrics"]["roc_auc"]["low"] < found["metrics"]["roc_auc"]["value"]


def test_groups_are_shown_and_words_are_for_people(run: Any, tmp_path: Path) -> None:
    orders(3).to_csv(tmp_path / "new.csv", sep=";", index=False)
    result = call(run.path, tmp_path / "new.csv", "--slice", "shop", "--metric", "accuracy")
    assert result.exit_code == 0, result.output
    assert "500 rows" in result.stdout
    assert "accuracy by shop" in result.stdout
    assert "south" in result.stdout


def test_files_without_the_truth_are_refused_by_a_sentence(run: Any, tmp_path: Path) -> None:
    orders(3).drop(columns="delay").to_csv(tmp_path / "new.csv", sep=";", index=False)
    result = call(run.path, tmp_path / "new.csv")
    assert result.exit_code in (1, 2)
    assert "delay" in result.output


def test_columns_that_are_not_there_are_named(run: Any, tmp_path: Path) -> None:
    orders(3).to_csv(tmp_path / "new.csv", sep=";", index=False)
    assert "did you mean 'shop'" in call(run.path, tmp_path / "new.csv", "--group", "shp").output
    assert "did you mean 'shop'" in call(run.path, tmp_path / "new.csv", "--slice", "shp").output
    assert "did you mean 'roc_auc'" in call(run.path, tmp_path / "new.csv", "--metric", "roc_uac").output


def test_rows_that_are_not_judged_and_levels_never_seen_are_said(run: Any, tmp_path: Path) -> None:
    frame = orders(4, 200).astype({"distance": object})
    frame.loc[3, "distance"] = "far"
    frame.loc[5, "shop"] = "east"
    frame.to_csv(tmp_path / "new.csv", sep=";", index=False)
    result = call(run.path, tmp_path / "new.csv", "--set", "on_bad_rows=reject", "--metric", "accuracy")
    assert result.exit_code == 0, result.output
    assert "199 rows" in result.stdout
    assert "1 rows were rejected" in result.stderr
    assert "shop: 1 rows have a level that the model has not seen" in result.stderr
