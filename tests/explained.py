"""Models small enough to know what explains them, for the tests of explanations; workers import them too."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

import daskflow as flow
from daskflow.bundle import Model
from daskflow.data.predictions import Predictions, predict
from daskflow.data.schema import Schema, Target, Task


@dataclass
class Formula:
    """Answers by a function of the table; counts how often it is asked."""

    function: Callable[[pa.Table], Any]
    classes: tuple[str, ...] = ()
    asked: list[int] = field(default_factory=list)

    @property
    def task(self) -> str:
        return {0: "regression", 2: "binary"}.get(len(self.classes), "multiclass")

    def predictions(self, table: pa.Table) -> Predictions:
        self.asked.append(len(table))
        found = np.asarray(self.function(table), dtype=float)
        if not self.classes:
            return Predictions(found)
        labels = (found > 0.5).astype(int) if found.ndim == 1 else found.argmax(axis=1)
        return Predictions(labels, found, found)


@dataclass
class Piped:
    """A scikit-learn pipeline on the table as a pandas frame."""

    pipeline: Any
    classes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        return {0: "regression", 2: "binary"}.get(len(self.classes), "multiclass")

    def predictions(self, table: pa.Table) -> Predictions:
        return predict(self.pipeline, table.to_pandas(), len(self.classes))


def numbers(table: pa.Table, name: str) -> Any:
    return table[name].to_numpy().astype(float)


def double_a_plus_b(table: pa.Table) -> Any:
    return 2.0 * numbers(table, "a") + numbers(table, "b")


def normal_rows(n_rows: int, *names: str, seed: int = 0) -> pa.Table:
    """Independent columns of mean 0 and deviation 1."""
    random = np.random.default_rng(seed)
    return pa.table({name: random.normal(size=n_rows) for name in names})


def fitted_model(estimator: Any, frame: pd.DataFrame, target: str, **preprocess: Any) -> Model:
    """A model as `load_model` gives one: the default preprocessing and an estimator, fitted on a frame."""
    features = frame.drop(columns=target)
    schema = Schema.of(pa.Table.from_pandas(features, preserve_index=False).schema)
    transformer = flow.Preprocessor(**preprocess).fit(features, frame[target]).fitted_
    matrix = transformer.matrix(pa.Table.from_pandas(features, preserve_index=False))
    if pd.api.types.is_float_dtype(frame[target]):
        return Model(
            estimator.fit(matrix, frame[target].to_numpy()), transformer, schema, Target(target, Task.REGRESSION)
        )
    classes = tuple(sorted(frame[target].unique()))
    codes = np.array([classes.index(label) for label in frame[target]])
    task = Task.BINARY if len(classes) == 2 else Task.MULTICLASS
    return Model(estimator.fit(matrix, codes), transformer, schema, Target(target, task, classes))


def mixed_frame(n_rows: int = 400, n_classes: int = 2, seed: int = 0) -> pd.DataFrame:
    """Columns of every kind, with missing values; of all but `idle` and `since` the target `y` depends."""
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "size": random.lognormal(size=n_rows),
            "city": pd.Series(random.choice(["Oslo", "Rome", "Lima"], n_rows), dtype="str"),
            "rooms": random.integers(1, 9, n_rows),
            "is_new": random.random(n_rows) < 0.4,
            "since": pd.Timestamp("2020-01-01") + pd.to_timedelta(random.integers(0, 900, n_rows), "D"),
            "idle": random.normal(size=n_rows),
        }
    )
    score = np.log(frame["size"]) + 1.5 * (frame["city"] == "Rome") + 0.3 * frame["rooms"] + frame["is_new"]
    score += random.normal(size=n_rows)
    frame.loc[random.random(n_rows) < 0.05, "size"] = np.nan
    frame.loc[random.random(n_rows) < 0.05, "city"] = None
    if n_classes == 0:
        frame["y"] = score.to_numpy(float)
    else:
        frame["y"] = [f"class {code}" for code in pd.qcut(score, n_classes, labels=False)]
    return frame
