"""A million records through Redis Streams, killed at random: what is lost, what is doubled, and how memory stands.

A producer in a process of its own fills the stream as fast as it can; ``daskflow stream`` reads it as a consumer of a
group, answers with a linear model, and writes into a hash. It is killed (SIGKILL) some times at random moments, started
again each time, and ended with ``--once``. Then every ID is compared, and every answer with that of one pass over the
same rows. Said with it: records per second of producer and consumer, and the resident memory of the last consumer as
it went, which must not grow with what waits.

    python tests/bench/stream_redis.py [RECORDS] [KILLS] [SEED]
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import platform
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import redis

from daskflow.bundle import load_model
from daskflow.bundle.writing import write
from daskflow.streams.scoring import Scorer
from tests.redis_server import RedisServer, redis_server
from tests.test_streams_scoring import MODEL, ROWS

AT_ONCE = 2000
SAMPLE_SECONDS = 0.5


def produce(port: int, n_records: int, told: Any) -> None:
    """Fill the stream, and tell the seconds that it took."""
    bodies = [json.dumps(row) for row in ROWS]
    with redis.Redis(port=port) as client:
        began = time.perf_counter()
        for first in range(0, n_records, AT_ONCE):
            pipe = client.pipeline(transaction=False)
            for number in range(first, min(first + AT_ONCE, n_records)):
                pipe.xadd("orders", {"record": bodies[number % len(bodies)]}, id=f"{number + 1}-0")
            pipe.execute()
        told.put(time.perf_counter() - began)


class Consumer:
    """``daskflow stream`` as a process, with its memory as it goes."""

    def __init__(self, server: RedisServer, model: Path, folder: Path, *more: str) -> None:
        """Start it."""
        command = [sys.executable, "-m", "daskflow", "stream", str(model), "--folder", str(folder), "--json", *more]
        places = ["--from", f"{server.url}?stream=orders&group=g", "--to", f"{server.url}?hash=answers"]
        self.process = subprocess.Popen([*command, *places], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.samples: list[int] = []

    def sample(self) -> None:
        """Note the resident memory, in MiB."""
        try:
            status = Path(f"/proc/{self.process.pid}/status").read_text()
            self.samples.append(int(status.split("VmRSS:")[1].split()[0]) // 1024)
        except (OSError, IndexError):
            return

    def kill(self) -> None:
        """End it as nothing else does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.communicate()


def killed(server: RedisServer, client: Any, model: Path, folder: Path, chance: random.Random, until: int) -> Consumer:
    """Let a consumer work until so many answers are there, and a random moment longer; then kill it."""
    consumer = Consumer(server, model, folder)
    while client.hlen("answers") < until and consumer.process.poll() is None:
        time.sleep(0.02)
    time.sleep(chance.random() * 0.3)
    consumer.sample()
    consumer.kill()
    return consumer


def check(client: Any, model: Path, n_records: int) -> tuple[int, int, int]:
    """Return how many IDs are lost, how many are there that should not be, and how many answers are wrong."""
    expected = Scorer(load_model(model)).rows(ROWS).dicts()
    seen, strange, wrong = 0, 0, 0
    for name, text in client.hscan_iter("answers", count=5000):
        number = int(name.partition("/")[2].partition("-")[0]) - 1
        seen += 1
        strange += not 0 <= number < n_records
        wrong += json.loads(text) != {"id": name, **(expected[number % len(ROWS)] or {})}
    n_unanswerable = sum(1 for number in range(n_records) if expected[number % len(ROWS)] is None)
    return n_records - n_unanswerable - (seen - strange), strange, wrong


def usage() -> float:
    """CPU-seconds of processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def parts_of(samples: list[int], n_parts: int) -> list[list[int]]:
    """Cut samples into parts in their order."""
    ends = [len(samples) * number // n_parts for number in range(n_parts + 1)]
    return [samples[first:end] or [0] for first, end in itertools.pairwise(ends)]


def main() -> None:
    """Run it, and print what was found."""
    n_records = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    n_kills = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as root, redis_server(Path(root, "redis"), "--appendonly", "no") as server:
        client = redis.Redis(port=server.port, decode_responses=True)
        model, folder = Path(root, "model"), Path(root, "stream")
        parts = {name: getattr(MODEL, name) for name in ("estimator", "transformer", "schema", "target")}
        write(model, **parts, card={})
        told = multiprocessing.get_context("spawn").Queue()
        producer = multiprocessing.get_context("spawn").Process(target=produce, args=(server.port, n_records, told))
        producer.start()
        began = time.perf_counter()
        kills = sorted(chance.uniform(0.02, 0.6) for _ in range(n_kills))
        for share in kills:
            killed(server, client, model, folder, chance, int(share * n_records))
            print(f"killed with {client.hlen('answers'):,} answers there", flush=True)
        produced_seconds = told.get()
        producer.join()
        before = usage()
        last = Consumer(server, model, folder, "--once")
        here, since = client.hlen("answers"), time.perf_counter()
        while last.process.poll() is None:
            last.sample()
            time.sleep(SAMPLE_SECONDS)
        out, _ = last.process.communicate()
        seconds = time.perf_counter() - since
        done = client.hlen("answers")
        lost, strange, wrong = check(client, model, n_records)
        consumed = (done - here) / seconds
        produced = n_records / produced_seconds
        fifths = [statistics.median(part) for part in parts_of(last.samples, 5)]
        cpu_seconds = usage() - before
        print(f"{n_records:,} records, {n_kills} kills (seed {seed}), {time.perf_counter() - began:.0f} s in all")
        print(f"lost {lost}, strange {strange}, wrong {wrong}; pending {client.xpending('orders', 'g')['pending']}")
        print(f"of the hash: {done:,} fields; the last process handed on {json.loads(out)['answered']:,}")
        print(f"producer {produced:,.0f} records/s, consumer {consumed:,.0f}: {produced / consumed:.1f} times as fast")
        a_million = 1e6 * cpu_seconds / (done - here)
        print(f"consumer's CPU-seconds, start included: {cpu_seconds:.0f}; {a_million:.0f} a million records")
        print(f"consumer's memory, MiB, medians of fifths: {fifths}; peak {max(last.samples)}")
        print(f"server's peak memory: {server.peak_bytes / 2**20:,.0f} MiB")
        print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
        client.close()
        assert (lost, strange, wrong) == (0, 0, 0)


if __name__ == "__main__":
    main()
