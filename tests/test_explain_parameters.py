"""Importance of a search's parameters: planted shares of variance are found, whatever the scale, family or resource."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from sklearn.tree import DecisionTreeRegressor

from daskflow.core.results import Point, SearchResult, Trial, TrialState
from daskflow.explain import parameter_importance
from daskflow.explain.encoding import Scale
from daskflow.explain.forest import CELLS, tree_effects


def search_of(
    n_trials: int,
    draw: Callable[[Any], Mapping[str, Any]],
    score: Callable[[Mapping[str, Any], Any], float],
    seed: int = 0,
) -> SearchResult:
    random = np.random.default_rng(seed)
    trials = []
    for number in range(n_trials):
        params = draw(random)
        trials.append(Trial(str(number), params, TrialState.FINISHED, score(params, random), 1))
    return SearchResult(tuple(trials), trials[0], "accuracy", True, 3)


def usual(random: Any) -> dict[str, Any]:
    return {
        "alpha": float(10 ** random.uniform(-6, -1)),
        "kind": ["l1", "l2"][random.integers(2)],
        "depth": int(random.integers(2, 40)),
        "idle": float(random.random()),
        "flag": bool(random.integers(2)),
    }


def planted(params: Mapping[str, Any], random: Any) -> float:
    """Variance 0.6 of the logarithm of alpha, 0.3 of the kind, 0.1 of the depth."""
    alpha = math.sqrt(12 * 0.6) * (math.log10(params["alpha"]) + 6) / 5
    return alpha + math.sqrt(4 * 0.3) * (params["kind"] == "l2") + math.sqrt(12 * 0.1) * params["depth"] / 38


def shares(found: Mapping[str, Any]) -> dict[str, float]:
    return {each["name"]: each["value"] for each in found["parameters"]}


def test_planted_shares_are_found() -> None:
    # given 300 trials, and noise
    search = search_of(300, usual, lambda params, random: planted(params, random) + 0.2 * random.normal())
    # when
    found = parameter_importance(search, seed=7)
    # then
    value = shares(found)
    assert list(value)[:3] == ["alpha", "kind", "depth"]
    assert value["alpha"] == pytest.approx(0.6, abs=0.1)
    assert value["kind"] == pytest.approx(0.3, abs=0.1)
    assert value["depth"] == pytest.approx(0.1, abs=0.06)
    assert max(value["idle"], value["flag"]) < 0.02
    assert found["trials"] == 300
    assert found["explained"] > 0.8
    for each in found["parameters"]:
        assert 0 <= each["low"] <= each["value"] <= each["high"] <= 1
    assert next(each for each in found["parameters"] if each["name"] == "alpha")["low"] > 0.4


def test_the_seed_repeats_it_and_the_metric_s_direction_does_not_matter() -> None:
    search = search_of(60, usual, planted)
    down = SearchResult(
        tuple(Trial(t.id, t.params, t.state, -t.score, 1) for t in search.trials), search.best, "loss", False, 3
    )
    found = parameter_importance(search, seed=3)
    assert parameter_importance(search, seed=3) == json.loads(json.dumps(found, allow_nan=False)) == found
    assert shares(parameter_importance(down, seed=3)) == pytest.approx(shares(found), abs=0.05)


def test_what_only_matters_together_is_said_to() -> None:
    search = search_of(300, usual, lambda params, random: float((params["idle"] > 0.5) != params["flag"]))
    found = parameter_importance(search, seed=7)
    assert found["together"] > 0.85
    assert max(shares(found).values()) < 0.15


def test_scores_that_do_not_depend_on_parameters_give_none_and_a_sentence() -> None:
    found = parameter_importance(search_of(100, usual, lambda params, random: random.normal()), seed=7)
    assert found["parameters"] == []
    assert "no better than by the mean" in found["note"]


def test_of_several_families_each_parameter_has_its_share_of_its_own_family() -> None:
    # given families of mean -2.5, 1.5, 2.5 (but for sgd's alpha: variance 3), and a shared step of variance 0.25
    def draw(random: Any) -> dict[str, Any]:
        family = ["sgd", "ridge", "boosting"][random.integers(3)]
        own = {"sgd.alpha": float(10 ** random.uniform(-6, 0)), "ridge.alpha": float(random.random())}
        own["boosting.leaves"] = int(random.integers(2, 60))
        drawn = {name: value for name, value in own.items() if name.startswith(family)}
        return {"model": family, "preprocess.scale": ["standard", "robust"][random.integers(2)], **drawn}

    def score(params: Mapping[str, Any], random: Any) -> float:
        level = {"sgd": -3 + math.log10(params.get("sgd.alpha", 1)) + 6, "ridge": 1, "boosting": 2}[params["model"]]
        return level + (params["preprocess.scale"] == "robust") + 0.1 * random.normal()

    # when
    found = parameter_importance(search_of(400, draw, score), seed=7)
    # then: between the means 0, 1 and 2 lies 2/3; within sgd 3, of which a third counts; everywhere 1/4
    total = 2 / 3 + 1 + 1 / 4
    value = shares(found)
    assert value["sgd.alpha"] == pytest.approx(1 / total, abs=0.08)
    assert value["model"] == pytest.approx(2 / 3 / total, abs=0.08)
    assert value["preprocess.scale"] == pytest.approx(1 / 4 / total, abs=0.05)
    assert max(value["ridge.alpha"], value["boosting.leaves"]) < 0.02


def test_a_family_with_too_few_trials_is_named() -> None:
    def draw(random: Any) -> dict[str, Any]:
        return (
            {"model": "rare", "rare.x": 1.0}
            if random.random() < 0.05
            else {"model": "sgd", "sgd.alpha": random.random()}
        )

    found = parameter_importance(
        search_of(80, draw, lambda params, random: params.get("sgd.alpha", 0.5) + 0.1 * random.normal()), seed=7
    )
    assert shares(found)["sgd.alpha"] > 0.5
    assert "Parameters of rare are left out" in found["note"]


def halving(n_trials: int) -> SearchResult:
    """A third of the trials goes on, three times; each time all scores rise by 3."""
    random = np.random.default_rng(0)
    drawn = [usual(random) for _ in range(n_trials)]
    curves: list[list[Point]] = [[] for _ in drawn]
    alive, resource = list(range(n_trials)), 1
    while alive:
        for trial in alive:
            gained = planted(drawn[trial], random) + 3 * math.log(resource) + 0.2 * random.normal()
            curves[trial].append(Point(resource, gained))
        alive = sorted(alive, key=lambda trial: -curves[trial][-1].score)[: len(alive) // 3]
        resource *= 3
    trials = tuple(
        Trial(str(number), params, TrialState.STOPPED, curve[-1].score, curve[-1].resource, tuple(curve))
        for number, (params, curve) in enumerate(zip(drawn, curves, strict=True))
    )
    return SearchResult(trials, trials[0], "accuracy", True, 1)


def test_trials_that_were_stopped_count_at_the_resource_they_reached() -> None:
    value = shares(parameter_importance(halving(200), seed=7))
    assert value["alpha"] == pytest.approx(0.6, abs=0.15)
    assert value["kind"] == pytest.approx(0.3, abs=0.15)
    assert max(value["idle"], value["flag"]) < 0.03


def test_failed_trials_say_nothing_and_diverged_ones_do_not_outweigh_the_others() -> None:
    # given trials of which some failed, and some scored -1e12
    def score(params: Mapping[str, Any], random: Any) -> float:
        fate = random.random()
        return math.nan if fate < 0.1 else -1e12 if fate < 0.13 else planted(params, random)

    found = parameter_importance(search_of(300, usual, score), seed=7)
    assert list(shares(found))[:2] == ["alpha", "kind"]
    assert found["trials"] < 290
    assert "have no score" in found["note"]


@pytest.mark.parametrize("n_trials", [0, 1, 11])
def test_of_too_few_trials_nothing_is_said(n_trials: int) -> None:
    search = search_of(max(n_trials, 1), usual, planted)
    search = SearchResult(search.trials[:n_trials], search.best, "accuracy", True, 3)
    found = parameter_importance(search, seed=7)
    assert found["parameters"] == []
    assert "needs at least 12" in found["note"]


def test_a_search_that_varied_nothing_says_so() -> None:
    found = parameter_importance(search_of(30, lambda random: {"alpha": 1.0}, lambda p, r: r.normal()), seed=7)
    assert found["parameters"] == []
    assert found["note"] == "No parameter took more than one value."


def test_any_value_can_be_a_choice() -> None:
    choices: list[Any] = [None, "sqrt", 0.5, (10, 10), [3], True, np.int64(4)]
    search = search_of(
        120,
        lambda random: {"x": choices[random.integers(len(choices))], "y": random.random()},
        lambda params, random: float(params["x"] is None) + 0.1 * random.normal(),
    )
    assert shares(parameter_importance(search, seed=7))["x"] > 0.8


def test_ranges_are_taken_by_the_logarithm_where_values_lie_evenly_so() -> None:
    random = np.random.default_rng(0)
    zeros = np.zeros(200)
    even = Scale.of(list(random.uniform(1, 100, 200)), zeros)
    logarithmic = Scale.of(list(10 ** random.uniform(-6, -1, 200)), zeros)
    assert even is not None
    assert logarithmic is not None
    assert (even.is_log, logarithmic.is_log) == (False, True)
    assert Scale.of([1, 1.0, np.int64(1)], zeros[:3]) is None
    # and a choice beside numbers has a place of its own
    mixed = Scale.of(["auto", *np.linspace(0, 1, 30)], np.zeros(31))
    assert mixed is not None
    assert mixed.encoded(["auto", 0.0, 1.0]).tolist() == [0.25, 0.5, 1.0]


def test_a_tree_s_mean_effects_are_those_of_very_many_points() -> None:
    # given a tree of three features
    random = np.random.default_rng(0)
    X = random.random((300, 3)).astype(np.float32)
    tree = DecisionTreeRegressor(min_samples_leaf=5, random_state=0).fit(X, X[:, 0] * X[:, 1] + X[:, 2])
    # when
    effects = tree_effects(tree.tree_, 3)
    # then
    points = random.random((200_000, 3)).astype(np.float32)
    answers = tree.predict(points)
    for feature in range(3):
        cell = np.minimum((points[:, feature] * CELLS).astype(int), CELLS - 1)
        means = np.bincount(cell, answers) / np.bincount(cell)
        assert np.abs(means - effects[feature]).max() < 0.03


@pytest.mark.slow
def test_a_thousand_trials_take_less_than_two_seconds_of_processor_time() -> None:
    search = search_of(
        1000,
        lambda random: {f"p{number}": random.random() for number in range(10)},
        lambda params, random: sum(params[f"p{number}"] * number for number in range(5)) + random.normal(),
    )
    begun = time.process_time()
    found = parameter_importance(search, seed=7)
    assert time.process_time() - begun < 2.0
    assert list(shares(found))[:3] == ["p4", "p3", "p2"]
