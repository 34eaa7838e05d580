"""The end of a run: the winner fitted on every row that is not test, and scored on the test part once."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from daskflow.core.errors import ClusterError, DataError, SearchError, StorageError
from daskflow.core.events import Listener, nobody
from daskflow.core.journal import write_atomically
from daskflow.core.protocols import Connection, Executor, Unit
from daskflow.core.results import Evaluation, Trial
from daskflow.core.seeds import seed_of
from daskflow.data.execution import run_all
from daskflow.data.matrices import Matrices, MatrixPart
from daskflow.data.predictions import Predictions, predict
from daskflow.data.schema import Target
from daskflow.metrics import Metric
from daskflow.metrics.evaluation import evaluate
from daskflow.search.candidates import model_params
from daskflow.search.distributed_fit import distributed_fit, why_not
from daskflow.search.fits import MatrixWork, refit
from daskflow.search.training import Way


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


def refit_best(
    work: MatrixWork,
    best: Trial,
    matrices: Matrices,
    folder: Path,
    *,
    connection: Connection,
    executor: Executor,
    listener: Listener = nobody,
) -> Fitted:
    """Fit the best trial's parameters on every row that is not test, with the resource it ended with.

    Boosting of xgboost and lightgbm, and ensembles of parts, are fitted by all workers of a cluster together, from
    their last checkpoint when one is lost; anything else by one worker.

    Raises
    ------
    SearchError
        When the fit fails on all rows.
    """
    path = folder / "fitted.pkl"
    if connection.client is not None and matrices.final is not None and _is_spread(work, best, matrices.final):
        training = work.training
        estimator = distributed_fit(
            replace(connection, executor=executor),
            matrices.final,
            work.model,
            model_params(best.params),
            task=training.task,
            n_classes=training.n_classes,
            seed=seed_of(training.seed, "trial", best.id),
            folder=folder / "checkpoints",
            listener=listener,
        )
        content = pickle.dumps(estimator, protocol=pickle.HIGHEST_PROTOCOL)
        write_atomically(path, content)
        return Fitted(path, hashlib.sha256(content).hexdigest())
    unit = Unit("refit", refit, (work, best, matrices.final, path))
    try:
        answers = run_all(executor, [unit])
    except (StorageError, ClusterError):
        raise
    except Exception as error:
        raise SearchError(
            f"The best trial, {best.id}, could not be fitted on all rows: {type(error).__name__}: {error}"
        ) from error
    return Fitted(path, str(answers[unit.key]))


def _is_spread(work: MatrixWork, best: Trial, part: MatrixPart) -> bool:
    """Whether all workers can fit the best trial's model together, as it was fitted in the search."""
    if work.training.way is not Way.WHOLE or part.is_sparse:
        return False
    return not why_not(work.training.begin(best.id, model_params(best.params)))


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
