"""Training: how an estimator gets from one resource to the next on a part's matrix, the same after any restart."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np

from daskflow.core.native_threads import held_to, hold
from daskflow.core.protocols import ModelSettings
from daskflow.core.seeds import seed_of
from daskflow.core.warned import ignored
from daskflow.data.matrices import Batch, MatrixPart
from daskflow.data.seats import SEAT


class Way(StrEnum):
    """What a resource of r out of ``max_iter`` means."""

    WHOLE = "whole"
    """Nothing: the search fits each candidate whole, once."""
    BLOCKS = "blocks"
    """r training blocks were seen by ``partial_fit``, pass after pass."""
    ROUNDS = "rounds"
    """The share r / max_iter of the estimator's own boosting rounds, on all rows."""
    ROWS = "rows"
    """A fit from the start on the first share r / max_iter of the rows, in training order."""
    OWN = "own"
    """What it means for the candidate's family, where a search has several: r / max_iter of all it can get is alike."""

    @property
    def continues(self) -> bool:
        """Whether a model goes on from where it was, so that it is worth a snapshot."""
        return self in (Way.BLOCKS, Way.ROUNDS, Way.OWN)


@dataclass(frozen=True, slots=True)
class Training:
    """How every candidate of a search is trained.

    Attributes
    ----------
    model : ModelSettings
        Makes the estimators.
    task : str
        binary, multiclass or regression.
    n_classes : int
        0 for regression.
    seed : int
        The workflow's; a candidate's own is ``seed_of(seed, "trial", trial)``.
    way : Way
        What a resource means.
    budget : int
        The most resource a candidate can get.
    """

    model: ModelSettings
    task: str
    n_classes: int
    seed: int
    way: Way
    budget: int

    def way_for(self, params: Mapping[str, Any]) -> Way:
        """What a resource means for a candidate."""
        if self.way is not Way.OWN:
            return self.way
        return Way(_remembered("way", self.model.family(params), self.task))

    def begin(self, trial: str, params: Mapping[str, Any]) -> Any:
        """Return the candidate's unfitted estimator, with a seed of its own unless its parameters set one.

        Candidates that are fitted whole together (`fit_obstacle`) have one seed for all, by which they see the rows
        in one order.
        """
        seed = seed_of(self.seed, "trial", trial)
        made = self._made(params, seed)
        if getattr(made, "random_state", None) == seed and self._fits_together(made, params):
            made.random_state = seed_of(self.seed, "rows")
        return made

    def _made(self, params: Mapping[str, Any], seed: int) -> Any:
        family, params = self.model.family(params), self.model.own_params(params)
        key = (id(family), self.task, frozenset(params))
        known = _prototypes.get(key)
        if known is None or known[0] is not family:
            made = family.estimator(self.task, params, seed)
            if len(_prototypes) >= MOST_PROTOTYPES:
                _prototypes.clear()
            _prototypes[key] = family, copy.copy(made), _is_plain(made, params), _own_seed(made, params, seed)
            return made
        _, prototype, is_plain, is_seeded = known
        if not is_plain or not all(type(value) in NUMBERS for value in params.values()):
            return family.estimator(self.task, params, seed)
        made = copy.copy(prototype)
        made.__dict__.update(params, **({"random_state": seed} if is_seeded else {}))
        return made

    def train(
        self,
        trial: str,
        params: Mapping[str, Any],
        part: MatrixPart,
        stop: int,
        *,
        model: Any = None,
        start: int = 0,
    ) -> Any:
        """Return the candidate's estimator at `stop` resource.

        Native thread pools are held to one thread unless the estimator's ``n_jobs`` asks for more.

        Parameters
        ----------
        trial, params : str, mapping
            The candidate's.
        part : MatrixPart
            Rows to learn from.
        stop : int
            Resource in total.
        model : estimator, optional
            The same candidate's at `start` resource, changed in place; None to begin anew.
        start : int
            What `model` has seen.
        """
        from sklearn.exceptions import ConvergenceWarning  # a controller foresees fits before it loads them

        way = self.way_for(params)
        fresh = self.begin(trial, params)
        estimator = fresh if model is None or not way.continues else model
        # Epochs are what the search decides on: that they were too few shows in the score.
        with native_threads(estimator), ignored(ConvergenceWarning):
            if self.fuses(params):
                self.train_many([estimator], part, 0 if model is None else start, stop)
            elif way is Way.BLOCKS:
                self._see_blocks(estimator, part, 0 if model is None else start, stop)
            elif way is Way.ROWS:
                self._fit(estimator, part, self._first_rows(part.whole(), stop))
            elif rounds := _remembered("rounds", self.model.family(params), self.task):
                self._boost(estimator, part, params, self.rounds(fresh, rounds, stop if way is Way.ROUNDS else None))
            else:
                self._fit(estimator, part, part.n_rows)
        return estimator

    def block_order(self, n_blocks: int) -> Iterator[int]:
        """The blocks that ``partial_fit`` gets: pass after pass, each in an order of its own, for all trials alike."""
        number = 0
        while True:
            order = np.random.RandomState(seed_of(self.seed, "order", number)).permutation(n_blocks)
            yield from (int(block) for block in order)
            number += 1

    def fuses(self, params: Mapping[str, Any]) -> bool:
        """Whether candidates of these parameters can be trained many at a time."""
        if self.way is Way.WHOLE:
            return self._fits_together(self._made(params, 0), params)
        return self.way_for(params) is Way.BLOCKS and self.model.fuses(self.task, params)

    def _fits_together(self, made: Any, params: Mapping[str, Any]) -> bool:
        from daskflow.fused.sgd import fit_obstacle

        return self.way_for(params) is Way.WHOLE and not fit_obstacle(type(made), vars(made))

    def train_many(self, estimators: Sequence[Any], part: MatrixPart, start: int, stop: int) -> None:
        """Bring candidates that `fuses` from `start` to `stop` blocks in common visits, each as if by itself.

        Those that are fitted whole see all rows.
        """
        if self.way is Way.WHOLE:
            self._fit_many(estimators, part)
            return
        with native_threads(estimators[0]):
            for seen, number in enumerate(self.block_order(part.n_blocks)):
                if seen == stop:
                    return
                if seen >= start:
                    batch = part.block(number)
                    order = seed_of(self.seed, "rows", seen)
                    self.model.partial_fit_many(
                        estimators,
                        batch.X,
                        batch.y,
                        n_classes=self.n_classes,
                        sample_weight=batch.weight,
                        order_seed=order,
                    )

    def _fit_many(self, estimators: Sequence[Any], part: MatrixPart) -> None:
        from sklearn.exceptions import ConvergenceWarning

        from daskflow.fused.sgd import fit_many

        batch = part.whole()
        with native_threads(estimators[0]), ignored(ConvergenceWarning):
            errors = fit_many(estimators, batch.X, batch.y, sample_weight=batch.weight)
        for error in filter(None, errors):
            raise error

    def _see_blocks(self, estimator: Any, part: MatrixPart, start: int, stop: int) -> None:
        for seen, number in enumerate(self.block_order(part.n_blocks)):
            if seen == stop:
                return
            if seen < start:
                continue
            batch = part.block(number)
            extra = _weights(estimator.partial_fit, batch.weight)
            if self.n_classes and "classes" in inspect.signature(estimator.partial_fit).parameters:
                extra["classes"] = np.arange(self.n_classes)
            _call(estimator.partial_fit, batch.X, batch.y, extra)

    def rounds(self, fresh: Any, name: str, resource: int | None) -> int:
        """Boosting rounds that a resource stands for, of an unfitted estimator that has the whole; None is all."""
        whole = int(fresh.get_params(deep=False)[name])
        return whole if resource is None else max(1, round(resource / self.budget * whole))

    def _boost(self, estimator: Any, part: MatrixPart, params: Mapping[str, Any], rounds: int) -> None:
        """Bring an estimator to so many boosting rounds."""
        batch = part.whole()
        go_on = partial(self.model.family(params).continue_fit, estimator, rounds=rounds)
        _call(go_on, batch.X, batch.y, _weights(estimator.fit, batch.weight))

    def _first_rows(self, batch: Batch, resource: int) -> int:
        """How many rows a resource stands for; at least so many that two classes are among them."""
        n_rows = int(batch.X.shape[0])
        if resource >= self.budget:
            return n_rows
        rows = max(1, round(resource / self.budget * n_rows))
        others = np.flatnonzero(batch.y != batch.y[0])
        return max(rows, int(others[0]) + 1) if self.n_classes and len(others) else rows

    def _fit(self, estimator: Any, part: MatrixPart, rows: int) -> None:
        batch = part.whole()
        X, y, weight = batch.X, batch.y, batch.weight
        if rows < X.shape[0]:
            X, y, weight = X[:rows], y[:rows], None if weight is None else weight[:rows]
        _call(estimator.fit, X, y, _weights(estimator.fit, weight))


NUMBERS = (int, float, bool)
MOST_PROTOTYPES = 64

_prototypes: dict[Any, tuple[Any, Any, bool, bool]] = {}
"""An estimator, checked and built, for each set of parameters: building one takes as long as a small fit."""


def _is_plain(made: Any, params: Mapping[str, Any]) -> bool:
    """Whether a copy with other numbers in its parameters is what would be built: nothing in it is nested or shared."""
    own = made.get_params(deep=False)
    values = vars(made)
    return (
        set(values) == set(own)
        and all(name in own for name in params)
        and all(value is None or type(value) in (*NUMBERS, str) for value in own.values())
    )


def _own_seed(made: Any, params: Mapping[str, Any], seed: int) -> bool:
    """Whether the seed is the candidate's, and not one that the parameters set."""
    return "random_state" not in params and getattr(made, "random_state", None) == seed


_answers: dict[Any, tuple[ModelSettings, str]] = {}
"""What families answered: each answer takes a new estimator."""


def _remembered(question: str, family: ModelSettings, task: str) -> str:
    """Return a family's way of stopping early, or the name of its rounds, empty for none."""
    key = question, id(family), task
    known = _answers.get(key)
    if known is None or known[0] is not family:
        answer = str(way_of(family, task, stops_early=True)) if question == "way" else family.rounds(task) or ""
        if len(_answers) >= MOST_PROTOTYPES:
            _answers.clear()
        known = _answers[key] = family, answer
    return known[1]


def way_of(model: ModelSettings, task: str, *, stops_early: bool) -> Way:
    """Return what resource means for a model under a search."""
    if not stops_early:
        return Way.WHOLE
    if len(model.members) > 1:
        return Way.OWN
    if model.is_incremental(task):
        return Way.BLOCKS
    return Way.ROUNDS if model.rounds(task) is not None else Way.ROWS


def takes_weight(estimator: Any, way: Way) -> bool:
    """Return whether an estimator's fit or ``partial_fit`` has a ``sample_weight``."""
    method = estimator.partial_fit if way is Way.BLOCKS else estimator.fit
    return "sample_weight" in inspect.signature(method).parameters


def _weights(method: Callable[..., Any], weight: Any) -> dict[str, Any]:
    takes = weight is not None and "sample_weight" in inspect.signature(method).parameters
    return {"sample_weight": weight} if takes else {}


def _call(method: Callable[..., Any], X: Any, y: Any, extra: Mapping[str, Any]) -> None:
    """Call fit or ``partial_fit``; copy the memory-mapped rows only for an estimator that wants to write on them."""
    try:
        method(X, y, **extra)
    except ValueError as error:
        if "read-only" not in str(error):
            raise
        method(X.copy(), np.array(y), **{name: np.array(value) for name, value in extra.items()})


def native_threads(estimator: Any) -> AbstractContextManager[Any]:
    """Hold BLAS and OpenMP to the estimator's ``n_jobs``, else to one thread."""
    jobs = getattr(estimator, "n_jobs", None)
    if isinstance(jobs, int) and jobs < 0:
        return nullcontext()
    wanted = max(1, jobs or 1)
    if os.environ.get(SEAT):  # it stays, for the next fit mostly wants the same
        hold(wanted)
        return nullcontext()
    return held_to(wanted)
