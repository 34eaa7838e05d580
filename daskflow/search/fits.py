"""Fits: one unit brings one candidate's model of one fold to a resource and scores it; the winner is fitted at last."""

from __future__ import annotations

import hashlib
import math
import pickle
import traceback
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from daskflow.core.errors import ClusterError, DataError, StorageError
from daskflow.core.journal import write_atomically
from daskflow.core.protocols import Call, Limits, MetricSettings, ModelSettings, Unit
from daskflow.core.results import Trial
from daskflow.data.matrices import Batch, Matrices, MatrixPart
from daskflow.data.predictions import Predictions, predict
from daskflow.search import Search, snapshots
from daskflow.search.candidates import model_params, preprocess_params
from daskflow.search.jobs import Answer, Failure, Job, unit_key
from daskflow.search.policies import Candidate
from daskflow.search.training import Training, Way, native_threads, takes_weight, way_of
from daskflow.search.uncertainty import group_scores

LANES = 16
"""Candidates in one visit to a block, where they are trained together: as many as compiled loops take at a time."""

SCORE_ROWS = 50_000
"""Rows predicted at once: blocks are small, and each call of predict costs a millisecond whatever it is given."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What a unit needs to know: the matrices, how to train on them, and how to score.

    Attributes
    ----------
    training : Training
        How.
    matrices : Matrices
        Of every fold.
    variants : sequence of (mapping, Matrices)
        Those of other preprocessings, by the parameters of candidates that have them.
    metrics : sequence of MetricSettings
        All that are computed.
    metric : str
        Name of the one that ranks: a candidate without it fails.
    folder : Path
        Of the snapshots.
    """

    training: Training
    matrices: Matrices
    metrics: Sequence[MetricSettings]
    metric: str
    folder: Path
    variants: Sequence[tuple[Mapping[str, Any], Matrices]] = ()

    def matrices_of(self, params: Mapping[str, Any]) -> Matrices:
        """Return the matrices of a candidate's preprocessing."""
        if not self.variants:
            return self.matrices
        own = preprocess_params(params)
        return next(matrices for given, matrices in self.variants if given == own)

    def snapshot(self, trial: str, fold: int, resource: int) -> Path:
        """Where the model of a trial's fold is kept at a resource."""
        return self.folder / f"{trial}-{fold}-{resource}.pkl"


@dataclass
class MatrixWork:
    """Units of a search over matrices; see `search.engine.Work`.

    Parameters
    ----------
    model : ModelSettings
        The family.
    task : str
        binary, multiclass or regression.
    n_classes : int
        0 for regression.
    matrices : Matrices
        Of every fold; on a folder that all workers see.
    variants : sequence of (mapping, Matrices)
        Where the preprocessing is searched: the matrices of candidates with these parameters ``preprocess.PATH``.
    metrics : sequence of MetricSettings
        Computed for each fit on the fold's validation rows.
    metric : str
        The name among them that ranks.
    seed : int
        The workflow's.
    snapshots : Path
        Folder for models between two rungs; must exist, and all workers must see it.
    search : Search
        Whether it stops early, and how much resource there is.

    Warns
    -----
    UserWarning
        When the rows have weights and the estimator cannot be given any.
    """

    model: ModelSettings
    task: str
    n_classes: int
    matrices: Matrices
    metrics: Sequence[MetricSettings]
    metric: str
    seed: int
    snapshots: Path
    search: Search
    variants: Sequence[tuple[Mapping[str, Any], Matrices]] = ()
    _hashes: dict[tuple[str, int], dict[int, str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Decide what resource means for this model."""
        way = way_of(self.model, self.task, stops_early=self.search.stops_early)
        self.training = Training(self.model, self.task, self.n_classes, self.seed, way, self.search.resource)
        settled = [metric.for_task(self.task, self.n_classes) for metric in self.metrics]
        self._ranking = next(metric for metric in settled if metric.name == self.metric)
        self._fit = Fit(self.training, self.matrices, settled, self.metric, self.snapshots, self.variants)
        for family in self.model.members:
            estimator = family.estimator(self.task, {}, None)
            own = way_of(family, self.task, stops_early=self.search.stops_early)
            if self.matrices.fold(0).train.is_weighted and not takes_weight(estimator, own):
                warnings.warn(
                    f"{type(estimator).__name__} takes no weights: they count in its scores, not in its fits. "
                    "Choose another model, or leave data.weight out.",
                    stacklevel=2,
                )

    @property
    def n_folds(self) -> int:
        """Models per candidate."""
        return len(self.matrices.folds)

    @property
    def together_at_best(self) -> int:
        """How many candidates are worth having in one visit to a block."""
        if not self.search.stops_early:
            return 1
        fused = any(
            way_of(family, self.task, stops_early=True) is Way.BLOCKS and family.fuses(self.task, {})
            for family in self.model.members
        )
        return LANES if fused else 1

    @property
    def greater_is_better(self) -> bool:
        """Direction of the metric that ranks."""
        return self._ranking.greater_is_better

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> Unit:
        """The unit that brings a model from `start` to `stop` and scores it."""
        return Unit(unit_key(candidate.trial, fold, stop), fit, (self._fit, *self._step(candidate, fold, start, stop)))

    def _step(self, candidate: Candidate, fold: int, start: int, stop: int) -> Step:
        return Step(candidate, fold, start, stop, self._hashes.get((candidate.trial, fold), {}).get(start))

    def together(self, job: Job) -> Hashable:
        """Candidates whose family trains many at once can share their visits to the blocks of a fold."""
        params = job.candidate.params
        is_whole = self.training.way is Way.WHOLE
        if (is_whole and self.matrices.fold(job.fold).train.is_sparse) or not self.training.fuses(model_params(params)):
            return None
        return job.fold, job.start, job.stop, *sorted(map(repr, preprocess_params(params).items()))

    def near(self, job: Job) -> Hashable:
        """What jobs read lies on disk: all can go in one unit."""
        return None

    def batch(self, key: str, groups: Sequence[Sequence[Job]], seconds_per_step: float) -> Unit:
        """One call for each group of jobs, in a process of its own where the search says so."""
        calls = tuple(
            Call(
                unit_key(group[0].candidate.trial, group[0].fold, group[0].stop),
                ([self._step(*job) for job in group],),
                steps=sum(job.steps for job in group),
            )
            for group in groups
        )
        limits = Limits(self.search.fit_seconds, seconds_per_step, self.search.fit_bytes)
        return Unit(key, fit_together, (self._fit,), calls=calls, limits=limits if self.search.isolate else None)

    def log(self, trial: str, fold: int, resource: int, text: str) -> str:
        """Keep what a failed fit wrote, beside the snapshots' folder."""
        folder = self.snapshots.parent / "logs"
        folder.mkdir(exist_ok=True)
        path = folder / f"{trial}-{fold}-{resource}.txt"
        path.write_text(text, encoding="utf-8")
        return f"logs/{path.name}"

    def recorded(self, trial: str, fold: int, resource: int, details: Mapping[str, Any]) -> None:
        """Remember the snapshot's hash, and remove the snapshots it supersedes."""
        known = self._hashes.setdefault((trial, fold), {})
        for earlier in [earlier for earlier in known if earlier < resource]:
            self._fit.snapshot(trial, fold, earlier).unlink(missing_ok=True)
            del known[earlier]
        if "sha256" in details:
            known[resource] = str(details["sha256"])

    def clear(self) -> None:
        """Remove every snapshot."""
        self._hashes.clear()
        for path in self.snapshots.iterdir():
            path.unlink(missing_ok=True)


class Step(NamedTuple):
    """What a unit does for one job; `sha256` is that of the model's snapshot at `start`, None when there is none."""

    candidate: Candidate
    fold: int
    start: int
    stop: int
    sha256: str | None


def fit_together(work: Fit, steps: Sequence[Step]) -> list[Answer | Failure]:
    """Do the steps of one group: alone, or in common visits to the blocks; a failure costs its own candidate.

    All of them are of one fold, from one resource to another.
    """
    if len(steps) == 1:
        try:
            return [fit(work, *steps[0])]
        except Exception as error:
            return [_failure(error)]
    found: dict[int, Answer | Failure] = {}
    models: dict[int, Any] = {}
    training, fold, start, stop = work.training, steps[0].fold, steps[0].start, steps[0].stop
    parts = work.matrices_of(steps[0].candidate.params).fold(fold)
    begun: dict[int, list[int]] = {}
    for place, step in enumerate(steps):
        try:
            model = _loaded(work, step)
            begun.setdefault(0 if model is None else start, []).append(place)
            models[place] = (
                training.begin(step.candidate.trial, model_params(step.candidate.params)) if model is None else model
            )
        except Exception as error:
            found[place] = _failure(error)
    for beginning, places in begun.items():
        try:
            training.train_many([models[place] for place in places], parts.train, beginning, stop)
        except Exception:  # whose fault it was shows when each is trained by itself
            return [answer for step in steps for answer in fit_together(work, [step])]
    for place, step in enumerate(steps):
        if place in models:
            try:
                origin = next(beginning for beginning, places in begun.items() if place in places)
                found[place] = _scored(work, step, models[place], origin)
            except Exception as error:
                found[place] = _failure(error)
    return [found[place] for place in range(len(steps))]


def _failure(error: Exception) -> Failure:
    ends_run = isinstance(error, StorageError | ClusterError)
    text = "".join(traceback.format_exception(error))
    return Failure(f"{type(error).__name__}: {error}", error if ends_run else None, text)


def _loaded(work: Fit, step: Step) -> Any:
    """The model of a step's beginning; None to begin anew."""
    way = work.training.way_for(model_params(step.candidate.params))
    if step.start and step.sha256 is not None and way.continues:
        return snapshots.load(work.snapshot(step.candidate.trial, step.fold, step.start), step.sha256)
    return None


def fit(work: Fit, candidate: Candidate, fold: int, start: int, stop: int, sha256: str | None) -> Answer:
    """Bring a candidate's model of a fold from `start` to `stop` resource, keep it, and score it.

    Without its snapshot, or when that is damaged, the model is trained from the beginning: to the same result.

    Parameters
    ----------
    sha256 : str or None
        Of the snapshot at `start`; None when there is none.

    Returns
    -------
    Answer
        All metrics on the validation rows; ``details`` names the snapshot and its hash, and where training began.
    """
    step = Step(candidate, fold, start, stop, sha256)
    model = _loaded(work, step)
    begun = 0 if model is None else start
    train = work.matrices_of(candidate.params).fold(fold).train
    estimator = work.training.train(
        candidate.trial, model_params(candidate.params), train, stop, model=model, start=start
    )
    return _scored(work, step, estimator, begun)


def _scored(work: Fit, step: Step, estimator: Any, begun: int) -> Answer:
    """Score a trained model, and write its snapshot when it may go on."""
    training = work.training
    details: dict[str, Any] = {"from": begun}
    matrices = work.matrices_of(step.candidate.params)
    with native_threads(estimator):
        values, groups = _scores(
            estimator,
            matrices.fold(step.fold).validation,
            work,
            training.n_classes,
            seed=training.seed if len(matrices.folds) == 1 else None,
        )
    if len(groups):
        details["groups"] = [float(f"{value:.6g}") for value in groups]
    if training.way_for(model_params(step.candidate.params)).continues and step.stop < training.budget:
        path = work.snapshot(step.candidate.trial, step.fold, step.stop)
        details |= {"snapshot": path.name, "sha256": snapshots.save(path, estimator)}
    return Answer(values, details)


def _scores(
    estimator: Any, part: MatrixPart, work: Fit, n_classes: int, *, seed: int | None
) -> tuple[dict[str, float], Any]:
    """Return every metric on a part; nan for those, but the one that ranks, that the predictions cannot give.

    With a seed also the metric that ranks on groups of the rows, by which the score's spread is known.
    """
    needs = {metric.needs for metric in work.metrics}
    said: list[Predictions] = []
    truths: list[Any] = []
    weights: list[Any] = []
    for batch in _pieces(part):
        said.append(predict(estimator, batch.X, n_classes, needs))
        truths.append(batch.y)
        weights.append(batch.weight)
    y = np.concatenate(truths)
    weight = np.concatenate(weights) if part.is_weighted else None
    values: dict[str, float] = {}
    for metric in work.metrics:
        try:
            values[metric.name] = float(metric.score(y, _joined(said, metric.needs), weight))
        except (DataError, ValueError):
            if metric.name == work.metric:
                raise
            values[metric.name] = math.nan
    if seed is None:
        return values, ()
    ranking = next(metric for metric in work.metrics if metric.name == work.metric)
    predictions = _joined(said, ranking.needs)
    return values, group_scores(ranking, y, predictions, weight, score=values[work.metric], seed=seed)


def _pieces(part: MatrixPart) -> Iterator[Batch]:
    """Cut a part into about SCORE_ROWS rows: slices of what is mapped, or sparse blocks stacked."""
    if not part.is_sparse:
        whole = part.whole()
        for begin in range(0, part.n_rows, SCORE_ROWS):
            rows = slice(begin, begin + SCORE_ROWS)
            yield Batch(whole.X[rows], whole.y[rows], None if whole.weight is None else whole.weight[rows])
        return
    group: list[Batch] = []
    for number in range(part.n_blocks):
        group.append(part.block(number))
        if number + 1 == part.n_blocks or sum(len(batch.y) for batch in group) >= SCORE_ROWS:
            weights = [batch.weight for batch in group if batch.weight is not None]
            yield Batch(
                sparse.vstack([batch.X for batch in group], format="csr"),
                np.concatenate([batch.y for batch in group]),
                np.concatenate(weights) if weights else None,
            )
            group = []


def _joined(said: Sequence[Predictions], need: str) -> Any:
    return np.concatenate([predictions.of(need) for predictions in said])


def refit(work: MatrixWork, best: Trial, part: MatrixPart, path: Path) -> str:
    """Fit the best trial's parameters on all of a part, with the resource it ended with, and write the model.

    A model that learned by blocks sees as many blocks as before; those of all rows but test hold more rows each. One
    that boosts makes as many rounds. Any other is fitted on the same share of the rows as it had when it was scored:
    all of them, for a trial that reached the end.

    Parameters
    ----------
    work : MatrixWork
        The search's.
    best : Trial
        The winner.
    part : MatrixPart
        Rows that are not test.
    path : Path
        Where the pickle is written.

    Returns
    -------
    str
        SHA-256 of the file.
    """
    estimator = work.training.train(best.id, model_params(best.params), part, max(best.resource, 1))
    content = pickle.dumps(estimator, protocol=pickle.HIGHEST_PROTOCOL)
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()
