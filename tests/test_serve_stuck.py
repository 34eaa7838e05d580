"""A model that never answers a request: its process is replaced, and those who wait are told."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import daskflow as flow
from daskflow.core.errors import SettingsError
from daskflow.streams.serve_app import app
from daskflow.streams.serve_limits import Limits
from tests.hanging_model import Hanging
from tests.serving_client import JSON, ask, rows_body
from tests.test_serve_answers import slow_model, until, written
from tests.test_streams_scoring import FRAME, MODELS, ROWS

MODEL = MODELS["binary"]
HANGS = {**ROWS[3], "whole": 10**9}


def hanging(folder: Path, *, is_deaf: bool) -> Path:
    """A model that never answers `HANGS`."""
    estimator = Hanging(most=1e3, is_deaf=is_deaf)
    estimator.__dict__.update({**MODEL.estimator.__dict__, "most": 1e3, "is_deaf": is_deaf})
    return written(folder, estimator=estimator)


def asked(url: str, rows: list[Any], told: list[tuple[int, Any]]) -> None:
    """Ask a server, and keep what it says; 0 where it says nothing."""
    connection = http.client.HTTPConnection(url.partition("://")[2], timeout=60)
    try:
        connection.request("POST", "/predict", rows_body(rows), JSON)
        reply = connection.getresponse()
        told.append((reply.status, json.loads(reply.read())))
    except (OSError, http.client.HTTPException) as error:
        told.append((0, str(error)))
    finally:
        connection.close()


def labels_in(answer: tuple[int, Any]) -> list[Any]:
    """What was predicted."""
    return [each["prediction"] for each in answer[1]["predictions"]]


def answered(url: str) -> tuple[int, Any]:
    """Ask until there is an answer, of a process that is slow to begin, or comes in the place of another."""
    deadline, answer = time.monotonic() + 120, (0, None)
    while answer[0] != 200 and time.monotonic() < deadline:
        told = list[tuple[int, Any]]()
        asked(url, ROWS[:2], told)
        (answer,) = told
    assert answer[0] == 200
    return answer


@pytest.mark.slow
@pytest.mark.parametrize("is_deaf", [False, True], ids=["waits", "keeps the interpreter"])
def test_a_process_whose_model_never_answers_is_replaced(tmp_path: Path, is_deaf: bool) -> None:
    model = hanging(tmp_path / "model", is_deaf=is_deaf)
    words = {"port": 0, "timeout": 1.0, "stuck": 4.0, "trust": ("tests.hanging_model.Hanging",)}
    labels = MODEL.predict(FRAME[:2]).tolist()
    first, second, said = list[tuple[int, Any]](), list[tuple[int, Any]](), list[str]()
    with flow.Server(
        model, folder=str(tmp_path / "served"), listener=lambda event: said.append(event.fields["text"]), **words
    ) as server:
        assert labels_in(answered(server.url)) == labels
        # given a request that it never answers, and another one behind it
        clients = [
            threading.Thread(target=asked, args=(server.url, rows, told))
            for rows, told in (([HANGS], first), (ROWS[:1], second))
        ]
        clients[0].start()
        time.sleep(0.2)  # it computes by now; a later one would only be a milder test
        clients[1].start()
        for client in clients:
            client.join(120)
        # then both have their end: in time where the process can say anything, else by the process that comes
        assert first[0][0] == (0 if is_deaf else 504)
        assert second[0][0] in ((0, 200) if is_deaf else (504, 503, 200))  # it may have come late
        # when it has computed for too long, another process answers
        assert labels_in(answered(server.url)) == labels
    # and it stands in the journal, why
    records = [json.loads(line[9:]) for line in (tmp_path / "served" / "journal.jsonl").read_text().splitlines()]
    died, *_ = [record for record in records if record.get("what") == "died"]
    assert ("it had said nothing" if is_deaf else "its model had computed for") in died["text"].lower()
    assert any("is started again" in text for text in said)


def test_those_who_wait_for_a_model_that_is_given_up_are_told_to_come_again() -> None:
    async def work() -> None:
        model, slow = slow_model()
        served = app(model, limits=Limits(timeout_seconds=100.0))
        slow.waits = True
        tasks = [asyncio.create_task(ask(served, body=rows_body(ROWS[:1]), headers=JSON))]
        await until(lambda: served.batcher._computing)
        tasks.append(asyncio.create_task(ask(served, body=rows_body(ROWS[1:2]), headers=JSON)))
        await until(lambda: served.batcher.waiting == 2)
        assert served.batcher.computing_seconds > 0.0
        # when
        served.batcher.give_up()
        replies = [await task for task in tasks]
        slow.waits = False
        # then
        assert [(reply.status, reply.reason) for reply in replies] == [(503, "stuck")] * 2
        assert replies[0].headers["retry-after"] == "1"
        # and where the model comes back all the same, it answers
        await until(lambda: not served.batcher.waiting)
        assert served.batcher.computing_seconds == 0.0
        assert (await ask(served, body=rows_body(ROWS[:1]), headers=JSON)).status == 200

    asyncio.run(work())


def test_who_waits_is_told_before_a_process_is_replaced() -> None:
    with pytest.raises(SettingsError, match=r"--stuck: it should be longer than --timeout \(10 s\)"):
        flow.Server(MODEL, stuck=10)
    assert flow.Server(MODEL, timeout="3s").settings.stuck_seconds == 6.0
    assert flow.Server(MODEL, timeout="3s", stuck="60s").settings.stuck_seconds == 60.0
