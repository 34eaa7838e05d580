"""Read and preprocess a table whose text column is different in every row, and print what that takes in memory.

Each stage's figure is the peak of the process's own memory (no mapped files), less what it held after the imports.

    python tests/bench/many_levels.py FOLDER --rows 10000000
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

PART_ROWS = 250_000


def write(folder: Path, rows: int) -> None:
    """Write the files that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(rows // PART_ROWS):
        path = folder / f"part.{number:04d}.parquet"
        if not path.exists():
            rng = np.random.default_rng(number)
            ids = pa.array(np.arange(number * PART_ROWS, (number + 1) * PART_ROWS)).cast(pa.string())
            columns = {"id": ids, "x": rng.normal(size=PART_ROWS), "y": rng.integers(0, 2, PART_ROWS)}
            pq.write_table(pa.table(columns), path)


def own_bytes() -> int:
    """Memory of this process that no file backs."""
    memory = psutil.Process().memory_info()
    return int(memory.rss - memory.shared)


@contextmanager
def stage(name: str, before: int) -> Iterator[None]:
    """Print the peak of what the block takes."""
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.02):
            peak = max(peak, own_bytes())

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        print(f"| {name} | {(max(peak, own_bytes()) - before) / 2**20:.0f} MiB |", flush=True)


def main() -> None:
    """Every stage in this process, one unit after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    folder = options.folder / f"ids-{options.rows}"
    write(folder, options.rows)

    import daskflow as flow
    from daskflow.data import passes
    from daskflow.data.execution import InlineExecutor
    from daskflow.data.ranges import RangeReader
    from daskflow.data.scan import scan, target_of
    from daskflow.data.splits import Split, plan_split
    from daskflow.preprocess.settings import Preprocessing

    executor, store = InlineExecutor(), Path(tempfile.mkdtemp(prefix="bench-levels-"))
    preprocessing = Preprocessing()
    before = own_bytes()
    try:
        with stage("scan", before):
            source = flow.sources.Parquet(path=str(folder / "*.parquet"), target="y", task="binary")
            blocks = scan(source.table(Path()), store, executor)
        with stage("split", before):
            target = target_of(blocks, "binary", None)
            plan = plan_split(Split(test=0.2, folds=3), blocks, target, executor)
        with stage("statistics", before):
            reader = RangeReader(blocks, plan, target)
            found = passes.collect(reader, preprocessing.needs(blocks.features, blocks.profile), executor)
        with stage("fit", before):
            fitted = preprocessing.fit(blocks.features, found.only([0, 1]))
        print(f"{options.rows:,} rows, {len(fitted.feature_names)} features; {'; '.join(fitted.warnings)}")
    finally:
        shutil.rmtree(store)


if __name__ == "__main__":
    main()
