"""Files of a stream, read as the files of training were, so that their rows are answered with the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from daskflow.bundle import Model
from daskflow.data.table import Reject
from daskflow.sources.guess import guess
from daskflow.streams import ReadTables
from daskflow.workflow.scoring import TEXT_KINDS, open_new

PIECE_BYTES = 16 << 20
"""Memory of the rows that are read at once."""


def tables_for(model: Model) -> ReadTables:
    """Return what reads files for a model: kinds by their suffixes, options and types as in its training.

    Rows that do not fit are refused by themselves where the kind of file allows it.
    """

    def read(path: Path) -> Iterator[tuple[pa.Table, Sequence[Reject]]]:
        kind, _, _ = guess([str(path)])
        options: dict[str, Any] = {"on_bad_rows": "reject"} if kind in TEXT_KINDS else {}
        options |= {"partition_bytes": PIECE_BYTES}
        table, _ = open_new(model, [str(path)], Path(), kind=None, options=options, keep=())
        for partition in table.partitions:
            decoded = partition.read()
            yield decoded.plain, decoded.rejects

    return read
