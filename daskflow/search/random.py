"""Random search: candidates drawn from the space, each fitted whole."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from daskflow.core.seeds import seed_of
from daskflow.core.space import Distribution, branches
from daskflow.search import Search
from daskflow.search.candidates import check_space, named
from daskflow.search.policies import AllAtOnce


class Random(Search):
    """Candidates drawn independently; from lists alone without replacement.

    Attributes
    ----------
    trials : int
        How many. A space of lists with fewer combinations gives each of them once, with a warning.

    References
    ----------
    J. Bergstra and Y. Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 13, 2012.

    Examples
    --------
    >>> policy = Random(trials=3).policy({"penalty": ["l1", "l2"], "alpha": [1, 2, 3]}, seed=7)
    >>> [candidate.trial for candidate in policy.candidates]
    ['0', '1', '2']
    """

    loads: ClassVar[tuple[str, ...]] = ("sklearn.model_selection",)

    kind: Literal["random"] = "random"
    trials: int = Field(default=20, ge=1)

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> AllAtOnce:
        """Draw the candidates.

        Raises
        ------
        SettingsError
            For a space without parameters.
        """
        check_space(space, self.kind)
        return AllAtOnce(named(draw(space, self.trials, seed)))

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """One fit per candidate and fold."""
        check_space(space, self.kind)
        number = self.trials
        if not _is_drawn(space):
            number = min(number, sum(math.prod(map(len, own.values())) for own in branches(space)))
        number = self.capped(number)
        return {"candidates": number, "units": number, "resource": number}


def draw(space: Mapping[str, Any], trials: int, seed: int) -> list[dict[str, Any]]:
    """Draw candidates by scikit-learn's sampler, as dask-ml does; fewer, with a warning, where the space has fewer."""
    from sklearn.model_selection import ParameterSampler  # takes a second: jobs are handed in before

    spaces = branches(space)
    sampler = ParameterSampler(spaces, trials, random_state=seed_of(seed, "candidates"))
    if not _is_drawn(space) and len(sampler) < trials:
        warnings.warn(
            f"search.space has {len(sampler)} combinations, fewer than search.trials = {trials}: each is tried once. "
            "Add values or a distribution, or choose search.kind = 'grid'.",
            stacklevel=3,
        )
        sampler = ParameterSampler(spaces, len(sampler), random_state=seed_of(seed, "candidates"))
    return list(sampler)


def _is_drawn(space: Mapping[str, Any]) -> bool:
    """Whether a space has a distribution: then there is no end of candidates."""
    return any(isinstance(values, Distribution) for values in space.values())
