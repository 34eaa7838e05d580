"""A stream between Redis and Redis that is killed at random loses no record and doubles none in a keyed sink."""

from __future__ import annotations

import json
import multiprocessing
import random
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from daskflow.bundle import load_model
from daskflow.bundle.writing import write
from daskflow.streams.scoring import Scorer
from tests.redis_server import redis_server
from tests.streaming_process import work
from tests.test_streams_scoring import MODEL, ROWS

N_RECORDS, N_KILLS = 20_000, 3
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["daskflow.workflow.streaming", "daskflow.bundle.trust", "daskflow.streams.redis"])

pytestmark = pytest.mark.slow


def row(number: int) -> dict[str, Any]:
    """Every 1,000th record cannot be answered."""
    values = ROWS[number % len(ROWS)]
    return {**values, "real": "seven"} if number % 1000 == 7 else values


def fill(port: int, kills: threading.Semaphore) -> None:
    """Add the records to the stream ``orders``, with IDs that count from 1 on; a part of them behind each kill."""
    part = N_RECORDS // (N_KILLS + 1)
    with redis.Redis(port=port) as client:
        for first in range(0, N_RECORDS, 1000):
            if first and first % part == 0:
                assert kills.acquire(timeout=300)
            pipe = client.pipeline(transaction=False)
            for number in range(first, first + 1000):
                pipe.xadd("orders", {"record": json.dumps(row(number))}, id=f"{number + 1}-0")
            pipe.execute()


def test_none_is_lost_and_none_is_doubled_whatever_is_killed(tmp_path: Path) -> None:
    # given a producer at work
    model, folder, chance = tmp_path / "model", tmp_path / "stream", random.Random(11)
    parts = {name: getattr(MODEL, name) for name in ("estimator", "transformer", "schema", "target")}
    write(model, **parts, card={})
    with redis_server(tmp_path / "redis") as server, redis.Redis(port=server.port, decode_responses=True) as client:
        n_kills = threading.Semaphore(0)
        producer = threading.Thread(target=fill, args=(server.port, n_kills), daemon=True)
        producer.start()
        source, hits = f"{server.url}?stream=orders&group=g", 0

        def started(**options: Any) -> Any:
            told = {"folder": str(folder), "batch": 200, "delay": 0.01, **options}
            process = PROCESSES.Process(target=work, args=(str(model), source, f"{server.url}?hash=answers", told))
            process.start()
            return process

        # when the stream is killed some times while it works, and continued
        for _ in range(N_KILLS):
            before, process = client.hlen("answers"), started()
            until = time.monotonic() + 60
            while client.hlen("answers") <= before and time.monotonic() < until:
                time.sleep(0.005)
            process.join(chance.random() * 0.3)
            hits += process.is_alive()
            process.kill()
            process.join()
            n_kills.release()
        killed_at = client.hlen("answers")
        producer.join()
        last = started(once=True)
        last.join(250)
        # then
        assert last.exitcode == 0
        assert hits == N_KILLS
        assert 0 < killed_at < N_RECORDS
        found = {name: json.loads(text) for name, text in client.hgetall("answers").items()}
        assert client.xpending("orders", "g")["pending"] == 0
        assert len(client.xinfo_consumers("orders", "g")) == 1
    expected = Scorer(load_model(model)).rows([row(number) for number in range(N_RECORDS)]).dicts()
    answers = {f"orders/{number + 1}-0": said for number, said in enumerate(expected)}
    assert found == {name: {"id": name, **said} for name, said in answers.items() if said is not None}
    letters = [json.loads(line)["id"] for line in (folder / "dead.jsonl").read_text().splitlines()]
    assert set(letters) == {name for name, said in answers.items() if said is None}
