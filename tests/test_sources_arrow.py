"""Arrow files and streams: record batches come back exactly, in any grouping, and cut files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.data.table import Table
from daskflow.sources.arrow import Arrow
from daskflow.sources.guess import guess

ROWS = pa.table(
    {
        "x": pa.array([*range(999), None]),
        "s": [f"v{place % 7}" for place in range(1000)],
        "d": pa.array([f"c{place % 5}" for place in range(1000)]).dictionary_encode(),
    }
)


def rows(table: Table) -> list[dict[str, Any]]:
    return [row for partition in table.partitions for row in partition.read().plain.to_pylist()]


def write_stream(path: Path, tables: list[pa.Table], **options: Any) -> None:
    with (
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, tables[0].schema, options=pa.ipc.IpcWriteOptions(**options)) as writer,
    ):
        for table in tables:
            writer.write_table(table)


@settings(max_examples=15, deadline=None)
@given(
    batch=st.integers(5, 100),
    target=st.integers(1, 10_000),
    compression=st.sampled_from([None, "lz4", "zstd"]),
    is_stream=st.booleans(),
)
def test_for_any_batches_grouping_and_compression_rows_come_back(
    batch: int, target: int, compression: str | None, is_stream: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # given
    path = tmp_path_factory.mktemp("arrow") / "a.arrow"
    options = pa.ipc.IpcWriteOptions(compression=compression)
    make = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, make(file, ROWS.schema, options=options) as writer:
        writer.write_table(ROWS.slice(0, 200), max_chunksize=batch)
    # when
    table = Arrow(path=str(path), partition_bytes=target).table()
    # then
    assert rows(table) == ROWS.slice(0, 200).to_pylist()
    assert table.schema["d"].type == "string"
    hashes = [partition.read().content_hash for partition in table.partitions]
    assert len(set(hashes)) == len(hashes)


@pytest.mark.parametrize("emit_dictionary_deltas", [False, True], ids=["replaced", "added to"])
def test_dictionaries_that_change_within_a_stream_are_those_of_their_batch(
    emit_dictionary_deltas: bool, tmp_path: Path
) -> None:
    # given
    texts = [["a", "b"], ["c", "a"], ["a", None, "z"]]
    tables = [pa.table({"d": pa.array(one, pa.string()).dictionary_encode()}) for one in texts]
    write_stream(tmp_path / "a.arrows", tables, emit_dictionary_deltas=emit_dictionary_deltas)
    # when every batch is a partition
    table = Arrow(path=str(tmp_path), partition_bytes=1).table()
    # then
    assert [partition.read().plain["d"].to_pylist() for partition in table.partitions] == texts


def test_files_are_unified_or_refused_as_parquet_files_are(tmp_path: Path) -> None:
    # given
    pyarrow.feather.write_feather(pa.table({"x": pa.array([1], pa.int8()), "k": ["a"]}), str(tmp_path / "a.feather"))
    pyarrow.feather.write_feather(pa.table({"k": ["b"], "x": pa.array([300])}), str(tmp_path / "b.feather"))
    # when, then
    table = Arrow(path=str(tmp_path), file_column="file").table()
    assert rows(table) == [{"x": 1, "k": "a", "file": "a.feather"}, {"x": 300, "k": "b", "file": "b.feather"}]
    pyarrow.feather.write_feather(pa.table({"x": [0.5], "z": ["b"]}), str(tmp_path / "c.feather"))
    with pytest.raises(DataError) as caught:
        Arrow(path=str(tmp_path)).table()
    assert "column 'k' is missing in 'c.feather'" in str(caught.value)
    assert "column 'x' is int8 in 'a.feather'; int64 in 'b.feather'; double in 'c.feather'" in str(caught.value)


def test_cut_foreign_and_empty_files_are_all_named_before_anything_is_computed(tmp_path: Path) -> None:
    # given
    write_stream(tmp_path / "whole.arrows", [ROWS])
    stream = (tmp_path / "whole.arrows").read_bytes()
    pyarrow.feather.write_feather(ROWS, str(tmp_path / "whole.feather"))
    file = (tmp_path / "whole.feather").read_bytes()
    (tmp_path / "a.arrows").write_bytes(stream[:-8])
    (tmp_path / "b.arrows").write_bytes(stream[:-100])
    (tmp_path / "c.feather").write_bytes(file[:-30])
    (tmp_path / "d.arrow").write_text("x,y\n1,2\n3,4\n")
    (tmp_path / "e.feather").write_bytes(b"FEA1" + bytes(40))
    # when
    with pytest.raises(DataError) as caught:
        Arrow(path=str(tmp_path)).table()
    # then
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines] == ["a.arrows", "b.arrows", "c.feather", "d.arrow", "e.feather"]
    assert all("bytes)" in line and line.endswith(".") for line in lines)


@pytest.mark.parametrize("is_stream", [False, True])
def test_a_damaged_file_never_ends_the_process(is_stream: bool, tmp_path: Path) -> None:
    # given a byte changed at many places
    path = tmp_path / "a.arrow"
    make = pa.ipc.new_stream if is_stream else pa.ipc.new_file
    with pa.OSFile(str(path), "wb") as file, make(file, ROWS.schema) as writer:
        writer.write_table(ROWS.slice(0, 20))
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 13):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        # when, then it is read (numbers have no checksum) or refused with its name
        try:
            rows(Arrow(path=str(path)).table())
        except (DataError, ChangedDataError) as error:
            refused += "a.arrow" in str(error) or "Column" in str(error)
    assert refused > 10


def test_the_file_is_guessed_and_columns_are_chosen(tmp_path: Path) -> None:
    path = tmp_path / "noname"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, ROWS.schema) as writer:
        writer.write_table(ROWS)
    assert guess(str(path))[0] == "arrow"
    table = Arrow(path=str(path), columns=["s"]).table()
    assert table.schema.names == ("s",)
    assert rows(table) == ROWS.select(["s"]).to_pylist()
