"""The end of a run: the winner fitted on every row that is not test, and scored on the test part once."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from daskflow.core.errors import ClusterError, DataError, SearchError, StorageError
from daskflow.core.protocols import Executor, Unit
from daskflow.core.results import Evaluation, Trial
from daskflow.data.execution import run_all
from daskflow.data.matrices import Matrices, MatrixPart
from daskflow.data.predictions import Predictions, predict
from daskflow.data.schema import Target
from daskflow.metrics import Metric
from daskflow.metrics.evaluation import evaluate
from daskflow.search.fits import MatrixWork, refit


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted estimator in the run's folder, and the hash it must have.

    Attributes
    ----------
    path : Path
        A pickle that this run wrote.
    sha256 : str
        Of the file, as told by the unit that wrote it.
    """

    path: Path
    sha256: str

    def load(self) -> Any:
        """Return the estimator; DataError when the file is not the one that was written."""
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(f"{self.path.name} was changed since it was written. Run the same command again.")
        return pickle.loads(content)  # noqa: S301  written by this run, and its hash was just compared


def refit_best(work: MatrixWork, best: Trial, matrices: Matrices, folder: Path, *, executor: Executor) -> Fitted:
    """Fit the best trial's parameters on every row that is not test, with the resource it ended with.

    Raises
    ------
    SearchError
        When the fit fails on all rows.
    """
    unit = Unit("refit", refit, (work, best, matrices.final, folder / "fitted.pkl"))
    try:
        answers = run_all(executor, [unit])
    except (StorageError, ClusterError):
        raise
    except Exception as error:
        raise SearchError(
            f"The best trial, {best.id}, could not be fitted on all rows: {type(error).__name__}: {error}"
        ) from error
    return Fitted(folder / "fitted.pkl", str(answers[unit.key]))


def evaluate_test(
    fitted: Fitted,
    part: MatrixPart,
    metrics: Sequence[Metric],
    target: Target,
    *,
    executor: Executor,
    seed: int,
) -> Evaluation:
    """Predict the test part block by block on the cluster, and score the whole."""
    n_classes = len(target.classes)
    units = [
        Unit(f"predict-{number}", predict_block, (fitted, part, number, n_classes)) for number in range(part.n_blocks)
    ]
    answers = run_all(executor, units)
    ordered = [answers[unit.key] for unit in units]
    weights = [weight for _, _, weight in ordered]
    return evaluate(
        metrics,
        str(target.task),
        _together([predictions for predictions, _, _ in ordered]),
        np.concatenate([y for _, y, _ in ordered]),
        None if weights[0] is None else np.concatenate(weights),
        classes=[str(label) for label in target.classes],
        seed=seed,
    )


def predict_block(fitted: Fitted, part: MatrixPart, number: int, n_classes: int) -> tuple[Predictions, Any, Any]:
    """Return a block's predictions, truth and weights."""
    batch = part.block(number)
    weight = None if batch.weight is None else np.array(batch.weight)
    return predict(fitted.load(), batch.X, n_classes), np.array(batch.y), weight


def _together(parts: Sequence[Predictions]) -> Predictions:
    """Put the predictions of blocks behind each other."""

    def joined(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if arrays[0] is None else np.concatenate(arrays)

    return Predictions(joined("labels"), joined("probabilities"), joined("scores"))
