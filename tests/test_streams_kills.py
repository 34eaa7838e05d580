"""A stream that is killed at any moment goes on where it was: no record is lost, and none is there twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daskflow.bundle import load_model
from daskflow.bundle.writing import write
from daskflow.streams.scoring import Scorer
from tests.streaming_process import work
from tests.test_streams_scoring import MODEL, ROWS

N_RECORDS, N_FILES = 3000, 25
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["daskflow.workflow.streaming", "daskflow.bundle.trust", "daskflow.streams.lines"])

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder."""
    folder = tmp_path_factory.mktemp("bundle") / "model"
    parts = {name: getattr(MODEL, name) for name in ("estimator", "transformer", "schema", "target")}
    write(folder, **parts, card={})
    return folder


def row(number: int) -> dict[str, Any]:
    """Every 40th record cannot be answered."""
    values = ROWS[number % len(ROWS)]
    return {**values, "real": "seven"} if number % 40 == 7 else values


def n_commits(folder: Path) -> int:
    path = folder / "journal.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def killed_and_continued(model: Path, source: str, sink: str, folder: Path, kills: int, seed: int) -> int:
    """Start a stream again and again, kill it at random moments, and let it end; return how often it was hit."""
    chance = random.Random(seed)
    options = {"folder": str(folder), "once": True, "batch": 20, "delay": 0.002}
    hits = 0
    for kill in range(kills):
        before = -1 if kill % 3 == 2 else n_commits(folder)  # mostly something new has been committed before
        slow = {**options, "pause_seconds": 0.02}  # it is not done before it is killed
        process = PROCESSES.Process(target=work, args=(str(model), source, sink, slow))
        process.start()
        until = time.monotonic() + 60
        while n_commits(folder) <= before and process.is_alive() and time.monotonic() < until:
            time.sleep(0.001)
        process.join(chance.random() * (0.15 if before >= 0 else 0.6))
        hits += process.is_alive()
        process.kill()
        process.join()
    process = PROCESSES.Process(target=work, args=(str(model), source, sink, options))
    process.start()
    process.join(250)
    assert process.exitcode == 0
    return hits


def check(model: Path, results: list[dict[str, Any]], letters: list[dict[str, Any]], ids: list[str]) -> None:
    """Every record has its answer or its dead letter, once."""
    rows = [row(number) for number in range(len(ids))]
    expected = dict(zip(ids, Scorer(load_model(model)).rows(rows).dicts(), strict=True))
    assert sorted(each["id"] for each in letters) == sorted(name for name, said in expected.items() if said is None)
    found = {each.pop("id"): each for each in results}
    assert len(found) == len(results)
    assert found == {name: said for name, said in expected.items() if said is not None}


def test_files_of_a_folder_are_answered_once_whatever_is_killed(model: Path, tmp_path: Path) -> None:
    # given a folder of files
    each = N_RECORDS // N_FILES
    (tmp_path / "new").mkdir()
    ids = []
    for file in range(N_FILES):
        lines = [json.dumps(row(number)) for number in range(file * each, (file + 1) * each)]
        (tmp_path / "new" / f"{file}.jsonl").write_text("\n".join(lines))
        ids += [f"{file}.jsonl:{number}" for number in range(1, each + 1)]
    # when the stream is killed some times, and continued
    folder = tmp_path / "stream"
    hits = killed_and_continued(model, str(tmp_path / "new"), str(tmp_path / "scored"), folder, 5, 1)
    # then
    assert hits >= 3
    results = [
        json.loads(line) for path in (tmp_path / "scored").glob("part-*") for line in path.read_text().splitlines()
    ]
    check(model, results, [json.loads(line) for line in (folder / "dead.jsonl").read_text().splitlines()], ids)
    summary = json.loads((folder / "done.json").read_text())
    assert summary["answered_in_all"] + summary["dead_in_all"] == N_RECORDS


def test_a_file_of_lines_is_answered_once_and_in_order_whatever_is_killed(model: Path, tmp_path: Path) -> None:
    (tmp_path / "new.jsonl").write_text("".join(json.dumps(row(number)) + "\n" for number in range(N_RECORDS)))
    folder = tmp_path / "stream"
    source, sink = str(tmp_path / "new.jsonl"), str(tmp_path / "out.jsonl")
    assert killed_and_continued(model, source, sink, folder, 5, 3) >= 3
    results = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    numbers = [int(each["id"].partition(":")[2]) for each in results]
    assert numbers == sorted(numbers)
    ids = [f"new.jsonl:{number}" for number in range(1, N_RECORDS + 1)]
    check(model, results, [json.loads(line) for line in (folder / "dead.jsonl").read_text().splitlines()], ids)


@pytest.fixture
def standing(model: Path, tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], int, int]]:
    """`daskflow stream` between two pipes: the process, where it reads, and where it writes."""
    there, feed = os.pipe()
    answers, out = os.pipe()
    command = [sys.executable, "-m", "daskflow", "stream", str(model), "--from", "-", "--to", "-", "--batch", "50"]
    with subprocess.Popen(
        [*command, "--folder", str(tmp_path / "s")], stdin=there, stdout=out, stderr=subprocess.PIPE
    ) as process:
        os.close(there)
        os.close(out)
        try:
            yield process, feed, answers
        finally:
            process.kill()
            os.close(answers)


def test_sigterm_answers_what_was_read_from_a_pipe_and_ends_well(standing: Any) -> None:
    process, feed, answers = standing
    # given lines of one length in a pipe that stays open, more than is read at once
    line = (json.dumps(ROWS[1]).ljust(511) + "\n").encode()
    os.set_blocking(feed, False)
    sent = 0
    while True:
        try:
            sent += os.write(feed, line)
        except BlockingIOError:
            break
    # when it is stopped as soon as something was answered
    with open(answers, "rb", closefd=False) as reader:
        results = [reader.readline()]
        process.send_signal(signal.SIGTERM)
        results += reader.readlines()
    # then whatever it had read is answered
    assert process.wait(120) == 0
    assert [int(json.loads(each)["id"].partition(":")[2]) for each in results] == list(range(1, len(results) + 1))
    assert b"stopped" in process.stderr.read()
    assert len(results) * 512 <= sent
    assert (len(results) * 512) % 65_536 == 0 or len(results) * 512 == sent  # whole reads: nothing of one was dropped
    os.close(feed)


def test_a_reader_that_goes_away_ends_the_stream_with_a_sentence(standing: Any) -> None:
    process, feed, answers = standing
    with open(answers, "rb", closefd=False) as reader:
        os.write(feed, (json.dumps(ROWS[1]) + "\n").encode())
        assert b"prediction" in reader.readline()
    os.dup2(feed, answers)  # the last reading end is gone
    os.write(feed, (json.dumps(ROWS[1]) + "\n").encode())
    assert process.wait(120) == 1
    assert b"Whoever read the results has gone" in process.stderr.read()
    os.close(feed)
