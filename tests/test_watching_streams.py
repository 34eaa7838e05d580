"""Streams are watched, listed and opened from their folders: alone, among others, and with the run of their model."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import daskflow as flow
from daskflow.cli import main
from daskflow.core.errors import StorageError
from daskflow.core.folder import RunFolder
from daskflow.core.live import EventLog
from daskflow.dashboard.prometheus import metrics_of
from daskflow.dashboard.serving import Server
from daskflow.dashboard.state import RunState
from daskflow.dashboard.summary import summary_of
from daskflow.dashboard.watched import stream_screens
from daskflow.streams.committing import Commits
from daskflow.streams.meter import Meter
from daskflow.streams.records import Record
from daskflow.streams.telling import StreamTelling
from daskflow.workflow.watching_streams import RunWithStreams, StreamSource, is_stream, streams_in
from tests.run_folders import make_run
from tests.site_client import ask

IDENTITY = "eb7187bba40088ed822ccc84eb701b77d68c0dbbe10feb2b3cd0772baaede43e"


def told(folder: Path, *, seconds: int = 5, has_ended: bool = True, at: float = 1_790_000_000.0) -> Path:
    """The folder of a stream that was told, without waiting for it."""
    folder.mkdir(parents=True, exist_ok=True)
    log = EventLog(folder / "events.jsonl")
    begun = {"verb": "stream", "model": "runs/cars", "source": "in/", "sink": "out/", "host": "h", "pid": 3}
    log.append([{"record": "invocation", "id": folder.name, "at": at, **begun}])
    for second in range(1, seconds + 1):
        meter = Meter(clock=iter([0.0, 1.0]).__next__)
        for place in range(10):
            meter.request(rows=2, seconds=0.001 * (place + 1))
        meter.error("type")
        meter.drift({"price": (0.3, 0.2), "age": (0.1, 0.2)})
        meter.score("accuracy", 0.8, low=0.7, high=0.9, rows=10 * second)
        log.append([{**meter.record(queue=3, queue_limit=9, lag=40 - second), "at": at + second}])
    log.append(
        [{"record": "swap", "at": at + seconds + 0.1, "champion": IDENTITY, "before": "a", "why": "it is better"}]
    )
    log.append([{"record": "drift", "at": at + seconds + 0.2, "of": "price", "words": "'price' has moved."}])
    if has_ended:
        log.append([{"record": "end", "at": at + seconds + 0.5, "status": "done", "error": ""}])
    log.close()
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run with a stream that has ended and one that was killed."""
    path = make_run(tmp_path / "runs", "cars")
    told(path / "streams" / "orders", at=1_700_100_000.0)
    told(path / "streams" / "serve-8000", has_ended=False, at=1_700_200_000.0)
    return path


def said(*words: Any) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def heard(source: Any) -> RunState:
    state = RunState(name=source.name, id=source.id)
    state.hear(source.new())
    return state


def test_a_stream_is_opened_as_a_value(tmp_path: Path) -> None:
    folder = told(tmp_path / "streams" / "orders")
    commits = Commits(folder / "journal.jsonl")
    commits.commit([Record("1", {}, partition="a", offset=7), Record("2", {}, partition="b", offset=[3])], answered=2)
    commits.commit([Record("3", {}, partition="a", offset=9)], answered=0, dead=1)
    commits.close()

    stream = flow.open_stream(folder)

    assert (stream.status, stream.verb, stream.source, stream.sink, stream.lag) == ("done", "stream", "in/", "out/", 35)
    assert (stream.requests, stream.rows, stream.errors) == (50, 100, {"type": 5})
    assert (stream.offsets, stream.answered, stream.dead) == ({"a": 9, "b": [3]}, 2, 1)
    assert stream.model == IDENTITY
    assert [one["of"] for one in stream.alarms] == ["price"]
    assert stream.drift == {"price": [0.3, 0.2], "age": [0.1, 0.2]}
    frame = stream.seconds
    assert len(frame) == 5
    assert frame["requests"].sum() == 50
    assert frame["p50"].iloc[-1] == pytest.approx(0.0055)
    assert frame["score"].iloc[-1] == 0.8
    assert str(frame.index.tz) == "UTC"
    assert json.loads(json.dumps(stream.dump()))["requests"] == 50


def test_what_is_no_stream_is_said(tmp_path: Path, run: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing", run):
        with pytest.raises(StorageError, match="no folder of a stream"):
            flow.open_stream(path)
        assert not is_stream(path)


def test_who_is_killed_is_known_by_the_lock(tmp_path: Path) -> None:
    folder = tmp_path / "streams" / "serve"
    with StreamTelling(folder, None, about={"verb": "serve", "model": "cars"}):
        assert flow.open_stream(folder).status == "running"
        assert heard(StreamSource(folder)).status == "running"
    assert flow.open_stream(folder).status == "done"

    told(folder, has_ended=False, at=time.time() + 1)

    assert flow.open_stream(folder).status == "killed"
    state = heard(StreamSource(folder))
    assert state.status == "interrupted"
    assert state.stream.events[-1].text == "Its process is gone without a word."


def test_a_file_that_is_thinned_while_it_is_watched_tells_nothing_twice(tmp_path: Path) -> None:
    folder = told(tmp_path / "streams" / "s", seconds=200, has_ended=False)  # long ago
    source = StreamSource(folder)
    state = heard(source)

    with StreamTelling(folder, None, about={"verb": "stream"}) as telling:
        telling.note("thinned")
        state.hear(source.new())
        telling.tell({"record": "stream", "requests": 1, "seconds": 1.0})
        telling.end()
    state.hear(source.new())

    assert state.stream.requests == 2_001
    assert [event.kind for event in state.stream.events].count("swap") == 1
    assert flow.open_stream(folder).requests == 2_001
    assert len(flow.open_stream(folder).seconds) < 10


def test_a_run_tells_of_its_streams_and_stays_what_it_was(run: Path) -> None:
    state = heard(RunWithStreams(RunFolder(run)))

    assert state.status == "done"
    assert state.seconds(state.last) < 1_000  # not the days until the stream
    assert set(state.streams) == {"orders", "serve-8000"}
    assert state.stream.id == "serve-8000"
    assert state.streams["orders"].requests == 50
    assert not state.is_streaming
    assert [stream.id for stream in flow.open_run(run).streams] == ["orders", "serve-8000"]
    assert flow.open_run(run).streams[1].status == "killed"


def test_status_and_runs_list_streams(run: Path) -> None:
    words = said("status", run)
    assert words.exit_code == 0, words.output
    assert "orders" in words.output
    assert "killed" in words.output
    assert [one["status"] for one in json.loads(said("status", run, "--json").stdout)["streams"]] == ["done", "killed"]

    alone = said("status", run / "streams" / "orders").output
    assert "50 answered, 100 rows" in alone
    assert "5 type" in alone
    assert "requests" not in alone
    assert "35 wait at the source" in alone
    assert "accuracy 0.8  [0.7, 0.9]" in alone
    assert "eb7187bba400\n" in alone

    listed = said("runs", run / "streams")
    assert [line.split()[0] for line in listed.output.splitlines()[1:]] == ["orders", "serve-8000"]
    with StreamTelling(run / "streams" / "now", None, about={"verb": "serve", "model": "cars"}):
        going_on = said("runs", run.parent.parent).output
    assert "now" in going_on
    assert "orders" not in going_on
    assert "now" not in said("runs", run.parent.parent).output


def test_watch_shows_a_stream_as_text_and_json(run: Path) -> None:
    path = run / "streams" / "orders"
    shown = said("watch", path, "--text", "--once").output
    assert "10 records/s, 20 rows/s" in shown.replace("  ", ", ")
    assert "p50 5.5 ms" in shown
    assert "queue 3 of 9" in shown
    assert "1 of 2 columns drift: price" in shown
    with StreamTelling(run / "streams" / "now", None, about={"verb": "serve", "model": "cars"}):
        assert "then scan" not in said("watch", run / "streams" / "now", "--text", "--once").output
    told_of = json.loads(said("watch", path, "--json").stdout)
    assert (told_of["streams"][0]["requests"], told_of["streams"][0]["unit"]) == (50, "records")
    assert told_of["streams"][0]["model"] == "eb7187bba400"
    assert "has no pages of its own" in said("watch", path, "--link").stderr


def test_the_pages_of_a_run_have_its_streams_to_choose_from(run: Path) -> None:
    others = [StreamSource(path) for path in streams_in(run)]
    with Server(RunWithStreams(RunFolder(run)), token="t", others=lambda: others) as server:
        place = server.address.split("/")[2]
        shown = {"Authorization": "Bearer t"}
        until = time.monotonic() + 100
        while len(runs := ask(place, "/daskflow-feed?page=stream", **shown).json["header"]["runs"]) < 3:
            assert time.monotonic() < until
            time.sleep(0.05)
        assert [one["id"] for one in runs[1:]] == ["orders", "serve-8000"]
        alone = ask(place, "/daskflow-feed?page=stream&run=orders", **shown).json
        assert alone["header"]["truth"] == "has ended, 50 records in all"
        assert ask(place, "/daskflow?run=orders", **shown).headers["Location"] == "daskflow-stream?run=orders"
        assert ask(place, "/daskflow.json?run=orders", **shown).json["streams"][0]["rows"] == 100
        measured = ask(place, "/daskflow-metrics", **shown).text
        assert 'daskflow_stream_requests_total{name="cars",run="0a1b2c3d4e",stream="orders"} 50' in measured


def test_a_stream_alone_has_one_page_and_it_goes_on_live(tmp_path: Path) -> None:
    folder, meter = tmp_path / "streams" / "serve", Meter()
    with (
        StreamTelling(folder, meter.record, about={"verb": "serve", "model": "cars"}, every_seconds=0.05),
        Server(StreamSource(folder), token="t", page="daskflow-stream", make_screens=stream_screens) as server,
    ):
        assert "/daskflow-stream?token=t" in server.address
        place, shown = server.address.split("/")[2], {"Authorization": "Bearer t"}
        seen: list[int] = []
        until = time.monotonic() + 100
        while len(seen) < 3:
            assert time.monotonic() < until
            meter.request(rows=1, seconds=0.01)
            answer = ask(place, "/daskflow-feed?page=stream", **shown).json
            assert answer["header"]["over"] is False
            found = ask(place, "/daskflow.json", **shown).json["streams"]
            if found and found[0]["requests"] not in seen:
                seen.append(found[0]["requests"])
            time.sleep(0.02)
        assert ask(place, "/daskflow-stream", **shown).status == 200
    assert seen == sorted(seen)


def test_numbers_of_streams_are_read_by_prometheus(tmp_path: Path) -> None:
    state = heard(StreamSource(told(tmp_path / "streams" / "orders")))

    lines = metrics_of([(state, state.last)]).splitlines()

    base = 'name="streams",run="orders",stream="orders"'
    assert f"daskflow_stream_running{{{base}}} 0" in lines
    assert f"daskflow_stream_rows_total{{{base}}} 100" in lines
    assert f'daskflow_stream_errors_total{{{base},reason="type"}} 5' in lines
    assert f'daskflow_stream_latency_seconds{{{base},quantile="0.5"}} 0.0055' in lines
    assert f'daskflow_stream_drift_bound{{{base},column="age"}} 0.2' in lines
    assert f'daskflow_stream_score_low{{{base},metric="accuracy"}} 0.7' in lines
    assert f"daskflow_stream_lag{{{base}}} 35" in lines
    assert summary_of(state, state.last)["streams"][0]["status"] == "done"
