"""Pages are safe by their making, and the overview tells a stranger the truth at any moment of a run."""

from __future__ import annotations

import json
import math
import re
import time
from collections import Counter
from html.parser import HTMLParser
from importlib.resources import files
from typing import Any

import pytest

from daskflow.core.control import Command
from daskflow.dashboard import page
from daskflow.dashboard.overview_tiles import tiles
from daskflow.dashboard.overview_waiting import awaited
from daskflow.dashboard.screen_overview import OverviewScreen
from daskflow.dashboard.screens import screens
from daskflow.dashboard.slots import Columns, Row, Value, Widget
from daskflow.dashboard.state import RunState
from daskflow.dashboard.static import static_file
from daskflow.dashboard.words import in_one_line
from tests.told_runs import HOSTILE, START, stage_moment, told_run, until

ALL = screens()
OURS = [name for name in (*page.SCRIPTS, "look.js", "theme.js") if not name.startswith("bokeh")]
JOURNAL = {"invocation", "data", "stage", "candidates", "start", "unit", "refitted", "explained", "warning", "end"}


class Tags(HTMLParser):
    """Every tag of a page, and the texts of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.scripts: list[tuple[dict[str, str], str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        self.tags.append((tag, told))
        if tag == "script":
            self.scripts.append((told, ""))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script":
            told, text = self.scripts[-1]
            self.scripts[-1] = (told, text + data)


def tags_of(content: bytes) -> Tags:
    found = Tags()
    found.feed(content.decode())
    return found


@pytest.fixture(scope="module")
def made() -> dict[str, Tags]:
    """Every page, by its key."""
    return {screen.key: tags_of(page.page_of(screen, ALL)) for screen in ALL}


def told(records: list[dict[str, Any]]) -> tuple[RunState, float]:
    """What a watcher knows, and the moment it is of."""
    state = RunState(name="late-flights", id="a1b2c3d4e5")
    state.hear(records)
    return state, records[-1]["at"] if records else START


def shown(records: list[dict[str, Any]]) -> dict[str, Any]:
    """What the overview shows, as it is sent: by name of value, or of source."""
    state, now = told(records)
    found: dict[str, Any] = {}
    for slot in OverviewScreen().slots(state, now):
        if isinstance(slot, Value):
            found[slot.name] = slot.value
        elif isinstance(slot, Columns):
            found[slot.name] = slot.data
    json.dumps(found)  # plain, whatever happened
    return found


def tile(found: dict[str, Any], beginning: str) -> dict[str, Any]:
    return next(one for one in found["tiles"] if one["label"].startswith(beginning))


# Pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [screen.key for screen in ALL])
def test_a_page_keeps_the_policy_it_is_served_with(made: dict[str, Tags], key: str) -> None:
    found = made[key]
    # no script of its own, no handler in markup: script-src 'self'
    assert all(("src" in about) != (about.get("type") == "application/json") for about, _ in found.scripts)
    assert [name for _, told in found.tags for name in told if name.startswith("on")] == []
    # nothing is loaded from elsewhere, and all links work below any prefix
    addresses = [told[name] for _, told in found.tags for name in ("src", "href", "action") if name in told]
    assert [one for one in addresses if not re.match(r"(daskflow|#|info/|[a-z]+$|data:,$)", one)] == []
    # figures are drawn without code from text
    figures = json.loads(next(text for about, text in found.scripts if about.get("type") == "application/json"))
    text = json.dumps(figures)
    assert not re.search(r'"name": "(Custom\w+|\w*Func\w*)"', text)
    assert '"webgl"' not in text
    assert "$$" not in text


@pytest.mark.parametrize("key", [screen.key for screen in ALL])
def test_the_parts_of_a_page_find_each_other(made: dict[str, Tags], key: str) -> None:
    found = made[key]
    ids = Counter(told["id"] for _, told in found.tags if "id" in told)
    assert [name for name, count in ids.items() if count > 1] == []
    for _, attributes in found.tags:
        for name in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(name, "content") in ids
    # every widget is drawn by a script
    drawn = "".join(files("daskflow.dashboard").joinpath(name).read_text() for name in OURS if name not in ("look.js",))
    kinds = {told["data-kind"] for _, told in found.tags if "data-kind" in told}
    assert [kind for kind in kinds if f"daskflow.widgets.{kind} = " not in drawn] == []
    # the page itself is marked in the navigation, and all others are in it
    links = [told for tag, told in found.tags if tag == "a" and "data-page" in told]
    assert [one["data-page"] for one in links] == [page.path_of(screen.key) for screen in ALL]
    assert [one["data-page"] for one in links if "aria-current" in one] == [page.path_of(key)]


def test_every_kind_of_widget_is_drawn_by_a_script() -> None:
    drawn = "".join(files("daskflow.dashboard").joinpath(name).read_text() for name in page.SCRIPTS[1:])
    assert set(re.findall(r"daskflow\.widgets\.(\w+) = ", drawn)) == set(page.KINDS)


@pytest.mark.parametrize("name", OURS)
def test_scripts_make_no_markup_and_no_code_from_text_and_know_no_other_place(name: str) -> None:
    script = static_file(name)
    assert script is not None
    text = script.content.decode()
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text) == []
    assert re.findall(r"https?://(?!www\.w3\.org/2000/svg)\S+", text) == []


def test_what_a_screen_says_of_itself_is_text() -> None:
    class Hostile:
        key, title = "overview", HOSTILE

        def rows(self) -> list[Row]:
            return [Row([Widget("one", HOSTILE, "lines", empty=HOSTILE, caption=HOSTILE)])]

        def slots(self, state: RunState, now: float) -> list[Value]:
            return []

    content = page.page_of(Hostile(), [Hostile()])
    assert [tag for tag, _ in tags_of(content).tags if tag == "img"] == []
    assert b"&lt;img src=x" in content
    assert "\u202e".encode() not in content


def test_panels_that_share_a_key_and_unknown_widgets_are_refused() -> None:
    class Wrong:
        key, title = "wrong", "Wrong"

        def __init__(self, *panels: Widget) -> None:
            self.panels = panels

        def rows(self) -> list[Row]:
            return [Row(self.panels)]

        def slots(self, state: RunState, now: float) -> list[Value]:
            return []

    with pytest.raises(ValueError, match="several panels with the key 'a'"):
        page.page_of(Wrong(Widget("a", "", "lines"), Widget("a", "", "tiles")), [])
    with pytest.raises(ValueError, match=r"no widget of kind 'pie' \(a\); there are tiles"):
        page.page_of(Wrong(Widget("a", "", "pie")), [])


# Overview ---------------------------------------------------------------------------------------------------------


def test_before_a_run_begins_every_panel_says_what_will_come() -> None:
    found = shown([])
    assert found["stages"] == found["waiting"] == found["notes"] == []
    assert found["workers"]["rows"] == []
    assert found["best.empty"] is True
    assert {one["value"] for one in found["tiles"]} == {"–"}
    empties = [panel.empty for row in OverviewScreen().rows() for panel in row.panels if panel.key != "tiles"]
    assert all(len(text) > 20 for text in empties)


def test_while_the_table_is_read_it_says_how_far_and_how_fast() -> None:
    found = shown(stage_moment(told_run(), "scan", 0.6))
    scan = next(stage for stage in found["stages"] if stage["name"] == "scan")
    done = int(re.match(r"(\d+) of 40 partitions", scan["words"])[1])  # type: ignore[index]
    assert scan["share"] == pytest.approx(done / 40)
    assert re.search(r"[\d,]+ rows/s, \d+ MiB/s", scan["words"])
    assert "left" in scan["left"]
    assert found["waiting"][0].startswith(f"The table is read: {done} of 40 partitions")
    assert tile(found, "Progress")["value"] == f"{done} of 40 partitions"
    assert tile(found, "Health") == {
        "label": "Health", "value": "healthy", "note": "no failure, no warning, 4 workers well", "state": "good",
    }  # fmt: skip
    assert [one["state"] for one in found["stages"]][1:] == ["waiting"] * 8
    assert [row["name"] for row in found["workers"]["rows"]] == ["w-0", "w-1", "w-2", "w-3"]
    assert all(0 < row["memory"]["share"] < 1 for row in found["workers"]["rows"])


def test_while_it_searches_it_says_how_good_how_many_are_as_good_and_what_is_left() -> None:
    records = stage_moment(told_run(), "search", 0.7)
    found = shown(records)
    state, now = told(records)
    best = tile(found, "Best roc_auc")
    assert state.search.best is not None
    assert best["value"] == f"{state.search.best.score:.4f}"
    assert f"trial {state.search.best.id}" in best["note"]
    low, high = state.search.interval()
    assert f"95 %: {low:.4f} to {high:.4f}; 3 more cannot be told apart" in best["note"]
    assert re.fullmatch(r"\d+ of 186 fits", tile(found, "Progress")["value"])
    assert tile(found, "Cost")["value"].endswith(" CPU-min")
    assert re.fullmatch(r"about [\d.]+ more for the search \([\d.]+ to [\d.]+\)", tile(found, "Cost")["note"])
    assert re.match(r"4 fits run on 4 workers, the oldest for [\d.]+ s: trial \d-\d+, fold \d", found["waiting"][0])
    assert in_one_line(state, now).startswith("search: ")
    assert tile(found, "Health")["value"] == "2 trials failed"
    assert tile(found, "Health")["note"] == "4 workers well"
    assert tile(found, "Health")["state"] == "wait"
    # what three folds say alike is said once
    failures = [note for note in found["notes"] if note["kind"] == "failure"]
    assert [note["text"].endswith("(3 times)") for note in failures] == [True, True]


def test_a_forecast_whose_band_is_too_wide_tells_nothing_yet() -> None:
    records = stage_moment(told_run(), "search", 0.1)
    said = {"seconds": 14_000.0, "low": 2000.0, "high": 860_000.0, "cpu_hours": 4.0, "cpu_low": 0.5, "cpu_high": 240.0}
    vague = {"record": "forecast", "at": records[-1]["at"], "stage": "search", "cpu_hours_spent": 0.1, "level": 0.8}
    found = shown([*records, vague | said])
    assert tile(found, "Progress")["note"] == "search; time left not known yet"
    assert tile(found, "Cost")["note"] == "what the search still takes is not known yet"
    assert [each["left"] for each in found["stages"] if each["name"] == "search"] == ["time left not known yet"]
    state, now = told([*records, vague | said])
    assert in_one_line(state, now).endswith("fits, time left not known yet")


@pytest.mark.parametrize("metric", ["roc_auc", "rmse"])
def test_the_curve_is_the_best_trial_at_every_moment(metric: str) -> None:
    # given a run heard record by record, by a screen that is asked again and again
    state, screen = RunState(), OverviewScreen()
    before: list[tuple[float, str]] = []
    for record in told_run(metric=metric):
        state.hear([record])
        if record["record"] != "unit":
            continue
        data = next(
            s.data for s in screen.slots(state, record["at"]) if isinstance(s, Columns) and s.name == "best_data"
        )
        # then its last dot is the best of now, and dots are only ever added
        seen = list(zip(data["y"], data["trial"], strict=True))
        assert seen[: len(before)] == before
        if state.search.best is not None:
            assert seen[-1] == (state.search.best.score, state.search.best.id)
        before = seen
    assert len(before) > 4


def test_time_between_two_invocations_is_not_shown() -> None:
    run = told_run()
    first = stage_moment(run, "search", 0.4)
    rest = run[len(first) :]
    day = 86_400.0
    again = [
        {"record": "invocation", "at": first[-1]["at"] + day, "id": "a1b2c3d4e5", "versions": {}},
        *({**one, **{w: one[w] + day for w in ("at", "began") if w in one}} for one in rest),
    ]
    found = shown([*first, *again])
    assert max(found["best_line_data"]["x"]) < 200
    assert found["best_line_data"]["x"] == sorted(found["best_line_data"]["x"])
    assert "in 2 invocations" in tile(found, "Time")["note"]


def test_when_it_is_done_it_says_how_the_test_went() -> None:
    records = told_run()
    found = shown(records)
    state, now = told(records)
    test = tile(found, "Test roc_auc")
    value, low, high = state.evaluation.metrics["roc_auc"]
    assert (test["value"], test["note"]) == (f"{value:.4f}", f"95 %: {low:.4f} to {high:.4f}; all test rows")
    assert tile(found, "Progress") == {
        "label": "Progress", "value": "complete", "note": "186 fits, 44 of 46 trials have a score", "state": "good",
    }  # fmt: skip
    assert {stage["state"] for stage in found["stages"]} == {"done"}
    assert found["waiting"] == ["Nothing: the run is complete."]
    assert found["workers"]["rows"] == []
    assert re.match(r"done in 1 min \d+ s, best roc_auc 0\.\d{4}", in_one_line(state, now))


def test_a_failed_run_says_why_and_names_are_only_text() -> None:
    records = told_run(status="failed", hostile=True)
    found = shown(records)
    assert tile(found, "Health")["state"] == tile(found, "Progress")["state"] == "bad"
    assert tile(found, "Health")["note"].startswith("Disk full")
    assert found["waiting"][1].startswith("Why: Disk full")
    assert in_one_line(*told(records)).startswith("failed: Disk full")


def test_an_interrupted_run_says_that_the_same_command_goes_on() -> None:
    records = [*stage_moment(told_run(), "search", 0.5)]
    records.append({"record": "end", "at": records[-1]["at"], "status": "interrupted"})
    found = shown(records)
    assert tile(found, "Progress")["value"] == "interrupted"
    assert found["waiting"] == ["Nothing goes on: the run was interrupted. The same command goes on where it was."]
    assert "failed" in {stage["state"] for stage in found["stages"]}


@pytest.mark.parametrize(
    ("word", "sentence", "line"),
    [
        (
            "pause",
            "Somebody: the search was paused by hand and holds back new fits; 4 fits",
            "paused by hand; search: ",
        ),
        ("stop", "The search was stopped by hand: fits that run", "stopped by hand, the best so far is kept; search: "),
    ],
)
def test_what_a_person_asked_for_is_what_is_waited_for(word: str, sentence: str, line: str) -> None:
    records = [*stage_moment(told_run(), "search", 0.5)]
    at = records[-1]["at"]
    records.append({"record": "control", "at": at, **Command(word, by="page", at=at).dump()})
    state, now = told(records)
    assert any(one.startswith(sentence) for one in awaited(state, now))
    assert in_one_line(state, now).startswith(line)
    assert shown(records)["notes"][0]["kind"] == "control"


def test_workers_that_are_not_well_are_seen() -> None:
    records = [*stage_moment(told_run(), "search", 0.5)]
    at = records[-1]["at"]
    one = {"name": "w-0", "threads": 1, "executing": 0, "memory": 3.9 * 2**30, "memory_limit": 4 * 2**30, "cpu": None}
    ill = {"workers": [one | {"status": "silent"}, one | {"status": "gone"}], "counts": {"silent": 1, "gone": 99}}
    records.append({"record": "workers", "at": at, **ill})
    found = shown(records)
    assert tile(found, "Health")["value"] == "1 worker silent"
    assert tile(found, "Health")["state"] == "bad"
    assert tile(found, "Health")["note"].endswith("99 workers gone")
    assert [row["level"] for row in found["workers"]["rows"]] == ["bad", "bad"]
    assert found["workers"]["more"] == 98
    assert "No worker is well: work waits for one." in found["waiting"]
    records.append({"record": "workers", "at": at, "workers": [], "counts": {}})
    assert "No worker: work waits for one." in shown(records)["waiting"]


def test_one_trial_and_runs_of_earlier_versions_are_shown_as_far_as_they_are_known() -> None:
    one = told_run(base=1, folds=1)
    assert shown(one)["best.empty"] is False
    assert "fold" not in shown(stage_moment(one, "search", 0.5))["waiting"][0]
    # given the journal alone, at any moment
    whole = told_run(metric="rmse")
    for share in (0.05, 0.3, 0.6, 1.0):
        found = shown([each for each in until(whole, share) if each["record"] in JOURNAL])
        assert len(found["tiles"]) >= 5
        assert found["stages"]
    assert tile(found, "Best rmse")["value"] != "–"
    assert tile(found, "Progress")["value"] == "complete"


def test_ten_thousand_trials_cost_a_viewer_some_milliseconds() -> None:
    records = until(told_run(base=5800, partitions=4), 0.8)
    state, now = told(records)
    assert len(state.search.trials) > 9_900
    screen = OverviewScreen()
    screen.slots(state, now)
    begun = time.thread_time()
    for step in range(10):
        screen.slots(state, now + step)
    assert (time.thread_time() - begun) / 10 < 0.02
    assert len(json.dumps(tiles(state, now))) < 2_000
    assert math.isfinite(state.search.best.score if state.search.best else math.nan)
