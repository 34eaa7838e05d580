"""Spaces as TPE sees them: each parameter as a number or a choice, and back, branch by branch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from daskflow.core import space as core_space
from daskflow.core.errors import Problem, SettingsError
from daskflow.core.space import FAMILY, LogUniform, Normal, QUniform, RandInt, Uniform
from daskflow.search.candidates import check_space

Space = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""One mapping of parameters, or several of which a candidate has one."""

EDGE = 1e-6
"""Share of a distribution left out at each end, where its quantiles may be infinite."""


def branches(space: Space) -> list[dict[str, Any]]:
    """Return the mappings of which a candidate has one.

    A space is one mapping, or a list of them as scikit-learn's searches take it, or has a parameter ``model`` that is a
    mapping of names to what is searched only with that name; or ``model`` lists names, beside ``NAME.PARAMETER``.

    Examples
    --------
    >>> branches({"model": {"sgd": {"alpha": [1, 2]}, "logistic": {"C": [3]}}, "random_state": [0]})
    [{'random_state': [0], 'model': ['sgd'], 'alpha': [1, 2]}, {'random_state': [0], 'model': ['logistic'], 'C': [3]}]
    """
    if not isinstance(space, Mapping):
        return [dict(branch) for branch in space]
    if not isinstance(space.get(FAMILY), Mapping):
        return core_space.branches(space)
    common = {name: values for name, values in space.items() if name != FAMILY}
    return [{**common, FAMILY: [name], **own} for name, own in space[FAMILY].items()]


class Axis(Protocol):
    """A parameter on TPE's side: codes are whole numbers or floats."""

    def distribution(self) -> Any:
        """Optuna's distribution of the codes."""

    def suggest(self, trial: Any, name: str) -> float:
        """Let a trial of Optuna draw a code from it."""

    def encode(self, value: Any) -> float:
        """Return the code of a value; ValueError when the parameter cannot have it."""

    def decode(self, code: float) -> Any:
        """Return the value of a code."""


@dataclass(frozen=True)
class Choice:
    """One of a list; the code is its place, which means no order."""

    values: Sequence[Any]

    def distribution(self) -> Any:
        """Optuna's."""
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(range(len(self.values)))

    def suggest(self, trial: Any, name: str) -> float:
        """Let a trial of Optuna draw a code."""
        return int(trial.suggest_categorical(name, range(len(self.values))))

    def encode(self, value: Any) -> float:
        """Find the value's place: the same object, else an equal one of its type, else an equal one."""
        same = [each is value for each in self.values]
        alike = [type(each) is type(value) and _is_equal(each, value) for each in self.values]
        equal = [_is_equal(each, value) for each in self.values]
        for found in (same, alike, equal):
            if any(found):
                return found.index(True)
        raise ValueError(f"{value!r} is not among the values")

    def decode(self, code: float) -> Any:
        """Value at a place."""
        return self.values[int(code)]


def _is_equal(left: Any, right: Any) -> bool:
    try:
        return bool(left == right)
    except ValueError:  # arrays compare item by item
        return False


@dataclass(frozen=True)
class Real:
    """A float between two others, or its logarithm."""

    low: float
    high: float
    log: bool = False

    def distribution(self) -> Any:
        """Optuna's."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(self.low, self.high, log=self.log)

    def suggest(self, trial: Any, name: str) -> float:
        """Let a trial of Optuna draw a code."""
        return float(trial.suggest_float(name, self.low, self.high, log=self.log))

    def encode(self, value: Any) -> float:
        """Itself."""
        if not self.low <= value <= self.high:
            raise ValueError(f"{value!r} is not in [{self.low}, {self.high}]")
        return float(value)

    def decode(self, code: float) -> Any:
        """Itself."""
        return code


@dataclass(frozen=True)
class Steps:
    """``low + q * code`` for whole codes; whole numbers where `low` and `q` are."""

    low: float
    q: float
    last: int

    def distribution(self) -> Any:
        """Optuna's."""
        from optuna.distributions import IntDistribution

        return IntDistribution(0, self.last)

    def suggest(self, trial: Any, name: str) -> float:
        """Let a trial of Optuna draw a code."""
        return int(trial.suggest_int(name, 0, self.last))

    def encode(self, value: Any) -> float:
        """The nearest step."""
        code: int = round((value - self.low) / self.q)
        if not 0 <= code <= self.last or not math.isclose(self.low + self.q * code, value):
            raise ValueError(f"{value!r} is no step from {self.low} by {self.q}")
        return code

    def decode(self, code: float) -> Any:
        """Value of a step."""
        return self.low + self.q * int(code)


@dataclass(frozen=True)
class Quantile:
    """A distribution of scipy.stats; the code is the share of it below the value."""

    frozen: Any
    is_discrete: bool = False

    def distribution(self) -> Any:
        """Optuna's."""
        from optuna.distributions import FloatDistribution

        return FloatDistribution(EDGE, 1 - EDGE)

    def suggest(self, trial: Any, name: str) -> float:
        """Let a trial of Optuna draw a code."""
        return float(trial.suggest_float(name, EDGE, 1 - EDGE))

    def encode(self, value: Any) -> float:
        """Share below; for whole numbers the middle of the shares that mean this one."""
        below = float(self.frozen.cdf(value))
        if self.is_discrete:
            below = (below + float(self.frozen.cdf(value - 1))) / 2
        return min(max(below, EDGE), 1 - EDGE)

    def decode(self, code: float) -> Any:
        """Quantile."""
        value = self.frozen.ppf(code)
        return int(value) if self.is_discrete else float(value)


def axis(values: Any, where: str) -> Axis:
    """Return a parameter's axis.

    Raises
    ------
    SettingsError
        For a distribution of which nothing is known but how to draw from it.
    """
    if isinstance(values, Uniform):
        return Real(float(values.low), float(values.high))
    if isinstance(values, LogUniform):
        return Real(float(values.low), float(values.high), log=True)
    if isinstance(values, QUniform):
        return Steps(values.low, values.q, math.floor((values.high - values.low) / values.q + 1e-9))
    if isinstance(values, RandInt):
        return Steps(values.low, 1, values.high - 1 - values.low)
    if isinstance(values, Normal):
        from scipy.stats import norm

        return Quantile(norm(values.mean, values.std))
    if all(hasattr(values, method) for method in ("rvs", "cdf", "ppf")):
        return Quantile(values, is_discrete=not hasattr(getattr(values, "dist", values), "pdf"))
    if hasattr(values, "rvs"):
        raise SettingsError(
            [
                Problem(
                    where,
                    f"can only be drawn from ({values!r:.60}): TPE needs a distribution with cdf and ppf, as those of "
                    "scipy.stats, or a list",
                )
            ]
        )
    return Choice(list(values))


@dataclass(frozen=True)
class Point:
    """A candidate on TPE's side: its branch, and a code for each of the branch's parameters that has several values."""

    branch: int
    codes: tuple[tuple[str, float], ...]


class Plane:
    """All axes of a space.

    Parameters
    ----------
    space : mapping, or sequence of mapping
        See `branches`.
    kind : str
        Of the search, for messages.

    Raises
    ------
    SettingsError
        When there is nothing to search, or a distribution is not known.
    """

    def __init__(self, space: Space, kind: str) -> None:
        """Make an axis of each parameter."""
        self.branches = branches(space)
        for branch in self.branches or [{}]:
            check_space(branch, kind)
        self.axes = [
            {name: axis(values, f"search.space.{name}") for name, values in sorted(branch.items())}
            for branch in self.branches
        ]

    def n_points(self) -> float:
        """How many candidates there are; infinite with a parameter that is no list."""
        return sum(
            math.prod(len(axis.values) if isinstance(axis, Choice) else math.inf for axis in axes.values())
            for axes in self.axes
        )

    def free(self, branch: int) -> dict[str, Axis]:
        """The axes of a branch along which there is more than one value."""
        return {name: axis for name, axis in self.axes[branch].items() if not _is_fixed(axis)}

    def encode(self, params: Mapping[str, Any]) -> Point:
        """Return the point of a candidate: on the first branch that has its parameters and their values."""
        for number, axes in enumerate(self.axes):
            if axes.keys() == params.keys():
                try:
                    codes = {name: axis.encode(params[name]) for name, axis in axes.items()}
                except ValueError:
                    continue
                free = self.free(number)
                return Point(number, tuple((name, code) for name, code in codes.items() if name in free))
        raise ValueError(f"{dict(params)} is no candidate of the space")

    def decode(self, point: Point) -> dict[str, Any]:
        """Return a point's parameters."""
        codes = dict(point.codes)
        return {name: axis.decode(codes.get(name, 0)) for name, axis in self.axes[point.branch].items()}


def _is_fixed(axis: Axis) -> bool:
    """Whether there is but one value; its code is 0."""
    return (isinstance(axis, Choice) and len(axis.values) == 1) or (isinstance(axis, Steps) and axis.last == 0)
