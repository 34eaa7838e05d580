"""The searches a workflow names: what they draw, what they ask for, and what they refuse."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import scipy.stats
from dask_ml.model_selection import HyperbandSearchCV
from sklearn.base import BaseEstimator
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import ParameterGrid, ParameterSampler

from daskflow.core.errors import JournalError, SettingsError
from daskflow.core.seeds import seed_of
from daskflow.core.space import LogUniform, RandInt, Uniform
from daskflow.search import REGISTRY, Search
from daskflow.search.candidates import candidates_record, check_record, named
from daskflow.search.grid import Grid
from daskflow.search.hyperband import Hyperband
from daskflow.search.none import NoSearch
from daskflow.search.policies import AllAtOnce, Policy
from daskflow.search.random import Random

SPACE = {"alpha": LogUniform(1e-6, 1e-1), "penalty": ["l2", "l1"], "sgd__n": RandInt(1, 9), "q": Uniform(0, 1)}
LISTS = {"penalty": ["l2", "l1"], "alpha": [1, 2, 3]}


def params(policy: Policy) -> list[dict[str, Any]]:
    return [dict(candidate.params) for candidate in policy.candidates]


def play(policy: Policy, score: Callable[[str, int], float]) -> dict[str, list[int]]:
    """Answer every request, in an order of no meaning; the resources each trial was scored at."""
    seen: dict[str, list[int]] = {candidate.trial: [] for candidate in policy.candidates}
    rng = np.random.default_rng(0)
    while requests := list(policy.ask()):
        rng.shuffle(requests)  # type: ignore[arg-type]  a list of requests is shuffled as it is
        for request in requests:
            seen.setdefault(request.trial, []).append(request.resource)
            policy.tell(request, score(request.trial, request.resource))
    return seen


# every kind


@pytest.mark.parametrize("kind", sorted(REGISTRY.kinds))
def test_every_kind_draws_the_same_candidates_from_the_same_seed(kind: str) -> None:
    # given
    space = LISTS if kind == "grid" else SPACE
    search = REGISTRY.parse(kind)
    # when
    policies = [search.policy(space, seed=seed) for seed in (7, 7, 8)]
    # then
    assert candidates_record(policies[0]) == candidates_record(policies[1])
    if kind in ("random", "hyperband"):
        assert candidates_record(policies[0]) != candidates_record(policies[2])
    trials = [candidate.trial for candidate in policies[0].candidates]
    assert len(set(trials)) == len(trials)


@pytest.mark.parametrize("kind", sorted(REGISTRY.kinds))
def test_every_kind_says_beforehand_what_it_costs(kind: str) -> None:
    # given
    space = LISTS if kind == "grid" else SPACE
    search = REGISTRY.parse(kind)
    # when it is played through with scores that rise
    seen = play(search.policy(space, seed=7), lambda trial, resource: resource)
    # then
    assert search.fits(space, seed=7) == {
        "candidates": len(seen),
        "units": sum(len(rungs) for rungs in seen.values()),
        "resource": sum(rungs[-1] for rungs in seen.values()),
    }
    assert max(rungs[-1] for rungs in seen.values()) <= search.resource


@pytest.mark.parametrize("kind", sorted(set(REGISTRY.kinds) - {"none"}))
def test_every_kind_that_searches_refuses_an_empty_space(kind: str) -> None:
    search = REGISTRY.parse(kind)
    for ask in (search.policy, search.fits):
        with pytest.raises(SettingsError, match=r"search\.space: is empty: .* search\.kind = 'none'"):
            ask({}, seed=0)
        with pytest.raises(SettingsError, match=r"search\.space\.alpha: is an empty list"):
            ask({"alpha": []}, seed=0)


@pytest.mark.parametrize("kind", sorted(REGISTRY.kinds))
def test_settings_come_back_from_plain_values(kind: str) -> None:
    search: Search = REGISTRY.parse(kind)
    assert REGISTRY.parse(json.loads(json.dumps(search.dump()))) == search
    assert search.stops_early is (kind in ("asha", "hyperband", "tpe-hyperband"))


# none, grid, random


def test_no_search_is_one_candidate_and_takes_no_space() -> None:
    assert params(NoSearch().policy(SPACE, seed=0)) == [{}]
    with pytest.raises(SettingsError, match=r"search\.space: 'none' searches nothing"):
        REGISTRY.parse({"kind": "none", "space": {"alpha": [1]}}, where="search")


def test_a_grid_is_every_combination_in_scikit_learns_order() -> None:
    assert params(Grid().policy(LISTS, seed=0)) == list(ParameterGrid(LISTS))


def test_a_grid_refuses_a_distribution_and_names_it() -> None:
    space = {"C": [1], "alpha": LogUniform(0.1, 1), "beta": scipy.stats.uniform(0, 1)}
    with pytest.raises(SettingsError) as caught:
        Grid().policy(space, seed=0)
    assert [problem.where for problem in caught.value.problems] == ["search.space.alpha", "search.space.beta"]
    assert "LogUniform(low=0.1, high=1)" in str(caught.value)
    assert "search.kind = 'random'" in str(caught.value)


def test_a_grid_too_large_is_refused_before_it_is_listed() -> None:
    space = {name: range(1000) for name in "abcd"}
    with pytest.raises(SettingsError, match=r"1,000,000,000,000 candidates \(1000 a x 1000 b .* limit is 10,000"):
        Grid().fits(space, seed=0)
    assert Grid(max_candidates=6).fits(LISTS, seed=0)["candidates"] == 6


def test_random_draws_what_scikit_learns_sampler_draws() -> None:
    expected = list(ParameterSampler(SPACE, 20, random_state=seed_of(7, "candidates")))
    assert params(Random().policy(SPACE, seed=7)) == expected


def test_random_does_not_depend_on_the_order_of_the_space() -> None:
    turned = dict(reversed(SPACE.items()))
    assert params(Random().policy(turned, seed=7)) == params(Random().policy(SPACE, seed=7))


def test_a_space_of_lists_smaller_than_the_trials_gives_each_once_and_says_so() -> None:
    with pytest.warns(UserWarning, match=r"6 combinations, fewer than search.trials = 20: each is tried once"):
        drawn = params(Random().policy(LISTS, seed=7))
    assert sorted(sorted(p.items()) for p in drawn) == sorted(sorted(p.items()) for p in ParameterGrid(LISTS))


# hyperband


@pytest.mark.parametrize("aggressiveness", [2, 3, 4])
@pytest.mark.parametrize("max_iter", [1, 2, 3, 5, 9, 20, 27, 81])
def test_hyperband_keeps_to_the_plan_that_dask_ml_announces(max_iter: int, aggressiveness: int) -> None:
    # given dask-ml's own forecast
    plan = HyperbandSearchCV(SGDClassifier(), SPACE, max_iter=max_iter, aggressiveness=aggressiveness).metadata
    # when
    search = Hyperband(max_iter=max_iter, aggressiveness=aggressiveness)
    seen = play(search.policy(SPACE, seed=3), lambda trial, resource: hash_score(trial, resource))
    # then: candidates, work and rungs per bracket
    assert len(seen) == plan["n_models"]
    assert sum(rungs[-1] for rungs in seen.values()) == plan["partial_fit_calls"]
    for bracket in plan["brackets"]:
        mine = [rungs for trial, rungs in seen.items() if trial.startswith(f"{bracket['bracket']}-")]
        assert len(mine) == bracket["n_models"]
        assert sum(rungs[-1] for rungs in mine) == bracket["partial_fit_calls"]
        assert {rung for rungs in mine for rung in rungs} == {1, *bracket["decisions"]}


def test_hyperband_begins_with_the_most_adaptive_bracket() -> None:
    policy = Hyperband(max_iter=27).policy(SPACE, seed=3)
    assert list(dict.fromkeys(candidate.bracket for candidate in policy.candidates)) == [3, 2, 1, 0]
    assert policy.ask()[0].trial == "3-0"


def hash_score(trial: str, resource: int) -> float:
    """A score without any order in it."""
    return seed_of(0, trial, resource) / 2**31


class Counted(BaseEstimator):
    """Learns nothing and scores by formula: saturates, at a height and a speed of its own."""

    def __init__(self, height: float = 1.0, speed: float = 1.0) -> None:
        self.height, self.speed = height, speed

    def fit(self, X: Any, y: Any) -> Counted:
        return self

    def partial_fit(self, X: Any, y: Any, classes: Any = None) -> Counted:
        self.calls_ = getattr(self, "calls_", 0) + 1
        return self

    def score(self, X: Any, y: Any) -> float:
        return saturating(self.height, self.speed, self.calls_)


def saturating(height: float, speed: float, calls: int) -> float:
    return float(height * (1 - np.exp(-speed * calls)))


@pytest.mark.parametrize(
    ("max_iter", "patience"),
    [
        (9, False),
        (20, 6),
        pytest.param(27, False, marks=pytest.mark.slow),
        pytest.param(27, True, marks=pytest.mark.slow),
    ],
)
def test_hyperband_asks_for_what_dask_mls_own_search_does(max_iter: int, patience: Any) -> None:
    # given dask-ml's search itself, over models whose scores are a formula
    space = {"height": Uniform(0, 1), "speed": LogUniform(0.01, 1)}
    theirs = HyperbandSearchCV(
        Counted(), space, max_iter=max_iter, patience=patience, random_state=seed_of(5, "candidates")
    )
    X = da.ones((90, 2), chunks=(10, 2))
    with small_client() as client, dask.config.set(scheduler=client.get):
        theirs.fit(X, da.zeros(90, chunks=10))
    # when ours is played with the same scores
    policy = Hyperband(max_iter=max_iter, patience=patience).policy(space, seed=5)
    drawn = {candidate.trial: candidate.params for candidate in policy.candidates}
    seen = play(policy, lambda trial, calls: saturating(**drawn[trial], calls=calls))
    # then each model has the same parameters and was scored after the same calls
    assert {f"bracket={trial}": rungs for trial, rungs in seen.items()} == {
        model: [meta["partial_fit_calls"] for meta in history] for model, history in theirs.model_history_.items()
    }
    for model, history in theirs.model_history_.items():
        assert history[0]["params"] == drawn[model.removeprefix("bracket=")]


@contextmanager
def small_client() -> Iterator[Any]:
    """A cluster in this process, whose workers know the classes of this file."""
    from distributed import Client

    with Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address="127.0.0.1:0") as client:
        yield client


def test_failures_are_dropped_first_and_warn_of_nothing() -> None:
    policy = Hyperband(max_iter=9, patience=3).policy(SPACE, seed=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = play(policy, lambda trial, calls: float("nan") if trial.endswith(("0", "2", "4")) else calls)
    assert seen["2-0"] == [1]
    assert max(seen["2-1"] + seen["2-3"]) == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_iter": 0}, "max_iter: input should be greater than or equal to 1"),
        ({"aggressiveness": 1}, "aggressiveness: input should be greater than or equal to 2"),
        ({"patience": 1}, "patience: must be 2 or more, or false"),
        ({"patience": True, "max_iter": 5}, r"patience: .* max_iter // aggressiveness = 1"),
        ({"max_itr": 5}, "did you mean 'max_iter'"),
    ],
)
def test_hyperband_refuses_options_that_cannot_work(options: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Hyperband(**options)


def test_hyperband_says_when_lists_have_fewer_combinations_than_it_would_draw() -> None:
    with pytest.warns(UserWarning, match="6 combinations, fewer than the 9 candidates") as caught:
        Hyperband(max_iter=9).policy(LISTS, seed=0)
    assert len(caught) == 1


# the drawn list


def test_the_drawn_list_goes_through_json_unchanged() -> None:
    policy = Hyperband(max_iter=9).policy(SPACE, seed=3)
    record = json.loads(json.dumps(candidates_record(policy), allow_nan=False))
    check_record(record, policy)
    assert [entry["params"] for entry in record] == params(policy)


def test_another_drawn_list_is_refused_with_the_first_difference() -> None:
    policies = [Random(trials=3).policy(SPACE, seed=seed) for seed in (1, 2)]
    with pytest.raises(JournalError, match=r"candidate 0 was \{'alpha': .* --fresh"):
        check_record(candidates_record(policies[0]), policies[1])
    with pytest.raises(JournalError, match="3 candidates then, 2 now"):
        check_record(candidates_record(policies[0]), Random(trials=2).policy(SPACE, seed=1))


def test_objects_among_the_values_are_recorded_the_same_in_every_process() -> None:
    values = [SGDClassifier(), np.float64(0.5), np.arange(3), hash_score, object(), ("a", 1), None, True]
    policy = AllAtOnce(named([{"value": value} for value in values]))
    record = candidates_record(policy)
    assert json.loads(json.dumps(record)) == record
    assert "0x" not in str(record)
    check_record(record, AllAtOnce(named([{"value": v} for v in [*values[:4], object(), *values[5:]]])))
