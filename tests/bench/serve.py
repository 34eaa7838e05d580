"""What a served model costs beyond its server: against a bare handler that parses and answers JSON, in the same server.

python -m tests.bench.serve [--seconds N] [--repeats N] [--connections N]

A linear model of 100 features, one worker process, requests of one row over kept connections from a second process on
loopback, as fast as they are answered. The two servers are asked in turns; told are requests per second, the server's
CPU seconds per request (which another process on the machine does not change), and the medians of the ratios. Then
latency at half of the rate at saturation, and Arrow bodies of 1,000 rows against a plain loop that parses, prepares and
predicts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pyarrow as pa

N_FEATURES = 100
BENCH = Path(__file__)


def write_model(folder: Path) -> pd.DataFrame:
    """A logistic regression of 100 numbers, and rows for it."""
    from sklearn.linear_model import LogisticRegression

    from daskflow import bundle
    from daskflow.bundle.rows import rows_of
    from daskflow.data.schema import Schema, Target, Task
    from daskflow.preprocess import Preprocessor

    random = np.random.default_rng(0)
    frame = pd.DataFrame({f"number_{place}": random.normal(place, 2, 4_000) for place in range(N_FEATURES)})
    schema = Schema.of(pa.Schema.from_pandas(frame, preserve_index=False))
    fitted = Preprocessor().fit(frame).fitted_
    y = (frame["number_0"] + frame["number_1"] > 1).astype(int)
    estimator = LogisticRegression().fit(fitted.matrix(rows_of(frame, schema)), y)
    target = Target("y", Task.BINARY, ("no", "yes"), (1, 1))
    bundle.write(folder, estimator=estimator, transformer=fitted, schema=schema, target=target, card={})
    return frame


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Parse JSON and answer JSON of the usual size."""
    import orjson

    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            break
    given = orjson.loads(b"".join(parts))
    answer = {"prediction": "yes", "probability_no": 0.123456789, "probability_yes": 0.876543211}
    body = orjson.dumps({"model": "0" * 64, "predictions": [answer] * len(given["rows"])})
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def serve(kind: str, fd: int, model: Path) -> None:
    """Be the server of one kind, on an open socket."""
    import uvicorn

    from daskflow.streams.serve_app import app
    from daskflow.streams.serve_protocol import options, settle

    application: Any = bare if kind == "bare" else app(model)
    settle()
    if "--profile" in sys.argv:
        import cProfile
        import signal

        profile = cProfile.Profile()
        signal.signal(signal.SIGUSR1, lambda *_: (profile.disable(), profile.dump_stats("/tmp/s-serve.prof")))
        profile.enable()
    server = uvicorn.Server(uvicorn.Config(application, **options()))
    server.run(sockets=[socket.socket(fileno=fd)])


class Server:
    """A server of one kind in a process of its own."""

    def __init__(self, kind: str, model: Path, *more: str) -> None:
        """Start it and wait until it answers."""
        self.socket = socket.socket()
        self.socket.bind(("127.0.0.1", 0))
        self.socket.listen(2048)
        self.port = self.socket.getsockname()[1]
        fd = self.socket.fileno()
        command = [sys.executable, "-m", "tests.bench.serve", "--serve", kind, str(fd), str(model), *more]
        self.process = subprocess.Popen(command, pass_fds=[fd])
        self.watched = psutil.Process(self.process.pid)

    def cpu(self) -> float:
        """Its CPU seconds so far."""
        spent = self.watched.cpu_times()
        return float(spent.user + spent.system)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)
        self.socket.close()


def request_of(body: bytes, kind: str) -> bytes:
    """A request as it goes over the wire."""
    head = f"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Load:
    """The second process, which asks."""

    def __init__(self) -> None:
        """Start it."""
        command = [sys.executable, str(BENCH.with_name("serve_load.py"))]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, server: Server, kind: str, connections: int, seconds: float, path: Path, rate: float = 0) -> Any:
        """Let it ask, and say what it found and what the server spent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        before = server.cpu()
        self._process.stdin.write(f"{kind} {server.port} {connections} {seconds} {rate} {path}\n")
        self._process.stdin.flush()
        found = json.loads(self._process.stdout.readline())
        return {**found, "cpu": (server.cpu() - before) / (found["done"] + connections)}

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def compare(folder: Path, frame: pd.DataFrame, seconds: float, repeats: int, connections: int) -> None:
    """Ask both servers in turns."""
    path = folder / "requests"
    rows = frame.to_dict("records")[:64]
    bodies = [json.dumps({"rows": [row]}).encode() for row in rows]
    path.write_text("\n".join(request_of(body, "application/json").hex() for body in bodies))
    load = Load()
    servers = {kind: Server(kind, folder / "model") for kind in ("bare", "model")}
    try:
        for server in servers.values():
            load.ask(server, "saturate", connections, 1, path)
        found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in servers}
        for _ in range(repeats):
            for kind, server in servers.items():
                found[kind].append(load.ask(server, "saturate", connections, seconds, path))
        rates = {kind: [each["done"] / each["seconds"] for each in values] for kind, values in found.items()}
        cpu = {kind: [each["cpu"] * 1e6 for each in values] for kind, values in found.items()}
        for kind in servers:
            print(f"{kind:6} {median(rates[kind]):8.0f} requests/s  {median(cpu[kind]):6.1f} us of CPU per request")
        by_rate = [ours / theirs for ours, theirs in zip(rates["model"], rates["bare"], strict=True)]
        by_cpu = [theirs / ours for ours, theirs in zip(cpu["model"], cpu["bare"], strict=True)]
        print(f"ratio by requests/s {median(by_rate):.2f} ({min(by_rate):.2f} to {max(by_rate):.2f})")
        print(f"ratio by CPU        {median(by_cpu):.2f} ({min(by_cpu):.2f} to {max(by_cpu):.2f})")
        least = {kind: min(values) for kind, values in cpu.items()}  # what other processes disturb least
        told = f"bare {least['bare']:.1f}, model {least['model']:.1f}"
        print(f"least CPU in us: {told}, ratio {least['bare'] / least['model']:.2f}")
        rate = median(rates["model"]) / 2
        calm = load.ask(servers["model"], "paced", connections, 10 * seconds, path, rate)
        shown = " ".join(f"{1e3 * value:.2f}" for value in calm["quantiles"])
        print(f"at {rate:.0f} requests/s: p50, p95, p99, max in ms: {shown}")
        compare_tables(folder, frame, servers["model"], load, seconds, repeats)
    finally:
        load.close()
        for server in servers.values():
            server.close()


def compare_tables(folder: Path, frame: pd.DataFrame, server: Server, load: Load, seconds: float, repeats: int) -> None:
    """Arrow bodies of 1,000 rows against a plain loop over the same bytes."""
    from daskflow.bundle import load_model

    model = load_model(folder / "model")
    table = pa.Table.from_pandas(frame[:1000], preserve_index=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = bytes(sink.getvalue())
    path = folder / "tables"
    path.write_text(request_of(body, "application/vnd.apache.arrow.stream").hex())
    ours, plain, walls = [], [], []
    load.ask(server, "saturate", 2, 1, path)
    for _ in range(repeats):
        found = load.ask(server, "saturate", 2, seconds, path)
        ours.append(found["cpu"])
        began, wall, n = time.process_time(), time.perf_counter(), 0
        while time.perf_counter() - wall < seconds:
            with pa.ipc.open_stream(body) as reader:
                rows = reader.read_all()
            matrix = model.transformer.matrix(rows)
            model.estimator.predict(matrix)
            model.estimator.predict_proba(matrix)
            n += 1
        plain.append((time.process_time() - began) / n)
        walls.append((found["done"] / found["seconds"]) / (n / (time.perf_counter() - wall)))
    ratios = [theirs / mine for mine, theirs in zip(ours, plain, strict=True)]
    print(f"Arrow, 1,000 rows: {1e3 * median(ours):.2f} ms of CPU, plain loop {1e3 * median(plain):.2f} ms")
    print(f"ratio by CPU {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    print(f"ratio by requests/s {median(walls):.2f} ({min(walls):.2f} to {max(walls):.2f})")


def main() -> None:
    """Measure, or be one of the processes of it."""
    if "--serve" in sys.argv:
        _, _, kind, fd, model, *_ = sys.argv
        serve(kind, int(fd), Path(model))
        return
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=21)
    parser.add_argument("--connections", type=int, default=64)
    given = parser.parse_args()
    names = ("uvicorn", "httptools", "uvloop", "orjson", "scikit-learn", "numpy", "pyarrow")
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; Python {sys.version.split()[0]}"
    )
    print(", ".join(f"{name} {version(name)}" for name in names))
    with tempfile.TemporaryDirectory() as place:
        frame = write_model(Path(place) / "model")
        compare(Path(place), frame, given.seconds, given.repeats, given.connections)


if __name__ == "__main__":
    main()
