"""Parameter distributions: what a candidate's parameter is drawn from, as Python objects or TOML tables."""

from __future__ import annotations

import math
import re
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
        drawn = math.exp(random_state.uniform(math.log(self.low), math.log(self.high)))
        return min(max(drawn, self.low), self.high)  # the exponential of a logarithm may lie an ulp outside


@dataclass(frozen=True, slots=True)
class QUniform:
    """One of low, low + q, low + 2 q... up to high, each as likely; integers when all three are."""

    low: float
    high: float
    q: float

    def rvs(self, size: Any = None, random_state: Any = None) -> Any:
        """Draw one value."""
        steps = math.floor((self.high - self.low) / self.q + 1e-9)
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

FAMILY = "model"
"""The parameter that says of which family a candidate is, where a search has several."""

SHARED = "preprocess"
"""Parameters below this name belong to all families."""


def conditional(params: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the parameters of other families than the one that ``model`` names.

    Candidates that differ in nothing else are equal then. Parameters without ``model`` stay as they are.

    Examples
    --------
    >>> conditional({"model": "sgd", "sgd.alpha": 0.1, "ridge.alpha": 3.0, "preprocess.numeric.scale": "robust"})
    {'model': 'sgd', 'sgd.alpha': 0.1, 'preprocess.numeric.scale': 'robust'}
    """
    if FAMILY not in params:
        return dict(params)
    own = (params[FAMILY], SHARED)
    return {name: value for name, value in params.items() if "." not in name or name.partition(".")[0] in own}


def told(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return a candidate's parameters as they are shown: its family first, then that family's own by their own names.

    Examples
    --------
    >>> told({"sgd.alpha": 0.1, "model": "sgd"})
    {'model': 'sgd', 'alpha': 0.1}
    >>> told({"alpha": 0.1})
    {'alpha': 0.1}
    """
    if FAMILY not in params:
        return dict(params)
    begin = f"{params[FAMILY]}."
    return {FAMILY: params[FAMILY], **{name.removeprefix(begin): value for name, value in params.items()}}


def branches(space: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a space for each family that ``model`` lists, without the parameters of the others.

    Examples
    --------
    >>> branches({"model": ["sgd", "ridge"], "sgd.alpha": [1, 2], "ridge.alpha": [3]})
    [{'model': ['sgd'], 'sgd.alpha': [1, 2]}, {'model': ['ridge'], 'ridge.alpha': [3]}]
    >>> branches({"alpha": [1, 2]})
    [{'alpha': [1, 2]}]
    """
    kinds = space.get(FAMILY)
    if not isinstance(kinds, list | tuple) or not any("." in name for name in space):
        return [dict(space)]
    return [{**conditional({**space, FAMILY: kind}), FAMILY: [kind]} for kind in kinds]


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
        names = [f.name for f in fields(DISTRIBUTIONS[word])]
        if not isinstance(numbers, list | tuple) or len(numbers) != len(names):
            raise SettingsError([Problem(where, f"{word} takes [{', '.join(names)}] (found {numbers!r:.80})")])
        wrong = _wrong_numbers(word, dict(zip(names, numbers, strict=True)))
        if wrong:
            raise SettingsError([Problem(where, f"{word} needs {wrong} (found {numbers!r:.80})")])
        return DISTRIBUTIONS[word](*numbers)
    if isinstance(value, Distribution):
        word = next((word for word, cls in DISTRIBUTIONS.items() if type(value) is cls), "")
        wrong = (
            _wrong_numbers(word, {f.name: getattr(value, f.name) for f in fields(DISTRIBUTIONS[word])}) if word else ""
        )
        if wrong:
            raise SettingsError([Problem(where, f"{word} needs {wrong} (found {value})")])
        return value
    if hasattr(value, "tolist") and getattr(value, "ndim", 0) == 1:  # an array or a pandas column
        value = value.tolist()
    if isinstance(value, list | tuple | range):
        if not value:
            raise SettingsError([Problem(where, "is an empty list: there is nothing to choose from")])
        return list(value)
    return [value]


def _wrong_numbers(word: str, given: Mapping[str, Any]) -> str:
    """Say what a distribution's numbers lack; empty when they are right."""
    numbers = list(given.values())
    if not all(isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n) for n in numbers):
        return "finite numbers"
    if word == "randint" and not all(isinstance(n, int) for n in numbers):
        return "whole numbers"
    if "low" in given and not given["low"] < given["high"]:
        return "low < high"
    if word == "loguniform" and given["low"] <= 0:
        return "low > 0"
    if given.get("q", 1) <= 0:
        return "q > 0"
    return "std > 0" if given.get("std", 1) <= 0 else ""


def describe(space: Mapping[str, Any]) -> dict[str, Any]:
    """Return a space as plain values: the TOML way of writing it; other distributions as their text.

    Examples
    --------
    >>> describe({"alpha": LogUniform(0.1, 1.0), "penalty": ["l1", "l2"]})
    {'alpha': {'loguniform': [0.1, 1.0]}, 'penalty': ['l1', 'l2']}
    """
    return {name: _described(value) for name, value in space.items()}


def _described(value: Any) -> Any:
    """One parameter; the same text in every process, so without an object's place in memory."""
    words = {cls: word for word, cls in DISTRIBUTIONS.items()}
    if type(value) in words:
        return {words[type(value)]: [getattr(value, f.name) for f in fields(value)]}
    if isinstance(value, list | tuple):
        return list(value)
    family = getattr(getattr(value, "dist", None), "name", None)  # a frozen distribution of scipy.stats
    if family is None:
        return re.sub(r" at 0x[0-9a-f]+", "", repr(value))
    options = [*map(repr, value.args), *(f"{name}={option!r}" for name, option in sorted(value.kwds.items()))]
    return f"scipy.stats.{family}({', '.join(options)})"
