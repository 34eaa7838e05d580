"""A workflow over a slow web server, overlapped, beside the same work with one stage after the other.

    python tests/bench/overlap.py [searched] [large] [--repeats 3] [--files 48] [--rows 30000] [--columns 60]

A server in a process of its own gives files over loopback, at a rate that all connections share. The rate is set so
that the download takes about as long as the scan does of files that are there. Each side runs in a process of its own,
with folders of its own, one after the other in turn:

- *in turn*: all files are fetched (`daskflow fetch`'s own code), then the workflow runs on the folder;
- *overlapped*: the workflow runs from the addresses.

Printed are wall and processor seconds of both (medians, lowest and highest), what stages took, and whether both found
the same. `--only overlapped` measures one side.

With a download D as long as the scan S, and R for all else, no run takes less than (S + R) / (2 S + R) of the sum: 0.8
is in reach only where R is less than three times S. R is a matter of what is asked, so there are two workloads:

- *searched*: 48 files of 30,000 rows, and Hyperband over 17 candidates with a learning curve: R is several times S;
- *large*: twice as many files, and three candidates of a linear model by one epoch of stochastic gradient descent, as
  tables are learned from that do not fit into memory: reading is most of the work.

Both have few levels in their texts, and a tenth of the rows for testing. The bound that is printed is that of each
workload, from what was measured in turn: the whole less the shorter of D and S.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from aiohttp import web

CHUNK = 1 << 16

WORKLOADS: dict[str, dict[str, Any]] = {
    "searched": {"files": 48, "model": {}, "search": {"kind": "hyperband", "max_iter": 9}},
    "large": {
        "files": 96,
        "model": {"params": {"max_iter": 1, "tol": None}},
        "search": {"kind": "grid", "space": {"alpha": [1e-5, 1e-4, 1e-3]}},
    },
}


async def serve(folder: Path, rate: float) -> None:
    """Give the files of a folder at so many bytes per second over all connections, with parts of files (Range)."""
    turn = asyncio.Lock()
    free_at = 0.0

    async def pace(n_bytes: int) -> None:
        nonlocal free_at
        async with turn:
            now = time.monotonic()
            free_at = max(free_at, now - 0.05) + n_bytes / rate
            wait = free_at - now
        if wait > 0:
            await asyncio.sleep(wait)

    async def give(request: web.Request) -> web.StreamResponse:
        content = (folder / request.match_info["name"]).read_bytes()
        asked, total, status = request.http_range, len(content), 200
        headers = {"ETag": f'"{total}"', "Accept-Ranges": "bytes"}
        if asked.start is not None or asked.stop is not None:
            start, stop, _ = slice(asked.start, asked.stop).indices(total)
            content, status = content[start:stop], 206
            headers["Content-Range"] = f"bytes {start}-{stop - 1}/{total}"
        answer = web.StreamResponse(status=status, headers=headers)
        answer.content_length = len(content)
        await answer.prepare(request)
        for begin in range(0, len(content), CHUNK):
            piece = content[begin : begin + CHUNK]
            await pace(len(piece))
            await answer.write(piece)
        return answer

    app = web.Application()
    app.router.add_get("/{name}", give)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()


def make(folder: Path, n_files: int, n_rows: int, n_columns: int, format: str) -> None:
    """Write a table: numbers, three columns of text, and a target that half of them decide."""
    folder.mkdir()
    with ProcessPoolExecutor() as pool:
        list(pool.map(partial(make_file, folder, n_rows, n_columns, format), range(n_files)))


def make_file(folder: Path, n_rows: int, n_columns: int, format: str, number: int) -> None:
    """Write one file of it."""
    weights, draw = np.random.default_rng(0).normal(size=n_columns), np.random.default_rng(number + 1)
    numbers = draw.normal(size=(n_rows, n_columns)).round(4)
    table = {f"x{place}": numbers[:, place] for place in range(n_columns)}
    for name in ("city", "carrier", "kind"):
        table[name] = np.char.add(name, draw.integers(0, 6, n_rows).astype(str))
    table["target"] = (numbers @ weights + draw.normal(scale=3.0, size=n_rows) > 0).astype(int)
    rows = pa.table(table)
    path = folder / f"part-{number:03}.{format}"
    if format.startswith("csv"):
        with pa.CompressedOutputStream(path, "gzip") if format == "csv.gz" else open(path, "wb") as file:
            pc.write_csv(rows, file)
    else:
        pq.write_table(rows, path, use_dictionary=["city", "carrier", "kind"])


def workflow_of(workload: str, data: dict[str, Any], base: Path) -> Any:
    """The workflow of both sides."""
    from daskflow.workflow import Workflow

    return Workflow(
        name="overlap",
        data={**data, "target": "target"},
        split={"kind": "random", "test": 0.1, "validation": 0.1},
        model={"kind": "sgd", **WORKLOADS[workload]["model"]},
        search={**WORKLOADS[workload]["search"], "metric": "roc_auc"},
        metrics=["roc_auc", "log_loss"],
        evaluation={"explain": False},
        cluster={"kind": "local", "workers": 2},
        cache={"folder": str(base / "blocks")},
        seed=7,
    )


def side(workload: str, name: str, url: str, base: Path) -> None:
    """Run one side here, and print what it took as JSON."""
    from daskflow.sources.http_download import raise_failures
    from daskflow.sources.http_fetch import fetch

    began = time.perf_counter()
    download = 0.0
    if name == "overlapped":
        run = workflow_of(workload, {"kind": "http", "url": url, "cache": str(base / "http")}, base).run(base / "runs")
    else:
        raise_failures(asyncio.run(fetch([url], base / "files")))
        download = time.perf_counter() - began
        kind = "parquet" if url.endswith("parquet") else "csv"
        run = workflow_of(workload, {"kind": kind, "path": str(base / "files" / "part-*")}, base).run(base / "runs")
    wall = time.perf_counter() - began
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    stages = {stage["stage"]: stage["seconds"] for stage in run.record().stages}
    found = {
        "wall": wall,
        "cpu": sum(each.ru_utime + each.ru_stime for each in used),
        "stages": {"download": download, **stages} if download else stages,
        "best": run.best.score,
        "test": run.metrics["roc_auc"].value,
        "summary": {word: value for word, value in run.summary().items() if word == "overlap"},
    }
    print(json.dumps(found))


def in_process(workload: str, name: str, url: str) -> dict[str, Any]:
    """Run one side in a process of its own."""
    with tempfile.TemporaryDirectory() as base:
        command = [sys.executable, str(Path(__file__).resolve()), "side", workload, name, url, base]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


class Server:
    """The server in a process of its own."""

    def __init__(self, folder: Path, rate: float) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "serve", str(folder), str(rate)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()


def spread(values: list[float], digits: int = 1) -> str:
    """Median, and between what."""
    low, middle, high = (f"{value:.{digits}f}" for value in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"


def measure(workload: str, given: argparse.Namespace) -> None:
    """Measure both sides of a workload in turn."""
    n_files = given.files or WORKLOADS[workload]["files"]
    found: dict[str, list[dict[str, Any]]] = {"in turn": [], "overlapped": []}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made) / "files"
        make(folder, n_files, given.rows, given.columns, given.format)
        n_bytes = sum(os.path.getsize(path) for path in folder.iterdir())
        url = "http://127.0.0.1:{port}/part-{{000..{last:03}}}." + given.format
        with Server(folder, 1e9) as server:
            address = url.format(port=server.port, last=n_files - 1)
            runs = [in_process(workload, "in turn", address) for _ in range(2)]  # the first one compiles
            scan = runs[-1]["stages"]["scan"]
        rate = n_bytes / scan
        print(
            f"{workload}: {n_files} files, {n_bytes / 1e6:.0f} MB, scan {scan:.1f} s, {rate / 1e6:.2f} MB/s", flush=True
        )
        with Server(folder, rate) as server:
            address = url.format(port=server.port, last=n_files - 1)
            for number in range(given.repeats):
                for name in list(found)[:: 1 if number % 2 == 0 else -1]:
                    if given.only in ("", name):
                        found[name].append(one := in_process(workload, name, address))
                        stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in one["stages"].items())
                        print(
                            f"{name}: wall {one['wall']:.1f}, cpu {one['cpu']:.1f}; {stages} {one['summary']}",
                            flush=True,
                        )
    for name, runs in found.items():
        if runs:
            wall, cpu = ([each[word] for each in runs] for word in ("wall", "cpu"))
            print(f"{workload}, {name}: wall {spread(wall)} s, processor {spread(cpu)} s")
    if all(found.values()):
        compare(workload, found["in turn"], found["overlapped"])


def compare(workload: str, in_turn: list[dict[str, Any]], overlapped: list[dict[str, Any]]) -> None:
    """Print what of the sum the overlapped side took, and what it could take at least."""
    pairs = list(zip(overlapped, in_turn, strict=True))
    whole = [one["wall"] / other["wall"] for one, other in pairs]
    hidden = [min(each["stages"]["download"], each["stages"]["scan"]) for each in in_turn]
    bounds = [1 - seconds / each["wall"] for seconds, each in zip(hidden, in_turn, strict=True)]
    print(f"{workload}: wall over the wall in turn {spread(whole, 2)}; bound {spread(bounds, 2)}")
    own = [one["summary"]["overlap"] for one in overlapped if one["summary"].get("overlap")]
    ratios = [each["wall_seconds"] / each["sum_seconds"] for each in own]
    least = [1 - min(each["stages"].get("download", 0.0), each["stages"]["scan"]) / each["sum_seconds"] for each in own]
    print(f"{workload}: the run's own wall over the sum of its stages {spread(ratios, 2)}; bound {spread(least, 2)}")
    print(f"{workload}: same result:", len({(each["best"], each["test"]) for each in (*in_turn, *overlapped)}) == 1)


def main() -> None:
    """Measure, or be one of the processes of a measurement."""
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(Path(sys.argv[2]), float(sys.argv[3])))
    if sys.argv[1:2] == ["side"]:
        side(sys.argv[2], sys.argv[3], sys.argv[4], Path(sys.argv[5]))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", help="searched and large; default both")
    parser.add_argument("--files", type=int, default=0, help="default: the workload's own")
    parser.add_argument("--rows", type=int, default=30_000)
    parser.add_argument("--columns", type=int, default=60)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--format", default="csv.gz", choices=["csv", "csv.gz", "parquet"])
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    if unknown := set(given.workloads) - set(WORKLOADS):
        parser.error(f"no such workload: {', '.join(sorted(unknown))}; there are {', '.join(WORKLOADS)}")
    for workload in given.workloads or WORKLOADS:
        measure(workload, given)


if __name__ == "__main__":
    main()
