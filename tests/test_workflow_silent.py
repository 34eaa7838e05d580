"""Whole runs over what gives wrong results elsewhere without a word: shuffled frames, sorted files, odd labels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import daskflow as flow
from daskflow import models
from daskflow.data.splits import TEST, Split
from daskflow.workflow import Workflow
from tests.small_tables import prepared, ranges_of


def rows(n_rows: int = 2_000) -> pd.DataFrame:
    """Rows that are told apart by a number."""
    draw = np.random.default_rng(4)
    frame = pd.DataFrame({"row": np.arange(n_rows), "k": draw.integers(0, 50, n_rows), "x": draw.normal(size=n_rows)})
    frame["y"] = (frame["x"] + draw.normal(scale=0.5, size=n_rows) > 0).astype(int)
    return frame


SHUFFLES: dict[str, Callable[[dd.DataFrame], dd.DataFrame]] = {
    "shuffle": lambda lazy: lazy.shuffle("k"),
    "set_index": lambda lazy: lazy.set_index("k").reset_index(),
    "sort_values": lambda lazy: lazy.sort_values("x"),
    "merge": lambda lazy: lazy.merge(
        dd.from_pandas(pd.DataFrame({"k": range(50), "z": range(50)}), npartitions=3), on="k"
    ).drop(columns="z"),
}


def sides(lazy: dd.DataFrame, store: Path, scheduler: str) -> pd.DataFrame:
    """Every row with its segment, from a scan of its own."""
    # Another test's client would make shuffles those of a cluster, which these schedulers are not.
    with dask.config.set({"scheduler": scheduler, "dataframe.shuffle.method": "tasks"}):
        found = prepared(flow.sources.Frame(frame=lazy, target="y").table(), store, Split(test=0.2, folds=2))
    return ranges_of(found).to_pandas()


@pytest.mark.parametrize("operation", SHUFFLES)
def test_train_and_test_are_disjoint_and_complete_after_any_shuffle_and_in_every_computation(
    operation: str, tmp_path: Path
) -> None:
    # given a frame whose partitions hold their rows in another order each time they are computed
    frame = rows()
    lazy = SHUFFLES[operation](dd.from_pandas(frame, npartitions=8))
    # when it is split twice, from separate computations by different schedulers, and once without Dask
    once, again = sides(lazy, tmp_path / "a", "threads"), sides(lazy, tmp_path / "b", "synchronous")
    plain = sides(dd.from_pandas(frame, npartitions=1), tmp_path / "c", "synchronous")
    # then each row stands on one side, none is lost, and it is the same side every time
    assert once.shape == again.shape == plain.shape
    found = [frame.set_index("row")["segment"].sort_index() for frame in (once, again, plain)]
    assert all(part.index.tolist() == list(range(2_000)) for part in found)
    assert found[0].equals(found[1])
    assert found[0].equals(found[2])
    assert (once["segment"] == TEST).sum() == 400


def run_over(folder: Path, frame: pd.DataFrame, parts: list[pd.DataFrame], **changes: Any) -> flow.Run:
    """Write the parts as files, and run a small workflow over them."""
    (folder / "in").mkdir(parents=True)
    for number, part in enumerate(parts):
        part.to_csv(folder / "in" / f"part{number}.csv", index=False)
    settings: dict[str, Any] = {
        "data": {"kind": "csv", "path": str(folder / "in" / "*.csv"), "target": "y", "drop": ["row"]},
        "split": {"test": 0.2, "folds": 2},
        "model": "logistic",
        "search": "none",
        "metrics": ["accuracy"],
        "cluster": "inline",
        "cache": {"folder": str(folder / "cache")},
    }
    return Workflow(**settings | changes).run(folder / "runs")


def test_files_sorted_by_class_give_the_model_of_shuffled_ones(tmp_path: Path) -> None:
    # given the same rows in files of one class each, and shuffled; and a model that learns block by block
    frame = rows(1_200)
    ordered = [part for _, part in frame.groupby("y")]
    shuffled = np.array_split(np.random.default_rng(0).permutation(len(frame)), 3)
    search = {"kind": "hyperband", "max_iter": 3, "metric": "accuracy"}
    # when
    one = run_over(tmp_path / "ordered", frame, ordered, model="sgd", search=search)
    other = run_over(tmp_path / "shuffled", frame, [frame.iloc[p] for p in shuffled], model="sgd", search=search)
    # then
    assert [trial.score for trial in one.trials] == [trial.score for trial in other.trials]
    assert one.metrics["accuracy"].value == other.metrics["accuracy"].value > 0.8


@pytest.mark.parametrize("labels", [(0, 1), (1, 2), (-1, 1), (2, 5, 9), ("no", "yes")], ids=str)
def test_labels_of_any_values_are_learned_and_come_back(labels: tuple[Any, ...], tmp_path: Path) -> None:
    # given classes a line tells apart
    frame = rows(900)
    codes = np.digitize(frame["x"], np.quantile(frame["x"], np.arange(1, len(labels)) / len(labels)))
    frame["y"] = [labels[code] for code in codes]
    # when
    run = run_over(tmp_path, frame, [frame])
    # then
    assert set(run.model.predict(frame)) == set(labels)
    assert (run.model.predict(frame).to_numpy() == frame["y"].to_numpy()).mean() > 0.95
    assert run.metrics["accuracy"].value > 0.9


def test_the_intercept_of_a_logistic_model_is_not_regularised() -> None:
    # given one class that is rare, and strong regularisation
    draw = np.random.default_rng(1)
    X = draw.normal(size=(4_000, 5))
    y = (X[:, 0] + draw.normal(size=4_000) > 1.8).astype(int)
    # when
    found = models.parse("logistic").estimator("binary", {"C": 0.001}, seed=0).fit(X, y)
    # then it is that of scikit-learn, and predicts as many as there are
    expected = LogisticRegression(C=0.001, max_iter=1000).fit(X, y)
    assert found.intercept_ == pytest.approx(expected.intercept_, rel=1e-9)
    assert found.predict_proba(X)[:, 1].mean() == pytest.approx(y.mean(), rel=1e-3)
