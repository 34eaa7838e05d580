"""A run with row-wise new columns, selectors and selection, from the files to predictions of its model."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskflow import load_model
from daskflow.core.errors import BundleError, DataError, SettingsError
from daskflow.workflow import Run, Workflow, open_run

RATIO = "tests.row_functions:ratio"

PREPROCESS: dict[str, Any] = {
    "functions": [{"function": RATIO, "columns": ["x", "size"], "outputs": {"ratio": "float64"}}],
    "interactions": [["x", "ratio"], ["city", "new"]],
    "columns": {"noise_*": ["impute", "scale"], "@boolean": "passthrough", "city": ["target"], "when": "drop"},
    "select": {"method": "mutual_information", "k": 5},
}

TOML = """
name = "late"
seed = 5
cluster = "inline"
model = "sgd"
metrics = ["roc_auc"]
data = {{ kind = "parquet", path = "{path}", target = "late" }}
split = {{ test = 0.25, folds = 2 }}
search = {{ kind = "random", trials = 3, metric = "roc_auc" }}
cache = {{ folder = "{cache}" }}

[preprocess]
functions = [{{ function = "{function}", columns = ["x", "size"], outputs = {{ ratio = "float64" }} }}]
interactions = [["x", "ratio"], ["city", "new"]]
select = {{ method = "mutual_information", k = 5 }}

[preprocess.columns]
"noise_*" = ["impute", "scale"]
"@boolean" = "passthrough"
city = ["target"]
when = "drop"
"""


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    """A small table with every kind of column, gaps, noise and a copy."""
    rng = np.random.default_rng(3)
    n = 1500
    x = rng.normal(size=n)
    city = rng.choice(["ulm", "rom", "oslo", "bern"], n, p=[0.5, 0.3, 0.15, 0.05])
    late = (x + (city == "rom") + rng.normal(scale=1.2, size=n)) > 0.4
    table = pd.DataFrame(
        {
            "x": np.where(rng.random(n) < 0.1, np.nan, x),
            "size": rng.integers(0, 50, n),
            "city": pd.Series(city).where(rng.random(n) > 0.05),
            "when": pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 900, n), unit="D"),
            "new": rng.random(n) < 0.3,
            "late": np.where(late, "yes", "no"),
            "noise_1": rng.normal(size=n),
            "noise_2": rng.normal(size=n),
        }
    )
    return table.assign(copy=table["x"])


def workflow(frame: pd.DataFrame, root: Path, parts: int, **preprocess: Any) -> Workflow:
    """A small workflow over a table in some parts."""
    (root / "data").mkdir(parents=True)
    edges = np.linspace(0, len(frame), parts + 1).astype(int)
    for number, (low, high) in enumerate(itertools.pairwise(edges)):
        piece = pa.Table.from_pandas(frame.iloc[low:high], preserve_index=False)
        pq.write_table(piece, root / "data" / f"part{number}.parquet")
    return Workflow(
        name="late",
        data={"kind": "parquet", "path": str(root / "data" / "*.parquet"), "target": "late"},
        split={"test": 0.25, "folds": 2},
        model="sgd",
        search={"kind": "random", "trials": 3, "metric": "roc_auc"},
        metrics=["roc_auc"],
        cluster="inline",
        cache={"folder": str(root / "cache")},
        seed=5,
        preprocess={**PREPROCESS, **preprocess},
    )


@pytest.fixture(scope="module")
def runs(frame: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> dict[int, Run]:
    """The same workflow over the same rows in 1 and in 5 parts, the latter backwards."""
    found = {}
    for parts, rows in ((1, frame), (5, frame.iloc[::-1])):
        root = tmp_path_factory.mktemp(f"parts{parts}")
        found[parts] = workflow(rows, root, parts).run(root / "runs")
    return found


def test_trials_and_predictions_are_the_same_for_one_part_and_five(runs: dict[int, Run], frame: pd.DataFrame) -> None:
    one, five = runs[1], runs[5]
    assert one.path.name == five.path.name
    assert [(t.id, t.params, t.score) for t in one.trials] == [(t.id, t.params, t.score) for t in five.trials]
    assert one.metrics == five.metrics
    rows = frame.drop(columns="late")
    assert np.array_equal(one.model.predict_proba(rows), five.model.predict_proba(rows))


def test_the_run_says_what_was_left_out(runs: dict[int, Run]) -> None:
    said = "\n".join(record["text"] for record in runs[1]._records if record["record"] == "warning")
    assert "Column 'copy' equals 'x' in all training rows; it is left out." in said
    assert "Select keeps 5 of 9 columns by their mutual information; left out: " in said
    assert "'noise_1'" in said
    names = runs[1].model.feature_names
    assert {"x", "ratio", "x:ratio", "city", "city:new_rom×True"} <= set(names)
    assert not {"copy", "noise_1", "noise_2"} & set(names)


def test_the_model_makes_the_new_columns_on_pandas_and_on_dask_alike(runs: dict[int, Run], frame: pd.DataFrame) -> None:
    model = runs[1].model
    rows = frame.drop(columns="late")
    lazy = model.predict_proba(dd.from_pandas(rows, npartitions=4)).compute()
    assert np.allclose(lazy, model.predict_proba(rows), rtol=1e-12)
    assert (model.predict(rows) == frame["late"]).mean() > 0.65
    with pytest.raises(DataError, match="lacks 1 of the 8 columns"):
        model.predict(rows.drop(columns="size"))


def test_a_model_with_functions_is_loaded_only_when_they_are_trusted(runs: dict[int, Run]) -> None:
    path = runs[1].path
    with pytest.raises(BundleError, match=r"not trusted: tests.row_functions:ratio.*trusted=\['tests.row_functions"):
        load_model(path)
    with pytest.raises(BundleError, match="not trusted"):
        _ = open_run(path).model
    assert load_model(path, trusted=[RATIO]).feature_names == runs[1].model.feature_names
    assert open_run(path, trusted=[RATIO]).model.feature_names == runs[1].model.feature_names


@pytest.mark.slow
def test_refusing_an_untrusted_model_runs_none_of_its_code(runs: dict[int, Run], tmp_path: Path) -> None:
    # given a module that leaves a trace when it is imported, and a bundle that names it
    trace = tmp_path / "imported"
    (tmp_path / "own_code.py").write_text(f"open({str(trace)!r}, 'w')\n\ndef ratio(rows):\n    return rows['x']\n")
    model = tmp_path / "model"
    model.mkdir()
    for file in (runs[1].path / "model").iterdir():
        (model / file.name).write_bytes(file.read_bytes().replace(RATIO.encode(), b"own_code:ratio"))
    sums = subprocess.run(
        ["sha256sum", *(p.name for p in model.iterdir() if p.name != "SHA256SUMS")],
        cwd=model,
        capture_output=True,
        check=True,
    )
    (model / "SHA256SUMS").write_bytes(sums.stdout)
    script = "import sys; from daskflow import load_model; load_model(sys.argv[1], trusted=sys.argv[2:])"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def load(*trusted: str) -> str:
        command = [sys.executable, "-c", script, str(model), *trusted]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False).stderr

    # when it is loaded without trust, then it is refused and nothing was imported
    assert "not trusted: own_code:ratio" in load()
    assert not trace.exists()

    # when it is trusted, then it is imported, and found to be another function than that of training
    assert "own_code:ratio is not the one of training" in load("own_code:ratio")
    assert trace.exists()


def test_a_workflow_file_says_the_same_as_python(frame: pd.DataFrame, tmp_path: Path) -> None:
    in_python = workflow(frame, tmp_path, 2)
    path = tmp_path / "late.toml"
    path.write_text(TOML.format(path="data/*.parquet", cache=tmp_path / "cache", function=RATIO))
    in_toml = Workflow.from_toml(path)
    assert in_toml.preprocess == in_python.preprocess
    assert in_toml.id == in_python.id


def test_the_plan_prints_chains_selectors_new_columns_and_what_happens_by_itself(
    frame: pd.DataFrame, tmp_path: Path
) -> None:
    said = str(workflow(frame, tmp_path, 2, columns={"noise_*": "clip", "*_1": "log", "city": "target"}).plan())
    for line in (
        "numeric: impute, scale",
        "noise_* ('noise_1', 'noise_2'): clip",
        "city: target",
        "new 'ratio': tests.row_functions:ratio of x, size",
        "new 'x:ratio': 'x' times 'ratio'",
        "new 'city:new': 'city' crossed with 'new'",
        "select: the 5 columns of the largest mutual information with the target",
        "'noise_*' and '*_1' both match 'noise_1'; 'noise_*' counts, for it is written first",
        "constant and duplicate columns of the training rows are left out",
        "categorical columns of more than 262,144 levels are hashed",
    ):
        assert line in said


def test_every_mistake_of_preprocessing_shows_before_anything_is_computed(frame: pd.DataFrame, tmp_path: Path) -> None:
    wrong = workflow(
        frame,
        tmp_path,
        1,
        columns={"nois_*": "clip"},
        interactions=[["x", "sise"], ["x", "late"]],
        functions=[],
        select=None,
    )
    with pytest.raises(SettingsError) as caught:
        wrong.plan()
    assert {problem.where for problem in caught.value.problems} >= {
        "preprocess.interactions.0",
        "preprocess.interactions.1",
    }
    taken = workflow(
        frame,
        tmp_path / "other",
        1,
        functions=[{"function": RATIO, "columns": ["x", "size"], "outputs": {"late": "float64"}}],
        interactions=[],
        columns={},
    )
    with pytest.raises(SettingsError, match="names of the table's own: 'late'"):
        taken.plan()
    with pytest.raises(SettingsError, match="names of the table's own: 'late'"):
        taken.run(tmp_path / "runs")


def test_a_function_that_is_not_row_wise_ends_the_run_with_its_name(frame: pd.DataFrame, tmp_path: Path) -> None:
    centred = {"function": "tests.row_functions:centred", "columns": ["x"], "outputs": {"ratio": "float64"}}
    with pytest.raises(DataError, match=r"tests\.row_functions:centred is not row-wise"):
        workflow(frame, tmp_path, 2, functions=[centred]).run(tmp_path / "runs")


@pytest.mark.slow
def test_predicting_files_by_command_needs_trust_too(runs: dict[int, Run], frame: pd.DataFrame, tmp_path: Path) -> None:
    source, out = tmp_path / "new.parquet", tmp_path / "out.parquet"
    frame.drop(columns="late").to_parquet(source, index=False)
    command = [sys.executable, "-m", "daskflow", "predict", str(runs[1].path), str(source), "-o", str(out)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    refused = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert refused.returncode != 0
    assert "not trusted" in refused.stderr
    subprocess.run([*command, "--trust", RATIO], check=True, capture_output=True, env=environment)
    found = pd.read_parquet(out)
    assert (found["prediction"].to_numpy() == runs[1].model.predict(frame.drop(columns="late")).to_numpy()).all()


def test_the_run_folder_keeps_the_settings_as_they_were_said(runs: dict[int, Run]) -> None:
    again = Workflow.from_toml(runs[1].path / "workflow.toml")
    kept = again.preprocess
    assert again.id == runs[1].path.name
    assert list(kept.columns) == ["noise_*", "@boolean", "city", "when"]
    assert kept.function_names == (RATIO,)
    stored = json.loads((runs[1].path / "model" / "preprocessor.json").read_text())
    assert stored["state"]["preparation"]["functions"][0]["function"] == RATIO
