"""One model among those that answer a stream: it may learn by ``partial_fit``, its preprocessing stays as fitted."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from daskflow.bundle import Model
from daskflow.core.errors import SettingsError
from daskflow.core.settings import nearest
from daskflow.core.warned import ignored
from daskflow.streams.scoring import Answers, Scorer


class Contestant:
    """A model that answers rows, and learns them where it can.

    Parameters
    ----------
    name : str
        By which it is known among others.
    model : Model
        It is never changed: what learns is a copy of its estimator.
    learns : bool
        Whether it does.
    is_strict, probabilities : bool
        As for `Scorer`.

    Attributes
    ----------
    identity : str
        Of the model that it began as.
    learned : int
        Rows that it has learned.
    parameters : mapping
        Of its estimator, beside those of the model.
    """

    def __init__(
        self, name: str, model: Model, *, learns: bool, is_strict: bool = False, probabilities: bool = True
    ) -> None:
        """Take a copy."""
        self.name, self.learns, self.learned = name, learns, 0
        self.parameters: Mapping[str, Any] = {}
        self.identity = model.identity
        self.model = replace(model, estimator=copy.deepcopy(model.estimator)) if learns else model
        self.scorer = Scorer(self.model, is_strict=is_strict, probabilities=probabilities)

    @property
    def version(self) -> str:
        """What answers are marked with: the model it began as, and how many rows it has learned since."""
        return f"{self.identity[:16] or self.name}+{self.learned}" if self.learns else self.identity or self.name

    def answer(self, rows: Sequence[Mapping[str, Any]]) -> Answers:
        """Answer rows with what it has learned so far."""
        return self.scorer.rows(rows)

    def learn(self, rows: Sequence[Mapping[str, Any]], labels: Sequence[float]) -> str:
        """Learn rows by one ``partial_fit``; return what is wrong, in words, when that cannot be.

        The estimator is then as it was before. Rows that this model cannot read are passed over.
        """
        matrix, places = self.scorer.matrix(rows)
        if not places:
            return ""
        y = np.asarray([labels[place] for place in places], dtype=np.int64 if self.model.classes else np.float64)
        estimator = copy.deepcopy(self.model.estimator)
        try:
            with ignored():  # such as that one call has not converged
                estimator.partial_fit(matrix, y)
        except Exception as error:  # estimators refuse in many ways
            return f"{type(error).__name__}: {error}"
        self.model.take(estimator)
        self.learned += len(places)
        return ""

    def restore(self, estimator: Any, learned: int) -> None:
        """Go on with an estimator that had learned so many rows."""
        if self.parameters:
            estimator.set_params(**self.parameters)  # they may be others than when it was written
        self.model.take(estimator)
        self.learned = learned


def learning(name: str, model: Model, parameters: Mapping[str, Any], seed: int, **words: Any) -> Contestant:
    """Return a copy of a model that learns.

    Parameters
    ----------
    name : str
        Its name.
    model : Model
        What it begins as.
    parameters : mapping
        Parameters that the copy has instead.
    seed : int
        ``random_state`` where it has none: rows are shuffled within a ``partial_fit``, each time alike.
    **words
        As for `Contestant`.

    Raises
    ------
    SettingsError
        When its estimator cannot learn row by row, with the reason.
    """
    made = Contestant(name, model, learns=True, **words)
    estimator = made.model.estimator
    kind = type(estimator).__name__
    if not hasattr(estimator, "partial_fit"):
        solver = getattr(estimator, "solver", "")
        why = f" with solver = '{solver}'" if hasattr(type(estimator), "partial_fit") and solver else ""
        raise SettingsError(
            f"{kind}{why} cannot learn from a stream: it has no partial_fit. Train a family that has it, such as sgd, "
            "mlp or naive bayes, or stream without --learn."
        )
    known = estimator.get_params()
    wrong = [word for word in parameters if word not in known]
    if wrong:
        raise SettingsError(f"learn.set: {kind} has no parameter '{wrong[0]}'{nearest(wrong[0], known)}")
    changes = dict(parameters)
    if "random_state" in known and changes.get("random_state", known["random_state"]) is None:
        changes["random_state"] = seed
    estimator.set_params(**changes)
    made.parameters = changes
    problem = _problem(made)
    if problem:
        raise SettingsError(f"{kind} cannot learn from a stream with these parameters: {problem}")
    return made


def can_learn(model: Model) -> bool:
    """Whether a model's estimator has ``partial_fit`` as it is set."""
    return hasattr(model.estimator, "partial_fit")


def _problem(made: Contestant) -> str:
    """Try one made-up row on a copy; return what its estimator has against it."""
    row = np.zeros((1, len(made.model.feature_names)), dtype=np.float32)
    label = np.zeros(1, dtype=np.int64 if made.model.classes else np.float64)
    try:
        with ignored():
            copy.deepcopy(made.model.estimator).partial_fit(row, label)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
