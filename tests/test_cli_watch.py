"""A run is watched from another shell: its pages' link, its state as text that fits the terminal, or as JSON."""

from __future__ import annotations

import io
import math
import re
import unicodedata
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console, Group

from daskflow.cli.watching_terminal import Said
from daskflow.cli.watching_text import picture
from daskflow.cli.watching_words import ASCII
from daskflow.dashboard.state import RunState
from tests.told_runs import START, Record, stage_moment, told_run, until

SIZES = [(80, 24), (40, 18), (120, 40), (20, 6), (3, 2)]


def state_of(records: list[Record]) -> RunState:
    state = RunState(name="late-flights")
    state.hear(records)
    return state


def drawn(records: list[Record], *, width: int = 80, height: int = 24, **more: Any) -> list[str]:
    """The picture as plain texts, a moment after the last record."""
    last = records[-1]["at"] if records else START
    lines = picture(state_of(records), last + 0.1, width=width, height=height, **more)
    return [line.plain for line in lines]


def moments(records: list[Record]) -> list[list[Record]]:
    stages = [stage_moment(records, stage, 0.5) for stage in ("scan", "search", "evaluation")]
    return [[], records[:1], *stages, until(records, 0.9), records]


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("hostile", [False, True])
def test_no_moment_of_a_run_is_wider_or_higher_than_the_terminal(width: int, height: int, hostile: bool) -> None:
    for records in moments(told_run(hostile=hostile, stream=3)):
        lines = drawn(records, width=width, height=height)
        assert 0 < len(lines) <= height
        assert max(cell_len(line) for line in lines) <= width


def test_a_search_is_seen_on_a_terminal_of_80_by_24() -> None:
    # given a run in its search
    records = told_run()
    # when it is drawn
    text = "\n".join(drawn(stage_moment(records, "search", 0.4)))
    # then stage, share, time left, best, interval, rungs, workers, cost and the newest note are there
    assert re.search(r"late-flights/a1b2c3d4e5  running  \d+ s", text)
    assert re.search(r"> search +24 s  ━+─+  68%", text)
    assert "about 11 s left (6.3 to 18), 127 of 186 fits" in text
    assert "then refit, evaluation, explanation, model" in text
    assert "best    roc_auc 0.7826 [0.7744, 0.7932], trial 2-9, 3 more cannot be told apart" in text
    assert "bracket 2  1:27/27  3:9/9  9:3/3" in text
    assert "workers 4 running, memory" in text
    assert "cost    2.7 CPU-min spent, about 58 CPU-s to come (40 to 86)" in text
    assert "Trial 1-1 failed: ValueError: Solver did not converge" in text


def test_what_matters_most_stays_where_there_is_little_room() -> None:
    lines = drawn(stage_moment(told_run(), "search", 0.4), width=60, height=4)
    assert [line.split()[0] for line in lines] == ["late-flights/a1b2c3d4e5", ">", "about", "best"]


def test_the_end_shows_the_tests_numbers_as_they_were_told() -> None:
    records = told_run()
    final = [each for each in records if each["record"] == "evaluated"][-1]
    value, low, high = final["metrics"]["roc_auc"]
    lines = drawn(records)
    assert f"test    roc_auc {value:.4g}  [{low:.4g}, {high:.4g}]" in lines
    assert lines[0].split()[1] == "done"


def test_a_failed_run_says_why() -> None:
    text = "\n".join(drawn(told_run(status="failed")))
    assert "failed" in text.splitlines()[0]
    assert "Disk full" in text


def test_a_run_whose_process_is_gone_is_called_interrupted() -> None:
    records = stage_moment(told_run(), "search", 0.4)
    assert "running" in drawn(records)[0]
    lines = drawn(records, is_running=False)
    assert "interrupted" in lines[0]
    assert "Its process is gone" in lines[1]


def test_nothing_that_is_told_reaches_the_terminal_as_a_command() -> None:
    # given names with every kind of control character
    evil = "\x1b]0;title\x07\x1b[2J\x9b31m\r\n\t\u202e\u2028\ud800\x00é字"
    records = [
        {"record": "invocation", "at": START, "id": f"id{evil}", "versions": {}},
        {"record": "cluster", "at": START, "description": evil, "slots": 1},
        {"record": "note", "at": START, "text": evil},
        {"record": "begun", "at": START, "stage": f"scan{evil}", "total": 3},
        {
            "record": "candidates",
            "at": START,
            "metric": f"m{evil}",
            "greater_is_better": True,
            "n_folds": 1,
            "candidates": [{"trial": f"0{evil}", "params": {evil: evil}}],
        },
        {
            "record": "unit",
            "at": START + 1,
            "trial": f"0{evil}",
            "fold": 0,
            "resource": 1,
            "metrics": {f"m{evil}": 0.5},
        },
        {"record": "workers", "at": START + 1, "workers": [{"name": evil, "status": evil}], "counts": {evil: 1}},
        {"record": "end", "at": START + 2, "status": "failed", "error": evil},
    ]
    # when they are drawn, on a terminal too
    for share in range(2, len(records) + 1):
        lines = drawn(records[:share])
        out = io.StringIO()
        Console(file=out, width=80, force_terminal=True, color_system=None).print(
            Group(*picture(state_of(records[:share]), START + 2, width=80, height=24))
        )
        # then only characters that are seen are left
        for line in [*lines, *out.getvalue().splitlines()]:
            assert {unicodedata.category(character)[0] for character in line} <= {"L", "M", "N", "P", "S", "Z"}


def test_missing_fields_and_not_a_number_are_no_trouble() -> None:
    records = [
        {"record": "invocation", "at": START, "id": "x"},
        {"record": "cluster", "at": START},
        {"record": "workers", "at": START, "workers": [{}, {"memory": None, "memory_limit": None, "cpu": None}]},
        {"record": "forecast", "at": START, "stage": "search", "seconds": 5.0, "low": 3.0, "high": 9.0},
        {"record": "evaluated", "at": START, "rows": 1, "total": 2, "metrics": {"f1": [None, None, None]}},
        {"record": "best", "at": START, "trial": "0", "metric": "f1", "score": None},
        {"record": "stream", "at": START},
    ]
    for count in range(len(records) + 1):
        assert drawn(records[:count])
    assert "test    f1 -  after 1 of 2 rows" in drawn(records)


def test_a_terminal_without_utf8_gets_ascii_bars() -> None:
    lines = drawn(stage_moment(told_run(), "scan", 0.5), ink=ASCII)
    assert any("####" in line for line in lines)


def test_a_log_hears_each_stage_each_note_and_each_better_score_once() -> None:
    # given a run that is looked at twenty times
    records = told_run()
    state = RunState(name="late-flights")
    said = Said(state)
    lines: list[str] = []
    for step in range(20):
        chunk = [r for r in records if step / 20 <= (r["at"] - START) / 101.1 < (step + 1) / 20]
        state.hear(chunk)
        lines += said.news(chunk[-1]["at"] if chunk else state.last)
    words = [line.split("s] ", 1)[1] for line in lines]
    # then
    assert [word for word in words if " done in " in word][:2] == ["scan done in 11 s", "split done in 0.4 s"]
    assert sum(word.startswith("Cluster local") for word in words) == 1
    best = [word for word in words if word.startswith("best ")]
    assert len(best) == len(set(best)) > 1
    assert not any(math.isnan(float(line[1:9])) for line in lines)
    # and nothing more is said of a run that is over
    assert said.news(state.last + 100) == []
