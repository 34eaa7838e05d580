"""What explanations cost beside scikit-learn's and Optuna's on the same rows and trials, and whether intervals hold.

python -m tests.bench.explanations [REPEATS]
python -m tests.bench.explanations coverage [SAMPLES]

One thread, in turns; CPU-seconds are medians of the repeats, with their range.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.inspection import partial_dependence as sklearn_dependence
from sklearn.inspection import permutation_importance as sklearn_importance
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

import daskflow as flow
from daskflow.core.results import SearchResult, Trial
from daskflow.data.execution import InlineExecutor
from daskflow.data.predictions import Predictions
from daskflow.explain import parameter_importance, partial_dependence, permutation_importance
from tests.bench import turns

ROWS, COLUMNS = 5_000, 23


class Pipeline:
    """A scikit-learn pipeline as a predictor."""

    task, classes = "binary", ("no", "yes")

    def __init__(self, pipeline: Any) -> None:
        self.pipeline = pipeline

    def predictions(self, table: pa.Table) -> Predictions:
        p = self.pipeline.predict_proba(table.to_pandas())[:, 1]
        return Predictions((p > 0.5).astype(np.int64), p, p)


def costs(repeats: int = 5) -> None:
    """Time everything in turns."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(ROWS, COLUMNS)), columns=[f"c{number}" for number in range(COLUMNS)])
    codes = (frame["c0"] + frame["c1"] * frame["c2"] + rng.normal(size=ROWS) > 0).astype(int).to_numpy()
    rows, metric = pa.Table.from_pandas(frame), flow.metrics.parse("roc_auc")
    tools: dict[str, Callable[[], Any]] = {}
    for name, estimator in (
        ("logistic", LogisticRegression()),
        ("60 boosted trees", HistGradientBoostingClassifier(max_iter=60)),
    ):
        fitted = make_pipeline(estimator).fit(frame, codes)
        predictor = Pipeline(fitted)
        tools[f"importance, {name}: scikit-learn, no intervals"] = lambda fitted=fitted: sklearn_importance(
            fitted, frame, codes, scoring="roc_auc", n_repeats=5, random_state=0
        )
        tools[f"importance, {name}: daskflow"] = lambda predictor=predictor: permutation_importance(
            predictor, rows, codes, metric, repeats=5, seed=0, executor=InlineExecutor()
        )
        tools[f"dependence of 23 columns, {name}: scikit-learn"] = lambda fitted=fitted: [
            sklearn_dependence(fitted, frame[:2000], [column], grid_resolution=20, method="brute", kind="both")
            for column in frame.columns
        ]
        tools[f"dependence of 23 columns, {name}: daskflow"] = lambda predictor=predictor: partial_dependence(
            predictor, rows.slice(0, 2000), seed=0, executor=InlineExecutor()
        )
    search = searched(1000, rng)
    tools["parameters, 1000 trials: daskflow, with intervals"] = lambda: parameter_importance(search, seed=0)
    tools["parameters, 1000 trials: Optuna's fANOVA, no intervals"] = lambda: optuna_importance(search)
    taken: dict[str, list[float]] = {name: [] for name in tools}
    with threadpool_limits(1):
        for _ in range(repeats):
            for name, tool in tools.items():
                begun = time.process_time()
                tool()
                taken[name].append(time.process_time() - begun)
    for name, seconds in taken.items():
        print(f"{name:<60} {statistics.median(seconds):.2f} ({min(seconds):.2f}-{max(seconds):.2f})")
    print(turns.about({"all": [{"versions": turns_versions()}]}, repeats))


def turns_versions() -> dict[str, str]:
    """Versions of what was compared."""
    from importlib.metadata import version

    return {name: version(name) for name in ("scikit-learn", "numpy", "pandas", "optuna")}


def searched(n_trials: int, rng: Any) -> SearchResult:
    """Trials of ten parameters, of which five matter."""
    drawn = rng.random((n_trials, 10))
    scores = drawn[:, :5] @ np.arange(1, 6) + rng.normal(size=n_trials)
    trials = tuple(
        Trial(
            str(number), {f"p{place}": float(value) for place, value in enumerate(row)}, score=float(score), resource=1
        )
        for number, (row, score) in enumerate(zip(drawn, scores, strict=True))
    )
    return SearchResult(trials, trials[0], "score", True, 1)


def optuna_importance(search: SearchResult) -> Any:
    """The same trials as a study."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = {name: optuna.distributions.FloatDistribution(0, 1) for name in search.trials[0].params}
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(params=dict(trial.params), distributions=space, value=trial.score)
            for trial in search.trials
        ]
    )
    return optuna.importance.get_param_importances(study, evaluator=optuna.importance.FanovaImportanceEvaluator(seed=0))


class Formula:
    """The truth of a simulation."""

    def __init__(self, task: str) -> None:
        self.task, self.classes = task, ("no", "yes") if task == "binary" else ()

    def predictions(self, table: pa.Table) -> Predictions:
        a, b = table["a"].to_numpy(), table["b"].to_numpy()
        score = a * b + a + 0.3 * b
        if self.task == "regression":
            return Predictions(score)
        p = 1 / (1 + np.exp(-score))
        return Predictions((p > 0.5).astype(np.int64), p, p)

    def draw(self, n_rows: int, rng: Any) -> tuple[pa.Table, Any]:
        """Return rows of two columns that go together, one with a heavy tail, and their truth."""
        a = rng.normal(size=n_rows)
        rows = pa.table({"a": a, "b": rng.exponential(size=n_rows) + 0.2 * a})
        found = self.predictions(rows)
        if self.task == "regression":
            return rows, found.labels + 0.3 * rng.normal(size=n_rows)
        return rows, (rng.random(n_rows) < found.probabilities).astype(np.int64)


def coverage(n_samples: int = 200) -> None:
    """Count how often intervals of importances hold the importance on 200,000 rows."""
    for task, name in (("regression", "rmse"), ("binary", "roc_auc"), ("binary", "log_loss"), ("binary", "accuracy")):
        truth, metric = Formula(task), flow.metrics.parse(name)
        options: dict[str, Any] = {"executor": InlineExecutor()}
        many = permutation_importance(truth, *truth.draw(200_000, np.random.default_rng(1)), metric, seed=0, **options)
        expected = {each["column"]: each["value"] for each in many["columns"]}
        for n_rows, repeats in ((100, 5), (100, 1), (600, 5), (600, 20)):
            rng, held = np.random.default_rng(2), dict.fromkeys(expected, 0)
            for seed in range(n_samples):
                rows, y = truth.draw(n_rows, rng)
                found = permutation_importance(truth, rows, y, metric, repeats=repeats, seed=seed, **options)
                for each in found["columns"]:
                    held[each["column"]] += each["low"] <= expected[each["column"]] <= each["high"]
            shares = {column: round(count / n_samples, 3) for column, count in held.items()}
            print(f"{name:<10} {n_rows:>4} rows, {repeats:>2} shuffles: {shares}", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    if words[:1] == ["coverage"]:
        coverage(*map(int, words[1:]))
    else:
        costs(*map(int, words))
