"""What a stream costs: JSON lines from a file to a file, beside a plain loop that reads, answers and writes the same.

    python tests/bench/stream_lines.py [RECORDS] [REPEATS]

Both are one process with one native thread, interleaved; CPU-seconds of the process, all threads, by record. The loop
commits nothing, keeps no journal, and cannot go on after a kill.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from itertools import count, islice
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

from daskflow.streams.scoring import Scorer
from daskflow.workflow.streaming import stream
from tests.test_streams_scoring import MODEL, ROWS

BATCH = 512


def plain_loop(source: Path, sink: Path) -> None:
    """Read, answer, write, in batches."""
    scorer, numbers = Scorer(MODEL), count(1)
    with source.open() as lines, sink.open("w") as out:
        while batch := list(islice(lines, BATCH)):
            for answer in scorer.rows([json.loads(line) for line in batch]).dicts():
                out.write(json.dumps({"id": f"{source.name}:{next(numbers)}", **(answer or {})}) + "\n")


def json_lines(path: Path) -> list[object]:
    """The objects of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def main(n_records: int, repeats: int) -> None:
    """Print medians and spreads."""
    taken: dict[str, list[float]] = {"loop": [], "stream": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "new.jsonl"
        source.write_text("".join(json.dumps(ROWS[number % len(ROWS)]) + "\n" for number in range(n_records)))
        for repeat in range(repeats + 1):  # the first warms
            for kind in taken:
                sink, began = folder / f"{kind}-{repeat}.jsonl", time.process_time()
                if kind == "loop":
                    plain_loop(source, sink)
                else:
                    stream(MODEL, str(source), str(sink), folder=str(folder / f"s{repeat}"), batch=BATCH)
                if repeat:
                    taken[kind].append((time.process_time() - began) / n_records * 1e6)
            first, second = (json_lines(folder / f"{kind}-{repeat}.jsonl") for kind in taken)
            assert first == second
    for kind, values in taken.items():
        print(f"{kind:7} {statistics.median(values):6.1f} us per record (from {min(values):.1f} to {max(values):.1f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
