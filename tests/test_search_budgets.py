"""Budgets: a search ends exactly where its limit is met, finishes or drops what runs, and says why."""

from __future__ import annotations

import json
from typing import Any

import pytest

from daskflow.core.errors import SettingsError
from daskflow.core.seeds import seed_of
from daskflow.core.space import LogUniform, Uniform
from daskflow.data.execution import InlineExecutor
from daskflow.search import REGISTRY, Search
from daskflow.search.asha import ASHA
from daskflow.search.budgets import Budget, Budgeted, earlier_seconds
from daskflow.search.candidates import named
from daskflow.search.engine import Memory, run
from daskflow.search.hyperband import Hyperband
from daskflow.search.policies import AllAtOnce, Policy, Request
from daskflow.search.random import Random
from daskflow.search.tpe import TPE
from daskflow.search.tpe_hyperband import TPEHyperband
from tests.test_search_engine import Formula

SPACE = {"alpha": LogUniform(1e-6, 1e-1)}
KINDS = ["asha", "grid", "hyperband", "random", "tpe", "tpe-hyperband"]


class Clock:
    """A clock that is turned by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def everything(trials: int = 20) -> AllAtOnce:
    return AllAtOnce(named({"alpha": n} for n in range(trials)))


def begun(policy: Policy, score: Any = lambda request: 0.5, **costs: float) -> list[str]:
    """Answer one request at a time; trials in the order they began."""
    found: list[str] = []
    running: list[Request] = []
    while True:
        new = list(policy.ask())
        found += [request.trial for request in new if request.trial not in found]
        running += new
        if not running:
            return found
        request = running.pop(0)
        policy.tell(request, score(request), **costs)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_begins_exactly_as_many_trials_as_it_may(kind: str) -> None:
    # given
    space = {"alpha": list(range(30))} if kind == "grid" else SPACE
    search = REGISTRY.parse({"kind": kind, "budget": {"trials": 7}})
    policy = search.policy(space, seed=1)
    # when, then
    assert len(begun(policy)) == 7
    assert len(policy.candidates) == 7
    assert policy.ended() == "the budget of 7 trials was spent"
    assert search.fits(space, seed=1)["candidates"] == 7
    assert len({each.trial for each in policy.candidates}) == 7
    # and they are the first that it would have drawn
    whole = REGISTRY.parse(kind).policy(space, seed=1)
    first = list(whole.candidates[:7])
    assert [each.params for each in policy.candidates][: len(first)] == [each.params for each in first]


@pytest.mark.parametrize("search", [ASHA(trials=27), Hyperband(max_iter=9), TPEHyperband(max_iter=9, lag=2)])
def test_a_search_of_fewer_trials_still_takes_some_of_them_further(search: Search) -> None:
    limited = search.model_copy(update={"budget": Budget(trials=9)})
    policy, seen = limited.policy(SPACE, seed=1), dict[str, int]()
    while requests := policy.ask():
        for request in requests:
            seen[request.trial] = request.resource
            policy.tell(request, seed_of(0, request.trial) % 7)
    assert len(seen) == 9
    assert set(seen.values()) >= {1, 3}


def test_a_budget_that_is_not_met_changes_nothing_and_ends_nothing() -> None:
    policy = Random(trials=5, budget=Budget(trials=5, wall_time="1 h", cpu_hours=9, patience=50)).policy(SPACE, seed=1)
    assert begun(policy) == ["0", "1", "2", "3", "4"]
    assert policy.ended() == ""


def test_processor_time_ends_a_search_at_the_answer_that_spends_it() -> None:
    policy = Budgeted(everything(), Budget(cpu_hours=1), stock=1)
    assert begun(policy, cpu_seconds=1000.0) == ["0", "1", "2", "3"]
    assert policy.ended() == "the budget of 1 CPU-hour was spent"


def test_processor_time_that_nobody_tells_is_taken_to_be_the_wall_time() -> None:
    policy = Budgeted(everything(), Budget(cpu_hours=1), stock=1)
    assert len(begun(policy, seconds=1000.0)) == 4


def test_wall_time_counts_from_the_first_request() -> None:
    # given a policy that was made long before the search began
    clock = Clock()
    policy = Budgeted(everything(), Budget(wall_time="10 min"), clock=clock, stock=1)
    clock.now = 5000.0
    (first,) = policy.ask()
    # when
    clock.now += 599.0
    policy.tell(first, 0.5)
    (second,) = policy.ask()
    clock.now += 1.0
    policy.tell(second, 0.5)
    # then
    assert policy.ask() == []
    assert policy.ended() == "the wall time of 10 min was spent"


def test_patience_counts_trials_without_an_improvement_of_the_tolerance() -> None:
    scores = {"0": 0.5, "1": 0.6, "2": 0.605, "3": 0.607, "4": 0.61, "5": 0.9}
    policy = Budgeted(everything(6), Budget(patience=3, tolerance=0.01), stock=1)
    assert begun(policy, lambda request: scores[request.trial]) == ["0", "1", "2", "3", "4", "5"]
    strict = Budgeted(everything(6), Budget(patience=3, tolerance=0.02), stock=1)
    assert begun(strict, lambda request: scores[request.trial]) == ["0", "1", "2", "3", "4"]
    assert strict.ended() == "3 trials in a row did not improve the best score by 0.02 or more"


def test_a_trial_counts_once_for_patience_however_many_rungs_it_has() -> None:
    policy = ASHA(trials=30, max_iter=27, budget=Budget(patience=10)).policy(SPACE, seed=1)
    policy.wants(1)
    # the first trial stays the best: of the ten after it none improves, promotions in between do not count
    assert len(begun(policy, lambda request: 1.0 if request.trial == "0" else 0.5)) == 11


def test_what_runs_when_a_limit_is_met_is_finished_by_default() -> None:
    policy = Budgeted(everything(), Budget(cpu_hours=1), stock=4)
    running = list(policy.ask())
    policy.tell(running.pop(), 0.5, cpu_seconds=4000)
    assert policy.ask() == []
    assert list(policy.dropped()) == []


def test_or_dropped_on_request() -> None:
    policy = Budgeted(everything(), Budget(cpu_hours=1, running="drop"), stock=4)
    running = list(policy.ask())
    policy.tell(running.pop(), 0.5, cpu_seconds=4000)
    assert sorted(policy.dropped()) == ["0", "1", "2"]


def test_the_engine_ends_with_the_trials_that_had_begun() -> None:
    policy = Random(trials=40, budget=Budget(patience=5)).policy({"alpha": [5.0, *[1.0] * 39]}, seed=1)
    policy.wants(2)
    result = run(policy, Formula(), InlineExecutor())
    scored = [trial for trial in result.trials if trial.curve]
    assert len(scored) < 40
    assert result.best.params["alpha"] == 5.0
    assert policy.ended() == "5 trials in a row did not improve the best score"


@pytest.mark.parametrize("kind", ["random", "tpe", "asha"])
def test_a_spent_budget_stays_spent_and_what_was_begun_keeps_its_score(kind: str) -> None:
    # given a search that ended by its budget
    search = REGISTRY.parse({"kind": kind, "trials": 30, "budget": {"patience": 6}})
    space = {"alpha": Uniform(0, 9)}
    whole = Memory()
    expected = run(search.policy(space, seed=3), Formula(), InlineExecutor(), recorder=whole)
    for cut in (len(whole.records), len(whole.records) // 2, 3):
        # when it is continued from any of its records
        before, after = whole.records[:cut], Memory()
        policy = search.policy(space, seed=3)
        policy.remember(before)
        again = run(policy, Formula(), InlineExecutor(), recorder=after, earlier=before)
        # then it ends with the same trials and scores
        assert [(t.id, t.score) for t in again.trials if t.curve] == [
            (t.id, t.score) for t in expected.trials if t.curve
        ]
        assert policy.ended()


def test_wall_time_of_earlier_invocations_counts_and_what_they_began_is_finished() -> None:
    # given two invocations that searched for 5 and 3 minutes, and a unit that the second one did not finish
    records = [
        {"record": "invocation", "at": 0.0},
        {"record": "start", "trial": "0", "fold": 0, "resource": 1, "at": 100.0},
        {"record": "unit", "trial": "0", "fold": 0, "resource": 1, "at": 400.0},
        {"record": "invocation", "at": 9000.0},
        {"record": "start", "trial": "1", "fold": 0, "resource": 1, "at": 9010.0},
        {"record": "warning", "at": 9100.0},
        {"record": "unit", "trial": "1", "fold": 0, "resource": 1, "at": 9180.0},
        {"record": "start", "trial": "2", "fold": 0, "resource": 1, "at": 9190.0},
    ]
    assert earlier_seconds(records) == 480.0
    # when a third has a budget of eight minutes
    policy = Budgeted(everything(), Budget(wall_time="8 min"), clock=Clock())
    policy.remember(records)
    # then it takes over what was finished, finishes what was begun, and begins nothing
    assert [request.trial for request in policy.ask()] == ["0", "1", "2"]


def test_a_budget_comes_back_from_plain_values() -> None:
    search = REGISTRY.parse(
        {"kind": "grid", "budget": {"wall_time": "2 h", "cpu_hours": 8, "patience": 20, "tolerance": 0.001}}
    )
    assert REGISTRY.parse(json.loads(json.dumps(search.dump()))) == search
    assert search.budget is not None
    assert search.budget.wall_seconds == 7200


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"wall_time": "soon"}, r"search\.budget\.wall_time: should be a time such as 2 h \(found 'soon'\)"),
        ({"trials": 0}, r"search\.budget\.trials: .* greater than or equal to 1"),
        ({"runing": "drop"}, r"search\.budget\.runing: no such option"),
    ],
)
def test_mistakes_are_said_with_their_place(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        REGISTRY.parse({"kind": "random", "budget": wrong}, where="search")


def test_candidates_that_a_spent_budget_left_without_a_request_are_not_shown() -> None:
    policy = TPE(trials=30, lag=9, budget=Budget(cpu_hours=1)).policy(SPACE, seed=1)
    policy.wants(2)
    for request in policy.ask():
        policy.tell(request, 0.5, cpu_seconds=3000)
    assert policy.ask() == []
    assert [candidate.trial for candidate in policy.candidates] == ["0", "1"]


def test_requests_without_an_answer_follow_what_is_wanted() -> None:
    policy = TPE(trials=30, lag=9, budget=Budget(wall_time="1 h")).policy(SPACE, seed=1)
    policy.wants(3)
    assert len(policy.ask()) == 3
    assert policy.ask() == []


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("10 min", 600), ("2 h", 7200), ("90s", 90), ("1.5 hours", 5400), ("3 d", 259200), ("5m", 300)],
)
def test_times_are_read_as_people_write_them(text: str, seconds: float) -> None:
    assert Budget(wall_time=text).wall_seconds == seconds
    assert Random(fit_timeout=text).fit_seconds == seconds
