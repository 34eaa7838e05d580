"""A stream from a WebSocket that sends each message once loses none that it has received, whatever is killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import random
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from daskflow.bundle import load_model
from daskflow.bundle.writing import write
from daskflow.streams.scoring import Scorer
from tests.streaming_process import work
from tests.streaming_site import run
from tests.test_streams_scoring import MODEL, ROWS

N_MESSAGES, N_KILLS = 900, 2
TAIL_BYTES = 4096
"""More than two messages have."""

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["daskflow.workflow.streaming", "daskflow.bundle.trust", "daskflow.streams.websocket"])


def received(folder: Path) -> int:
    """Number of the last message that is in the spool as a whole line."""
    for path in sorted(folder.glob("spool/*.spool"), reverse=True)[:1]:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL_BYTES))
            whole = file.read().rpartition(b"\n")[0].rpartition(b"\n")[2]
        return int(json.loads(whole[9:])["n"]) if whole else 0
    return 0


@pytest.mark.slow
def test_none_is_lost_and_none_is_doubled_whatever_is_killed(tmp_path: Path) -> None:
    # given a server that sends the next message as soon as the one before it was received, and none again
    model, folder, chance = tmp_path / "model", tmp_path / "stream", random.Random(5)
    parts = {name: getattr(MODEL, name) for name in ("estimator", "transformer", "schema", "target")}
    write(model, **parts, card={})

    most = [0]  # so many are sent before the next kill: it comes in the midst of them, however slow it is

    async def tell(request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        sent = received(folder)
        while sent < N_MESSAGES and not socket.closed:
            if received(folder) == sent < most[0]:
                sent += 1
                await socket.send_json(ROWS[(sent - 1) % len(ROWS)])
            await asyncio.sleep(0)
        return socket

    def started(url: str, **options: Any) -> Any:
        told = {"folder": str(folder), "batch": 50, "delay": 0.005, **options}
        process = PROCESSES.Process(target=work, args=(str(model), url, str(tmp_path / "answers"), told))
        process.start()
        return process

    # when the stream is killed some times while it receives, and continued
    async def through(site: Any) -> list[int]:
        site.handler = tell
        hits = []
        for number in range(N_KILLS):
            most[0] = (2 * number + 3) * N_MESSAGES // (2 * N_KILLS + 2)
            process = started(site.url("ws"))
            while received(folder) < (number + 1) * N_MESSAGES // (N_KILLS + 1) and process.is_alive():
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05 * chance.random())
            process.kill()
            await asyncio.to_thread(process.join)
            hits.append(received(folder))
        most[0] = N_MESSAGES
        process = started(site.url("ws"), once=True)
        await asyncio.to_thread(process.join, 150)
        assert process.exitcode == 0
        return hits

    hits = run(through, seconds=280)
    # then
    assert 0 < hits[0] < hits[-1] < N_MESSAGES
    lines = [line for path in (tmp_path / "answers").glob("part-*") for line in path.read_text().splitlines()]
    found = {int(each.pop("id").rpartition("-")[2]): each for each in map(json.loads, lines)}
    assert len(found) == len(lines) == N_MESSAGES
    expected = Scorer(load_model(model)).rows(ROWS).dicts()
    assert found == {number + 1: expected[number % len(ROWS)] for number in range(N_MESSAGES)}
