"""The last fit of boosted trees: one process, each library's own Dask interface, and daskflow's, in turns.

    python tests/bench/boosting.py --rows 500000 --trees 100 --repeats 3

Workload W4: 30 columns, of which 15 tell and 5 repeat, in float32; 100 trees; two workers of one thread. The matrix is
on disk, as a run leaves it; each Dask interface gets it as its documentation says, as a dask array of four chunks that
is persisted on the workers, which is not counted. Clusters are warm: each way runs once before it is timed. CPU-seconds
are those of all processes, and waiting threads are passive everywhere: OMP_WAIT_POLICY is set before libraries load.
"""

from __future__ import annotations

import argparse
import os

os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0", "KMP_BLOCKTIME": "0"})

import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import dask.array as da
import lightgbm
import lightgbm.dask
import numpy as np
import psutil
import xgboost
import xgboost.dask
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score

from daskflow.clusters.local import Local
from daskflow.core.protocols import Connection
from daskflow.data.matrices import MatrixPart
from daskflow.search.distributed_fit import distributed_fit

SCORED = 100_000
"""First rows of training, which the AUC is of, as in the measurements that this is compared with."""

CHUNKS, BLOCKS = 4, 64


@dataclass(frozen=True)
class Family:
    """Model settings of one estimator."""

    given: Any

    def estimator(self, task: str, params: Mapping[str, Any], seed: int | None) -> Any:
        """A copy."""
        return clone(self.given)


def write(folder: Path, rows: int) -> tuple[MatrixPart, Any, Any]:
    """Make the rows and write them as a run does."""
    X, y = make_classification(
        rows, 30, n_informative=15, n_redundant=5, class_sep=0.6, weights=[0.7], flip_y=0.05, random_state=4
    )
    X = np.ascontiguousarray(X, dtype=np.float32)
    np.save(folder / "X.npy", X)
    np.save(folder / "y.npy", y.astype(np.int64))
    offsets = tuple(np.linspace(0, rows, BLOCKS + 1).astype(int).tolist())
    return MatrixPart(str(folder), rows, 30, offsets, tuple(range(BLOCKS)), False, False), X, y


def cpu() -> float:
    """CPU-seconds of this process and all below it, those that have ended included."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        except psutil.Error:
            continue
    return total


def ways(part: MatrixPart, X: Any, y: Any, connection: Connection, trees: int) -> dict[str, Callable[[], Any]]:
    """Every way to fit, by name; each returns a fitted estimator."""
    client = connection.client
    lazy_X = client.persist(da.from_array(X, chunks=(len(X) // CHUNKS + 1, 30)))
    lazy_y = client.persist(da.from_array(y, chunks=len(X) // CHUNKS + 1))
    xgb = {"n_estimators": trees, "max_depth": 6, "learning_rate": 0.1, "tree_method": "hist", "max_bin": 256}
    lgb = {"n_estimators": trees, "num_leaves": 64, "learning_rate": 0.1, "max_bin": 255, "verbose": -1}

    def by_dask(family: Any, params: Mapping[str, Any]) -> Any:
        model = family(**params)
        model.client = client
        with warnings.catch_warnings(), client.as_current():
            warnings.simplefilter("ignore")
            return model.fit(lazy_X, lazy_y)

    def by_us(estimator: Any, spread: Any) -> Any:
        with tempfile.TemporaryDirectory() as folder:
            return distributed_fit(
                connection,
                part,
                Family(estimator),
                {},
                task="binary",
                n_classes=2,
                seed=None,
                folder=Path(folder),
                spread=spread,
            )

    return {
        "xgboost, one process, 2 threads": lambda: xgboost.XGBClassifier(**xgb, n_jobs=2).fit(X, y),
        "xgboost.dask": lambda: by_dask(xgboost.dask.DaskXGBClassifier, xgb),
        "daskflow, xgboost, a process per worker": lambda: by_us(xgboost.XGBClassifier(**xgb), "workers"),
        "daskflow, xgboost": lambda: by_us(xgboost.XGBClassifier(**xgb), "machines"),
        "lightgbm, one process, 2 threads": lambda: lightgbm.LGBMClassifier(**lgb, n_jobs=2).fit(X, y),
        "lightgbm.dask": lambda: by_dask(lightgbm.dask.DaskLGBMClassifier, lgb),
        "daskflow, lightgbm, a process per worker": lambda: by_us(lightgbm.LGBMClassifier(**lgb), "workers"),
        "daskflow, lightgbm": lambda: by_us(lightgbm.LGBMClassifier(**lgb), "machines"),
    }


def auc(model: Any, X: Any, y: Any) -> float:
    """Score the first rows in this process."""
    local = model.to_local() if hasattr(model, "to_local") else model
    booster = local.get_booster() if hasattr(local, "get_booster") else None
    said = booster.inplace_predict(X[:SCORED]) if booster is not None else local.predict_proba(X[:SCORED])[:, 1]
    return float(roc_auc_score(y[:SCORED], said))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--trees", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", choices=["xgboost", "lightgbm"], help="one library")
    given = parser.parse_args()
    seconds: dict[str, list[float]] = {}
    cpus: dict[str, list[float]] = {}
    scores: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder, Local(workers=2, memory="none").open() as connection:
        part, X, y = write(Path(folder), given.rows)
        chosen = {
            name: fit
            for name, fit in ways(part, X, y, connection, given.trees).items()
            if given.only is None or given.only in name
        }
        for turn in range(given.repeats + 1):
            for name, fit in chosen.items():
                before, began = cpu(), time.perf_counter()
                model = fit()
                took, used = time.perf_counter() - began, cpu() - before
                if turn:
                    seconds.setdefault(name, []).append(took)
                    cpus.setdefault(name, []).append(used)
                else:
                    scores[name] = auc(model, X, y)
                print(f"turn {turn}  {name:<42} {took:7.1f} s  {used:7.1f} CPU-s", flush=True)
    libraries = ", ".join(f"{name} {version(name)}" for name in ("xgboost", "lightgbm", "distributed"))
    print(f"\n{given.rows:,} rows, {given.trees} trees; medians of {given.repeats}; load {os.getloadavg()[0]:.1f}")
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors; {libraries}")
    for name in chosen:
        wall, used = median(seconds[name]), median(cpus[name])
        library = "xgboost" if "xgboost" in name else "lightgbm"
        peer = f"{library}.dask"
        beside = f"{wall / median(seconds[peer]):5.2f}x wall, {used / median(cpus[peer]):5.2f}x CPU of {peer}"
        print(f"{name:<42} {wall:7.1f} s  {used:7.1f} CPU-s  AUC {scores[name]:.4f}  {beside}")


if __name__ == "__main__":
    main()
