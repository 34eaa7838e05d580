"""What listing the runs of a folder costs: by the ends of their journals, and reading these whole.

    python tests/bench/listed_runs.py [RUNS] [TRIALS]

Makes RUNS run folders (default 300) whose searches had TRIALS candidates of two folds (default 1,000), with 1 MiB of
metrics each, and lists them both ways in turn, three times. Prints seconds of wall and of processor time.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from daskflow.core.folder import RunFolder
from daskflow.workflow import list_runs
from daskflow.workflow.listing import gist
from daskflow.workflow.run import Run
from tests.run_folders import make_run, row_hashes, scores, truth


def prepare(root: Path, n_runs: int, n_trials: int) -> None:
    """Write one run, and copies of it."""
    rows = row_hashes(600)
    first = make_run(root / "first", "run", rows=rows, probability=scores(truth(rows), 2.0, 1), trials=n_trials)
    saved = json.loads((first / "metrics.json").read_text())
    saved["details"]["dependence"] = np.random.default_rng(0).normal(size=(170, 300)).tolist()
    (first / "metrics.json").write_text(json.dumps(saved, indent=1))
    for number in range(n_runs):
        folder = root / "runs" / f"run{number}" / first.name
        folder.mkdir(parents=True)
        for name in ("journal.jsonl", "metrics.json", "workflow.toml", "data.json", "versions.json"):
            (folder / name).write_bytes((first / name).read_bytes())


def read_whole(root: Path) -> int:
    """What a list costs that looks at every record."""
    return len([gist(Run(RunFolder(path.parent))) for path in sorted(root.glob("*/*/journal.jsonl"))])


def main() -> None:
    """Measure."""
    n_runs, n_trials = (int(word) for word in [*sys.argv[1:], "300", "1000"][:2])
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        prepare(root, n_runs, n_trials)
        few = min(n_runs, 20)
        ways: dict[str, tuple[Callable[[], object], int]] = {
            "ends": (lambda: list_runs(root / "runs", sort="test"), n_runs),
            "whole": (lambda: read_whole(root / "first"), 1),
        }
        took: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for _ in range(3):
            for way, (call, _) in ways.items():
                wall, cpu = time.perf_counter(), time.process_time()
                for _ in range(few if way == "whole" else 1):
                    call()
                took[way].append((time.perf_counter() - wall, time.process_time() - cpu))
        print(f"{n_runs} runs of {n_trials} trials; load {os.getloadavg()[0]:.1f}; medians of 3 interleaved repeats")
        for way, values in took.items():
            share = n_runs / few if way == "whole" else 1.0
            wall, cpu = (share * statistics.median(column) for column in zip(*values, strict=True))
            print(f"  {way:6} {wall:7.2f} s wall  {cpu:7.2f} s processor" + (f" (by {few} runs)" if share > 1 else ""))


if __name__ == "__main__":
    main()
