"""Searches: dask-ml's, with daskflow's engine under them; as estimators and as kinds of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from dask.utils import parse_bytes
from pydantic import field_validator

from daskflow.core.registry import Registry
from daskflow.core.settings import Settings
from daskflow.search.budgets import Budget, Budgeted, seconds_of

if TYPE_CHECKING:
    from daskflow.search.policies import Policy


class Search(Settings):
    """How a workflow looks for good parameters.

    Attributes
    ----------
    kind : str
        The kind's name.
    metric : str or None
        What ranks candidates; None for the task's default.
    space : mapping or None
        Parameters as lists or distributions; None for the model family's own.
    isolate : bool
        Whether fits run in processes of their own beside the workers, so that one that crashes, takes too much memory
        or never returns costs its candidate and nothing else. ``cluster.kind = "inline"`` and ``"threads"`` do not.
    fit_timeout : str or None
        How long one fit of one fold may take from one score to the next, such as ``"10 min"``. Default: 30 times the
        median of those before it, at least two minutes; an hour for the first ones.
    fit_memory : str or None
        What a fit may hold, such as ``"2 GiB"``. Default: the worker's limit in equal shares for its threads, less
        what the worker holds itself.
    budget : Budget or None
        When the search ends before it has nothing more to try: ``trials``, ``wall_time``, ``cpu_hours``, or
        ``patience`` and ``tolerance``, and what then happens to ``running`` fits.
    loads : tuple of str
        Modules that drawing candidates imports; a run begins to load them when it begins. Workers get the settings too,
        and need none of these: so they are not imported at the top of a kind's file.
    """

    loads: ClassVar[tuple[str, ...]] = ()

    kind: str
    metric: str | None = None
    space: Mapping[str, Any] | None = None
    isolate: bool = True
    fit_timeout: str | None = None
    fit_memory: str | None = None
    budget: Budget | None = None

    @field_validator("fit_timeout", "fit_memory")
    @classmethod
    def _can_be_read(cls, value: str | None, info: Any) -> str | None:
        """Refuse what is no time, or no size."""
        if value is not None:
            is_time = info.field_name == "fit_timeout"
            try:
                amount = seconds_of(value) if is_time else parse_bytes(value)
            except ValueError:
                amount = 0
            if not amount > 0:
                raise ValueError(f"should be a {'time such as 10 min' if is_time else 'size such as 2 GiB'}")
        return value

    def identity(self) -> dict[str, Any]:
        """Return what decides the result: how much time there is does not, so that a run may get more of it."""
        said = self.dump()
        said.pop("isolate")
        if self.budget is not None:
            said["budget"] = self.budget.identity()
        return {word: value for word, value in said.items() if word != "budget" or value}

    @property
    def fit_seconds(self) -> float | None:
        """`fit_timeout` in seconds."""
        return None if self.fit_timeout is None else seconds_of(self.fit_timeout)

    @property
    def fit_bytes(self) -> int | None:
        """`fit_memory` in bytes."""
        return None if self.fit_memory is None else int(parse_bytes(self.fit_memory))

    @property
    def stops_early(self) -> bool:
        """Whether candidates are judged before they saw their last block."""
        return False

    @property
    def draws_first(self) -> bool:
        """Whether every candidate is known before the first fit."""
        return True

    @property
    def resource(self) -> int:
        """The most that one candidate can get: ``max_iter``, or 1 where a fit is whole."""
        return 1

    def policy(self, space: Mapping[str, Any], *, seed: int) -> Policy:
        """Draw the candidates from a space of lists and distributions, and hold the search to its budget."""
        policy = self.unlimited(space, seed=seed)
        return policy if self.budget is None else Budgeted(policy, self.budget)

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> Policy:
        """Draw the candidates without a look at the budget: what a kind implements."""
        raise NotImplementedError

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """What it will cost: ``candidates``, ``units`` per fold, and ``resource`` summed over candidates per fold.

        Of the budget only the trials count: when the others are met cannot be known.
        """
        raise NotImplementedError

    def capped(self, n_candidates: int) -> int:
        """How many of so many candidates the budget leaves."""
        most = None if self.budget is None else self.budget.trials
        return n_candidates if most is None else min(n_candidates, most)


REGISTRY: Registry[Search] = Registry(__name__, Search, "search")

ESTIMATORS = {
    "GridSearchCV": "grid_search",
    "RandomizedSearchCV": "grid_search",
    "IncrementalSearchCV": "incremental_search",
    "InverseDecaySearchCV": "incremental_search",
    "SuccessiveHalvingSearchCV": "incremental_search",
    "HyperbandSearchCV": "incremental_search",
    "ASHASearchCV": "adaptive_search",
    "TPEHyperbandSearchCV": "adaptive_search",
    "TPESearchCV": "tpe_search",
    "nested_cross_validate": "nested",
    "NestedScores": "nested",
}


def __getattr__(name: str) -> Any:
    """Find an estimator or a kind's class on first use."""
    if name in ESTIMATORS:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{ESTIMATORS[name]}"), name)
    return REGISTRY.attribute(name)
