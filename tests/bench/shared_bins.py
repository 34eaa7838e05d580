"""What a short boosting fit costs when its rows are binned already, beside one that cuts them anew.

python -m tests.bench.shared_bins [ROWS] [COLUMNS]

Ten rounds of trees of depth 4, one thread, in turns; CPU-seconds are medians of four, with their range.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from daskflow import models
from daskflow.models.boosting.shared import SHELF

REPEATS, ROUNDS = 4, 10


def main(n_rows: int = 200_000, n_columns: int = 50) -> None:
    """Fit both libraries both ways."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as place, threadpool_limits(1):
        numbers = rng.normal(size=(n_rows, n_columns)).astype(np.float32)
        np.save(Path(place, "X.npy"), numbers)
        np.save(Path(place, "y.npy"), (numbers[:, 0] + rng.normal(size=n_rows) > 0).astype(np.int64))
        X, y = (np.asarray(np.load(Path(place, f"{name}.npy"), mmap_mode="r")) for name in "Xy")
        for kind in ("xgboost", "lightgbm"):
            model, taken = models.parse(kind), {"cut anew": [0.0] * REPEATS, "shared": [0.0] * REPEATS}
            for repeat in range(REPEATS):
                SHELF.clear()
                for seconds in taken.values():
                    estimator, begun = model.estimator("binary", {"max_depth": 4}, repeat), time.process_time()
                    model.continue_fit(estimator, X, y, ROUNDS)
                    seconds[repeat] = time.process_time() - begun
            for way, seconds in taken.items():
                print(f"{kind:9} {way:9} {statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
