"""The workflows that ship reach the scores they promise, on the real tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from daskflow.workflow import Workflow

FOLDER = Path(__file__).resolve().parents[1] / "workflows"
EXPECTED = {
    "credit_default": ("credit_default/*.csv.gz", "roc_auc", 0.77, 0.81),
    "credit_families": ("credit_default/*.csv.gz", "roc_auc", 0.76, 0.81),
    "credit_decision": ("credit_default/*.csv.gz", "roc_auc", 0.76, 0.80),
    "credit_linear": ("credit_default/*.csv.gz", "roc_auc", 0.76, 0.79),
    "credit_tpe": ("credit_default/*.csv.gz", "roc_auc", 0.77, 0.81),
    "intrusion": ("kdd99_intrusion/*.parquet", "f1", 0.5, 0.9),
    "retail": ("online_retail/*.csv.gz", "average_precision", 0.075, 0.12),
    "used_cars": ("uk_used_cars/*.csv.gz", "r2", 0.94, 0.98),
    "late_flights": ("pnw_flights14/flights/*.parquet", "roc_auc", 0.75, 0.80),
    "energy_load": ("pjm_energy_hourly/PJME_hourly.csv.gz", "rmse", 3_000, 4_200),
    "energy_window": ("pjm_energy_hourly/PJME_hourly.csv.gz", "rmse", 3_300, 4_100),
}

BESIDE = {"late_flights": [f"pnw_flights14/{name}.csv.gz" for name in ("weather", "planes", "airports")]}
"""The small tables that a workflow joins."""

LIGHTER: dict[str, dict[str, Any]] = {
    "used_cars": {"model.params.n_estimators": 15},
    "intrusion": {"model.params.n_estimators": 10},
    "late_flights": {"split.folds": 2, "search.trials": 2},
}
"""What scores do not hang on and most of the time goes into: trees of a forest, folds, trials."""


@pytest.mark.parametrize("name", sorted(path.stem for path in FOLDER.glob("*.toml")))
def test_each_workflow_has_a_script_that_says_the_same(name: str) -> None:
    script = (FOLDER / f"{name}.py").read_text()
    workflow = Workflow.from_toml(FOLDER / f"{name}.toml")
    assert f'name="{workflow.name}"' in script
    assert f'metric="{workflow.search.metric}"' in script


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", EXPECTED)
def test_a_real_workflow_reaches_its_score(name: str, shared_data: Path, tmp_path: Path) -> None:
    # given the workflow over the real table
    path, metric, low, high = EXPECTED[name]
    places = {"data.path": str(shared_data / path), "cache.folder": str(tmp_path), "evaluation.explain_seconds": 5}
    places |= {f"data.joins.{n}.path": str(shared_data / beside) for n, beside in enumerate(BESIDE.get(name, []))}
    workflow = Workflow.from_toml(FOLDER / f"{name}.toml", {**places, **LIGHTER.get(name, {})})
    # when
    run = workflow.run(tmp_path / "runs")
    # then
    assert low <= run.metrics[metric].value <= high
    assert run.summary()["partition_reads"] == run.summary()["partitions"]


@pytest.mark.slow
def test_the_workflow_without_a_download_runs(tmp_path: Path) -> None:
    workflow = Workflow.from_toml(FOLDER / "generated.toml", {"cache.folder": str(tmp_path)})
    run = workflow.run(tmp_path / "runs")
    assert run.metrics["roc_auc"].value > 0.75
    assert run.report_path.stat().st_size < 4 * 2**20
