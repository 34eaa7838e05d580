"""Real CSV files, good and bad: each is read right with plausible options, or refused by a sentence."""

from __future__ import annotations

import csv
import gzip
import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from daskflow.core.errors import DataError
from daskflow.sources.csv import Csv
from daskflow.sources.guess import guess

ADULT = re.findall(
    r"\w+",
    """age workclass fnlwgt education education_num marital_status occupation relationship race sex capital_gain
    capital_loss hours_per_week native_country income""",
)

# what is read, with which options: rows, columns, rejected rows, and something that must be so
READABLE: list[tuple[str, dict[str, Any], tuple[int, int, int], dict[str, str]]] = [
    ("Car_Price_Prediction__ford.csv", {}, (17965, 9, 0), {"price": "double", "mileage": "int64"}),
    ("Car_Price_Prediction__hyundi.csv", {}, (4860, 9, 0), {"tax(£)": "int64"}),
    (
        "CleverCSV__airedale.csv",
        {"thousands": ",", "date_format": "%d/%m/%Y"},
        (54, 8, 0),
        {"Amount": "double", "Payment Date": "timestamp[us]"},
    ),
    ("CleverCSV__imdb.csv", {"escape": "\\"}, (100, 44, 0), {"imdbRating": "double"}),
    ("CleverCSV__imdb.csv", {"on_bad_rows": "reject"}, (99, 44, 1), {}),
    ("YashEDA__USAunclean.csv", {"encoding": "cp1252"}, (2862, 15, 0), {"Year": "int64"}),
    ("YashEDA__USAunclean.csv", {"on_bad_rows": "reject"}, (2858, 15, 4), {}),
    ("csvkit__Datagov_FY10_EDU_recp_by_State.csv", {"skip_rows": 2, "thousands": ","}, (55, 9, 0), {}),
    ("csvkit__FY09_EDU_Recipients_by_State.csv", {"thousands": ","}, (53, 10, 0), {"Code": "string", "TOTAL": "int64"}),
    ("csvkit__bad.csv", {"on_bad_rows": "reject"}, (1, 3, 2), {}),
    ("csvkit__bad_skip_lines.csv", {"skip_rows": 3, "on_bad_rows": "reject"}, (1, 3, 2), {}),
    ("csvkit__mac_newlines.csv", {}, (2, 3, 0), {"a": "string"}),
    ("csvkit__null_byte.csv", {"on_bad_rows": "reject"}, (0, 3, 1), {}),
    ("csvkit__test_date_format.csv", {"date_format": "%d/%m/%Y"}, (2, 1, 0), {"a": "timestamp[us]"}),
    ("csvkit__test_empty_columns_long_row.csv", {"on_bad_rows": "reject"}, (0, 3, 1), {}),
    ("csvkit__test_header_newline.csv", {}, (1, 3, 0), {"b": "string"}),
    ("csvkit__test_latin1.csv", {"encoding": "latin-1"}, (2, 3, 0), {"a": "int64"}),
    ("csvkit__test_locale.csv", {"decimal": ",", "thousands": "."}, (1, 3, 0), {"a": "double", "b": "int64"}),
    ("messytables__begrotingsanalyse-2011.csv", {"skip_rows": 5, "decimal": ",", "thousands": "."}, (37, 20, 0), {}),
    ("messytables__complex.csv", {"skip_initial_space": True}, (3, 4, 0), {"date": "timestamp[us]"}),
    ("messytables__long.csv", {}, (3999, 1, 0), {"foo": "string"}),
    ("messytables__null.csv", {"header": False}, (10, 4, 0), {"column_1": "int64"}),
    ("messytables__simple.psv", {"separator": "|"}, (28, 6, 0), {"Year": "int64"}),
    ("messytables__simple.ssv", {"separator": ";"}, (6, 3, 0), {"date": "timestamp[us]"}),
    (
        "messytables__spanish_chars.csv",
        {"encoding": "latin-1", "thousands": ","},
        (116, 8, 0),
        {"Descripción": "string"},
    ),
    ("messytables__sparse_with_column_errors.csv", {"encoding": "latin-1"}, (2237, 4, 0), {"LP": "string"}),
    ("messytables__utf-16le_encoded.csv", {"encoding": "utf-16"}, (327, 19, 0), {}),
    ("messytables__utf8bom.csv", {}, (0, 2, 0), {"kitten": "string"}),
    (
        "messytables__weird_head_padding.csv",
        {
            "separator": ";",
            "skip_rows": 11,
            "header": True,
            "thousands": ".",
            "decimal": ",",
            "na_values": ["."],
            "on_bad_rows": "reject",
        },
        (60, 11, 16),
        {"1993": "int64"},
    ),
    ("tabulator-py__doublequote.csv", {}, (5, 17, 0), {"AÑO": "int64"}),
    ("tabulator-py__escaping.csv", {"skip_initial_space": True, "escape": "\\"}, (3, 2, 0), {"Test": "string"}),
    ("tabulator-py__issue305.csv", {}, (338, 31, 0), {"event_date": "timestamp[us]"}),
    ("tabulator-py__skip-rows.csv", {"comment": "#"}, (2, 2, 0), {"id": "int64"}),
]

# what is refused with the default options: what the sentence says
REFUSED = [
    ("CleverCSV__imdb.csv", ("line 66", "46 cells where there are 44 columns", "quote")),
    ("YashEDA__USAunclean.csv", ("line 2310", "not utf-8", "encoding")),
    ("csvkit__Datagov_FY10_EDU_recp_by_State.csv", ("line 1", "no name", "skip_rows")),
    ("csvkit__bad.csv", ("line 2", "4 cells where there are 3 columns", "reject")),
    ("csvkit__bad_skip_lines.csv", ("line 5", "4 cells where there are 3 columns", "reject")),
    ("csvkit__empty.csv", ("empty", "Write it again")),
    ("csvkit__null_byte.csv", ("line 2", "NUL byte", "encoding")),
    ("csvkit__test_empty_columns_long_row.csv", ("line 1", "3 names", "4 cells", "names = [...]")),
    ("csvkit__test_latin1.csv", ("line 3", "not utf-8", "latin-1")),
    ("messytables__begrotingsanalyse-2011.csv", ("line 1", "no name", "skip_rows")),
    ("messytables__complex.csv", ("line 4", "6 cells where there are 4 columns")),
    ("messytables__null.csv", ("line 1", "looks like data", "header = false")),
    ("messytables__simple.psv", ("single column", "separator = '|'")),
    ("messytables__simple.ssv", ("single column", "separator = ';'")),
    ("messytables__spanish_chars.csv", ("line 1", "not utf-8", "latin-1")),
    ("messytables__sparse_with_column_errors.csv", ("line 2", "not utf-8", "encoding")),
    ("messytables__utf-16le_encoded.csv", ("encoding = 'utf-16'",)),
    ("messytables__weird_head_padding.csv", ("line 3", "skip_rows")),
    ("tabulator-py__skip-rows.csv", ("line 2", "2 cells where there are 1 columns", "skip_rows")),
]


def read(path: Path | tuple[str, ...], **options: Any) -> tuple[pa.Table, int]:
    """All rows, and how many were rejected."""
    table = Csv(path=path, **options).table()
    decoded = [partition.read() for partition in table.partitions]
    assert all(part.rows.schema == table.source_schema.arrow for part in decoded)
    return pa.concat_tables([part.rows for part in decoded]), sum(len(part.rejects) for part in decoded)


@pytest.mark.parametrize(("name", "options", "shape", "types"), READABLE, ids=[row[0] for row in READABLE])
def test_messy_files_are_read_right_with_the_options_they_need(
    name: str, options: dict[str, Any], shape: tuple[int, int, int], types: dict[str, str], shared_data: Path
) -> None:
    rows, rejected = read(shared_data / "messy_csv" / name, **options)
    assert (rows.num_rows, rows.num_columns, rejected) == shape
    assert {column: str(rows.schema.field(column).type) for column in types} == types


@pytest.mark.parametrize(("name", "words"), REFUSED, ids=[row[0] for row in REFUSED])
def test_messy_files_are_refused_by_file_line_and_remedy_without_them(
    name: str, words: tuple[str, ...], shared_data: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(shared_data / "messy_csv" / name)
    assert all(word in str(caught.value) for word in (name, *words))


@pytest.mark.parametrize(("is_guessed", "on_bad_rows"), [(False, "fail"), (True, "reject")], ids=["strict", "lenient"])
def test_no_messy_file_gives_anything_but_rows_or_a_data_error(
    is_guessed: bool, on_bad_rows: str, shared_data: Path
) -> None:
    paths = sorted((shared_data / "messy_csv").iterdir())
    refused: dict[str, str] = {}
    for path in paths:
        try:
            options = guess(str(path))[1] if is_guessed else {}
            rows, rejected = read(path, on_bad_rows=on_bad_rows, **options)
        except DataError as error:
            refused[path.name] = str(error)
            continue
        # rows in = rows used + rows rejected, counted by the csv module
        encoding = options.get("encoding", "utf-8-sig")
        text = path.read_bytes().decode(encoding, "surrogateescape" if "utf-8" in encoding else "strict")
        lines = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=options.get("separator", ","),
            skipinitialspace=options.get("skip_initial_space", False),
        )
        n_lines = sum(1 for line in lines if line)
        assert rows.num_rows + rejected == n_lines - (options.get("header", True) is not False), path.name
    assert len(paths) >= 32
    assert all(name in text for name, text in refused.items())


def frame_of(paths: list[Path], **options: Any) -> pd.DataFrame:
    """The same files by pandas."""
    return pd.concat([pd.read_csv(path, **options) for path in paths], ignore_index=True)


def assert_same(rows: pa.Table, expected: pd.DataFrame) -> None:
    """Equal rows in any order of files; text by text and numbers by number."""
    found = rows.to_pandas()
    assert list(found.columns) == list(expected.columns)
    for name in found.columns:
        left, right = found[name], expected[name]
        assert (left.isna() == right.isna()).all(), name
        if pd.api.types.is_numeric_dtype(left):
            assert (left.dropna().astype(float) == right.dropna().astype(float)).all()
        else:
            assert (left.dropna().astype(str) == right.dropna().astype(str)).all(), name


def test_adult_income_has_no_header_blanks_before_cells_and_marks_for_gaps(shared_data: Path) -> None:
    # given
    folder = shared_data / "adult_income"
    with pytest.raises(DataError, match=r"adult_test\.csv\.gz, line 1.*looks like data.*header = false"):
        read(folder)
    # when
    rows, rejected = read(folder, header=False, names=ADULT, na_values=["?"], skip_initial_space=True)
    # then
    paths = [folder / "adult_test.csv.gz", folder / "adult_train.csv.gz"]
    options = {"header": None, "names": ADULT, "na_values": ["?"], "skipinitialspace": True}
    assert rejected == 0
    assert_same(rows, frame_of(paths, **options))


def test_credit_default_is_all_numbers(shared_data: Path) -> None:
    (path,) = (shared_data / "credit_default").glob("*.csv.gz")
    rows, _ = read(path)
    assert_same(rows, frame_of([path]))


def test_online_retail_invoices_are_text_though_three_files_show_numbers_only(shared_data: Path) -> None:
    # given 305 files; C stands before the numbers of credit notes
    folder = shared_data / "online_retail"
    paths = sorted(folder.glob("*.csv.gz"))[::15]
    # when
    whole, rejected = read(folder)
    some, _ = read(tuple(map(str, paths)))
    # then
    assert (whole.num_rows, rejected) == (541_909, 0)
    assert whole.schema == some.schema
    text = {"InvoiceNo": str, "StockCode": str}
    assert_same(some, frame_of(paths, dtype=text, parse_dates=["InvoiceDate"], keep_default_na=False, na_values=[""]))


def test_pjm_energy_files_have_different_headers_and_are_refused_unless_renamed(shared_data: Path) -> None:
    folder = shared_data / "pjm_energy_hourly"
    with pytest.raises(DataError) as caught:
        read(folder)
    words = (
        "AEP_hourly.csv.gz has 'Datetime', 'AEP_MW'",
        "COMED_hourly.csv.gz, line 1: lacks 'AEP_MW'; has 'COMED_MW'",
        "names",
    )
    assert all(word in str(caught.value) for word in words)
    rows, _ = read(folder, header=True, names=["Datetime", "MW"])
    assert (rows.num_rows, str(rows.schema.field("Datetime").type)) == (1_090_167, "timestamp[us]")


def test_used_cars_are_read_and_their_raw_sisters_refused_together(shared_data: Path) -> None:
    folder = shared_data / "uk_used_cars"
    rows, _ = read(folder, skip_initial_space=True)
    assert_same(rows, frame_of(sorted(folder.glob("*.csv.gz")), skipinitialspace=True))
    with pytest.raises(DataError, match="headers differ"):
        read(folder / "unclean")


@pytest.mark.parametrize("name", ["airports", "planes", "weather"])
def test_tables_beside_the_flights(name: str, shared_data: Path) -> None:
    path = shared_data / "pnw_flights14" / f"{name}.csv.gz"
    rows, _ = read(path)
    assert_same(
        rows, frame_of([path], parse_dates=["date"] if name == "weather" else None, keep_default_na=name != "airports")
    )


def test_lines_of_errors_in_packed_files_are_those_of_the_text(tmp_path: Path, shared_data: Path) -> None:
    # given a real file with one value spoiled in its line 16,000
    lines = gzip.decompress((shared_data / "adult_income" / "adult_test.csv.gz").read_bytes()).splitlines(keepends=True)
    lines[15_999] = b"x" + lines[15_999]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(b"".join(lines)))
    # when, then
    with pytest.raises(DataError, match=r"a\.csv\.gz, line 16000: column 'age' is 'x\d+', not int64"):
        read(tmp_path / "a.csv.gz", names=ADULT, dtypes={"age": "int64"})
