"""A model of the online shop's lines under a steady load: 70 % of what a stream, or a server, was measured to do.

A small workflow learns from the first week of the files. Lines of later days are then replayed, first as fast as they
are answered (saturation), then so many a second as 70 % of that. For ``daskflow stream`` a second process adds them to
a Redis Stream and results go to another one; a line's latency is from the moment at which Redis took it to the moment
at which Redis took its result, by Redis' clock, in whole milliseconds. For ``daskflow serve`` a second process sends
each at a random moment that is fixed beforehand; its latency is from that moment to its answer, so that a server that
stands still is charged for all who would have come meanwhile. What waits is noted each second, and the slope of it told
with an interval of 95 %: of means of twenty parts of the time, which are nearly independent.

    python -m tests.bench.retail FOLDER stream|serve [--seconds 600] [--saturate 20] [--share 0.7] [--model RUN]

FOLDER holds the shop's files, one a day, such as ``2010-12-01.csv.gz``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
from scipy import stats

from daskflow.bundle import load_model
from daskflow.data.schema import ColumnKind
from daskflow.streams.scoring import Scorer
from daskflow.workflow import Workflow
from tests.bench.serve import request_of

TRAINED, REPLAYED = "2010-12-0*.csv.gz", "2011-1[12]-*.csv.gz"
MOST_ROWS = 50_000
TICK_SECONDS = 0.01
BACKLOG = 20_000
"""Lines that wait while saturation is measured: there is always work, and memory stays flat."""

KEPT = 200_000
"""Entries that a stream of Redis keeps while nobody has looked at them."""

DRAIN_SECONDS = 30
PARTS = 20
CONNECTIONS = 32


def trained(data: Path, folder: Path) -> Path:
    """Learn a model from the first week, and return its run."""
    toml = Path(__file__).resolve().parents[2] / "workflows" / "retail.toml"
    changes = {"data.path": str(data / TRAINED), "cache.folder": str(folder / "cache"), "search.max_iter": 3}
    run = Workflow.from_toml(toml, {**changes, "evaluation.explain_seconds": 5}).run(folder / "runs")
    return Path(run.path)


def lines(data: Path, model: Path) -> list[bytes]:
    """Lines of later days as JSON, with the columns that the model needs."""
    columns = Scorer(load_model(model)).columns
    texts = {column.name: str for column in columns.columns if column.kind is ColumnKind.CATEGORICAL}
    files = sorted(data.glob(REPLAYED))
    frame = pd.concat([pd.read_csv(path, dtype=texts) for path in files], ignore_index=True)[list(columns.names)]
    rows = json.loads(frame[:MOST_ROWS].to_json(orient="records"))
    return [json.dumps(row).encode() for row in rows]


class Load:
    """What else the machine does: the load average, and the CPU-seconds of one process with its children."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.averages: list[float] = []

    def cpu(self) -> float:
        """CPU-seconds so far."""
        found = 0.0
        for each in [self._process, *self._process.children(recursive=True)]:
            spent = each.cpu_times()
            found += spent.user + spent.system
        return found

    def note(self) -> None:
        """Note the load average."""
        self.averages.append(os.getloadavg()[0])


def slope(seconds: Sequence[float], waiting: Sequence[float]) -> tuple[float, float, float]:
    """Slope of what waits, per second, and its interval of 95 %, of means of parts of the time."""
    at = np.array([part.mean() for part in np.array_split(np.asarray(seconds), PARTS)])
    found = stats.linregress(at, [part.mean() for part in np.array_split(np.asarray(waiting, dtype=float), PARTS)])
    reach = float(stats.t.ppf(0.975, PARTS - 2) * found.stderr)
    return float(found.slope), float(found.slope) - reach, float(found.slope) + reach


def say(latencies: Sequence[float], seconds: Sequence[float], waiting: Sequence[float], rate: float) -> None:
    """Print what was found; latencies in milliseconds."""
    p50, p95, p99, most = np.percentile(latencies, [50, 95, 99, 100])
    mean, low, high = slope(seconds, waiting)
    tenths = [round(float(np.median(part))) for part in np.array_split(np.asarray(waiting), 10)]
    print(f"{len(latencies):,} records; latency in ms: p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f}, largest {most:.0f}")
    print(f"waiting, medians of tenths of the time: {tenths}; largest {max(waiting):.0f}")
    print(f"slope of what waits: {mean:+.3f} records/s (95 %: {low:+.3f} to {high:+.3f}), at {rate:,.0f} records/s")


# The stream


def produce(port: int, bodies: list[bytes], rate: Any, stop: Any) -> None:
    """Add lines to the stream: so many a second, or, where the rate is 0, so many that there is always work."""
    import redis

    with redis.Redis(port=port) as client:
        turn = itertools.cycle(bodies)
        due, before, since = 0.0, 0.0, time.perf_counter()
        while not stop.is_set():
            time.sleep(TICK_SECONDS)
            now = time.perf_counter()
            if rate.value != before:
                due, before = 0.0, rate.value
            due += (now - since) * rate.value
            since = now
            n = int(due) if rate.value else BACKLOG - waiting_in(client)
            due -= int(due)
            pipe = client.pipeline(transaction=False)
            for body in itertools.islice(turn, max(n, 0)):
                pipe.xadd("orders", {"record": body}, maxlen=KEPT, approximate=True)
            pipe.execute()


def added(client: Any, stream: str) -> int:
    """Entries that have ever been added."""
    return int(client.xinfo_stream(stream)["entries-added"]) if client.exists(stream) else 0


def waiting_in(client: Any) -> int:
    """Lines whose result is not there yet."""
    return added(client, "orders") - added(client, "answers")


class Results:
    """Looks at all results as they come, and counts the latencies."""

    def __init__(self, client: Any) -> None:
        self._client, self.latencies = client, Counter[int]()
        self._last, self.is_counting = "0", False

    def look(self) -> None:
        """Take what came since the last time."""
        while True:
            found = self._client.xrange("answers", f"({self._last}", count=5000)
            if not found:
                return
            self._last = found[-1][0].decode()
            if self.is_counting:
                for entry, fields in found:
                    arrived = int(fields[b"id"].rpartition(b"/")[2].partition(b"-")[0])
                    self.latencies[int(entry.partition(b"-")[0]) - arrived] += 1


@contextmanager
def streaming(root: Path, model: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """``daskflow stream`` as a process."""
    url = f"redis://127.0.0.1:{port}/0"
    places = ["--from", f"{url}?stream=orders&group=g", "--to", f"{url}?stream=answers&max_length={KEPT}"]
    command = [sys.executable, "-m", "daskflow", "stream", str(model), "--folder", str(root / "stream"), *places]
    with open(root / "said", "wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(60)


def stream_retail(root: Path, model: Path, bodies: list[bytes], given: argparse.Namespace) -> None:
    """Measure ``daskflow stream``."""
    import redis

    from tests.redis_server import redis_server

    spawn = multiprocessing.get_context("spawn")
    rate, stop = spawn.Value("d", 0.0), spawn.Event()
    with redis_server(root / "redis", "--appendonly", "no") as server, streaming(root, model, server.port) as process:
        producer = spawn.Process(target=produce, args=(server.port, bodies, rate, stop))
        producer.start()
        try:
            with redis.Redis(port=server.port) as client:
                watch_stream(client, Load(process.pid), rate, given)
        finally:
            stop.set()
            producer.join()


def watch_stream(client: Any, load: Load, rate: Any, given: argparse.Namespace) -> None:
    """Measure saturation, then what happens at a share of it."""
    results = Results(client)
    while added(client, "answers") < BACKLOG:
        time.sleep(0.1)
    full = saturation(client, results, given.saturate)
    rate.value = given.share * full
    print(f"saturation {full:,.0f} records/s; {rate.value:,.0f} a second for {given.seconds:.0f} s", flush=True)
    until = time.perf_counter() + DRAIN_SECONDS
    while waiting_in(client) > 0.2 * rate.value and time.perf_counter() < until:  # what was put there for saturation
        time.sleep(0.1)
    results.look()
    results.is_counting = True
    began, cpu, first = time.perf_counter(), load.cpu(), added(client, "answers")
    seconds, waiting = [], []
    while (since := time.perf_counter() - began) < given.seconds:
        seconds.append(since)
        waiting.append(waiting_in(client))
        load.note()
        results.look()
        time.sleep(max(0.0, began + len(seconds) - time.perf_counter()))
    results.look()
    done = added(client, "answers") - first
    spent = load.cpu() - cpu
    say(np.repeat(*zip(*results.latencies.items(), strict=True)), seconds, waiting, done / since)
    print(f"CPU of the stream: {spent / since:.2f} cores, {1e6 * spent / done:.0f} us a record; {loads(load)}")
    rate.value = 0.0
    time.sleep(5)
    print(f"saturation afterwards {saturation(client, results, given.saturate):,.0f} records/s")


def saturation(client: Any, results: Results, for_seconds: float) -> float:
    """Records a second while there is always work."""
    began, before = time.perf_counter(), added(client, "answers")
    while time.perf_counter() - began < for_seconds:
        time.sleep(1)
        results.look()
    return (added(client, "answers") - before) / (time.perf_counter() - began)


# The server


async def answered(reader: Any, writer: Any, request: bytes) -> None:
    """Ask once, and take the answer."""
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))


async def saturate(port: int, requests: list[bytes], seconds: float) -> float:
    """Ask again as soon as there is an answer, over all connections; return requests a second."""
    began, turn = time.perf_counter(), itertools.count()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.perf_counter() - began < seconds:
            await answered(reader, writer, requests[next(turn) % len(requests)])
        writer.close()

    await asyncio.gather(*[one() for _ in range(CONNECTIONS)])
    return next(turn) / (time.perf_counter() - began)


async def paced(port: int, requests: list[bytes], seconds: float, rate: float) -> tuple[Any, Any]:
    """Ask at random moments; return when each was due and when it was answered, seconds from the start."""
    gaps = np.random.default_rng(1).exponential(1 / rate, int(rate * seconds))
    due = np.cumsum(gaps)
    done = np.full(len(due), np.nan)
    turn = iter(range(len(due)))
    began = time.perf_counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for place in turn:
            wait = began + due[place] - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            await answered(reader, writer, requests[place % len(requests)])
            done[place] = time.perf_counter() - began
        writer.close()

    await asyncio.gather(*[one() for _ in range(CONNECTIONS)])
    return due, done


def clients(kind: str, port: int, bodies: list[bytes], seconds: float, rate: float, told: Any) -> None:
    """Be the clients, in a process of their own."""
    import uvloop

    requests = [request_of(b'{"rows":[' + body + b"]}", "application/json") for body in bodies]
    if kind == "saturate":
        told.put(uvloop.run(saturate(port, requests, seconds)))
    else:
        told.put(uvloop.run(paced(port, requests, seconds, rate)))


def asked(kind: str, port: int, bodies: list[bytes], seconds: float, rate: float = 0.0) -> Any:
    """Let the clients ask, and return what they found."""
    spawn = multiprocessing.get_context("spawn")
    told = spawn.Queue()
    process = spawn.Process(target=clients, args=(kind, port, bodies, seconds, rate, told))
    process.start()
    found = told.get()
    process.join()
    return found


def serve_retail(root: Path, model: Path, bodies: list[bytes], given: argparse.Namespace) -> None:
    """Measure ``daskflow serve``: one process that answers."""
    command = [sys.executable, "-m", "daskflow", "serve", str(model), "--port", "0", "--folder", str(root / "serve")]
    with open(root / "said", "wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
    try:
        place = root / "serve" / "access.json"
        while not place.exists():
            assert process.poll() is None, (root / "said").read_text()
            time.sleep(0.1)
        port = int(json.loads(place.read_text())["url"].rpartition(":")[2])
        asked("saturate", port, bodies, 2)
        full = asked("saturate", port, bodies, given.saturate)
        rate = given.share * full
        print(f"saturation {full:,.0f} requests/s; {rate:,.0f} a second for {given.seconds:.0f} s", flush=True)
        load, over = Load(process.pid), threading.Event()

        def note() -> None:
            while not over.wait(1):
                load.note()

        noting = threading.Thread(target=note)
        noting.start()
        cpu = load.cpu()
        due, done = asked("paced", port, bodies, given.seconds, rate)
        over.set()
        noting.join()
        spent = load.cpu() - cpu
        at = np.arange(1, int(given.seconds))
        waiting = np.searchsorted(due, at) - np.searchsorted(np.sort(done), at)
        say(1e3 * (done - due), at.tolist(), waiting.tolist(), len(due) / done.max())
        each = 1e6 * spent / len(due)
        print(f"CPU of the server: {spent / done.max():.2f} cores, {each:.0f} us a row; {loads(load)}")
        print(f"saturation afterwards {asked('saturate', port, bodies, given.saturate):,.0f} requests/s")
    finally:
        process.terminate()
        process.wait(60)


def loads(load: Load) -> str:
    """Load averages, in words."""
    low, middle, high = np.percentile(load.averages, [0, 50, 100])
    return f"load of the machine {middle:.1f} ({low:.1f} to {high:.1f})"


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("what", choices=["stream", "serve"])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--saturate", type=float, default=20)
    parser.add_argument("--share", type=float, default=0.7)
    parser.add_argument("--model", type=Path, help="folder of a run that was made before; default: it is learned first")
    given = parser.parse_args()
    if given.seconds < 2 * PARTS:
        parser.error(f"--seconds should be {2 * PARTS} or more: the slope is of means of {PARTS} parts of the time")
    names = ("daskflow", "scikit-learn", "numpy", "pyarrow", "redis", "uvicorn")
    print(f"{platform.platform()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {sys.version.split()[0]}")
    print(", ".join(f"{name} {version(name)}" for name in names))
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        model = given.model or trained(given.data, root)
        bodies = lines(given.data, model)
        print(f"{len(bodies):,} lines are replayed, such as {bodies[0].decode()}", flush=True)
        (stream_retail if given.what == "stream" else serve_retail)(root, model, bodies, given)


if __name__ == "__main__":
    main()
