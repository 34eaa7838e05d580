"""Models: families of estimators with a default search space each; any scikit-learn estimator as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from daskflow.core.registry import Registry
from daskflow.core.settings import Settings


class Model(Settings):
    """A family of estimators.

    Attributes
    ----------
    kind : str
        The family's name.
    params : mapping
        Parameters that are fixed; those of the search are set over them.
    """

    kind: str
    params: Mapping[str, Any] = Field(default_factory=dict)

    def estimator(self, task: str, params: Mapping[str, Any], seed: int | None) -> Any:
        """Return an unfitted estimator.

        Parameters
        ----------
        task : str
            binary, multiclass or regression.
        params : mapping
            A candidate's parameters, set over `self.params`.
        seed : int or None
            For ``random_state``, unless the parameters set it themselves.

        Raises
        ------
        SettingsError
            When the family has no estimator for the task, or a parameter does not exist (with the nearest name).
        """
        raise NotImplementedError

    def space(self, task: str) -> Mapping[str, Any]:
        """Return the default search space: lists and distributions."""
        return {}

    def is_incremental(self, task: str) -> bool:
        """Return whether the estimator has ``partial_fit``."""
        return hasattr(self.estimator(task, {}, None), "partial_fit")

    def takes_sparse(self, task: str) -> bool:
        """Return whether the estimator fits on scipy CSR matrices."""
        return True


REGISTRY: Registry[Model] = Registry(__name__, Model, "model")


def __getattr__(name: str) -> Any:
    """Find a family's class on first use."""
    return REGISTRY.attribute(name)
