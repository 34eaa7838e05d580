"""Fits of the incremental searches: a model goes over training blocks by ``partial_fit`` and is scored."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sklearn.base import clone

from daskflow.core.protocols import Kept, Unit
from daskflow.search.array_blocks import Blocks, Broken, n_rows
from daskflow.search.jobs import Answer, unit_key
from daskflow.search.policies import Candidate
from daskflow.search.training import native_threads

UNIT_BYTES = 256 * 2**20
"""Distinct blocks that one unit reads, in bytes: a worker has them in memory together while the unit runs."""


class BlockOrder:
    """The order in which a bracket's models see the training blocks: all, shuffled anew for each pass.

    Parameters
    ----------
    n_blocks : int
        How many there are.
    rng : numpy.random.RandomState
        Shuffles; drawn from only when a pass is needed, as dask-ml does.
    """

    def __init__(self, n_blocks: int, rng: Any) -> None:
        """Start before the first pass."""
        self._n_blocks, self._rng = n_blocks, rng
        self._order: list[int] = []

    def block(self, call: int) -> int:
        """Number of the block that the `call`-th ``partial_fit`` gets."""
        while call >= len(self._order):
            blocks = list(range(self._n_blocks))
            self._rng.shuffle(blocks)
            self._order.extend(blocks)
        return self._order[call]


@dataclass(frozen=True)
class Recipe:
    """How a candidate's model begins: a clone of the estimator with its parameters."""

    estimator: Any
    params: Mapping[str, Any]

    def make(self) -> Any:
        """Return the unfitted model; parameters that are estimators are cloned."""
        return clone(self.estimator).set_params(**{name: clone(v, safe=False) for name, v in self.params.items()})


@dataclass
class ArrayWork:
    """Units of an incremental search; one unit is a rung, or several when its blocks are large.

    Parameters
    ----------
    estimator : estimator
        With ``partial_fit``.
    blocks : Blocks
        Training blocks and the test part.
    orders : mapping of int or None to BlockOrder
        By bracket.
    scorer : callable
        ``scorer(model, X, y)``; greater is better.
    fit_params : mapping
        For each ``partial_fit``.
    others : mapping of str to callable
        Scorers that decide nothing.
    """

    estimator: Any
    blocks: Blocks
    orders: Mapping[int | None, BlockOrder]
    scorer: Any
    fit_params: Mapping[str, Any]
    others: Mapping[str, Any] = field(default_factory=dict)
    n_folds: int = 1
    metric: str = "score"
    greater_is_better: bool = True

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> list[Unit]:
        """The units that bring the candidate's model from `start` to `stop` calls; the last one scores."""
        order = self.orders[candidate.bracket]
        calls = [order.block(call) for call in range(start, stop)]
        last = unit_key(candidate.trial, fold, stop)
        origin: Any = (
            Kept(unit_key(candidate.trial, fold, start)) if start else Recipe(self.estimator, candidate.params)
        )
        units: list[Unit] = []
        for part in self._parts(calls):
            if units:
                origin = Kept(units[-1].key)
            units.append(self._step(f"{last}-part-{len(units)}", origin, part))
        final = units[-1]
        arguments = (*final.arguments, self.blocks.test, self.scorer, dict(self.others))
        units[-1] = Unit(last, train_and_score, arguments, keeps=True)
        return units

    def _step(self, key: str, origin: Any, calls: Sequence[int]) -> Unit:
        numbers = sorted(set(calls))
        visits = [numbers.index(call) for call in calls]
        blocks = [self.blocks.train[number] for number in numbers]
        return Unit(key, train, (origin, blocks, visits, dict(self.fit_params)), keeps=True)

    def _parts(self, calls: Sequence[int]) -> Iterator[list[int]]:
        """Cut a rung's calls so that the distinct blocks of each part stay below UNIT_BYTES."""
        part: list[int] = []
        for call in calls:
            distinct = {*part, call}
            if part and sum(self.blocks.nbytes[number] for number in distinct) > UNIT_BYTES:
                yield part
                part = []
            part.append(call)
        yield part


def train(
    origin: Any, blocks: Sequence[tuple[Any, Any]], visits: Sequence[int], fit_params: Mapping[str, Any]
) -> tuple[Any, None]:
    """Train over blocks and keep the model; a failure is kept in its place."""
    try:
        return _trained(origin, blocks, visits, fit_params), None
    except Exception as error:
        return Broken(error), None


def train_and_score(
    origin: Any,
    blocks: Sequence[tuple[Any, Any]],
    visits: Sequence[int],
    fit_params: Mapping[str, Any],
    test: tuple[Any, Any],
    scorer: Any,
    others: Mapping[str, Any],
) -> tuple[Any, Answer]:
    """Train over blocks, score on the test part, and keep the model."""
    begun = time.perf_counter()
    model = _trained(origin, blocks, visits, fit_params)
    trained = time.perf_counter()
    X, y = test
    with native_threads(model):
        rows = (X,) if y is None else (X, y)
        score = float(scorer(model, *rows))
        metrics = {name: float(other(model, *rows)) for name, other in others.items()}
    details = {
        "partial_fit_time": (trained - begun) / len(visits),
        "score_time": time.perf_counter() - trained,
    }
    return model, Answer({**metrics, "score": score}, details)


def _trained(
    origin: Any, blocks: Sequence[tuple[Any, Any]], visits: Sequence[int], fit_params: Mapping[str, Any]
) -> Any:
    """Return the model after its visits; a model taken over is copied once, since this unit may run again."""
    if isinstance(origin, Broken):
        raise origin.error
    model = origin.make() if isinstance(origin, Recipe) else copy.deepcopy(origin)
    with native_threads(model):
        for visit in visits:
            X, y = blocks[visit]
            if n_rows(X):
                model.partial_fit(X, y, **fit_params)
    return model
