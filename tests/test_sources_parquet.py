"""Parquet files: what they hold comes back, what differs is told by file, what is damaged by place."""

from __future__ import annotations

import datetime
import os
import pickle
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.data.table import Table
from daskflow.sources.parquet import Parquet

NOON = datetime.datetime(2020, 1, 1, 12)


def opened(folder: Path, *tables: Any, **options: Any) -> Table:
    """A source over files part.0.parquet, part.1.parquet and so on."""
    for place, table in enumerate(tables):
        pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), folder / f"part.{place}.parquet")
    return Parquet(path=str(folder), **options).table()


def rows(table: Table) -> pa.Table:
    """All rows; every partition in exactly the source schema."""
    read = [partition.read().plain for partition in table.partitions]
    assert all(part.schema == table.source_schema.arrow for part in read)
    return pa.concat_tables(read)


def column(*values: Any, type: pa.DataType) -> dict[str, pa.Array]:
    """A table of one column, x."""
    return {"x": pa.array(values, type)}


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    # given every type a model can use
    table = pa.table(
        {
            "i": [1, None],
            "f": [0.5, None],
            "s": ["a", None],
            "b": [True, None],
            "t": [NOON, None],
            "d": [NOON.date(), None],
            "c": pa.array(["u", None]).dictionary_encode(),
        }
    )
    # when
    found = opened(tmp_path, table)
    # then
    assert rows(found).to_pylist() == table.to_pylist()
    assert found.schema["c"].type == "string"


def test_pandas_unnamed_index_is_not_a_column(tmp_path: Path) -> None:
    table = pa.table({"x": [1.0]}).to_pandas().set_index([["a"]])
    found = opened(tmp_path, pa.Table.from_pandas(table))
    assert found.schema.names == ("x",)


@pytest.mark.parametrize(
    ("left", "right", "common"),
    [
        (column(1, type=pa.int32()), column(2, type=pa.int64()), "int64"),
        (column(1, type=pa.uint8()), column(-2, type=pa.int8()), "int16"),
        (column(0.5, type=pa.float32()), column(0.25, type=pa.float64()), "double"),
        (column("a", type=pa.large_string()), {"x": pa.array(["b"]).dictionary_encode()}, "string"),
        (column(NOON, type=pa.timestamp("ms")), column(NOON, type=pa.timestamp("us")), "timestamp[us]"),
        (column(None, type=pa.null()), column("b", type=pa.string()), "string"),
    ],
    ids=["ints", "signs", "floats", "strings", "times", "nothing"],
)
@pytest.mark.parametrize("is_swapped", [False, True], ids=["", "swapped"])
def test_types_are_unified_where_nothing_is_lost_whichever_file_comes_first(
    left: Any, right: Any, common: str, is_swapped: bool, tmp_path: Path
) -> None:
    # when
    found = opened(tmp_path, *((right, left) if is_swapped else (left, right)))
    # then
    assert found.schema["x"].type == common
    values = [pa.table(part)["x"].to_pylist()[0] for part in (left, right)]
    assert rows(found)["x"].to_pylist() == (values[::-1] if is_swapped else values)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (column(2**53 + 1, type=pa.int64()), column(0.5, type=pa.float64())),
        (column(1, type=pa.int64()), column("1", type=pa.string())),
        (column(True, type=pa.bool_()), column(1, type=pa.int64())),
        (column(NOON, type=pa.timestamp("us")), column(NOON, type=pa.timestamp("us", "UTC"))),
        (column(1, type=pa.int64()), column(1, type=pa.uint64())),
    ],
    ids=["int and float", "int and text", "bool and int", "naive and zoned", "beyond 64 bits"],
)
@pytest.mark.parametrize("is_swapped", [False, True], ids=["", "swapped"])
def test_types_that_would_lose_something_are_refused_by_file_with_a_remedy(
    left: Any, right: Any, is_swapped: bool, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path, *((right, left) if is_swapped else (left, right)))
    assert all(word in str(caught.value) for word in ("'x'", "part.0.parquet", "part.1.parquet", "dtypes = {x ="))


def test_types_the_user_says_are_cast_without_loss_or_refused(tmp_path: Path) -> None:
    # given
    whole, text = column(1, 2, type=pa.int64()), column("3", "x", type=pa.string())
    # when, then
    assert rows(opened(tmp_path, whole, text, dtypes={"x": "string"}))["x"].to_pylist() == ["1", "2", "3", "x"]
    found = opened(tmp_path, whole, text, dtypes={"x": "int64"})
    with pytest.raises(DataError, match=r"part\.1\.parquet: column 'x' \(string\).*not int64, such as 'x'"):
        rows(found)


def test_missing_floats_stay_missing_when_cast_to_whole_numbers(tmp_path: Path) -> None:
    found = opened(tmp_path, {"x": pa.array([1.0, float("nan"), None])}, dtypes={"x": "int64"})
    assert rows(found)["x"].to_pylist() == [1, None, None]


def test_columns_that_some_files_lack_are_listed_by_file(tmp_path: Path) -> None:
    # given
    tables = [{"a": [1], "b": [1]}, {"a": [2]}, {"a": [3], "b": [3], "c": [3]}]
    # when
    with pytest.raises(DataError) as caught:
        opened(tmp_path, *tables)
    # then
    assert "column 'b' is missing in 'part.1.parquet'" in str(caught.value)
    assert "column 'c' is in 'part.2.parquet', but not in 'part.0.parquet'" in str(caught.value)
    # and the remedy works
    assert rows(opened(tmp_path, *tables, columns=["a"]))["a"].to_pylist() == [1, 2, 3]


def test_columns_in_another_order_are_put_in_order(tmp_path: Path) -> None:
    found = opened(tmp_path, {"a": [1], "b": ["x"]}, {"b": ["y"], "a": [2]})
    assert rows(found).to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_names_with_points_are_names(tmp_path: Path) -> None:
    # given names that Arrow's projection takes for parts of each other
    found = opened(tmp_path, {"a": [1], "a.b": [2], "a.c": [3]}, columns=["a", "a.c"])
    assert rows(found).to_pylist() == [{"a": 1, "a.c": 3}]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"columns": ["agee"]}, ("columns", "agee", "did you mean 'age'")),
        ({"dtypes": {"agee": "string"}}, ("dtypes", "agee", "did you mean 'age'")),
        ({"target": "agee"}, ("target", "agee", "did you mean 'age'")),
        ({"derive": {"old": "agee > 3"}}, ("derive.old", "agee")),
    ],
    ids=["columns", "dtypes", "target", "derive"],
)
def test_unknown_columns_are_answered_with_the_nearest(
    options: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path, {"age": [1], "sex": ["f"]}, **options)
    assert all(word in str(caught.value) for word in words)


def test_a_column_no_model_can_use_may_be_dropped(tmp_path: Path) -> None:
    table = {"x": [1], "tags": [["a", "b"]]}
    with pytest.raises(DataError, match=r"'tags' is list.*drop = \['tags'\]"):
        opened(tmp_path, table)
    assert rows(opened(tmp_path, table, drop=["tags"])).to_pylist() == [{"x": 1}]
    assert rows(opened(tmp_path, table, columns=["x"])).to_pylist() == [{"x": 1}]


def test_column_names_that_stand_twice_are_named(tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    with pytest.raises(DataError, match=r"part\.0\.parquet.*'a'"):
        opened(tmp_path, table)


def test_bad_files_are_all_named_before_anything_is_computed(tmp_path: Path) -> None:
    # given a good file, one cut short, one that is text, one packed, one with a broken footer
    pq.write_table(pa.table({"x": list(range(1000))}), tmp_path / "good.parquet")
    whole = (tmp_path / "good.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(whole[:-100])
    (tmp_path / "text.parquet").write_text("x\n1\n2\n")
    (tmp_path / "packed.parquet").write_bytes(b"\x1f\x8b\x08" + whole)
    (tmp_path / "footer.parquet").write_bytes(whole[:-60] + bytes(52) + whole[-8:])
    (tmp_path / "tiny.parquet").write_bytes(b"PAR1")
    # when
    with pytest.raises(DataError) as caught:
        Parquet(path=str(tmp_path)).table()
    # then
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == [
        "cut.parquet",
        "footer.parquet",
        "packed.parquet",
        "text.parquet",
        "tiny.parquet",
    ]
    assert f"({len(whole) - 100} bytes) is cut short" in lines[0]
    assert all("bytes" in line and line.endswith(".") for line in lines)


def test_a_flipped_bit_is_found_and_its_row_group_and_column_named(tmp_path: Path) -> None:
    # given a file with page checksums, and one bit flipped in a page of column b of row group 1
    path = tmp_path / "a.parquet"
    table = pa.table({"a": list(range(100)), "b": [float(i) for i in range(100)]})
    pq.write_table(table, path, row_group_size=50, write_page_checksum=True, compression="none", use_dictionary=False)
    page = pq.ParquetFile(path).metadata.row_group(1).column(1)
    data = bytearray(path.read_bytes())
    data[page.data_page_offset + page.total_compressed_size - 20] ^= 4
    path.write_bytes(bytes(data))
    # when
    found = Parquet(path=str(path)).table()
    # then
    with pytest.raises(DataError, match=r"a\.parquet, row group 1, column 'b'.*damaged"):
        found.partitions[0].read()


def test_big_files_are_cut_at_row_groups_and_nothing_is_lost(tmp_path: Path) -> None:
    # given ten row groups of 800 bytes
    table = pa.table({"x": list(range(1000))})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=100)
    # when
    found = Parquet(path=str(tmp_path), partition_bytes=2_000).table()
    # then
    assert [part.fingerprint.name for part in found.partitions] == [f"a.parquet#{place}" for place in range(5)]
    assert rows(found)["x"].to_pylist() == list(range(1000))
    hashes = [part.read().content_hash for part in found.partitions]
    assert len(set(hashes)) == 5


def test_the_content_hash_follows_the_bytes(tmp_path: Path) -> None:
    # given one row, the same written again, and another
    hashes = [opened(tmp_path, {"x": [value]}).partitions[0].read().content_hash for value in (1, 1, 2)]
    # then
    assert hashes[0] == hashes[1] != hashes[2]
    assert all(hashes)


def test_files_and_row_groups_without_rows_are_read_as_such(tmp_path: Path) -> None:
    empty = pa.table({"x": pa.array([], pa.int64())})
    found = opened(tmp_path, empty, {"x": [1]}, empty)
    assert [part.read().rows.num_rows for part in found.partitions] == [0, 1, 0]


def test_a_file_replaced_after_planning_is_refused(tmp_path: Path) -> None:
    # given
    found = opened(tmp_path, {"x": [1]})
    # when
    pq.write_table(pa.table({"x": [1, 2, 3]}), tmp_path / "part.0.parquet")
    os.utime(tmp_path / "part.0.parquet", ns=(1, 1))
    # then
    with pytest.raises(ChangedDataError, match=r"part\.0\.parquet changed"):
        found.partitions[0].read()


def test_derived_columns_have_the_types_their_rows_will_have(tmp_path: Path) -> None:
    found = opened(tmp_path, {"d": [20, None]}, derive={"late": "d > 15", "half": "d / 2"}, target="late")
    assert {c.name: c.type for c in found.schema.columns} == {"d": "int64", "late": "bool", "half": "double"}


def test_partitions_travel_small_and_by_relative_names(tmp_path: Path) -> None:
    (piece,) = opened(tmp_path, {f"column {place}": [place] for place in range(40)}).partitions
    sent = pickle.dumps(piece)
    assert len(sent) < 10_000
    assert pickle.loads(sent).read().content_hash == piece.read().content_hash
    assert str(tmp_path) not in piece.fingerprint.name


@pytest.mark.parametrize(
    ("folder", "n_rows", "n_columns"), [("kdd99_intrusion", 494_021, 42), ("pnw_flights14/flights", 162_049, 16)]
)
def test_real_tables_are_read_whole(folder: str, n_rows: int, n_columns: int, shared_data: Path) -> None:
    # when
    found = Parquet(path=str(shared_data / folder)).table()
    # then
    whole = rows(found)
    assert (whole.num_rows, whole.num_columns) == (n_rows, n_columns)
    estimate = sum(part.n_bytes for part in found.partitions)
    assert 0.5 < estimate / whole.nbytes < 2


def test_the_index_that_dask_writes_is_no_column(tmp_path: Path) -> None:
    # given a folder that dask wrote
    import dask.dataframe as dd

    frame = dd.from_pandas(pd.DataFrame({"x": [1.0, 2.0, 3.0, 4.0], "y": [0, 1, 0, 1]}), npartitions=2)
    frame.to_parquet(tmp_path / "written")
    # when, then
    assert Parquet(path=str(tmp_path / "written"), target="y").table().schema.names == ("x", "y")
