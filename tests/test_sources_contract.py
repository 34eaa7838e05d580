"""What every kind of source promises, over all that the registry finds."""

from __future__ import annotations

import contextlib
import json
import pickle
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from daskflow.core.errors import DataError
from daskflow.data.execution import InlineExecutor
from daskflow.data.hashing import row_hashes
from daskflow.data.scan import scan
from daskflow.sources import REGISTRY, Source
from daskflow.sources.http_engine import ENGINE
from tests.misbehaving_server import file, serving

ROWS = {"x": [1, None, 3], "colour": ["red", "blue", None], "late": [True, False, True]}


def write_csv(folder: Path) -> dict[str, Any]:
    pd.DataFrame(ROWS).to_csv(folder / "a.csv", index=False)
    return {"path": str(folder / "*.csv")}


def write_parquet(folder: Path) -> dict[str, Any]:
    pq.write_table(pa.table(ROWS), folder / "a.parquet")
    return {"path": str(folder / "*.parquet")}


def write_json(folder: Path) -> dict[str, Any]:
    lines = [dict(zip(ROWS, values, strict=True)) for values in zip(*ROWS.values(), strict=True)]
    (folder / "a.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    return {"path": str(folder / "*.jsonl")}


def write_arrow(folder: Path) -> dict[str, Any]:
    pyarrow.feather.write_feather(pa.table(ROWS), str(folder / "a.feather"))
    return {"path": str(folder / "*.feather")}


def write_sql(folder: Path) -> dict[str, Any]:
    with contextlib.closing(sqlite3.connect(folder / "a.db")) as database:
        database.execute("CREATE TABLE IF NOT EXISTS rows (x INTEGER, colour TEXT, late INTEGER)")
        database.execute("DELETE FROM rows")
        database.executemany("INSERT INTO rows VALUES (?, ?, ?)", list(zip(*ROWS.values(), strict=True)))
        database.commit()
    return {"url": f"sqlite:///{folder}/a.db", "query": "rows", "dtypes": {"late": "bool"}}


@pytest.fixture(scope="module", autouse=True)
def web() -> Iterator[None]:
    """A web server, for the kind that reads from one."""
    with serving() as WEB[0]:
        yield
        assert ENGINE.wait(60)


WEB: list[Any] = [None]


def write_http(folder: Path) -> dict[str, Any]:
    write_csv(folder)
    return {"url": WEB[0].at("/d/a.csv", file((folder / "a.csv").read_bytes())), "cache": str(folder / "cache")}


MAKERS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "csv": write_csv,
    "parquet": write_parquet,
    "json": write_json,
    "arrow": write_arrow,
    "sql": write_sql,
    "http": write_http,
    "frame": lambda folder: {"frame": pd.DataFrame(ROWS)},
    "generated": lambda folder: {"rows": 30, "partitions": 3},
}
"""How the options of a kind are had; a new kind needs an entry."""


def made(kind: str, folder: Path, **options: Any) -> Source:
    return REGISTRY.get(kind)(**MAKERS[kind](folder), **options)


@pytest.mark.parametrize("kind", REGISTRY.kinds)
def test_partitions_decode_to_exactly_the_source_schema_wherever_they_are_sent(kind: str, tmp_path: Path) -> None:
    # when
    table = made(kind, tmp_path).table()
    # then
    assert table.partitions
    for partition in table.partitions:
        decoded = pickle.loads(pickle.dumps(partition)).read()
        assert decoded.plain.schema == table.source_schema.arrow
        assert decoded.rejects == ()
        assert decoded.content_hash == partition.read().content_hash
    names = [partition.fingerprint.name for partition in table.partitions]
    assert len(set(names)) == len(names)
    assert not any(str(tmp_path) in name for name in names)


@pytest.mark.parametrize("kind", [kind for kind in REGISTRY.kinds if kind != "frame"])
def test_settings_survive_being_written_to_a_file(kind: str, tmp_path: Path) -> None:
    # given
    source = made(kind, tmp_path, drop=["age" if kind == "generated" else "x"])
    # when
    back = REGISTRY.parse(json.loads(json.dumps(source.dump())))
    # then
    assert back.dump() == source.dump()
    assert back.table().schema == source.table().schema


@pytest.mark.parametrize("kind", REGISTRY.kinds)
def test_roles_and_derived_columns_are_checked_when_the_table_is_opened(kind: str, tmp_path: Path) -> None:
    # given
    names = made(kind, tmp_path).table().schema.names
    # when a column is derived and made the target
    table = made(kind, tmp_path, derive={"high": f"{names[0]} > 2"}, target="high").table()
    # then
    assert table.schema["high"].type == "bool"
    assert "high" not in table.source_schema
    # when a role has no column
    with pytest.raises(DataError, match=f"weight = '{names[0]}s'.*did you mean '{names[0]}'"):
        made(kind, tmp_path, weight=f"{names[0]}s").table()


@pytest.mark.parametrize("kind", ["csv", "parquet", "json", "arrow", "sql", "http", "frame"])
def test_the_same_rows_have_the_same_types_and_values_from_every_kind(kind: str, tmp_path: Path) -> None:
    # when
    table = made(kind, tmp_path, target="late").table()
    # then pandas made floats of the whole numbers with a gap, as it does
    (partition,) = table.partitions
    rows = partition.read().plain
    assert rows["colour"].to_pylist() == ROWS["colour"]
    assert rows["late"].to_pylist() == ROWS["late"]
    assert rows["x"].to_pylist() == ROWS["x"]
    # and their rows hash the same, so that splits do too
    blocks = scan(table, tmp_path / "store", InlineExecutor())
    (file,) = blocks.files
    with pa.memory_map(file.path) as mapped:
        block = pa.ipc.open_file(mapped).read_all()
        found = block["__content"].to_pylist()
    assert sorted(found) == sorted(row_hashes(pa.table(ROWS), list(ROWS)).tolist())
