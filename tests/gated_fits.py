"""Fits that wait at a gate which a test opens: then the middle of a run lasts as long as the test needs it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sklearn.linear_model import SGDClassifier

from daskflow.clusters.batch_jobs import JOB

if TYPE_CHECKING:
    import pytest

GATE = "DASKFLOW_TEST_GATE"
"""Names the file of a gate in the environment of jobs; elsewhere, and without it, every fit goes through."""

FREE = 2
"""So many fits go through while the gate is closed."""

HELD_SECONDS = 600.0
"""A gate that nobody opens opens by itself, long after its test has failed."""

MODEL = 'kind = "estimator"\nestimator = "tests.gated_fits:Gated"\n[search.space]\nalpha = {loguniform = [1e-6, 0.1]}'
"""The tables of a workflow that say so, from within its table of the model."""


class Gated(SGDClassifier):  # type: ignore[misc]  # scikit-learn has no types
    """Linear, and waits at the gate before it is fitted."""

    def __init__(self, loss: str = "log_loss", alpha: float = 1e-4, random_state: Any = None) -> None:
        super().__init__(loss=loss, alpha=alpha, random_state=random_state)

    def fit(self, X: Any, y: Any, **more: Any) -> Self:
        """Wait, and fit."""
        name = os.environ.get(GATE, "")
        if name and JOB in os.environ:
            end = time.monotonic() + HELD_SECONDS
            with open(name, "ab") as came:
                came.write(b".")
                came.flush()
                place = came.tell()
            while place > FREE and not _opened(name).exists() and time.monotonic() < end:
                time.sleep(0.05)
        super().fit(X, y, **more)
        return self


def closed_gate(name: Path, patch: pytest.MonkeyPatch) -> Path:
    """Let fits of jobs wait at a gate of this name, and let the jobs find this module."""
    root = str(Path(__file__).resolve().parents[1])
    patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")])))
    patch.setenv(GATE, str(name))
    return name


def open_gate(name: str | Path) -> None:
    """Let all fits through, from now on."""
    _opened(name).touch()


def _opened(name: str | Path) -> Path:
    return Path(f"{name}.open")
