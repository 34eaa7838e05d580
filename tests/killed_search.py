"""A small real search in a process of its own, to be killed at any moment and run again."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from multiprocessing import Process, connection, get_context
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

import daskflow.metrics
from daskflow import models
from daskflow.clusters.address import Address
from daskflow.clusters.local import Local
from daskflow.core.journal import Journal
from daskflow.core.processes import die_with_parent
from daskflow.core.protocols import Death, Outcome, Unit
from daskflow.core.results import SearchResult
from daskflow.data.execution import InlineExecutor, perform
from daskflow.data.matrices import Matrices
from daskflow.search import Search, batches, engine
from daskflow.search.candidates import candidates_record, check_record
from daskflow.search.fits import Fit, MatrixWork, Step, fit_together, refit
from daskflow.search.grid import Grid
from daskflow.search.hyperband import Hyperband
from daskflow.search.jobs import Answer, Failure, Job, unit_key
from daskflow.search.tpe import TPE

SEARCHES: dict[str, Search] = {
    "grid": Grid(),
    "hyperband": Hyperband(max_iter=9),
    "tpe": TPE(trials=30, startup=10, lag=4),
}
"""Each is 60 units over two folds."""

SPACE: dict[str, Any] = {"alpha": np.logspace(-6, 0, 60).tolist(), "average": [True, False], "penalty": ["l1", "l2"]}


HELD_SECONDS = 300.0
"""A search that nobody lets go on goes on by itself, long after its test has failed."""

BATCH = 3
"""Jobs that go together at most, and that a kill may cost."""


class Audited(MatrixWork):
    """Work whose units note that they began."""

    def batch(self, key: str, groups: Sequence[Sequence[Job]], seconds_per_step: float) -> Unit:
        unit = super().batch(key, groups, seconds_per_step)
        return replace(unit, function=audited, arguments=(str(self.snapshots.parent / "audit"), *unit.arguments))


def audited(audit: str, work: Fit, steps: Sequence[Step]) -> list[Answer | Failure]:
    """Note the start of each job, and do them, unless the search is held up."""
    keys = [unit_key(step.candidate.trial, step.fold, step.stop) for step in steps]
    file = os.open(audit, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, "".join(f"{key}\n" for key in keys).encode())
    os.close(file)
    while is_held_up(Path(audit).parent):
        time.sleep(0.005)
    return fit_together(work, steps)


def hold_up(folder: Path, after: int | None) -> None:
    """Let no unit of a search in a folder go on when so many are finished, until this is called again; None: let all.

    Who kills something at a moment of the search would come too late on a busy machine.
    """
    file = folder / "held"
    if after is None:
        file.unlink(missing_ok=True)
        return
    file.with_suffix(".new").write_text(str(after))
    file.with_suffix(".new").replace(file)


def is_held_up(folder: Path) -> bool:
    """Whether so many units of the search in a folder are finished that the next ones wait."""
    file = folder / "held"
    try:
        most, since = int(file.read_text()), file.stat().st_mtime
    except FileNotFoundError:
        return False
    return time.time() - since < HELD_SECONDS and n_finished(folder) >= most


def n_finished(folder: Path) -> int:
    """How many units are on record; counted without reading them, since it is asked again and again."""
    journal = folder / "journal.jsonl"
    return journal.read_bytes().count(b'"record":"unit"') if journal.exists() else 0


class ForkExecutor(InlineExecutor):
    """Two workers at a time, each a fork of this process that does one unit: as thin as a cluster can be."""

    slots = 2

    def __init__(self) -> None:
        """Start empty."""
        super().__init__()
        self._forked: dict[connection.Connection, tuple[Unit, Process]] = {}

    @property
    def pending(self) -> int:
        """Units submitted and not yet returned."""
        return len(self._waiting) + len(self._forked)

    def next(self, timeout: float | None = None) -> Outcome | None:
        """Return the next outcome; that of a fork that died is a crash."""
        context = get_context("fork")
        while self._waiting and len(self._forked) < self.slots:
            unit = self._waiting.popleft()
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=_in_fork, args=(unit, theirs))
            process.start()
            theirs.close()
            self._forked[ours] = unit, process
        for ready in connection.wait(self._forked, timeout):
            unit, process = self._forked.pop(ready)
            try:
                outcome: Outcome = ready.recv()
            except EOFError:
                outcome = Outcome(unit.key, error="Crashed: killed", death=Death.CRASH)
            process.join()
            ready.close()
            return outcome
        return None


def _in_fork(unit: Unit, answer: Any) -> None:
    die_with_parent()
    answer.send(perform(unit, unit.arguments)[1])


def search(kind: str, folder: Path, matrices: Matrices, on: str = "inline") -> tuple[SearchResult, str]:
    """Run or continue a search here, in forks, on a local cluster, or at an address, as `on` says; then refit."""
    if on == "inline":
        return search_on(InlineExecutor(), kind, folder, matrices)
    if on == "forks":
        return search_on(ForkExecutor(), kind, folder, matrices)
    cluster = Local(workers=2, memory="1 GiB") if on == "local" else Address(address=on, timeout_seconds=120)
    with cluster.open() as opened:
        return search_on(opened.executor, kind, folder, matrices)


def search_on(executor: Any, kind: str, folder: Path, matrices: Matrices) -> tuple[SearchResult, str]:
    """Run or continue the search whose journal, snapshots and audit are in a folder; in small batches.

    Return what it found, and the hash of the winner's model file.
    """
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
        with mock.patch.multiple(batches, MOST_JOBS=BATCH, MOST_TOGETHER=BATCH):
            result = engine.run(policy, work, executor, recorder=journal, earlier=records)
    return result, refit(work, result.best, matrices.final, folder / "model.pkl")
