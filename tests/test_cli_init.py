"""``init`` looks at a table and writes a workflow that passes ``check`` and runs as it is."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from daskflow.cli import main
from daskflow.workflow import Workflow
from daskflow.workflow.starter import starter


def call(*words: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(n_rows: int = 200) -> pd.DataFrame:
    draw = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "id": np.arange(n_rows),
            "ticket": [f"T-{n:05d}" for n in range(n_rows)],
            "constant": 7,
            "empty": np.nan,
            "colour": draw.choice(["red", "blue"], n_rows),
            "size": draw.normal(size=n_rows),
            "count": draw.integers(0, 50, n_rows),
            "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(np.arange(n_rows) % 40, unit="D"),
            "sold": draw.random(n_rows) < 0.5,
            "price": draw.lognormal(size=n_rows),
            'odd "name"\n': draw.normal(size=n_rows),
        }
    )


@pytest.mark.parametrize(
    ("files", "target", "task", "kind"),
    [
        ("credit_default/*.csv.gz", "default.payment.next.month", "binary", "csv"),
        ("kdd99_intrusion", "label", "multiclass", "parquet"),
        ("uk_used_cars/*.csv.gz", "price", "regression", "csv"),
        ("pnw_flights14/flights", "arr_delay", "regression", "parquet"),
        ("online_retail/2011-01-*.csv.gz", "Quantity", "regression", "csv"),
    ],
)
def test_real_tables_give_workflows_that_pass_check(
    folder: Path, shared_data: Path, files: str, target: str, task: str, kind: str
) -> None:
    # when
    made = call("init", shared_data / files, "--target", target)
    # then
    assert made.exit_code == 0, made.stderr
    assert "daskflow run workflow.toml" in made.stdout
    written = tomllib.loads(Path("workflow.toml").read_text())
    assert (written["data"]["kind"], written["data"]["target"], written["data"]["task"]) == (kind, target, task)
    assert written["split"]["kind"] == ("random" if task == "regression" else "stratified")
    assert call("check", "workflow.toml").exit_code == 0


def test_files_without_a_header_are_named_on_the_command_line(folder: Path, shared_data: Path) -> None:
    # given
    path = shared_data / "adult_income" / "adult_train.csv.gz"
    names = [f"x{n}" for n in range(14)] + ["income"]
    # when without and with names
    without = call("init", path, "--target", "income")
    made = call("init", path, "--target", "income", "--set", f"names={names}")
    # then
    assert without.exit_code == 2
    assert "there is no column 'income'" in without.stderr
    assert made.exit_code == 0, made.stderr
    assert call("check", "workflow.toml").exit_code == 0
    assert tomllib.loads(Path("workflow.toml").read_text())["data"]["task"] == "binary"


def test_what_a_model_can_hardly_use_is_proposed_but_not_dropped(folder: Path) -> None:
    # given
    table().to_parquet("table.parquet")
    # when
    text = starter(["table.parquet"], "sold", folder)
    # then
    assert tomllib.loads(text)["data"]["drop"] == []
    for column, reason in {
        "id": "is different in every row",
        "ticket": "is different in every row",
        "constant": "has the same value",
        "empty": "has no value",
    }.items():
        assert f'    # "{column}",   # {reason}' in text
    for column in ("colour", "size", "count", "price", "sold"):
        assert f'    # "{column}",' not in text


def test_every_column_is_listed_with_what_was_seen(folder: Path) -> None:
    table().to_csv("table.csv", index=False)
    text = starter(["table.csv"], "sold", folder)
    lines = {line.split()[1].strip('"'): line for line in text.splitlines() if line.startswith('#   "')}
    assert set(lines) >= {"id", "colour", "size", "when", "sold"}
    assert "categorical" in lines["colour"]
    assert "2 levels" in lines["colour"]
    assert "datetime" in lines["when"]
    assert "the target" in lines["sold"]
    assert "all missing" in lines["empty"]
    assert "always 7" in lines["constant"]


@pytest.mark.parametrize(
    ("target", "task", "metric"),
    [("sold", "binary", "roc_auc"), ("price", "regression", "rmse"), ("colour", "binary", "roc_auc")],
)
def test_task_metrics_and_search_follow_the_target(folder: Path, target: str, task: str, metric: str) -> None:
    table().to_parquet("table.parquet")
    written = tomllib.loads(starter(["table.parquet"], target, folder))
    assert written["data"]["task"] == task
    assert written["metrics"][0] == written["search"]["metric"] == metric


def test_a_task_that_other_rows_could_change_is_left_to_the_run(folder: Path) -> None:
    # given 40 files, of which not every one is looked at; those have two labels
    Path("many").mkdir()
    for number in range(40):
        table(30).assign(label=np.arange(30) % 2).to_parquet(f"many/part.{number}.parquet")
    # when
    text = starter(["many"], "label", folder)
    # then
    assert "task" not in tomllib.loads(text)["data"]
    assert '# task = "binary"' in text


def test_gaps_of_the_target_are_said_where_the_target_stands(folder: Path) -> None:
    table().assign(price=lambda t: t["price"].mask(t["price"] > 2)).to_parquet("table.parquet")
    assert "# The target has no value in " in starter(["table.parquet"], "price", folder)


def test_paths_below_the_file_are_relative_and_others_absolute(folder: Path) -> None:
    # given
    Path("data").mkdir()
    Path("flows").mkdir()
    for number in range(5):
        table(30).to_parquet(f"data/part.{number}.parquet")
    listed = [f"data/part.{number}.parquet" for number in range(5)]
    # when, then: what a shell made of a glob is a glob again
    assert tomllib.loads(starter(listed, "sold", folder))["data"]["path"] == "data/*.parquet"
    assert tomllib.loads(starter(listed[:4], "sold", folder))["data"]["path"] == listed[:4]
    assert tomllib.loads(starter(["data"], "sold", folder))["data"]["path"] == "data"
    assert tomllib.loads(starter(["data"], "sold", folder / "flows"))["data"]["path"] == str(folder / "data")
    # and the file finds them from any folder
    made = call("init", "data", "--target", "sold", "-o", "flows/w.toml")
    assert made.exit_code == 0
    assert len(Workflow.from_toml(folder / "flows" / "w.toml").table().partitions) == 5


def test_a_target_that_is_no_column_names_the_nearest_one(folder: Path) -> None:
    table().to_parquet("table.parquet")
    result = call("init", "table.parquet", "--target", "solt")
    assert result.exit_code == 2
    assert "there is no column 'solt'; did you mean 'sold'?" in result.stderr
    assert not Path("workflow.toml").exists()


def test_a_file_that_is_there_is_not_written_over(folder: Path) -> None:
    # given
    table().to_parquet("table.parquet")
    Path("workflow.toml").write_text("mine")
    # when
    refused = call("init", "table.parquet", "--target", "sold")
    kept = Path("workflow.toml").read_text()
    forced = call("init", "table.parquet", "--target", "sold", "--force")
    # then
    assert refused.exit_code == 2
    assert "workflow.toml is there already" in refused.stderr
    assert kept == "mine"
    assert forced.exit_code == 0
    assert Path("workflow.toml").read_text() != "mine"


@pytest.mark.parametrize(
    ("path", "sentence"),
    [("nowhere.csv", "there is no such file"), ("*.parquet", "matches no file"), (".", "an empty folder")],
)
def test_paths_that_hold_nothing_are_a_sentence(folder: Path, path: str, sentence: str) -> None:
    result = call("init", path, "--target", "x")
    assert result.exit_code == 1
    assert sentence in result.stderr


@pytest.mark.slow
def test_a_day_from_init_to_report_on_real_files(
    folder: Path, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setenv("DASKFLOW_CACHE_DIR", str(folder / "cache"))
    files = shared_data / "credit_default" / "*.csv.gz"
    # when: the verbs of a first day, on a workflow made smaller but not otherwise changed
    made = call("init", files, "--target", "default.payment.next.month")
    planned = call("plan", "workflow.toml")
    ran = call("run", "workflow.toml", "--on", "inline", "--set", "search.trials=2", "--set", "split.folds=2")
    again = call("run", "workflow.toml", "--on", "inline", "--set", "search.trials=2", "--set", "split.folds=2")
    listed = call("runs")
    shown = call("report", "runs/credit_default", "--no-open")
    # then
    assert [made.exit_code, planned.exit_code, ran.exit_code, again.exit_code] == [0] * 4, ran.stderr
    assert "10 candidates x 3 folds = 30 fits" in planned.stdout
    assert "roc_auc" in ran.stdout
    assert "finished already" in again.stderr
    assert "credit_default/" in listed.stdout
    assert "done" in listed.stdout
    page = Path(shown.stdout.strip())
    assert page.name == "report.html"
    assert page.is_file()
    assert "search done in" in ran.stderr
