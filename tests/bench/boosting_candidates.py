"""20 boosting candidates on three folds (W2): one thread per fit, whatever OMP_NUM_THREADS the user has set.

    python tests/bench/boosting_candidates.py FOLDER --threads unset 1 2 8 --repeats 3

HistGradientBoostingClassifier of 40 rounds on the first 20,000 rows of the mixed table of ``grid_pipelines.py``, text
as categories; scored by roc_auc. ``serial`` is scikit-learn's grid search in one process of one thread, and does not
change; the others run in two processes, each once for every value of OMP_NUM_THREADS in the user's environment.
OpenMP's waiting threads spin unless they are told otherwise, and nobody is told here. Clusters, processes and imports
are made and warmed before the clock starts.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import turns
from grid_pipelines import best_of, mixed

ROWS, N, ROUNDS = 20_000, 20, 40


def candidates() -> list[dict[str, Any]]:
    """Parameters of the classifier."""
    rng = np.random.default_rng(5)
    return [
        {
            "learning_rate": float(10 ** rng.uniform(-1.5, -0.3)),
            "max_leaf_nodes": int(rng.integers(8, 64)),
            "min_samples_leaf": int(rng.integers(5, 100)),
            "l2_regularization": float(10 ** rng.uniform(-3, 1)),
        }
        for _ in range(N)
    ]


def grid(most: int = N) -> list[dict[str, list[Any]]]:
    """The candidates as a list of grids of one value each."""
    return [{name: [value] for name, value in each.items()} for each in candidates()[:most]]


class Data:
    """The rows and folds."""

    def __init__(self, path: Path) -> None:
        """Read."""
        from sklearn.model_selection import StratifiedKFold

        frame = pd.read_parquet(path)
        self.y = frame.pop("target").to_numpy()
        self.words = frame
        text = [name for name in frame.columns if name.startswith("c")]
        self.X = frame.astype(dict.fromkeys(text, "category"))
        self.folds = list(StratifiedKFold(3).split(self.X, self.y))


def estimator() -> Any:
    """The classifier."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=ROUNDS, random_state=0, early_stopping=False, categorical_features="from_dtype"
    )


def by_grid_search(search: Any, data: Data, clock: turns.Clock) -> dict[str, Any]:
    """Warm a grid search class on few rows, and time it on all."""
    search(estimator(), grid(4), cv=3).fit(data.X[:2000], data.y[:2000])
    with clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = search(estimator(), grid(), cv=data.folds).fit(data.X, data.y)
    return best_of(found.cv_results_["mean_test_score"])


def scikit_learn(n_jobs: int) -> Callable[[Data, turns.Clock], dict[str, Any]]:
    """scikit-learn's grid search in so many processes of loky."""

    def run(data: Data, clock: turns.Clock) -> dict[str, Any]:
        from sklearn.model_selection import GridSearchCV

        return by_grid_search(partial(GridSearchCV, scoring="roc_auc", refit=False, n_jobs=n_jobs), data, clock)

    return run


def on_two_workers(module: str) -> Callable[[Data, turns.Clock], dict[str, Any]]:
    """The grid search of a module on two workers."""

    def run(data: Data, clock: turns.Clock) -> dict[str, Any]:
        from importlib import import_module

        from distributed import Client, LocalCluster

        search = partial(import_module(module).GridSearchCV, scoring="roc_auc", refit=False)
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
            Client(cluster),
        ):
            return by_grid_search(search, data, clock)

    return run


def workflow(data: Data, clock: turns.Clock) -> dict[str, Any]:
    """daskflow's workflow, from the file to the report; categories are codes there, and are declared to be so."""
    import listed
    from distributed import Client, LocalCluster
    from sklearn.model_selection import StratifiedKFold

    import daskflow as flow

    numbers = sum(name.startswith("n") for name in data.words.columns)
    columns = list(range(numbers, len(data.words.columns)))
    model = flow.models.HistGradientBoosting(
        params={"max_iter": ROUNDS, "random_state": 0, "categorical_features": columns}
    )
    preprocess = {"numeric": "passthrough", "categorical": ["ordinal"]}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):

        def run(rows: int, most: int, clock: turns.Clock) -> dict[str, Any]:
            return listed.run(
                data.words[:rows],
                data.y[:rows],
                list(StratifiedKFold(3).split(data.words[:rows], data.y[:rows])),
                candidates()[:most],
                address=cluster.scheduler_address,
                model=model,
                preprocess=preprocess,
                clock=clock,
            )

        run(2000, 4, turns.Clock())
        return run(ROWS, N, clock)


TOOLS: dict[str, Callable[[Data, turns.Clock], dict[str, Any]]] = {
    "serial": scikit_learn(1),
    "daskflow": on_two_workers("daskflow.search"),
    "daskflow workflow": workflow,
    "dask-ml": on_two_workers("dask_ml.model_selection"),
    "scikit-learn loky": scikit_learn(2),
}


def main() -> None:
    """Every tool and number of threads in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the table is written, once")
    parser.add_argument("--threads", nargs="*", default=["unset", "1", "2", "8"], help="values of OMP_NUM_THREADS")
    turns.add_options(parser, list(TOOLS), repeats=3)
    options = parser.parse_args()
    path = options.folder / f"mixed-{ROWS}.parquet"
    if options.one:
        data = Data(path)
        turns.answer(lambda clock: TOOLS[options.one](data, clock))
        return
    if not path.exists():
        options.folder.mkdir(parents=True, exist_ok=True)
        mixed().head(ROWS).to_parquet(path)
    pythons = turns.pythons(options)
    runs_of = {tool: (tool, "1") for tool in options.tools if tool == "serial"} | {
        f"{tool}, {threads}": (tool, threads)
        for threads in options.threads
        for tool in options.tools
        if tool != "serial"
    }

    def run(name: str) -> dict[str, Any]:
        tool, threads = runs_of[name]
        return turns.once(
            __file__,
            [str(options.folder), "--one", tool],
            environment={"OMP_NUM_THREADS": "" if threads == "unset" else threads},
            **({"python": pythons[tool]} if tool in pythons else {}),
        )

    runs = turns.in_turns(list(runs_of), options.repeats, run, ["best", "score"])
    print(turns.table(runs, {"best candidate": ("best", 0), "its AUC": ("score", 6)}))
    print(turns.about(runs, options.repeats))


if __name__ == "__main__":
    main()
