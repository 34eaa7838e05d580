"""Searches: dask-ml's, with daskflow's engine under them; as estimators and as kinds of a workflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daskflow.core.registry import Registry
from daskflow.core.settings import Settings

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
    """

    kind: str
    metric: str | None = None
    space: Mapping[str, Any] | None = None

    @property
    def stops_early(self) -> bool:
        """Whether candidates are judged before they saw their last block."""
        return False

    @property
    def resource(self) -> int:
        """The most that one candidate can get: ``max_iter``, or 1 where a fit is whole."""
        return 1

    def policy(self, space: Mapping[str, Any], *, seed: int) -> Policy:
        """Draw the candidates from a space of lists and distributions."""
        raise NotImplementedError

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """What it will cost: ``candidates``, ``units`` per fold, and ``resource`` summed over candidates per fold."""
        raise NotImplementedError


REGISTRY: Registry[Search] = Registry(__name__, Search, "search")

ESTIMATORS = {
    "GridSearchCV": "grid_search",
    "RandomizedSearchCV": "grid_search",
    "IncrementalSearchCV": "incremental_search",
    "InverseDecaySearchCV": "incremental_search",
    "SuccessiveHalvingSearchCV": "incremental_search",
    "HyperbandSearchCV": "incremental_search",
}


def __getattr__(name: str) -> Any:
    """Find an estimator or a kind's class on first use."""
    if name in ESTIMATORS:
        import importlib

        return getattr(importlib.import_module(f"{__name__}.{ESTIMATORS[name]}"), name)
    return REGISTRY.attribute(name)
