"""Hyperband: dask-ml's brackets of successive halving, side by side."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import Field

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.seeds import seed_of
from daskflow.core.space import branches
from daskflow.core.warned import ignored
from daskflow.search import Search
from daskflow.search.candidates import check_space, named
from daskflow.search.policies import Adaptive, SideBySide


@dataclass(frozen=True)
class _Capped:
    """A bracket's rule, held to ``max_iter``.

    dask-ml looks at the calls made, not at those to come: with ``aggressiveness=2, max_iter=9`` a model would go from
    8 calls to 16, which is neither what its documentation says nor what its ``metadata`` announces.
    """

    bracket: Any
    max_iter: int

    def __call__(self, info: dict[int, list[dict[str, Any]]]) -> dict[int, int]:
        """Further calls by model; none for a model that they would take beyond."""
        calls = self.bracket._additional_calls(info)
        seen = {number: info[number][-1]["partial_fit_calls"] for number in calls}
        return {number: more if seen[number] + more <= self.max_iter else 0 for number, more in calls.items()}


class Hyperband(Search):
    """Many candidates for a short time, few for long; dask-ml's schedules, most adaptive bracket first.

    Attributes
    ----------
    max_iter : int
        The most resource one candidate gets: training blocks seen; for boosting, rounds in that many equal steps;
        for estimators that learn neither way, shares of the training rows. It also sets how many candidates there
        are: 49 for 27, 143 for 81.
    aggressiveness : int
        Of each rung one in so many goes on, for so many times the resource.
    patience : bool or int
        Stop a candidate whose score did not rise by `tol` within that much resource; True is
        ``max_iter // aggressiveness``. Off by default, as in dask-ml.
    tol : float or None
        See `patience`; None never stops.

    References
    ----------
    L. Li et al., "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", JMLR 18, 2018.
    S. Sievert et al., "Better and faster hyperparameter optimization with Dask", SciPy 2019.

    Examples
    --------
    >>> from daskflow.core.space import LogUniform
    >>> policy = Hyperband(max_iter=9).policy({"alpha": LogUniform(1e-6, 1e-1)}, seed=7)
    >>> [candidate.trial for candidate in policy.candidates][-4:]
    ['1-4', '0-0', '0-1', '0-2']
    """

    loads: ClassVar[tuple[str, ...]] = ("dask_ml.model_selection",)

    kind: Literal["hyperband"] = "hyperband"
    max_iter: int = Field(default=27, ge=1)
    aggressiveness: int = Field(default=3, ge=2)
    patience: bool | int = Field(default=False)
    tol: float | None = 1e-3

    def model_post_init(self, context: Any) -> None:
        """Refuse a patience with which dask-ml would see a plateau everywhere."""
        steps = self._patience()
        if steps == 1 or steps < 0:
            found = f"True, which is max_iter // aggressiveness = {steps}" if self.patience is True else steps
            raise SettingsError([Problem("patience", f"must be 2 or more, or false (found {found})")])

    def _patience(self) -> int:
        if self.patience is True:
            from dask_ml.model_selection._hyperband import _get_patience

            return int(_get_patience(self.patience, self.max_iter, self.aggressiveness, self.tol))
        return int(self.patience)

    @property
    def stops_early(self) -> bool:
        """Candidates are judged at every rung."""
        return True

    @property
    def resource(self) -> int:
        """``max_iter``."""
        return self.max_iter

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> SideBySide:
        """Draw each bracket's candidates, and let dask-ml's rule decide after each rung.

        Raises
        ------
        SettingsError
            For a space without parameters.
        """
        check_space(space, self.kind)
        parts, wanted = [], 0
        for number, size, rule in self.rules(space, seed_of(seed, "candidates")):
            wanted = max(wanted, size)
            with ignored(UserWarning, "The total space of parameters"):  # said below, once
                parts.append(Adaptive(named(rule.bracket._get_params(), number), rule))
        combinations = len(parts[0].candidates)
        if combinations < wanted:
            warnings.warn(
                f"search.space has {combinations} combinations, fewer than the {wanted} candidates of Hyperband's "
                f"largest bracket for max_iter = {self.max_iter}: they are tried again in each bracket. "
                "Add values or a distribution, or choose search.kind = 'grid'.",
                stacklevel=2,
            )
        return SideBySide(parts)

    def rules(self, space: Mapping[str, Any] | None = None, random_state: int = 0) -> list[tuple[int, int, _Capped]]:
        """Return number, size and rule of dask-ml's brackets, most adaptive first; `space` is what their draws use."""
        from dask_ml.model_selection import HyperbandSearchCV  # takes seconds, and no other search needs it
        from dask_ml.model_selection._hyperband import _get_hyperband_params
        from sklearn.linear_model import SGDClassifier

        search = HyperbandSearchCV(
            SGDClassifier(),  # never fitted: dask-ml's searches want one
            branches(space or {}),
            max_iter=self.max_iter,
            aggressiveness=self.aggressiveness,
            patience=self.patience,
            tol=self.tol,
            random_state=random_state,
        )
        sizes = _get_hyperband_params(self.max_iter, eta=self.aggressiveness)
        brackets = sorted(search._get_SHAs(sizes).items(), reverse=True)
        return [(number, sizes[number][0], _Capped(bracket, self.max_iter)) for number, bracket in brackets]

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """Play the schedule with scores that always rise: the most it can cost."""
        with ignored():
            policy = self.unlimited(space, seed=seed)
            policy.limit(self.capped(len(policy.candidates)))
        units, seen = 0, dict.fromkeys((candidate.trial for candidate in policy.candidates), 0)
        while requests := policy.ask():
            for request in requests:
                units, seen[request.trial] = units + 1, request.resource
                policy.tell(request, float(request.resource))
        return {"candidates": len(seen), "units": units, "resource": sum(seen.values())}
