"""Progress says how far a run is: lines in a log file, a display on a terminal."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
from rich.console import Console

from daskflow.cli.live import Display
from daskflow.cli.progress import LINE_SECONDS, Lines, State, progress
from daskflow.core.events import Event


def event(name: str, at: float = 0.0, **fields: Any) -> Event:
    return Event(name, fields, at)


RUN = [
    event("note", 0.0, text="Cluster inline"),
    event("stage", 1.0, stage="scan", state="started"),
    event("stage", 1.0, stage="scan", state="started", total=4),
    *[event("progress", 1.0 + n, stage="scan", done=n, total=4, rows=100 * n) for n in range(5)],
    event("stage", 5.0, stage="scan", state="finished", total=4),
    event("stage", 5.0, stage="scan", state="finished", seconds=4.0),
    event("stage", 6.0, stage="search", state="started"),
    event("stage", 6.0, stage="search", state="started", total=10),
    event("trial", 7.0, trial="1", state="failed", error="ValueError: no", trials=5, resource=0, score=math.nan),
    event("trial", 7.5, trial="1", state="failed", error="ValueError: no", trials=5, resource=0, score=math.nan),
    event("best", 8.0, trial="3", metric="roc_auc", score=0.81234),
    *[event("progress", 8.0 + n, stage="search", done=n) for n in range(1, 7)],
]


def heard(events: list[Event]) -> State:
    state = State()
    for one in events:
        state.hear(one)
    return state


def test_the_line_of_a_search_says_fits_time_left_failures_and_the_best() -> None:
    assert heard(RUN).line(14.0) == ("search: 6 of 10 fits, 1 failed, about 4.0 s left, best roc_auc 0.8123 (trial 3)")


def test_what_an_earlier_run_did_is_no_sign_of_the_pace() -> None:
    # given a continued search whose first 90 fits were on disk, and then one in 10 seconds
    state = heard(
        [
            event("stage", 0.0, stage="search", state="started", total=100),
            event("progress", 5.0, stage="search", done=90),
            event("progress", 15.0, stage="search", done=91),
        ]
    )
    # then
    assert state.eta_seconds(15.0) == pytest.approx(90.0)


FORECAST = event(
    "forecast",
    12.0,
    stage="search",
    seconds=182.0,
    low=121.0,
    high=301.0,
    cpu_hours=0.1,
    cpu_low=0.07,
    cpu_high=0.15,
    cpu_hours_spent=0.05,
    level=0.8,
)


def test_a_forecast_is_said_with_its_band_and_the_processor_time_spent_and_to_come() -> None:
    assert heard([*RUN, FORECAST]).line(12.0) == (
        "search: 6 of 10 fits, 1 failed, about 3 min left (2 to 5), 3 CPU-min spent, "
        "about 6 CPU-min to come (4.2 to 9), best roc_auc 0.8123 (trial 3)"
    )


def test_a_forecast_whose_band_is_too_wide_tells_nothing_yet() -> None:
    vague = event("forecast", 12.0, **{**FORECAST.fields, "low": 2.0, "cpu_low": 0.001})
    assert heard([*RUN, vague]).line(12.0) == (
        "search: 6 of 10 fits, 1 failed, time left not known yet, 3 CPU-min spent, best roc_auc 0.8123 (trial 3)"
    )


def test_between_two_forecasts_the_time_left_goes_down_and_never_below_nothing() -> None:
    state = heard([*RUN, FORECAST])
    assert "about 2 min left (1 to 4)" in state.line(73.0)
    assert "about 42 s left (0 to 160)" in state.line(152.0)
    # and when the median is over, nothing is said
    assert "left" not in state.line(200.0)


def test_while_a_search_is_paused_the_time_left_stands_still() -> None:
    paused = [*RUN, FORECAST, event("control", 73.0, command="pause", by="page")]
    assert "about 2 min left (1 to 4)" in heard(paused).line(4000.0)
    assert "left" not in heard([*paused, event("control", 4000.0, command="resume", by="page")]).line(4000.0)


def test_another_stage_knows_nothing_of_the_searchs_forecast() -> None:
    later = [
        event("stage", 20.0, stage="search", state="finished", seconds=14.0),
        event("stage", 20.0, stage="refit", state="started"),
        event("progress", 21.0, stage="refit", done=1, total=4),
    ]
    assert "(" not in heard([*RUN, FORECAST, *later]).line(22.0)
    # nor does a stage before it
    assert "left (" not in heard([*RUN[:5], FORECAST]).line(12.0)


def test_a_terminal_shows_the_forecast() -> None:
    out = io.StringIO()
    console = Console(file=out, width=160, force_terminal=True, color_system=None)
    display = Display(console)
    for one in [*RUN, Event("forecast", FORECAST.fields, 4e9)]:
        display(one)
    console.print(display)
    assert "CPU-min to come (4.2 to 9)" in out.getvalue()


def test_there_is_no_estimate_before_there_is_a_pace() -> None:
    assert math.isnan(heard(RUN[:3]).eta_seconds(2.0))
    assert "left" not in heard(RUN[:4]).line(2.0)


def test_a_log_file_gets_each_stage_each_failure_and_few_lines_of_progress(capsys: pytest.CaptureFixture[str]) -> None:
    # given
    lines = Lines()
    # when
    for one in RUN:
        lines(one)
    # then
    captured = capsys.readouterr()
    words = [line.split("s] ", 1)[1] for line in captured.err.splitlines()]
    assert words == [
        "Cluster inline",
        "scan ...",
        "scan done in 4.0 s: 4 partitions, 400 rows",
        "search ...",
        "trial 1 failed: ValueError: no",
    ]
    assert captured.out == ""


def test_a_log_file_hears_of_a_long_stage_now_and_then(capsys: pytest.CaptureFixture[str]) -> None:
    # given a stage in which something happens a thousand times within a minute
    lines = Lines()
    lines(event("stage", 0.0, stage="scan", state="started", total=1000))
    # when
    for number in range(1000):
        lines(event("progress", number * 0.06, stage="scan", done=number, total=1000))
    # then
    written = [line for line in capsys.readouterr().err.splitlines() if "of 1000 partitions" in line]
    assert len(written) == 60 / LINE_SECONDS - 1
    assert written[0].startswith("[    10.0 s] scan: 167 of 1000 partitions, about 50 s left")


def test_a_terminal_shows_the_stage_with_its_bar_and_keeps_what_is_over() -> None:
    # given
    out = io.StringIO()
    console = Console(file=out, width=100, force_terminal=True, color_system=None)
    display = Display(console)
    # when
    for one in RUN:
        display(one)
    console.print(display)
    # then
    text = out.getvalue()
    assert "✓ scan done in 4.0 s: 4 partitions, 400 rows" in text
    assert "! trial 1 failed: ValueError: no" in text
    assert "6 of 10 fits, 1 failed" in text
    assert "best roc_auc 0.8123 (trial 3)" in text
    assert "━" in text


def test_names_with_brackets_are_shown_as_they_are() -> None:
    out = io.StringIO()
    display = Display(Console(file=out, width=100, force_terminal=True, color_system=None))
    display(event("warning", text="Column 'a[bold]b[/]' is constant."))
    assert "Column 'a[bold]b[/]' is constant." in out.getvalue()


def test_where_stderr_is_no_terminal_there_are_lines() -> None:
    with progress() as listener:
        assert isinstance(listener, Lines)


def test_the_best_is_told_again_when_its_own_score_changes() -> None:
    # given a search in which candidate 0 is scored 0.6, then 0.8, and candidate 1 always 0.7
    from daskflow.core.protocols import Unit
    from daskflow.data.execution import InlineExecutor
    from daskflow.search import engine
    from daskflow.search.jobs import unit_key
    from daskflow.search.policies import Adaptive, Candidate

    class Work:
        n_folds, metric, greater_is_better = 1, "accuracy", True

        def unit(self, candidate: Candidate, fold: int, start: int, resource: int) -> Unit:
            return Unit(unit_key(candidate.trial, fold, resource), answered, (candidate.trial, resource))

    def rule(info: dict[int, list[dict[str, Any]]]) -> dict[int, int]:
        return {number: 1 if history[-1]["partial_fit_calls"] < 2 else 0 for number, history in info.items()}

    told: list[Event] = []
    policy = Adaptive([Candidate("0", {}), Candidate("1", {})], rule)
    # when
    engine.run(policy, Work(), InlineExecutor(), listener=told.append)  # type: ignore[arg-type]
    # then
    best = [(one.fields["trial"], one.fields["score"]) for one in told if one.name == "best"]
    assert best == [("0", 0.6), ("1", 0.7), ("0", 0.8)]


def answered(trial: str, resource: int) -> Any:
    from daskflow.search.jobs import Answer

    return Answer({"accuracy": {("0", 1): 0.6, ("0", 2): 0.8}.get((trial, resource), 0.7)})


def test_what_is_asked_of_a_run_is_said_where_it_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines()
    lines(event("control", command="cancel", trial="2-0", by="page"))
    lines(event("control", command="stop", by="command line"))
    assert [line.partition("] ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "Trial 2-0 was cancelled (page).",
        "The search is stopped, and the best so far is kept (command line).",
    ]


ADDRESS = event(
    "address",
    0.5,
    url="http://127.0.0.1:8787/daskflow",
    token="s3cret",
    ssh="ssh -L 8787:127.0.0.1:8787 me@vm",
    run="r",
)


def test_a_terminal_shows_the_link_that_lets_one_in_and_a_log_file_shows_how_to_get_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    # given
    out = io.StringIO()
    display = Display(Console(file=out, width=40, force_terminal=True, color_system=None))
    # when
    display(ADDRESS)
    Lines()(ADDRESS)
    # then the link is whole, however narrow the terminal is
    assert "Watch it: http://127.0.0.1:8787/daskflow?token=s3cret\n" in out.getvalue()
    assert "after: ssh -L 8787:127.0.0.1:8787 me@vm" in out.getvalue()
    # and a log that others may read has no token
    said = capsys.readouterr().err
    assert "http://127.0.0.1:8787/daskflow (daskflow watch r prints the link that lets you in)" in said
    assert "s3cret" not in said
