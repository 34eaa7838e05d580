"""A server watches its rows and answers for drift: one watch over samples of all its processes."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import daskflow as flow
from daskflow.streams.drift_inputs import Watched
from daskflow.streams.scoring import Scorer
from daskflow.streams.serve_counts import Counts, prometheus
from daskflow.streams.serve_sampling import LEAST_ROWS, Sample
from daskflow.streams.serve_watching import ServeWatch, WatchedHere
from daskflow.streams.telling import records_in
from tests.serving_client import JSON, ask, rows_body
from tests.test_serve_answers import TABLE, written
from tests.test_streams_scoring import MODELS, ROWS

SCORER = Scorer(MODELS["binary"])
WATCHED = Watched.of(SCORER)
MOVED = [{**row, "real": 1e6} for row in ROWS]


def told_of(sample: Sample) -> Any:
    """What a process hands on, as it comes over the wire."""
    import orjson

    return orjson.loads(orjson.dumps(sample.taken()))


def answered(sample: Sample, rows: list[dict[str, Any]], identity: str = "m") -> None:
    """Answer rows, and let the sample take what it chooses."""
    sample.rows(rows, sample.chosen(len(rows)), SCORER.rows(rows).dicts(), identity)  # type: ignore[arg-type]


def test_samples_of_several_processes_are_one_window_and_a_swap_begins_anew() -> None:
    # given two processes that answer half of the rows each, which move
    records, words = list[Any](), list[str]()
    watch = ServeWatch(tell=records.append, say=words.append)
    samples = [Sample(10_000), Sample(10_000)]
    for sample in samples:
        sample.begin(WATCHED, "m")
    watch.begin(json.loads(json.dumps(WATCHED.dump())), "m")
    for rows in (ROWS, MOVED):
        while not watch.values() or (rows is MOVED and not records):
            for sample in samples:
                answered(sample, rows)
                watch.take(told_of(sample))
            assert watch._inputs is not None
            watch._inputs.look()
    # then the move is told once, as a record and a sentence, and stands among the values
    assert [record["of"] for record in records].count("real") == 1
    assert any("Column 'real' has moved" in text for text in words)
    index, bound = watch.values()["real"]
    assert index > bound
    # when another model answers, what is known begins anew and rows of the old one are passed over
    watch.begin(WATCHED.dump(), "other")
    answered(samples[0], MOVED)
    watch.take(told_of(samples[0]))
    watch.end()
    assert watch.values() == {}


def test_a_sample_is_spread_over_the_rows_and_has_no_more_than_asked() -> None:
    # given a process that answers far more rows than it may hand on
    sample = Sample(100)
    sample.begin(WATCHED, "m")
    for _ in range(5_000):
        sample.chosen(1)
    sample.taken()
    # when the next second is like it
    places = [place for place in range(5_000) if sample.chosen(1)]
    # then every so manieth is taken, up to its end
    assert LEAST_ROWS <= len(places) <= 100
    assert places[-1] > 4_000
    # and of a body of many rows as well
    assert len(sample.chosen(100_000)) <= 100


def test_what_is_handed_on_is_of_bounded_size_and_of_the_model_s_columns() -> None:
    # given rows with long texts, other names, and one without an answer
    sample = Sample()
    sample.begin(WATCHED, "m")
    text = next(name for name in WATCHED.columns.names if isinstance(ROWS[0][name], str))
    rows = [{**ROWS[0], text: "x" * 100_000, "secret": "of no column"}, {}]
    answered(sample, [rows[0]])
    sample.rows(lambda: rows, range(1, 2), [{}, {"error": {"reason": "missing"}}], "m")
    # then
    (values,) = told_of(sample)["rows"]
    assert len(values) == len(WATCHED.columns.names) + 2
    assert "of no column" not in json.dumps(values)
    assert len(json.dumps(values)) < 5_000
    # and what JSON cannot hold stays here
    sample.rows([{**ROWS[0], "real": 2**70}], range(1), [{"prediction": "no"}], "m")
    assert sample.taken() is None
    answered(sample, ROWS[:1])
    assert len(told_of(sample)["rows"]) == 1


def test_rows_of_a_table_are_sampled_as_those_of_json() -> None:
    # given the same rows both ways
    by_rows, by_table = Sample(10_000), Sample(10_000)
    for sample in (by_rows, by_table):
        sample.begin(WATCHED, "m")
    n = min(len(ROWS), TABLE.num_rows, 100)
    answered(by_rows, ROWS[:n])
    table = TABLE.slice(0, n)
    answers = SCORER.table(table)
    by_table.table(table, by_table.chosen(len(answers.places)), answers, "m")
    # then
    assert told_of(by_table)["rows"] == told_of(by_rows)["rows"]
    assert isinstance(table, pa.Table)


def test_an_application_of_one_s_own_watches_what_it_answers_where_somebody_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for place in ("serve_watching.TAKEN_SECONDS", "drift_inputs.LOOK_SECONDS"):
        monkeypatch.setattr(f"daskflow.streams.{place}", 0.02)
    # given an application in somebody's own event loop
    told = list[Any]()

    async def work() -> None:
        from daskflow.streams.serve_app import app

        served = app(MODELS["binary"], drift=told.append)

        async def drift_after(rows: list[Any]) -> str:
            reply = await ask(served, body=rows_body(rows), headers=JSON)
            assert reply.status == 200
            return (await ask(served, "GET", "/metrics")).body.decode()

        # when its rows are calm, and then others
        while 'daskflow_serve_drift{column="real"}' not in await drift_after(ROWS):
            await asyncio.sleep(0.02)
        assert not told
        while not any(record["of"] == "real" for record in told):
            await drift_after(MOVED)
            await asyncio.sleep(0.02)
        # then it ends with the application, as ASGI's lifespan says it
        messages, sent = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]), list[str]()

        async def receive() -> Any:
            return next(messages)

        async def send(message: Any) -> None:
            sent.append(message["type"])

        await served({"type": "lifespan", "app": served, "state": {}}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        while any(thread.name == "looking for drift" for thread in threading.enumerate()):
            await asyncio.sleep(0.02)
        assert (await ask(served, body=rows_body(ROWS[:1]), headers=JSON)).status == 200

    asyncio.run(asyncio.wait_for(work(), 200))
    assert {record["detector"] for record in told} == {"PSI"}


def test_a_watch_goes_on_where_whoever_is_told_of_an_alarm_fails(caplog: pytest.LogCaptureFixture) -> None:
    def fails(record: Any) -> None:
        raise RuntimeError("the mail server is down")

    WatchedHere(fails)._watch._tell({"record": "drift"})
    assert "could not be told" in caplog.text
    assert "the mail server is down" in caplog.text


def test_a_card_that_cannot_be_read_is_said_and_nothing_is_watched() -> None:
    words = list[str]()
    watch = ServeWatch(tell=lambda record: None, say=words.append)
    watch.begin({**WATCHED.dump(), "reference": {"real": {"edges": "none"}}}, "m")
    watch.take({"identity": "m", "rows": [[1]]})
    watch.end()
    assert "not watched for drift" in words[0]


def test_drift_stands_among_the_metrics() -> None:
    values = {**Counts().dump(), "drift": {'a"b': [0.5, 0.25]}}
    text = prometheus(values, "m", is_ready=True, started=0.0)
    assert 'daskflow_serve_drift{column="a\\"b"} 0.5' in text
    assert 'daskflow_serve_drift_bound{column="a\\"b"} 0.25' in text


def until(found: Callable[[], bool], seconds: float = 120.0) -> None:
    """Wait for something."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_real_server_of_two_processes_tells_of_drift(tmp_path: Path) -> None:
    # given a server of two processes that is asked over many connections
    model = written(tmp_path / "model")
    with flow.Server(model, port=0, workers=2, folder=str(tmp_path / "told")) as server:
        host = server.url.partition("://")[2]

        def ask(method: str, path: str, body: bytes = b"") -> str:
            connection = http.client.HTTPConnection(host, timeout=60)
            try:
                connection.request(method, path, body, JSON)
                return connection.getresponse().read().decode()
            finally:
                connection.close()

        def moved(rows: list[Any]) -> str:
            for _ in range(4):
                ask("POST", "/predict", rows_body(rows))
            return ask("GET", "/metrics")

        # when its rows are calm, and then others
        until(lambda: 'daskflow_serve_drift{column="real"}' in moved(ROWS))
        events = tmp_path / "told" / "events.jsonl"
        until(lambda: bool(moved(MOVED)) and b'"of":"real"' in events.read_bytes())
    # then the record, the note and the values of the seconds are there
    records = records_in(events)
    (alarm,) = [record for record in records if record["record"] == "drift" and record["of"] == "real"]
    assert alarm["detector"] == "PSI"
    assert any(record["record"] == "note" and "'real' has moved" in record["text"] for record in records)
    last = [record for record in records if record["record"] == "stream" and record.get("drift")][-1]
    assert last["drift"]["real"][0] > last["drift"]["real"][1]
