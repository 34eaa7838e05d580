"""What the search itself costs: thousands of fits that do next to nothing, through journal, engine and workers.

    python tests/bench/trivial_fits.py --fits 10000 --workers 2

A classifier that says what is most frequent among 20 rows is fitted, scored and recorded. CPU-seconds are of all
processes, less those of a search of 200 fits, which is mostly their start; memory is that of the process that drives
the search (with the scheduler in it).
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
from daskflow.search.grid import Grid


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


def cpu() -> dict[int, float]:
    """CPU-seconds by process."""
    found = {}
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
        except psutil.Error:
            continue
    return found


def search(folder: Path, connection: Any, n_fits: int) -> dict[str, float]:
    """One search."""
    (folder / "snapshots").mkdir(parents=True)
    kind = Grid()
    work = MatrixWork(
        model=models.parse(Majority()),
        task="binary",
        n_classes=2,
        matrices=Matrices((FoldMatrices(part(folder / "train", 20), part(folder / "validation", 20)),), None, None),
        metrics=[daskflow.metrics.REGISTRY.parse("accuracy")],
        metric="accuracy",
        seed=0,
        snapshots=folder / "snapshots",
        search=kind,
    )
    policy = kind.policy({"number": list(range(n_fits))}, seed=0)
    begin, spent, memory = time.perf_counter(), cpu(), psutil.Process().memory_info().rss
    last: dict[int, float] = {}

    def watch(event: Any) -> None:
        if event.name == "unit" and event.fields["done"] in (n_fits, n_fits // 2):
            last.update(cpu())  # seats end with the search: their time is read just before

    with Journal(folder / "journal.jsonl") as journal:
        engine.run(policy, work, connection.executor, recorder=journal, listener=watch)
    wall = time.perf_counter() - begin
    used = sum({**last, **cpu()}.values()) - sum(spent.values())
    return {"cpu": used, "wall": wall, "memory": psutil.Process().memory_info().rss - memory}


def main() -> None:
    """A small search to warm up, then the real one."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fits", type=int, default=10_000)
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, flow.clusters.Local(workers=options.workers).open() as connection:
        few = 200
        start = search(Path(name) / "few", connection, few)
        found = search(Path(name) / "many", connection, options.fits)
        each = (found["cpu"] - start["cpu"]) / (options.fits - few) * 1e6
        print(f"{few} fits: {start['cpu']:.2f} CPU-s, {start['wall']:.1f} s (the start of the processes is most of it)")
        print(f"{options.fits:,} fits: {found['cpu']:.2f} CPU-s, {found['wall']:.1f} s")
        print(f"a further fit costs {each:.0f} microseconds of CPU; memory grew by {found['memory'] / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
