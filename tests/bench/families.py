"""What one fit of each family costs, and how good it is untuned: on a table of real rows, with one thread.

    python -m tests.bench.families PATH/UCI_Credit_Card.csv

"Default of Credit Card Clients" (UCI, CC BY 4.0), 30,000 rows: 20,000 drawn to train, 10,000 to score. Columns are
standardised; parameters are the families' own. Fits are repeated in turns; CPU-seconds are medians with their range.
"""

from __future__ import annotations

import statistics
import sys
import time
import warnings

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from daskflow import models
from daskflow.data.predictions import predict

REPEATS = 3


def main(path: str) -> None:
    """Fit every family for two classes."""
    warnings.simplefilter("ignore")
    table = pd.read_csv(path).sample(frac=1, random_state=0)
    y = table["default.payment.next.month"].to_numpy()
    X = StandardScaler().fit_transform(table.drop(columns=["ID", "default.payment.next.month"])).astype(np.float32)
    kinds = [
        k for k, cls in models.REGISTRY.kinds.items() if "binary" in cls.tasks and k not in ("estimator", "families")
    ]
    fits: dict[str, list[float]] = {kind: [] for kind in kinds}
    scores: dict[str, float] = {}
    with threadpool_limits(1):
        for _ in range(REPEATS):
            for kind in kinds:
                model = models.parse(kind)
                estimator, begun = model.estimator("binary", {}, 0), time.process_time()
                estimator.fit(X[:20_000], y[:20_000])
                fits[kind].append(time.process_time() - begun)
                scores[kind] = roc_auc_score(y[20_000:], predict(estimator, X[20_000:], 2).scores)
    for kind in sorted(kinds, key=lambda kind: -scores[kind]):
        taken = f"{statistics.median(fits[kind]):7.2f} s ({min(fits[kind]):.2f}-{max(fits[kind]):.2f})"
        print(f"{kind:24} {taken}  roc_auc {scores[kind]:.4f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
