"""Hyperband: dask-ml's brackets of successive halving, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from dask_ml.model_selection import HyperbandSearchCV
from dask_ml.model_selection._hyperband import _get_hyperband_params, _get_patience
from pydantic import Field
from sklearn.linear_model import SGDClassifier

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.seeds import seed_of
from daskflow.search import Search
from daskflow.search.candidates import check_space, named
from daskflow.search.policies import Adaptive, SideBySide


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
    >>> policy = Hyperband(max_iter=9).policy({"alpha": [1e-4, 1e-3, 1e-2]}, seed=7)
    >>> [candidate.trial for candidate in policy.candidates][-4:]
    ['1-2', '0-0', '0-1', '0-2']
    """

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
        if isinstance(self.patience, bool):
            return int(_get_patience(self.patience, self.max_iter, self.aggressiveness, self.tol))
        return self.patience

    @property
    def stops_early(self) -> bool:
        """Candidates are judged at every rung."""
        return True

    @property
    def resource(self) -> int:
        """``max_iter``."""
        return self.max_iter

    def policy(self, space: Mapping[str, Any], *, seed: int) -> SideBySide:
        """Draw each bracket's candidates, and let dask-ml's rule decide after each rung.

        Raises
        ------
        SettingsError
            For a space without parameters.
        """
        check_space(space, self.kind)
        search = HyperbandSearchCV(
            SGDClassifier(),  # never fitted: dask-ml's searches want one
            dict(space),
            max_iter=self.max_iter,
            aggressiveness=self.aggressiveness,
            patience=self.patience,
            tol=self.tol,
            random_state=seed_of(seed, "candidates"),
        )
        brackets = search._get_SHAs(_get_hyperband_params(self.max_iter, eta=self.aggressiveness))
        return SideBySide(
            [
                Adaptive(named(brackets[number]._get_params(), number), brackets[number]._additional_calls)
                for number in sorted(brackets, reverse=True)
            ]
        )

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """Play the schedule with scores that always rise: the most it can cost."""
        policy = self.policy(space, seed=seed)
        units, seen = 0, dict.fromkeys((candidate.trial for candidate in policy.candidates), 0)
        while requests := policy.ask():
            for request in requests:
                units, seen[request.trial] = units + 1, request.resource
                policy.tell(request, float(request.resource))
        return {"candidates": len(seen), "units": units, "resource": sum(seen.values())}
