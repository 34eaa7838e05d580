"""What the search itself costs: thousands of fits that do next to nothing, through journal, engine and workers.

    python tests/bench/trivial_fits.py --fits 10000 --workers 2

A classifier that says what is most frequent among 20 rows is fitted, scored and recorded, and the end is forecast
meanwhile. From 128 rows on (``--rows``) groups of the rows are scored too. CPU-seconds are of all processes, and of
the second half of the fits: the first one pays for their start. Memory is that of the process that drives the search
(with the scheduler in it).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from sklearn.base import BaseEstimator, ClassifierMixin

import daskflow as flow
import daskflow.metrics
from daskflow import models
from daskflow.core.journal import Journal
from daskflow.data.matrices import FoldMatrices, Matrices, MatrixPart
from daskflow.search import engine
from daskflow.search.fits import MatrixWork
from daskflow.search.forecast import Forecast
from daskflow.search.foreseeing import Foreseeing
from daskflow.search.grid import Grid
from daskflow.search.schedules import schedule


class Majority(ClassifierMixin, BaseEstimator):
    """Says the most frequent class."""

    def __init__(self, number: int = 0) -> None:
        self.number = number

    def fit(self, X: Any, y: Any) -> Majority:
        """Count."""
        self.classes_, counts = np.unique(y, return_counts=True)
        self.answer_ = self.classes_[np.argmax(counts)]
        return self

    def predict(self, X: Any) -> Any:
        """Answer."""
        return np.full(len(X), self.answer_)


def part(folder: Path, n_rows: int) -> MatrixPart:
    """A part of a matrix on disk."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    np.save(folder / "X.npy", rng.normal(size=(n_rows, 3)).astype(np.float32))
    np.save(folder / "y.npy", np.arange(n_rows) % 2)
    return MatrixPart(str(folder), n_rows, 3, (0, n_rows), (0,), False, False)


def cpu() -> float:
    """CPU-seconds of this process and its workers."""
    found = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
            found += times.user + times.system
        except psutil.Error:
            continue
    return found


def search(folder: Path, connection: Any, n_fits: int, n_rows: int) -> dict[str, float]:
    """One search."""
    (folder / "snapshots").mkdir(parents=True)
    kind = Grid()
    work = MatrixWork(
        model=models.parse(Majority()),
        task="binary",
        n_classes=2,
        matrices=Matrices((FoldMatrices(part(folder / "train", 20), part(folder / "validation", n_rows)),), None, None),
        metrics=[daskflow.metrics.REGISTRY.parse("accuracy")],
        metric="accuracy",
        seed=0,
        snapshots=folder / "snapshots",
        search=kind,
    )
    space = {"number": list(range(n_fits))}
    policy = kind.policy(space, seed=0)
    begin, memory = time.perf_counter(), psutil.Process().memory_info().rss
    used: dict[int, float] = {}

    def watch(event: Any) -> None:
        if event.name == "unit" and event.fields["done"] in (n_fits // 2, n_fits):
            used[event.fields["done"]] = cpu()

    known = {candidate.trial: candidate.params for candidate in policy.candidates}
    forecast = Forecast(schedule(kind, space, seed=0), slots=connection.executor.slots, params=known)
    with Journal(folder / "journal.jsonl") as journal:
        seer = Foreseeing(watch, forecast, journal)
        engine.run(policy, work, connection.executor, recorder=seer, listener=seer)
    return {
        "cpu": used[n_fits] - used[n_fits // 2],
        "wall": time.perf_counter() - begin,
        "memory": psutil.Process().memory_info().rss - memory,
    }


def main() -> None:
    """One search; its second half counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rows", type=int, default=20, help="Validation rows.")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, flow.clusters.Local(workers=options.workers).open() as connection:
        found = search(Path(name), connection, options.fits, options.rows)
        each = found["cpu"] / (options.fits - options.fits // 2) * 1e6
        print(f"{options.fits:,} fits in {found['wall']:.1f} s; of the second half one costs {each:.0f} microseconds")
        print(f"of CPU; memory grew by {found['memory'] / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
