"""Every kind of split carries a whole run, and weights mean the same in fitting and in scoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression

import daskflow as flow
from daskflow.core.errors import SettingsError
from daskflow.workflow import Workflow


def table(n: int = 900) -> pd.DataFrame:
    """Rows over 90 days of 45 houses, a quarter of one class."""
    draw = np.random.default_rng(5)
    x = draw.normal(size=n)
    return pd.DataFrame(
        {
            "row": np.arange(n),
            "x": x,
            "z": draw.normal(size=n),
            "house": np.arange(n) // 20,
            "when": pd.Timestamp("2021-01-01") + pd.to_timedelta(np.arange(n) // 10, unit="D"),
            "part": np.where(np.arange(n) >= 700, "test", np.where(np.arange(n) % 5 == 0, "validation", "train")),
            "fold": np.arange(n) % 4 - 1,
            "late": np.where(x + draw.normal(scale=0.7, size=n) > 0.7, "yes", "no"),
        }
    )


def workflow(folder: Path, frame: pd.DataFrame, roles: dict[str, Any] | None = None, **changes: Any) -> Workflow:
    """A small workflow over the rows in two files."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.array_split(np.arange(len(frame)), 2)):
        frame.iloc[part].to_parquet(folder / "in" / f"{number}.parquet", index=False)
    roles = {"target": "late", "positive": "yes", "drop": ["row", "house", "when", "part", "fold"], **(roles or {})}
    settings: dict[str, Any] = {
        "data": {"kind": "parquet", "path": str(folder / "in" / "*.parquet"), **roles},
        "model": "logistic",
        "search": "none",
        "metrics": ["roc_auc"],
        "cluster": "inline",
        "cache": {"folder": str(folder / "cache")},
    }
    return Workflow(**settings | changes)


@pytest.mark.parametrize(
    ("split", "roles", "n_folds", "rows"),
    [
        ({"kind": "random", "folds": 2, "repeats": 3}, {}, 6, (720, 0, 180)),
        pytest.param(
            *({"kind": "stratified", "validation": 0.2, "repeats": 2}, {}, 2, (720, 0, 180)), marks=pytest.mark.slow
        ),
        pytest.param(
            *({"kind": "stratified", "folds": 3}, {"group": "house"}, 3, (720, 0, 180)), marks=pytest.mark.slow
        ),
        pytest.param(
            *({"kind": "time", "folds": 3, "gap": "2 days"}, {"time": "when"}, 3, (700, 0, 180)), marks=pytest.mark.slow
        ),
        ({"kind": "time", "folds": 3, "gap": "2 days", "window": "20 days"}, {"time": "when"}, 3, (200, 0, 180)),
        ({"kind": "time", "validation": 0.2, "window": "300 rows"}, {"time": "when"}, 1, (300, 180, 180)),
        ({"kind": "predefined"}, {"fold": "part"}, 1, (560, 140, 200)),
        ({"kind": "predefined"}, {"fold": "fold"}, 3, (900, 0, 0)),
    ],
    ids=lambda value: " ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_every_split_carries_a_run_to_its_model(
    split: dict[str, Any], roles: dict[str, str], n_folds: int, rows: tuple[int, ...], tmp_path: Path
) -> None:
    # given a workflow with a model that the search scores by fold
    made = workflow(tmp_path, table(), roles, split=split)
    # when
    run = made.run(tmp_path / "runs")
    # then each fold is one fit, every part has its rows, and the split's columns are no features
    summary = run.summary()
    assert summary["trials"]["finished"] == 1
    assert f"1 candidates x {n_folds} folds" in str(made.plan()) or split["kind"] == "predefined"
    assert tuple(summary["rows"][part] for part in ("train", "validation", "test")) == rows
    assert summary["best"]["score"] > 0.75
    assert {name.split("_")[0] for name in run.record().feature_names} == {"x", "z"}


def test_integer_weights_are_repeated_rows_from_the_fit_to_the_test_score(tmp_path: Path) -> None:
    # given rows of weights 1 to 3, and the same rows so many times
    frame = table().assign(w=np.random.default_rng(0).integers(1, 4, 900))
    repeated = frame.loc[frame.index.repeat(frame.w)].drop(columns="w")
    same: dict[str, Any] = {
        "split": {"kind": "predefined"},
        "preprocess": {"numeric": "passthrough"},
        "model": {"kind": "logistic", "params": {"C": 1.0, "solver": "newton-cholesky", "tol": 1e-8}},
        "metrics": ["roc_auc", "log_loss", "accuracy"],
    }
    # when
    one = workflow(tmp_path / "w", frame, {"fold": "part", "weight": "w"}, **same).run(tmp_path / "runs1")
    other = workflow(tmp_path / "r", repeated, {"fold": "part"}, **same).run(tmp_path / "runs2")
    plain = workflow(tmp_path / "p", frame.drop(columns="w"), {"fold": "part"}, **same).run(tmp_path / "runs3")
    # then model and scores are the same, and not those without weights
    assert one.summary()["best"]["score"] == pytest.approx(other.summary()["best"]["score"], abs=1e-6)
    for name in ("roc_auc", "log_loss", "accuracy"):
        assert one.metrics[name].value == pytest.approx(other.metrics[name].value, abs=1e-6)
    new = frame.drop(columns=["late", "w"])
    ours, theirs, without = (np.asarray(run.model.predict_proba(new)) for run in (one, other, plain))
    assert ours == pytest.approx(theirs, abs=1e-5)
    assert np.abs(ours - without).max() > 1e-3


def test_balanced_weights_give_the_model_that_scikit_learn_gives(tmp_path: Path) -> None:
    # given a family that has class_weight of its own
    frame = table()
    same = {"split": {"kind": "predefined"}, "preprocess": {"numeric": "passthrough"}}
    params = {"C": 1.0, "solver": "newton-cholesky", "tol": 1e-8}
    # when the workflow weighs the classes instead
    run = workflow(
        tmp_path,
        frame,
        {"fold": "part"},
        model={"kind": "logistic", "params": params},
        balance={"class_weight": "balanced"},
        **same,
    ).run(tmp_path / "runs")
    # then it is the model of scikit-learn's own option on the same rows
    known = frame[frame.part != "test"]
    theirs = LogisticRegression(class_weight="balanced", **params).fit(known[["x", "z"]], known.late)
    ours = np.asarray(run.model.predict_proba(frame.drop(columns="late")))
    assert ours == pytest.approx(theirs.predict_proba(frame[["x", "z"]]), abs=1e-4)


def test_a_model_that_learns_by_blocks_is_balanced_too(tmp_path: Path) -> None:
    balance = {"class_weight": "balanced", "undersample": 0.5}
    made = workflow(
        tmp_path,
        table(),
        model="sgd",
        search={"kind": "hyperband", "max_iter": 3},
        balance=balance,
        metrics=["recall", "roc_auc"],
    )

    run = made.run(tmp_path / "runs")

    assert "balance     all classes weigh the same in fitting" in str(made.plan())
    assert "training rows keep about 0.5 of the largest class" in str(made.plan())
    assert run.metrics["roc_auc"].value > 0.75


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {
                "balance": {"class_weight": "balanced"},
                "model": {"kind": "logistic", "params": {"class_weight": "balanced"}},
            },
            "model.params.class_weight: is set beside balance.class_weight",
        ),
        (
            {
                "balance": {"class_weight": "balanced"},
                "search": {"kind": "grid", "space": {"class_weight": ["balanced"]}},
            },
            "search.space.class_weight: is set beside balance.class_weight",
        ),
        (
            {"balance": {"class_wieght": "balanced"}},
            "balance.class_wieght: no such option; did you mean 'class_weight'",
        ),
        (
            {"balance": {"class_weight": "balanced"}, "model": "sklearn.neighbors:KNeighborsClassifier"},
            "KNeighborsClassifier takes no weights: use undersample without correct",
        ),
        ({"split": {"kind": "predefined"}}, "set data.fold"),
        ({"split": {"kind": "time", "gap": 3}, "roles": {"time": "when"}}, "split.gap: has no unit"),
    ],
)
def test_what_cannot_be_is_said_before_the_start(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    roles = changes.pop("roles", None)

    with pytest.raises(SettingsError) as raised:
        workflow(tmp_path, table(), roles, **changes).check()

    assert said in str(raised.value)


def test_a_run_says_how_many_rows_a_gap_left_out(tmp_path: Path) -> None:
    run = workflow(tmp_path, table(), {"time": "when"}, split={"kind": "time", "folds": 2, "gap": "3 days"}).run(
        tmp_path / "runs"
    )

    assert run.summary()["rows"]["train"] == 900 - 180 - 30
    assert "rows in no part" in run.report_path.read_text()


def test_settings_of_splits_and_balance_come_back_from_their_file(tmp_path: Path) -> None:
    made = workflow(
        tmp_path,
        table(),
        {"time": "when"},
        split={"kind": "time", "folds": 2, "gap": "3 days", "window": 2},
        balance={"class_weight": {"yes": 4}, "undersample": 0.5, "correct": True},
    )

    path = made.run(tmp_path / "runs").path / "workflow.toml"

    again = flow.Workflow.from_toml(path)
    assert (again.split, again.balance, again.id) == (made.split, made.balance, made.id)
