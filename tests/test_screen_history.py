"""The page of the workflow's runs puts this run beside the earlier ones, and never one metric beside another."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from daskflow.dashboard.screen_history import MOST_DRAWN, MOST_STEPS, HistoryScreen
from tests.told_runs import HOSTILE, START, stage_moment, told_run
from tests.viewing import Viewed, state_of, watched


def run_of(number: int, **fields: Any) -> dict[str, Any]:
    """An earlier run."""
    given = {"id": f"run{number}", "name": "a", "started": START - 1000 * number, "status": "done", "seconds": 60.0}
    given |= {
        "cpu_seconds": 90.0,
        "metric": "roc_auc",
        "greater_is_better": True,
        "score": 0.7,
        "low": 0.6,
        "high": 0.8,
    }
    return given | {"trials": 3, "test": {"roc_auc": [0.6, 0.5, 0.7]}, "curve": [[1, 2, 0.6], [5, 9, 0.7]]} | fields


def with_history(runs: list[dict[str, Any]], records: list[dict[str, Any]] | None = None) -> list[dict[str, Any]]:
    """Records of a run with other earlier ones."""
    told = told_run() if records is None else records
    return [{**record, "runs": runs} if record["record"] == "history" else record for record in told]


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
@pytest.mark.parametrize("share", [0.2, 1.0])
def test_the_own_line_is_the_best_score_so_far(metric: str, share: float) -> None:
    viewed, state = watched(HistoryScreen(), stage_moment(told_run(metric=metric), "search", share), n_looks=30)

    best, expected = math.nan, []
    for scored in state.search.scores:
        if state.search.is_better(scored.score, best):
            best = scored.score
            expected.append((scored.at - START, scored.cpu_seconds, best))
    shown = viewed.columns["history_own_data"]
    for column, place in (("seconds", 0), ("cpu", 1), ("score", 2)):
        assert shown[column] == pytest.approx([one[place] for one in expected], rel=1e-5)
    assert len(expected) > 2
    assert viewed.added >= len(expected) - 3


def test_the_own_line_goes_on_to_now_and_ends_with_the_search() -> None:
    records = stage_moment(told_run(), "search", 0.7)
    viewed, state = watched(HistoryScreen(), records)
    shown, line = viewed.columns["history_own_now_data"], viewed.columns["history_own_data"]
    assert shown["seconds_from"] == line["seconds"][-1:]
    assert shown["score"] == line["score"][-1:]
    assert shown["cpu_to"] == pytest.approx([state.search.scores[-1].cpu_seconds], abs=0.06)
    assert shown["seconds_to"][0] >= records[-1]["at"] - START - 0.06
    assert viewed.looks["history_time_x"]["end"] > shown["seconds_to"][0]

    viewed, state = watched(HistoryScreen(), told_run())
    end = viewed.columns["history_own_now_data"]["seconds_to"][0]
    assert end == pytest.approx(max(fit.ended for fit in state.search.fits) - START, abs=0.06)


def test_earlier_runs_are_lines_that_stay_level_until_they_become_better() -> None:
    viewed = Viewed(HistoryScreen()).look(state_of(with_history([run_of(1)])), START)

    time_line, cpu_line = viewed.columns["history_time_data"], viewed.columns["history_cpu_data"]
    assert (time_line["xs"], time_line["ys"]) == ([[1.0, 5.0, 5.0]], [[0.6, 0.6, 0.7]])
    assert cpu_line["xs"] == [[2.0, 9.0, 9.0]]


def test_a_continued_run_counts_the_time_it_ran() -> None:
    first = stage_moment(told_run(), "search", 0.3)
    gap = 10_000.0
    later = [{**record, "at": record["at"] + gap} for record in told_run(seed=3)[:1]]
    units = [record for record in stage_moment(told_run(), "search", 1.0) if record["record"] == "unit"]
    later += [{**unit, "at": unit["at"] + gap} for unit in units if unit["at"] > first[-1]["at"]]

    viewed, state = watched(HistoryScreen(), [*first, *later], n_looks=30)

    assert state.invocations == 2
    shown = viewed.columns["history_own_data"]["seconds"]
    assert shown == sorted(shown)
    assert shown[-1] < 200
    fresh = Viewed(HistoryScreen()).look(state, state.last)
    assert fresh.columns["history_own_data"]["seconds"] == shown


def test_runs_of_another_metric_are_listed_and_not_drawn() -> None:
    runs = [run_of(1), run_of(2, metric="rmse", greater_is_better=False, score=24.0, test={"rmse": [24.5, 23.0, 26.0]})]

    viewed = Viewed(HistoryScreen()).look(state_of(with_history(runs)), START)

    assert viewed.columns["history_time_data"]["run"] == ["run1"]
    assert viewed.columns["history_tests_data"]["label"] == ["run1", "this run"]
    listed = {row["run"]: row for row in viewed.values["history_runs"]["rows"]}
    assert listed["run2"]["score"] == 24.0
    assert listed["run2"]["test"] == 24.5
    assert listed["run2"]["line"] == ""
    assert "1 of another metric" in viewed.values["history_tiles"][0]["note"]


def test_this_run_joins_the_tests_hollow_until_it_is_final() -> None:
    screen, records = HistoryScreen(), told_run()
    viewed = Viewed(screen)

    viewed.look(state_of(stage_moment(records, "search", 0.5)), START)
    assert "this run" not in viewed.columns["history_tests_data"]["label"]
    viewed.look(state_of(stage_moment(records, "evaluation", 0.5)), START)
    assert viewed.columns["history_tests_data"]["fill"][-1] == 0.0
    state = state_of(records)
    viewed.look(state, START)

    shown = viewed.columns["history_tests_data"]
    assert (shown["label"][-1], shown["fill"][-1], shown["marker"][-1]) == ("this run", 1.0, "diamond")
    value, low, high = state.evaluation.metrics["roc_auc"]
    assert (shown["value"][-1], shown["low"][-1], shown["high"][-1]) == pytest.approx((value, low, high), rel=1e-5)
    assert shown["at"] == sorted(shown["at"])
    assert len(shown["at"]) == 6  # one of the six earlier runs was interrupted before its test


def test_the_list_begins_with_this_run_and_goes_back_in_time() -> None:
    state = state_of(told_run())
    viewed = Viewed(HistoryScreen()).look(state, START)

    rows = viewed.values["history_runs"]["rows"]
    assert rows[0]["run"].endswith("(this run)")
    assert state.search.best is not None
    assert rows[0]["score"] == pytest.approx(state.search.best.score, rel=1e-5)
    assert [row["started"] for row in rows] == sorted((row["started"] for row in rows), reverse=True)
    assert rows[0]["trials"] == len(state.search.trials)
    assert len({row["line"] for row in rows if row["line"] not in ("", "grey")}) == 5


@pytest.mark.parametrize(("metric", "word"), [("roc_auc", "better"), ("rmse", "better")])
def test_this_run_is_compared_with_the_best_earlier_one_in_the_right_direction(metric: str, word: str) -> None:
    greater = metric == "roc_auc"
    bad, good = (0.5, 0.6) if greater else (900.0, 800.0)
    runs = [run_of(n, metric=metric, greater_is_better=greater, score=score) for n, score in enumerate((bad, good))]

    viewed = Viewed(HistoryScreen()).look(state_of(with_history(runs, told_run(metric=metric))), START)

    tiles = viewed.values["history_tiles"]
    assert float(tiles[1]["value"]) == good
    assert word in tiles[2]["note"]
    assert tiles[2]["state"] == "good"


def test_odd_runs_do_no_harm() -> None:
    runs: list[Any] = [
        run_of(1, id=HOSTILE, name=HOSTILE),
        run_of(2, score=None, low=None, high=None, test={}, curve=[], seconds=None),
        run_of(3, test={"roc_auc": [None, None, None]}, curve=[[1, None, 0.5]]),
        run_of(4, test=None, curve=None, metric=None),
        run_of(5, test={"roc_auc": [0.7]}, curve=[[1, 2]]),
        {"id": "nothing"},
        "no run",
        run_of(6, started=1e300),
    ]

    viewed = Viewed(HistoryScreen()).look(state_of(with_history(runs)), START)

    assert len(viewed.values["history_runs"]["rows"]) == 7
    assert HOSTILE in [row["run"] for row in viewed.values["history_runs"]["rows"]]
    assert len(viewed.columns["history_time_data"]["run"]) == 2
    assert "\u202e" not in "".join(viewed.columns["history_time_data"]["label"])


def test_the_newest_of_many_runs_are_drawn() -> None:
    runs = [run_of(number) for number in range(60)]

    viewed = Viewed(HistoryScreen()).look(state_of(with_history(runs)), START)

    assert viewed.columns["history_time_data"]["run"] == [f"run{number}" for number in reversed(range(MOST_DRAWN))]
    assert len(viewed.values["history_runs"]["rows"]) == 61


def test_the_first_run_of_a_workflow_is_alone() -> None:
    viewed = Viewed(HistoryScreen()).look(state_of(with_history([])), START)

    assert viewed.values["history_tiles"][0] == {"label": "Earlier runs", "value": "0", "note": "this is the first"}
    assert viewed.is_shown("history_time")
    assert viewed.columns["history_tests_data"]["label"] == ["this run"]
    ends = viewed.looks["history_tests_x"]
    assert ends["end"] - ends["start"] > 3_600_000


def test_before_the_search_earlier_runs_are_there_already() -> None:
    viewed = Viewed(HistoryScreen()).look(state_of(stage_moment(told_run(), "scan", 0.5)), START)

    assert viewed.is_shown("history_time")
    assert viewed.is_shown("history_tests")
    assert viewed.values["history_runs"]["rows"][0]["score"] is None


def test_without_anything_the_page_says_what_will_come() -> None:
    viewed = Viewed(HistoryScreen()).look(state_of([]), START)

    assert not any(viewed.is_shown(key) for key in ("history_time", "history_cpu", "history_tests"))
    assert viewed.values["history_runs"]["rows"] == []


def test_a_search_that_always_becomes_better_keeps_few_steps() -> None:
    records = told_run()[:2]
    records[1] = {**records[1], "runs": []}
    n = 3 * MOST_STEPS
    trials = [{"trial": str(number), "params": {}} for number in range(n)]
    told = {"record": "candidates", "at": START + 1, "candidates": trials, "metric": "roc_auc", "n_folds": 1}
    records.append({**told, "greater_is_better": True})
    for number in range(n):
        unit = {"record": "unit", "at": START + 2 + number, "trial": str(number), "fold": 0, "resource": 1}
        records.append({**unit, "metrics": {"roc_auc": number / n}, "cpu_seconds": 1.0, "seconds": 1.0})
    screen, state = HistoryScreen(), state_of(records[:-200])
    viewed = Viewed(screen).look(state, state.last)

    begun = time.thread_time()
    for record in records[-200:]:
        state.hear([record])
        viewed_slots = screen.slots(state, state.last)
    spent = (time.thread_time() - begun) / 200
    viewed.take(viewed_slots)

    shown = viewed.columns["history_own_data"]
    assert len(shown["score"]) <= MOST_STEPS
    assert shown["score"][-1] == pytest.approx((n - 1) / n, rel=1e-5)
    assert shown["seconds"] == sorted(shown["seconds"])
    assert spent < 0.005
