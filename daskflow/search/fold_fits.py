"""Fitting and scoring candidates of a grid search on a fold, one by one or together."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sklearn.metrics._scorer import _BaseScorer, _MultimetricScorer, _PassthroughScorer
from sklearn.pipeline import Pipeline

from daskflow.fused.sgd import fit_many, fit_obstacle
from daskflow.search.array_blocks import Broken
from daskflow.search.array_work import Recipe
from daskflow.search.fold_data import Fold, Rows, cut
from daskflow.search.jobs import Answer
from daskflow.search.training import native_threads

FINITE = 1e300
"""Stands in for what is no finite score: the engine gives up a candidate over that, but here every fold is fitted."""


@dataclass(frozen=True)
class Scoring:
    """How each fit is scored.

    Attributes
    ----------
    scorers : mapping of str to scorer
        All of them score each fit.
    main : str
        The scorer that ranks for the engine.
    train_scores : bool
        Whether the training rows are scored too.
    raises : bool
        Whether a failing fit ends the search.
    """

    scorers: Mapping[str, Any]
    main: str
    train_scores: bool
    raises: bool

    @property
    def parts(self) -> tuple[str, ...]:
        """Which rows a shared beginning transforms for scorers that only ask the model for its predictions."""
        if not any(_only_asks(scorer) for scorer in self.scorers.values()):
            return ()
        return ("test", "train") if self.train_scores else ("test",)


@dataclass(frozen=True)
class Beginning:
    """The first steps of a pipeline, fitted on a fold, and the fold's rows as they leave them.

    Attributes
    ----------
    steps : tuple of (str, transformer)
        Fitted.
    X : array-like
        Training rows, as they left the fits.
    seconds : float
        Which the fits took.
    scored : mapping of str to array-like or Broken
        Rows to score, transformed: ``test``, and ``train``.
    score_seconds : float
        Which the test rows took.
    """

    steps: tuple[tuple[str, Any], ...]
    X: Any
    seconds: float
    scored: Mapping[str, Any] = field(default_factory=dict)
    score_seconds: float = 0.0


@dataclass
class Attempt:
    """A candidate's model, fitted; or the error.

    Attributes
    ----------
    model : estimator
        Whole.
    rest : estimator
        What follows the shared beginning; the whole, where there is none.
    seconds : float
        Which its fit took, with its share of what was common.
    """

    model: Any = None
    rest: Any = None
    error: Exception | None = None
    seconds: float = 0.0


def fuses(estimator: Any) -> bool:
    """Whether an estimator is fitted together with others."""
    return not fit_obstacle(type(estimator), vars(estimator))


def fold_of(source: Any) -> Fold:
    """Return a kept fold, or cut it."""
    if isinstance(source, Broken):
        raise source.error
    if isinstance(source, Fold):
        return source
    rows, splits, number, pairwise = source
    return cut(rows, splits, number, pairwise)


def fit_step(
    source: Any, before: Beginning | Broken | None, recipe: Recipe, position: int, parts: Sequence[str]
) -> tuple[Any, None]:
    """Fit one step of a pipeline on what the steps before it give, and keep it; a failure is kept in its place.

    Rows of the `parts` to score are transformed too.
    """
    if isinstance(before, Broken):
        return before, None
    try:
        fold = fold_of(source)
        name, step = recipe.make().steps[position]
        before = before or Beginning((), fold.X_train, 0.0, {"test": fold.X_test, "train": fold.X_train})
        begun = time.perf_counter()
        X, does = before.X, step is not None and step != "passthrough"
        if does:
            X = _fit_transform(step, X, fold.y_train, _of_step(name, fold.fit_params))
        fitted = time.perf_counter()
        scored = {part: _transformed(step, before.scored[part]) if does else before.scored[part] for part in parts[:1]}
        ended = time.perf_counter()
        scored |= {part: _transformed(step, before.scored[part]) if does else before.scored[part] for part in parts[1:]}
        steps = (*before.steps, (name, step))
        seconds, score_seconds = before.seconds + fitted - begun, before.score_seconds + ended - fitted
        return Beginning(steps, X, seconds, scored, score_seconds), None
    except Exception as error:
        return Broken(error), None


def _fit_transform(step: Any, X: Any, y: Any, params: Mapping[str, Any]) -> Any:
    if hasattr(step, "fit_transform"):
        return step.fit_transform(X, y, **params)
    return step.fit(X, y, **params).transform(X)


def _transformed(step: Any, X: Any) -> Any:
    """Rows as a fitted step leaves them; a failure in their place, which is the scores' and not the fit's."""
    if isinstance(X, Broken):
        return X
    try:
        return step.transform(X)
    except Exception as error:
        return Broken(error)


def _of_step(name: str, fit_params: Mapping[str, Any]) -> dict[str, Any]:
    prefix = f"{name}__"
    return {key[len(prefix) :]: value for key, value in fit_params.items() if key.startswith(prefix)}


def fit_one_and_score(
    scoring: Scoring, source: Any, beginning: Beginning | Broken | None, recipe: Recipe, number: int
) -> Answer:
    """Fit a candidate on a fold and score it; as `fit_and_score`."""
    return fit_and_score(scoring, source, beginning, [recipe], number)[0]


def fit_and_score(
    scoring: Scoring, source: Any, beginning: Beginning | Broken | None, recipes: Sequence[Recipe], number: int
) -> list[Answer]:
    """Fit candidates on a fold and score them; unless scoring `raises`, a failure is an answer too.

    Parameters
    ----------
    source : Fold or Broken, or what `cut` takes
        The fold.
    beginning : Beginning, Broken or None
        What they share.
    recipes : sequence of Recipe
        Several are of estimators that are fitted together.
    number : int
        The fold's, for errors to name.
    """
    begun = time.perf_counter()
    try:
        fold = fold_of(source)
        if isinstance(beginning, Broken):
            raise beginning.error
        attempts = _fitted(recipes, beginning, fold)
    except Exception as error:
        seconds = (time.perf_counter() - begun) / len(recipes)
        attempts = [Attempt(error=error, seconds=seconds) for _ in recipes]
        fold = None
    return [_answer(scoring, *each, beginning, fold, number) for each in zip(recipes, attempts, strict=True)]


def _answer(scoring: Scoring, recipe: Recipe, attempt: Attempt, beginning: Any, fold: Any, number: int) -> Answer:
    """Score a candidate."""
    details: dict[str, Any] = {"fit_time": 0.0, "score_time": 0.0, "test": {}, "train": {}}
    try:
        if attempt.error is not None:
            raise attempt.error
        details["fit_time"] = attempt.seconds
        begun = time.perf_counter()
        details["test"] = _scores(scoring, attempt, beginning, "test", fold)
        early = 0.0 if beginning is None else beginning.score_seconds
        details["score_time"] = time.perf_counter() - begun + early
        if scoring.train_scores:
            details["train"] = _scores(scoring, attempt, beginning, "train", fold)
    except Exception as error:
        if scoring.raises:
            error.add_note(f"Raised by the candidate {dict(recipe.params)} on fold {number}.")
            raise
        details |= {"error": f"{type(error).__name__}: {error}", "test": {}, "train": {}}
    value = details["test"].get(scoring.main, math.nan)
    return Answer({"score": -FINITE if math.isnan(value) else min(max(value, -FINITE), FINITE)}, details)


def _fitted(recipes: Sequence[Recipe], beginning: Beginning | None, fold: Fold) -> list[Attempt]:
    """Fit candidates: together those that can be."""
    begun = time.perf_counter()
    attempts = [_made(recipe, beginning) for recipe in recipes]
    going = [attempt for attempt in attempts if attempt.error is None]
    X = fold.X_train if beginning is None else beginning.X
    if not _fit_together(going, X, fold):
        for attempt in going:
            try:
                _fit(attempt.rest, X, fold.y_train, _of_steps(attempt.rest, beginning, fold.fit_params))
            except Exception as error:
                attempt.error = error
    seconds = (time.perf_counter() - begun) / len(recipes)
    for attempt in attempts:
        attempt.seconds = seconds + (0.0 if beginning is None else beginning.seconds)
        if attempt.error is None and beginning is not None:
            attempt.model.steps = [*beginning.steps, *attempt.rest.steps]
    return attempts


def _made(recipe: Recipe, beginning: Beginning | None) -> Attempt:
    """A candidate's model, not fitted yet."""
    try:
        model = recipe.make()
    except Exception as error:
        return Attempt(error=error)
    return Attempt(model, model if beginning is None else Pipeline(model.steps[len(beginning.steps) :]))


def _fit_together(attempts: Sequence[Attempt], X: Any, fold: Fold) -> bool:
    """Fit estimators in common visits to the rows, and return whether they are of that sort."""
    named = [_last(attempt.rest) for attempt in attempts]
    params = [_of_step(name, fold.fit_params) if name else dict(fold.fit_params) for name, _ in named]
    if not named or not all(estimator is not None and fuses(estimator) for _, estimator in named):
        return False
    if any(own.keys() - {"sample_weight"} for own in params) or fold.y_train is None:
        return False
    with native_threads(named[0][1]):
        weight = params[0].get("sample_weight")
        errors = fit_many([estimator for _, estimator in named], X, fold.y_train, sample_weight=weight)
    for attempt, error in zip(attempts, errors, strict=True):
        attempt.error = error
    return True


def _last(rest: Any) -> tuple[str, Any]:
    """Name and estimator of what is left to be fitted, when it is one: a step, or (of no name) the model itself."""
    if not isinstance(rest, Pipeline):
        return "", rest
    name, estimator = rest.steps[-1]
    return (name, estimator) if len(rest.steps) == 1 else ("", None)


def _of_steps(rest: Any, beginning: Beginning | None, fit_params: Mapping[str, Any]) -> Mapping[str, Any]:
    """The parameters of `fit` that are for what follows the beginning."""
    if beginning is None:
        return fit_params
    names = {name for name, _ in rest.steps}
    return {key: value for key, value in fit_params.items() if key.partition("__")[0] in names}


def _fit(model: Any, X: Any, y: Any, params: Mapping[str, Any]) -> None:
    with native_threads(model):
        if y is None:
            model.fit(X, **params)
        else:
            model.fit(X, y, **params)


def _scores(scoring: Scoring, attempt: Attempt, beginning: Beginning | None, part: str, fold: Fold) -> dict[str, float]:
    """All scores on the test or training rows.

    Scorers that only ask for predictions ask what follows the beginning, for rows that it has transformed; others are
    given the whole model and the rows as they are.
    """
    X, y, weight = (
        (fold.X_test, fold.y_test, fold.weight_test)
        if part == "test"
        else (fold.X_train, fold.y_train, None if fold.weight_test is None else fold.fit_params["sample_weight"])
    )
    if beginning is None or part not in beginning.scored:
        return _scores_of(scoring.scorers, attempt.model, X, y, weight)
    asking = {name: scorer for name, scorer in scoring.scorers.items() if _only_asks(scorer)}
    others = {name: scorer for name, scorer in scoring.scorers.items() if name not in asking}
    transformed = beginning.scored[part]
    if isinstance(transformed, Broken):
        raise transformed.error
    found = _scores_of(asking, attempt.rest, transformed, y, weight)
    found |= _scores_of(others, attempt.model, X, y, weight)
    return {name: found[name] for name in scoring.scorers}


def _only_asks(scorer: Any) -> bool:
    """Whether a scorer is scikit-learn's own, which looks at nothing but a model's predictions, or its ``score``."""
    return isinstance(scorer, _BaseScorer | _PassthroughScorer)


def _scores_of(scorers: Mapping[str, Any], model: Any, X: Any, y: Any, weight: Any) -> dict[str, float]:
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
