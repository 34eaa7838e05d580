"""Proposals: candidates by Optuna's TPE, each a function of what it may see and of nothing else."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sklearn.model_selection import ParameterSampler

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.seeds import seed_of
from daskflow.core.warned import ignored
from daskflow.search.spaces import Plane, Point, Space

LAG = 8
"""A proposal waits for the answers of all candidates but the so many before it. More keep more workers busy, and make
each proposal a little less informed; it is no function of the workers, so that the candidates are not either."""

STARTUP = 16
"""Candidates drawn at random before the first proposal: the first one sees half of their answers."""

ATTEMPTS = 10
"""How often a proposal is made anew when it is that of an earlier candidate."""


def optuna() -> Any:
    """Import Optuna.

    Raises
    ------
    SettingsError
        When it is not installed.
    """
    try:
        import optuna as module
    except ImportError:
        found = "needs Optuna, which is not installed: pip install 'daskflow[optuna]', or choose another kind"
        raise SettingsError([Problem("search.kind", found)]) from None
    return module


@dataclass(frozen=True, slots=True)
class Seen:
    """What a proposal knows of an earlier candidate.

    Attributes
    ----------
    score : float or None
        Greater is better; nan when it failed, None when it may not be known yet.
    resource : int or None
        At which it was scored, when that was not the last one.
    """

    score: float | None = None
    resource: int | None = None


class Proposer:
    """Proposes candidates one after another.

    Parameters
    ----------
    space : mapping, or sequence of mapping
        See `spaces.branches`.
    seed : int
        Of every proposal: number n is made by a sampler seeded with ``seed_of(seed, "tpe", n)``, so that it is the same
        in any process and after any restart.
    startup : int
        So many are drawn at random, by the sampler of a random search.
    random_state : int or RandomState
        Draws those.
    kind : str
        Of the search, for messages.

    Raises
    ------
    SettingsError
        Without Optuna, or with a space that TPE cannot have.

    References
    ----------
    J. Bergstra et al., "Algorithms for Hyper-Parameter Optimization", NIPS 2011.
    S. Watanabe, "Tree-Structured Parzen Estimator", arXiv:2304.11127, 2023.
    T. Akiba et al., "Optuna", KDD 2019.
    """

    def __init__(self, space: Space, *, seed: int, startup: int, random_state: Any, kind: str) -> None:
        """Draw the first ones."""
        self.plane = Plane(space, kind)
        self.optuna = optuna()
        self.seed = seed
        self.n_points = self.plane.n_points()
        number = int(min(startup, self.n_points))
        sampler = ParameterSampler(self.plane.branches, number, random_state=random_state) if number else ()
        self.drawn = list(sampler)
        self.points: list[Point] = []

    def next(self, seen: Sequence[Seen]) -> dict[str, Any]:
        """Return the next candidate's parameters.

        Parameters
        ----------
        seen : sequence of Seen
            What it knows of each candidate before it, in order.
        """
        number = len(self.points)
        if number < len(self.drawn):
            params = dict(self.drawn[number])
            self.points.append(self.plane.encode(params))
            return params
        for attempt in range(ATTEMPTS):
            point = self._sample(seen, seed_of(self.seed, "tpe", number, *([attempt] if attempt else [])))
            if point not in self.points:
                break
        else:
            point = self._untried() or point
        self.points.append(point)
        return self.plane.decode(point)

    def _untried(self) -> Point | None:
        """The first point that no candidate has, where points can be counted."""
        if not math.isfinite(self.n_points):
            return None
        known = set(self.points)
        for branch in range(len(self.plane.axes)):
            free = self.plane.free(branch)
            lists = [range(len(axis.values)) for axis in free.values()]  # type: ignore[attr-defined]  # all are choices
            for codes in itertools.product(*lists):
                point = Point(branch, tuple(zip(free, codes, strict=True)))
                if point not in known:
                    return point
        return None

    def _sample(self, seen: Sequence[Seen], seed: int) -> Point:
        """Tell a sampler what is seen, and ask it.

        Candidates without an answer are told as running: TPE keeps away from them (its constant liar).
        """
        with self._quiet():
            sampler = self.optuna.samplers.TPESampler(
                seed=seed,
                n_startup_trials=1,
                multivariate=True,
                group=len(self.plane.axes) > 1,
                constant_liar=True,
            )
            study = self.optuna.create_study(direction="maximize", sampler=sampler)
            study.add_trials([self._told(point, each) for point, each in zip(self.points, seen, strict=True)])
            trial = study.ask()
            branch = trial.suggest_categorical("branch", self._branch().choices) if len(self.plane.axes) > 1 else 0
            codes = {name: axis.suggest(trial, f"{branch}.{name}") for name, axis in self.plane.free(branch).items()}
        return Point(branch, tuple(codes.items()))

    def _branch(self) -> Any:
        return self.optuna.distributions.CategoricalDistribution(range(len(self.plane.axes)))

    def _told(self, point: Point, seen: Seen) -> Any:
        """A candidate as a trial of Optuna.

        One that was scored before its last resource is a pruned trial: TPE ranks those by resource, then by score,
        behind those that came to the end. One that failed is a pruned trial that has no score, which ranks last: what
        Optuna calls failed it forgets, and goes back to where it failed.
        """
        states = self.optuna.trial.TrialState
        axes = self.plane.free(point.branch)
        params = {f"{point.branch}.{name}": code for name, code in point.codes}
        distributions = {f"{point.branch}.{name}": axes[name].distribution() for name, _ in point.codes}
        if len(self.plane.axes) > 1:
            params["branch"], distributions["branch"] = point.branch, self._branch()
        told: dict[str, Any] = {"params": params, "distributions": distributions}
        if seen.score is None:
            told["state"] = states.RUNNING
        elif math.isnan(seen.score):
            told["state"] = states.PRUNED
        else:
            score = min(max(seen.score, -1e300), 1e300)
            told |= {"value": score, "state": states.COMPLETE}
            if seen.resource is not None:
                told |= {"state": states.PRUNED, "intermediate_values": {seen.resource: score}}
        return self.optuna.trial.create_trial(**told)

    @contextmanager
    def _quiet(self) -> Iterator[None]:
        """Without Optuna's log of each study, and its warning that groups are experimental."""
        log = logging.getLogger("optuna")
        level = log.level
        log.setLevel(logging.WARNING)
        try:
            with ignored(self.optuna.exceptions.ExperimentalWarning):
                yield
        finally:
            log.setLevel(level)


def n_proposals(space: Space, trials: int, kind: str) -> int:
    """Return how many candidates there will be: `trials`, or all that a space of lists has."""
    return int(min(trials, Plane(space, kind).n_points()))
