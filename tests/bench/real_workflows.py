"""The real workflows beside plain scikit-learn: same rows on each side, same candidates, same metric.

    python tests/bench/real_workflows.py FOLDER_OF_TABLES [NAME ...]

FOLDER_OF_TABLES holds ``credit_default``, ``kdd99_intrusion``, ``uk_used_cars`` and ``pjm_energy_hourly``. The
workflow runs first; then its rows are handed to scikit-learn with the segments of its split, and a ColumnTransformer
(SimpleImputer, StandardScaler, OneHotEncoder) with the same estimator goes through the same candidates by
GridSearchCV over the same folds, in one process. For Hyperband, which has no counterpart there, scikit-learn fits the
winner's parameters and the family's defaults by ``fit`` to convergence, and the better on the validation rows is
tested.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.metrics import f1_score, roc_auc_score, root_mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskflow.data.execution import InlineExecutor
from daskflow.data.ranges import RangeReader
from daskflow.data.scan import scan
from daskflow.data.splits import TEST, plan_split
from daskflow.data.targets import target_of
from daskflow.workflow import Run, Workflow

ROOT = Path(__file__).resolve().parents[2]
TABLES = {
    "credit_default": "credit_default/*.csv.gz",
    "intrusion": "kdd99_intrusion/*.parquet",
    "used_cars": "uk_used_cars/*.csv.gz",
    "energy_load": "pjm_energy_hourly/PJME_hourly.csv.gz",
}
SCORERS = {"roc_auc": "roc_auc", "f1": "f1_macro", "rmse": "neg_root_mean_squared_error"}


def rows_of(workflow: Workflow, cache: Path) -> tuple[pd.DataFrame, np.ndarray[Any, Any], Any]:
    """Return the table's features and target, each row's segment, and the folds."""
    table = workflow.table()
    blocks = scan(table, cache / "blocks", InlineExecutor())
    target = target_of(blocks, table.task, table.positive)
    split = workflow.split.resolve(blocks.n_rows, workflow.search.stops_early)
    plan = plan_split(split, blocks, target, InlineExecutor())
    reader = RangeReader(blocks, plan, target)
    read = [reader.read(number) for number in range(reader.n_ranges)]
    frame = pd.concat([rows.table.to_pandas() for rows in read], ignore_index=True)
    return frame, np.concatenate([rows.segments for rows in read]), plan.folds


def pipeline(frame: pd.DataFrame, estimator: Any) -> Any:
    """scikit-learn's own preprocessing of the same kind."""
    dates = list(frame.select_dtypes("datetime").columns)
    numbers = list(frame.select_dtypes(["number", "bool"]).columns)
    words = [name for name in frame.columns if name not in (*dates, *numbers)]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), numbers),
            ("words", OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=0.001), words),
        ],
        sparse_threshold=0.0,
    )
    return make_pipeline(columns, estimator)


def dated(frame: pd.DataFrame) -> pd.DataFrame:
    """Parts of dates, as the workflow makes them."""
    frame = frame.copy()
    for name in frame.select_dtypes("datetime").columns:
        when = frame.pop(name).dt
        for part in ("month", "day", "dayofweek", "hour"):
            frame[f"{name}_{part}"] = getattr(when, part)
    return frame


def test_score(metric: str, fitted: Any, X: pd.DataFrame, y: Any) -> float:
    """The metric on the test rows, by scikit-learn."""
    if metric == "roc_auc":
        return float(roc_auc_score(y, fitted.predict_proba(X)[:, 1]))
    if metric == "rmse":
        return float(root_mean_squared_error(y, fitted.predict(X)))
    return float(f1_score(y, fitted.predict(X), average="macro"))


def plain(workflow: Workflow, run: Run, cache: Path) -> tuple[float, float]:
    """Search with scikit-learn over the same rows, folds and candidates; return the test score and the seconds."""
    frame, segments, folds = rows_of(workflow, cache)
    target = str(workflow.data.target)
    y, X = frame.pop(target), dated(frame)
    task, metric = run.record().task, str(workflow.search.metric)
    candidates = [dict(trial.params) for trial in run.trials]
    started = time.perf_counter()
    model = pipeline(X, workflow.model.estimator(task, {}, workflow.seed))
    inside = np.flatnonzero(segments != TEST)
    if workflow.search.stops_early:
        candidates = [dict(run.best.params), {}]
    step = model.steps[-1][0]
    grid = [{f"{step}__{name}": [value] for name, value in params.items()} for params in candidates]
    at = {row: number for number, row in enumerate(inside)}
    pairs = [
        (
            [at[row] for row in np.flatnonzero(np.isin(segments, fold.train))],
            [at[row] for row in np.flatnonzero(np.isin(segments, fold.validation))],
        )
        for fold in folds
    ]
    search = GridSearchCV(clone(model), grid, scoring=SCORERS[metric], cv=pairs, refit=True)
    search.fit(X.iloc[inside], y.iloc[inside])
    seconds = time.perf_counter() - started
    outside = segments == TEST
    return test_score(metric, search.best_estimator_, X[outside], y[outside]), seconds


def main() -> None:
    """Run the named workflows and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", type=Path)
    parser.add_argument("names", nargs="*", default=list(TABLES))
    asked = parser.parse_args()
    print(
        "| workflow | metric | daskflow (95 % interval) | scikit-learn | daskflow s | scikit-learn s |\n"
        "|---|---|---|---|---|---|"
    )
    for name in asked.names:
        with tempfile.TemporaryDirectory() as folder:
            cache = Path(folder)
            workflow = Workflow.from_toml(
                ROOT / "workflows" / f"{name}.toml",
                {"data.path": str(asked.tables / TABLES[name]), "cache.folder": str(cache)},
            )
            run = workflow.run(cache / "runs")
            score = run.metrics[str(workflow.search.metric)]
            peer, seconds = plain(workflow, run, cache)
            print(
                f"| {name} | {workflow.search.metric} | {score.value:.4f} ({score.low:.4f} to {score.high:.4f}) "
                f"| {peer:.4f} | {run.summary()['seconds']:.0f} | {seconds:.0f} |"
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
