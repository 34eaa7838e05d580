"""A plan says how long a run takes and what it costs, before anything of the data is computed; and how it knows."""

from __future__ import annotations

import itertools
import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.base import BaseEstimator, ClassifierMixin

import daskflow as flow
from daskflow.cli import main
from daskflow.data.table import Partition
from daskflow.search.costs import Step
from daskflow.search.training import Way
from daskflow.workflow import outlook as outlooks
from daskflow.workflow import timed_fits
from daskflow.workflow.outlook import Outlook, shape_of, slots_of
from daskflow.workflow.timed_fits import Law, Shape, earlier_fits, made_up_fits, visits


class Sleeper(ClassifierMixin, BaseEstimator):
    """Fits by waiting for every row, and says one class."""

    def __init__(self, seconds_per_row: float = 1e-5, seconds: float = 0.0) -> None:
        self.seconds_per_row = seconds_per_row
        self.seconds = seconds

    def fit(self, X: Any, y: Any) -> Sleeper:
        """Keep the processor busy, so that it is what a real fit is."""
        end = time.process_time() + self.seconds + self.seconds_per_row * len(X)
        while time.process_time() < end:
            pass
        self.classes_ = np.unique(y)
        return self

    def predict(self, X: Any) -> Any:
        """One answer."""
        return np.full(len(X), self.classes_[0])


DOZEN = {"kind": "random", "trials": 12, "metric": "accuracy", "space": {"seconds_per_row": {"uniform": [1e-9, 1e-8]}}}


def workflow(tmp_path: Path, **changed: Any) -> flow.Workflow:
    settings: dict[str, Any] = {
        "name": "late",
        "data": flow.sources.Generated(rows=4_000),
        "model": "sgd",
        "search": {"kind": "hyperband", "max_iter": 9},
        "split": {"test": 0.2, "validation": 0.2},
        "cluster": "inline",
        "cache": "none",
        "base": tmp_path,
    }
    return flow.Workflow(**(settings | changed))


def planned(made: flow.Workflow, runs: Path) -> Outlook:
    return made.plan(runs).outlook


def test_a_plan_reads_no_partition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given partitions that cannot be read
    made = workflow(tmp_path)

    def refuse(self: Partition) -> None:
        raise AssertionError("a partition was read")

    monkeypatch.setattr(Partition, "read", refuse)
    # when
    found = planned(made, tmp_path / "runs")
    # then there is an estimate all the same, and it says what it rests on
    assert found.seconds is not None
    assert "made-up rows" in found.basis
    assert not (tmp_path / "runs").exists()


def test_a_plan_has_time_and_processor_time_with_their_bands_in_words_and_as_json(tmp_path: Path) -> None:
    # given
    file = tmp_path / "flow.toml"
    file.write_text(
        '[data]\nkind = "generated"\nrows = 4000\n[model]\nkind = "sgd"\n[search]\nkind = "random"\ntrials = 5\n'
        '[cluster]\nkind = "local"\nworkers = 2\n'
    )
    # when
    done = CliRunner().invoke(main, ["plan", str(file), "--runs", str(tmp_path / "runs"), "--json"])
    page = CliRunner().invoke(main, ["plan", str(file), "--runs", str(tmp_path / "runs")])
    # then
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)["outlook"]
    assert found["low"] < found["seconds"] < found["high"]
    assert found["cpu_low"] < found["cpu_hours"] < found["cpu_high"]
    assert found["level"] == 0.8
    assert found["preparing"] is None
    line = next(line for line in page.stdout.splitlines() if line.startswith("  time "))
    assert "to the search's end, without reading and preparing the data" in line
    assert "CPU-" in line
    assert "made-up rows" in line


def test_fits_on_made_up_rows_foretell_what_rows_cost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a family that takes 10 microseconds for every row, and a table of 200,000, timed by what nobody else takes
    own_time = SimpleNamespace(perf_counter=time.process_time, process_time=time.process_time)
    monkeypatch.setattr(timed_fits, "time", own_time)
    made = workflow(
        tmp_path,
        data=flow.sources.Generated(rows=200_000),
        model={"kind": "estimator", "estimator": Sleeper()},
        search="none",
    )
    # when
    shape, _ = shape_of(made, 200_000, 13)
    found = made_up_fits(made, "binary", shape, [Step(0, 1)])
    # then a fit of its 120,000 training rows takes 1.2 s
    assert found is not None
    assert shape.train == pytest.approx(120_000, rel=0.01)
    assert found.timed[0].seconds == pytest.approx(1e-5 * shape.train, rel=0.4)
    # and the doubt grows with how much more that is than was timed
    assert found.doubt > 0.4


def test_fits_on_a_busy_machine_are_timed_by_their_processor_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a machine whose other work takes 99.9 % of the time: each look at the clocks comes a second after the last
    ticks = itertools.count()

    def cpu() -> float:
        return 0.001 * next(ticks)

    monkeypatch.setattr(timed_fits, "time", SimpleNamespace(process_time=cpu, perf_counter=lambda: 1000 * cpu()))
    made = workflow(tmp_path, model={"kind": "estimator", "estimator": Sleeper(0.0)}, search=DOZEN)
    # when
    found = made_up_fits(made, "binary", Shape(1000, 200, 4, 500), [Step(0, 1)])
    # then as many candidates are tried as on one that has nothing else to do
    assert found is not None
    assert found.basis.startswith("by timing 12 candidates on 1,000 made-up rows")


@pytest.mark.parametrize(
    ("seconds", "why"), [(1.2, "too slow"), (-1e9, "no such number of seconds")], ids=["slow", "short"]
)
def test_what_cannot_be_timed_is_said_to_be_unknown(tmp_path: Path, seconds: float, why: str) -> None:
    # given a family whose smallest fit takes seconds, or raises
    class Refusing(Sleeper):
        def fit(self, X: Any, y: Any) -> Sleeper:
            if self.seconds < 0:
                raise ValueError(why)
            return super().fit(X, y)

    made = workflow(tmp_path, model={"kind": "estimator", "estimator": Refusing(seconds=seconds)}, search="none")
    # when
    begun = time.process_time()
    found = planned(made, tmp_path / "runs")
    # then
    assert found.seconds is None
    assert found.cpu_hours is None
    assert str(found).startswith("not known before the first fits")
    assert time.process_time() - begun < 6


@pytest.mark.parametrize("model", ["sgd", "hist_gradient_boosting"])
@pytest.mark.parametrize("search", [{"kind": "random", "trials": 4}, {"kind": "asha", "trials": 9, "max_iter": 9}])
def test_a_plan_takes_a_few_seconds_for_any_way_of_training(tmp_path: Path, model: str, search: dict[str, Any]) -> None:
    # given a table of a million rows
    made = workflow(tmp_path, data=flow.sources.Generated(rows=1_000_000), model=model, search=search)
    planned(made, tmp_path / "runs")  # what is compiled once for an installation is no part of it
    # when
    begun = time.process_time()
    found = planned(made, tmp_path / "runs")
    # then it took seconds of this processor, whatever others do
    assert time.process_time() - begun < 9
    assert found.cpu_hours is None or 0 < found.cpu_hours < 1000


def test_a_run_is_the_better_teacher_of_the_next(tmp_path: Path) -> None:
    # given a finished run
    runs = tmp_path / "runs"
    slow = {"model": {"kind": "estimator", "estimator": Sleeper(seconds=0.05)}, "search": DOZEN}
    run = workflow(tmp_path, **slow).run(runs)
    # when the same work is planned with another seed
    found = planned(workflow(tmp_path, **slow, seed=3), runs)
    # then it is told by that run, with its reading, and what it says is what that took
    assert f"late/{run.path.name}" in found.basis
    assert found.preparing is not None
    assert "with reading and preparing" in str(found)
    spent = sum(trial.cpu_seconds for trial in run.trials) / 3600
    assert found.cpu_low is not None
    assert found.cpu_high is not None
    assert found.cpu_low < spent < found.cpu_high
    # and of four times the rows, so much more, with more doubt
    larger = planned(workflow(tmp_path, **slow, data=flow.sources.Generated(rows=16_000)), runs)
    assert larger.cpu_hours is not None
    assert larger.cpu_low is not None
    assert larger.cpu_high is not None
    assert larger.cpu_hours > 1.5 * spent
    assert larger.cpu_high / larger.cpu_low > 1.3 * found.cpu_high / found.cpu_low


def test_runs_of_another_family_or_way_teach_nothing(tmp_path: Path) -> None:
    # given a run of SGD by blocks
    runs = tmp_path / "runs"
    workflow(tmp_path).run(runs)
    shape = Shape(2400, 800, 55, 600)
    # then it tells what SGD by blocks takes
    assert earlier_fits(workflow(tmp_path, seed=1), "binary", shape, runs) is not None
    # and nothing of whole fits, of another family, or of a table a thousand times as large
    whole = workflow(tmp_path, search={"kind": "random", "trials": 3})
    boosted = workflow(tmp_path, model="hist_gradient_boosting")
    assert earlier_fits(whole, "binary", shape, runs) is None
    assert earlier_fits(boosted, "binary", shape, runs) is None
    assert earlier_fits(workflow(tmp_path), "binary", Shape(10**7, 10**6, 55, 600_000), runs) is None


def test_without_a_number_of_workers_only_processor_time_is_said(tmp_path: Path) -> None:
    made = workflow(tmp_path, cluster={"kind": "address", "address": "tcp://127.0.0.1:1"})
    found = planned(made, tmp_path / "runs")
    assert found.seconds is None
    assert found.cpu_hours is not None
    assert "depends on the cluster's workers" in str(found)


@pytest.mark.parametrize(
    ("cluster", "slots"),
    [
        ({"kind": "inline"}, 1),
        ({"kind": "threads", "workers": 3, "cores": 1}, 3),
        ({"kind": "local", "workers": 2, "cores": 4}, 8),
        ({"kind": "address", "address": "tcp://host:1"}, 0),
    ],
)
def test_slots_are_those_of_the_settings(cluster: dict[str, Any], slots: int) -> None:
    assert slots_of(cluster) == slots


def test_a_budget_of_wall_time_bounds_the_estimate(tmp_path: Path) -> None:
    # given a family of 0.1 s per fit, 100 of them, and 2 s
    model = {"kind": "estimator", "estimator": Sleeper(seconds=0.1)}
    search = DOZEN | {"trials": 100}
    free, held = (
        planned(workflow(tmp_path, model=model, search=search | budget), tmp_path / "runs")
        for budget in ({}, {"budget": {"wall_time": "2 s"}})
    )
    assert free.seconds is not None
    assert held.high is not None
    assert free.seconds > 4
    assert held.high <= 2.0


def test_a_law_of_rows_follows_fixed_costs_and_powers() -> None:
    # given a fit of 0.1 s and 10 microseconds per row, and one that goes with the square
    linear = Law.through([(n, 0.1 + 1e-5 * n) for n in (100, 400, 1600)])
    square = Law.through([(n, 1e-8 * n * n) for n in (100, 400, 1600)])
    # then
    assert linear(1e6) == pytest.approx(10.1, rel=0.02)
    assert square(1e5) == pytest.approx(100.0, rel=0.95)
    # and what does not grow as far as can be seen may grow a little
    assert 0.1 < Law.through([(100, 0.1), (400, 0.1)])(4000) < 0.3


def test_work_of_a_step_is_blocks_shares_of_rounds_or_shares_of_rows() -> None:
    shape = Shape(train=900, validation=100, columns=5, block_rows=50)
    assert visits(Way.BLOCKS, Step(3, 9), 9, shape) == (6.0, 50.0)
    assert visits(Way.ROUNDS, Step(3, 9), 9, shape) == (pytest.approx(2 / 3), 900.0)
    assert visits(Way.ROWS, Step(3, 9), 9, shape) == (1.0, 900.0)
    assert visits(Way.WHOLE, Step(0, 1), 1, shape) == (1.0, 900.0)


def test_starting_processes_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outlooks, "START_SECONDS", 1000.0)
    inline, local = (
        planned(workflow(tmp_path, cluster=cluster), tmp_path / "runs")
        for cluster in ("inline", {"kind": "local", "workers": 2})
    )
    assert inline.high is not None
    assert local.low is not None
    assert inline.high < 300 < local.low
