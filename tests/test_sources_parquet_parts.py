"""Parquet files: folder names are columns, filters keep exactly their rows, and the bytes are read once and hashed."""

from __future__ import annotations

import datetime
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import ChangedDataError, DataError, SettingsError
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.table import Table
from daskflow.sources.parquet import Parquet


def write(path: Path, columns: Any, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(columns), path, **options)


def rows(table: Table) -> list[dict[str, Any]]:
    return [row for partition in table.partitions for row in partition.read().plain.to_pylist()]


# Folder names


def test_folders_called_key_value_are_columns_whose_types_are_found_and_told(tmp_path: Path) -> None:
    # given
    for year, day in ((2020, "2020-01-01"), (2021, "2021-02-01")):
        write(tmp_path / f"year={year}" / f"day={day}" / "place=a b%2Fc" / "part.0.parquet", {"x": [year]})
    # when
    table = Parquet(path=str(tmp_path)).table()
    # then
    assert {c.name: c.type for c in table.schema.columns} == {
        "x": "int64",
        "year": "int64",
        "day": "date32[day]",
        "place": "string",
    }
    assert rows(table)[1] == {"x": 2021, "year": 2021, "day": datetime.date(2021, 2, 1), "place": "a b/c"}
    assert any("year (int64), day (date32[day]), place (string)" in note for note in table.notes)


def test_folder_names_are_columns_however_the_files_are_named(tmp_path: Path) -> None:
    # given
    write(tmp_path / "k=1" / "a.parquet", {"x": [1]})
    # when, then
    for path in (".", "k=1", "k=*/*.parquet", "k=1/a.parquet", "**/*.parquet"):
        assert rows(Parquet(path=path).table(tmp_path)) == [{"x": 1, "k": 1}]
    assert rows(Parquet(path=".", hive=False).table(tmp_path)) == [{"x": 1}]


def test_missing_values_and_leading_zeros_in_folder_names_are_kept(tmp_path: Path) -> None:
    # given
    for value in ("__HIVE_DEFAULT_PARTITION__", "007"):
        write(tmp_path / f"k={value}" / "a.parquet", {"x": [1]})
    # when, then
    assert {row["k"] for row in rows(Parquet(path=str(tmp_path)).table())} == {None, "007"}
    assert {row["k"] for row in rows(Parquet(path=str(tmp_path), dtypes={"k": "float64"}).table())} == {None, 7.0}


@pytest.mark.parametrize(
    ("folders", "options", "words"),
    [
        (["a=1", "b=1"], {}, ("differ", "'a'", "'b'", "hive = false")),
        (["a=1", "plain"], {}, ("differ", "no keys", "hive = false")),
        (["a=1/a=2"], {}, ("'a' stands twice",)),
        (["x=1"], {}, ("'x' stands in the file", "columns = [...]")),
        (["a=1", "a=z"], {"dtypes": {"a": "int64"}}, ("a=z", "int64")),
        (["plain"], {"hive": True}, ("hive = true", "no folder")),
        (["a=1"], {"file_column": "a"}, ("file_column = 'a'",)),
        (["a=1"], {"file_column": "x"}, ("'x' stands in the file", "file_column")),
    ],
)
def test_folder_names_that_contradict_each_other_or_the_files_are_refused(
    folders: list[str], options: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    for folder in folders:
        write(tmp_path / folder / "a.parquet", {"x": [1]})
    with pytest.raises(DataError) as caught:
        Parquet(path=[str(tmp_path / folder) for folder in folders], **options).table()
    assert all(word in str(caught.value) for word in words)


def test_the_file_name_is_a_column_on_request(tmp_path: Path) -> None:
    for name in ("2020/a.parquet", "2021/a.parquet"):
        write(tmp_path / name, {"x": [1]})
    table = Parquet(path="**/*.parquet", file_column="source_file", columns=["x"]).table(tmp_path)
    assert [row["source_file"] for row in rows(table)] == ["2020/a.parquet", "2021/a.parquet"]
    assert table.schema.names == ("x", "source_file")


# Filters


def test_filters_keep_exactly_their_rows_and_the_others_are_counted(tmp_path: Path) -> None:
    # given a file of ten row groups
    write(tmp_path / "a.parquet", {"x": list(range(1000)), "s": ["a", "b"] * 500}, row_group_size=100)
    # when
    table = Parquet(path=str(tmp_path), filters=[["x", ">=", 250], ["x", "<", 420], ["s", "==", "a"]]).table()
    decoded = [partition.read() for partition in table.partitions]
    # then only the row groups whose statistics leave it open are read
    assert [row["x"] for part in decoded for row in part.rows.to_pylist()] == list(range(250, 420, 2))
    assert sum(part.n_filtered for part in decoded) == 300 - 85
    assert sum(part.rows.num_rows + part.n_filtered for part in decoded) == 300
    assert any("7 of 10 row groups (700 rows)" in note for note in table.notes)
    # and the kinds of rows are none of the refused
    assert all(part.rejects == () for part in decoded)


def test_files_whose_folder_names_rule_them_out_are_not_opened(tmp_path: Path) -> None:
    # given a damaged file beside a good one
    write(tmp_path / "k=1" / "a.parquet", {"x": [1]})
    write(tmp_path / "k=2" / "a.parquet", {"x": [2]})
    (tmp_path / "k=2" / "a.parquet").write_bytes(b"PAR1")
    # when
    table = Parquet(path=str(tmp_path), filters=[["k", "=", 1]]).table()
    # then
    assert rows(table) == [{"x": 1, "k": 1}]
    assert any("1 of 2 files" in note for note in table.notes)


OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "in", "not in", "is", "is not"]
ASKED = {
    "i": st.integers(-3, 3),
    "f": st.sampled_from([-1.5, 0.0, 0.5, 2.0]),
    "s": st.sampled_from(["", "a", "ab", "é"]),
}
VALUES = {
    "i": st.none() | ASKED["i"],
    "f": st.sampled_from([None, float("nan")]) | ASKED["f"],
    "s": st.none() | ASKED["s"],
}


def naive(value: Any, operator: str, wanted: Any) -> bool:
    """What a filter means, in plain words."""
    is_missing = value is None or value != value
    if operator in ("is", "is not"):
        return is_missing == (operator == "is")
    if is_missing:
        return False
    match operator:
        case "in":
            return bool(value in wanted)
        case "not in":
            return bool(value not in wanted)
        case "==":
            return bool(value == wanted)
        case "!=":
            return bool(value != wanted)
        case "<":
            return bool(value < wanted)
        case "<=":
            return bool(value <= wanted)
        case ">":
            return bool(value > wanted)
    return bool(value >= wanted)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_for_any_rows_and_filter_the_same_are_kept_as_by_asking_each_row(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # given rows in small row groups, and a filter of one or two lists of conditions
    n_rows = data.draw(st.integers(1, 12))
    table = {name: data.draw(st.lists(values, min_size=n_rows, max_size=n_rows)) for name, values in VALUES.items()}
    filters = []
    for _ in range(data.draw(st.integers(1, 2))):
        group = []
        for name in data.draw(st.lists(st.sampled_from(list(VALUES)), min_size=1, max_size=2)):
            operator = data.draw(st.sampled_from(OPERATORS))
            value: Any = "null" if operator.startswith("is") else data.draw(ASKED[name])
            if operator.endswith("in"):
                value = data.draw(st.lists(ASKED[name], min_size=1, max_size=3))
            group.append([name, operator, value])
        filters.append(group)
    types = pa.schema([("i", pa.int32()), ("f", pa.float64()), ("s", pa.string())])
    folder = tmp_path_factory.mktemp("filters")
    write(folder / "a.parquet", pa.table(table, schema=types), row_group_size=data.draw(st.integers(1, 5)))
    expected = [
        row["i"]
        for row in pa.table(table, schema=types).to_pylist()
        if any(all(naive(row[name], operator, value) for name, operator, value in group) for group in filters)
    ]
    # when
    source = Parquet(path=str(folder), filters=filters)
    try:
        table = source.table()
    except DataError:  # statistics rule out all
        assert expected == []
    else:
        # then
        assert [row["i"] for row in rows(table)] == expected


def test_filters_look_at_columns_that_are_not_handed_out(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"x": [1, 2], "y": [3, 4]})
    assert rows(Parquet(path=str(tmp_path), columns=["x"], filters=[["y", ">", 3]]).table()) == [{"x": 2}]


@pytest.mark.parametrize(
    ("filters", "error", "words"),
    [
        ([["agee", ">", 3]], DataError, ("filters names 'agee'", "did you mean 'age'")),
        ([["age", ">", "old"]], DataError, ("'old'", "'age'", "int64")),
        ([["when", ">", 3]], DataError, ("3", "'when'", "timestamp")),
        ([["age", ">", 99]], DataError, ("no row is left",)),
        ([["age", "~", 3]], SettingsError, ("no such operator: '~'",)),
        ([["age", "in", 3]], SettingsError, ("needs a list",)),
        ([["age", ">"]], SettingsError, ("[column, operator, value]",)),
        ([["age", "==", None]], SettingsError, ("'is', 'null'",)),
    ],
)
def test_filters_that_cannot_be_meant_are_answered(
    filters: Any, error: type[Exception], words: tuple[str, ...], tmp_path: Path
) -> None:
    write(tmp_path / "a.parquet", {"age": [1, 2], "when": [datetime.datetime(2020, 1, 1)] * 2})
    with pytest.raises(error) as caught:
        Parquet(path=str(tmp_path), filters=filters).table()
    assert all(word in str(caught.value) for word in words)


def test_times_are_compared_as_times(tmp_path: Path) -> None:
    days = [datetime.datetime(2020, 1, day) for day in range(1, 10)]
    write(tmp_path / "a.parquet", {"t": pa.array(days, pa.timestamp("us"))}, row_group_size=3)
    for value in ("2020-01-05", datetime.datetime(2020, 1, 5), datetime.date(2020, 1, 5)):
        assert len(rows(Parquet(path=str(tmp_path), filters=[["t", ">", value]]).table())) == 4


# Bytes


def test_texts_that_the_file_keeps_as_dictionaries_are_handed_out_so_and_are_the_same(tmp_path: Path) -> None:
    # given two row groups with other dictionaries, and a column written plain
    texts = ["a", "b", None, "c"] * 50
    table = pa.table({"s": texts, "plain": texts, "large": pa.array(texts, pa.large_string())})
    write(tmp_path / "a.parquet", table.slice(1), row_group_size=2, use_dictionary=["s", "large"])
    # when
    (partition,) = Parquet(path=str(tmp_path)).table().partitions
    decoded = partition.read()
    # then
    assert pa.types.is_dictionary(decoded.rows.schema.field("s").type)
    assert decoded.rows.schema.field("plain").type == pa.string()
    assert decoded.plain.to_pylist() == table.slice(1).to_pylist()


def test_a_block_of_dictionaries_is_that_of_plain_texts(tmp_path: Path) -> None:
    # given the same rows with and without dictionaries in the file
    table = pa.table({"s": ["b", "a", None] * 20, "x": list(range(60))})
    found = []
    for name, use_dictionary in (("with", True), ("without", False)):
        write(tmp_path / name / "a.parquet", table, use_dictionary=use_dictionary)
        # when
        blocks = scan(Parquet(path=str(tmp_path / name)).table(), tmp_path / f"{name}-store", InlineExecutor())
        with pa.memory_map(blocks.files[0].path) as mapped:
            block = pa.ipc.open_file(mapped).read_all()
            found.append([row | {"s": row["s"]} for row in block.to_pylist()])
    # then
    assert found[0] == found[1]


def test_only_the_bytes_that_are_decoded_count_for_the_content_hash(tmp_path: Path) -> None:
    # given a file of three row groups, of which each is a partition, and the same with another last one
    tables = [pa.table({"x": list(range(300)), "y": np.arange(300.0)}) for _ in range(2)]
    tables[1] = pa.concat_tables([tables[1].slice(0, 200), tables[1].slice(0, 100)])
    hashes = []
    for table in tables:
        path = tmp_path / "a.parquet"
        write(path, table, row_group_size=100, write_statistics=False)
        found = Parquet(path=str(path), partition_bytes=1).table()
        assert [part.fingerprint.name for part in found.partitions] == [f"a.parquet#{place}" for place in range(3)]
        # a footer of the same length, so the first partitions' bytes are the same but for it
        hashes.append([part.read().content_hash for part in found.partitions])
    # then
    assert len(set(hashes[0])) == 3
    assert hashes[0][2] != hashes[1][2]
    # and a projection reads and hashes its columns alone
    narrow = Parquet(path=str(tmp_path / "a.parquet"), columns=["y"], partition_bytes=1).table()
    assert [len(part.read().rows.column_names) for part in narrow.partitions] == [1, 1, 1]
    assert narrow.partitions[0].read().content_hash != hashes[1][0]


@settings(max_examples=25, deadline=None)
@given(
    n_rows=st.integers(0, 40),
    group=st.integers(1, 20),
    target=st.integers(1, 2_000),
    compression=st.sampled_from(["none", "snappy", "zstd", "gzip"]),
)
def test_for_any_row_groups_and_partition_size_nothing_is_lost(
    n_rows: int, group: int, target: int, compression: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = pa.table({"x": list(range(n_rows)), "s": pa.array([f"v{i % 3}" for i in range(n_rows)], pa.string())})
    folder = tmp_path_factory.mktemp("groups")
    write(folder / "a.parquet", table, row_group_size=group, compression=compression)
    for columns in (None, ["s"], ["x"]):
        found = rows(Parquet(path=str(folder), partition_bytes=target, columns=columns).table())
        assert found == (table if columns is None else table.select(columns)).to_pylist()


def test_a_row_group_that_is_too_large_is_one_partition_and_told(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", {"x": list(range(1_000_000))})
    table = Parquet(path=str(tmp_path), partition_bytes=1 << 20).table()
    assert len(table.partitions) == 1
    assert any("a.parquet: row group 0 takes about 7 MiB" in note for note in table.notes)


@pytest.mark.parametrize("compression", ["none", "snappy", "zstd", "lz4"])
def test_every_flipped_bit_in_a_page_with_a_checksum_is_found(compression: str, tmp_path: Path) -> None:
    # given a file with page checksums
    path = tmp_path / "a.parquet"
    rng = np.random.default_rng(0)
    table = pa.table({"x": rng.normal(size=500), "s": [f"v{i % 7}" for i in range(500)]})
    write(path, table, compression=compression, write_page_checksum=True)
    whole = path.read_bytes()
    group = pq.ParquetFile(path).metadata.row_group(0)
    places = []
    for column in (group.column(0), group.column(1)):
        last = column.data_page_offset + column.total_compressed_size
        if column.has_dictionary_page:
            last = column.dictionary_page_offset + column.total_compressed_size
        places += [last - 1 - int(back) for back in rng.integers(0, 40, 15)]
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(bytes(damaged))
        # when, then
        (partition,) = Parquet(path=str(path)).table().partitions
        with pytest.raises(DataError, match=r"a\.parquet, row group 0, column '[xs]'.*damaged"):
            partition.read()


def test_a_file_cut_while_it_is_read_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    # given
    path = tmp_path / "a.parquet"
    write(path, {"x": list(range(100_000))}, compression="none")
    (partition,) = Parquet(path=str(path)).table().partitions
    seen = os.stat(path)
    # when it becomes shorter, and its time is put back
    os.truncate(path, 1000)
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    # then
    with pytest.raises(ChangedDataError, match=r"a\.parquet changed"):
        partition.read()


def test_a_thousand_files_make_small_partitions_and_a_note(tmp_path: Path) -> None:
    # given
    table = pa.table({"x": [1.5], "s": ["a"]})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    data = sink.getvalue().to_pybytes()
    for place in range(1000):
        (tmp_path / f"part.{place}.parquet").write_bytes(data)
    # when
    found = Parquet(path=str(tmp_path)).table()
    # then
    assert len(found.partitions) == 1000
    assert any("1000 files of 1 KiB on average" in note for note in found.notes)
    assert len(pickle.dumps(found.partitions)) < 300 * 1000


@pytest.mark.parametrize("path", ["none-*.parquet", "with * in it", ["none-*.parquet"]])
def test_a_glob_that_matches_nothing_is_an_error_and_no_empty_table(path: str, tmp_path: Path) -> None:
    (tmp_path / "with * in it").mkdir()
    with pytest.raises(DataError, match=r"matches no file|without \.parquet"):
        Parquet(path=path).table(tmp_path)


def test_a_folder_with_a_star_in_its_name_is_itself(tmp_path: Path) -> None:
    write(tmp_path / "with * in it" / "a.parquet", {"x": [1]})
    assert rows(Parquet(path="with * in it").table(tmp_path)) == [{"x": 1}]


@pytest.mark.parametrize(
    "other", [pa.array([0.5]), pa.array(["1"]), pa.array([datetime.datetime(2020, 1, 1)], pa.timestamp("us", "UTC"))]
)
def test_integers_are_never_read_as_something_else_because_another_file_has_it(other: pa.Array, tmp_path: Path) -> None:
    # given 2**53 + 1, which no float holds
    write(tmp_path / "a.parquet", {"x": [2**53 + 1]})
    write(tmp_path / "b.parquet", {"x": other})
    with pytest.raises(DataError, match=r"'x' is int64 in 'a\.parquet'"):
        Parquet(path=str(tmp_path)).table()
    assert rows(Parquet(path=str(tmp_path / "a.parquet")).table()) == [{"x": 2**53 + 1}]


def test_filters_are_part_of_what_a_block_is_made_from(tmp_path: Path) -> None:
    # given
    write(tmp_path / "a.parquet", {"x": list(range(10))})
    store = tmp_path / "store"
    counts = []
    for filters in ([["x", "<", 3]], [["x", "<", 5]], None):
        # when
        table = Parquet(path=str(tmp_path / "a.parquet"), filters=filters).table()
        blocks = scan(table, store, InlineExecutor())
        counts.append((blocks.n_rows, blocks.n_filtered))
    # then
    assert counts == [(3, 7), (5, 5), (10, 0)]
