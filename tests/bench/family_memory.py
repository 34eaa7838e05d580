"""How much memory a fit of each family takes, in sizes of its float32 matrix, beside what `Model.fit_bytes` says.

python -m tests.bench.family_memory [ROWS] [COLUMNS]

Each fit has a process of its own, which maps the matrix, fits the family's estimator once on few rows (so that all its
libraries are loaded), and then on all of them; the growth of its largest resident size, pages of the matrix included,
is divided by the bytes of the matrix. Forests have 5 trees, boosting 5 rounds, networks 2 epochs.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

FEW = {"n_estimators": 5, "iterations": 5, "max_iter": 5, "hidden_layer_sizes": (16,)}

ONE = """
import json, resource, sys, warnings
import numpy as np
from threadpoolctl import threadpool_limits
from daskflow import models
warnings.simplefilter("ignore")
folder, kind, task, few = sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
model = models.parse(kind)
names = [*model.template(task).get_params(), *model.further_names]
params = {name: value for name, value in few.items() if name in names and (name != "max_iter" or "boosting" in kind)}
params |= {"max_iter": 2} if kind == "mlp" else {}
X = np.load(f"{folder}/X.npy", mmap_mode="r")
y = np.load(f"{folder}/{'number' if task == 'regression' else 'label'}.npy")
with threadpool_limits(1):
    model.estimator(task, params, 0).fit(np.array(X[:2000]), y[:2000])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    model.estimator(task, params, 0).fit(np.asarray(X), y)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / X.nbytes)
"""


def measured(folder: Path, kind: str, task: str) -> float:
    """Matrices that a fit of a family takes."""
    done = subprocess.run(
        [sys.executable, "-c", ONE, str(folder), kind, task, json.dumps(FEW)],
        capture_output=True,
        text=True,
        check=False,
    )
    return float(done.stdout.split()[-1]) if done.returncode == 0 else float("nan")


def main(n_rows: int = 400_000, n_columns: int = 50) -> None:
    """Measure every family."""
    from daskflow import models

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        X = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
        np.save(folder / "X.npy", X)
        np.save(folder / "label.npy", (X[:, 0] + rng.normal(size=n_rows) > 0).astype(np.int64))
        np.save(folder / "number.npy", X[:, 0] + rng.normal(size=n_rows))
        del X
        print(f"{n_rows:,} rows x {n_columns} columns, {4 * n_rows * n_columns / 2**20:.0f} MiB", flush=True)
        for kind, cls in models.REGISTRY.kinds.items():
            for task in ("binary", "regression"):
                if task in cls.tasks and kind not in ("estimator", "families"):
                    named = {"n_estimators": 5} if "forest" in kind or "trees" in kind else {}
                    said = cls(params=named).fit_bytes(task, n_rows, n_columns) / (4 * n_rows * n_columns)
                    print(f"{kind:24} {task:12} {measured(folder, kind, task):6.2f} (said: {said:.2f})", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
