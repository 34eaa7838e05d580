"""A workflow by hand on plain dask-jobqueue: files, a split, preprocessing, and fits of SGD on the worker.

    python tests/bench/faults/first_fit.py "cars/*.csv" --target price [--tls]

What a user of Dask and dask-ml writes for the work of `tests/bench/queues.py`: the frames are lazy, the
preprocessing is fitted on the training rows only, and a fit is one task. `--task` does nothing but one small fit. What
is printed last is when the first fit was done, in seconds since 1970.
"""

from __future__ import annotations

import argparse
import os
import time
from typing import Any


def one_fit(alpha: float) -> float:
    """Fit a few rows; return when that was done."""
    import numpy as np
    from sklearn.linear_model import SGDRegressor

    SGDRegressor(alpha=alpha).fit(np.ones((10, 2)), np.arange(10.0))
    return time.time()


def scored(alpha: float, X: Any, y: Any, X_valid: Any, y_valid: Any) -> tuple[float, float]:
    """Fit, score; return the score and when it was there."""
    from sklearn.linear_model import SGDRegressor
    from sklearn.metrics import root_mean_squared_error

    model = SGDRegressor(alpha=alpha, random_state=0).fit(X, y)
    return float(root_mean_squared_error(y_valid, model.predict(X_valid))), time.time()


def by_hand(client: Any, pattern: str, target: str) -> float:
    """Read, split, preprocess, fit four candidates; return when the first was done."""
    import dask.dataframe as dd
    import numpy as np
    import pandas as pd
    from dask_ml.model_selection import train_test_split
    from dask_ml.preprocessing import StandardScaler

    table = dd.read_csv(pattern)
    words = [name for name, dtype in table.dtypes.items() if not pd.api.types.is_numeric_dtype(dtype)]
    y = table[target]
    X = dd.get_dummies(table.drop(columns=target).categorize(words), columns=words).astype(float)
    parts = train_test_split(X, y, test_size=0.2, random_state=0, shuffle=True)
    scaler = StandardScaler().fit(parts[0])
    X_train, X_test = scaler.transform(parts[0]), scaler.transform(parts[1])
    pieces = client.compute([X_train, parts[2], X_test, parts[3]])
    fits = [client.submit(scored, float(alpha), *pieces, pure=False) for alpha in np.logspace(-6, -1, 4)]
    return float(min(at for _, at in client.gather(fits)))


def main() -> None:
    """Open the cluster, and print when the first fit was done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pattern", nargs="?", default="")
    parser.add_argument("--target", default="price")
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--task", action="store_true")
    options = parser.parse_args()

    from distributed import Client
    from plain import cluster, folder

    place, more = folder(), {}
    if options.tls:
        from distributed.security import Security

        keys = place / "keys"
        keys.mkdir(mode=0o700)
        more = {"security": Security.temporary(), "shared_temp_directory": str(keys)}
    os.environ.pop("SLURM_MEM_PER_NODE", None)  # where this runs in a job: sbatch refuses its own variables
    with cluster(place, **more) as jobqueue:
        jobqueue.scale(1)
        with Client(jobqueue) as client:
            at = (
                client.submit(one_fit, 1e-4).result()
                if options.task
                else by_hand(client, options.pattern, options.target)
            )
            print(at, flush=True)


if __name__ == "__main__":
    main()
