"""SGD candidates trained together beside scikit-learn's one by one: CPU-seconds of one pass, or of whole fits.

    python tests/bench/fused_sgd.py --candidates 1 4 16 64 --repeats 5
    python tests/bench/fused_sgd.py --fit --candidates 1 4 16 64 --repeats 5

With ``--fit`` the first 67,000 rows (a fold of 100,000) are fitted whole, in five epochs and without a rule of
stopping, or with ``--tol`` by that one; all candidates have one ``random_state``.

The table is that of workload W3: make_classification, 1.1 M rows of 50 columns, standardised, float32, of which the
first 270,000 are seen in 27 blocks; the candidates are drawn as there. Both ways have the same candidates, fresh in
each repeat, and take turns. The scores compared are of 27,000 further rows.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy's library of linear algebra reads it

import numpy as np
import sklearn
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import SGDClassifier
from sklearn.preprocessing import StandardScaler

from daskflow.fused.sgd import decision_many, fit_many, partial_fit_many


def table(rows: int) -> tuple[Any, Any]:
    """Rows and classes of the workload."""
    X, y = make_classification(
        rows,
        50,
        n_informative=25,
        n_redundant=8,
        n_clusters_per_class=8,
        class_sep=0.5,
        flip_y=0.05,
        weights=[0.7],
        random_state=3,
    )
    return StandardScaler().fit_transform(X).astype(np.float32), y


def drawn(count: int, penalties: list[str], averages: list[bool]) -> list[Any]:
    """Candidates of the workload."""
    rng = np.random.default_rng(11)
    return [
        SGDClassifier(
            loss="log_loss",
            random_state=0,
            alpha=10 ** rng.uniform(-7, -1),
            learning_rate=str(rng.choice(["optimal", "constant", "invscaling", "adaptive"])),
            eta0=10 ** rng.uniform(-5, 0),
            penalty=str(rng.choice(penalties)),
            average=bool(rng.choice(averages)),
        )
        for _ in range(count)
    ]


def together(models: list[Any], blocks: list[tuple[Any, Any]]) -> None:
    """All candidates over all blocks, block by block."""
    for number, (X, y) in enumerate(blocks):
        partial_fit_many(models, X, y, n_classes=2, order_seed=number)


def one_by_one(models: list[Any], blocks: list[tuple[Any, Any]]) -> None:
    """The same by scikit-learn."""
    for X, y in blocks:
        for model in models:
            model.partial_fit(X, y, classes=[0, 1])


def fitted_together(models: list[Any], blocks: list[tuple[Any, Any]]) -> None:
    """Whole fits of all candidates on the first block."""
    fit_many(models, *blocks[0])


def fitted_one_by_one(models: list[Any], blocks: list[tuple[Any, Any]]) -> None:
    """The same by scikit-learn."""
    for model in models:
        model.fit(*blocks[0])


def timed(work: Callable[[], Any]) -> float:
    """CPU-seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def main() -> None:
    """Measure, and print one line for each number of candidates."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--candidates", type=int, nargs="+", default=[1, 4, 16, 64])
    options.add_argument("--table-rows", type=int, default=1_100_000)
    options.add_argument("--rows", type=int, default=270_000)
    options.add_argument("--block-rows", type=int, default=10_000)
    options.add_argument("--repeats", type=int, default=5)
    options.add_argument("--penalties", nargs="+", default=["l2", "l1", "elasticnet"])
    options.add_argument("--average", choices=["both", "yes", "no"], default="both")
    options.add_argument("--fit", action="store_true")
    options.add_argument("--tol", type=float)
    chosen = options.parse_args()
    fused, plain = (fitted_together, fitted_one_by_one) if chosen.fit else (together, one_by_one)
    epochs = {"max_iter": 5 if chosen.tol is None else 1000, "tol": chosen.tol} if chosen.fit else {}
    warnings.simplefilter("ignore", ConvergenceWarning)
    if chosen.fit:
        chosen.rows = chosen.block_rows = 67_000
    averages = {"both": [True, False], "yes": [True], "no": [False]}[chosen.average]
    X, y = table(chosen.table_rows)
    starts = range(0, chosen.rows, chosen.block_rows)
    blocks = [(X[start : start + chosen.block_rows], y[start : start + chosen.block_rows]) for start in starts]
    held_out = slice(chosen.rows, chosen.rows + chosen.rows // 10)
    print(f"{platform.processor() or platform.machine()}, scikit-learn {sklearn.__version__}, numpy {np.__version__}")
    few = [(blocks[0][0][:10_000], blocks[0][1][:10_000])]
    first = timed(lambda: fused(drawn(FIRST, chosen.penalties, averages), few))
    print(f"first block of {FIRST} candidates, with compiling what is not kept compiled: {first:.2f} CPU-s")
    for count in chosen.candidates:
        candidates = drawn(count, chosen.penalties, averages)
        seconds: dict[str, list[float]] = {"fused": [], "one by one": [], "decide": [], "decide one by one": []}
        for _ in range(chosen.repeats):
            ours = [clone(model).set_params(**epochs) for model in candidates]
            theirs = [clone(model) for model in ours]
            seconds["fused"].append(timed(lambda ours=ours: fused(ours, blocks)))
            seconds["one by one"].append(timed(lambda theirs=theirs: plain(theirs, blocks)))
            seconds["decide"].append(timed(lambda ours=ours: decision_many(ours, X[held_out])))
            seconds["decide one by one"].append(
                timed(lambda theirs=theirs: [model.decision_function(X[held_out]) for model in theirs])
            )
        median = {name: statistics.median(values) for name, values in seconds.items()}
        best = [max(model.score(X[held_out], y[held_out]) for model in models) for models in (ours, theirs)]
        spread = {name: f"({min(values):.3f}-{max(values):.3f})" for name, values in seconds.items()}
        print(
            f"{count:3d} candidates: fused {median['fused']:.3f} CPU-s {spread['fused']}, "
            f"one by one {median['one by one']:.3f} {spread['one by one']}, "
            f"{median['one by one'] / median['fused']:.1f} times; decision values {median['decide'] * 1e3:.1f} ms, "
            f"one by one {median['decide one by one'] * 1e3:.1f}; best accuracy {best[0]:.5f}, {best[1]:.5f}",
            flush=True,
        )


FIRST = 20
"""Candidates of the first block: more than stand side by side, so that both widths are compiled."""

if __name__ == "__main__":
    main()
