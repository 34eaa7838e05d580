"""Options of the csv source: each says one thing about how files are written, and means the same wherever they are."""

from __future__ import annotations

import gzip
import uuid
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskflow.core.errors import DataError, SettingsError
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.table import Table
from daskflow.sources.csv import Csv


def opened(folder: Path, *texts: str | bytes, name: str = "a", suffix: str = ".csv", **options: Any) -> Table:
    for place, text in enumerate(texts):
        (folder / f"{name}.{place}{suffix}").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Csv(path=str(folder / f"*{suffix}"), **options).table()


def read(table: Table) -> list[dict[str, Any]]:
    return [row for partition in table.partitions for row in partition.read().plain.to_pylist()]


@pytest.mark.parametrize(
    ("cells", "options", "type_", "found"),
    [
        (("£30,495", "-£1,200", "£ 7", ""), {"currency": "£", "thousands": ","}, "int64", [30_495, -1_200, 7, None]),
        (("$1.50", "2.25 €", "€-3"), {"currency": "$€"}, "double", [1.5, 2.25, -3.0]),
        (("£", "1"), {"currency": "£"}, "string", ["£", "1"]),
        (("1,5", "2"), {"decimal": ","}, "double", [1.5, 2.0]),
        (("yes", "no", ""), {"true_values": ["yes"], "false_values": ["no"]}, "bool", [True, False, None]),
        (("yes", "true"), {"true_values": "yes"}, "bool", [True, True]),
        (("yes", "maybe"), {"true_values": ["yes"], "false_values": ["no"]}, "string", ["yes", "maybe"]),
        (("-", "1"), {"na_values": {"x": ["-"]}}, "int64", [None, 1]),
        (("-", "1"), {"na_values": {"name": ["-"]}}, "string", ["-", "1"]),
        (('a ""b', "c"), {"double_quote": False, "dtypes": {"x": "string"}}, "string", ['a ""b', "c"]),
    ],
)
def test_marks_signs_and_words(
    cells: tuple[str, ...], options: dict[str, Any], type_: str, found: list[Any], tmp_path: Path
) -> None:
    quote = options.get("double_quote", True)
    text = "name;x\n" + "".join(f'n;"{cell}"\n' if quote else f"n;{cell}\n" for cell in cells)
    table = opened(tmp_path, text, separator=";", **options)
    assert (table.schema["x"].type, [row["x"] for row in read(table)]) == (type_, found)


@pytest.mark.parametrize("suffix", [".tsv", ".tab", ".psv", ".ssv", ".csv", ".txt", ".tsv.gz"])
def test_the_separator_is_told_by_the_suffix(suffix: str, tmp_path: Path) -> None:
    mark = {".tsv": "\t", ".tab": "\t", ".psv": "|", ".ssv": ";"}.get(suffix.removesuffix(".gz"), ",")
    data = f"a{mark}b\n1{mark}x\n".encode()
    table = opened(tmp_path, gzip.compress(data) if suffix.endswith(".gz") else data, suffix=suffix)
    assert read(table) == [{"a": 1, "b": "x"}]


def test_suffixes_that_tell_different_separators_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\tb\n1\tx\n")
    (tmp_path / "b.csv").write_text("a,b\n1,x\n")
    with pytest.raises(DataError, match=r"'\\t' by a\.tsv, ',' by b\.csv.*Set separator"):
        Csv(path=tmp_path).table()


def test_words_of_pandas_mean_what_they_mean_there(tmp_path: Path) -> None:
    # given
    path = tmp_path / "a.csv"
    path.write_text("title\na; b\n1; 'x\\'y'\n2; z\ntotal; 3\n")
    options: dict[str, Any] = {"sep": ";", "quotechar": "'", "escapechar": "\\", "skiprows": 1, "skipfooter": 1}
    options |= {"skipinitialspace": True, "dtype": {"a": "Int64"}, "usecols": ["a", "b"]}
    # when
    source = Csv(path=path, **options)
    # then
    assert read(source.table()) == pd.read_csv(path, engine="python", **options).to_dict("records")
    assert "sep" not in source.dump()
    assert source.dump()["separator"] == ";"
    with pytest.raises(SettingsError, match="separator is given twice, also as sep"):
        Csv(path=path, separator=",", sep=";")
    with pytest.raises(SettingsError, match="header: should be true"):
        Csv(path=path, header=0)
    with pytest.raises(SettingsError, match="separator: should be one ASCII character"):
        Csv(path=path, sep=r"\s+")


def test_marks_that_could_not_be_told_apart_are_refused() -> None:
    for options, words in [
        ({"separator": ";", "comment": ";"}, "separator and comment are both ';'"),
        ({"quote": "'", "escape": "'"}, 'quote and escape are both "\'"'),
        ({"true_values": ["x"], "false_values": ["x"]}, "'x' is both true and false"),
        ({"skip_footer": -1}, "skip_footer"),
        ({"compression": "rar"}, "compression"),
    ]:
        with pytest.raises(SettingsError) as caught:
            Csv(path="x", **options)
        assert words in str(caught.value)


def test_only_the_columns_asked_for_are_read_and_values_of_others_do_not_matter(tmp_path: Path) -> None:
    texts = ["a,b,c\n1,2,x\n"] * 300
    texts[1] = "a,b,c\n1,word,x\n"
    table = opened(tmp_path, *texts, columns=["c", "a"])
    assert table.schema.names == ("a", "c")
    assert read(table)[1] == {"a": 1, "c": "x"}
    with pytest.raises(DataError, match="columns names 'd': there is no such column"):
        opened(tmp_path, *texts, columns=["d"])


def test_columns_are_renamed_by_name_before_pattern_and_must_not_meet(tmp_path: Path) -> None:
    texts = ("time,AEP_MW,x_MW\n1,2,3\n", "time,DOM_MW,x_MW\n4,5,6\n")
    table = opened(tmp_path, *texts, rename={"x_MW": "other", "*_MW": "MW"})
    assert read(table) == [{"time": 1, "MW": 2, "other": 3}, {"time": 4, "MW": 5, "other": 6}]
    with pytest.raises(DataError, match="stand twice: 'MW'"):
        opened(tmp_path, *texts, rename={"*_MW": "MW"})
    # the error without it shows what could be said
    with pytest.raises(DataError, match=r'rename = \{ "DOM_MW" = "AEP_MW" \}'):
        opened(tmp_path, *texts)


def test_folders_and_file_names_are_columns(tmp_path: Path) -> None:
    for year in (2019, 2020):
        (tmp_path / f"year={year}").mkdir()
        (tmp_path / f"year={year}" / "part.csv").write_text("a,b\n1,x\n2,y\n")
    table = Csv(path=tmp_path, file_column="file").table()
    rows = read(table)
    assert table.schema.names == ("a", "b", "year", "file")
    assert [(row["year"], row["file"]) for row in rows][::2] == [
        (2019, "year=2019/part.csv"),
        (2020, "year=2020/part.csv"),
    ]
    with pytest.raises(DataError, match="'b' stands in the file and in the names"):
        Csv(path=tmp_path, file_column="b").table()


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_files_of_any_store_are_read_whole_and_in_parts(suffix: str) -> None:
    # given
    folder = f"memory://{uuid.uuid4().hex}"
    data = b"n,text\n" + b"".join(b'%d,"a, b"\n' % place for place in range(2_000))
    with fsspec.open(f"{folder}/a{suffix}", "wb") as stored:
        stored.write(gzip.compress(data) if suffix.endswith(".gz") else data)
    try:
        for partition_bytes in (1 << 27, 5_000):
            # when
            table = Csv(path=f"{folder}/*{suffix}", partition_bytes=partition_bytes).table()
            # then
            assert [row["n"] for row in read(table)] == list(range(2_000))
            assert (len(table.partitions) > 1) == (partition_bytes == 5_000)
    finally:
        fsspec.filesystem("memory").rm(folder, recursive=True)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
@pytest.mark.parametrize("partition_bytes", [1 << 27, 50], ids=["whole", "in parts"])
def test_encodings_said_are_those_of_the_bytes(encoding: str, partition_bytes: int, tmp_path: Path) -> None:
    text = "größe,b\n" + "1,é\n2,ü\n" * 20
    table = opened(tmp_path, text.encode(encoding), encoding=encoding, partition_bytes=partition_bytes)
    assert read(table) == [{"größe": 1, "b": "é"}, {"größe": 2, "b": "ü"}] * 20


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_tells_the_encoding_of_each_file(encoding: str, tmp_path: Path) -> None:
    texts = ("a,b\n1,é\n".encode(), "a,b\n2,ü\n".encode(encoding))
    assert read(opened(tmp_path, *texts)) == [{"a": 1, "b": "é"}, {"a": 2, "b": "ü"}]


@pytest.mark.parametrize("encoding", ["shift_jis", "gbk", "euc_jp", "utf-7"])
def test_encodings_of_several_bytes_are_read_in_parts_too(encoding: str, tmp_path: Path) -> None:
    # given letters whose second byte is that of a mark in ASCII
    text = "a|b\n" + "1|表ソ能\n" * 300
    table = opened(tmp_path, text.encode(encoding), encoding=encoding, separator="|", partition_bytes=500)
    assert len(table.partitions) > 3
    assert read(table) == [{"a": 1, "b": "表ソ能"}] * 300


def test_bytes_that_an_encoding_does_not_have_are_bad_rows_or_named_by_their_place(tmp_path: Path) -> None:
    table = opened(tmp_path, b"a,b\n1,\x80\n2,\x81\n", encoding="cp1252", on_bad_rows="reject")
    (part,) = (partition.read() for partition in table.partitions)
    assert part.plain.to_pylist() == [{"a": 1, "b": "€"}]
    assert [(one.line, one.reason) for one in part.rejects] == [(3, "bytes that are not cp1252")]
    data = "a,b\n1,é\n".encode("utf-16") + b"\x00\xd8\x0a\x00"
    with pytest.raises(DataError, match=r"a\.0\.csv, byte 18: what stands there is not utf-16-le"):
        read(opened(tmp_path, data))


def test_a_compressed_file_without_its_suffix_is_read_when_said(tmp_path: Path) -> None:
    data = gzip.compress(b"a,b\n1,x\n")
    assert read(opened(tmp_path, data, compression="gzip")) == [{"a": 1, "b": "x"}]
    (tmp_path / "b.csv.gz").write_bytes(b"a,b\n1,x\n")
    assert read(Csv(path=tmp_path / "b.csv.gz", compression="none").table()) == [{"a": 1, "b": "x"}]


@pytest.mark.parametrize("partition_bytes", [1 << 27, 200], ids=["whole", "in parts"])
@pytest.mark.parametrize("packing", ["none", "gzip"])
def test_a_footer_is_left_out_and_no_row_with_it(partition_bytes: int, packing: str, tmp_path: Path) -> None:
    text = "a,b\n" + "1,2\n" * 100 + 'Source,"some, office"\nnote\n\n\n'
    data = gzip.compress(text.encode()) if packing == "gzip" else text.encode()
    table = opened(tmp_path, data, skip_footer=2, compression=packing, partition_bytes=partition_bytes)
    assert table.schema["a"].type == "int64"
    assert read(table) == [{"a": 1, "b": 2}] * 100


def test_how_files_are_cut_changes_neither_rows_nor_hashes(tmp_path: Path) -> None:
    # given
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.normal(size=3_000), "word": rng.choice(["a, b", 'c"d', "e\nf"], 3_000)})
    frame.to_csv(tmp_path / "a.csv", index=False)
    hashes = []
    for partition_bytes in (1 << 27, 10_000, 3_000):
        # when
        table = Csv(path=tmp_path / "a.csv", partition_bytes=partition_bytes).table()
        blocks = scan(table, tmp_path / "store", InlineExecutor())
        # then
        content = [pa.ipc.open_file(file.path).read_all()["__content"].to_pylist() for file in blocks.files]
        hashes.append(sorted(value for values in content for value in values))
        assert blocks.n_rows == 3_000
    assert hashes[0] == hashes[1] == hashes[2]
    # and a second scan reads none of them
    assert scan(table, tmp_path / "store", InlineExecutor()).partition_reads == 0
