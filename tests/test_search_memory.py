"""Fifty searches in one process need no more memory than ten."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

ESTIMATORS = """
import gc, sys, warnings
from contextlib import ExitStack
import numpy as np, psutil
from distributed import Client, LocalCluster
from sklearn.linear_model import SGDClassifier
from daskflow.search import GridSearchCV, HyperbandSearchCV

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    X = np.random.default_rng(0).normal(size=(8000, 50))
    y = (X[:, 0] > 0).astype(int)
    model = SGDClassifier(random_state=0, max_iter=5, tol=None)
    with ExitStack() as opened:
        if sys.argv[1] == "on a client":
            cluster = opened.enter_context(
                LocalCluster(n_workers=1, threads_per_worker=2, processes=False, dashboard_address=None)
            )
            opened.enter_context(Client(cluster))
        for number in range(50):
            if number % 2:
                GridSearchCV(model, {"alpha": [1e-4, 1e-3]}, cv=2).fit(X, y)
            else:
                space = {"alpha": np.logspace(-5, 0, 50).tolist()}
                HyperbandSearchCV(model, space, max_iter=3, random_state=number).fit(X, y, classes=[0, 1])
            if number in (9, 49):
                gc.collect()
                print(psutil.Process().memory_info().rss)
"""

WORKFLOWS = """
import gc, sys, warnings
import numpy as np, pandas as pd, psutil
import daskflow as flow

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(8000, 20)), columns=[f"x{n}" for n in range(20)])
    frame["y"] = frame["x0"] > 0
    for number in range(50):
        flow.Workflow(
            name=f"number-{number}",
            data=flow.sources.Frame(frame=frame, target="y"),
            split=flow.Split(kind="random", folds=2),
            model=flow.models.SGD(),
            search=flow.search.Random(trials=2),
            cluster=flow.clusters.Inline(),
        ).run(runs=sys.argv[1])
        if number in (9, 49):
            gc.collect()
            print(psutil.Process().memory_info().rss)
"""


def sizes(program: str, argument: str, folder: Path) -> list[int]:
    """Resident size of a process after its tenth search and after its fiftieth."""
    done = subprocess.run(
        [sys.executable, "-c", program, argument],
        cwd=ROOT,
        # With few arenas it does not depend on which threads met how much the allocator keeps of what was freed.
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(folder), "MALLOC_ARENA_MAX": "2"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return [int(word) for word in done.stdout.split() if word.isdigit()]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["in this process", "on a client"])
def test_guarantee_25_fifty_searches_need_no_more_memory_than_ten(where: str, tmp_path: Path) -> None:
    ten, fifty = sizes(ESTIMATORS, where, tmp_path)
    assert fifty < 1.05 * ten


@pytest.mark.endurance
def test_guarantee_25_fifty_workflows_need_no_more_memory_than_ten(tmp_path: Path) -> None:
    ten, fifty = sizes(WORKFLOWS, str(tmp_path / "runs"), tmp_path)
    assert fifty < 1.05 * ten
