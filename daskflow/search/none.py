"""No search: the model as it is set, fitted once per fold, so that it has scores like any other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from daskflow.core.errors import Problem, SettingsError
from daskflow.search import Search
from daskflow.search.candidates import named
from daskflow.search.policies import AllAtOnce


class NoSearch(Search):
    """One candidate: the model's fixed parameters, fitted whole.

    Examples
    --------
    >>> NoSearch().policy({"alpha": [1, 2]}, seed=0).candidates
    [Candidate(trial='0', params={}, bracket=None)]
    """

    kind: Literal["none"] = "none"

    def model_post_init(self, context: Any) -> None:
        """Refuse a space that would not be looked at."""
        if self.space:
            raise SettingsError(
                [Problem("space", "'none' searches nothing: move fixed values to model.params, or choose another kind")]
            )

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> AllAtOnce:
        """Take no parameter; the model family's own space is left alone."""
        return AllAtOnce(named([{}]))

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """One fit per fold."""
        return {"candidates": 1, "units": 1, "resource": 1}
