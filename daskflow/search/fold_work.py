"""Fits of the grid searches: one unit is one candidate on one fold; beginnings that pipelines share are fitted once."""

from __future__ import annotations

import inspect
import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dask.base import tokenize
from sklearn.metrics._scorer import _MultimetricScorer
from sklearn.pipeline import Pipeline

from daskflow.core.protocols import Kept, Outcome, Unit
from daskflow.core.seeds import digest
from daskflow.search.array_blocks import Broken
from daskflow.search.array_work import Recipe
from daskflow.search.fold_data import Fold, Folds, Rows, cut, cut_and_keep
from daskflow.search.jobs import Answer, unit_key
from daskflow.search.policies import Candidate
from daskflow.search.training import native_threads

FINITE = 1e300
"""Stands in for what is no finite score: the engine gives up a candidate over that, but here every fold is fitted."""


@dataclass(frozen=True)
class Beginning:
    """The first steps of a pipeline, fitted on a fold, and its training rows as they leave them."""

    steps: tuple[tuple[str, Any], ...]
    X: Any
    seconds: float


@dataclass
class FoldWork:
    """Units of a grid search.

    Parameters
    ----------
    estimator : estimator
        To clone for each candidate.
    folds : Folds
        Rows and row numbers.
    scorers : mapping of str to scorer
        All of them score each fit.
    main : str
        The scorer that ranks for the engine.
    train_scores : bool
        Whether the training rows are scored too.
    raises : bool
        Whether a failing fit ends the search.
    pairwise : bool
        Whether X is a kernel.
    keeps_folds : bool
        Cut each fold once and keep it, instead of once for each fit.
    candidates : sequence of Candidate
        All of them, to see which beginnings are shared.
    """

    estimator: Any
    folds: Folds
    scorers: Mapping[str, Any]
    main: str
    train_scores: bool
    raises: bool
    pairwise: bool
    keeps_folds: bool
    candidates: Sequence[Candidate]
    metric: str = "score"
    greater_is_better: bool = True
    made: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Find the beginnings that at least two candidates share, and count who needs what is kept."""
        chains = {candidate.trial: self._chain(candidate) for candidate in self.candidates}
        counts = Counter(key for chain in chains.values() for key in chain)
        self.shared = {trial: [key for key in chain if counts[key] > 1] for trial, chain in chains.items()}
        self.needed = Counter(
            key for trial in self.shared for fold in range(self.n_folds) for key in self._kept_by(trial, fold)
        )

    @property
    def n_folds(self) -> int:
        """Models per candidate."""
        return self.folds.n_folds

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> list[Unit]:
        """What must be kept first and is not yet, then the unit that fits and scores."""
        source: Any = [self.folds.rows, self.folds.splits, fold, self.pairwise]
        units: list[Unit] = []
        if self.keeps_folds:
            key = f"fold-{fold}"
            units.append(Unit(key, cut_and_keep, tuple(source), keeps=True))
            source = Kept(key)
        recipe = Recipe(self.estimator, candidate.params)
        beginning: Any = None
        for position, key in enumerate(self.shared[candidate.trial]):
            name = f"steps-{fold}-{key}"
            units.append(Unit(name, fit_step, (source, beginning, recipe, position), keeps=True))
            beginning = Kept(name)
        units = [unit for unit in units if unit.key not in self.made]
        self.made |= {unit.key for unit in units}
        last = unit_key(candidate.trial, fold, stop)
        arguments = (source, beginning, recipe, dict(self.scorers), self.main, self.train_scores, self.raises)
        return [*units, Unit(last, fit_and_score, arguments)]

    def done(self, trial: str, fold: int) -> list[str]:
        """Count a finished fit; return the keys of what no other needs any more."""
        keys = self._kept_by(trial, fold)
        self.needed.subtract(keys)
        return [key for key in keys if self.needed[key] == 0]

    def _kept_by(self, trial: str, fold: int) -> list[str]:
        folds = [f"fold-{fold}"] if self.keeps_folds else []
        return [*folds, *(f"steps-{fold}-{key}" for key in self.shared[trial])]

    def _chain(self, candidate: Candidate) -> list[str]:
        """Keys of a pipeline's beginnings, of one step, of two, and so on; equal steps give equal keys."""
        if not isinstance(self.estimator, Pipeline):
            return []
        try:
            pipeline = Recipe(self.estimator, candidate.params).make()
        except Exception:  # the unit that fits will meet it too, and can say whose it is
            return []
        if pipeline.memory is not None or pipeline.transform_input is not None:
            return []
        tokens = [tokenize(name, type(step), step) for name, step in pipeline.steps[:-1]]
        return [digest(tokens[: length + 1], 32) for length in range(len(tokens))]


def fold_of(source: Any) -> Fold:
    """Return a kept fold, or cut it."""
    if isinstance(source, Broken):
        raise source.error
    if isinstance(source, Fold):
        return source
    rows, splits, number, pairwise = source
    return cut(rows, splits, number, pairwise)


def fit_step(source: Any, before: Beginning | Broken | None, recipe: Recipe, position: int) -> tuple[Any, None]:
    """Fit one step of a pipeline on what the steps before it give, and keep it; a failure is kept in its place."""
    if isinstance(before, Broken):
        return before, None
    try:
        fold = fold_of(source)
        name, step = recipe.make().steps[position]
        begun = time.perf_counter()
        X = fold.X_train if before is None else before.X
        if step is not None and step != "passthrough":
            X = _fit_transform(step, X, fold.y_train, _of_step(name, fold.fit_params))
        steps = () if before is None else before.steps
        seconds = time.perf_counter() - begun + (0.0 if before is None else before.seconds)
        return Beginning((*steps, (name, step)), X, seconds), None
    except Exception as error:
        return Broken(error), None


def _fit_transform(step: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    if hasattr(step, "fit_transform"):
        return step.fit_transform(X, y, **params)
    return step.fit(X, y, **params).transform(X)


def _of_step(name: str, fit_params: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{name}__"
    return {key[len(prefix) :]: value for key, value in fit_params.items() if key.startswith(prefix)}


def fit_and_score(
    source: Any,
    beginning: Beginning | Broken | None,
    recipe: Recipe,
    scorers: Mapping[str, Any],
    main: str,
    train_scores: bool,
    raises: bool,
) -> Answer:
    """Fit a candidate on a fold and score it; unless `raises`, a failure is an answer too."""
    begun = time.perf_counter()
    details: dict[str, Any] = {"fit_time": 0.0, "score_time": 0.0, "test": {}, "train": {}}
    try:
        fold = fold_of(source)
        model, earlier = _fitted(recipe, beginning, fold)
        details["fit_time"] = time.perf_counter() - begun + earlier
        begun = time.perf_counter()
        details["test"] = _scores(scorers, model, fold.X_test, fold.y_test, fold.weight_test)
        details["score_time"] = time.perf_counter() - begun
        if train_scores:
            weight = None if fold.weight_test is None else fold.fit_params["sample_weight"]
            details["train"] = _scores(scorers, model, fold.X_train, fold.y_train, weight)
    except Exception as error:
        if raises:
            raise
        details |= {"error": f"{type(error).__name__}: {error}", "test": {}, "train": {}}
    value = details["test"].get(main, math.nan)
    return Answer({"score": -FINITE if math.isnan(value) else min(max(value, -FINITE), FINITE)}, details)


def _fitted(recipe: Recipe, beginning: Beginning | Broken | None, fold: Fold) -> tuple[Any, float]:
    """Return the fitted model, and the seconds its shared beginning took."""
    if isinstance(beginning, Broken):
        raise beginning.error
    model = recipe.make()
    if beginning is None:
        _fit(model, fold.X_train, fold.y_train, fold.fit_params)
        return model, 0.0
    length = len(beginning.steps)
    rest = Pipeline(model.steps[length:])
    names = {name for name, _ in rest.steps}
    params = {key: value for key, value in fold.fit_params.items() if key.partition("__")[0] in names}
    _fit(rest, beginning.X, fold.y_train, params)
    model.steps = [*beginning.steps, *rest.steps]
    return model, beginning.seconds


def _fit(model: Any, X: Any, y: Any, params: Mapping[str, Any]) -> None:
    with native_threads(model):
        if y is None:
            model.fit(X, **params)
        else:
            model.fit(X, y, **params)


def _scores(scorers: Mapping[str, Any], model: Any, X: Any, y: Any, weight: Any) -> dict[str, float]:
    """All scores, weighted where a scorer takes weights; several unweighted ones share their predictions."""
    rest = () if y is None else (y,)
    with native_threads(model):
        if len(scorers) > 1 and weight is None:
            found = _MultimetricScorer(scorers=dict(scorers), raise_exc=True)(model, X, *rest)
            return {name: float(value) for name, value in found.items()}
        weights = {
            name: {"sample_weight": weight} if _is_weighted(scorer, weight) else {} for name, scorer in scorers.items()
        }
        return {name: float(scorer(model, X, *rest, **weights[name])) for name, scorer in scorers.items()}


def _is_weighted(scorer: Any, weight: Any) -> bool:
    """Whether there are weights and the scorer takes them; scikit-learn's searches ask the same way."""
    if weight is None:
        return False
    if hasattr(scorer, "_accept_sample_weight"):
        return bool(scorer._accept_sample_weight())
    return "sample_weight" in inspect.signature(scorer).parameters


def refit(rows: Rows, recipe: Recipe) -> tuple[Any, float]:
    """Fit the best candidate on all rows and keep it; answers the seconds."""
    begun = time.perf_counter()
    model = recipe.make()
    _fit(model, rows.X, rows.y, rows.fit_params)
    return model, time.perf_counter() - begun


def place_of(outcome: Outcome) -> tuple[str, int] | None:
    """Trial and fold of a fit's outcome; None for what only prepares one."""
    parts = outcome.key.split("-")
    return (parts[1], int(parts[2])) if parts[0] == "fit" else None
