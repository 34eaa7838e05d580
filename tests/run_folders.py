"""Run folders for tests of what compares and lists runs: made of what a run would write, without running one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tomli_w

from daskflow.core.folder import RunFolder, write_json
from daskflow.core.journal import encode
from daskflow.data.predictions import Predictions
from daskflow.metrics import parse
from daskflow.metrics.evaluation import evaluate

CLASSES = ("no", "yes")


def row_hashes(n_rows: int, seed: int = 0) -> Any:
    """What is in so many test rows: some of them stand twice."""
    drawn = np.random.default_rng(seed).integers(0, 2**63, n_rows).astype(np.uint64)
    drawn[1::50] = drawn[0::50][: len(drawn[1::50])]
    return drawn


def copies(rows: Any) -> Any:
    """The number of each row among its equals."""
    seen: dict[int, int] = {}
    found = []
    for row in rows.tolist():
        found.append(seen.get(row, 0))
        seen[row] = found[-1] + 1
    return np.array(found)


def truth(rows: Any) -> Any:
    """A label that follows from the row."""
    return ((rows >> np.uint64(7)) % np.uint64(2)).astype(np.int64)


def scores(y: Any, noise: float, seed: int) -> Any:
    """Probabilities that are the better the less noise there is."""
    rng = np.random.default_rng(seed)
    return 1 / (1 + np.exp(-(2.0 * (2 * y - 1) + noise * rng.normal(size=len(y)))))


def written(predictions: Predictions) -> dict[str, Any]:
    """Predictions as the columns of a run's file."""
    found = {"label": predictions.labels}
    name, values = "probability", predictions.probabilities
    if values is None:
        name, values = "score", predictions.scores
    if values is not None:
        several = {f"{name}_{code}": column for code, column in enumerate(values.T)}
        found |= {name: values} if values.ndim == 1 else several
    return found


def make_run(
    runs: Path,
    name: str,
    *,
    run_id: str = "0a1b2c3d4e",
    rows: Any = None,
    probability: Any = None,
    predictions: Predictions | None = None,
    y: Any = None,
    weight: Any = None,
    unit: Any = None,
    metrics: Sequence[str] = ("roc_auc", "log_loss", "accuracy"),
    settings: Mapping[str, Any] | None = None,
    columns: Sequence[Mapping[str, Any]] = (),
    n_rows: int = 6_170,
    fingerprint: str = "f00dfeedf00dfeedf00dfeed",
    versions: Mapping[str, str] | None = None,
    classes: Sequence[str] = CLASSES,
    task: str = "binary",
    target: str = "late",
    trials: int = 3,
    status: str = "done",
    at: float = 1_700_000_000.0,
    has_predictions: bool = True,
) -> Path:
    """Write a finished run and return its folder; `probability` are the predictions of its test rows."""
    folder = RunFolder(runs / name / run_id)
    folder.path.mkdir(parents=True)
    (runs / name / "latest").write_text(f"{run_id}\n")
    workflow = {
        "name": name,
        "seed": 7,
        "metrics": [{"kind": metric} for metric in metrics],
        "data": {"kind": "csv", "path": "https://me:geheim@host/f.csv", "target": target},
        "split": {"kind": "random", "test": 0.2},
        "model": {"kind": "sgd"},
        "search": {"kind": "random", "metric": "roc_auc", "trials": trials},
        **(settings or {}),
    }
    folder.workflow.write_text(tomli_w.dumps(workflow))
    known = [{"name": target, "kind": "categorical", "type": "string", "role": "target", "missing": 0}, *columns]
    write_json(
        folder.data,
        {
            "rows": n_rows,
            "partitions": 2,
            "files": 1,
            "bytes": 10_000,
            "columns": known,
            "task": task,
            "target": target,
            "classes": list(classes),
            "class_counts": [n_rows // 2, n_rows - n_rows // 2] if classes else [],
            "feature_names": [],
            "split": {"kind": "random", "train": n_rows - 1234, "validation": 0, "test": 1234, "folds": 2},
        },
    )
    write_json(folder.versions, {"python": "3.11.7", "scikit-learn": "1.9.1", **(versions or {}), "data": fingerprint})
    if probability is not None:
        predictions = Predictions((probability > 0.5).astype(np.int64), probability, probability)
    if predictions is not None and predictions.labels is not None:
        rows = row_hashes(len(predictions.labels)) if rows is None else rows
        y = truth(rows) if y is None else y
        asked = [parse(metric) for metric in metrics]
        found = evaluate(asked, task, predictions, y, weight, classes=classes, seed=7, replicates=100)
        tested = {
            word: {"value": score.value, "low": score.low, "high": score.high} for word, score in found.metrics.items()
        }
        write_json(folder.metrics, {"metrics": tested, "n_rows": len(y), "details": found.details})
        if has_predictions:
            given = {"row": rows, "copy": copies(rows), "y": y, **written(predictions), "weight": weight, "unit": unit}
            table = pa.table({word: values for word, values in given.items() if values is not None})
            pq.write_table(table, folder.path / "predictions.parquet")
    lines: list[Mapping[str, Any]] = [
        {"record": "invocation", "id": run_id, "versions": {}, "at": at},
        {
            "record": "stage",
            "stage": "scan",
            "seconds": 1.5,
            "cpu_seconds": 1.0,
            "peak_memory_bytes": 2**28,
            "at": at + 2,
        },
        {"record": "data", "fingerprint": fingerprint, "origin": "x", "rows": n_rows, "at": at + 2},
        {
            "record": "candidates",
            "candidates": [{"trial": str(n), "params": {"alpha": 10.0**-n}} for n in range(trials)],
            "metric": "roc_auc",
            "greater_is_better": True,
            "n_folds": 2,
            "at": at + 3,
        },
    ]
    for number in range(trials):
        for fold in range(2):
            place = {"trial": str(number), "fold": fold, "resource": 1}
            cost = {"seconds": 0.5, "cpu_seconds": 0.4, "peak_memory_bytes": 2**28, "at": at + 4}
            score = 0.7 + 0.1 * number / trials + 0.001 * fold
            lines += [{"record": "start", **place, "at": at + 3}]
            lines += [{"record": "unit", **place, **cost, "metrics": {"roc_auc": score}, "details": {}}]
    lines.append({"record": "stage", "stage": "search", "seconds": 3.0, "cpu_seconds": 0.5, "at": at + 8})
    folder.journal.write_bytes(b"".join(map(encode, lines)))
    if status != "interrupted":
        from daskflow.workflow.listing import gist
        from daskflow.workflow.run import Run

        end = {"record": "end", "status": status, "gist": gist(Run(folder)), "at": at + 9}
        with open(folder.journal, "ab") as file:
            file.write(encode(end))
    return folder.path
