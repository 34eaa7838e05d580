"""The page of a stream shows the last quarter of an hour of a model that answers, and what moved since training."""

from __future__ import annotations

import time
from typing import Any

import pytest

from daskflow.dashboard.screen_stream import WINDOW_RECORDS, StreamScreen
from tests.told_runs import HOSTILE, told_run
from tests.viewing import Viewed, state_of, watched

FIGURES = ("stream_requests", "stream_rows", "latency", "queue", "batches", "stream_drift", "prequential")


def second(at: float, **fields: Any) -> dict[str, Any]:
    """A second of a stream."""
    return {"record": "stream", "at": 1000.0 + at, "requests": 10, "rows": 20, "seconds": 1.0, **fields}


@pytest.mark.parametrize("seconds", [1, 60, 1000, 2500])
def test_what_a_viewer_has_is_what_the_last_seconds_told(seconds: int) -> None:
    told = [record for record in told_run(stream=seconds) if record["record"] == "stream"]

    viewed, state = watched(StreamScreen(), told, n_looks=25)

    shown = viewed.columns["stream_data"]
    n_shown = len(shown["seconds"])
    assert min(seconds, WINDOW_RECORDS) <= n_shown <= 2 * WINDOW_RECORDS
    kept = told[-n_shown:]
    assert shown["requests"] == [record["requests"] for record in kept]
    assert shown["p99"] == pytest.approx([1000 * record["latency"]["p99"] for record in kept], rel=1e-5)
    assert shown["seconds"][-1] == pytest.approx(seconds, abs=0.1)
    assert viewed.looks["latency_x"]["end"] - viewed.looks["latency_x"]["start"] <= 900
    assert sum(viewed.columns["batches_data"]["count"]) == sum(state.stream.batches.values())
    assert viewed.columns["prequential_data"]["low"][-1] == 0.77
    if seconds == 60:
        assert viewed.added > 50


def test_a_page_that_comes_late_gets_no_more_than_a_quarter_of_an_hour() -> None:
    viewed = Viewed(StreamScreen()).look(state_of([second(at) for at in range(3_000)]), 0.0)

    assert len(viewed.columns["stream_data"]["seconds"]) == WINDOW_RECORDS
    assert viewed.columns["stream_data"]["seconds"][-1] == 3_000


def test_columns_beyond_their_bound_come_first_and_are_told_apart_by_pattern() -> None:
    drift = {"calm": [0.05, 0.1], "moved": [0.3, 0.1], "unknown": [None, 0.1], "no bound": [0.2, None]}

    viewed = Viewed(StreamScreen()).look(state_of([second(0, drift=drift)]), 0.0)

    shown = viewed.columns["stream_drift_data"]
    assert shown["name"] == ["moved", "calm", "no bound"]
    assert shown["said"] == ["beyond its bound", "within its bound", "within its bound"]
    assert shown["pattern"][0].strip()
    assert not shown["pattern"][1].strip()
    assert viewed.values["stream_tiles"][-1]["value"] == "1"


def test_errors_are_counted_by_their_reason() -> None:
    records = [second(0, errors={HOSTILE: 2, "too late": 5}), second(1, errors={"too late": 1})]

    viewed = Viewed(StreamScreen()).look(state_of(records), 0.0)

    rows = viewed.values["stream_errors"]["rows"]
    assert [(row["reason"], row["count"]) for row in rows] == [("too late", 6), (HOSTILE, 2)]
    assert rows[0]["share"] == {"share": 0.75, "text": "75 %"}


def test_a_queue_near_its_limit_is_called_bad() -> None:
    for queue, state in ((10, "good"), (90, "bad")):
        viewed = Viewed(StreamScreen()).look(state_of([second(0, queue=queue, queue_limit=100)]), 0.0)
        waiting = next(tile for tile in viewed.values["stream_tiles"] if tile["label"] == "Waiting")
        assert (waiting["value"], waiting["state"]) == (str(queue), state)
        assert viewed.columns["stream_data"]["limit"] == [100]


def test_very_many_sizes_of_batches_are_put_together_up_to_each_power_of_two() -> None:
    batches = {str(size): 1 for size in range(1, 101)}

    viewed = Viewed(StreamScreen()).look(state_of([second(0, batches=batches)]), 0.0)

    shown = viewed.columns["batches_data"]
    assert shown["size"] == ["1", "2", "3-4", "5-8", "9-16", "17-32", "33-64", "65-128"]
    assert shown["count"] == [1, 1, 2, 4, 8, 16, 32, 36]


def test_lines_break_off_where_nothing_was_told() -> None:
    records = [second(1), second(2), {"record": "end", "status": "interrupted", "at": 1002.0}, second(60), second(61)]

    viewed = Viewed(StreamScreen()).look(state_of(records), 0.0)

    shown = viewed.columns["stream_data"]
    assert shown["seconds"] == [1.0, 2.0, 2.01, 58.99, 60.0, 61.0]
    assert shown["requests"] == [10, 10, 0, 0, 10, 10]
    assert shown["queue"][2:4] == [None, None]


def test_swaps_and_alarms_are_marked_and_said_and_models_stand_side_by_side() -> None:
    models = {"linear": [0.8, 0.78, 0.82], "trees": [0.85, 0.83, 0.87]}
    records = [
        {"record": "invocation", "at": 999.0, "verb": "stream", "model": "linear", "source": "a", "sink": "b"},
        *(second(at, challengers=models, champion="linear", lag=7) for at in range(10)),
        {"record": "swap", "at": 1010.0, "champion": "trees", "before": "linear", "why": "it is better", "by": "rule"},
        {"record": "drift", "at": 1012.0, "of": HOSTILE, "detector": "adwin", "words": f"{HOSTILE} has moved."},
        {"record": "note", "at": 1012.1, "text": f"{HOSTILE} has moved."},  # the same again, for who reads the log
        second(13, challengers=models, champion="trees", lag=9),
    ]

    viewed = Viewed(StreamScreen()).look(state_of(records), 0.0)

    assert viewed.columns["stream_marks_data"]["kind"] == ["swap", "alarm"]
    assert viewed.columns["stream_marks_data"]["seconds"] == [11.0, 13.0]
    assert [one["kind"] for one in viewed.values["stream_events"]] == ["alarm", "swap", "begun"]
    assert [(row["model"], row["role"]) for row in viewed.values["stream_models"]["rows"]] == [
        ("linear", "challenger"),
        ("trees", "answers"),
    ]
    assert viewed.columns["compared_data"]["name"].count("trees") == 11
    assert viewed.columns["stream_data"]["lag"][-1] == 9
    assert "model trees" in viewed.values["stream_tiles"][0]["note"]
    assert viewed.is_shown("lag")
    assert viewed.is_shown("compared")


def test_a_stream_that_tells_almost_nothing_does_no_harm() -> None:
    records: list[dict[str, Any]] = [{"record": "stream", "at": 5.0}, second(1, latency={"p50": None}, score={})]

    viewed = Viewed(StreamScreen()).look(state_of(records), 0.0)

    assert viewed.is_shown("stream_requests")
    assert not any(viewed.is_shown(key) for key in ("latency", "batches", "stream_drift", "prequential"))


def test_without_a_stream_the_page_says_when_it_fills() -> None:
    viewed = Viewed(StreamScreen()).look(state_of(told_run()), 0.0)

    assert "while the model is served (daskflow serve)" in viewed.values["stream_tiles"][0]["note"]
    assert not any(viewed.is_shown(key) for key in FIGURES)
    assert all(panel.empty for panel in viewed.panels if panel.key != "stream_tiles")
    assert all(viewed.values[f"{panel.key}.hidden"] for panel in viewed.panels if panel.key != "stream_tiles")
    viewed.look(state_of(told_run(stream=30)), 0.0)
    hidden = {name for name, value in viewed.values.items() if name.endswith(".hidden") and value}
    assert hidden == {"lag.hidden", "compared.hidden", "stream_models.hidden"}  # it is one that has none of these


def test_a_look_costs_little() -> None:
    screen, state = StreamScreen(), state_of([])
    records = [record for record in told_run(stream=1900) if record["record"] == "stream"]
    state.hear(records[:1800])
    screen.slots(state, state.last)
    begun = time.thread_time()
    for record in records[1800:]:
        state.hear([record])
        screen.slots(state, state.last)
    assert (time.thread_time() - begun) / 100 < 0.005
