"""Grid search: every combination of listed values, each fitted whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.space import Distribution, branches
from daskflow.search import Search
from daskflow.search.candidates import check_space, named
from daskflow.search.policies import AllAtOnce


class Grid(Search):
    """Every combination of a space of lists, in scikit-learn's order.

    Attributes
    ----------
    max_candidates : int
        A larger grid is refused: one forgotten list multiplies the fits. 10,000 is days of work on one machine.

    Examples
    --------
    >>> policy = Grid().policy({"alpha": [1, 2], "penalty": ["l1", "l2"]}, seed=0)
    >>> [dict(candidate.params) for candidate in policy.candidates][:2]
    [{'alpha': 1, 'penalty': 'l1'}, {'alpha': 1, 'penalty': 'l2'}]
    """

    loads: ClassVar[tuple[str, ...]] = ("sklearn.model_selection",)

    kind: Literal["grid"] = "grid"
    max_candidates: int = Field(default=10_000, ge=1)

    def unlimited(self, space: Mapping[str, Any], *, seed: int) -> AllAtOnce:
        """List the combinations.

        Raises
        ------
        SettingsError
            For a space without parameters, with a distribution, or with more than `max_candidates` combinations.
        """
        from sklearn.model_selection import ParameterGrid  # takes a second: jobs are handed in before

        self._size(space)
        return AllAtOnce(named(ParameterGrid(branches(space))))

    def fits(self, space: Mapping[str, Any], *, seed: int) -> Mapping[str, int]:
        """One fit per combination and fold."""
        size = self.capped(self._size(space))
        return {"candidates": size, "units": size, "resource": size}

    def _size(self, space: Mapping[str, Any]) -> int:
        check_space(space, self.kind)
        problems = [
            Problem(
                f"search.space.{name}",
                f"is a distribution ({values!r:.60}), and a grid needs values: give a list, or choose "
                "search.kind = 'random'",
            )
            for name, values in space.items()
            if isinstance(values, Distribution)
        ]
        if problems:
            raise SettingsError(problems)
        size = sum(math.prod(len(values) for values in own.values()) for own in branches(space))
        if size > self.max_candidates:
            lengths = " x ".join(f"{len(values)} {name}" for name, values in space.items())
            raise SettingsError(
                [
                    Problem(
                        "search.space",
                        f"is a grid of {size:,} candidates ({lengths}); the limit is {self.max_candidates:,}. "
                        "Shorten a list, choose search.kind = 'random', or raise search.max_candidates",
                    )
                ]
            )
        return size
