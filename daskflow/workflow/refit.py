"""Refit: the winner fitted on every row that is not test, beside what else is fitted with its parameters."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from daskflow.bundle.model import Model, StoredTransformer
from daskflow.core.errors import ClusterError, DataError, SearchError, StorageError
from daskflow.core.events import Listener, nobody
from daskflow.core.journal import write_atomically
from daskflow.core.protocols import Connection, Executor, Unit
from daskflow.core.results import Trial
from daskflow.core.seeds import seed_of
from daskflow.data.decision import Decision
from daskflow.data.execution import run_all
from daskflow.data.matrices import Matrices, MatrixPart
from daskflow.data.predictions import Predictions
from daskflow.data.schema import Schema, Target
from daskflow.search.candidates import model_params
from daskflow.search.distributed_fit import distributed_fit, why_not
from daskflow.search.fits import MatrixWork, refit
from daskflow.search.training import Way, native_threads

FITTED = "fitted.pkl"
"""The refitted estimator in the run's folder, until the model is written."""


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

    @property
    def is_whole(self) -> bool:
        """Whether the file is there, as it was written."""
        try:
            return hashlib.sha256(self.path.read_bytes()).hexdigest() == self.sha256
        except OSError:
            return False

    def load(self) -> Any:
        """Return the estimator; DataError when the file is not the one that was written."""
        content = self.path.read_bytes()
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise DataError(f"{self.path.name} was changed since it was written. Run the same command again.")
        return pickle.loads(content)  # noqa: S301  written by this run, and its hash was just compared


@dataclass(frozen=True, slots=True)
class FittedModel:
    """A fitted estimator with its preprocessing and decision: what predicts from source columns; picklable and small.

    Attributes
    ----------
    fitted : Fitted
        The estimator.
    transformer : StoredTransformer
        The preprocessing before it.
    schema : Schema
        The columns it needs.
    target : Target
        What it predicts.
    decision : Decision
        What stands between its probabilities and its answers.
    """

    fitted: Fitted
    transformer: StoredTransformer
    schema: Schema
    target: Target
    decision: Decision

    @property
    def task(self) -> str:
        """binary, multiclass or regression."""
        return str(self.target.task)

    @property
    def classes(self) -> tuple[Any, ...]:
        """Labels in the order of their codes."""
        return self.target.classes

    @property
    def estimator(self) -> Any:
        """The estimator itself, read once by each process."""
        return loaded(self.fitted)

    def predictions(self, table: Any) -> Predictions:
        """Predict the rows of a pyarrow Table of the schema's columns."""
        model = Model(self.estimator, self.transformer, self.schema, self.target)
        with native_threads(self.estimator):
            return self.decision.apply(model.predictions(table))


@lru_cache(maxsize=1)
def loaded(fitted: Fitted) -> Any:
    """Return an estimator, read once by each process."""
    return fitted.load()


def refit_best(
    work: MatrixWork,
    best: Trial,
    matrices: Matrices,
    folder: Path,
    *,
    connection: Connection,
    executor: Executor,
    listener: Listener = nobody,
    beside: Sequence[Unit] = (),
) -> tuple[Fitted, dict[str, Any]]:
    """Fit the best trial's parameters on every row that is not test, with the resource it ended with.

    Units that are to run `beside` it are handed in with it; their answers are returned by their keys.

    Boosting of xgboost and lightgbm, and ensembles of parts, are fitted by all workers of a cluster together, from
    their last checkpoint when one is lost; anything else by one worker.

    Raises
    ------
    SearchError
        When the fit fails on all rows.
    """
    path = folder / FITTED
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
        return Fitted(path, hashlib.sha256(content).hexdigest()), run_all(executor, beside)
    unit = Unit("refit", refit, (work, best, matrices.final, path), priority=1)
    try:
        answers = run_all(executor, [unit, *beside])
    except (StorageError, ClusterError):
        raise
    except Exception as error:
        raise SearchError(
            f"The best trial, {best.id}, could not be fitted on all rows: {type(error).__name__}: {error}"
        ) from error
    return Fitted(path, str(answers.pop(unit.key))), answers


def _is_spread(work: MatrixWork, best: Trial, part: MatrixPart) -> bool:
    """Whether all workers can fit the best trial's model together, as it was fitted in the search."""
    if work.training.way is not Way.WHOLE or part.is_sparse:
        return False
    return not why_not(work.training.begin(best.id, model_params(best.params)))
