"""40 SGD pipelines on three folds of a mixed table (W1): daskflow's grid search beside other tools.

    python tests/bench/grid_pipelines.py FOLDER --data cars --tables FOLDER_OF_TABLES --repeats 5
    python tests/bench/grid_pipelines.py FOLDER --data mixed --repeats 5
    ... --tools daskflow dask-ml ray --python ray=/path/to/another/environment/bin/python

``cars`` is 53,940 rows drawn from ``uk_used_cars`` (9 features, 4 of them text, 195 models; whether the price is
above the median), ``mixed`` is made: 100,000 rows of 30 numbers and 10 columns of text, with gaps. Every tool gets the
same 40 candidates and the same three folds, and scores by roc_auc; none fits the best again, but the workflow, which
reads the file, does everything and writes its report. Its rows stand in another order, on which the last steps of
gradient descent depend. ``floor`` is what is left when all is done by hand: each fold is
transformed once, and two processes share the 120 fits. Two processes each, of one native thread; clusters,
processes and imports are made and warmed before the clock starts.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import turns

N, WARM = 40, 4
CARS_ROWS = 53_940
LEVELS = (3, 4, 5, 6, 8, 10, 12, 15, 18, 20)


def cars(tables: Path) -> pd.DataFrame:
    """Rows of the used cars, of all makes."""
    parts = [pd.read_csv(path) for path in sorted((tables / "uk_used_cars").glob("*.csv.gz"))]
    rows = pd.concat(parts, ignore_index=True).sample(CARS_ROWS, random_state=0).reset_index(drop=True)
    price = rows.pop("price")
    return rows.assign(target=(price > price.median()).astype(np.int64))


def mixed(rows: int = 100_000) -> pd.DataFrame:
    """Make the mixed table."""
    from sklearn.datasets import make_classification

    X, y = make_classification(
        rows,
        40,
        n_informative=18,
        n_redundant=6,
        n_clusters_per_class=4,
        class_sep=0.8,
        flip_y=0.05,
        weights=[0.7],
        random_state=0,
    )
    rng = np.random.default_rng(0)
    numbers = np.where(rng.random((rows, 30)) < 0.05, np.nan, X[:, :30])
    frame = pd.DataFrame(numbers, columns=[f"n{column}" for column in range(30)])
    for place, levels in enumerate(LEVELS):
        codes = rng.permutation(levels)[pd.qcut(X[:, 30 + place], levels, labels=False)]
        words = np.array([f"level-{code}" for code in range(levels)], dtype=object)[codes]
        words[rng.random(rows) < 0.03] = None
        frame[f"c{place}"] = words
    return frame.assign(target=y)


def candidates() -> list[dict[str, Any]]:
    """Parameters of SGDClassifier."""
    rng = np.random.default_rng(7)
    return [
        {
            "alpha": float(10 ** rng.uniform(-6, -1)),
            "penalty": ["l2", "l1", "elasticnet"][i % 3],
            "average": bool(i % 2),
        }
        for i in range(N)
    ]


def grid(most: int = N) -> list[dict[str, list[Any]]]:
    """The candidates as a list of grids of one value each, which every grid search takes."""
    return [{f"sgd__{name}": [value] for name, value in each.items()} for each in candidates()[:most]]


class Data:
    """The table, the pipeline and the folds."""

    def __init__(self, path: Path) -> None:
        """Read."""
        from sklearn.model_selection import StratifiedKFold

        frame = pd.read_parquet(path)
        self.y = frame.pop("target").to_numpy()
        self.X = frame
        self.folds = list(StratifiedKFold(3).split(self.X, self.y))
        self.few = np.sort(np.random.default_rng(0).permutation(len(frame))[:3000])

    def columns(self) -> Any:
        """The preprocessing."""
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        numbers = list(self.X.select_dtypes("number").columns)
        words = [name for name in self.X.columns if name not in numbers]
        return ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
                (
                    "words",
                    make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")),
                    words,
                ),
            ]
        )

    def sgd(self) -> Any:
        """The classifier."""
        from sklearn.linear_model import SGDClassifier

        return SGDClassifier(loss="log_loss", max_iter=5, tol=None, random_state=0)

    def pipeline(self) -> Any:
        """Both."""
        from sklearn.pipeline import Pipeline

        return Pipeline([("columns", self.columns()), ("sgd", self.sgd())])


def best_of(scores: Any) -> dict[str, Any]:
    """Number and mean score of the best candidate."""
    number = int(np.argmax(scores))
    return {"best": number, "score": float(scores[number])}


def by_grid_search(search: Any, data: Data, clock: turns.Clock) -> dict[str, Any]:
    """Warm a grid search class on few rows, and time it on all."""
    search(data.pipeline(), grid(WARM), cv=3).fit(data.X.iloc[data.few], data.y[data.few])
    with clock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = search(data.pipeline(), grid(), cv=data.folds).fit(data.X, data.y)
    return best_of(found.cv_results_["mean_test_score"])


def scikit_learn(n_jobs: int) -> Callable[[Data, turns.Clock], dict[str, Any]]:
    """scikit-learn's grid search in so many processes of loky, which live on between two searches."""

    def run(data: Data, clock: turns.Clock) -> dict[str, Any]:
        from functools import partial

        from sklearn.model_selection import GridSearchCV

        return by_grid_search(partial(GridSearchCV, scoring="roc_auc", refit=False, n_jobs=n_jobs), data, clock)

    return run


def on_two_workers(search: Any, data: Data, clock: turns.Clock) -> dict[str, Any]:
    """A grid search on the default client."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):
        return by_grid_search(search, data, clock)


def dask_ml(data: Data, clock: turns.Clock) -> dict[str, Any]:
    """dask-ml's grid search."""
    from functools import partial

    from dask_ml.model_selection import GridSearchCV

    return on_two_workers(partial(GridSearchCV, scoring="roc_auc", refit=False), data, clock)


def daskflow(data: Data, clock: turns.Clock) -> dict[str, Any]:
    """daskflow's, by the same arguments."""
    from functools import partial

    from daskflow.search import GridSearchCV

    return on_two_workers(partial(GridSearchCV, scoring="roc_auc", refit=False), data, clock)


def workflow(data: Data, clock: turns.Clock) -> dict[str, Any]:
    """daskflow's workflow: from the file to the report."""
    import listed
    from distributed import Client, LocalCluster

    import daskflow as flow

    model = flow.models.SGD(params={"max_iter": 5, "tol": None, "random_state": 0})
    preprocess = {"categorical": [{"kind": "impute", "strategy": "most_frequent"}, "onehot"]}
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster),
    ):

        def run(rows: Any, most: int, clock: turns.Clock) -> dict[str, Any]:
            X, y = data.X.iloc[rows], data.y[rows]
            from sklearn.model_selection import StratifiedKFold

            folds = list(StratifiedKFold(3).split(X, y))
            return listed.run(
                X,
                y,
                folds,
                candidates()[:most],
                address=cluster.scheduler_address,
                model=model,
                preprocess=preprocess,
                clock=clock,
            )

        run(data.few, WARM, turns.Clock())
        return run(np.arange(len(data.X)), N, clock)


def fit_and_score(X: Any, y: Any, X_test: Any, y_test: Any, model: Any) -> float:
    """One fit of the floor."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y_test, model.fit(X, y).decision_function(X_test)))


def floor(data: Data, clock: turns.Clock) -> dict[str, Any]:
    """Each fold transformed once; the fits by joblib, which maps the arrays into its processes."""
    from joblib import Parallel, delayed

    def run(X: Any, y: Any, folds: Any, most: int) -> Any:
        jobs = []
        for train, test in folds:
            columns = data.columns()
            X_train, X_test = columns.fit_transform(X.iloc[train]), columns.transform(X.iloc[test])
            jobs += [(X_train, y[train], X_test, y[test], data.sgd().set_params(**p)) for p in candidates()[:most]]
        found = Parallel(n_jobs=2)(delayed(fit_and_score)(*job) for job in jobs)
        return np.array(found).reshape(len(folds), most).mean(axis=0)

    few = np.arange(len(data.few))
    run(data.X.iloc[data.few], data.y[data.few], [(few[:2000], few[2000:])], WARM)
    with clock:
        scores = run(data.X, data.y, data.folds, N)
    return best_of(scores)


def cross_validated(data: Data, rows: Any, folds: Any, number: int) -> float:
    """Mean score of one candidate, as an objective of a tuner computes it."""
    from sklearn.model_selection import cross_val_score

    params = {f"sgd__{name}": value for name, value in candidates()[number].items()}
    model = data.pipeline().set_params(**params)
    return float(cross_val_score(model, data.X.iloc[rows], data.y[rows], cv=folds, scoring="roc_auc").mean())


def optuna(data: Data, clock: turns.Clock) -> dict[str, Any]:
    """Two forked processes that take queued candidates from a study in a journal file."""
    import multiprocessing

    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    context = multiprocessing.get_context("fork")

    def storage(path: Path) -> Any:
        return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))

    def serve(path: Path, name: str, rows: Any, folds: Any, trials: int) -> None:
        study = optuna.load_study(study_name=name, storage=storage(path))

        def objective(trial: Any) -> float:
            return cross_validated(data, rows, folds, trial.suggest_int("candidate", 0, N - 1))

        study.optimize(objective, n_trials=trials)

    def run(place: Path, name: str, rows: Any, folds: Any, most: int) -> dict[str, Any]:
        study = optuna.create_study(study_name=name, storage=storage(place), direction="maximize")
        for number in range(most):
            study.enqueue_trial({"candidate": number})
        both = [context.Process(target=serve, args=(place, name, rows, folds, most // 2)) for _ in range(2)]
        for process in both:
            process.start()
        for process in both:
            process.join()
        assert len(study.trials) == most
        return {"best": int(study.best_params["candidate"]), "score": float(study.best_value)}

    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cross_validated(data, data.few, 3, 0)  # what is imported here, the forked processes have
        run(Path(place, "warm"), "warm", data.few, 3, WARM)
        with clock:
            return run(Path(place, "real"), "real", np.arange(len(data.X)), data.folds, N)


def ray(data: Data, clock: turns.Clock) -> dict[str, Any]:
    """Ray Tune: two actors, each used for one candidate after the other."""
    import os

    os.environ |= {"RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1"}
    import ray
    from ray import tune

    class Candidate(tune.Trainable):  # type: ignore[misc]
        def setup(self, config: Mapping[str, Any], data: Any = None, rows: Any = None, folds: Any = None) -> None:
            self.given, self.number = (data, rows, folds), config["candidate"]

        def step(self) -> dict[str, Any]:
            return {"score": cross_validated(*self.given, self.number), "done": True}

        def reset_config(self, new_config: Mapping[str, Any]) -> bool:
            self.number = new_config["candidate"]
            return True

        def save_checkpoint(self, checkpoint_dir: str) -> None:
            """Nothing to keep."""

        def load_checkpoint(self, checkpoint: Any) -> None:
            """Nothing to take."""

    def run(place: Path, rows: Any, folds: Any, most: int) -> dict[str, Any]:
        tuner = tune.Tuner(
            tune.with_parameters(Candidate, data=data, rows=rows, folds=folds),
            param_space={"candidate": tune.grid_search(list(range(most)))},
            tune_config=tune.TuneConfig(metric="score", mode="max", reuse_actors=True, max_concurrent_trials=2),
            run_config=tune.RunConfig(storage_path=str(place), verbose=0),
        )
        best = tuner.fit().get_best_result()
        return {"best": int(best.config["candidate"]), "score": float(best.metrics["score"])}

    turns.watch()
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    try:
        with tempfile.TemporaryDirectory() as place:
            run(Path(place, "warm"), data.few, 3, WARM)
            with clock:
                return run(Path(place, "real"), np.arange(len(data.X)), data.folds, N)
    finally:
        ray.shutdown()


TOOLS: dict[str, Callable[[Data, turns.Clock], dict[str, Any]]] = {
    "daskflow": daskflow,
    "daskflow workflow": workflow,
    "dask-ml": dask_ml,
    "scikit-learn loky": scikit_learn(2),
    "optuna": optuna,
    "ray": ray,
    "scikit-learn serial": scikit_learn(1),
    "floor": floor,
}


def main() -> None:
    """Every tool in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the table is written, once")
    parser.add_argument("--data", choices=["cars", "mixed"], default="cars")
    parser.add_argument("--tables", type=Path, help="folder of real tables, for cars")
    turns.add_options(parser, list(TOOLS), repeats=5)
    options = parser.parse_args()
    path = options.folder / f"{options.data}.parquet"
    if options.one:
        data = Data(path)
        turns.answer(lambda clock: TOOLS[options.one](data, clock))
        return
    if not path.exists():
        options.folder.mkdir(parents=True, exist_ok=True)
        if options.data == "cars" and options.tables is None:
            parser.error("--data cars needs --tables, the folder that holds uk_used_cars")
        (cars(options.tables) if options.data == "cars" else mixed()).to_parquet(path)
    pythons = turns.pythons(options)

    def run(tool: str) -> dict[str, Any]:
        arguments = [str(options.folder), "--data", options.data, "--one", tool]
        return turns.once(__file__, arguments, **({"python": pythons[tool]} if tool in pythons else {}))

    runs = turns.in_turns(options.tools, options.repeats, run, ["best", "score"])
    print(turns.table(runs, {"best candidate": ("best", 0), "its AUC": ("score", 6)}))
    print(turns.about(runs, options.repeats))


if __name__ == "__main__":
    main()
