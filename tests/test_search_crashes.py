"""What one candidate does to the others: a crash costs itself only, and fits leave no memory behind."""

from __future__ import annotations

import gc
import os
import signal
import time
from pathlib import Path
from typing import Any

import dask
import numpy as np
import psutil
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin

import daskflow as flow
import daskflow.metrics
from daskflow import models
from daskflow.core.results import TrialState
from daskflow.data.execution import InlineExecutor
from daskflow.search import Search, engine
from daskflow.search.fits import MatrixWork
from daskflow.search.grid import Grid
from daskflow.search.hyperband import Hyperband
from tests.small_matrices import classes, matrices_of


class Deadly(ClassifierMixin, BaseEstimator):
    """Guesses, or ends its process as a crash in native code or the operating system's memory killer would."""

    def __init__(self, ends_by: int = 0) -> None:
        self.ends_by = ends_by

    def fit(self, X: Any, y: Any) -> Deadly:
        if self.ends_by:
            os.kill(os.getpid(), self.ends_by)
            time.sleep(60)  # the signal is on its way
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        return (X[:, 0] > 0).astype(int)


def work_over(folder: Path, model: Any, X: Any, y: Any, search: Search) -> MatrixWork:
    """Work that is ranked by accuracy."""
    (folder / "snapshots").mkdir()
    return MatrixWork(
        model=models.parse(model),
        task="binary",
        n_classes=2,
        matrices=matrices_of(folder / "matrices", X, y),
        metrics=[daskflow.metrics.REGISTRY.parse("accuracy")],
        metric="accuracy",
        seed=7,
        snapshots=folder / "snapshots",
        search=search,
    )


@pytest.mark.slow
@pytest.mark.parametrize("way", [signal.SIGSEGV, signal.SIGKILL], ids=["segfault", "out of memory"])
def test_a_candidate_that_ends_its_process_ranks_last_and_the_cluster_stays(
    way: signal.Signals, tmp_path: Path
) -> None:
    # given two workers whose scheduler forgives no death, and a candidate whose every fit ends the worker it runs on
    X, y = classes()
    work = work_over(tmp_path, Deadly(), X, y, Grid(isolate=False))
    policy = Grid().policy({"ends_by": [0, int(way)]}, seed=0)
    no_second_try = dask.config.set({"distributed.scheduler.allowed-failures": 0})
    with no_second_try, flow.clusters.Local(workers=2, memory="1 GiB").open() as connection:
        # when
        result = engine.run(policy, work, connection.executor)
        # then
        assert result.best.params == {"ends_by": 0}
        assert [trial.state for trial in result.trials] == [TrialState.FINISHED, TrialState.FAILED]
        assert result.trials[1].error.startswith("KilledWorker: the workers that ran it died")
        # and there are as many workers as before
        connection.client.wait_for_workers(2, timeout=30)


@pytest.mark.slow
def test_memory_stays_flat_over_many_fits(tmp_path: Path) -> None:
    # given a search whose every fit reads 4 MB of rows
    X, y = classes(n_rows=20_000, n_features=50)
    search = Hyperband(max_iter=9)
    work = work_over(tmp_path, "sgd", X, y, search)
    sizes = []
    for seed in range(3):
        # when 60 fits run
        policy = search.policy({"alpha": np.logspace(-6, 0, 50).tolist()}, seed=seed)
        result = engine.run(policy, work, InlineExecutor())
        assert sum(len(trial.curve) * 2 for trial in result.trials) >= 50
        gc.collect()
        sizes.append(psutil.Process().memory_info().rss)
    # then the second and third search needed no more than the first, where each fit keeping its rows would be 200 MB
    assert sizes[2] - sizes[0] < 40e6
