"""What other readers of CSV get wrong without saying so is read right here, or refused by file, line and remedy."""

from __future__ import annotations

import gzip
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from daskflow.core.errors import ChangedDataError, DataError
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.table import Reject, Table
from daskflow.sources.csv import Csv


def opened(folder: Path, *texts: str | bytes, **options: Any) -> Table:
    """A source over files a.0.csv, a.1.csv and so on."""
    for place, text in enumerate(texts):
        (folder / f"a.{place}.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return Csv(path=str(folder / "*.csv"), **options).table()


def read(table: Table) -> tuple[pa.Table, list[Reject]]:
    decoded = [partition.read() for partition in table.partitions]
    return pa.concat_tables([part.plain for part in decoded]), [one for part in decoded for one in part.rejects]


def refused(words: tuple[str, ...], reading: Callable[[], Any]) -> None:
    with pytest.raises(DataError) as caught:
        reading()
    assert [word for word in words if word not in str(caught.value)] == []


def test_booleans_with_a_gap_or_a_word_in_a_later_file_are_never_true(tmp_path: Path) -> None:
    # given a gap, and a word, in a file that the sample does not see
    texts = ["flag,x\nTrue,1\nFalse,2\n"] * 300
    texts[1] = "flag,x\n,1\n"
    rows, _ = read(opened(tmp_path, *texts))
    assert rows.schema.field("flag").type == pa.bool_()
    assert rows["flag"].null_count == 1
    assert rows["flag"].to_pylist().count(True) == 299
    texts[1] = "flag,x\nno,1\n"
    refused(
        ("a.1.csv, line 2: column 'flag' is 'no'", "dtypes = {flag = 'string'}"), lambda: read(opened(tmp_path, *texts))
    )


@pytest.mark.parametrize(
    "text", ["a,b,c\n1,2,3,4\n5,6,7,8\n", "a,b,c\n1,2,3,\n5,6,7,\n"], ids=["long", "trailing comma"]
)
def test_rows_one_field_longer_than_the_header_do_not_lose_their_first_column(text: str, tmp_path: Path) -> None:
    refused(("a.0.csv, line 1", "3 names", "4 cells", "names = [...]"), lambda: opened(tmp_path, text))
    rows, _ = read(opened(tmp_path, text, header=True, names=["a", "b", "c", "d"]))
    assert rows.select(["a", "b", "c"]).to_pylist() == [{"a": 1, "b": 2, "c": 3}, {"a": 5, "b": 6, "c": 7}]


def test_a_longer_row_among_right_ones_is_named_by_its_line(tmp_path: Path) -> None:
    refused(
        ("a.0.csv, line 3: 4 cells where there are 3 columns", "5,6,7,8"),
        lambda: read(opened(tmp_path, "a,b,c\n1,2,3\n5,6,7,8\n")),
    )


@pytest.mark.parametrize("change", ["appended", "replaced", "gone"])
def test_a_file_that_changes_between_planning_and_reading_is_refused(change: str, tmp_path: Path) -> None:
    # given
    table = opened(tmp_path, "a,b\n" + "1,x\n" * 100, partition_bytes=100)
    path = tmp_path / "a.0.csv"
    # when
    if change == "appended":
        path.write_text(path.read_text() + "2,y\n")
    elif change == "replaced":
        path.write_text("a,b,c\n1,x,2\n")
    else:
        path.unlink()
    # then no part of it is read
    for partition in table.partitions:
        with pytest.raises(ChangedDataError, match=r"a\.0\.csv"):
            partition.read()


def test_headers_are_compared_before_anything_is_read_and_a_file_without_one_loses_no_row(tmp_path: Path) -> None:
    refused(
        (
            "a.0.csv has 'a', 'b'",
            "a.1.csv, line 1: lacks 'a', 'b'; has '2', '20'",
            "a.2.csv, line 1: lacks 'b'; has 'c'",
        ),
        lambda: opened(tmp_path, "a,b\n1,10\n", "2,20\n3,30\n", "a,c\n4,40\n"),
    )


@pytest.mark.parametrize(
    "page",
    [
        b"<html><body>login</body></html>",
        b"\n  <!DOCTYPE html>\n<html>",
        b"\xef\xbb\xbf<?xml version='1.0'?><error/>",
        b"<!-- x -->\n<HTML>",
    ],
)
def test_a_login_page_in_place_of_a_file_is_no_table(page: bytes, tmp_path: Path) -> None:
    refused(
        ("a.1.csv, line 1: this is a page of HTML or XML", "login", "download"),
        lambda: opened(tmp_path, "a,b\n1,2\n", page),
    )
    (tmp_path / "b.csv.gz").write_bytes(gzip.compress(page, mtime=0))
    refused(("b.csv.gz, line 1: this is a page of HTML",), lambda: Csv(path=tmp_path / "b.csv.gz").table())


def archive(**members: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as opened_archive:
        opened_archive.mkdir("folder")
        opened_archive.writestr("__MACOSX/._a.csv", "resource fork")
        for name, text in members.items():
            opened_archive.writestr(f"folder/{name}.csv", text)
    return packed.getvalue()


def test_a_zip_with_two_members_is_refused_and_one_member_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.zip"
    path.write_bytes(archive(one="a,b\n1,x\n"))
    assert read(Csv(path=path).table())[0].to_pylist() == [{"a": 1, "b": "x"}]
    path.write_bytes(archive(one="a,b\n1,x\n", two="a,b\n2,y\n"))
    refused(
        ("a.csv.zip holds 2 files ('folder/one.csv', 'folder/two.csv')", "Unpack it"), lambda: Csv(path=path).table()
    )
    path.write_bytes(archive())
    refused(("a.csv.zip holds no file",), lambda: Csv(path=path).table())


@pytest.mark.parametrize(
    ("text", "column", "type_", "found"),
    [
        ("zip,b\n02139,x\n10115,y\n", "zip", "string", ["02139", "10115"]),
        ("country,b\nNA,1\nDE,2\n", "country", "string", ["NA", "DE"]),
        ("date,b\n01/02/2020,x\n03/04/2020,y\n", "date", "string", ["01/02/2020", "03/04/2020"]),
        ("n,b\n9223372036854775808,x\n1,y\n", "n", "string", ["9223372036854775808", "1"]),
        ("n,b\n9007199254740993,x\n,y\n", "n", "int64", [9007199254740993, None]),
        ("n,b\n0x1F,x\n1e5,y\n", "n", "string", ["0x1F", "1e5"]),
    ],
    ids=["leading zero", "NA country", "date", "int64 max + 1", "2**53 + 1 with a gap", "hexadecimal"],
)
def test_types_are_never_guessed_so_that_a_value_changes(
    text: str, column: str, type_: str, found: list[Any], tmp_path: Path
) -> None:
    table = opened(tmp_path, text)
    assert table.schema[column].type == type_
    assert read(table)[0][column].to_pylist() == found


def test_the_types_that_were_found_are_said_before_anything_is_read(tmp_path: Path) -> None:
    table = opened(
        tmp_path, "zip,n,at\n02139,1,2020-01-01\n", "zip,n,at\n10115,2,2020-01-02\n", dtypes={"n": "float64"}
    )
    assert any("types found in 2 rows of 2 files: zip string, at timestamp[us];" in note for note in table.notes)


def test_a_date_that_can_be_read_in_two_ways_is_text_with_a_note_that_asks_for_the_format(tmp_path: Path) -> None:
    table = opened(tmp_path, "date,b\n01/02/2020,x\n")
    assert any("'%d/%m/%Y' or '%m/%d/%Y', which cannot be told apart" in note for note in table.notes)
    assert read(opened(tmp_path, "date,b\n01/02/2020,x\n", date_format="%d/%m/%Y"))[0]["date"][0].as_py().month == 2


def test_lines_of_nuls_and_nul_bytes_are_bad_rows(tmp_path: Path) -> None:
    text = "a,b\n1,x\n\0\0\0\0\n2,y\0\n3,z\n"
    refused(("a.0.csv, line 3", "line 4: a NUL byte"), lambda: read(opened(tmp_path, text)))
    rows, rejects = read(opened(tmp_path, text, on_bad_rows="reject"))
    assert rows["a"].to_pylist() == [1, 3]
    assert [reject.line for reject in rejects] == [3, 4]


def test_a_last_line_that_may_be_cut_is_told_and_one_with_too_few_cells_is_a_bad_row(tmp_path: Path) -> None:
    table = opened(tmp_path, "a,b\n1,999000\n", "a,b\n2,9990")
    assert any("the last line of 'a.1.csv' has no end" in note and "a.0.csv" not in note for note in table.notes)
    refused(("a.1.csv, line 2: 1 cells where there are 2",), lambda: read(opened(tmp_path, "a,b\n1,2\n", "a,b\n2")))
    assert not any("has no end" in note for note in opened(tmp_path, "a,b\n1,2\n", "a,b\n2,3\r\n").notes)


@pytest.mark.parametrize(
    "text", ["a,b\n1,x\na,b\n2,y\n", 'a,b\nu,x\n"a","b"\nv,y\n', "2020,2021\n1,2\n2020,2021\n3,4\n"]
)
def test_a_repeated_header_row_is_a_bad_row_whatever_the_types_are(text: str, tmp_path: Path) -> None:
    refused(("a.0.csv, line 3: the header once more",), lambda: read(opened(tmp_path, text, header=True)))
    rows, rejects = read(opened(tmp_path, text, header=True, on_bad_rows="reject"))
    assert (rows.num_rows, [reject.line for reject in rejects]) == (2, [3])


def test_a_repeated_header_is_told_under_other_names_and_without_one_it_is_a_row(tmp_path: Path) -> None:
    text = "a,b\nu,x\na,b\nv,y\n"
    _, rejects = read(opened(tmp_path, text, header=True, names=["p", "q"], on_bad_rows="reject"))
    assert [reject.line for reject in rejects] == [3]
    rows, _ = read(opened(tmp_path, text, header=False))
    assert rows.num_rows == 4


def test_semicolons_with_decimal_commas_are_neither_one_column_nor_an_index(tmp_path: Path) -> None:
    text = "a;b\n1,5;2,5\n3,5;4,5\n"
    refused(("a.0.csv", "separator = ';'"), lambda: opened(tmp_path, text))
    rows, _ = read(opened(tmp_path, text, separator=";", decimal=","))
    assert rows.to_pylist() == [{"a": 1.5, "b": 2.5}, {"a": 3.5, "b": 4.5}]


def test_short_rows_are_not_filled_with_gaps(tmp_path: Path) -> None:
    refused(
        ("a.0.csv, line 3: 1 cells where there are 2 columns", "reject"),
        lambda: read(opened(tmp_path, "a,b\n1,2\n3\n")),
    )


def test_a_quoted_line_end_at_an_edge_of_partitions_is_read_at_every_size(tmp_path: Path) -> None:
    text = "n,text\n" + "".join(f'{place},"two\nlines, ""{place}"""\n' for place in range(40))
    for partition_bytes in range(1, 200, 7):
        table = opened(tmp_path, text, partition_bytes=partition_bytes)
        rows, _ = read(table)
        assert rows["n"].to_pylist() == list(range(40))
        assert rows["text"].to_pylist() == [f'two\nlines, "{place}"' for place in range(40)]


def test_a_value_of_another_type_is_told_by_file_line_column_value_and_remedy(tmp_path: Path) -> None:
    texts = ["a,b\n1,x\n"] * 300
    texts[1] = "a,b\n1,x\ntwo,y\n"
    refused(
        ("a.1.csv, line 3: column 'a' is 'two', not int64", "dtypes = {a = 'string'}", "na_values", "reject"),
        lambda: read(opened(tmp_path, *texts)),
    )


def test_a_glob_that_matches_nothing_is_an_error_and_an_empty_file_too(tmp_path: Path) -> None:
    refused(("none-*.csv", "matches no file"), lambda: Csv(path=str(tmp_path / "none-*.csv")).table())
    refused(("a.0.csv is empty (0 bytes)",), lambda: opened(tmp_path, ""))


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("a.csv", gzip.compress(b"a,b\n1,2\n", mtime=0), "compressed by gzip"),
        ("a.csv", b"PK\x03\x04\x14\0", "an Excel workbook"),
        ("a.csv", b"PAR1abc", "kind = 'parquet'"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel workbook"),
        ("a.csv.gz", gzip.compress(gzip.compress(b"a,b\n1,2\n", mtime=0), mtime=0), "compressed by gzip once more"),
        ("a.csv.gz", gzip.compress(b"a,b\n1,2\n", mtime=0)[:-9], "cannot be decompressed"),
        ("a.csv.xz", b"a,b\n1,2\n", "cannot be decompressed"),
    ],
)
def test_files_that_are_something_else_are_told_by_what_they_are(
    name: str, data: bytes, words: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(data)
    refused((name, words), lambda: Csv(path=tmp_path / name).table())


def test_rows_in_are_rows_used_and_rows_rejected_however_large_files_are_cut(tmp_path: Path) -> None:
    # given 3,000 rows, every 100th of them bad in one of four ways, with what is no row between them
    bad = ["x,1\n", "1\n", "1,2,3\n", "1,\0\n"]
    lines = [bad[place // 100 % 4] if place % 100 == 50 else f"{place},{place / 8}\n" for place in range(3_000)]
    lines[::500] = [f"# note\n\n{line}" for line in lines[::500]]
    text = "title\na,b\n" + "".join(lines) + "total,1\n\n"
    options: dict[str, Any] = {"skip_rows": 1, "skip_footer": 1, "comment": "#", "dtypes": {"a": "int64"}}
    found = []
    for partition_bytes in (1 << 27, 5_000, 333):
        table = opened(tmp_path, text, on_bad_rows="reject", partition_bytes=partition_bytes, **options)
        blocks = scan(table, tmp_path / f"store-{partition_bytes}", InlineExecutor())
        # then
        assert blocks.n_rows + len(blocks.rejects) == 3_000
        assert len(blocks.rejects) == 30
        found.append(sorted((reject.line, reject.reason) for reject in blocks.rejects))
    assert found[0] == found[1] == found[2]
