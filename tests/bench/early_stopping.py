"""Early stopping over SGD candidates (W3): daskflow's ASHA beside one written by hand, dask-ml's and scikit-learn's.

    python tests/bench/early_stopping.py FOLDER --rows 270000 --repeats 3
    ... --tools daskflow dask-ml --python dask-ml=/path/to/another/environment/bin/python

60 configurations of SGDClassifier see up to 27 blocks, each a 27th of the rows of make_classification (50 columns,
standardised, float32), and are scored by accuracy on 27,000 further rows. Two processes each. Clusters, processes and
imports are made before the clock starts, and a small search warms them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import tempfile
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import turns

HELD_OUT, MOST, ETA, N = 27_000, 27, 3, 60


def write(folder: Path, rows: int) -> None:
    """Write rows and classes, once."""
    if (folder / "y.npy").exists():
        return
    from sklearn.datasets import make_classification
    from sklearn.preprocessing import StandardScaler

    folder.mkdir(parents=True, exist_ok=True)
    X, y = make_classification(
        1_100_000,
        50,
        n_informative=25,
        n_redundant=8,
        n_clusters_per_class=8,
        class_sep=0.5,
        flip_y=0.05,
        weights=[0.7],
        random_state=3,
    )
    X = StandardScaler().fit_transform(X).astype(np.float32)
    np.save(folder / "X.npy", X[: rows + HELD_OUT])
    np.save(folder / "y.npy", y[: rows + HELD_OUT])


def configurations() -> list[dict[str, Any]]:
    """The candidates."""
    rng = np.random.default_rng(11)
    return [
        {
            "alpha": float(10 ** rng.uniform(-7, -1)),
            "learning_rate": str(rng.choice(["optimal", "constant", "invscaling", "adaptive"])),
            "eta0": float(10 ** rng.uniform(-5, 0)),
            "penalty": str(rng.choice(["l2", "l1", "elasticnet"])),
            "average": bool(rng.integers(2)),
        }
        for _ in range(N)
    ]


def daskflow(folder: Path, rows: int, clock: turns.Clock) -> float:
    """ASHA through journal, engine, workers and snapshots."""
    import daskflow as flow
    import daskflow.metrics
    from daskflow import models
    from daskflow.core.journal import Journal
    from daskflow.data.matrices import FoldMatrices, Matrices, MatrixPart
    from daskflow.search import engine
    from daskflow.search.asha import ASHA
    from daskflow.search.candidates import named
    from daskflow.search.fits import MatrixWork

    X, y = np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")

    def part(name: str, begin: int, stop: int) -> MatrixPart:
        where = folder / name
        if not (where / "y.npy").exists():
            where.mkdir(exist_ok=True)
            np.save(where / "X.npy", X[begin:stop])
            np.save(where / "y.npy", y[begin:stop])
        offsets = tuple(range(0, stop - begin + 1, rows // MOST)) if begin == 0 else (0, stop - begin)
        return MatrixPart(str(where), stop - begin, 50, offsets, tuple(range(len(offsets) - 1)), False, False)

    parts = FoldMatrices(part(f"train-{rows}", 0, rows), part(f"test-{rows}", rows, rows + HELD_OUT))
    with flow.clusters.Local(workers=2).open() as connection, tempfile.TemporaryDirectory() as place:

        def search(name: str, drawn: list[dict[str, Any]], most: int) -> Any:
            kind = ASHA(trials=len(drawn), max_iter=most, aggressiveness=ETA)
            own = Path(place) / name
            (own / "snapshots").mkdir(parents=True)
            work = MatrixWork(
                model=models.parse("sgd"),
                task="binary",
                n_classes=2,
                matrices=Matrices((parts,), None, None),
                metrics=[daskflow.metrics.REGISTRY.parse("accuracy")],
                metric="accuracy",
                seed=0,
                snapshots=own / "snapshots",
                search=kind,
            )
            policy = kind.policy(
                {"alpha": [1.0]} if len(drawn) == 1 else {"alpha": [c["alpha"] for c in drawn]}, seed=0
            )
            policy.candidates = named(drawn)
            with Journal(own / "journal.jsonl") as journal, held(connection.executor) as executor:
                return engine.run(policy, work, executor, recorder=journal)

        search("warm", configurations()[:16], 3)
        with clock:
            result = search("real", configurations(), MOST)
        connection.executor.vacate()
        return float(result.best.score)


class held:  # noqa: N801  reads as what it does
    """An executor whose seats outlive a search, as imports are left out for every tool."""

    def __init__(self, executor: Any) -> None:
        self.executor = executor

    def __enter__(self) -> Any:
        self.vacate, self.executor.vacate = self.executor.vacate, lambda: None
        return self.executor

    def __exit__(self, *_: object) -> None:
        self.executor.vacate = self.vacate


def hand(folder: Path, rows: int, clock: turns.Clock) -> float:
    """ASHA by hand: two processes, models pinned to the process that has them, rungs 1, 3, 9, 27, a third goes on."""
    context = multiprocessing.get_context("fork")
    from sklearn.linear_model import SGDClassifier

    asked = [context.SimpleQueue() for _ in range(2)]
    told: Any = context.SimpleQueue()

    def serve(number: int) -> None:

        X, y = np.load(folder / "X.npy", mmap_mode="r"), np.load(folder / "y.npy", mmap_mode="r")
        held_out = X[rows : rows + HELD_OUT], y[rows : rows + HELD_OUT]
        owned: dict[int, Any] = {}
        while (job := asked[number].get()) is not None:
            trial, params, start, stop = job
            model = owned.setdefault(trial, SGDClassifier(loss="log_loss", random_state=0, **params))
            for block in range(start, stop):
                at = slice(block * (rows // MOST), (block + 1) * (rows // MOST))
                model.partial_fit(X[at], y[at], classes=[0, 1])
            told.put((number, trial, stop, float((model.predict(held_out[0]) == held_out[1]).mean())))

    processes = [context.Process(target=serve, args=(number,), daemon=True) for number in range(2)]
    for process in processes:
        process.start()
    for number in range(2):  # warm
        asked[number].put((-1 - number, configurations()[0], 0, 1))
    for _ in range(2):
        told.get()
    with clock:
        best = run_by_hand(configurations(), asked, told)
    for queue in asked:
        queue.put(None)
    for process in processes:
        process.join()
    return best


def run_by_hand(drawn: list[dict[str, Any]], asked: list[Any], told: Any) -> float:
    """The driver of `hand`."""
    rungs = [1, 3, 9, 27]
    scores: dict[int, dict[int, float]] = {rung: {} for rung in rungs}
    gone: dict[int, set[int]] = {rung: set() for rung in rungs}
    owner: dict[int, int] = {}
    fresh = list(range(len(drawn)))
    busy = [False, False]

    def job(number: int) -> tuple[int, int, int] | None:
        for rung, higher in zip(reversed(rungs[:-1]), reversed(rungs[1:]), strict=True):
            ranked = sorted(scores[rung], key=lambda trial: -scores[rung][trial])
            for trial in ranked[: len(ranked) // ETA]:
                if trial not in gone[rung] and owner[trial] == number:
                    gone[rung].add(trial)
                    return trial, rung, higher
        return (fresh.pop(0), 0, 1) if fresh else None

    best = 0.0
    while True:
        for number in (0, 1):
            if not busy[number] and (found := job(number)) is not None:
                owner.setdefault(found[0], number)
                asked[number].put((found[0], drawn[found[0]], found[1], found[2]))
                busy[number] = True
        if not any(busy):
            return best
        number, trial, stop, score = told.get()
        busy[number] = False
        scores[stop][trial] = score
        best = max(best, score)


def dask_ml(folder: Path, rows: int, clock: turns.Clock) -> float:
    """HyperbandSearchCV on two workers; from dask 2025.3 on it needs ``scheduler=client.get``."""
    import dask
    import dask.array as da
    from dask_ml.model_selection import HyperbandSearchCV
    from distributed import Client, LocalCluster
    from scipy.stats import loguniform
    from sklearn.linear_model import SGDClassifier

    space = {
        "alpha": loguniform(1e-7, 1e-1),
        "learning_rate": ["optimal", "constant", "invscaling", "adaptive"],
        "eta0": loguniform(1e-5, 1),
        "penalty": ["l2", "l1", "elasticnet"],
        "average": [True, False],
    }
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")
    is_new = tuple(map(int, dask.__version__.split(".")[:2])) >= (2025, 3)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
        dask.config.set(scheduler=client.get) if is_new else nullcontext(),
    ):
        lazy = da.from_array(X, chunks=(rows // MOST, 50)), da.from_array(y, chunks=rows // MOST)
        if is_new:  # dask 2025.2 cannot split what is persisted: there the rows travel while the clock runs
            lazy = lazy[0].persist(), lazy[1].persist()

        def search(most: int) -> Any:
            estimator = SGDClassifier(loss="log_loss", random_state=0)
            share = HELD_OUT / len(X)
            found = HyperbandSearchCV(
                estimator, space, max_iter=most, aggressiveness=ETA, random_state=0, test_size=share
            )
            return found.fit(*lazy, classes=[0, 1])

        search(3)
        with clock:
            result = search(MOST)
        return float(result.best_score_)


def scikit_learn(folder: Path, rows: int, clock: turns.Clock) -> float:
    """HalvingRandomSearchCV with loky: rows are the resource, one epoch each."""
    from scipy.stats import loguniform
    from sklearn.experimental import enable_halving_search_cv  # noqa: F401
    from sklearn.linear_model import SGDClassifier
    from sklearn.model_selection import HalvingRandomSearchCV, ShuffleSplit

    space = {
        "alpha": loguniform(1e-7, 1e-1),
        "learning_rate": ["optimal", "constant", "invscaling", "adaptive"],
        "eta0": loguniform(1e-5, 1),
        "penalty": ["l2", "l1", "elasticnet"],
        "average": [True, False],
    }
    X, y = np.load(folder / "X.npy"), np.load(folder / "y.npy")

    def search(n: int) -> Any:
        found = HalvingRandomSearchCV(
            SGDClassifier(loss="log_loss", random_state=0, max_iter=1, tol=None),
            space,
            n_candidates=n,
            factor=ETA,
            min_resources=len(X) // MOST,
            cv=ShuffleSplit(1, test_size=HELD_OUT / len(X), random_state=0),
            scoring="accuracy",
            refit=False,
            random_state=0,
            n_jobs=2,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return found.fit(X, y)

    search(4)
    with clock:
        result = search(N)
    return float(result.best_score_)


TOOLS = {"daskflow": daskflow, "hand": hand, "dask-ml": dask_ml, "scikit-learn": scikit_learn}


def main() -> None:
    """Every tool in turn, each run in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=270_000)
    turns.add_options(parser, list(TOOLS), repeats=3)
    options = parser.parse_args()
    options.rows -= options.rows % MOST
    folder = options.folder / f"early-stopping-{options.rows}"
    if options.one:
        turns.answer(lambda clock: {"score": TOOLS[options.one](folder, options.rows, clock)})
        return
    write(folder, options.rows)
    pythons = turns.pythons(options)

    def run(tool: str) -> dict[str, Any]:
        arguments = [str(options.folder), "--rows", str(options.rows), "--one", tool]
        return turns.once(__file__, arguments, **({"python": pythons[tool]} if tool in pythons else {}))

    runs = turns.in_turns(options.tools, options.repeats, run, ["score"])
    print(turns.table(runs, {"best accuracy": ("score", 5)}))
    print(turns.about(runs, options.repeats))


if __name__ == "__main__":
    main()
