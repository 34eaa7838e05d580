"""What predicting one pandas row costs beyond the estimator's own predict, for the linear families.

python -m tests.bench.one_row [CSV TARGET] [--repeats N]

The model goes through its folder. In each repeat every way predicts the same row in turns, so that what else the
machine does meets all of them; the overhead is the median over repeats of the difference to the estimator's own call on
the matrix of that row. Beside it stands a scikit-learn Pipeline of the same steps and the same kind of estimator.
Without a file the table is 24 generated columns: 20 numbers and 4 texts.
"""

from __future__ import annotations

import argparse
import os
import platform
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskflow import bundle, models
from daskflow.bundle import Model
from daskflow.bundle.rows import rows_of
from daskflow.data.schema import Schema, Target, Task
from daskflow.preprocess import Preprocessor

FAMILIES = (("logistic", "binary"), ("sgd", "binary"), ("ridge", "binary"), ("ridge", "regression"))
CALLS = 20
"""Calls of a way in one turn."""


def table(n_rows: int = 5_000) -> tuple[pd.DataFrame, Any]:
    """24 columns with gaps, and a target of two classes."""
    random = np.random.default_rng(0)
    columns: dict[str, Any] = {f"number_{place}": random.normal(place, 1 + place, n_rows) for place in range(10)}
    columns |= {f"count_{place}": random.integers(0, 9 + place, n_rows) for place in range(10)}
    columns |= {f"text_{place}": random.choice([*"abcdefgh"][: 3 + place], n_rows) for place in range(4)}
    frame = pd.DataFrame(columns)
    frame.loc[::10, "number_3"] = np.nan
    return frame, (frame["number_0"] + (frame["text_1"] == "a") > 0.3).astype(int)


def model_of(kind: str, task: str, frame: pd.DataFrame, y: Any, folder: Path) -> tuple[Model, Any]:
    """A model that went through its folder, and scikit-learn's own pipeline of the same."""
    schema = Schema.of(pa.Schema.from_pandas(frame, preserve_index=False))
    fitted = Preprocessor().fit(frame).fitted_
    estimator = models.parse(kind).estimator(task, {}, 0)
    estimator.fit(fitted.matrix(rows_of(frame, schema)), y)
    classes = () if task == "regression" else ("no", "yes")
    target = Target("y", Task(task), classes, (1,) * len(classes))
    bundle.write(folder, estimator=estimator, transformer=fitted, schema=schema, target=target, card={})
    texts = [column.name for column in schema.columns if column.kind == "categorical"]
    numbers = [name for name in schema.names if name not in texts]
    steps = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), numbers), (OneHotEncoder(handle_unknown="ignore"), texts)
    )
    peer = make_pipeline(steps, models.parse(kind).estimator(task, {}, 0)).fit(frame, y)
    return bundle.load_model(folder), peer


def timed(function: Callable[[], Any]) -> tuple[float, float]:
    """Microseconds of one call: on the wall, and of the processor."""
    wall, cpu = time.perf_counter(), time.thread_time()
    for _ in range(CALLS):
        function()
    return (time.perf_counter() - wall) / CALLS * 1e6, (time.thread_time() - cpu) / CALLS * 1e6


def measure(model: Model, peer: Any, row: pd.DataFrame, repeats: int) -> dict[str, list[tuple[float, float]]]:
    """Microseconds by way, on the wall and of the processor, for each repeat."""
    rows = rows_of(row, model.schema)
    matrix = model.transformer.matrix(rows)
    mapping = row.iloc[0].to_dict()
    ways: dict[str, Callable[[], Any]] = {
        "estimator.predict": lambda: model.estimator.predict(matrix),
        "model.predict": lambda: model.predict(row),
        "model.predict_one": lambda: model.predict_one(mapping),
        "by Arrow": lambda: model.estimator.predict(model.transformer.matrix(rows_of(row, model.schema))),
        "Pipeline.predict": lambda: peer.predict(row),
    }
    if hasattr(model.estimator, "predict_proba"):
        ways["estimator.predict_proba"] = lambda: model.estimator.predict_proba(matrix)
        ways["model.predict_proba"] = lambda: model.predict_proba(row)
    for way in ways.values():
        timed(way)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            found[name].append(timed(way))
    return found


def main() -> None:
    """Measure every family."""
    parser = argparse.ArgumentParser()
    parser.add_argument("path", nargs="?")
    parser.add_argument("target", nargs="?")
    parser.add_argument("--repeats", type=int, default=31)
    given = parser.parse_args()
    if given.path:
        read = pd.read_csv(given.path)
        frame, y = read.drop(columns=given.target), (read[given.target] == read[given.target].max()).astype(int)
    else:
        frame, y = table()
    print(f"{len(frame.columns)} columns; {platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    print(", ".join(f"{name} {version(name)}" for name in ("scikit-learn", "pandas", "pyarrow", "numpy")))
    with tempfile.TemporaryDirectory() as place:
        for kind, task in FAMILIES:
            model, peer = model_of(kind, task, frame, y, Path(place) / f"{kind}-{task}")
            found = measure(model, peer, frame.iloc[[7]], given.repeats)
            print(f"{kind}, {task} (load {os.getloadavg()[0]:.1f}; microseconds, median of {given.repeats}):")
            for name, values in found.items():
                base = found["estimator.predict_proba" if "proba" in name else "estimator.predict"]
                own, spent = (median(value[kind] for value in values) for kind in (0, 1))
                over, over_cpu = (
                    [value[kind] - before[kind] for value, before in zip(values, base, strict=True)] for kind in (0, 1)
                )
                low, _, high = quantiles(over, n=4)
                beyond = f"  overhead {median(over):6.0f} ({low:.0f} to {high:.0f}), cpu {median(over_cpu):6.0f}"
                print(f"  {name:24} {own:7.0f}, cpu {spent:6.0f}{'' if name.startswith('estimator') else beyond}")


if __name__ == "__main__":
    main()
