"""Fits of the grid searches: candidates on a fold; beginnings that pipelines share are fitted once.

Candidates that end in an SGD estimator and share all before it are fitted in common visits to the rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from dask.base import tokenize
from sklearn.pipeline import Pipeline

from daskflow.core.protocols import Call, Kept, Outcome, Unit
from daskflow.core.seeds import digest
from daskflow.search.array_work import Recipe
from daskflow.search.fold_data import Folds, cut_and_keep
from daskflow.search.fold_fits import Scoring, fit_and_score, fit_one_and_score, fit_step, fuses
from daskflow.search.jobs import Job, unit_key
from daskflow.search.policies import Candidate


class Plan(NamedTuple):
    """What is done for a candidate.

    Attributes
    ----------
    shared : sequence of str
        Keys of the beginnings of its pipeline that are kept: of one step, of two, and so on.
    fuses : bool
        Whether nothing is left after them but an estimator that is fitted together with others.
    """

    shared: Sequence[str]
    fuses: bool


@dataclass
class FoldWork:
    """Units of a grid search.

    Parameters
    ----------
    estimator : estimator
        To clone for each candidate.
    folds : Folds
        Rows and row numbers.
    scoring : Scoring
        How each fit is scored, and whether a failing one ends the search.
    pairwise : bool
        Whether X is a kernel.
    keeps_folds : bool
        Cut each fold once and keep it, instead of once for each visit.
    batches : bool
        Whether fits that are short go several in one unit.
    candidates : sequence of Candidate
        All of them, to see which beginnings are shared.
    """

    estimator: Any
    folds: Folds
    scoring: Scoring
    pairwise: bool
    keeps_folds: bool
    batches: bool
    candidates: Sequence[Candidate]
    metric: str = "score"
    greater_is_better: bool = True
    made: set[str] = field(default_factory=set)
    plans: dict[str, Plan] = field(default_factory=dict)
    flying: dict[str, Sequence[Sequence[Job]]] = field(default_factory=dict)
    _chains: dict[str, list[str]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Find the beginnings that at least two candidates share, and count who needs what is kept."""
        chains = {candidate.trial: self._chain(candidate) for candidate in self.candidates}
        counts = Counter(key for chain, _ in chains.values() for key in chain)
        for trial, (chain, fuses_last) in chains.items():
            shared = [key for key in chain if counts[key] > 1]
            self.plans[trial] = Plan(shared, fuses_last and len(shared) == len(chain))
        self.needed = Counter(
            key for trial in self.plans for fold in range(self.n_folds) for key in self._kept_by(trial, fold)
        )

    @property
    def n_folds(self) -> int:
        """Models per candidate."""
        return self.folds.n_folds

    def plan(self, candidate: Candidate) -> Plan:
        """What is done for a candidate."""
        return self.plans[candidate.trial]

    def together(self, job: Job) -> Hashable:
        """Candidates that are fitted together visit the same rows, as the same beginning leaves them."""
        return (job.fold, *self.plan(job.candidate).shared[-1:]) if self.plan(job.candidate).fuses else None

    def near(self, job: Job) -> Hashable:
        """A unit reads one fold, and what one beginning makes of it."""
        return (job.fold, *self.plan(job.candidate).shared[-1:]) if self.batches else job.place

    def unit(self, candidate: Candidate, fold: int, start: int, stop: int) -> list[Unit]:
        """What must be kept first and is not yet, then the unit that fits and scores."""
        units, source, beginning = self._before(candidate, fold)
        arguments = (self.scoring, source, beginning, Recipe(self.estimator, candidate.params), fold)
        return [*units, Unit(unit_key(candidate.trial, fold, stop), fit_one_and_score, arguments)]

    def batch(self, key: str, groups: Sequence[Sequence[Job]], seconds_per_step: float) -> list[Unit]:
        """As `unit`, for groups of jobs that are near each other: a call for each group."""
        first = groups[0][0]
        units, source, beginning = self._before(first.candidate, first.fold)
        calls = tuple(
            Call(
                unit_key(group[0].candidate.trial, group[0].fold, group[0].stop),
                ([Recipe(self.estimator, job.candidate.params) for job in group], first.fold),
            )
            for group in groups
        )
        self.flying[key] = groups
        return [*units, Unit(key, fit_and_score, (self.scoring, source, beginning), calls=calls)]

    def answered(self, outcome: Outcome) -> list[tuple[Sequence[Job], Outcome]]:
        """Return the groups of jobs of a unit, and what became of each; none for what only prepares some."""
        groups = self.flying.pop(outcome.key, ())
        return list(zip(groups, outcome.parts or (outcome,) * len(groups), strict=True))

    def done(self, trial: str, fold: int) -> list[str]:
        """Count a finished fit; return the keys of what no other needs any more."""
        keys = self._kept_by(trial, fold)
        self.needed.subtract(keys)
        return [key for key in keys if self.needed[key] == 0]

    def _before(self, candidate: Candidate, fold: int) -> tuple[list[Unit], Any, Any]:
        """Units that keep what is not kept yet; the fold and the beginning, as arguments of what follows them."""
        source: Any = [self.folds.rows, self.folds.splits, fold, self.pairwise]
        units: list[Unit] = []
        if self.keeps_folds:
            key = f"fold-{fold}"
            units.append(Unit(key, cut_and_keep, tuple(source), keeps=True))
            source = Kept(key)
        recipe = Recipe(self.estimator, candidate.params)
        beginning: Any = None
        for position, key in enumerate(self.plan(candidate).shared):
            name = f"steps-{fold}-{key}"
            arguments = (source, beginning, recipe, position, self.scoring.parts)
            units.append(Unit(name, fit_step, arguments, keeps=True))
            beginning = Kept(name)
        units = [unit for unit in units if unit.key not in self.made]
        self.made |= {unit.key for unit in units}
        return units, source, beginning

    def _kept_by(self, trial: str, fold: int) -> list[str]:
        folds = [f"fold-{fold}"] if self.keeps_folds else []
        return [*folds, *(f"steps-{fold}-{key}" for key in self.plans[trial].shared)]

    def _chain(self, candidate: Candidate) -> tuple[list[str], bool]:
        """Keys of a pipeline's beginnings, of one step, of two, and so on, and whether its last step fuses.

        Equal steps give equal keys.
        """
        try:
            model = Recipe(self.estimator, candidate.params).make()
            if not isinstance(model, Pipeline):
                return [], fuses(model)
            if model.memory is not None or model.transform_input is not None:
                return [], False
            last, estimator = model.steps[-1]
            others = {name: v for name, v in candidate.params.items() if name.partition("__")[0] != last}
            key = tokenize(sorted(others.items())) if others else ""
            if key not in self._chains:  # naming the steps of a pipeline takes 10 ms
                tokens = [tokenize(name, type(step), step) for name, step in model.steps[:-1]]
                self._chains[key] = [digest(tokens[: length + 1], 32) for length in range(len(tokens))]
            return self._chains[key], fuses(estimator)
        except Exception:  # the unit that fits will meet it too, and can say whose it is
            return [], False
