"""Three workflows at once on one cluster beside the same three one after the other, and how long an event loop waits.

python tests/bench/several_at_once.py [REPEATS] [ROWS]

Both ways are interleaved, each with a cluster of two workers that is open already and blocks of its own that are read
anew. CPU-seconds are those of this process and of all it has started.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import daskflow as flow

SLEEP = 0.002


def workflow(folder: Path, seed: int, rows: int) -> flow.Workflow:
    """Hyperband over linear models."""
    return flow.Workflow(
        name=f"seed-{seed}",
        data=flow.sources.Generated(rows=rows, seed=seed),
        split=flow.Split(kind="stratified", test=0.2, validation=0.1),
        model=flow.models.SGD(),
        search=flow.search.Hyperband(max_iter=9, metric="roc_auc"),
        cache={"folder": str(folder / "cache")},
        seed=seed,
    )


def spent() -> float:
    """CPU-seconds of this process and of those below it; children that ended count with their parent."""
    total = 0.0
    for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.Error:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


async def measured(way: Any) -> tuple[float, float]:
    """Wall and CPU-seconds of a way."""
    begun, cpu = time.perf_counter(), spent()
    await way
    return time.perf_counter() - begun, spent() - cpu


async def ticking(pauses: list[float]) -> None:
    """Note how much longer than asked for the loop sleeps."""
    while True:
        begun = time.perf_counter()
        await asyncio.sleep(SLEEP)
        pauses.append(time.perf_counter() - begun - SLEEP)


def sleeping(pauses: list[float], over: threading.Event) -> None:
    """Note the same of a thread that does nothing else."""
    while not over.is_set():
        begun = time.perf_counter()
        time.sleep(SLEEP)
        pauses.append(time.perf_counter() - begun - SLEEP)


async def main(repeats: int, rows: int) -> None:
    """Measure, and print."""
    took: dict[str, list[tuple[float, float]]] = {"one after the other": [], "at once": []}
    loop_pauses: list[float] = []
    thread_pauses: list[float] = []
    over = threading.Event()
    async with flow.connect("local", workers=2, asynchronous=True) as client:

        async def one_by_one(folder: Path) -> None:
            for seed in range(3):
                await workflow(folder, seed, rows).run_async(folder, cluster=client)

        async def together(folder: Path) -> None:
            await asyncio.gather(*[workflow(folder, seed, rows).run_async(folder, cluster=client) for seed in range(3)])

        with tempfile.TemporaryDirectory() as folder:
            await together(Path(folder))  # what is imported and compiled once
        ticker = asyncio.create_task(ticking(loop_pauses))
        threading.Thread(target=sleeping, args=(thread_pauses, over), daemon=True).start()
        for _ in range(repeats):
            for name, way in (("one after the other", one_by_one), ("at once", together)):
                with tempfile.TemporaryDirectory() as folder:
                    took[name].append(await measured(way(Path(folder))))
        ticker.cancel()
        over.set()
    for name, found in took.items():
        for what, place in (("wall", 0), ("CPU", 1)):
            values = [each[place] for each in found]
            middle, low, high = statistics.median(values), min(values), max(values)
            print(f"{name:>20} {what:>4}: median {middle:.1f} s ({low:.1f} to {high:.1f})")
    for name, pauses in (("event loop", loop_pauses), ("plain thread", thread_pauses)):
        p50, p99, most = 1000 * np.quantile(pauses, [0.5, 0.99, 1.0])
        print(f"{name:>20}: pause p50 {p50:.1f} ms, p99 {p99:.1f} ms, longest {most:.0f} ms, of {len(pauses):,}")


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    asyncio.run(main(*given, *(3, 20_000)[len(given) :]))
