"""TPE, alone and with Hyperband: what a proposal may see, that nothing else decides it, and that it helps."""

from __future__ import annotations

import builtins
import math
import random
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import SettingsError
from daskflow.core.seeds import seed_of
from daskflow.core.space import LogUniform, Normal, QUniform, RandInt, Uniform
from daskflow.data.execution import InlineExecutor
from daskflow.search.engine import Memory, run
from daskflow.search.hyperband import Hyperband
from daskflow.search.policies import Policy, Request
from daskflow.search.proposals import Proposer, Seen
from daskflow.search.random import Random
from daskflow.search.spaces import Plane, branches
from daskflow.search.tpe import TPE
from daskflow.search.tpe_hyperband import TPEHyperband
from tests.test_search_engine import Formula, gist

SPACE = {
    "uniform": Uniform(-1, 1),
    "log": LogUniform(1e-6, 1e-1),
    "steps": QUniform(0, 1, 0.25),
    "whole": RandInt(1, 9),
    "normal": Normal(3, 2),
    "scipy": scipy.stats.loguniform(1e-3, 1),
    "scipy_whole": scipy.stats.randint(2, 7),
    "list": ["a", "b", None, 1, 1.0, True, (1, 2)],
    "fixed": [5],
}
FAMILIES = {"model": {"sgd": {"alpha": LogUniform(1e-6, 1)}, "knn": {"k": RandInt(1, 9)}}, "scale": [True, False]}

SMALL = {"x": Uniform(-1, 1), "y": LogUniform(1e-3, 1)}


def played(policy: Policy, score: Callable[[Request, dict[str, Any]], float], rng: random.Random) -> list[Any]:
    """Answer in an order of the generator's, now and then several before it is asked again; candidates at the end."""
    running: list[Request] = list(policy.ask())
    while running:
        for _ in range(rng.randint(1, len(running))):
            request = running.pop(rng.randrange(len(running)))
            params = next(dict(each.params) for each in policy.candidates if each.trial == request.trial)
            policy.tell(request, score(request, params))
        running += policy.ask()
    return [(each.trial, dict(each.params)) for each in policy.candidates]


def peak(request: Request, params: dict[str, Any]) -> float:
    """Best at x = 0.3, y = 0.03; every seventh candidate fails."""
    if seed_of(0, request.trial) % 7 == 0:
        return math.nan
    return -abs(params["x"] - 0.3) - abs(math.log10(params["y"] / 0.03)) - 1 / request.resource


@pytest.mark.parametrize(
    "search", [TPE(trials=24, startup=6, lag=3), TPEHyperband(max_iter=9, startup=6, lag=3)], ids=lambda s: s.kind
)
def test_candidates_are_the_same_in_any_order_of_answers(search: Any) -> None:
    one_by_one = played(search.policy(SMALL, seed=5), peak, random.Random(0))
    for order in range(1, 5):
        assert played(search.policy(SMALL, seed=5), peak, random.Random(order)) == one_by_one
    assert played(search.policy(SMALL, seed=6), peak, random.Random(0)) != one_by_one


@settings(max_examples=15, deadline=None)
@given(n_seen=st.integers(0, 9), scores=st.lists(st.floats(0, 1), min_size=30, max_size=30))
def test_proposal_n_sees_exactly_the_answers_below_n_minus_lag(n_seen: int, scores: list[float]) -> None:
    # given two searches of lag 3 whose answers differ from candidate `n_seen` on
    def play(later: float) -> list[Any]:
        def score(request: Request, params: dict[str, Any]) -> float:
            return scores[int(request.trial)] if int(request.trial) < n_seen else later * int(request.trial)

        return played(TPE(trials=n_seen + 5, startup=1, lag=3).policy(SMALL, seed=2), score, random.Random(1))

    rising, falling = play(1.0), play(-1.0)
    # then the candidates up to n_seen + lag are the same
    assert rising[: n_seen + 4] == falling[: n_seen + 4]


def test_an_answer_that_may_be_seen_changes_the_proposal() -> None:
    proposers = [Proposer(SMALL, seed=1, startup=4, random_state=1, kind="tpe") for _ in range(2)]
    drawn = [[proposer.next([Seen()] * n) for n in range(4)] for proposer in proposers]
    assert drawn[0] == drawn[1]
    first = proposers[0].next([Seen(1.0), Seen(0.0), Seen(0.0), Seen()])
    second = proposers[1].next([Seen(0.0), Seen(0.0), Seen(1.0), Seen()])
    assert first != second


def test_no_more_than_lag_and_one_are_without_an_answer() -> None:
    policy = TPE(trials=30, startup=4, lag=2).policy(SMALL, seed=0)
    assert [request.trial for request in policy.ask()] == ["0", "1", "2"]
    policy.tell(Request("2", 1), 0.5)
    assert policy.ask() == []  # candidate 3 waits for candidate 0
    policy.tell(Request("0", 1), 0.5)
    assert [request.trial for request in policy.ask()] == ["3"]


@pytest.mark.parametrize(
    ("search", "cuts"),
    [(TPE(trials=14, startup=4, lag=2), range(0, 57, 4)), (TPEHyperband(max_iter=9, startup=4, lag=2), (1, 30, 77))],
    ids=lambda each: getattr(each, "kind", "cuts"),
)
def test_a_search_cut_anywhere_goes_on_with_the_same_proposals(search: Any, cuts: Any) -> None:
    # given
    space = {"alpha": Uniform(0, 9)}
    whole = Memory()
    expected = run(search.policy(space, seed=1), Formula(), InlineExecutor(), recorder=whole)
    for cut in cuts:
        # when it goes on from its first records
        before, after = whole.records[:cut], Memory()
        resumed = run(search.policy(space, seed=1), Formula(), InlineExecutor(), recorder=after, earlier=before)
        # then it ends the same and repeats nothing that was finished
        assert gist(resumed) == gist(expected)
        finished = {(r["trial"], r["fold"], r["resource"]) for r in before if r["record"] == "unit"}
        again = {(r["trial"], r["fold"], r["resource"]) for r in after.records if r["record"] == "unit"}
        assert not finished & again


def test_the_first_candidates_are_those_of_a_random_search() -> None:
    found = played(TPE(trials=12, startup=8, lag=2).policy(SMALL, seed=3), peak, random.Random(0))
    drawn = [dict(candidate.params) for candidate in Random(trials=8).policy(SMALL, seed=3).candidates]
    assert [params for _, params in found[:8]] == drawn


def test_proposals_keep_away_from_failures() -> None:
    # given a search half of whose space fails
    def score(request: Request, params: dict[str, Any]) -> float:
        return math.nan if params["x"] < 0 else 0.5

    # when
    search = TPE(trials=40, startup=10, lag=2)
    found = [played(search.policy(SMALL, seed=seed), score, random.Random(0)) for seed in range(4)]
    # then few of the proposals lie there
    failed = [params["x"] < 0 for each in found for _, params in each[15:]]
    assert sum(failed) < 0.4 * len(failed)


def test_a_search_of_failures_goes_on() -> None:
    found = played(
        TPE(trials=20, startup=4, lag=2).policy(SMALL, seed=3), lambda request, params: math.nan, random.Random(0)
    )
    assert len({str(params) for _, params in found}) == 20


def test_tpe_finds_a_better_optimum_than_random_search() -> None:
    def best(search: Any, seed: int) -> float:
        def score(request: Request, params: dict[str, Any]) -> float:
            return -((params["x"] - 0.3) ** 2) - (math.log10(params["y"]) + 1.5) ** 2

        policy = search.policy(SMALL, seed=seed)
        return max(score(Request("0", 1), params) for _, params in played(policy, score, random.Random(0)))

    tpe = statistics.median(best(TPE(trials=50, startup=10, lag=4), seed) for seed in range(7))
    drawn = statistics.median(best(Random(trials=50), seed) for seed in range(7))
    assert tpe > drawn / 2  # both are below zero: at most half as far from the top


# spaces


@given(seed=st.integers(0, 10**6))
def test_any_candidate_drawn_from_a_space_has_a_point_and_comes_back(seed: int) -> None:
    # given
    from sklearn.model_selection import ParameterSampler

    plane = Plane(SPACE, "tpe")
    (params,) = ParameterSampler(SPACE, 1, random_state=seed)
    # when
    found = plane.decode(plane.encode(params))
    # then
    assert found.keys() == params.keys()
    for name, value in params.items():
        if isinstance(value, float) and not isinstance(value, bool) and name != "list":
            assert found[name] == pytest.approx(value, rel=1e-3, abs=1e-3 if name == "normal" else 0)
        else:
            assert found[name] == value
            assert type(found[name]) is type(value) or name == "scipy_whole"


def test_proposals_stay_within_their_space() -> None:
    proposer = Proposer(SPACE, seed=1, startup=3, random_state=1, kind="tpe")
    for number in range(25):
        params = proposer.next([Seen(float(n % 5)) for n in range(number)])
        assert -1 <= params["uniform"] <= 1
        assert 1e-6 <= params["log"] <= 1e-1
        assert params["steps"] in (0, 0.25, 0.5, 0.75, 1.0)
        assert params["whole"] in range(1, 9)
        assert isinstance(params["whole"], int)
        assert 1e-3 <= params["scipy"] <= 1
        assert params["scipy_whole"] in range(2, 7)
        assert params["list"] in SPACE["list"]
        assert params["fixed"] == 5


def test_each_family_has_its_own_parameters_and_the_better_one_is_proposed_more() -> None:
    # given a space by family, where knn is always better
    def score(request: Request, params: dict[str, Any]) -> float:
        return 1.0 if params["model"] == "knn" else 0.0

    assert len(branches(FAMILIES)) == 2
    # when
    found = played(TPE(trials=40, startup=10, lag=2).policy(FAMILIES, seed=0), score, random.Random(0))
    # then
    for _, params in found:
        assert params.keys() == ({"model", "scale", "alpha"} if params["model"] == "sgd" else {"model", "scale", "k"})
    families = [params["model"] for _, params in found]
    assert families[15:].count("knn") > 15
    assert "sgd" in families


def test_a_space_of_lists_gives_each_combination_once() -> None:
    space = {"a": [1, 2, 3], "b": ["x", "y"]}
    search = TPE(trials=40, startup=2, lag=1)
    found = played(search.policy(space, seed=0), lambda request, params: params["a"], random.Random(0))
    assert sorted((params["a"], params["b"]) for _, params in found) == [(a, b) for a in (1, 2, 3) for b in "xy"]
    assert search.fits(space, seed=0)["candidates"] == 6


class Drawn:
    """Can be drawn from, and nothing else."""

    def rvs(self, size: Any = None, random_state: Any = None) -> float:
        return 0.5


def test_a_distribution_that_is_not_known_is_refused_by_name() -> None:
    with pytest.raises(SettingsError, match=r"search\.space\.c: can only be drawn from .* cdf and ppf"):
        TPE().policy({"c": Drawn()}, seed=0)


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    real = builtins.__import__

    def without(name: str, *rest: Any, **options: Any) -> Any:
        if name == "optuna":
            raise ImportError(name)
        return real(name, *rest, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    # then
    with pytest.raises(SettingsError, match=r"search\.kind: needs Optuna.*pip install 'daskflow\[optuna\]'"):
        TPE().policy(SMALL, seed=0)


def test_optunas_log_stays_quiet_and_its_level_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    import optuna

    optuna.logging.set_verbosity(optuna.logging.INFO)
    optuna.logging.enable_propagation()
    try:
        played(TPE(trials=5, startup=1, lag=1).policy(FAMILIES, seed=0), lambda *_: 1.0, random.Random(0))
        assert not caplog.records
        assert optuna.logging.get_verbosity() == optuna.logging.INFO
    finally:
        optuna.logging.disable_propagation()
        optuna.logging.set_verbosity(optuna.logging.INFO)


# with Hyperband


def test_the_schedule_is_hyperbands() -> None:
    # given scores that depend on nothing but the trial's place
    def rungs(search: Any) -> list[tuple[Any, ...]]:
        policy, asked = search.policy(SMALL, seed=1), []
        running = list(policy.ask())
        while running:
            request = running.pop(0)
            asked.append((request.trial, request.resource))
            policy.tell(request, seed_of(0, *request.trial.split("-")) / 2**31)
            running += policy.ask()
        return sorted(asked)

    assert rungs(TPEHyperband(max_iter=9, lag=3)) == rungs(Hyperband(max_iter=9))


def test_a_candidate_of_a_later_bracket_sees_last_scores_of_brackets_two_before() -> None:
    # given two searches that differ in the scores at the last rung of the first bracket alone
    def play(best: str) -> list[Any]:
        def score(request: Request, params: dict[str, Any]) -> float:
            if request.trial.startswith("2-") and request.resource > 1:
                return 9.0 if request.trial == best else 1.0
            return float(np.float64(seed_of(0, request.trial)) / 2**31)

        return played(TPEHyperband(max_iter=9, startup=2, lag=2).policy(SMALL, seed=1), score, random.Random(0))

    promoted = sorted((seed_of(0, f"2-{n}"), f"2-{n}") for n in range(9))[-3:]
    first, second = play(promoted[0][1]), play(promoted[1][1])
    # then brackets 2 and 1 have the same candidates, and those of bracket 0 differ
    by_bracket = [[each for each in found if each[0][0] in "21"] for found in (first, second)]
    assert by_bracket[0] == by_bracket[1]
    assert first != second
