"""A small real search in a process of its own, to be killed at any moment and run again."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import daskflow.metrics
from daskflow import models
from daskflow.clusters.local import Local
from daskflow.core.journal import Journal
from daskflow.core.protocols import Unit
from daskflow.core.results import SearchResult
from daskflow.data.execution import InlineExecutor
from daskflow.data.matrices import Matrices
from daskflow.search import Search, batches, engine
from daskflow.search.candidates import candidates_record, check_record
from daskflow.search.fits import Fit, MatrixWork, Step, fit_together
from daskflow.search.grid import Grid
from daskflow.search.hyperband import Hyperband
from daskflow.search.jobs import Answer, Failure, Job, unit_key
from daskflow.search.random import Random

SEARCHES: dict[str, Search] = {"random": Random(trials=30), "hyperband": Hyperband(max_iter=9), "grid": Grid()}
"""Each is 60 units over two folds."""

SPACE: dict[str, Any] = {"alpha": np.logspace(-6, 0, 60).tolist(), "average": [True, False], "penalty": ["l1", "l2"]}


BATCH = 3
"""Jobs that go together at most, and that a kill may cost."""


class Audited(MatrixWork):
    """Work whose units note that they began."""

    def batch(self, key: str, groups: Sequence[Sequence[Job]], seconds_per_step: float) -> Unit:
        unit = super().batch(key, groups, seconds_per_step)
        return replace(unit, function=audited, arguments=(str(self.snapshots.parent / "audit"), *unit.arguments))


def audited(audit: str, work: Fit, steps: Sequence[Step]) -> list[Answer | Failure]:
    """Note the start of each job, and do them."""
    keys = [unit_key(step.candidate.trial, step.fold, step.stop) for step in steps]
    file = os.open(audit, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, "".join(f"{key}\n" for key in keys).encode())
    os.close(file)
    return fit_together(work, steps)


def search(kind: str, folder: Path, matrices: Matrices, workers: int = 0) -> SearchResult:
    """Run or continue a search, here or on so many worker processes."""
    if not workers:
        return search_on(InlineExecutor(), kind, folder, matrices)
    with Local(workers=workers, memory="1 GiB").open() as connection:
        return search_on(connection.executor, kind, folder, matrices)


def search_on(executor: Any, kind: str, folder: Path, matrices: Matrices) -> SearchResult:
    """Run or continue the search whose journal, snapshots and audit are in a folder; in small batches."""
    (folder / "snapshots").mkdir(exist_ok=True)
    work = Audited(
        model=models.parse({"kind": "sgd"}),
        task="binary",
        n_classes=2,
        matrices=matrices,
        metrics=[daskflow.metrics.REGISTRY.parse(name) for name in ("roc_auc", "log_loss")],
        metric="roc_auc",
        seed=7,
        snapshots=folder / "snapshots",
        search=SEARCHES[kind],
    )
    space = {"alpha": SPACE["alpha"][::2]} if kind == "grid" else SPACE
    policy = SEARCHES[kind].policy(space, seed=7)
    with Journal(folder / "journal.jsonl") as journal:
        records: list[Mapping[str, Any]] = list(journal.records)
        if records:
            check_record(records[0]["candidates"], policy)
        else:
            journal.append({"record": "candidates", "candidates": candidates_record(policy)})
        with mock.patch.object(batches, "MOST_JOBS", BATCH):
            return engine.run(policy, work, executor, recorder=journal, earlier=records)
