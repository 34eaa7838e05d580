"""The page Search: what it draws is what the state says, it only adds rows, and it stays small for any search."""

import gc
import json
import math
import time
from collections import Counter
from typing import Any

import pytest

from daskflow.dashboard.screen_search import SearchScreen
from daskflow.dashboard.screen_search_timeline import MOST_BARS
from daskflow.dashboard.slots import Columns, Figure, Look, Value
from daskflow.dashboard.state import RunState
from tests.seen_searches import Viewer, searched, seen, state_of, without_brackets
from tests.told_runs import START, stage_moment, told_run

PARTS_OF_A_RUN = 40


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_rows_are_only_added_until_the_epoch_changes_and_the_best_so_far_is_the_best_of_all_scores_so_far(metric):
    records = searched(base=81, metric=metric, workers=6)
    begin = next(each["at"] for each in records if each["record"] == "begun" and each["stage"] == "search")
    state, viewer, place = RunState(), Viewer(), 0
    for part in range(1, PARTS_OF_A_RUN + 1):
        now = begin + (records[-1]["at"] - begin) * part / PARTS_OF_A_RUN
        come = [each for each in records[place:] if each["at"] <= now]
        place += len(come)
        state.hear(come)
        viewer.see(state, now)
        scores = [each.score for each in state.search.scores]
        best: list[float] = []
        for score in scores:
            if not best or (score > best[-1] if metric == "roc_auc" else score < best[-1]):
                best.append(score)
        assert viewer.of("search_best")["y"] == pytest.approx(best, rel=1e-5)
        assert viewer.n_rows("search_scores") == len(scores)
        assert viewer.n_rows("search_scores_failed") == state.search.failed
        assert viewer.n_rows("search_timeline") == len(state.search.fits)
        assert viewer.n_rows("search_timeline_open") == len(state.search.running)
    assert len(scores) > 100
    assert viewer.values["search_scores.empty"] is False


def test_every_slot_fits_its_place_and_is_plain_json():
    records = searched(0.7)
    screen = SearchScreen()
    panels = [panel for row in screen.rows() for panel in row.panels]
    models = {
        model.name: model
        for panel in panels
        if isinstance(panel, Figure)
        for model in panel.figure.references()
        if model.name
    }
    widgets = {panel.key for panel in panels if not isinstance(panel, Figure)}
    figures = {panel.key for panel in panels if isinstance(panel, Figure)}
    slots = screen.slots(state_of(records), records[-1]["at"])
    told = {slot.name for slot in slots if isinstance(slot, Value) and not slot.name.endswith(".hidden")}
    assert told == widgets | {f"{key}.empty" for key in figures}
    for slot in slots:
        if isinstance(slot, Columns):
            assert set(models[slot.name].data) == set(slot.data), slot.name
            json.dumps(dict(slot.data), allow_nan=False)
        elif isinstance(slot, Look):
            models[slot.name].update(**slot.attributes)
            json.dumps(dict(slot.attributes), allow_nan=False)
        else:
            json.dumps(slot.value, allow_nan=False)
    assert {name for name, model in models.items() if name.endswith("_data")} <= {slot.name for slot in slots}


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_rungs_count_every_trial_once(share):
    state, viewer = seen(searched(share, base=54))
    told = viewer.values["search_rungs"]["brackets"]
    rungs = {(one["bracket"], rung["resource"]): rung for one in told for rung in one["rungs"]}
    planned: Counter[Any] = Counter()
    for step in state.search.plan:
        planned[step.bracket, step.resource] += step.trials
    assert {place: rung["planned"] for place, rung in rungs.items()} == planned
    for rung in rungs.values():
        open_ones = 0 if state.search.is_over else rung["waiting"]
        parts = rung["done"] + rung["failed"] + rung["running"] + open_ones
        assert parts <= rung["planned"] if state.search.is_over else parts == rung["planned"]
    trials = state.search.trials
    done = Counter((trials[each.trial].bracket, each.resource) for each in state.search.scores)
    assert {place: rung["done"] for place, rung in rungs.items() if rung["done"]} == done
    asked = {(fit.trial, fit.resource) for fit in state.search.fits} | {(t, r) for t, _, r in state.search.running}
    risen = Counter(
        (trials[each.trial].bracket, each.resource)
        for each in state.search.scores
        if any(trial == each.trial and resource > each.resource for trial, resource in asked)
    )
    assert {place: rung["promoted"] for place, rung in rungs.items() if rung["promoted"]} == risen
    assert sum(rung["failed"] for rung in rungs.values()) == state.search.failed


def test_searches_without_brackets_show_their_rungs_and_those_without_rungs_how_many_are_done():
    records = searched(0.6)
    state, viewer = seen(without_brackets(records, {1, 3, 9}))
    (bracket,) = viewer.values["search_rungs"]["brackets"]
    assert bracket["bracket"] is None
    assert [rung["resource"] for rung in bracket["rungs"]] == [1, 3, 9]
    assert bracket["rungs"][0]["planned"] == len(state.search.trials)

    state, viewer = seen(without_brackets(records, {1}))
    (bracket,) = viewer.values["search_rungs"]["brackets"]
    (rung,) = bracket["rungs"]
    assert (rung["done"], rung["planned"]) == (len(state.search.scores), len(state.search.trials))
    assert viewer.values["search_curves.empty"] is True
    assert viewer.values["search_curves.hidden"] is False  # more may come: nobody told a plan


def test_bars_of_the_timeline_stand_where_fits_were():
    state, viewer = seen(searched(workers=5))
    bars = viewer.of("search_timeline")
    fits = state.search.fits
    spent = sum(fit.ended - fit.began for fit in fits)
    assert sum(bars["seconds"]) == pytest.approx(spent, rel=1e-3)
    assert sum(right - left for left, right in zip(bars["left"], bars["right"], strict=True)) == pytest.approx(
        spent, rel=2e-3
    )
    labels = viewer.looks["search_timeline_y_axis"]["major_label_overrides"]
    by_worker = Counter(labels[y] for y in bars["y"])
    assert by_worker == Counter(fit.worker for fit in fits)
    assert bars["left"][0] == pytest.approx(fits[0].began - START, abs=0.01)


def test_fits_of_one_call_share_a_bar_and_workers_with_several_slots_have_lanes():
    records = searched(0.4, workers=2)
    first = next(each for each in records if each["record"] == "unit")
    twins = [{**first, "trial": f"2-{place}", "fold": 7} for place in (1, 2, 3)]
    beside = {**first, "trial": "2-4", "fold": 8, "began": first["began"] + 0.1, "lasted": first["lasted"]}
    place = records.index(first)
    _, viewer = seen([*records[: place + 1], *twins, beside, *records[place + 1 :]])
    bars = viewer.of("search_timeline")
    assert bars["what"][0].startswith("4 fits in one call: 4 trials")
    lanes = Counter(math.floor(y + 0.5) for y in set(bars["y"]))
    assert sorted(lanes.values()) == [1, 2]
    assert max(bars["height"]) <= 0.8


def test_the_table_has_the_best_first_and_says_how_many_are_not_listed():
    state, viewer = seen(searched(0.5, base=500))
    table = viewer.values["search_trials"]
    ranked = state.search.ranked()
    listed = [row for row in table["rows"] if row["rank"]]
    assert [row["trial"] for row in listed] == [trial.id for trial in ranked[:200]]
    assert [row["rank"] for row in listed] == list(range(1, 201))
    assert table["rows"][0]["level"] == "good"
    others = [row for row in table["rows"] if not row["rank"]]
    assert {row["state"] for row in others} <= {"running", "failed"}
    failed = sum(row["state"] == "failed" for row in others)
    assert table["more"] == len(ranked) - 200 + state.search.failed - failed
    keys = {column["key"] for column in table["columns"]}
    assert all(keys <= set(row) for row in table["rows"])


def test_figures_of_trials_can_be_linked_by_the_trial():
    state, viewer = seen(searched(0.5))
    names = ("scores", "scores_failed", "curves", "curves_ends", "cost", "parallel", "parallel_corners", "parameters")
    for name in (*names, "timeline", "timeline_open", "timeline_failed"):
        assert set(viewer.of(f"search_{name}")["trial"]) - {""} <= set(state.search.trials), name
    assert {row["trial"] for row in viewer.values["search_trials"]["rows"]} <= set(state.search.trials)


def test_the_best_is_drawn_last_and_in_its_own_shape():
    state, viewer = seen(searched(0.9))
    best = state.search.best.id
    assert viewer.of("search_curves")["trial"][-1] == best
    assert viewer.of("search_parallel")["trial"][-1] == best
    cost = viewer.of("search_cost")
    assert [trial for trial, marker in zip(cost["trial"], cost["marker"], strict=True) if marker == "diamond"] == [best]


def test_no_candidate_is_better_and_cheaper_than_those_on_the_line_of_costs():
    state, viewer = seen(searched(0.8))
    front = viewer.of("search_front")
    assert front["x"] == sorted(front["x"])
    assert front["y"] == sorted(front["y"])
    trials = [trial for trial in state.search.trials.values() if not math.isnan(trial.score)]
    not_beaten = [
        one
        for one in trials
        if not any(other.cpu_seconds < one.cpu_seconds and other.score >= one.score for other in trials)
    ]
    assert len(front["y"]) - 1 == len(not_beaten)


def test_the_interval_is_the_best_candidates_own():
    records = searched(0.6)
    state = state_of(records)
    best, now = state.search.best, records[-1]["at"]
    said = {"record": "best", "at": now, "trial": best.id, "metric": "roc_auc", "score": best.score, "tied": None}
    state.hear([{**said, "low": best.score - 0.01, "high": best.score + 0.004}])
    band = Viewer().see(state, now).of("search_interval")
    assert band["low"] == pytest.approx([best.score - 0.01])
    state.hear([{**said, "trial": "1-1", "low": 0.1, "high": 0.2}])
    assert Viewer().see(state, now).of("search_interval")["low"] == []


def test_axes_of_parameters_stand_still_while_importance_changes_and_follow_it_at_the_end():
    records = searched(0.5)
    state, now = state_of(records), records[-1]["at"]
    viewer = Viewer().see(state, now)

    def labels() -> list[str]:
        return list(viewer.looks["search_parallel_x_axis"]["major_label_overrides"].values())[:-1]

    before = labels()

    def tell(*names: str) -> None:
        rows = [{"name": name, "value": 0.5 / place, "low": None, "high": None} for place, name in enumerate(names, 1)]
        state.hear([{"record": "importance", "at": now, "trials": 20 + len(names), "method": "", "parameters": rows}])
        for _ in range(6):
            viewer.see(state, now)

    tell("l1_ratio", "penalty", "alpha", "class_weight")
    tell("penalty", "l1_ratio")
    assert before == labels()  # importance was known already when it was looked at first
    state.hear([{"record": "stage", "at": now, "stage": "search", "seconds": 9.0, "cpu_seconds": 9.0}])
    viewer.see(state, now)
    assert labels()[:2] == ["penalty", "l1_ratio"]
    assert sorted(labels()) == sorted(before)


def test_before_the_search_no_figure_is_shown_and_after_a_jump_all_are_drawn():
    whole = told_run()
    before, middle = stage_moment(whole, "scan", 0.5), stage_moment(whole, "search", 0.7)
    state, viewer = seen(before)
    hidden = [name for name in viewer.values if name.endswith(".hidden")]
    assert len(hidden) == 7
    assert all(viewer.values[name] for name in hidden)
    # when a replay goes to the middle of the search
    state.hear(middle[len(before) :])
    viewer.see(state, middle[-1]["at"])
    assert not any(viewer.values[name] for name in hidden)
    assert not any(viewer.values[name] for name in viewer.values if name.endswith(".empty"))


def test_tiles_say_how_good_the_best_is_how_much_is_done_and_whether_it_still_gets_better():
    records = searched(0.6)
    state, viewer = seen(records)
    search = state.search
    best, candidate, scored, improved = viewer.values["search_tiles"]
    assert best["value"] == f"{search.best.score:.4f}"
    assert candidate["value"] == search.best.id
    assert f"alpha = {search.best.params['alpha']:.4g}" in candidate["note"]
    assert scored["value"] == str(len(search.ranked()))
    assert f"of {len(search.trials)}" in scored["note"]
    assert f"{search.failed} failed" in scored["note"]
    highest = max(range(len(search.scores)), key=lambda place: search.scores[place].score)
    assert f"{len(search.scores) - 1 - highest} score" in improved["note"]
    assert Viewer().see(RunState(), START).values["search_tiles"] is None


@pytest.fixture(scope="module")
def large() -> list[dict[str, Any]]:
    """About 10,000 trials."""
    return searched(base=5800, folds=1, workers=70)


def test_10_000_trials_stay_small_and_cheap(large):
    begin = next(each["at"] for each in large if each["record"] == "begun" and each["stage"] == "search")
    state, screen, place, spent, n_calls = RunState(), SearchScreen(), 0, 0.0, 200
    gc.collect()
    gc.freeze()
    try:
        for part in range(1, n_calls + 1):
            now = begin + (large[-1]["at"] - begin) * part / n_calls
            first = place
            while place < len(large) and large[place]["at"] <= now:
                place += 1
            state.hear(large[first:place])
            before = time.thread_time()
            screen.slots(state, now)
            spent += time.thread_time() - before
        fresh = Viewer()
        before = time.thread_time()
        fresh.screen.slots(state, now)
        first_call = time.thread_time() - before
    finally:
        gc.unfreeze()
    viewer = Viewer(screen).see(state, now)
    assert len(state.search.trials) > 10_000
    for each in (viewer, fresh.see(state, now)):
        most = {name: len(next(iter(columns.values()))) for name, columns in each.columns.items()}
        assert max(most.values()) <= MOST_BARS
        assert most["search_curves_data"] <= 300
        assert most["search_parallel_data"] <= 300
        assert len(each.values["search_trials"]["rows"]) <= 280
        assert most["search_scores_data"] > 500
        labels = each.looks["search_timeline_y_axis"]["major_label_overrides"]
        assert sum(row <= 0 for row in labels) == 40
        assert "more workers" in labels[-39]
    assert spent / n_calls < 0.025  # 0.004 s by itself; machines of tests are busy
    assert first_call < 0.4


def test_joined_bars_cover_every_fit(large):
    state, viewer = seen(large)
    bars = viewer.of("search_timeline")
    rows: dict[float, list[tuple[float, float]]] = {}
    for y, left, right in zip(bars["y"], bars["left"], bars["right"], strict=True):
        rows.setdefault(round(y), []).append((left - 0.02, right + 0.02))
    labels = {text: y for y, text in viewer.looks["search_timeline_y_axis"]["major_label_overrides"].items()}
    checked = 0
    for fit in state.search.fits[::97]:
        if fit.worker in labels:
            left, right = fit.began - START, fit.ended - START
            assert any(low <= left and right <= high for low, high in rows[labels[fit.worker]])
            checked += 1
    assert checked > 40
