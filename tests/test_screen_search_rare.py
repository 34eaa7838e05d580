"""The page Search of rare searches: none, one candidate, all failed, infinite scores, hostile names, continued runs."""

import json
import math
from collections import Counter

import pytest

from tests.seen_searches import RARE, Viewer, families, resumed, searched, seen, state_of, with_params
from tests.told_runs import HOSTILE, START


def test_panels_that_a_search_has_nothing_for_are_left_out():
    one = RARE["one candidate"]
    rungs = [{"bracket": None, "start": 0, "resource": 1, "trials": 1}]
    told = {"metric": "accuracy", "greater_is_better": True, "n_folds": 1, "units": 1, "ends": {}, "rungs": rungs}
    plan = {"record": "plan", "at": START + 1, **told}
    _, viewer = seen([*one[:2], plan, *one[2:]])
    hidden = {name for name, value in viewer.values.items() if name.endswith(".hidden") and value}
    assert hidden == {f"search_{key}.hidden" for key in ("curves", "parallel", "parameters", "importance")}
    few = [each for each in searched(1.0) if each["record"] != "importance"]
    assert seen(few)[1].values["search_importance.hidden"] is True  # it is over: nothing more will come
    _, viewer = seen(searched(0.5))
    assert not any(value for name, value in viewer.values.items() if name.endswith(".hidden"))


def test_a_run_that_went_on_later_has_no_gap_and_nothing_before_its_time():
    records = resumed(searched(workers=4), pause=86_400.0)
    early = [{**each, "began": each["began"] - 9.0} if each.get("record") == "unit" else each for each in records]
    state, viewer = seen(early)
    bars = viewer.of("search_timeline")
    assert state.search.invocation == 2
    assert all(0 <= left <= right for left, right in zip(bars["left"], bars["right"], strict=True))
    assert max(bars["right"]) < 600
    assert viewer.n_rows("search_timeline_gaps") == 1
    (gap,) = viewer.of("search_timeline_gaps")["x"]
    colours = {color: [] for color in set(bars["color"])}
    for color, left in zip(bars["color"], bars["left"], strict=True):
        colours[color].append(left)
    assert len(colours) == 2
    assert sorted(colours.values())[0][-1] <= gap + 1
    assert max(viewer.of("search_scores")["x"]) < 600


def test_the_axis_of_time_of_a_run_that_was_killed_does_not_go_on_until_today():
    records = searched(0.6)
    state, lasted = state_of(records), records[-1]["at"] - START
    viewer = Viewer().see(state, records[-1]["at"] + 400 * 86_400)
    assert viewer.looks["search_scores_x"]["end"] < lasted + 300
    assert viewer.of("search_best_now")["x1"][0] < lasted + 300


def test_another_state_is_drawn_from_its_beginning():
    viewer = Viewer()
    late, early = searched(0.8), searched(0.3)
    viewer.see(state_of(late), late[-1]["at"])
    before = dict(viewer.epochs)
    viewer.see(state_of(early), early[-1]["at"])
    assert viewer.n_rows("search_scores") == len(state_of(early).search.scores)
    assert viewer.epochs["search_scores_data"] != before["search_scores_data"]
    assert viewer.epochs["search_timeline_data"] != before["search_timeline_data"]


@pytest.mark.parametrize("name", RARE)
def test_rare_searches_are_drawn(name):
    records = RARE[name]
    state = state_of(records)
    now = records[-1]["at"] if records else START
    viewer = Viewer().see(state, now).see(state, now + 1)
    json.dumps([viewer.columns, viewer.values, list(viewer.looks.values())], allow_nan=False)
    for look in viewer.looks.values():
        if "start" in look:
            assert -math.inf < look["start"] < look["end"] < math.inf
    scored = [each for each in state.search.scores if each.score == each.score]
    assert viewer.n_rows("search_scores") == len(scored)
    assert viewer.values["search_scores.empty"] is (not scored and not state.search.failed)
    assert viewer.values["search_trials"] is None or viewer.values["search_trials"]["rows"]


def test_a_candidate_without_a_parameter_leaves_a_gap_in_its_line():
    records = with_params(searched(0.6), families)
    state, viewer = seen(records)
    lines = viewer.of("search_parallel")
    for trial, xs, ys in zip(lines["trial"], lines["xs"], lines["ys"], strict=True):
        assert xs == list(range(xs[0], xs[0] + len(xs)))
        assert all(0 <= y <= 1 for y in ys)
        assert trial in state.search.trials
    pieces = Counter(lines["trial"])
    assert max(pieces.values()) > 1
    corners = viewer.of("search_parallel_corners")
    names = list(viewer.looks["search_parallel_x_axis"]["major_label_overrides"].values())
    depth = names.index("tree.depth")
    through = {trial for trial, x in zip(corners["trial"], corners["axis"], strict=True) if x == depth}
    assert through == {name for name in pieces if state.search.trials[name].params["model"] == "tree"}


def test_hostile_names_are_cut_and_never_formulas():
    _, viewer = seen(searched(0.8, hostile=True))
    texts = [*viewer.looks["search_parallel_x_axis"]["major_label_overrides"].values()]
    texts += viewer.of("search_importance")["name"]
    texts += viewer.looks["search_timeline_y_axis"]["major_label_overrides"].values()
    texts += [column["title"] for column in viewer.values["search_trials"]["columns"]]
    assert any("$" in text for text in texts)
    assert not any("$$" in text or "\u202e" in text for text in texts)
    assert HOSTILE not in json.dumps([viewer.values["search_trials"]["columns"], list(viewer.looks.values())])
