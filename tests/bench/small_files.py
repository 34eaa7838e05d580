"""Time opening and scanning ten thousand small files beside polars reading them; CPU-seconds and wall, interleaved.

python tests/bench/small_files.py FOLDER --files 10000 --kind csv --repeats 3
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
from wide_table import part

ROWS, COLUMNS = 100, ["f00", "f01", "f03", "i0", "i1", "c_color", "c_region", "b_new", "target"]


def write(folder: Path, kind: str, n_files: int) -> None:
    """Write the files that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: pa.Table = part(0).select(COLUMNS)
    for number in range(n_files):
        path = folder / f"part.{number:05d}.{kind}"
        if not path.exists():
            piece = rows.slice(number * ROWS % (len(rows) - ROWS), ROWS)
            pc.write_csv(piece, path) if kind == "csv" else pq.write_table(piece, path)


def daskflow(folder: Path, kind: str) -> int:
    """Open the table and scan it, in this process."""
    import daskflow as flow
    from daskflow.data.execution import InlineExecutor
    from daskflow.data.scan import scan

    store = Path(tempfile.mkdtemp(prefix="bench-store-"))
    try:
        source = {"csv": flow.sources.Csv, "parquet": flow.sources.Parquet}[kind]
        table = source(path=str(folder / f"*.{kind}"), target="target").table(Path())
        return scan(table, store, InlineExecutor()).n_rows
    finally:
        shutil.rmtree(store)


def polars(folder: Path, kind: str) -> int:
    """Read all files into memory."""
    import polars as pl

    scan = {"csv": pl.scan_csv, "parquet": pl.scan_parquet}[kind]
    return len(scan(str(folder / f"*.{kind}")).collect())


def main() -> None:
    """Both tools in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--kind", choices=["csv", "parquet"], default="csv")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tool", choices=["daskflow", "polars"], help="run one tool once, and print JSON")
    options = parser.parse_args()
    folder, warm = options.folder / f"small-{options.kind}-{options.files}", options.folder / f"warm-{options.kind}"
    if options.tool:
        tool = {"daskflow": daskflow, "polars": polars}[options.tool]
        tool(warm, options.kind)
        begin, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        n_rows = tool(folder, options.kind)
        spent = resource.getrusage(resource.RUSAGE_SELF)
        cpu = spent.ru_utime + spent.ru_stime - used.ru_utime - used.ru_stime
        print(json.dumps({"rows": n_rows, "cpu": cpu, "wall": time.perf_counter() - begin}))
        return
    write(folder, options.kind, options.files)
    write(warm, options.kind, 3)
    found: dict[str, list[dict[str, Any]]] = {"daskflow": [], "polars": []}
    for _ in range(options.repeats):
        for tool, runs in found.items():
            command = [sys.executable, __file__, *sys.argv[1:], "--tool", tool]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            print(tool, runs[-1], flush=True)
    for tool, runs in found.items():
        cpu, wall = (statistics.median(run[name] for run in runs) for name in ("cpu", "wall"))
        print(f"| {tool} | {options.kind} | {cpu:.1f} CPU-s | {wall:.1f} s |")


if __name__ == "__main__":
    main()
