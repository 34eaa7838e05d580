"""ASHA: who is promoted and when, beside the paper's rule written out; and that nobody waits."""

from __future__ import annotations

import heapq
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import SettingsError
from daskflow.core.space import LogUniform
from daskflow.data.execution import InlineExecutor
from daskflow.search.asha import ASHA, AsynchronousHalving, rungs
from daskflow.search.candidates import named
from daskflow.search.engine import Memory, run
from daskflow.search.hyperband import Hyperband
from daskflow.search.policies import Policy, Request
from tests.test_search_engine import Formula, gist

SPACE = {"alpha": LogUniform(1e-6, 1e-1)}


def halving(trials: int, levels: tuple[int, ...], eta: int, stock: int = 4) -> AsynchronousHalving:
    return AsynchronousHalving(named({"alpha": n} for n in range(trials)), levels, eta, stock)


class Paper:
    """Algorithm 2 of Li et al. 2020: ``get_job`` looks through the rungs from the top for someone to promote."""

    def __init__(self, trials: int, levels: tuple[int, ...], eta: int) -> None:
        self.waiting = [str(n) for n in range(trials)]
        self.levels, self.eta = levels, eta
        self.results: list[dict[str, float]] = [{} for _ in levels]
        self.promoted: list[set[str]] = [set() for _ in levels]

    def report(self, trial: str, level: int, score: float) -> None:
        self.results[level][trial] = score

    def get_job(self) -> tuple[str, int] | None:
        for level in reversed(range(len(self.levels) - 1)):
            results = self.results[level]
            arrival = list(results)
            ranked = sorted(results, key=lambda t: (math.isnan(results[t]), -results[t], arrival.index(t)))
            top = ranked[: len(results) // self.eta]
            for trial in top:
                if trial not in self.promoted[level] and not math.isnan(results[trial]):
                    self.promoted[level].add(trial)
                    return trial, level + 1
        return (self.waiting.pop(0), 0) if self.waiting else None


SCORES = st.one_of(st.integers(0, 5).map(float), st.floats(0, 1), st.just(math.nan))


@settings(max_examples=150, deadline=None)
@given(
    trials=st.integers(1, 40),
    eta=st.integers(2, 4),
    workers=st.integers(1, 6),
    data=st.data(),
)
def test_for_any_scores_and_order_of_answers_jobs_are_those_of_the_papers_rule(
    trials: int, eta: int, workers: int, data: Any
) -> None:
    # given
    levels = rungs(1, 9, eta)
    policy, paper = halving(trials, levels, eta, workers), Paper(trials, levels, eta)
    running = list(policy.ask())
    expected = [job for _ in range(workers) if (job := paper.get_job()) is not None]
    pick = random.Random(data.draw(st.integers(0, 10**6)))
    while running:
        # then both have the same work at any time
        assert [(request.trial, levels.index(request.resource)) for request in running] == expected
        # when any of it is answered
        place = pick.randrange(len(running))
        request, (trial, level) = running.pop(place), expected.pop(place)
        score = data.draw(SCORES)
        policy.tell(request, score)
        paper.report(trial, level, score)
        running += policy.ask()
        while len(expected) < workers and (job := paper.get_job()) is not None:
            expected.append(job)
    assert not expected


def test_a_trial_goes_on_while_others_of_its_rung_still_run() -> None:
    # given four at work, of which three have an answer
    policy = halving(9, (1, 3), 3, stock=4)
    first = policy.ask()
    for request, score in zip(first[:3], (0.1, 0.9, 0.5), strict=True):
        policy.tell(request, score)
    # then the best of the three goes on before anyone new, and nobody waited for the fourth
    assert policy.ask()[0] == Request("1", 3)


def test_a_failure_never_goes_on() -> None:
    policy = halving(3, (1, 3), 3)
    for request in policy.ask():
        policy.tell(request, math.nan)
    assert policy.ask() == []


def busy_share(policy: Policy, workers: int, straggler: str) -> float:
    """Play a policy in simulated time, with uneven fits and one that never seems to end.

    The share of the workers' time that they worked, until the last fit began.
    """
    rng = random.Random(3)
    if hasattr(policy, "wants"):
        policy.wants(workers)
    now, number = 0.0, 0
    running: list[tuple[float, int, Request]] = []
    spans: list[tuple[float, float]] = []
    waiting: list[Request] = list(policy.ask())
    while waiting or running:
        while waiting and len(running) < workers:
            request = waiting.pop(0)
            took = 200.0 if request == Request(straggler, 1) else request.resource * rng.lognormvariate(0, 1)
            heapq.heappush(running, (now + took, number, request))
            spans.append((now, now + took))
            number += 1
        now, _, request = heapq.heappop(running)
        policy.tell(request, rng.random())
        waiting += policy.ask()
    last = max(begun for begun, _ in spans)
    return sum(min(end, last) - begun for begun, end in spans) / (workers * last)


def test_four_workers_are_busy_with_uneven_fits_and_a_straggler() -> None:
    assert busy_share(ASHA(trials=200, max_iter=27).policy(SPACE, seed=1), 4, "5") >= 0.95
    # and halving that waits for its rungs is not, so that the measure can fail
    bracket = Hyperband(max_iter=27).policy(SPACE, seed=1).parts[0]
    assert busy_share(bracket, 4, "3-5") < 0.8


def test_no_more_are_without_an_answer_than_are_wanted() -> None:
    policy = halving(30, (1, 3), 3)
    policy.wants(5)
    running = list(policy.ask())
    rng = random.Random(0)
    while running:
        assert len(running) <= 5
        policy.tell(running.pop(rng.randrange(len(running))), rng.random())
        running += policy.ask()


@pytest.mark.parametrize("seed", range(5))
def test_told_the_same_answers_in_the_same_order_it_asks_for_the_same(seed: int) -> None:
    # given a search played to its end, with answers in no order
    rng, policy = random.Random(seed), halving(27, (1, 3, 9), 3)
    trace: list[tuple[list[Request], Request, float]] = []
    running: list[Request] = []
    while running or not trace:
        new = list(policy.ask())
        running += new
        if running:
            trace.append((new, running.pop(rng.randrange(len(running))), rng.random()))
            policy.tell(*trace[-1][1:])
    # when another is told the same, then it asks for the same at every moment
    again = halving(27, (1, 3, 9), 3)
    for new, request, score in trace:
        assert list(again.ask()) == new
        again.tell(request, score)
    assert len(trace) > 27


@pytest.mark.parametrize("cut", [0, 7, 20, 41])
def test_a_search_cut_anywhere_ends_like_the_whole_one(cut: int) -> None:
    # given
    search, whole = ASHA(trials=27, max_iter=9), Memory()
    space = {"alpha": list(range(1, 60))}
    expected = run(search.policy(space, seed=1), Formula(), InlineExecutor(), recorder=whole)
    # when it goes on from its first records
    after = Memory()
    resumed = run(
        search.policy(space, seed=1), Formula(), InlineExecutor(), recorder=after, earlier=whole.records[:cut]
    )
    # then
    assert gist(resumed) == gist(expected)
    done = [r for r in [*whole.records[:cut], *after.records] if r["record"] == "unit"]
    assert len(done) == len({(r["trial"], r["fold"], r["resource"]) for r in done})


def test_rungs_are_multiples_and_the_last_is_max_iter() -> None:
    assert rungs(1, 81, 3) == (1, 3, 9, 27, 81)
    assert rungs(2, 20, 4) == (2, 8, 20)
    assert rungs(5, 5, 3) == (5,)


def test_settings_that_cannot_work_are_said() -> None:
    with pytest.raises(SettingsError, match=r"min_resource: must not be more than max_iter = 3 \(found 9\)"):
        ASHA(min_resource=9, max_iter=3)
    with pytest.warns(UserWarning, match=r"trials = 5 is too few .* max_iter = 27: it takes 27 for 4 rungs"):
        ASHA(trials=5).policy(SPACE, seed=0)
