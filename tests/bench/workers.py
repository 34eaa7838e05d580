"""Time scan, statistics and matrices of the wide table on worker processes: wall, CPU and memory of all processes.

    python tests/bench/workers.py FOLDER --rows 20000000 --workers 1 2 --memory "900 MB" --repeats 3

The memory of every process is read each 50 ms (shared pages count once per process); a worker that pauses or writes to
disk for want of memory is told.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from preprocessing_tools import HIGH
from wide_table import write


def family() -> list[psutil.Process]:
    """This process and all below it."""
    own = psutil.Process()
    return [own, *own.children(recursive=True)]


def cpu() -> dict[int, float]:
    """CPU-seconds by process."""
    found = {}
    for process in family():
        try:
            times = process.cpu_times()
            found[process.pid] = times.user + times.system
        except psutil.Error:
            continue
    return found


@contextmanager
def watched() -> Iterator[dict[str, float]]:
    """Note the peak memory of all processes together, and of the largest one."""
    peaks = {"all": 0.0, "one": 0.0}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.05):
            sizes = []
            for process in family():
                try:
                    memory = process.memory_info()
                    sizes.append(memory.rss - memory.shared)
                except psutil.Error:
                    continue
            peaks["all"], peaks["one"] = max(peaks["all"], sum(sizes)), max(peaks["one"], *sizes)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peaks
    finally:
        done.set()
        thread.join()


def states(dask_worker: Any) -> tuple[str, int]:
    """Whether a worker runs or pauses, and how many times it wrote to disk."""
    spilled = getattr(dask_worker.data, "slow", {})
    return str(dask_worker.status), len(spilled)


def once(folder: Path, workers: int, memory: str, stages: list[str]) -> dict[str, Any]:
    """Open a cluster, warm it, and time the stages."""
    import daskflow as flow
    from daskflow.data import matrices, passes
    from daskflow.data.ranges import RangeReader
    from daskflow.data.scan import scan, target_of
    from daskflow.data.splits import Split, plan_split
    from daskflow.preprocess.settings import Preprocessing
    from daskflow.workflow.plan import PARTITION_COPIES, WORKER_BYTES

    preprocessing = Preprocessing(numeric=[{"kind": "impute", "strategy": "median"}, "scale"])
    place = Path(tempfile.mkdtemp(prefix="bench-workers-"))
    found: dict[str, Any] = {}
    try:
        with flow.clusters.Local(workers=workers, memory=memory).open() as connection:
            executor = connection.executor

            def run(where: Path, own: Path, timed: bool) -> None:
                begin, spent = time.perf_counter(), cpu()

                def lap(stage: str) -> None:
                    nonlocal begin, spent
                    if timed:
                        now = cpu()
                        used = sum(now.values()) - sum(spent.get(pid, 0.0) for pid in now)
                        found[stage] = (time.perf_counter() - begin, used)
                    begin, spent = time.perf_counter(), cpu()

                source = flow.sources.Parquet(
                    path=str(where / "*.parquet"), target="target", task="binary", drop=[*HIGH, "const"]
                )
                table = source.table(Path())
                sizes = [partition.n_bytes for partition in table.partitions]
                found["forecast"] = WORKER_BYTES + PARTITION_COPIES * max(sizes)
                blocks = scan(table, own / "store", executor)
                lap("scan")
                target = target_of(blocks, "binary", None)
                plan = plan_split(Split(test=0.2, validation=0.1), blocks, target, executor)
                reader = RangeReader(blocks, plan, target)
                features = blocks.features
                sums = passes.collect(reader, preprocessing.needs(features, blocks.profile), executor)
                lap("statistics")
                if "matrices" in stages:
                    fitted = preprocessing.fit(features, sums.only([0]), sparse=False)
                    matrices.build(reader, [fitted], None, own / "matrices", executor)
                    lap("matrices")

            run(folder.parent / "warm", place / "warm", False)
            with watched() as peaks:
                run(folder, place / "own", True)
            found["peaks"] = peaks
            found["states"] = list(connection.client.run(states).values()) if connection.client else []
    finally:
        shutil.rmtree(place)
    return found


def main() -> None:
    """Every number of workers in turn, interleaved."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--memory", default="none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--stages", nargs="*", default=["scan", "statistics"])
    options = parser.parse_args()
    folder = options.folder / f"rows-{options.rows}"
    write(folder, options.rows)
    runs: dict[int, list[dict[str, Any]]] = {workers: [] for workers in options.workers}
    for _ in range(options.repeats):
        for workers in options.workers:
            runs[workers].append(once(folder, workers, options.memory, options.stages))
            print(workers, runs[workers][-1], flush=True)
    print(f"\n{options.rows:,} rows, memory {options.memory} a worker, median of {options.repeats} interleaved runs")
    print("| workers | stage | wall s | CPU-s | peak GB, all processes | peak GB, largest | forecast GB |")
    print("|---|---|---|---|---|---|---|")
    for workers, each in runs.items():
        for stage in options.stages:
            wall, used = (statistics.median(run[stage][place] for run in each) for place in (0, 1))
            peaks = [statistics.median(run["peaks"][which] for run in each) / 1e9 for which in ("all", "one")]
            forecast = each[0]["forecast"] / 1e9
            memory = f"{peaks[0]:.2f} | {peaks[1]:.2f} | {forecast:.2f}"
            print(f"| {workers} | {stage} | {wall:.1f} | {used:.1f} | {memory} |")


if __name__ == "__main__":
    main()
