"""A process that scans a table of its own into a shared store and reads its blocks back; run by the tests.

``python -m tests.store_process STORE SEED PARTS LIMIT_BYTES [pause]``: prints a line when the blocks are written, with
``pause`` waits for a line of its input, then prints the sum of the column ``age`` over all blocks.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.compute as pc

from daskflow.data.blocks import open_block
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.store import SharedStore
from tests.small_tables import cut, people, table_of

if __name__ == "__main__":
    folder, seed, parts, limit = Path(sys.argv[1]), *(int(word) for word in sys.argv[2:5])
    table = table_of(cut(people(4_000, seed=seed), parts), target="late", settings={"seed": seed})
    with SharedStore(folder, limit) as store:
        blocks = scan(table, store, InlineExecutor())
        print("written", flush=True)
        if "pause" in sys.argv:
            sys.stdin.readline()
        print(sum(pc.sum(open_block(file)["age"]).as_py() for file in blocks.files), flush=True)
