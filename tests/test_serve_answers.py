"""What a served model answers: the bits of batch prediction, and a documented refusal to everything else."""

from __future__ import annotations

import asyncio
import io
import json
import math
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskflow import bundle
from daskflow.core.errors import BundleError
from daskflow.streams.serve_app import app
from daskflow.streams.serve_arrow import ARROW, table_of
from daskflow.streams.serve_batching import QUICK_SECONDS
from daskflow.streams.serve_limits import Limits, Refusal
from tests.serving_client import JSON, ask, rows_body
from tests.test_streams_scoring import FRAME, MODELS, ROWS, bits

MODEL = MODELS["binary"]
TABLE = pa.Table.from_pandas(FRAME, preserve_index=False)


def stream_of(table: pa.Table, **options: Any) -> bytes:
    """A table as a request's body."""
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize("kind", MODELS)
def test_answers_have_the_bits_of_batch_prediction(kind: str) -> None:
    model = MODELS[kind]
    expected = bits(model, FRAME[:200])

    async def work() -> None:
        served = app(model)
        # given requests of one row and of many, at the same time
        replies = await asyncio.gather(
            *[
                ask(served, body=rows_body(ROWS[at : at + size]), headers=JSON)
                for at, size in ((0, 1), (1, 1), (2, 98))
            ],
            ask(served, body=rows_body(ROWS[100:200]), headers=JSON),
        )
        # then each has its own rows' answers
        found = [answer for reply in replies for answer in reply.json["predictions"]]
        assert found == expected
        # and so has one row by itself, and a table
        one = await ask(served, body=json.dumps({"row": ROWS[0]}).encode(), headers=JSON)
        assert one.json["predictions"] == expected[:1]
        reply = await ask(served, body=stream_of(TABLE[:200]), headers={"content-type": ARROW})
        assert (reply.status, reply.headers["content-type"]) == (200, ARROW)
        assert pa.ipc.open_stream(reply.body).read_all().to_pylist() == expected

    asyncio.run(work())


HALF = json.dumps({"rows": [ROWS[0]]}).encode()[:-9]
BAD: dict[str, tuple[bytes, dict[str, str], int, str, str]] = {
    "half of the JSON": (HALF, JSON, 400, "malformed", "not JSON"),
    "no body": (b"", JSON, 400, "malformed", "no body"),
    "a bare NaN": (b'{"row": {"real": NaN}}', JSON, 400, "malformed", "not JSON"),
    "a number beyond float": (b'{"row": {"real": 1e999}}', JSON, 400, "malformed", "infinity"),
    "a list": (b"[1]", JSON, 400, "malformed", 'the body is {"rows"'),
    "rows that are none": (b'{"rows": 3}', JSON, 400, "malformed", 'the body is {"rows"'),
    "both forms": (b'{"rows": [], "row": {}}', JSON, 400, "malformed", "holds nothing else"),
    "nested too deep": (b'{"rows":' + b"[" * 100_000, JSON, 400, "malformed", "not JSON"),
    "no text": (b'{"row": {"city": "\xff"}}', JSON, 400, "malformed", "UTF-8"),
    "an unknown type": (b"a=1", {"content-type": "text/csv"}, 415, "type", "it is text/csv"),
    "no type": (b"{}", {}, 415, "type", "it is not said"),
    "compressed": (b"{}", {**JSON, "content-encoding": "gzip"}, 415, "type", "not compressed"),
    "a length beyond": (b"", {**JSON, "content-length": "99999999"}, 413, "size", "99,999,999"),
    "a foreign page": (b"{}", {**JSON, "origin": "http://evil", "host": "localhost"}, 403, "foreign", "another place"),
    "a row that is none": (rows_body([3]), JSON, 422, "malformed", "an object of values"),
    "a column is missing": (rows_body([{}]), JSON, 422, "missing", "there are no columns 'whole'"),
    "a wrong type": (rows_body([{**ROWS[0], "real": "7"}]), JSON, 422, "type", "should be a number; found '7'"),
    "no Arrow": (b"ARROW?", {"content-type": ARROW}, 400, "malformed", "no whole Arrow stream"),
    "half of the Arrow": (stream_of(TABLE)[:-400], {"content-type": ARROW}, 400, "malformed", "no whole Arrow stream"),
    "swelling Arrow": (stream_of(TABLE, compression="zstd"), {"content-type": ARROW}, 415, "type", "not compressed"),
    "Arrow without a column": (
        stream_of(TABLE.drop_columns(["city"])),
        {"content-type": ARROW},
        422,
        "columns",
        "lacks city",
    ),
    "Arrow of nothing, often": (
        stream_of(pa.table({"void": pa.nulls(2_000_000)})),
        {"content-type": ARROW},
        413,
        "size",
        "2,000,000",
    ),
}


@pytest.mark.parametrize(("host", "status"), [("localhost:8000", 200), ("127.0.0.1", 200), ("rebound.example", 403)])
def test_without_a_token_web_pages_ask_by_this_machines_own_names_only(host: str, status: int) -> None:
    # given a page whose own name was let point to this machine, so that it is no foreign one for the browser
    headers = {**JSON, "host": host, "origin": f"http://{host}", "sec-fetch-site": "same-origin"}

    async def work() -> None:
        served = app(MODEL)
        served.is_local = True
        found = await ask(served, body=rows_body(ROWS[:1]), headers=headers)
        assert found.status == status

    asyncio.run(work())


@pytest.mark.parametrize("name", BAD)
def test_bad_input_has_its_answer_and_disturbs_nobody(name: str) -> None:
    body, headers, status, reason, words = BAD[name]

    async def work() -> None:
        # given a good request beside it
        served = app(MODEL)
        bad, good = await asyncio.gather(
            ask(served, body=body, headers=headers), ask(served, body=rows_body(ROWS[:1]), headers=JSON)
        )
        # then the bad one is told what is wrong
        assert bad.status == status
        error = bad.json["error"] if "error" in bad.json else bad.json["predictions"][0]["error"]
        assert error["reason"] == reason
        assert words in error["message"]
        # and the good one is answered, and both are counted
        assert good.json["predictions"] == bits(MODEL, FRAME[:1])
        assert served.counts.dump()["codes"] == {str(status): 1, "200": 1}
        assert served.counts.problems[reason] >= 1
        assert served._held == 0

    asyncio.run(work())


def test_rows_that_fail_stand_among_those_that_are_answered() -> None:
    async def work() -> None:
        served = app(MODEL)
        rows = [ROWS[0], {**ROWS[1], "real": True}, {**ROWS[2], "city": "Mars"}]
        reply = await ask(served, body=rows_body(rows), headers=JSON)
        frame = FRAME[:3].assign(city=[row["city"] for row in rows])
        found = reply.json["predictions"]
        assert reply.status == 200
        assert [found[0], found[2]] == [bits(MODEL, frame)[place] for place in (0, 2)]
        assert found[1]["error"]["reason"] == "type"
        # and a level that training has not seen is answered and counted
        assert served.counts.unseen == {"city": 1}
        # the same of a table: a column says why
        table = TABLE[:3].set_column(2, "real", pa.array([1.0, math.inf, 2.0]))
        reply = await ask(served, body=stream_of(table), headers={"content-type": ARROW})
        answered = pa.ipc.open_stream(reply.body).read_all()
        assert answered["prediction"].is_null().to_pylist() == [False, True, False]
        assert "'real' is infinite" in answered["error"][1].as_py()
        infinite = TABLE[:1].set_column(2, "real", pa.array([math.inf]))
        reply = await ask(served, body=stream_of(infinite), headers={"content-type": ARROW})
        assert (reply.status, reply.reason) == (422, "value")
        # no rows are no mistake
        assert (await ask(served, body=rows_body([]), headers=JSON)).json["predictions"] == []

    asyncio.run(work())


def test_dictionaries_that_would_swell_are_refused() -> None:
    long = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int8()), pa.array(["x" * 100_000]))
    table = TABLE.slice(0, 0)
    columns = {name: pa.nulls(1000, table.schema.field(name).type) for name in table.column_names}
    body = stream_of(pa.table(columns | {"city": long}))

    async def work() -> None:
        reply = await ask(app(MODEL), body=body, headers={"content-type": ARROW})
        assert (reply.status, reply.reason) == (413, "size")
        assert "100,000,000 bytes written out" in reply.words

    asyncio.run(work())


def test_a_table_that_says_to_have_fewer_rows_than_none_is_refused() -> None:
    # given a header with the number of rows changed
    body = stream_of(TABLE[:7])
    at = body.index(struct.pack("<q", 7))
    body = body[:at] + struct.pack("<q", -7) + body[at + 8 :]
    # when, then
    with pytest.raises(Refusal, match="a header is damaged") as refused:
        table_of(body, TABLE.column_names, Limits())
    assert refused.value.status == 400


def test_a_model_that_waits_for_threads_of_its_own_is_not_asked_in_the_event_loop() -> None:
    async def work() -> None:
        model, slow = slow_model()
        served = app(model, limits=Limits())
        slow.waits = True
        first = asyncio.create_task(ask(served, body=rows_body(ROWS[:1]), headers=JSON))
        await until(lambda: served.batcher._computing)
        await asyncio.sleep(8 * QUICK_SECONDS)
        slow.waits = False
        await first
        # given that it took long on the clock, and none of the processor's time
        slow.waits = True
        second = asyncio.create_task(ask(served, body=rows_body(ROWS[:1]), headers=JSON))
        # then the loop goes on while it computes
        await until(lambda: served.batcher._computing)
        slow.waits = False
        assert (await second).status == 200

    asyncio.run(work())


def test_extra_names_are_passed_over_unless_refused() -> None:
    async def work() -> None:
        row = {**ROWS[0], "colour": "red"}
        assert (await ask(app(MODEL), body=rows_body([row]), headers=JSON)).status == 200
        reply = await ask(app(MODEL, is_strict=True), body=rows_body([row]), headers=JSON)
        assert reply.json["predictions"][0]["error"]["reason"] == "extra"

    asyncio.run(work())


def test_a_body_without_a_length_is_bounded_too() -> None:
    async def work() -> None:
        served = app(MODEL, limits=Limits(max_bytes=1000))
        reply = await ask(served, body=[b"x" * 400] * 3, headers=JSON)
        assert (reply.status, reply.reason) == (413, "size")
        whole = app(MODEL)
        parts = rows_body(ROWS[:2])
        reply = await ask(whole, body=[parts[:300], parts[300:]], headers=JSON)
        assert reply.json["predictions"] == bits(MODEL, FRAME[:2])

    asyncio.run(work())


def test_a_body_that_does_not_come_is_told_and_a_client_that_vanishes_is_not() -> None:
    async def work() -> None:
        served = app(MODEL, limits=Limits(timeout_seconds=0.3))

        async def never() -> Any:
            await asyncio.sleep(3600)

        reply = await ask(served, receive=never, headers=JSON)
        assert (reply.status, reply.reason) == (408, "slow")

        async def gone() -> Any:
            return {"type": "http.disconnect"}

        assert (await ask(served, receive=gone, headers=JSON)).status == 0
        assert served.counts.problems["gone"] == 1
        assert await is_answered(served)

    asyncio.run(work())


class Slow(type(MODEL.estimator)):  # type: ignore[misc]
    """An estimator that waits until it is let go."""

    def predict(self, X: Any) -> Any:
        """Wait, unless all is missing, as in the row that a model is tried with."""
        if len(X) and self.waits:
            import time

            deadline = time.monotonic() + 100
            while self.waits and time.monotonic() < deadline:
                time.sleep(0.005)
        return super().predict(X)


def slow_model() -> tuple[Any, Any]:
    """A model that computes as long as its estimator's ``waits`` says."""
    slow = Slow()
    slow.__dict__.update(MODEL.estimator.__dict__)
    slow.waits = False
    return replace(MODEL, estimator=slow), slow


class Panic(BaseException):
    """As native code raises it."""


class Panicking(type(MODEL.estimator)):  # type: ignore[misc]
    """An estimator that panics when it is told to."""

    def predict(self, X: Any) -> Any:
        """Predict, or panic."""
        if self.panics:
            raise Panic("it is over")
        return super().predict(X)


def test_a_model_that_panics_keeps_nobody_waiting() -> None:
    async def work() -> None:
        estimator = Panicking()
        estimator.__dict__.update(MODEL.estimator.__dict__)
        estimator.panics = False
        served = app(replace(MODEL, estimator=estimator))
        for _ in range(2):  # in a thread, and when it is known to be quick, in the loop
            estimator.panics = True
            reply = await asyncio.wait_for(ask(served, body=rows_body(ROWS[:1]), headers=JSON), 30)
            assert (reply.status, reply.reason) == (500, "model")
            estimator.panics = False
            for _ in range(9):
                assert (await ask(served, body=rows_body(ROWS[:1]), headers=JSON)).status == 200

    asyncio.run(work())


async def until(holds: Any) -> None:
    """Wait for something to be so."""
    for _ in range(12_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it was never so")


async def is_answered(served: Any) -> bool:
    """Whether a row is answered, on a busy machine perhaps not the first time within so short a time."""
    for _ in range(600):
        reply = await ask(served, body=rows_body(ROWS[:1]), headers=JSON)
        if reply.status == 200:
            return True
        assert reply.reason in ("slow", "late"), reply.words
        await asyncio.sleep(0.1)
    return False


def test_what_comes_while_the_model_computes_is_one_batch_and_a_full_queue_says_so() -> None:
    async def work() -> None:
        model, slow = slow_model()
        served = app(model, limits=Limits(queue=3))
        slow.waits = True
        first = asyncio.create_task(ask(served, body=rows_body(ROWS[:1]), headers=JSON))
        await until(lambda: served.batcher._computing)
        others = [
            asyncio.create_task(ask(served, body=rows_body(ROWS[at : at + 1]), headers=JSON)) for at in range(1, 4)
        ]
        await until(lambda: len(served.batcher._waiting) == 3)
        # given that three wait: the next is told to come again, and health is answered meanwhile
        reply = await ask(served, body=rows_body(ROWS[:1]), headers=JSON)
        assert (reply.status, reply.reason, reply.headers["retry-after"]) == (429, "busy", "1")
        assert (await ask(served, "GET", "/health")).status == 200
        # when the model is done
        slow.waits = False
        await asyncio.gather(first, *others)
        # then the three were one batch
        assert served.counts._recent_batches == {"1": 1, "3": 1}
        found = [task.result().json["predictions"][0]["prediction"] for task in [first, *others]]
        assert found == [answer["prediction"] for answer in bits(MODEL, FRAME[:4])]

    asyncio.run(work())


def test_who_gets_no_answer_in_time_is_told_and_a_server_that_is_stuck_is_not_ready() -> None:
    async def work() -> None:
        model, slow = slow_model()
        served = app(model, limits=Limits(timeout_seconds=0.1))
        slow.waits = True
        replies = await asyncio.gather(*[ask(served, body=rows_body(ROWS[:1]), headers=JSON) for _ in range(2)])
        assert [(reply.status, reply.reason) for reply in replies] == [(504, "late")] * 2
        await until(lambda: served.batcher.is_stuck)  # it began to compute a little later than it was asked
        assert (await ask(served, "GET", "/ready")).json["why"] == "stuck"
        slow.waits = False
        await until(lambda: not served.batcher._computing)
        assert await is_answered(served)
        assert (await ask(served, "GET", "/ready")).json["ready"] is True

    asyncio.run(work())


def test_a_batch_waits_only_where_it_is_asked_to() -> None:
    async def work() -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await ask(app(MODEL, limits=Limits(delay_seconds=0.2, batch=2)), body=rows_body(ROWS[:1]), headers=JSON)
        assert loop.time() - began >= 0.19
        # and a full batch waits for nothing, however long it might
        served = app(MODEL, limits=Limits(delay_seconds=100.0, batch=2, timeout_seconds=200.0))
        began = loop.time()
        await asyncio.gather(*[ask(served, body=rows_body(ROWS[:1]), headers=JSON) for _ in range(2)])
        assert loop.time() - began < 60

    asyncio.run(work())


def test_a_model_that_raises_at_a_row_fails_that_row_only() -> None:
    class Picky(type(MODEL.estimator)):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:
            if (X[:, 0] > 2.0).any():
                raise ZeroDivisionError("too high")
            return super().predict(X)

    picky = Picky()
    picky.__dict__.update(MODEL.estimator.__dict__)

    async def work() -> None:
        served = app(replace(MODEL, estimator=picky))
        poisoned = {**ROWS[3], "whole": 10**9}
        bad, good = await asyncio.gather(
            ask(served, body=rows_body([poisoned]), headers=JSON), ask(served, body=rows_body(ROWS[:1]), headers=JSON)
        )
        assert bad.status == 422
        assert "ZeroDivisionError: too high" in bad.json["predictions"][0]["error"]["message"]
        assert good.json["predictions"][0]["prediction"] == bits(MODEL, FRAME[:1])[0]["prediction"]

    asyncio.run(work())


def test_paths_and_methods_that_are_none_have_their_answers() -> None:
    async def work() -> None:
        served = app(MODEL)
        reply = await ask(served, "GET", "/predikt")
        assert (reply.status, reply.reason) == (404, "path")
        assert "did you mean '/predict'" in reply.words
        for method, path, allowed in (("GET", "/predict", "POST"), ("POST", "/health", "GET, HEAD")):
            reply = await ask(served, method, path)
            assert (reply.status, reply.reason) == (405, "method")
            assert set(reply.headers["allow"].split(", ")) == set(allowed.split(", "))

    asyncio.run(work())


TOKEN = "a-token-of-the-clients"


def test_a_token_is_asked_for_wherever_something_is_told() -> None:
    async def work() -> None:
        served = app(MODEL, token=TOKEN)
        shown = {"authorization": f"Bearer {TOKEN}"}
        for method, path in (
            ("POST", "/predict"),
            ("GET", "/metrics"),
            ("GET", "/schema"),
            ("GET", "/openapi.json"),
            ("GET", "/docs"),
        ):
            for wrong in ({}, {"authorization": "Bearer another"}, {"authorization": TOKEN}):
                reply = await ask(served, method, path, rows_body(ROWS[:1]), {**JSON, **wrong})
                assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer"), path
                assert TOKEN not in reply.body.decode()
            assert (await ask(served, method, path, rows_body(ROWS[:1]), {**JSON, **shown})).status == 200, path
        # health and readiness are for whoever balances the load
        assert (await ask(served, "GET", "/health")).status == (await ask(served, "GET", "/ready")).status == 200
        assert (await ask(served, "GET", "/docs", query=f"token={TOKEN}".encode())).status == 200

    asyncio.run(work())


def test_the_documents_say_what_the_model_has_learned_and_need_no_network() -> None:
    async def work() -> None:
        served = app(MODEL, limits=Limits(max_bytes=12345))
        told = (await ask(served, "GET", "/openapi.json")).json
        row = told["components"]["schemas"]["Row"]
        assert row["required"] == list(MODEL.schema.names)
        assert row["properties"]["since"]["format"] == "date-time"
        answer = told["components"]["schemas"]["Answer"]
        assert answer["required"] == ["prediction", "probability_no", "probability_yes"]
        assert "12,345 bytes" in told["info"]["description"]
        example = told["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert (await ask(served, body=json.dumps(example).encode(), headers=JSON)).status == 200
        page = await ask(served, "GET", "/docs")
        assert "default-src 'none'" in page.headers["content-security-policy"]
        assert "https://" not in page.body.decode()
        assert all(name in page.body.decode() for name in MODEL.schema.names)
        schema = (await ask(served, "GET", "/schema")).json
        assert (schema["classes"], schema["columns"]) == (["no", "yes"], MODEL.schema.dump())

    asyncio.run(work())


def test_metrics_tell_requests_rows_latencies_batches_and_levels() -> None:
    async def work() -> None:
        served = app(MODEL)
        await ask(served, body=rows_body([{**ROWS[0], "city": 'a"b\n'}, ROWS[1], 3]), headers=JSON)
        await ask(served, body=b"{", headers=JSON)
        lines = (await ask(served, "GET", "/metrics")).body.decode().splitlines()
        for line in (
            'daskflow_serve_requests_total{code="200"} 1',
            'daskflow_serve_requests_total{code="400"} 1',
            "daskflow_serve_rows_total 2",
            'daskflow_serve_problems_total{reason="malformed"} 2',
            'daskflow_serve_unseen_levels_total{column="city"} 1',
            'daskflow_serve_request_seconds_bucket{le="+Inf"} 2',
            "daskflow_serve_batch_rows_sum 3",
            f'daskflow_serve_model_info{{identity="{MODEL.identity}"}} 1',
        ):
            assert line in lines
        names = {line.split("{")[0].split(" ")[0] for line in lines if not line.startswith("#")}
        typed = {line.split(" ")[2] for line in lines if line.startswith("# TYPE")}
        assert {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in names} <= {
            each.removesuffix("_count") for each in typed
        }

    asyncio.run(work())


def written(folder: Path, **changes: Any) -> Path:
    """A model folder."""
    model = replace(MODEL, **changes)
    bundle.write(
        folder,
        estimator=model.estimator,
        transformer=model.transformer,
        schema=model.schema,
        target=model.target,
        card=dict(model.card),
    )
    return folder


def test_another_model_takes_over_between_two_requests_and_a_bad_one_does_not(tmp_path: Path) -> None:
    from sklearn.base import clone

    other = clone(MODEL.estimator)
    other.__dict__.update({**MODEL.estimator.__dict__, "intercept_": MODEL.estimator.intercept_ + 1.0})
    second = written(tmp_path / "second", estimator=other)
    another = written(tmp_path / "another", target=replace(MODEL.target, name="z"))
    damaged = written(tmp_path / "damaged")
    (damaged / "card.json").write_text("{}")

    async def work() -> None:
        served = app(written(tmp_path / "first"), swap_token=TOKEN)
        before = served.served.identity
        shown = {"authorization": f"Bearer {TOKEN}"}

        async def swap(path: Any, headers: dict[str, str]) -> Any:
            return await ask(served, "POST", "/swap", json.dumps({"path": str(path)}).encode(), headers)

        # given requests in flight all the time
        stop = False
        seen: list[Any] = []

        async def go_on() -> None:
            while not stop:
                seen.append(await ask(served, body=rows_body(ROWS[:1]), headers=JSON))
                await asyncio.sleep(0.005)

        going = asyncio.create_task(go_on())
        # when a model is unreadable, of another target, or nobody may name one
        for path, words in (
            (damaged, "card.json was changed"),
            (another, "predicts 'z'"),
            (tmp_path / "no", "There is no"),
        ):
            reply = await swap(path, shown)
            assert reply.status == 409
            assert words in reply.words
        assert (await swap(second, {})).status == 401
        assert (await ask(app(MODEL), "POST", "/swap", b"{}", shown)).status == 403
        assert (await ask(served, "POST", "/swap", b"[", shown)).status == 400
        assert served.served.identity == before
        # then the first goes on, until a good one comes
        reply = await swap(second, shown)
        assert reply.json == {"model": served.served.identity, "before": before}
        await until(lambda: seen[-1].json.get("model") == served.served.identity)
        stop = True
        await going
        assert {each.status for each in seen} == {200}
        assert [each.json["model"] for each in seen] == sorted(
            [each.json["model"] for each in seen], key=[before, served.served.identity].index
        )
        by_model = {each.json["model"]: each.json["predictions"] for each in seen}
        assert by_model[before] == bits(MODEL, FRAME[:1])
        assert by_model[served.served.identity] == bits(bundle.load_model(second), FRAME[:1])

    asyncio.run(work())


def test_a_model_that_cannot_answer_is_refused_at_the_door() -> None:
    class Broken(type(MODEL.estimator)):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:
            raise MemoryError("no room")

    broken = Broken()
    broken.__dict__.update(MODEL.estimator.__dict__)
    with pytest.raises(BundleError, match="cannot answer a row"):
        app(replace(MODEL, estimator=broken))


def test_numbers_side_by_side_are_the_numbers_one_by_one() -> None:
    # given rows with gaps, whole and negative zeros, and very small and large numbers
    from daskflow.bundle.one_row import OneRow
    from daskflow.data.schema import Schema
    from daskflow.preprocess import Preprocessor

    random = np.random.default_rng(3)
    frame = pd.DataFrame({f"n{place}": random.normal(place, 1 + place, 400) for place in range(6)})
    frame["whole"] = random.integers(-9, 9, 400)
    frame["text"] = random.choice(["a", "b"], 400)
    preprocessor = Preprocessor(columns={"n2": ["clip", "impute", "scale"], "n3": ["impute"], "n4": ["drop"]})
    fitted = preprocessor.fit(frame).fitted_
    reader = OneRow(Schema.of(pa.Schema.from_pandas(frame, preserve_index=False)), fitted)
    values = [0.0, -0.0, 1e-300, -1e300, 3.5, None, 7, -(2**61), 2**40, float("nan")]
    names = list(frame.columns[:7])
    rows = [{**{name: values[int(random.integers(len(values)))] for name in names}, "text": "a"} for _ in range(300)]
    rows = [{**row, "whole": float(row["whole"]) if row["whole"] else row["whole"]} for row in rows]
    # when they are read together, and one after the other
    assert reader._side_by_side is not None
    for size in (1, 7, 300):
        for some in (rows[:size], [dict(reversed(row.items())) for row in rows[:size]]):
            together, _ = reader._side_by_side.read(some)
            alone = [reader.matrix_of(row) for row in some]
            if any(each is None for each in alone):
                continue
            # then not a bit differs
            assert together is not None
            assert together.tobytes() == np.concatenate(alone).tobytes()
    # and what is no plain number is left to the way row by row
    for odd in (True, "7", 2**70, float("inf"), [1]):
        assert reader._side_by_side.read([rows[0], {**rows[0], "n0": odd}])[0] is None
