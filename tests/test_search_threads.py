"""A fit has one native thread unless its model asks for more, whatever the user's environment says."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_info

import daskflow as flow
import daskflow.metrics
from daskflow import models
from daskflow.data.execution import InlineExecutor
from daskflow.search import engine
from daskflow.search.fits import MatrixWork
from daskflow.search.grid import Grid
from tests.small_matrices import classes, matrices_of

pytestmark = pytest.mark.slow


class Curious(ClassifierMixin, BaseEstimator):
    """Writes down how many threads native code has here."""

    def __init__(self, n_jobs: int | None = None, notes: str = "") -> None:
        self.n_jobs = n_jobs
        self.notes = notes

    def fit(self, X: Any, y: Any) -> Curious:
        found = {
            "threads": sorted({pool["num_threads"] for pool in threadpool_info()}),
            "apis": sorted({pool["user_api"] for pool in threadpool_info()}),
            "asks": self.n_jobs,
            "pid": os.getpid(),
            "waits": os.environ.get("OMP_WAIT_POLICY", "").lower(),
        }
        with open(self.notes, "a") as file:
            file.write(json.dumps(found) + "\n")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return (X[:, 0] > 0).astype(int)


@pytest.fixture(scope="module")
def connection() -> Iterator[Any]:
    """A local cluster of a user who set eight threads and busy waiting for everything."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            patch.setenv(name, "8")
        patch.setenv("OMP_WAIT_POLICY", "active")
        with flow.clusters.Local(workers=2, memory="1 GiB").open() as opened:
            yield opened


def work_of(folder: Path, estimator: Any, X: Any, y: Any, search: Grid) -> MatrixWork:
    """Work that is ranked by accuracy."""
    (folder / "snapshots").mkdir(parents=True)
    return MatrixWork(
        model=models.parse(estimator),
        task="binary",
        n_classes=2,
        matrices=matrices_of(folder / "matrices", X, y),
        metrics=[daskflow.metrics.REGISTRY.parse("accuracy")],
        metric="accuracy",
        seed=7,
        snapshots=folder / "snapshots",
        search=search,
    )


@pytest.mark.parametrize("isolate", [True, False], ids=["beside the worker", "in the worker"])
def test_the_users_number_of_threads_does_not_count_for_each_fit(
    isolate: bool, connection: Any, tmp_path: Path
) -> None:
    # when
    X, y = classes()
    search = Grid(isolate=isolate)
    work = work_of(tmp_path / "run", Curious(notes=str(tmp_path / "notes")), X, y, search)
    engine.run(search.policy({"n_jobs": [None, 1, 2]}, seed=0), work, connection.executor)
    # then
    notes = [json.loads(line) for line in (tmp_path / "notes").read_text().splitlines()]
    assert len(notes) == 6
    for note in notes:
        assert note["threads"] == [note["asks"] or 1], note
        assert {"blas", "openmp"} <= set(note["apis"])
    workers = set(connection.client.run(os.getpid).values())
    assert all((note["pid"] in workers) != isolate for note in notes)
    # and threads that wait for others burn no processor
    if isolate:
        assert {note["waits"] for note in notes} == {"passive"}


def test_boosting_with_openmp_costs_no_more_than_one_thread_by_itself(connection: Any, tmp_path: Path) -> None:
    # given
    X, y = classes(n_rows=20_000, n_features=20)
    space = {"learning_rate": [0.05, 0.1, 0.2, 0.3]}
    spent = {}
    for name, executor in {"alone": InlineExecutor(), "cluster": connection.executor}.items():
        boosting = HistGradientBoostingClassifier(max_iter=40, early_stopping=False, random_state=0)
        work = work_of(tmp_path / name, boosting, X, y, Grid())
        journal, before = engine.Memory(), time.process_time()
        # when
        engine.run(Grid().policy(space, seed=0), work, executor, recorder=journal)
        spent[name] = time.process_time() - before
        if name == "cluster":
            spent[name] = sum(record["cpu_seconds"] for record in journal.records if record["record"] == "unit")
    # then it took about as much processor time: waiting threads would take many times that
    assert spent["cluster"] < 1.5 * spent["alone"], spent
