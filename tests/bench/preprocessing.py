"""Time scan and statistics of the wide table beside other tools: interleaved runs, medians, CPU-seconds and wall.

Each run is a process of its own; imports and a warm-up on two small parts are not among its CPU-seconds, for compiled
loops are kept on disk: what they took stands beside them. Run it on a machine that does nothing else.

    python tests/bench/preprocessing.py FOLDER --rows 2000000 --repeats 5 [--tools "daskflow common" "polars common"]
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from preprocessing_tools import TOOLS
from wide_table import part, write

HERE = Path(__file__).parent
WARM_ROWS = 140_000


def run(tool: str, folder: Path, warm: Path) -> dict[str, Any]:
    """One run in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, str(HERE / "preprocessing_tools.py"), tool, str(folder), str(warm)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode:
        raise SystemExit(f"{tool} failed:\n{done.stderr[-3000:]}")
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def spread(values: list[float]) -> str:
    """Median and range."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> None:
    """Make the table, run every tool in turn, print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="where the tables are written, and found again")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tools", nargs="*", default=list(TOOLS), choices=list(TOOLS))
    options = parser.parse_args()
    folder, warm = options.folder / f"rows-{options.rows}", options.folder / "warm"
    write(folder, options.rows)
    warm.mkdir(exist_ok=True)
    for number in range(2):
        pq.write_table(part(number, WARM_ROWS), warm / f"part.{number:03d}.parquet")

    found: dict[str, list[dict[str, Any]]] = {tool: [] for tool in options.tools}
    for _ in range(options.repeats):
        for tool in options.tools:
            found[tool].append(run(tool, folder, warm))
            last = found[tool][-1]
            print(f"{tool}: {last['cpu']:.2f} CPU-s", {k: round(v, 2) for k, v in last["phases"].items()}, flush=True)

    print(f"\n{options.rows:,} rows, {options.repeats} interleaved runs, median (range)")
    print("| tool | CPU-s | wall s | peak GB | start-up CPU-s |\n|---|---|---|---|---|")
    for tool, runs in found.items():
        peak = statistics.median(each["peak"] for each in runs) / 1e9
        cells = [spread([each["cpu"] for each in runs]), spread([each["wall"] for each in runs]), f"{peak:.2f}"]
        cells.append(spread([each["start"] for each in runs]))
        print(f"| {tool} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
