"""On a cluster batches are answered side by side, with the results of one process, in order, also when workers die."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker

from daskflow.core.errors import ClusterError
from daskflow.streams.records import Record
from daskflow.streams.scoring import Scorer
from daskflow.streams.scoring_cluster import ClusterAnswerer
from daskflow.workflow.streaming import Stream
from daskflow.workflow.streaming_settings import StreamSettings
from tests.test_streams_scoring import MODEL, ROWS

N_RECORDS = 7000


def streamed(folder: Path, name: str, cluster: Any, beside: Any = None) -> tuple[bytes, dict[str, Any]]:
    """The results of a stream, and its summary."""
    words = {"from": str(folder / "new.jsonl"), "to": str(folder / f"{name}.jsonl"), "folder": str(folder / name)}
    said = {**words, "batch": 40, "delay": 0.01, **({"cluster": cluster} if cluster else {})}

    async def work() -> dict[str, Any]:
        made = Stream(StreamSettings.of(said), model=MODEL, base=folder)
        task = asyncio.create_task(beside(folder / f"{name}.jsonl")) if beside else None
        done = await made.run()
        if task:
            await task
        return done

    summary = asyncio.run(work())
    return (folder / f"{name}.jsonl").read_bytes(), summary


def workers() -> list[int]:
    """Processes of Dask's workers that this process has started, through their guardians."""
    import psutil

    return [each.pid for each in psutil.Process().children(recursive=True) if "spawn_main" in " ".join(each.cmdline())]


@pytest.mark.slow
def test_workers_give_the_results_of_one_process_though_one_dies(tmp_path: Path) -> None:
    # given results of one process
    lines = [json.dumps(ROWS[number % len(ROWS)]) + "\n" for number in range(N_RECORDS)]
    lines[70] = json.dumps({**ROWS[0], "real": "seven"}) + "\n"
    (tmp_path / "new.jsonl").write_text("".join(lines))
    expected, alone = streamed(tmp_path, "alone", None)
    killed: list[int] = []

    async def kill_one(path: Path) -> None:
        while not path.exists() or not path.stat().st_size:
            await asyncio.sleep(0.01)
        killed.append(workers()[0])
        os.kill(killed[0], signal.SIGKILL)

    # when two workers answer, of which one is killed behind the first results
    found, summary = streamed(tmp_path, "cluster", {"kind": "local", "workers": 2}, kill_one)
    # then
    assert found == expected
    assert killed
    assert (summary["answered"], summary["dead"]) == (alone["answered"], alone["dead"]) == (N_RECORDS - 1, 1)


DEATHS = {
    "A batch of 1 records ended every worker": KilledWorker(
        "said_of-1", SimpleNamespace(address="tcp://127.0.0.1:1"), 3
    ),
    "The cluster was lost": FutureCancelledError("said_of-1", "the scheduler has gone"),
}


@pytest.mark.parametrize("words", DEATHS)
def test_a_cluster_that_cannot_answer_is_a_sentence(words: str) -> None:
    # given a client that says of each batch what Dask says of one whose workers, or whose scheduler, died
    class Client:
        def submit(self, *arguments: Any, **options: Any) -> Client:
            return self

        def result(self) -> Any:
            raise DEATHS[words]

        def release(self) -> None:
            pass

    answerer = ClusterAnswerer(Scorer(MODEL), Client(), slots=2)
    assert answerer.at_once == 4
    with pytest.raises(ClusterError, match=words):
        asyncio.run(answerer.answer([Record("a", ROWS[0])]))
    answerer.close()
