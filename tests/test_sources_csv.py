"""CSV files: values as written or a sentence; rows in are rows used and rows rejected."""

from __future__ import annotations

import bz2
import gzip
import os
import pickle
from datetime import UTC
from datetime import datetime as time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskflow.core.errors import BadRowsError, ChangedDataError, DataError, SettingsError
from daskflow.data.table import Reject, Table
from daskflow.sources.csv import Csv
from daskflow.sources.csv_decode import by_arrow
from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_records import by_record
from daskflow.sources.csv_text import Head, records, text_of
from daskflow.sources.csv_types import Cells


def opened(folder: Path, *texts: str | bytes, **options: Any) -> Table:
    """A source over files a.0.csv, a.1.csv and so on."""
    for place, text in enumerate(texts):
        (folder / f"a.{place}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Csv(path=str(folder / "*.csv"), **options).table()


def read(table: Table) -> tuple[pa.Table, list[Reject]]:
    """All rows and rejects; every partition in exactly the source schema."""
    decoded = [partition.read() for partition in table.partitions]
    assert all(part.rows.schema == table.source_schema.arrow for part in decoded)
    return pa.concat_tables([part.rows for part in decoded]), [one for part in decoded for one in part.rejects]


def values(folder: Path, *cells: str, **options: Any) -> tuple[str, list[Any]]:
    """Type and values of a column of these cells."""
    text = "name,x\n" + "".join(f"n,{cell}\n" for cell in cells)
    table = opened(folder, text, **options)
    return table.schema["x"].type, read(table)[0]["x"].to_pylist()


@pytest.mark.parametrize(
    ("cells", "type_", "found"),
    [
        (("1", "-2", ""), "int64", [1, -2, None]),
        (("1", "2.5", "NA"), "double", [1.0, 2.5, None]),
        (("1", "2.0"), "double", [1.0, 2.0]),
        (("1e3", "inf", "nan"), "double", [1000.0, float("inf"), None]),
        (("02139", "10115"), "string", ["02139", "10115"]),
        (("0", "0.5", "-0.25"), "double", [0.0, 0.5, -0.25]),
        (("0x1F", "2"), "string", ["0x1F", "2"]),
        (("9223372036854775808", "1"), "string", ["9223372036854775808", "1"]),
        (("true", "False", ""), "bool", [True, False, None]),
        (("0", "1"), "int64", [0, 1]),
        (("yes", "no"), "string", ["yes", "no"]),
        (("NA", "DE"), "string", ["NA", "DE"]),
        (("2020-02-29", "2020-01-01 10:30:00"), "timestamp[us]", [time(2020, 2, 29), time(2020, 1, 1, 10, 30)]),
        (("2020-01-01T10:00:00Z",), "timestamp[us, tz=UTC]", [time(2020, 1, 1, 10, tzinfo=UTC)]),
        (("2021-02-29",), "string", ["2021-02-29"]),
        (("01/02/2020",), "string", ["01/02/2020"]),
        (("", ""), "string", [None, None]),
        (("null", "None"), "string", ["null", "None"]),
        (("-", "1"), "string", ["-", "1"]),
        (("  7", "8 "), "int64", [7, 8]),
    ],
)  # fmt: skip
def test_types_are_found_without_guessing(cells: tuple[str, ...], type_: str, found: list[Any], tmp_path: Path) -> None:
    assert values(tmp_path, *cells) == (type_, found)


@pytest.mark.parametrize(
    ("cells", "options", "type_", "found"),
    [
        (("?", "5"), {"na_values": ["?"]}, "int64", [None, 5]),
        (("NA", "x"), {"na_values": ["NA"]}, "string", [None, "x"]),
        (("1", "2"), {"dtypes": {"x": "category"}}, "string", ["1", "2"]),
        (("1", "2"), {"dtypes": {"x": "float64"}}, "double", [1.0, 2.0]),
        (("007", "8"), {"dtypes": {"x": "string"}}, "string", ["007", "8"]),
        (("5.0", "8"), {"dtypes": {"x": "Int64"}}, "int64", [5, 8]),
        (('"1,234"', '"12"'), {"thousands": ","}, "int64", [1234, 12]),
        (('"1,23"', '"12"'), {"thousands": ","}, "string", ["1,23", "12"]),
        (('"1.234,5"', '"2"'), {"thousands": ".", "decimal": ","}, "double", [1234.5, 2.0]),
        (('"1,5"', "2.5"), {"decimal": ","}, "string", ["1,5", "2.5"]),
        (("31/12/2020", ""), {"date_format": "%d/%m/%Y"}, "timestamp[us]", [time(2020, 12, 31), None]),
        (("31/12/20",), {"date_format": {"x": "%d/%m/%y"}}, "timestamp[us]", [time(2020, 12, 31)]),
        (("  a", " b "), {"skip_initial_space": True}, "string", ["a", "b "]),
    ],
)
def test_options_say_how_cells_are_written(
    cells: tuple[str, ...], options: dict[str, Any], type_: str, found: list[Any], tmp_path: Path
) -> None:
    assert values(tmp_path, *cells, **options) == (type_, found)


@pytest.mark.parametrize("late", ["02139", "1.5", "x", "0x1F", "-007", "9223372036854775808", "1e3"])
def test_a_value_that_does_not_fit_what_the_sample_showed_is_refused_and_never_coerced(
    late: str, tmp_path: Path
) -> None:
    # given whole numbers in every file that is looked at, and one other value in a file that is not
    texts = ["zip,b\n10115,1\n"] * 300
    texts[1] = f"zip,b\n10117,1\n{late},1\n"
    table = opened(tmp_path, *texts)
    assert table.schema["zip"].type == "int64"
    # when
    with pytest.raises(BadRowsError) as caught:
        read(table)
    # then
    told = (
        "a.1.csv, line 3",
        "column 'zip'",
        repr(late),
        "not int64",
        "dtypes = {zip = 'string'}",
        "na_values",
        "reject",
    )
    assert all(word in str(caught.value) for word in told)
    # and with the remedy nothing is lost
    whole, _ = read(opened(tmp_path, *texts, dtypes={"zip": "string"}))
    assert late in whole["zip"].to_pylist()


def test_floats_that_are_whole_are_whole_numbers_in_a_column_of_such(tmp_path: Path) -> None:
    # given files as pandas writes them, where a gap made floats of whole numbers
    texts = ["a,b\n5,x\n"] * 300
    texts[1] = "a,b\n5.0,x\n,x\n"
    # then
    assert read(opened(tmp_path, *texts))[0]["a"].to_pylist() == [5, 5, None, *[5] * 298]


def test_a_gap_or_a_word_among_booleans_is_never_true(tmp_path: Path) -> None:
    texts = ["a,b\nTrue,x\nFalse,x\n"] * 300
    texts[1] = "a,b\n,x\n"
    assert read(opened(tmp_path, *texts))[0]["a"].to_pylist()[2] is None
    texts[1] = "a,b\nno,x\n"
    with pytest.raises(BadRowsError, match=r"a\.1\.csv, line 2: column 'a' is 'no', not true or false"):
        read(opened(tmp_path, *texts))


MESSY = "a,b,c\n1,x,2020-01-01\n2,y\n3,z,2020-01-02,more\nfour,w,2020-01-03\n5,v,2020-02-30\n6,u\0,2020-01-04\n\n7,é,\n"


def test_bad_rows_are_rejected_with_file_line_reason_and_text_and_no_row_is_lost(tmp_path: Path) -> None:
    # given rows that are short, long, of a wrong type, with a NUL byte, and with bytes that are not UTF-8
    bad = MESSY.encode().replace("é".encode(), b"\xe9")
    table = opened(
        tmp_path, bad, "a,b,c\n8,t,2020-01-05\n", on_bad_rows="reject", dtypes={"a": "int64", "c": "datetime"}
    )
    # when
    rows, rejects = read(table)
    # then
    assert rows["a"].to_pylist() == [1, 8]
    assert [(one.file, one.line) for one in rejects] == [("a.0.csv", line) for line in (3, 4, 5, 6, 7, 9)]
    reasons = [one.reason for one in rejects]
    assert "2 cells where there are 3 columns" in reasons[0]
    assert "4 cells" in reasons[1]
    assert "column 'a' is 'four', not int64" in reasons[2]
    assert "column 'c' is '2020-02-30'" in reasons[3]
    assert "NUL" in reasons[4]
    assert "not utf-8" in reasons[5]
    assert rejects[2].text == "four,w,2020-01-03\n"
    assert rejects[5].text == "7,\\xe9,\n"
    assert rows.num_rows + len(rejects) == 8


def test_bad_rows_are_told_in_full_at_first_and_then_counted(tmp_path: Path) -> None:
    text = "a,b\n1,x\n" + "2\n" * 5
    with pytest.raises(BadRowsError) as caught:
        read(opened(tmp_path, text))
    assert all(word in str(caught.value) for word in ("line 3", "line 4", "line 5", "2 other bad rows", "line 6"))


def test_a_header_that_stands_again_within_a_file_is_a_bad_row(tmp_path: Path) -> None:
    # given two files put together
    table = opened(tmp_path, "a,b\n1,x\na,b\n2,y\n", on_bad_rows="reject")
    # then it does not make text of the numbers
    rows, rejects = read(table)
    assert rows["a"].to_pylist() == [1, 2]
    assert [(one.line, one.reason) for one in rejects] == [(3, "the header once more")]


def test_lines_are_counted_through_quoted_line_ends_comments_and_skipped_lines(tmp_path: Path) -> None:
    # given
    text = '\ufeffTitle\n\n# note\na,b\n# more, here\n1,"two\nlines"\n"# no comment",x\n\n3\n'
    # when
    options: dict[str, Any] = {"comment": "#", "skip_rows": 1, "dtypes": {"a": "string"}}
    rows, rejects = read(opened(tmp_path, text, on_bad_rows="reject", **options))
    # then
    assert rows.to_pylist() == [{"a": "1", "b": "two\nlines"}, {"a": "# no comment", "b": "x"}]
    assert [one.line for one in rejects] == [10]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"], ids=["unix", "windows", "mac"])
@pytest.mark.parametrize("has_last", [True, False], ids=["ended", "not ended"])
def test_all_line_ends_are_understood(end: str, has_last: bool, tmp_path: Path) -> None:
    text = end.join(["a,b", "1,x", '2,"y', 'z"']) + (end if has_last else "")
    rows, _ = read(opened(tmp_path, text))
    assert rows.to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": f"y{end}z"}]


def test_a_quote_that_never_ends_is_refused_and_does_not_swallow_rows(tmp_path: Path) -> None:
    # given
    text = 'a,b\n1,x\n2,"y\n3,z\n'
    # when, then
    with pytest.raises(DataError, match=r"a\.0\.csv, line 3: a quoted cell begins here and never ends.*quote = ''"):
        read(opened(tmp_path, text, on_bad_rows="reject"))
    rows, _ = read(opened(tmp_path, text, quote=""))
    assert rows["b"].to_pylist() == ["x", '"y', "z"]


def zstd(data: bytes) -> bytes:
    """Pack as .zst files are."""
    packed: bytes = pa.compress(data, "zstd", asbytes=True)
    return packed


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".zst", zstd)])
def test_packed_files_are_read_and_cut_ones_refused_by_name(suffix: str, pack: Any, tmp_path: Path) -> None:
    # given
    packed = pack(b"a,b\n" + b"".join(b"%d,x%d\n" % (place, place * 7919) for place in range(3000)))
    path = tmp_path / f"a.csv{suffix}"
    path.write_bytes(packed)
    # when, then
    rows, _ = read(Csv(path=str(path)).table())
    assert rows["a"].to_pylist() == list(range(3000))
    # when the last bytes are missing
    path.write_bytes(packed[: len(packed) * 3 // 4])
    with pytest.raises(DataError, match=rf"a\.csv\{suffix} \(\d+ bytes\) cannot be decompressed.*cut short"):
        read(Csv(path=str(path)).table())
    # when it is something else
    path.write_bytes(b"a,b\n1,2\n")
    with pytest.raises(DataError, match="cannot be decompressed"):
        Csv(path=str(path)).table()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16", "utf-16-le"])
def test_encodings_and_byte_order_marks(encoding: str, tmp_path: Path) -> None:
    rows, _ = read(opened(tmp_path, "größe,b\n1,é\n".encode(encoding), encoding=encoding))
    assert rows.to_pylist() == [{"größe": 1, "b": "é"}]


@pytest.mark.parametrize(
    ("data", "options", "words"),
    [
        ("größe,b\n1,x\n".encode("latin-1"), {}, ("a.0.csv, line 1", "not utf-8", "latin-1")),
        ("a,b\n1,é\n".encode("latin-1"), {}, ("a.0.csv, line 2", "not utf-8", "encoding")),
        ("a,b\n1,é\n".encode("utf-16"), {"encoding": "utf-8"}, ("a.0.csv", "encoding = 'utf-16-le'")),
        ("a,b\n1,é\n".encode("utf-16-le"), {}, ("a.0.csv, line 1", "every other byte is zero", "utf-16-le")),
        (b"a,b\n1,\x81\n", {"encoding": "cp1252"}, ("a.0.csv, line 2", "bytes that are not cp1252", "encoding")),
        (b"", {}, ("a.0.csv", "0 bytes")),
        (b"\n\n \n", {"skip_rows": 3}, ("a.0.csv", "empty")),
        (b"a,a\n1,2\n", {}, ("a.0.csv, line 1", "stand twice: 'a'", "names")),
        (b"a;b\n1;2\n", {}, ("a.0.csv", "separator = ';'")),
        (b"a,b\n1,2,3\n4,5,6\n", {}, ("a.0.csv", "2 names", "3 cells", "names = [...]")),
        (b"1,x\n2,y\n", {}, ("a.0.csv, line 1", "looks like data", "header = false")),
        (b"a,b\n1,x\n", {"names": ["c", "d"]}, ("a.0.csv, line 1", "looks like one", "header = true")),
        (b",,\na,b,c\n1,2,3\n", {}, ("a.0.csv, line 1", "no name", "skip_rows")),
        (b"a,b\n1,x\n", {"dtypes": {"aa": "string"}}, ("dtypes names 'aa'", "did you mean 'a'")),
        (b"a,b\n1,x\n", {"target": "bb"}, ("target = 'bb'", "did you mean 'b'")),
    ],
)  # fmt: skip
def test_what_cannot_be_read_as_asked_is_said_with_file_place_and_remedy(
    data: bytes, options: dict[str, Any], words: tuple[str, ...], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(opened(tmp_path, data, **options))
    assert all(word in str(caught.value) for word in words)


def test_one_nameless_column_is_named_by_its_place(tmp_path: Path) -> None:
    # given a file as pandas writes it with its index
    assert opened(tmp_path, ",x\n0,5\n1,6\n").schema.names == ("Unnamed: 0", "x")


def test_headers_with_other_names_are_refused_by_file_and_other_orders_put_in_order(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        opened(tmp_path, "a,b\n1,x\n", "a,c\n2,y\n", "2,20\n3,30\n")
    assert all(word in str(caught.value) for word in ("a.1.csv, line 1: lacks 'b'; has 'c'", "a.2.csv, line 1"))
    rows, _ = read(opened(tmp_path, "a,b\n1,x\n", "b,a\ny,2\n", "a,b\n3,z\n"))
    assert rows.to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}, {"a": 3, "b": "z"}]


def test_names_stand_for_a_header_or_replace_it(tmp_path: Path) -> None:
    named, _ = read(opened(tmp_path, "1,x\n2,y\n", names=["n", "t"]))
    assert named.to_pylist() == [{"n": 1, "t": "x"}, {"n": 2, "t": "y"}]
    replaced, _ = read(opened(tmp_path, "b,a\n1,x\n2,y\n", header=True, names=["a", "b"]))
    assert replaced.to_pylist() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_a_file_with_a_header_only_has_no_rows(tmp_path: Path) -> None:
    table = opened(tmp_path, "a,b\n", "a,b\n1,x\n")
    assert [part.read().rows.num_rows for part in table.partitions] == [0, 1]
    assert table.schema["a"].type == "int64"


def test_blank_lines_are_no_rows_and_rows_of_gaps_are(tmp_path: Path) -> None:
    rows, _ = read(opened(tmp_path, "a,b\n\n1,x\n\n,\n\n"))
    assert rows.to_pylist() == [{"a": 1, "b": "x"}, {"a": None, "b": None}]


def test_a_file_that_changed_after_planning_is_refused(tmp_path: Path) -> None:
    table = opened(tmp_path, "a,b\n1,x\n")
    (tmp_path / "a.0.csv").write_text("a,b\n1,x\n2,y\n")
    with pytest.raises(ChangedDataError, match=r"a\.0\.csv changed"):
        table.partitions[0].read()


def test_the_middle_and_the_end_of_a_big_file_are_looked_at(tmp_path: Path) -> None:
    # given decimals only at the end of more than is sampled, and text only in some rows of the middle
    lines = [f"{place},{place},{place}\n" for place in range(400_000)]
    lines[-1] = "1,0.5,1\n"
    lines[200_000:230_000:2000] = ["1,1,word\n"] * 15
    # when
    table = opened(tmp_path, "a,b,c\n" + "".join(lines))
    # then
    assert [column.type for column in table.schema.columns] == ["int64", "double", "string"]


def test_every_mistake_in_the_settings_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Csv(
            path="x",
            separator=";;",
            encoding="utf9",
            dtypes={"a": "strng"},
            names=["a", "a"],
            thousnds=",",
            task="binry",
        )
    text = str(caught.value)
    places = ("separator", "encoding", "dtypes", "names", "thousnds", "task")
    assert all(f"{place}: " in text for place in places)
    assert "did you mean 'string'" in text
    assert "did you mean 'thousands'" in text
    with pytest.raises(SettingsError, match="decimal and thousands are both"):
        Csv(path="x", decimal=",", thousands=",")


def test_partitions_travel_small_and_by_relative_names(tmp_path: Path) -> None:
    (piece,) = opened(tmp_path, "a,b\n1,x\n").partitions
    sent = pickle.dumps(piece)
    assert len(sent) < 5_000
    assert pickle.loads(sent).read().content_hash == piece.read().content_hash
    assert piece.fingerprint.name == "a.0.csv"
    assert piece.fingerprint.size_bytes == 8
    assert piece.fingerprint.modified_ns == os.stat(tmp_path / "a.0.csv").st_mtime_ns


CELL = st.one_of(
    st.sampled_from(
        ["", "NA", "5", "-7", "2.5", "5.0", "true", "2020-01-01", "x y", "007", "0x1F", " 8", "1e5", "é", "nan"]
    ),
    st.text(alphabet='ab1"\n\r ,;', max_size=4),
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rows=st.lists(st.tuples(CELL, CELL), min_size=1, max_size=6),
    kinds=st.tuples(*[st.sampled_from(["s", "i", "f", "b", "t"])] * 2),
)
def test_both_parsers_read_the_same(rows: list[tuple[str, str]], kinds: tuple[str, str]) -> None:
    # given any cells, properly quoted, and any types
    types = {"s": pa.string(), "i": pa.int64(), "f": pa.float64(), "b": pa.bool_(), "t": pa.timestamp("us")}
    quoted = [",".join('"{}"'.format(cell.replace('"', '""')) for cell in row) for row in rows]
    dialect, head = Dialect(), Head(("p", "q"), ("p", "q"))
    cells = Cells(dialect, dict(zip(head.names, (types[kind] for kind in kinds), strict=True)))
    utf8 = ("\n".join(quoted) + "\n").encode()
    # when
    quick = by_arrow(utf8, head, dialect, cells)
    careful, bad = by_record(list(records(text_of(utf8), dialect, "f")), head, cells)
    # then the quick one reads the same, or leaves it to the careful one
    if quick is None:
        assert bad
    else:
        assert not bad
        assert str(quick.to_pylist()) == str(careful.to_pylist())


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    text=st.text(alphabet='ab1"\n\r ,;\\#0-', max_size=24),
    dialect=st.builds(
        Dialect,
        header=st.just(False),
        quote=st.sampled_from(['"', None]),
        escape=st.sampled_from([None, "\\"]),
        double_quote=st.booleans(),
        comment=st.sampled_from([None, "#"]),
        skip_initial_space=st.booleans(),
    ),
    width=st.integers(1, 3),
    kind=st.sampled_from([pa.string(), pa.int64(), pa.float64()]),
)
def test_what_the_quick_parser_accepts_of_any_text_is_what_the_careful_one_reads(
    text: str, dialect: Dialect, width: int, kind: pa.DataType
) -> None:
    # given a text with quotes anywhere
    head = Head(("p", "q", "r")[:width])
    cells = Cells(dialect, {name: kind if name == "p" else pa.string() for name in head.names})
    # when
    quick = by_arrow(text.encode(), head, dialect, cells)
    # then
    if quick is not None:
        careful, bad = by_record(list(records(text, dialect, "f")), head, cells)
        assert not bad
        assert str(quick.to_pylist()) == str(careful.to_pylist())
