"""Forecasts hold what comes: bands against simulated searches of known truth, and against real ones."""

from __future__ import annotations

import copy
import math
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import daskflow.metrics
from daskflow import models
from daskflow.clusters.threads import Threads
from daskflow.core.events import Event, nobody
from daskflow.core.protocols import Executor
from daskflow.core.space import LogUniform, RandInt
from daskflow.data.execution import InlineExecutor
from daskflow.search import REGISTRY, Search, engine
from daskflow.search.costs import Costs, Step, Wanted
from daskflow.search.engine import Memory
from daskflow.search.fits import MatrixWork
from daskflow.search.forecast import LEVEL, Forecast
from daskflow.search.foreseeing import Foreseeing
from daskflow.search.schedules import Rung, play, schedule
from tests.simulated_search import SPACE, Clockwork, Told, Truth, at_quarters, simulated
from tests.small_matrices import classes, matrices_of

KINDS: dict[str, tuple[dict[str, Any], dict[str, int]]] = {
    "random": ({"kind": "random", "trials": 40}, {"slots": 2}),
    "random, folds": ({"kind": "random", "trials": 20}, {"slots": 4, "n_folds": 3}),
    "grid": (
        {"kind": "grid", "space": {"alpha": [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1], "trees": [50, 100, 200, 400]}},
        {"slots": 1},
    ),
    "tpe": ({"kind": "tpe", "trials": 20}, {"slots": 2}),
    "hyperband": ({"kind": "hyperband", "max_iter": 9}, {"slots": 2}),
    "asha": ({"kind": "asha", "trials": 40}, {"slots": 2}),
    "tpe-hyperband": ({"kind": "tpe-hyperband", "max_iter": 9}, {"slots": 2}),
}


def search_of(kind: str) -> tuple[Search, dict[str, int]]:
    settings, options = KINDS[kind]
    return REGISTRY.parse(settings), options


# -- what will be done, and how long it takes on slots


@pytest.mark.parametrize("kind", KINDS)
def test_the_schedule_is_what_the_engine_does_with_the_real_policy(kind: str) -> None:
    # given
    search, options = search_of(kind)
    n_folds = options.get("n_folds", 1)
    for seed in range(3):
        rungs = schedule(search, search.space or SPACE, seed=seed)
        # when
        n_fits, _ = simulated(search, Truth.drawn(seed), **options)
        # then
        least, most = (n_folds * sum(getattr(rung, end) for rung in rungs) for end in ("least", "most"))
        if kind == "asha":  # how many go on depends on the order of answers, and the other orders are not all played
            assert 0.85 * least <= n_fits <= 1.15 * most
            assert least < most
        else:
            assert least == n_fits == most


@pytest.mark.parametrize("kind", ["hyperband", "asha", "tpe-hyperband"])
def test_every_step_of_a_search_that_stops_early_is_in_its_schedule(kind: str) -> None:
    # given
    search, _ = search_of(kind)
    truth = Truth.drawn(5)
    clock = Clockwork(truth, 3, 1)
    policy = search.policy(SPACE, seed=truth.seed)
    steps: Counter[tuple[int, int]] = Counter()

    def hear(event: Event) -> None:
        if event.name == "unit":
            steps[event.fields["start"], event.fields["resource"]] += 1

    # when
    engine.run(policy, clock, clock, listener=hear)  # type: ignore[arg-type]  # both are protocols
    # then
    rungs = schedule(search, SPACE, seed=truth.seed)
    assert set(steps) == {tuple(rung.step) for rung in rungs}


def test_a_budget_of_trials_shortens_the_schedule() -> None:
    whole, cut = (
        sum(rung.most for rung in schedule(REGISTRY.parse({"kind": "random", "trials": 40, **extra}), SPACE, seed=0))
        for extra in ({}, {"budget": {"trials": 10}})
    )
    assert (whole, cut) == (40, 10)


def test_work_on_slots_takes_what_it_takes_by_hand() -> None:
    # given two slots: 3 and 1 begin, then 2 beside the 3; the next rung waits for both
    assert play([(0, True, [3.0, 1.0, 2.0]), (0, True, [1.0])], slots=2) == 4.0
    # brackets do not wait for each other
    assert play([(1, True, [3.0, 1.0]), (0, True, [1.0, 1.0])], slots=2) == 3.0
    # what runs holds its slot first, and its rung is not over before
    assert play([(0, True, []), (0, True, [1.0])], slots=2, running=[(0, 5.0)]) == 6.0
    assert play([], slots=3) == 0.0


def test_very_many_fits_are_played_in_larger_pieces_to_nearly_the_same_end() -> None:
    # given
    seconds = np.random.default_rng(0).exponential(size=4000)
    # when
    took = play([(0, True, seconds.tolist())], slots=4)
    # then no schedule is shorter than the work over the slots, nor longer than that and the longest fit
    assert seconds.sum() / 4 <= took <= seconds.sum() / 4 + seconds.max()


# -- what fits cost


def test_costs_find_that_a_fit_goes_with_its_resource() -> None:
    # given fits of 1 and 3 steps of a second
    costs = Costs()
    for number in range(12):
        costs.add(str(number), Step(0, 1), 1.0)
        costs.add(str(number), Step(1, 4), 3.0)
    # when one of 9 is asked for
    drawn = costs.draw([Wanted("new", Step(4, 13))], 400, np.random.default_rng(0))
    # then
    assert np.median(drawn) == pytest.approx(9.0, rel=0.25)


def test_costs_find_that_a_parameter_tells_what_a_candidate_costs() -> None:
    # given candidates whose time is their number of trees, by a hundred
    rng = np.random.default_rng(0)
    params = {str(n): {"trees": int(rng.integers(50, 1000))} for n in range(40)}
    costs = Costs(params=params)
    for n in range(38):
        costs.add(str(n), Step(0, 1), params[str(n)]["trees"] / 100)
    params["38"]["trees"], params["39"]["trees"] = 60, 900
    # when
    few, many = np.median(costs.draw([Wanted("38", Step(0, 1)), Wanted("39", Step(0, 1))], 200, rng), axis=0)
    # then
    assert costs.uses_parameters
    assert (few, many) == pytest.approx((0.6, 9.0), rel=0.25)


def test_what_runs_takes_at_least_as_long_as_it_has_been_running() -> None:
    costs = Costs()
    for number in range(20):
        costs.add(str(number), Step(0, 1), 1.0)
    drawn = costs.draw([Wanted("late", Step(0, 1), elapsed=30.0)], 200, np.random.default_rng(0))
    assert drawn.min() >= 30.0


# -- the band


def coverage(kind: str, seeds: range) -> tuple[list[Told], float, float]:
    """Forecasts at quarters of simulated searches; how many hold the wall time, and the processor time."""
    search, options = search_of(kind)
    told = [one for seed in seeds for one in at_quarters(search, Truth.drawn(seed), **options)]
    return told, float(np.mean([one.holds_wall for one in told])), float(np.mean([one.holds_cpu for one in told]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_band_holds_what_comes_of_simulated_searches(kind: str) -> None:
    # given 12 searches of as many kinds of costs, each looked at three times
    told, wall, cpu = coverage(kind, range(12))
    # then 80 of 100 bands hold what comes, but for the noise of so few searches
    assert len(told) == 36
    assert wall >= 0.6
    assert cpu >= 0.6
    # and they say something: half of the estimates are off by no more than a half
    assert np.median([abs(math.log(one.seconds / one.estimate.seconds)) for one in told]) < math.log(1.6)


@pytest.mark.slow
def test_bands_hold_what_comes_in_about_the_share_of_cases_that_they_say() -> None:
    # given 20 simulated searches of every kind
    found = {kind: coverage(kind, range(100, 120))[1:] for kind in KINDS}
    # then, over all of them, in about that share, or rather more
    pooled = np.mean([share for shares in found.values() for share in shares])
    assert LEVEL - 0.06 <= pooled <= LEVEL + 0.14, found
    assert min(share for shares in found.values() for share in shares) >= LEVEL - 0.2, found


def test_a_band_gets_narrower_as_fits_finish() -> None:
    search, options = search_of("random")
    first, _, last = ([], [], [])  # type: tuple[list[float], list[float], list[float]]
    for seed in range(15):
        quarter, _, three = at_quarters(search, Truth.drawn(seed), **options)
        first.append(quarter.estimate.high - quarter.estimate.low)
        last.append(three.estimate.high - three.estimate.low)
    assert np.median(last) < 0.75 * np.median(first)


def test_at_the_end_nothing_is_left_and_before_the_first_fit_nothing_is_said() -> None:
    search, options = search_of("hyperband")
    n_fits, _ = simulated(search, Truth(0), **options)
    (end,) = simulated(search, Truth(0), at=lambda done: done == n_fits, **options)[1]
    assert (end.estimate.seconds, end.estimate.high, end.estimate.cpu_hours) == (0.0, 0.0, 0.0)
    assert Forecast(schedule(search, SPACE, seed=0)).remaining() is None


def alike(n_candidates: int, done: int, *, slots: int = 1, **options: Any) -> Forecast:
    """A search of alike fits of a second, some of which are done."""
    forecast = Forecast([Rung(None, Step(0, 1), n_candidates, n_candidates)], slots=slots, **options)
    for number in range(done):
        forecast.handed_in(str(number), 0, 1, at=float(number // slots))
        forecast.add(str(number), 0, 0, 1, seconds=1.0, cpu_seconds=0.5, at=1.0 + number // slots)
    return forecast


def test_budgets_end_a_forecast() -> None:
    # given 100 fits of a second, 20 of which are done
    free, short, cheap = (
        alike(100, 20, **options).remaining() for options in ({}, {"most_seconds": 30.0}, {"most_cpu_seconds": 15.0})
    )
    # then 80 s are left, or what the budgets leave
    assert free is not None
    assert short is not None
    assert cheap is not None
    assert 70 < free.seconds < 95
    assert short.seconds == short.high == 10.0
    assert cheap.cpu_high == pytest.approx(5.0 / 3600, rel=0.01)
    assert cheap.seconds == pytest.approx(10.0, rel=0.3)


def test_folds_of_a_failed_trial_are_not_waited_for() -> None:
    # given three folds each, and a trial that failed at its first
    forecast = Forecast([Rung(None, Step(0, 1), 2, 2)], n_folds=3)
    forecast.add("0", 0, 0, 1, seconds=1.0, cpu_seconds=1.0, at=1.0)
    forecast.failed("0")
    forecast.failed("0")
    estimate = forecast.remaining()
    # then the other's three are left
    assert estimate is not None
    assert estimate.cpu_hours == pytest.approx(3.0 / 3600, rel=0.5)


def test_more_slots_than_fits_that_are_remembered_cost_no_more_than_few() -> None:
    # given 400 slots, whose first fits pay for imports
    forecast = alike(4000, 2000, slots=400)
    estimate = forecast.remaining()
    # then 2,000 fits of a second on them take 5 s
    assert estimate is not None
    assert 4 < estimate.seconds < 8


def test_a_continued_search_keeps_what_it_learned() -> None:
    # given fits of an earlier invocation that took 10 s each, on record
    records: list[Mapping[str, Any]] = [{"record": "candidates", "candidates": [{"trial": "0", "params": {}}]}]
    for number in range(20):
        place = {"trial": str(number), "fold": 0, "resource": 1}
        records += [{"record": "unit", **place, "seconds": 10.0, "cpu_seconds": 9.0}]
    forecast = Forecast([Rung(None, Step(0, 1), 40, 40)])
    seer = Foreseeing(nobody, forecast)
    # when it goes on, and its first fit takes 11 s
    seer.remember(records)
    forecast.add("20", 0, 0, 1, seconds=11.0, cpu_seconds=10.0, at=11.0)
    estimate = forecast.remaining()
    # then the other 19 take about 10 s each, and the band is as narrow as 21 fits make it
    assert estimate is not None
    assert 150 < estimate.low < 190 < estimate.high < 260


def test_forecasts_are_told_and_now_and_then_recorded() -> None:
    # given
    told: list[Event] = []
    memory = Memory()
    forecast = Forecast([Rung(None, Step(0, 1), 40, 40)])
    seer = Foreseeing(told.append, forecast, memory)
    # when a fit finishes every second
    for number in range(30):
        seer.extend([{"record": "start", "trial": str(number), "fold": 0, "resource": 1}])
        cost = {"trial": str(number), "fold": 0, "start": 0, "resource": 1, "seconds": 1.0, "cpu_seconds": 0.9}
        seer(Event("unit", cost, 1.0 + number))
    # then
    forecasts = [event.fields for event in told if event.name == "forecast"]
    recorded = [record for record in memory.records if record["record"] == "forecast"]
    assert len([event for event in told if event.name == "unit"]) == 30
    assert 5 <= len(forecasts) <= 30
    assert 1 <= len(recorded) <= 3
    assert recorded[0].items() >= forecasts[0].items()
    last = forecasts[-1]
    assert last["stage"] == "search"
    assert last["low"] <= last["seconds"] <= last["high"]
    assert last["cpu_hours_spent"] == pytest.approx(0.9 * forecast.done / 3600, rel=0.2)


# -- real searches

REAL: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "random": (
        "hist_gradient_boosting",
        {"kind": "random", "trials": 16},
        {"max_leaf_nodes": RandInt(4, 24), "max_iter": RandInt(10, 50)},
    ),
    "hyperband": ("hist_gradient_boosting", {"kind": "hyperband", "max_iter": 9}, {"max_leaf_nodes": RandInt(4, 24)}),
    "asha": ("mlp", {"kind": "asha", "trials": 30, "max_iter": 27}, {"alpha": LogUniform(1e-6, 1e-1)}),
}


def looked_at(kind: str, executor: Executor, folder: Path, seed: int) -> list[Told]:
    """Search for real; the forecasts after a quarter, half, and three quarters of the fits, and what came.

    Of a search in this thread time is what its process has of a processor, which no other work on the machine changes.
    """
    model, settings, space = REAL[kind]
    search = REGISTRY.parse(settings)
    X, y = classes(1500, 12, seed=seed)
    (folder / "snapshots").mkdir(parents=True)
    work = MatrixWork(
        model=models.parse(model),
        task="binary",
        n_classes=2,
        matrices=matrices_of(folder / "matrices", X, y, n_folds=2),
        metrics=[daskflow.metrics.parse("accuracy")],
        metric="accuracy",
        seed=seed,
        snapshots=folder / "snapshots",
        search=search,
    )
    policy = search.policy(space, seed=seed)
    forecast = Forecast(
        schedule(search, space, seed=seed),
        n_folds=2,
        slots=executor.slots,
        params={candidate.trial: candidate.params for candidate in policy.candidates},
        brackets={candidate.trial: candidate.bracket for candidate in policy.candidates},
        continues=work.training.way.continues,
    )
    states: list[tuple[float, Forecast]] = []
    is_here = isinstance(executor, InlineExecutor)
    seer = Foreseeing(nobody, forecast, Memory(), **({"clock": time.process_time} if is_here else {}))

    def hear(event: Event) -> None:
        if is_here and event.name == "unit":
            event = Event("unit", {**event.fields, "seconds": event.fields["cpu_seconds"]}, time.process_time())
        seer(event)
        if event.name == "unit":
            states.append((event.at, copy.deepcopy(forecast)))

    engine.run(policy, work, executor, recorder=seer, listener=hear)
    end = states[-1][0]
    told = []
    for quarter in (1, 2, 3):
        at, then = states[math.ceil(len(states) * quarter / 4) - 1]
        estimate = then.remaining(at)
        assert estimate is not None
        told.append(Told(then.done, estimate, end - at, (forecast.cpu_seconds - then.cpu_seconds) / 3600))
    return told


def test_half_way_through_a_real_search_its_end_is_foreseen_within_a_factor(tmp_path: Path) -> None:
    # given a random search of boosted trees in this thread
    _, half, _ = looked_at("random", InlineExecutor(), tmp_path, seed=0)
    # then, on a machine however busy, neither estimate is off by more than 4
    assert half.done == 16
    # (half a second either way is nothing: the rest may take a tenth of one)
    assert half.seconds / 4 - 0.5 < half.estimate.seconds < 4 * half.seconds + 0.5
    assert half.cpu_hours / 4 - 0.5 / 3600 < half.estimate.cpu_hours < 4 * half.cpu_hours + 0.5 / 3600
    assert half.estimate.high < 6 * half.estimate.low


@pytest.mark.slow
def test_bands_hold_what_came_of_real_searches(tmp_path: Path) -> None:
    # given random, Hyperband and ASHA, each in one thread and in two
    told: list[Told] = []
    for seed, kind in enumerate(REAL):
        told += looked_at(kind, InlineExecutor(), tmp_path / f"{kind}-inline", seed)
        with Threads(workers=2).open() as connection:
            told += looked_at(kind, connection.executor, tmp_path / f"{kind}-threads", seed + 10)
    # then most of the 18 bands hold what came: fewer than 80 of 100, for other work on the machine comes and goes
    wall, cpu = (np.mean([getattr(one, name) for one in told]) for name in ("holds_wall", "holds_cpu"))
    said = [(one.done, one.seconds, one.estimate) for one in told]
    assert wall >= 0.5, said
    assert cpu >= 0.5, said
    # and they are bands of some width, not all of time
    assert np.median([one.estimate.high / max(one.estimate.low, 1e-9) for one in told]) < 6
