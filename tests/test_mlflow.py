"""A run's trials leave as tables in which nothing is a formula, and the run as an entry of MLflow with nested ones."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

import daskflow as flow
from daskflow.cli import main
from daskflow.core.errors import SettingsError, StorageError
from daskflow.core.folder import RunFolder, write_json
from daskflow.core.journal import Journal
from daskflow.workflow import Run, open_run
from daskflow.workflow.exports import csv_of, inert_text, trials_frame, write_frame

HOSTILE = '=HYPERLINK("http://evil","x")'


def unit(trial: int, resource: int, **found: Any) -> dict[str, Any]:
    """A journal's record of one fit."""
    return {
        "record": "unit",
        "trial": str(trial),
        "fold": 0,
        "resource": resource,
        "seconds": 0.5,
        "cpu_seconds": 0.25,
        "cost": {},
        "details": {},
        "worker": "w",
        "at": 1_700_000_010.0,
        **found,
    }


CANDIDATES = [
    {"trial": "0", "params": {"alpha": 0.1, "depth": 3, "penalty": "l1", "shape": [4, 2], "mixed": 1, "flag": True}},
    {"trial": "1", "params": {"alpha": 1.0, "penalty": HOSTILE, "shape": [8], "mixed": "auto", "flag": False}},
    {"trial": "2", "params": {"alpha": 2, "depth": 5, "penalty": "-1+1", "shape": None, "mixed": None, "flag": True}},
]


def run_of(folder: Path, n_units: int = 5) -> Run:
    """A run folder with three trials, of which one failed."""
    path = folder / "flights" / "0a1b"
    path.mkdir(parents=True, exist_ok=True)
    units = [
        unit(0, 1, metrics={"roc_auc": 0.6, "log_loss": 0.7}),
        unit(1, 1, metrics={"roc_auc": 0.55, "log_loss": 0.8}),
        unit(2, 1, error="ValueError: =1+2"),
        unit(0, 3, metrics={"roc_auc": 0.7, "log_loss": 0.6}),
        unit(0, 9, metrics={"roc_auc": 0.8, "log_loss": math.nan}),
    ]
    with Journal(path / "journal.jsonl") as journal:
        journal.clear()
        journal.append({"record": "invocation", "id": "0a1b", "versions": {}, "at": 1_700_000_000.0})
        head = {"metric": "roc_auc", "greater_is_better": True, "n_folds": 1}
        journal.append({"record": "candidates", "candidates": CANDIDATES, **head})
        for record in units[:n_units]:
            journal.append(record)
        journal.append({"record": "end", "status": "done", "at": 1_700_000_020.0})
    (path / "workflow.toml").write_text(
        'name = "flights"\n[data]\nkind = "csv"\npath = "a.csv"\n[model]\nkind = "sgd"\n'
    )
    scores = {"roc_auc": {"value": 0.79, "low": 0.75, "high": 0.83}, "lost": {"value": None, "low": None, "high": None}}
    write_json(path / "metrics.json", {"metrics": scores, "n_rows": 50, "details": {}})
    write_json(path / "versions.json", {"daskflow": "0.1.0", "data": "ffee00"})
    write_json(path / "data.json", {"task": "binary", "classes": ["no", "yes"]})
    (path / "report.html").write_text("<p>the report</p>")
    (path / "model").mkdir(exist_ok=True)
    (path / "model" / "card.md").write_text("# card")
    return Run(RunFolder(path))


# --- tables


def test_every_column_of_the_trials_has_one_type(tmp_path: Path) -> None:
    frame = run_of(tmp_path).trials_frame()
    kinds = {name: str(kind) for name, kind in frame.dtypes.items()}
    assert frame["trial"].tolist() == ["0", "1", "2"]
    assert frame["rank"].tolist() == [1, 2, 3]
    assert kinds["rank"] == kinds["resource"] == kinds["param_depth"] == "Int64"
    assert kinds["score"] == kinds["param_alpha"] == kinds["metric_log_loss"] == "float64"
    assert kinds["param_flag"] == kinds["tied"] == "boolean"
    assert kinds["param_penalty"] == kinds["error"] == kinds["state"] == "str"
    assert frame["param_shape"].tolist()[:2] == ["[4, 2]", "[8]"]
    assert frame["param_mixed"].tolist()[:2] == ["1", '"auto"']
    assert frame["metric_roc_auc"].tolist()[:2] == [0.8, 0.55]
    assert frame["cpu_seconds"].tolist()[0] == 0.75


def test_parquet_gives_the_table_back(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    path = run.export_trials(tmp_path / "out" / "trials.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(path), run.trials_frame(), check_dtype=True)


def test_nothing_in_the_csv_is_a_formula_and_numbers_stay_numbers(tmp_path: Path) -> None:
    path = run_of(tmp_path).export_trials(tmp_path / "trials.csv")
    for line in path.read_text().splitlines():
        for cell in line.replace('"', ",").split(","):
            assert not cell.startswith(("=", "+", "@")), line
    frame = pd.read_csv(path)
    assert frame["param_penalty"].tolist() == ["l1", f"'{HOSTILE}", "'-1+1"]
    assert frame["error"].tolist()[2] == "ValueError: =1+2"
    assert frame["param_alpha"].tolist() == [0.1, 1.0, 2.0]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1"])
def test_a_text_that_begins_like_a_formula_gets_an_apostrophe(text: str) -> None:
    assert inert_text(text) == f"'{text}"
    assert csv_of(pd.DataFrame({text: [-1.0]})).decode().lstrip('"').startswith("'")
    assert csv_of(pd.DataFrame({"a": [-1.0, 2.0]})) == b"a\n-1.0\n2.0\n"


def test_a_run_without_a_score_is_an_empty_table_of_the_same_columns(tmp_path: Path) -> None:
    run = run_of(tmp_path, n_units=0)
    frame = trials_frame(run)
    assert len(frame) == 0
    assert list(frame)[:3] == ["rank", "trial", "score"]
    assert len(pd.read_csv(run.export_trials(tmp_path / "t.csv"))) == 0


def test_another_suffix_and_a_place_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with pytest.raises(SettingsError, match=r"\.csv, \.parquet"):
        run.export_trials(tmp_path / "trials.xlsx")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        write_frame(run.trials_frame(), tmp_path / "file" / "trials.csv")


def test_predictions_leave_too_and_are_missed_where_there_are_none(tmp_path: Path) -> None:
    run = run_of(tmp_path)
    with pytest.raises(StorageError, match="holds no predictions"):
        run.export_predictions(tmp_path / "p.csv")
    frame = pd.DataFrame({"row": np.array([2**63 + 1], np.uint64), "label": ["=a"], "probability": [0.25]})
    frame.to_parquet(run.path / "predictions.parquet")
    assert run.export_predictions(tmp_path / "p.csv").read_text() == f"row,label,probability\n{2**63 + 1},'=a,0.25\n"
    pd.testing.assert_frame_equal(pd.read_parquet(run.export_predictions(tmp_path / "p.parquet")), frame)


def test_the_verb_writes_what_it_is_asked_for(tmp_path: Path) -> None:
    path = run_of(tmp_path).path
    out = tmp_path / "t.parquet"
    done = CliRunner().invoke(main, ["export", str(path), "--to", "trials.parquet", "-o", str(out)])
    assert done.exit_code == 0, done.output
    assert len(pd.read_parquet(out)) == 3
    wrong = CliRunner().invoke(main, ["export", str(path), "--to", "trials.csv", "-o", str(out)])
    assert wrong.exit_code == 2
    assert "should end in .csv" in wrong.output


# --- MLflow


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A tracking store in a database."""
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture
def experiment(tmp_path: Path) -> str:
    """A name of the test's own."""
    return tmp_path.name


def entries(uri: str, experiment: str) -> dict[str, Any]:
    """What stands in an experiment, by name."""
    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None
    runs = client.search_runs([found.experiment_id])
    names = [run.info.run_name for run in runs]
    assert len(names) == len(set(names)), names
    return dict(zip(names, runs, strict=True))


def test_a_run_is_a_parent_with_a_nested_run_for_each_trial(tmp_path: Path, store: str, experiment: str) -> None:
    # when
    run = run_of(tmp_path)
    made = run.to_mlflow(store, experiment, artifacts=str(tmp_path / "artifacts"))
    # then
    found = entries(store, experiment)
    parent = found["0a1b"]
    assert set(found) == {"0a1b", "trial 0", "trial 1", "trial 2"}
    assert parent.info.run_id == made
    assert parent.info.status == "FINISHED"
    assert parent.data.params["model.kind"] == "sgd"
    assert parent.data.params["best.alpha"] == "0.1"
    scores = parent.data.metrics
    assert (scores["roc_auc"], scores["roc_auc.low"], scores["search.roc_auc"]) == (0.79, 0.75, 0.8)
    assert "lost" not in scores
    assert parent.data.tags["daskflow.fingerprint"] == "ffee00"
    assert parent.data.tags["daskflow.version.daskflow"] == "0.1.0"
    client = mlflow.MlflowClient(tracking_uri=store)
    files = {file.path for file in client.list_artifacts(made)}
    assert files == {"report.html", "metrics.json", "model", "data.json", "versions.json", "workflow.toml"}
    assert [file.path for file in client.list_artifacts(made, "model")] == ["model/card.md"]
    first, failed = found["trial 0"], found["trial 2"]
    assert first.data.tags["mlflow.parentRunId"] == made
    assert set(first.data.params) == set(CANDIDATES[0]["params"])
    assert first.data.params["shape"] == "[4, 2]"
    history = client.get_metric_history(first.info.run_id, "roc_auc")
    assert [(point.step, point.value) for point in history] == [(1, 0.6), (3, 0.7), (9, 0.8)]
    assert failed.info.status == "FAILED"
    assert failed.data.tags["daskflow.error"] == "ValueError: =1+2"


def test_a_second_call_changes_nothing(tmp_path: Path, store: str, experiment: str) -> None:
    run = run_of(tmp_path)
    first = run.to_mlflow(store, experiment, artifacts=str(tmp_path / "artifacts"))
    before = entries(store, experiment)
    assert open_run(run.path).to_mlflow(store, experiment) == first
    after = entries(store, experiment)
    assert {name: run.info.run_id for name, run in after.items()} == {
        name: run.info.run_id for name, run in before.items()
    }
    client = mlflow.MlflowClient(tracking_uri=store)
    assert len(client.get_metric_history(after["trial 0"].info.run_id, "roc_auc")) == 3


def test_a_run_that_went_on_takes_the_place_of_its_older_entry(tmp_path: Path, store: str, experiment: str) -> None:
    old = run_of(tmp_path, n_units=3)
    first = old.to_mlflow(store, experiment, artifacts=str(tmp_path / "artifacts"))
    before = entries(store, experiment)
    second = run_of(tmp_path).to_mlflow(store, experiment)
    after = entries(store, experiment)
    assert second != first
    assert set(after) == set(before)
    assert after["trial 1"].info.run_id == before["trial 1"].info.run_id
    assert {after[name].data.tags["mlflow.parentRunId"] for name in after if name != "0a1b"} == {second}
    assert after["trial 0"].data.metrics["roc_auc"] == 0.8


@pytest.mark.slow
def test_an_entry_that_was_cut_off_is_logged_anew(
    tmp_path: Path, store: str, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(tmp_path)
    calls: list[int] = []
    batch = mlflow.MlflowClient.log_batch

    def failing(self: Any, *arguments: Any, **given: Any) -> Any:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return batch(self, *arguments, **given)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", failing)
    with pytest.raises(KeyboardInterrupt):
        run.to_mlflow(store, experiment, artifacts=str(tmp_path / "artifacts"))
    monkeypatch.undo()
    run.to_mlflow(store, experiment)
    found = entries(store, experiment)
    assert set(found) == {"0a1b", "trial 0", "trial 1", "trial 2"}
    assert {entry.info.status for entry in found.values()} == {"FINISHED", "FAILED"}


@pytest.mark.slow
def test_a_store_of_files_works_where_mlflow_still_takes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = (tmp_path / "mlruns").as_uri()
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    run = run_of(tmp_path)
    first = run.to_mlflow(uri, "files")
    assert run.to_mlflow(uri, "files") == first
    assert set(entries(uri, "files")) == {"0a1b", "trial 0", "trial 1", "trial 2"}


def test_a_store_that_cannot_be_used_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(StorageError, match=r"MLflow cannot log .*MLFLOW_ALLOW_FILE_STORE"):
        run_of(tmp_path).to_mlflow((tmp_path / "mlruns").as_uri())


def test_workers_do_not_log(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import distributed

    monkeypatch.setattr(distributed, "get_worker", lambda: object())
    with pytest.raises(SettingsError, match="in a task of a Dask worker"):
        run_of(tmp_path).to_mlflow(store)


@pytest.mark.slow
def test_the_verb_logs_a_run(tmp_path: Path, store: str, experiment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = run_of(tmp_path).path
    words = ["export", str(path), "--to", "mlflow", "--uri", store, "--experiment", experiment]
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 0, done.output
    assert done.output.strip() == f"MLflow run {entries(store, experiment)['0a1b'].info.run_id}"


@pytest.mark.slow
def test_a_real_run_leaves_whole(tmp_path: Path, store: str, experiment: str) -> None:
    frame = pd.DataFrame({"a": np.arange(300.0) % 17, "b": ["x", "y", "z"] * 100, "late": [0, 1, 1] * 100})
    frame.to_parquet(tmp_path / "rows.parquet")
    workflow = flow.Workflow(
        name="left",
        data={"kind": "parquet", "path": str(tmp_path / "rows.parquet"), "target": "late"},
        model={"kind": "sgd"},
        search={"kind": "random", "trials": 3},
        cluster={"kind": "inline"},
        cache={"folder": str(tmp_path / "cache")},
    )
    run = workflow.run(tmp_path / "runs")
    run.to_mlflow(store, experiment, artifacts=str(tmp_path / "artifacts"))
    found = entries(store, experiment)
    assert set(found) == {run.path.name, "trial 0", "trial 1", "trial 2"}
    assert len(pd.read_csv(run.path / "trials.csv")) == 3
    assert len(pd.read_parquet(run.export_trials(tmp_path / "t.parquet"))) == 3
