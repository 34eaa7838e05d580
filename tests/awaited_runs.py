"""Small workflows, and estimators that tell when they were fitted, for tests of what is awaited."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from daskflow.core.journal import read
from daskflow.workflow import Run, Workflow

QUICK = {"explain": False, "slices": False, "replicates": 0, "learning_curve": False}


def small(folder: Path, seed: int, *, trials: int = 2, **changes: Any) -> Workflow:
    """A workflow of a second; the seed makes it another one."""
    return Workflow(
        **{
            "name": f"small-{seed}",
            "data": {"kind": "generated", "rows": 600, "partitions": 2},
            "split": {"test": 0.2, "validation": 0.2},
            "model": "sgd",
            "search": {"kind": "random", "trials": trials, "metric": "roc_auc"},
            "metrics": ["roc_auc", "log_loss"],
            "evaluation": QUICK,
            "cache": {"folder": str(folder / "cache")},
            "cluster": "inline",
            "seed": seed,
            **changes,
        }
    )


def outcome(run: Run) -> Any:
    """All numbers that a run found, to the last bit."""
    assert run.search is not None
    trials = sorted((trial.id, trial.score, sorted(trial.params.items())) for trial in run.search.trials)
    metrics = {name: score.value for name, score in run.metrics.items()}
    return trials, metrics, (run.path / "predictions.parquet").read_bytes()


def records(run: Run, kind: str) -> list[dict[str, Any]]:
    """What the journal holds of a kind."""
    return [record for record in read(run.path / "journal.jsonl") if record["record"] == kind]


FITTED: list[str] = []
"""What was fitted in this process, in the order in which it ended."""


class Telling(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Takes its time, and tells its name when it was fitted."""

    def __init__(self, name: str = "", number: int = 0, seconds: float = 0.02) -> None:
        self.name, self.number, self.seconds = name, number, seconds

    def fit(self, X: Any, y: Any) -> Self:
        """Sleep."""
        time.sleep(self.seconds)
        self.classes_ = np.unique(y)
        FITTED.append(self.name)
        return self

    def predict(self, X: Any) -> Any:
        """Say the first class."""
        return np.full(len(X), self.classes_[0])


class Pauses:
    """How long a plain thread and an event loop take to come back from a short sleep; seconds beyond the sleep."""

    SLEEP = 0.002

    def __init__(self) -> None:
        """Have measured nothing."""
        self.thread: list[float] = []
        self.loop: list[float] = []
        self._over = threading.Event()

    def in_thread(self) -> None:
        """Measure a thread that does nothing else: what it waits for, a loop waits for, too."""
        while not self._over.is_set():
            begun = time.perf_counter()
            time.sleep(self.SLEEP)
            self.thread.append(time.perf_counter() - begun - self.SLEEP)

    async def in_loop(self) -> None:
        """Measure the running loop."""
        import asyncio

        thread = threading.Thread(target=self.in_thread, daemon=True)
        thread.start()
        try:
            while True:
                begun = time.perf_counter()
                await asyncio.sleep(self.SLEEP)
                self.loop.append(time.perf_counter() - begun - self.SLEEP)
        finally:
            self._over.set()

    def p99(self, pauses: list[float]) -> float:
        """The pause that one in a hundred exceeds."""
        return float(np.quantile(pauses, 0.99))
