"""What a run tells beside its fits: its standing, its workers, the runs before it, within bounds of time and size."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.folder import RunFolder
from daskflow.core.journal import Record, encode, read
from daskflow.core.live import MOST_WORKERS, merged
from daskflow.core.protocols import Call, Limits
from daskflow.dashboard.state import RunState
from daskflow.data.seats import Seats
from daskflow.search.uncertainty import n_tied
from daskflow.workflow import history, standing
from daskflow.workflow.history import earlier_runs
from daskflow.workflow.standing import Standing
from daskflow.workflow.telling_progress import Thinned
from daskflow.workflow.telling_workers import Look, Workers
from daskflow.workflow.trials import Trials, search_of
from daskflow.workflow.watching import records_of
from tests.run_folders import make_run
from tests.told_runs import told_run


class Clock:
    """Seconds that go on when told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def journal_of(records: list[Record]) -> list[Record]:
    """Those of a told run that its journal would hold."""
    return [each for each in records if each["record"] in ("candidates", "unit", "stage")]


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_trials_put_together_as_they_come_are_those_put_together_at_once(metric: str) -> None:
    # given a search in which some trials fail and scores go down again between rungs
    records = journal_of(told_run(base=40, metric=metric))
    trials, draw = Trials(), random.Random(3)
    # when they are heard in pieces
    place = 0
    while place < len(records):
        step = draw.randint(1, 30)
        trials.hear(records[place : place + step])
        place += step
        # then the best is always that of a look at everything
        whole = search_of(records[:place])
        if whole is not None:
            found = trials.result()
            assert found is not None
            alone = trials.best_alone()
            assert alone is not None
            assert (alone.id, alone.score, alone.low, alone.high) == (
                whole.best.id, whole.best.score, whole.best.low, whole.best.high,
            )  # fmt: skip
            assert [(trial.id, trial.state, trial.curve[:0]) for trial in found.trials] == [
                (trial.id, trial.state, ()) for trial in whole.trials
            ]
    assert trials.n_scored == sum(trial.score == trial.score for trial in whole.trials) > 30


def test_what_takes_time_is_asked_for_only_as_often_as_its_share_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    # given a comparison and an importance that take a second each
    records = journal_of(told_run(base=40))
    clock, asked = Clock(), []
    spent = [0.0]

    def slowly(name: str, answer: Any) -> Any:
        def work(result: Any, *seed: Any) -> Any:
            asked.append(name)
            spent[0] += 1.0
            return answer(result)

        return work

    empty = {"trials": 20, "method": "m", "parameters": [], "note": ""}
    monkeypatch.setattr(standing, "n_tied", slowly("compared", lambda result: 1))
    monkeypatch.setattr(standing, "parameter_importance", slowly("weighed", lambda result: empty))
    monkeypatch.setattr(standing.time, "thread_time", lambda: spent[0])
    standing_now = Standing(clock=clock)
    # when a search of an hour goes on
    told: list[Record] = []
    for number in range(3600):
        clock.now = float(number)
        first, last = (len(records) * place // 3600 for place in (number, number + 1))
        standing_now.hear(
            [{**each, "cpu_seconds": 0.0} if "cpu_seconds" in each else each for each in records[first:last]]
        )
        told += standing_now.news()
    # then both stay near three thousandths of it, and were not starved
    assert 5 <= asked.count("compared") <= 13
    assert 3 <= asked.count("weighed") <= 12
    # and a new best is told at once all the same
    bests = [record["trial"] for record in told if record["record"] == "best"]
    assert len(set(bests)) >= 3
    assert bests[-1] == search_of(records).best.id  # type: ignore[union-attr]


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
@pytest.mark.parametrize("folds", [1, 3])
def test_as_many_trials_are_said_to_be_as_good_as_the_best_as_are_marked_in_the_end(metric: str, folds: int) -> None:
    # given a search; of one fold with groups of its rows
    draw = random.Random(5)
    records = journal_of(told_run(base=40, folds=folds, metric=metric))
    for record in records:
        if folds == 1 and "metrics" in record:
            score = record["metrics"][metric]
            record["details"] = {"groups": [score + draw.gauss(0, 0.02 * score) for _ in range(16)]}
    # when
    trials = Trials()
    trials.hear(records)
    found, whole = trials.result(), search_of(records)
    # then
    assert found is not None
    assert whole is not None
    assert n_tied(found) + 1 == sum(trial.is_tied is True for trial in whole.trials) > 1


def test_nothing_is_said_twice_and_nothing_before_the_first_score() -> None:
    records = journal_of(told_run(base=9))
    now = Standing()
    assert now.news() == now.compared() == []
    now.hear(records[:1])
    assert now.news() == []
    now.hear(records)
    assert [record["record"] for record in now.compared()] == ["best"]
    assert now.compared() == []
    assert [record for record in now.news() if record["record"] == "best"] == []


def look_of(name: str, **changes: Any) -> Look:
    """A worker that is well."""
    known = {"silent_seconds": 0.5, "status": "running", "threads": 1, "executing": 1, "memory": 2**30}
    return Look(name, **{**known, "memory_limit": 4 * 2**30, "cpu": 90.0, **changes})


def test_workers_are_told_when_something_changed_much_or_ten_seconds_passed() -> None:
    workers = Workers(client=None)
    assert len(workers.told([look_of("0"), look_of("1")], 0.0)) == 1
    # little changes wait
    assert workers.told([look_of("0", cpu=95.0), look_of("1", memory=2**30 + 2**20)], 2.0) == []
    assert len(workers.told([look_of("0", cpu=95.0), look_of("1")], 10.0)) == 1
    # a silent one, one that is paused and one that has gone do not
    (record,) = workers.told([look_of("0", silent_seconds=99.0), look_of("2", status="paused")], 12.0)
    assert {each["name"]: each["status"] for each in record["workers"]} == {"0": "silent", "1": "gone", "2": "paused"}
    assert record["counts"] == {"silent": 1, "gone": 1, "paused": 1}
    # and one that has gone long ago is forgotten
    (record,) = workers.told([look_of("0"), look_of("2")], 400.0)
    assert [each["name"] for each in record["workers"]] == ["0", "2"]


def test_of_very_many_workers_those_that_are_not_well_are_told_and_all_are_counted() -> None:
    many = [look_of(str(number)) for number in range(500)]
    many[400] = look_of("400", status="paused")
    (record,) = Workers(client=None).told(many, 0.0)
    assert len(record["workers"]) == MOST_WORKERS
    assert "400" in {each["name"] for each in record["workers"]}
    assert record["counts"] == {"running": 499, "paused": 1}


def test_the_log_holds_a_bounded_number_of_lines_however_long_a_stage_lasts() -> None:
    thinned = Thinned()
    day = sum(thinned.takes(tick / 2) for tick in range(2 * 86_400))
    assert 1000 < day < 7000


def test_earlier_runs_are_told_with_their_curves_and_test_scores(tmp_path: Path) -> None:
    # given three runs of a name, one of them killed, and one of another name
    import numpy as np

    for number in range(3):
        make_run(
            tmp_path,
            "late",
            run_id=f"{number:010x}",
            at=1.7e9 + 1000 * number,
            status="interrupted" if number == 1 else "done",
            probability=np.linspace(0, 1, 200) if number == 0 else None,
        )
    make_run(tmp_path, "early", run_id="ffffffffff")
    here = RunFolder(tmp_path / "late" / "0000000002")
    # when
    found = earlier_runs(here)
    # then
    assert [(run["id"], run["status"]) for run in found] == [("0000000000", "done"), ("0000000001", "interrupted")]
    first = found[0]
    assert first["metric"] == "roc_auc"
    assert first["score"] == pytest.approx(first["curve"][-1][2])
    assert first["curve"] == sorted(first["curve"])
    assert set(first["test"]) == {"roc_auc", "log_loss", "accuracy"}
    assert all(len(value) == 3 for value in first["test"].values())
    # and a watcher of the folder hears of them
    state = RunState()
    state.hear(records_of(here))
    assert [run["id"] for run in state.history["runs"]] == [run["id"] for run in found]


def test_damaged_and_huge_journals_of_earlier_runs_cost_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given one run that is damaged, one that is large and ended, one that is large and was killed, and 30 others
    names = [
        make_run(tmp_path, "late", run_id=f"{number:010x}", status="done" if number != 2 else "interrupted")
        for number in range(33)
    ]
    damaged, large, killed = (path / "journal.jsonl" for path in names[:3])
    damaged.write_bytes(b"00000000 {}\n" * 9)
    monkeypatch.setattr(history, "WHOLE_BYTES", 4 * large.stat().st_size)
    for journal in (large, killed):
        lines = journal.read_bytes().splitlines(keepends=True)
        journal.write_bytes(b"".join([*lines[:4], *lines[4:-1] * 20, lines[-1]]))
    here = RunFolder(tmp_path / "late" / "0a0b0c0d0e")
    here.make()
    # when
    monkeypatch.setattr(history, "MOST_RUNS", 50)
    found = {run["id"]: run for run in earlier_runs(here)}
    # then
    assert len(found) == 31
    assert names[0].name not in found
    assert names[2].name not in found
    assert (found[names[1].name]["curve"], found[names[1].name]["score"]) == ([], found[names[3].name]["score"])
    # and only the newest are told, and nothing when there is no time
    monkeypatch.setattr(history, "MOST_RUNS", 20)
    assert len(earlier_runs(here)) == 20
    assert earlier_runs(here, seconds=0.0) == []


def test_curves_are_those_of_the_best_so_far_and_have_few_points() -> None:
    unit = {"record": "unit", "fold": 0, "resource": 1, "cpu_seconds": 1.0}
    fits = [{**unit, "trial": str(n), "metrics": {"rmse": 1000.0 - n}, "at": 10.0 + n} for n in range(500)]
    failed = {**unit, "trial": "x", "error": "ValueError", "at": 600.0}
    again = {"record": "invocation", "at": 10_000.0}
    late = {**unit, "trial": "y", "metrics": {"rmse": 1.0}, "at": 10_010.0}
    begun = [{"record": "invocation", "at": 0.0}, {"record": "candidates", "n_folds": 1, "candidates": []}]
    curve = history.curve_of([*begun, *fits, failed, again, late], "rmse", greater_is_better=False)
    assert len(curve) == history.MOST_POINTS
    assert curve[0] == [10.0, 1.0, 1000.0]
    assert curve[-1] == [610.0, 502.0, 1.0]  # the time between two invocations is none of the run's


@pytest.mark.parametrize("search", [
    {"kind": "hyperband", "max_iter": 9},
    {"kind": "grid", "space": {"alpha": [1.0, 0.1, 0.01]}},
    {"kind": "random", "trials": 3, "budget": {"wall_time": "10 min", "trials": 2}},
    {"kind": "no such kind"},
])  # fmt: skip
def test_a_run_without_events_gets_the_plan_of_its_search_when_that_can_be_read(
    tmp_path: Path, search: dict[str, Any]
) -> None:
    folder = RunFolder(make_run(tmp_path, "late", settings={"search": search}))
    state = RunState()
    state.hear(records_of(folder))
    brackets = {"hyperband": {0, 1, 2}, "grid": {None}, "random": {None}}.get(search["kind"], set())
    assert {rung.bracket for rung in state.search.plan} == brackets
    assert state.search.metric == "roc_auc"
    assert state.search.ends.get("wall_seconds") == (600.0 if "budget" in search else None)
    assert state.status == "done"
    assert state.data.partitions == 2


def test_a_folder_of_thousands_of_fits_is_read_in_a_moment(tmp_path: Path) -> None:
    # given
    records = told_run(base=1500, folds=2)
    kinds = ("invocation", "data", "stage", "candidates", "start", "unit", "refitted", "explained", "warning", "end")
    folder = RunFolder(tmp_path / "late" / "0a1b")
    folder.path.mkdir(parents=True)
    folder.journal.write_bytes(b"".join(encode(each) for each in records if each["record"] in kinds))
    folder.events.write_bytes(b"".join(encode(each) for each in records if each["record"] not in kinds))
    begun = time.thread_time()
    # when
    state = RunState()
    found = records_of(folder)
    spent = time.thread_time() - begun
    state.hear(found)
    # then
    assert len(state.search.fits) == sum(each["record"] == "unit" for each in read(folder.journal)) > 5_000
    assert spent < 10.0


def busy(seconds: float) -> int:
    """Hold memory, and compute for a while."""
    held = bytearray(64 * 2**20)
    until = time.process_time() + seconds
    while time.process_time() < until:
        held[0] = (held[0] + 1) % 200
    return len(held)


@pytest.mark.slow
def test_what_fits_take_in_processes_beside_a_worker_is_told() -> None:
    # given
    seats = Seats()
    begun, at = time.monotonic(), time.time()
    assert seats.used() == {"cpu": 0.0, "memory": 0.0}
    # when a fit has computed for a second
    with seats.taken() as seat:
        (outcome,) = seat.run(busy, (), [Call("fit", (1.0,))], Limits(seconds=60.0))
        found = seats.used()
        seconds = time.monotonic() - begun
        # then its processor time and its memory are told, and when it began
        assert outcome.error is None
        assert at <= outcome.began <= time.time()
        assert 100 * 1.0 / seconds <= found["cpu"] * 1.2
        assert found["memory"] > 5 * 2**20
    seats.vacate()
    assert seats.used()["memory"] == 0.0


def test_records_of_a_clock_that_was_set_back_keep_the_order_of_their_file() -> None:
    journal = [
        {"record": "invocation", "at": 100.0},
        {"record": "end", "at": 200.0},
        {"record": "invocation", "at": 50.0},
    ]
    events = [{"record": "begun", "at": 101.0}, {"record": "note", "at": 51.0}]
    # when
    found = [(each["record"], each["at"]) for each in merged(journal, events)]
    # then
    assert [each for each in found if each[0] in ("invocation", "end")] == [
        ("invocation", 100.0), ("end", 200.0), ("invocation", 50.0),
    ]  # fmt: skip
    assert found.index(("begun", 101.0)) == 1


def test_the_time_of_an_invocation_that_was_killed_in_its_scan_counts() -> None:
    state = RunState()
    state.hear(
        [{"record": "invocation", "at": 0.0}, {"record": "stage", "stage": "scan", "seconds": 3600.0, "at": 3600.0}]
    )
    # when it is continued after a day
    state.hear(
        [{"record": "invocation", "at": 90_000.0}, {"record": "progress", "stage": "scan", "done": 1, "at": 90_010.0}]
    )
    # then
    assert state.seconds(90_010.0) == 3610.0
