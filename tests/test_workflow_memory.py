"""A fit that no worker has the memory for is told before it begins, with a sample that fits; none is silent."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import daskflow as flow
from daskflow import models
from daskflow.clusters import REGISTRY as CLUSTERS
from daskflow.models import k_nearest, linear_svm
from daskflow.reports import tables
from daskflow.workflow.memory import fit_bytes, learned_rows, memory_notes


def frame(n_rows: int = 3_000, n_columns: int = 4) -> pd.DataFrame:
    """Distinct rows with a target of two classes."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({f"x{i}": rng.normal(size=n_rows) for i in range(n_columns)})
    rows["late"] = (rows.x0 + rng.normal(size=n_rows) > 0).astype(int)
    return rows


def workflow(**options: Any) -> flow.Workflow:
    """Something to plan."""
    given: dict[str, Any] = {"model": "logistic", "search": "none", "cluster": "inline", **options}
    data = flow.sources.Frame(frame=frame(), target="late", task="binary")
    split = {"kind": "stratified", "test": 0.2, "folds": 2, **given.pop("split", {})}
    return flow.Workflow(data=data, split=split, **given)


SMALL = {"kind": "local", "workers": 1, "memory": "64 MiB"}
"""A worker in which 1 GB of rows does not fit."""


def test_a_fit_that_does_not_fit_is_told_with_a_sample_that_does() -> None:
    made = workflow(model="random_forest", cluster=SMALL)

    (note,) = memory_notes(made, "binary", 1_000_000, 50)

    assert note.startswith("random_forest learns from all rows at once: about ")
    assert "for 1,000,000 rows of 50 columns, and a fit can have 57.6 MiB" in note
    found = re.search(r"A sample that fits has ([\d,]+) rows: sample = (\d+) under \[split\]", note)
    assert found is not None
    rows = int(found[2])
    assert int(found[1].replace(",", "")) == rows
    assert fit_bytes(made, "binary", rows, 50) <= made.cluster.fit_bytes < fit_bytes(made, "binary", 2 * rows, 50)
    assert memory_notes(made, "binary", rows, 50) == []


def test_the_sample_that_a_note_names_is_taken_as_it_is_written() -> None:
    made = workflow(model="random_forest", cluster=SMALL)
    rows = re.search(r"sample = (\d+)", memory_notes(made, "binary", 1_000_000, 50)[0])
    assert rows is not None

    sampled = workflow(model="random_forest", cluster=SMALL, split={"sample": int(rows[1])})

    assert learned_rows(sampled, 1_250_000) == int(rows[1])


def test_what_learns_block_by_block_has_no_note() -> None:
    by_block = workflow(model="sgd", search={"kind": "hyperband", "max_iter": 9}, cluster=SMALL, split={"folds": 2})
    whole = workflow(model="sgd", cluster=SMALL)

    assert memory_notes(by_block, "binary", 10**7, 50) == []
    assert fit_bytes(by_block, "binary", 10**7, 50) == 0
    assert len(memory_notes(whole, "binary", 10**7, 50)) == 1


def test_of_several_families_those_are_named_that_do_not_fit() -> None:
    made = workflow(
        model=["sgd", "hist_gradient_boosting", "linear_svm"],
        search={"kind": "hyperband", "max_iter": 9},
        cluster=SMALL,
    )

    notes = memory_notes(made, "binary", 150_000, 25)

    assert [note.partition(" ")[0] for note in notes] == ["hist_gradient_boosting", "linear_svm"]


def test_cores_share_a_workers_memory_and_a_limit_per_fit_counts() -> None:
    one, two = (workflow(cluster={**SMALL, "cores": cores}) for cores in (1, 2))
    limited = workflow(search={"kind": "none", "fit_memory": "1 MiB"})

    assert one.cluster.fit_bytes == pytest.approx(2 * two.cluster.fit_bytes, abs=2)
    assert "a fit can have 1 MiB" in memory_notes(limited, "binary", 10**6, 5)[0]


@pytest.mark.parametrize("kind", sorted(set(CLUSTERS.kinds) - {"address"}))
def test_every_cluster_that_is_made_here_says_what_a_fit_can_have(kind: str) -> None:
    assert CLUSTERS.get(kind)().fit_bytes > 2**20


@pytest.mark.parametrize("kind", sorted(set(models.REGISTRY.kinds) - {"estimator", "families"}))
def test_a_fit_takes_more_for_more_rows_and_columns(kind: str) -> None:
    family = models.REGISTRY.get(kind)()

    small = family.fit_bytes("regression", 10**6, 10)

    assert 10**6 < small < family.fit_bytes("regression", 2 * 10**6, 10) < 3 * small
    assert family.fit_bytes("regression", 10**6, 20) > small


def test_trees_of_many_rows_are_counted_and_large_leaves_make_fewer() -> None:
    forest, pruned = (
        models.parse({"kind": "random_forest", "params": params}) for params in ({}, {"min_samples_leaf": 100})
    )

    assert forest.fit_bytes("binary", 10**6, 10) > 100 * 10**6 * 72
    assert pruned.fit_bytes("binary", 10**6, 10) < forest.fit_bytes("binary", 10**6, 10) / 10


def test_check_plan_and_run_say_what_a_family_says_of_so_many_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(k_nearest, "MANY_ROWS", 1_000)
    monkeypatch.setattr(linear_svm, "MANY_ROWS", 1_000)
    made = workflow(model=["k_nearest", "linear_svm"], search={"kind": "random", "trials": 2})

    said, planned = made.check(), made.plan()
    run = made.run(tmp_path)

    for words in ("k_nearest is for small tables", "linear_svm copies its rows"):
        assert any(words in note for note in said)
        assert any(words in note for note in planned.notes)
        assert any(words in warning for warning in run.record().warnings)
    assert "2,400 training rows" in " ".join(run.record().warnings)
    assert "sample = 1000 under [split]" in " ".join(said)


def test_check_plan_and_run_say_that_a_fit_does_not_fit(tmp_path: Path) -> None:
    search = {"kind": "none", "fit_memory": "0.1 MiB"}
    made = workflow(search=search)

    assert any("logistic learns from all rows at once" in note for note in made.check())
    assert any("logistic learns from all rows at once" in note for note in made.plan().notes)
    assert any("for 2,400 rows of 4 columns" in text for text in made.run(tmp_path).record().warnings)


def test_a_run_on_a_sample_says_how_many_rows_were_left_out_everywhere(tmp_path: Path) -> None:
    made = workflow(split={"sample": 600})

    plan = made.plan()
    run = made.run(tmp_path)

    said = "split.sample leaves out 1,800 of the 2,400 rows that are not test"
    assert "of a sample of 600 rows of the rows that are not test" in plan.split
    assert any(said in text for text in run.record().warnings)
    assert said in run.report_path.read_text()
    rows = {row[0]: row[1] for row in tables.split(run.record()).rows}
    assert rows["left out by the sample"] == "1,800"
    assert not any("gap" in name for name in rows)
    card = json.loads((run.path / "model" / "card.json").read_text())
    assert card["rows"] == {"train": 600, "validation": 0, "test": 600, "left_out": 1_800}
    data = json.loads((run.path / "data.json").read_text())["split"]
    assert data["train"] + data["test"] + data["left_out"] == 3_000


def test_a_sample_makes_plans_smaller_and_another_run(tmp_path: Path) -> None:
    whole, sampled = workflow(), workflow(split={"sample": 0.1})

    assert sampled.plan().matrices_bytes < 0.6 * whole.plan().matrices_bytes
    assert sampled.id != whole.id
    assert sampled.run(tmp_path).evaluation.n_rows == whole.run(tmp_path).evaluation.n_rows == 600  # type: ignore[union-attr]


def test_the_result_on_a_sample_does_not_depend_on_how_the_table_was_cut(tmp_path: Path) -> None:
    rows = frame()
    backwards = rows.iloc[::-1]
    for name, order in (("one", [rows]), ("many", [backwards[begin : begin + 700] for begin in range(0, 3_000, 700)])):
        (tmp_path / name).mkdir()
        for number, part in enumerate(order):
            part.to_parquet(tmp_path / name / f"{number}.parquet", index=False)

    one, many = (
        flow.Workflow(
            name=name,
            data={"kind": "parquet", "path": str(tmp_path / name / "*.parquet"), "target": "late", "task": "binary"},
            split={"folds": 2, "sample": 0.3},
            model="sgd",
            search={"kind": "random", "trials": 2},
            cluster="inline",
        ).run(tmp_path / "runs")
        for name in ("one", "many")
    )

    assert [trial.score for trial in one.trials] == [trial.score for trial in many.trials]
    assert one.metrics == many.metrics
