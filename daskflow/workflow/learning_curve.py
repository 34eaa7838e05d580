"""The learning curve over rows: what the best candidate reaches when it learns from fewer of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from daskflow.core.errors import ClusterError, StorageError
from daskflow.core.protocols import Unit
from daskflow.core.results import SearchResult, Trial
from daskflow.data.matrices import FoldMatrices, MatrixPart
from daskflow.data.predictions import Predictions, predict
from daskflow.metrics import Metric
from daskflow.metrics.evaluation import evaluate
from daskflow.search.candidates import model_params
from daskflow.search.fits import MatrixWork
from daskflow.search.training import Training, native_threads
from daskflow.workflow.judging_settings import EvaluationSettings

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
LEAST_ROWS = 200
"""A point has at least so many rows to learn from."""

MOST_SCORED = 100_000
"""Validation rows, and training rows, that a point is scored on at most."""

FREE_SECONDS = 10.0
"""What the curve may take whatever the search took."""

SHARE_OF_SEARCH = 0.2


def is_wanted(settings: EvaluationSettings, result: SearchResult) -> bool:
    """Return whether the curve is computed: asked for, or cheap beside the search."""
    if settings.learning_curve != "auto":
        return bool(settings.learning_curve)
    one = result.best.cpu_seconds / max(result.n_folds, 1)
    search = sum(trial.cpu_seconds for trial in result.trials)
    return sum(SHARES) * one <= max(FREE_SECONDS, SHARE_OF_SEARCH * search)


def units_of(work: MatrixWork, best: Trial, fold: FoldMatrices, metric: Metric, seed: int) -> list[Unit]:
    """Return one unit per number of rows: the first blocks of the first fold's training rows, a random sample.

    The points are nested: a larger one has all rows of a smaller.
    """
    train = fold.train
    wanted = [train.offsets[1:].index(rows) + 1 for rows in _cuts(train)]
    return [
        Unit(f"curve-{n_blocks}", _point, (work.training, best, train.head(n_blocks), fold.validation, metric, seed))
        for n_blocks in wanted
    ]


def _cuts(train: MatrixPart) -> list[int]:
    """Row counts of the points: ends of blocks, next to the shares that are asked."""
    ends = np.array(train.offsets[1:])
    places = {int(np.argmin(np.abs(ends - share * train.n_rows))) for share in SHARES}
    return [int(ends[place]) for place in sorted(places) if ends[place] >= min(LEAST_ROWS, train.n_rows)]


def _point(
    training: Training, best: Trial, train: MatrixPart, validation: MatrixPart, metric: Metric, seed: int
) -> dict[str, float] | None:
    """One point: rows, score on the validation rows with its interval, and score on the training rows themselves.

    None where so few rows cannot be learned from: a class may be missing among them.
    """
    try:
        return _fitted_point(training, best, train, validation, metric, seed)
    except (StorageError, ClusterError):
        raise
    except Exception:  # estimators refuse in their own ways
        return None


def _fitted_point(
    training: Training, best: Trial, train: MatrixPart, validation: MatrixPart, metric: Metric, seed: int
) -> dict[str, float]:
    """One point, of rows that can be learned from."""
    estimator = training.train(best.id, model_params(best.params), train, max(best.resource, 1))
    with native_threads(estimator):
        found = _score(estimator, validation, training, metric, seed, replicates=200)
        own = _score(estimator, train, training, metric, seed, replicates=0)
    return {"rows": train.n_rows, "value": found.value, "low": found.low, "high": found.high, "train": own.value}


def _score(estimator: Any, part: MatrixPart, training: Training, metric: Metric, seed: int, *, replicates: int) -> Any:
    """The metric on some rows of a part."""
    blocks = next((i + 1 for i in range(part.n_blocks) if part.offsets[i + 1] >= MOST_SCORED), part.n_blocks)
    batch = part.head(blocks).whole()
    said: Predictions = predict(estimator, batch.X, training.n_classes)
    classes = [str(code) for code in range(training.n_classes)]
    found = evaluate(
        [metric], training.task, said, batch.y, batch.weight, classes=classes, seed=seed, replicates=replicates
    )
    return found.metrics[metric.name]


def curve_of(metric: str, answers: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``learning_curve`` of `daskflow.core.results.Evaluation` from the units' answers."""
    known = [answer for key, answer in answers.items() if key.startswith("curve-") and answer is not None]
    points = sorted(known, key=lambda point: point["rows"])
    names = ("rows", "value", "low", "high", "train")
    return {"metric": metric, **{name: [point[name] for point in points] for name in names}}
