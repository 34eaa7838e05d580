"""A run says when each of its stages was at work, and how much of that was at the same time."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.journal import encode
from daskflow.core.live import read_spans
from daskflow.core.overlap import MOST_INTERVALS, Interval, Overlap, Spans, StageSpans, joined, merged, overlap_of
from daskflow.dashboard.screen_overview import OverviewScreen
from daskflow.dashboard.state import RunState
from daskflow.figures import gantt
from tests.told_runs import START, stage_moment, told_run
from tests.viewing import Viewed, state_of

INTERVALS = st.lists(st.tuples(st.floats(0, 100), st.floats(0, 20)).map(lambda each: (each[0], each[0] + each[1])))


def heard(*records: dict[str, Any]) -> Overlap:
    return overlap_of(records)


def intervals_of(overlap: Overlap, stage: str) -> tuple[Interval, ...]:
    return next(each.intervals for each in overlap.stages if each.stage == stage)


@given(INTERVALS)
def test_a_union_covers_what_its_intervals_cover_and_nothing_else(intervals: list[Interval]) -> None:
    union = merged(intervals)
    # its intervals are in order and do not touch
    assert all(before[1] < after[0] for before, after in pairwise(union))
    # and a moment is in it when it is in one of them
    for moment in [(begin + end) / 2 for begin, end in intervals if end > begin]:
        assert any(begin <= moment <= end for begin, end in union)
    ends = {end for each in intervals for end in each}
    assert all(begin in ends and end in ends for begin, end in union)


@given(INTERVALS, st.integers(1, 5))
def test_joining_keeps_the_ends_and_fills_the_smallest_gaps(intervals: list[Interval], most: int) -> None:
    union = merged(intervals)
    fewer = joined(union, most)
    assert len(fewer) == min(most, len(union))
    if union:
        assert (fewer[0][0], fewer[-1][1]) == (union[0][0], union[-1][1])
        filled = sum(e - b for b, e in fewer) - sum(e - b for b, e in union)
        gaps = sorted(after[0] - before[1] for before, after in pairwise(union))
        assert filled == pytest.approx(sum(gaps[: max(0, len(union) - most)]), abs=1e-6)


@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.01, 9)), min_size=1, max_size=40), st.randoms())
@settings(max_examples=50)
def test_parts_that_end_in_any_order_give_the_same_intervals(parts: list[tuple[float, float]], draw: Any) -> None:
    def told(some: list[tuple[float, float]]) -> tuple[Interval, ...]:
        spans = Spans()
        spans.hear({"record": "invocation"}, 0.0)
        for began, seconds in some:
            spans.hear({"record": "span", "stage": "download", "began": began, "seconds": seconds}, 100.0)
        return intervals_of(spans.overlap(), "download")

    mixed = list(parts)
    draw.shuffle(mixed)
    assert told(mixed) == told(parts) == tuple(merged((began, began + seconds) for began, seconds in parts))


def test_stages_one_after_the_other_have_no_overlap_and_beside_each_other_they_save_what_they_share() -> None:
    after = Overlap((StageSpans("a", ((0.0, 4.0),)), StageSpans("b", ((4.0, 10.0),))), wall=10.0)
    assert (after.sum_seconds, after.ratio, after.at_once) == (10.0, 1.0, 0.0)
    beside = Overlap((StageSpans("a", ((0.0, 6.0),)), StageSpans("b", ((2.0, 8.0),))), wall=8.0)
    assert (beside.sum_seconds, beside.ratio, beside.at_once) == (12.0, 1.5, 4.0)
    assert math.isnan(Overlap((), 0.0).ratio)
    assert Overlap((), 0.0).dump()["ratio"] is None


def test_a_scan_that_waits_for_its_files_is_not_at_work() -> None:
    # given a scan of 10 seconds whose partitions came at 4 and at 9
    overlap = heard(
        {"record": "invocation", "at": 100.0},
        {"record": "begun", "stage": "scan", "at": 100.0},
        {"record": "begun", "stage": "download", "at": 100.0},
        {"record": "span", "stage": "download", "part": "a", "began": 100.0, "seconds": 4.0, "at": 104.1},
        {"record": "partitions", "places": [0], "state": "done", "seconds": 2.0, "at": 106.1},
        {"record": "span", "stage": "download", "part": "b", "began": 104.0, "seconds": 5.0, "at": 109.0},
        {"record": "partitions", "places": [1], "state": "done", "seconds": 1.0, "at": 110.0},
        {"record": "stage", "stage": "download", "seconds": 9.0, "at": 110.0},
        {"record": "stage", "stage": "scan", "seconds": 10.0, "at": 110.0},
        {"record": "end", "status": "done", "at": 111.0},
    )
    # then it was at work for three of them
    assert [round(end, 6) for each in intervals_of(overlap, "scan") for end in each] == [4.1, 6.1, 9.0, 10.0]
    assert intervals_of(overlap, "download") == ((0.0, 9.0),)
    assert overlap.wall == 11.0
    assert overlap.at_once == pytest.approx(2.0)


def test_a_continued_run_stands_still_between_its_invocations() -> None:
    # given a run that was killed in its search, and continued an hour later
    overlap = heard(
        {"record": "invocation", "at": 0.0},
        {"record": "begun", "stage": "search", "at": 1.0},
        {"record": "unit", "at": 5.0},
        {"record": "submitted", "job": 7, "at": 3000.0},
        {"record": "invocation", "at": 3605.0},
        {"record": "begun", "stage": "search", "at": 3606.0},
        {"record": "stage", "stage": "search", "seconds": 2.0, "at": 3608.0},
        {"record": "end", "status": "done", "at": 3609.0},
    )
    # then the hour is not there, and what ran at the kill ends with it
    assert overlap.starts == (5.0,)
    assert intervals_of(overlap, "search") == ((1.0, 5.0), (6.0, 8.0))
    assert overlap.wall == 9.0


def test_the_journal_alone_says_when_stages_were_at_work() -> None:
    overlap = heard(
        {"record": "invocation", "at": 10.0},
        {"record": "stage", "stage": "scan", "seconds": 3.0, "at": 14.0},
        {"record": "stage", "stage": "search", "seconds": 5.0, "at": 20.0},
    )
    assert [(each.stage, each.intervals) for each in overlap.stages] == [
        ("scan", ((1.0, 4.0),)),
        ("search", ((5.0, 10.0),)),
    ]


def test_records_of_another_version_or_of_somebody_else_are_passed_over() -> None:
    overlap = heard(
        {"record": "stage", "stage": "scan", "seconds": 3.0, "at": 9.0},  # before any invocation
        {"record": "invocation", "at": 10.0},
        {"record": "span", "stage": "download", "began": "soon", "seconds": 1.0, "at": 11.0},
        {"record": "span", "at": 11.0},
        {"record": "span", "stage": "download", "began": math.inf, "seconds": 1.0, "at": 11.0},
        {"record": "span", "stage": "download", "began": 3.0, "seconds": 9.5, "at": 12.0},  # a clock that is behind
        {"record": "begun", "at": 12.0},
    )
    assert intervals_of(overlap, "download") == ((0.0, 2.0),)
    assert overlap.wall == 2.0


def test_very_many_gaps_take_bounded_room() -> None:
    spans = Spans()
    spans.hear({"record": "invocation"}, 0.0)
    for number in range(3 * MOST_INTERVALS):
        spans.hear({"record": "span", "stage": "download", "began": 2.0 * number, "seconds": 1.0}, 2.0 * number + 1)
    overlap = spans.overlap()
    assert len(intervals_of(overlap, "download")) <= 2 * MOST_INTERVALS
    assert intervals_of(overlap, "download")[-1][1] == 6.0 * MOST_INTERVALS - 1
    assert len(gantt.bars(overlap)["y"]) <= gantt.MOST_BARS


def test_only_what_says_when_stages_were_at_work_is_read_from_the_log(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    kept = [{"record": "begun", "stage": "scan", "at": 1}, {"record": "span", "stage": "download", "at": 2}]
    other = [{"record": "progress", "stage": "scan", "at": 1}, {"record": "note", "text": '"record":"span"', "at": 3}]
    log.write_bytes(b"".join(map(encode, [*kept, *other])) + b"torn")
    assert [each["record"] for each in read_spans(log) if each["record"] != "note"] == ["begun", "span"]
    assert read_spans(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("stage", ["scan", "search", "evaluation"])
def test_the_overview_draws_the_stages_of_a_run_that_goes_on_up_to_now(stage: str) -> None:
    records = stage_moment(told_run(), stage, 0.5)
    state = state_of(records)
    now = records[-1]["at"] + 3
    shown = Viewed(OverviewScreen()).look(state, now).columns["gantt_data"]
    last = max(range(len(shown["y"])), key=lambda place: (shown["right"][place], -shown["y"][place]))
    assert shown["stage"][last] == stage
    if stage != "scan":  # which is known by its parts
        assert shown["right"][last] == pytest.approx(now - START, abs=0.01)


def test_the_overview_of_a_finished_run_shows_what_its_records_say_and_is_empty_before() -> None:
    records = told_run(hostile=True)
    state = state_of(records)
    viewed = Viewed(OverviewScreen()).look(state, records[-1]["at"] + 1000)
    assert viewed.columns["gantt_data"] == gantt.bars(overlap_of(records))
    assert viewed.values["gantt.empty"] is False
    assert Viewed(OverviewScreen()).look(RunState(), START).values["gantt.empty"] is True


def test_the_report_picture_has_a_row_for_each_stage_and_a_line_where_the_run_was_continued() -> None:
    spans = (StageSpans("download", ((0.0, 4.0), (5.0, 6.0))), StageSpans("scan", ((1.0, 7.0),)))
    made = gantt.gantt(Overlap(spans, wall=8.0, starts=(4.5,)))
    columns = {source.name: source.data for source in made.select({"type": _source()})}
    assert columns["gantt_data"]["y"] == [0, 0, -1]
    assert columns["gantt_data"]["right"] == [4.0, 6.0, 7.0]
    assert columns["gantt_starts_data"]["x"] == [4.5]
    assert made.yaxis[0].major_label_overrides == {0: "download", -1: "scan"}


def _source() -> Any:
    from bokeh.models import ColumnDataSource

    return ColumnDataSource
