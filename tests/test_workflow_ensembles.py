"""A workflow with one model per part of the rows: run, stored without pickle, and read again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import daskflow as flow
from daskflow.bundle import load_model


@pytest.mark.parametrize("combine", ["weighted", "stacked"])
def test_an_ensemble_of_parts_is_searched_stored_and_read_again(combine: str, tmp_path: Path) -> None:
    # given a workflow over a family of members
    workflow = flow.Workflow(
        name="parts",
        data=flow.sources.Generated(rows=1_500, partitions=2),
        split=flow.Split(test=0.2, validation=0.2),
        model={"kind": "partition_ensemble", "base": "logistic", "n_parts": 3, "combine": combine},
        search={"kind": "random", "trials": 2},
        cluster={"kind": "inline"},
        cache={"folder": str(tmp_path / "cache")},
    )

    # when it runs
    run = workflow.run(tmp_path / "runs")

    # then the model that is stored has three members, and says what the run's own says
    model = load_model(run.path / "model")
    assert len(model.estimator.estimators_) == 3
    assert run.metrics["roc_auc"].value > 0.6
    rows = workflow.table().to_dask().compute().head(50)
    assert np.array_equal(model.predict_proba(rows), run.model.predict_proba(rows))
    assert np.allclose(np.asarray(model.predict_proba(rows)).sum(axis=1), 1)
