"""Out of fold: what the best candidate says of validation rows, by models that have not seen them, before the refit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.protocols import ModelSettings, Unit
from daskflow.core.results import Trial
from daskflow.data.decision import Decision
from daskflow.data.matrices import MatrixPart
from daskflow.data.predictions import Predictions, predict
from daskflow.data.schema import Target
from daskflow.metrics.decisions import fit_decision
from daskflow.search.candidates import model_params
from daskflow.search.fits import MatrixWork
from daskflow.search.training import Training, native_threads
from daskflow.workflow.judging_settings import DecisionSettings


@dataclass(frozen=True, slots=True)
class OutOfFold:
    """Predictions of rows by models that were fitted on other rows.

    Attributes
    ----------
    y : ndarray of int64, shape (n_rows,)
        Class codes.
    probabilities : ndarray of float64
        Shape (n_rows,) of class 1, or (n_rows, n_classes).
    weight : ndarray of float64, shape (n_rows,), or None
        Sample weight.
    fold : ndarray of int64, shape (n_rows,)
        Whose validation rows they are.
    """

    y: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    weight: NDArray[np.float64] | None
    fold: NDArray[np.int64]

    @property
    def n_folds(self) -> int:
        """Folds there are."""
        return int(self.fold.max(initial=0)) + 1


def units_of(work: MatrixWork, best: Trial, parts: Sequence[tuple[MatrixPart, MatrixPart]]) -> list[Unit]:
    """Return one unit per fold, which fits the best candidate on its training rows and predicts its validation rows."""
    return [
        Unit(f"fold-{number}", _said, (work.training, best, train, validation, work.n_classes))
        for number, (train, validation) in enumerate(parts)
    ]


def _said(
    training: Training, best: Trial, train: MatrixPart, validation: MatrixPart, n_classes: int
) -> tuple[Predictions, Any, Any]:
    """Predictions, truth and weights of a fold's validation rows."""
    estimator = training.train(best.id, model_params(best.params), train, max(best.resource, 1))
    batch = validation.whole()
    with native_threads(estimator):
        said = predict(estimator, batch.X, n_classes, {"probabilities"})
    return said, np.array(batch.y), None if batch.weight is None else np.array(batch.weight)


def gathered(answers: Sequence[tuple[Predictions, Any, Any]]) -> OutOfFold:
    """Put the folds behind each other.

    Raises
    ------
    DataError
        When the estimator gives no probabilities.
    """
    weights = [weight for _, _, weight in answers]
    return OutOfFold(
        np.concatenate([y for _, y, _ in answers]),
        np.concatenate([said.of("probabilities") for said, _, _ in answers]),
        None if weights[0] is None else np.concatenate(weights),
        np.repeat(np.arange(len(answers)), [len(y) for _, y, _ in answers]),
    )


def check(settings: DecisionSettings, target: Target, model: ModelSettings) -> None:
    """Raise SettingsError when a target, or what a family says of it, cannot be decided so."""
    wrong = settings.misfit(target)
    if not wrong and settings.is_active:
        made = [family.estimator(str(target.task), {}, None) for family in model.members]
        without = [type(estimator).__name__ for estimator in made if not hasattr(estimator, "predict_proba")]
        if without:
            wrong = f"calibrate, threshold and costs need probabilities, and {', '.join(without)} gives none"
    if wrong:
        raise SettingsError([Problem("decision", wrong)])


def decide(
    settings: DecisionSettings, rows: OutOfFold | None, target: Target, seed: int
) -> tuple[Decision, dict[str, Any]]:
    """Return the decision, and what is told of it: see ``decision`` in `daskflow.core.results.Evaluation`.

    Parameters
    ----------
    settings : DecisionSettings
        What is asked.
    rows : OutOfFold or None
        Needed where it is learned.
    target : Target
        Its classes.
    seed : int
        Of the parts that a single fold is judged in.
    """
    rule = settings.rule
    if rows is None:
        threshold = float(rule) if isinstance(rule, int | float) else None
        told = None if threshold is None else {"value": threshold, "rule": "given", "rows": 0}
        return Decision(None, threshold), {"calibration": None, "threshold": told}
    decision, found = fit_decision(
        y=rows.y,
        probabilities=rows.probabilities,
        weight=rows.weight,
        n_classes=len(target.classes),
        calibrate=settings.calibrate,
        threshold=rule,
        costs=settings.costs,
        fold=rows.fold if rows.n_folds > 1 else None,
        seed=seed,
    )
    return decision, {**found, "source": "out-of-fold" if rows.n_folds > 1 else "validation"}
