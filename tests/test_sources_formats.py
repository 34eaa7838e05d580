"""The same rows are the same rows from every format: real invoices as CSV, parquet, JSON lines, Arrow and SQL."""

from __future__ import annotations

import contextlib
import gzip
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.sources import REGISTRY

DAYS = 8
TYPES = {"InvoiceNo": "string", "StockCode": "string", "InvoiceDate": "datetime", "CustomerID": "float64"}


@pytest.fixture(scope="module")
def invoices(shared_data: Path) -> list[Path]:
    """Daily files of invoices, with gaps, credit notes among the numbers, quotes and letters beyond ASCII."""
    return sorted((shared_data / "online_retail").glob("*.csv.gz"))[:DAYS]


@pytest.fixture(scope="module")
def options(invoices: list[Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The invoices in each format, and how it is read."""
    folder = tmp_path_factory.mktemp("formats")
    frame = pd.concat(
        [
            pd.read_csv(path, dtype={"InvoiceNo": str, "StockCode": str}, parse_dates=["InvoiceDate"])
            for path in invoices
        ],
        ignore_index=True,
    )
    frame["InvoiceDate"] = pd.to_datetime(frame["InvoiceDate"])
    texts = frame.assign(InvoiceDate=frame["InvoiceDate"].dt.strftime("%Y-%m-%d %H:%M:%S"))
    table = pa.Table.from_pandas(frame, preserve_index=False)
    for path in invoices:
        (folder / path.name.removesuffix(".gz")).write_bytes(gzip.decompress(path.read_bytes()))
    pq.write_table(table, folder / "a.parquet", row_group_size=4000)
    pyarrow.feather.write_feather(table, str(folder / "a.feather"), chunksize=3000)
    texts.to_json(folder / "a.jsonl", orient="records", lines=True, double_precision=15)
    with contextlib.closing(sqlite3.connect(folder / "a.db")) as database:
        texts.to_sql("invoices", database, index=False)
    return {
        "csv": {"path": str(folder / "*.csv"), "dtypes": TYPES},
        "parquet": {"path": str(folder / "a.parquet"), "partition_bytes": 1 << 19},
        "arrow": {"path": str(folder / "a.feather"), "partition_bytes": 1 << 19},
        "json": {"path": str(folder / "a.jsonl"), "dtypes": TYPES, "partition_bytes": 1 << 20},
        "sql": {
            "url": f"sqlite:///{folder}/a.db",
            "query": "invoices",
            "partition_column": "CustomerID",
            "npartitions": 4,
            "dtypes": TYPES,
        },
    }


def hashes_of(kind: str, options: dict[str, Any], store: Path) -> np.ndarray[Any, Any]:
    """The content hashes of all rows, in order."""
    blocks = scan(REGISTRY.get(kind)(**options, target="Quantity").table(), store, InlineExecutor())
    found = []
    for file in blocks.files:
        with pa.memory_map(file.path) as mapped:
            found.append(pa.ipc.open_file(mapped).read_all()["__content"].to_numpy())
    return np.sort(np.concatenate(found))


def test_real_rows_hash_the_same_from_every_format(options: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    # when
    found = {kind: hashes_of(kind, given, tmp_path / kind) for kind, given in options.items()}
    # then
    assert len(found["csv"]) > 10_000
    for kind, hashes in found.items():
        assert np.array_equal(hashes, found["csv"]), kind
