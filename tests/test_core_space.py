"""Spaces and seeds: draws within their bounds, refusals by sentence, the same text and seed in every process."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import scipy.stats

from daskflow.core.errors import SettingsError
from daskflow.core.seeds import digest, seed_of
from daskflow.core.space import Uniform, describe, parameter


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        ({"uniform": [2, 3]}, 2, 3),
        ({"loguniform": [1e-6, 1e-1]}, 1e-6, 1e-1),
        ({"quniform": [0, 10, 4]}, 0, 8),
        ({"quniform": [0, 10, 6]}, 0, 6),
        ({"randint": [1, 4]}, 1, 3),
    ],
)
def test_draws_stay_within_their_bounds_and_reach_them(given: dict[str, Any], low: float, high: float) -> None:
    distribution, rng = parameter(given), np.random.RandomState(0)
    drawn = [distribution.rvs(random_state=rng) for _ in range(2000)]
    assert low <= min(drawn) <= low + 0.1
    assert high - 0.1 <= max(drawn) <= high
    assert all(type(value) in (int, float) for value in drawn)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"uniform": [1, 0]}, "low < high"),
        ({"uniform": ["a", "b"]}, "finite numbers"),
        ({"uniform": 3}, r"takes \[low, high\]"),
        ({"uniform": [0, 1, 2]}, r"takes \[low, high\]"),
        ({"uniform": [0, float("inf")]}, "finite numbers"),
        ({"loguniform": [0, 1]}, "low > 0"),
        ({"quniform": [0, 1, 0]}, "q > 0"),
        ({"randint": [0.5, 3]}, "whole numbers"),
        ({"normal": [0, 0]}, "std > 0"),
        ({"lognuiform": [1, 2]}, "did you mean 'loguniform'"),
        ({"uniform": [0, 1], "normal": [0, 1]}, "one distribution is one word"),
        ([], "is an empty list"),
        (Uniform(1, 0), "low < high"),
    ],
)
def test_a_parameter_that_cannot_be_drawn_is_refused(given: Any, said: str) -> None:
    with pytest.raises(SettingsError, match=rf"search\.space\.alpha: .*{said}"):
        parameter(given, "search.space.alpha")


def test_arrays_and_ranges_are_lists_of_values() -> None:
    assert parameter(np.array([0.1, 0.2])) == [0.1, 0.2]
    assert parameter(range(3)) == [0, 1, 2]
    assert parameter("l1") == ["l1"]
    assert parameter(scipy.stats.uniform(0, 1)).dist.name == "uniform"


def test_a_space_is_described_the_same_in_every_process() -> None:
    described = describe({"a": scipy.stats.loguniform(1e-4, 1), "b": Uniform(0, 1), "c": ["l1", None]})
    assert described == {"a": "scipy.stats.loguniform(0.0001, 1)", "b": {"uniform": [0, 1]}, "c": ["l1", None]}


def test_a_seed_is_of_what_it_is_for() -> None:
    seeds = {seed_of(7, "trial", f"{bracket}-{number}") for bracket in range(5) for number in range(2000)}
    assert len(seeds) > 9990
    assert all(0 <= seed < 2**31 - 1 for seed in seeds)
    assert seed_of(7, "trial", "1") != seed_of(8, "trial", "1") != seed_of(7, "order", 1)


def test_seeds_and_digests_are_the_same_in_every_process() -> None:
    # given
    code = "from daskflow.core.seeds import *; print(seed_of(7, 'trial', '2-0'), digest({'b': {1: 2}, 'a': object()}))"
    # when another process with another hash seed says them
    environment = {**os.environ, "PYTHONHASHSEED": "77"}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    # then
    assert said.stdout.split() == [str(seed_of(7, "trial", "2-0")), digest({"a": object(), "b": {1: 2}})]
