"""Parameter distributions: what a candidate's parameter is drawn from, as Python objects or TOML tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

from daskflow.core.errors import Problem, SettingsError
from daskflow.core.settings import nearest


@runtime_checkable
class Distribution(Protocol):
    """Anything with scipy's ``rvs``; scipy.stats distributions fit as they are."""

    def rvs(self, *, random_state: Any = None) -> Any:
        """Draw one value with a ``numpy.random.RandomState``."""


@dataclass(frozen=True, slots=True)
class Uniform:
    """Uniform on [low, high)."""

    low: float
    high: float

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw one value."""
        return float(random_state.uniform(self.low, self.high))


@dataclass(frozen=True, slots=True)
class LogUniform:
    """Uniform in the logarithm on [low, high); low > 0."""

    low: float
    high: float

    def __post_init__(self) -> None:
        """Refuse a range that has no logarithm."""
        if self.low <= 0:
            raise SettingsError(f"loguniform needs low > 0 (found {self.low})")

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw one value."""
        return math.exp(random_state.uniform(math.log(self.low), math.log(self.high)))


@dataclass(frozen=True, slots=True)
class QUniform:
    """Uniform on [low, high], rounded to multiples of q above low; integers when all three are."""

    low: float
    high: float
    q: float

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw one value."""
        steps = round((self.high - self.low) / self.q)
        return self.low + self.q * int(random_state.randint(0, steps + 1))


@dataclass(frozen=True, slots=True)
class RandInt:
    """Integers of [low, high), high excluded as in scipy.stats.randint."""

    low: int
    high: int

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw one value."""
        return int(random_state.randint(self.low, self.high))


@dataclass(frozen=True, slots=True)
class Normal:
    """Normal with a mean and a standard deviation."""

    mean: float
    std: float

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw one value."""
        return float(random_state.normal(self.mean, self.std))


DISTRIBUTIONS: Mapping[str, type] = {
    "uniform": Uniform,
    "loguniform": LogUniform,
    "quniform": QUniform,
    "randint": RandInt,
    "normal": Normal,
}

Parameter = Sequence[Any] | Distribution
"""A list of values, or a distribution."""


def parameter(value: Any, where: str = "") -> Any:
    """Turn what a workflow says of one parameter into a list or a distribution.

    Examples
    --------
    >>> parameter({"loguniform": [1e-6, 1e-1]})
    LogUniform(low=1e-06, high=0.1)
    >>> parameter(["l1", "l2"])
    ['l1', 'l2']

    Raises
    ------
    SettingsError
        For a distribution that does not exist, wrong numbers, or an empty list.
    """
    if isinstance(value, Mapping):
        if len(value) != 1:
            raise SettingsError(
                [
                    Problem(
                        where,
                        f"one distribution is one word, such as {{ uniform = [0, 1] }} (found {dict(value)!r:.80})",
                    )
                ]
            )
        word, numbers = next(iter(value.items()))
        if word not in DISTRIBUTIONS:
            raise SettingsError([Problem(where, f"no such distribution: '{word}'{nearest(str(word), DISTRIBUTIONS)}")])
        try:
            drawn = DISTRIBUTIONS[word](*numbers)
        except (TypeError, SettingsError) as error:
            names = ", ".join(f.name for f in fields(DISTRIBUTIONS[word]))
            raise SettingsError([Problem(where, f"{word} takes [{names}] (found {numbers!r:.80}: {error})")]) from None
        if word != "normal" and not drawn.low < drawn.high:
            raise SettingsError([Problem(where, f"{word} needs low < high (found {numbers!r})")])
        return drawn
    if isinstance(value, Distribution):
        return value
    if isinstance(value, list | tuple):
        if not value:
            raise SettingsError([Problem(where, "is an empty list: there is nothing to choose from")])
        return list(value)
    return [value]


def describe(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return a space as plain values: the TOML way of writing it."""
    words = {cls: word for word, cls in DISTRIBUTIONS.items()}
    return {
        name: {words[type(value)]: [getattr(value, f.name) for f in fields(value)]}
        if type(value) in words
        else (list(value) if isinstance(value, list | tuple) else repr(value))
        for name, value in space.items()
    }
