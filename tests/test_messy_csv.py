"""Real CSV files with traps: each is read right with the options it needs, or refused by file, line and remedy."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime as time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from daskflow.core.errors import DataError
from daskflow.data.table import Reject
from daskflow.sources.csv import Csv
from daskflow.sources.guess import guess

PAGE = Path(__file__).parents[1] / "docs" / "messy-files.md"


@dataclass(frozen=True)
class Reading:
    """A file that is read: with which options, to what.

    Attributes
    ----------
    file : str
        Project and file name.
    options : mapping
        Of the csv source.
    shape : tuple of int
        Rows, columns, rejected rows.
    types : mapping of str to str
        Of some columns.
    cells : mapping of (int, str) to object
        Values by row and column.
    rejects : mapping of int to str
        Reasons by line.
    notes : tuple of str
        Words of the notes.
    """

    file: str
    options: Mapping[str, Any]
    shape: tuple[int, int, int]
    types: Mapping[str, str] = field(default_factory=dict)
    cells: Mapping[tuple[int, str], Any] = field(default_factory=dict)
    rejects: Mapping[int, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


TAX = {"rename": {"tax(£)": "tax"}}
PADDED = {"separator": ";", "skip_rows": 11, "skip_footer": 22, "header": True, "na_values": ["."]}
DUTCH = ["nr", "cluster", *"ABCDEFGHIJKL", "m", "n", "o", "p", "q", "r"]

READINGS = [
    Reading(
        "Car_Price_Prediction__ford.csv",
        {},
        (17_965, 9, 0),
        {"price": "double", "mileage": "int64", "tax": "int64", "model": "string"},
        {(0, "model"): " Fiesta", (0, "price"): 81_000.0, (-1, "model"): " KA", (-1, "engineSize"): 1.2},
    ),
    Reading(
        "Car_Price_Prediction__ford.csv", {"skip_initial_space": True}, (17_965, 9, 0), {}, {(0, "model"): "Fiesta"}
    ),
    Reading("Car_Price_Prediction__hyundi.csv", {}, (4_860, 9, 0), {"tax(£)": "int64"}, {(0, "tax(£)"): 145}),
    Reading("Car_Price_Prediction__hyundi.csv", TAX, (4_860, 9, 0), {"tax": "int64"}, {(0, "tax"): 145}),
    Reading(
        "CleverCSV__airedale.csv",
        {},
        (54, 8, 0),
        {"Amount": "string", "Payment Date": "string"},
        {(0, "Amount"): "43,774.58", (53, "Department Family"): "Report created October 10 - RX7 RWW"},
        notes=("'Amount' is text, but looks like numbers: thousands = ','", "date_format = '%d/%m/%Y'"),
    ),
    Reading(
        "CleverCSV__airedale.csv",
        {"thousands": ",", "date_format": "%d/%m/%Y", "skip_footer": 1},
        (53, 8, 0),
        {"Amount": "double", "Payment Date": "timestamp[us]", "Transaction No.": "string"},
        {(0, "Amount"): 43_774.58, (0, "Payment Date"): time(2010, 7, 16), (52, "Amount"): -25_728.0},
    ),
    Reading(
        "CleverCSV__imdb.csv",
        {"escape": "\\"},
        (100, 44, 0),
        {"imdbRating": "double", "year": "int64"},
        {
            (0, "ratingCount"): 40_550,
            (64, "title"): "Dr. Seltsam, oder wie ich lernte, die Bombe zu lieben (1964)",
            (64, "imdbRating"): 8.6,
        },
    ),
    Reading(
        "CleverCSV__imdb.csv",
        {"on_bad_rows": "reject"},
        (99, 44, 1),
        rejects={66: "46 cells where there are 44 columns"},
    ),
    Reading(
        "YashEDA__USAunclean.csv",
        {"encoding": "cp1252"},
        (2_862, 15, 0),
        {"Year": "int64", "Department.Of.Labor.Uncleaned.Data": "string"},
        {(2308, "Department.Of.Labor.Uncleaned.Data"): "5.08 – 7.25 (i2)", (2308, "State"): "Puerto Rico"},
    ),
    Reading(
        "YashEDA__USAunclean.csv",
        {"on_bad_rows": "reject"},
        (2_858, 15, 4),
        rejects=dict.fromkeys((2310, 2364, 2418, 2472), "bytes that are not utf-8"),
    ),
    Reading(
        "csvkit__Datagov_FY10_EDU_recp_by_State.csv",
        {"skip_rows": 2, "skip_footer": 2, "thousands": ","},
        (53, 9, 0),
        {"TOTAL": "int64", "State Name": "string"},
        {(0, "TOTAL"): 19_582, (52, "State Name"): "PHILIPPINES", (52, "TOTAL"): 472},
    ),
    Reading(
        "csvkit__FY09_EDU_Recipients_by_State.csv",
        {},
        (53, 10, 0),
        {"TOTAL": "string", "Unnamed: 9": "string"},
        {(0, "TOTAL"): "12,426", (52, "TOTAL"): None},
        notes=("'TOTAL' are text, but look like numbers: thousands = ','",),
    ),
    Reading(
        "csvkit__FY09_EDU_Recipients_by_State.csv",
        {"thousands": ",", "skip_footer": 1},
        (52, 10, 0),
        {"Code": "string", "TOTAL": "int64"},
        {(0, "Code"): "01", (0, "TOTAL"): 12_426, (51, "State Name"): "PUERTO RICO"},
    ),
    Reading(
        "csvkit__bad.csv",
        {"on_bad_rows": "reject"},
        (1, 3, 2),
        {"column_a": "int64"},
        {(0, "column_b"): "mixed types.... uh oh"},
        {2: "4 cells where there are 3 columns", 3: "2 cells where there are 3 columns"},
    ),
    Reading(
        "csvkit__bad_skip_lines.csv",
        {"skip_rows": 3, "on_bad_rows": "reject"},
        (1, 3, 2),
        {},
        {(0, "column_c"): 17},
        {5: "4 cells where there are 3 columns", 6: "2 cells where there are 3 columns"},
    ),
    Reading(
        "csvkit__mac_newlines.csv",
        {},
        (2, 3, 0),
        {"a": "string", "b": "int64"},
        {(0, "a"): "1", (1, "a"): "Once upon\ra time", (1, "c"): 6},
    ),
    Reading("csvkit__null_byte.csv", {"on_bad_rows": "reject"}, (0, 3, 1), rejects={2: "a NUL byte"}),
    Reading(
        "csvkit__test_date_format.csv",
        {},
        (2, 1, 0),
        {"a": "string"},
        {(0, "a"): "02/01/2014"},
        notes=("'a' is text, but looks like dates: date_format = '%d/%m/%Y'",),
    ),
    Reading(
        "csvkit__test_date_format.csv",
        {"date_format": "%d/%m/%Y"},
        (2, 1, 0),
        {"a": "timestamp[us]"},
        {(0, "a"): time(2014, 1, 2), (1, "a"): time(2012, 12, 31)},
    ),
    Reading(
        "csvkit__test_empty_columns_long_row.csv",
        {"on_bad_rows": "reject"},
        (0, 3, 1),
        rejects={2: "4 cells where there are 3 columns"},
    ),
    Reading(
        "csvkit__test_header_newline.csv",
        {},
        (1, 3, 0),
        {},
        {(0, "\t\n\x0b\x0c\r start \t\n\x0b\x0c\r end \t\n\x0b\x0c\r"): "d", (0, "b"): "e"},
    ),
    Reading(
        "csvkit__test_latin1.csv",
        {"encoding": "latin-1"},
        (2, 3, 0),
        {"a": "int64"},
        {(1, "c"): "©"},
        notes=("has no end",),
    ),
    Reading(
        "csvkit__test_locale.csv",
        {},
        (1, 3, 0),
        {"a": "string", "b": "string"},
        {(0, "a"): "1,7"},
        notes=("decimal = ',' and thousands = '.'",),
    ),
    Reading(
        "csvkit__test_locale.csv",
        {"decimal": ",", "thousands": "."},
        (1, 3, 0),
        {"a": "double", "b": "int64"},
        {(0, "a"): 1.7, (0, "b"): 200_000_000, (0, "c"): None},
    ),
    Reading(
        "messytables__begrotingsanalyse-2011.csv",
        {"skip_rows": 7, "names": DUTCH, "header": False, "thousands": ","},
        (36, 20, 0),
        {"nr": "int64", "A": "string"},
        {(1, "cluster"): "Onroerendezaakbelastingen", (1, "A"): "208", (32, "A"): " 0", (34, "D"): "1,130,345"},
    ),
    Reading(
        "messytables__begrotingsanalyse-2011.csv",
        {
            "skip_rows": 7,
            "names": DUTCH,
            "header": False,
            "thousands": ",",
            "columns": ["nr", "D"],
            "dtypes": {"D": "int64"},
            "on_bad_rows": "reject",
        },
        (34, 2, 2),
        {"D": "int64"},
        {(1, "D"): 179, (32, "D"): 1_130_345, (33, "D"): 25},
        dict.fromkeys((38, 40), "column 'D' is '-"),
    ),
    Reading(
        "messytables__complex.csv",
        {"skip_initial_space": True},
        (3, 4, 0),
        {"date": "timestamp[us]", "another date": "string", "temperature": "string"},
        {(2, "temperature"): "6,000,000", (0, "place"): None, (1, "place"): "Galway and more"},
        notes=("thousands = ','", "'%d %B %Y'"),
    ),
    Reading(
        "messytables__complex.csv",
        {"skip_initial_space": True, "thousands": ",", "date_format": {"another date": "%d %B %Y"}},
        (3, 4, 0),
        {"date": "timestamp[us]", "another date": "timestamp[us]", "temperature": "int64"},
        {(0, "another date"): time(2011, 10, 24), (2, "another date"): None, (2, "temperature"): 6_000_000},
    ),
    Reading("messytables__long.csv", {}, (3_999, 1, 0), {"foo": "string"}, {(3_998, "foo"): "foo"}),
    Reading(
        "messytables__null.csv",
        {"names": ["n", "a", "b", "c"]},
        (10, 4, 0),
        {"n": "int64", "a": "int64"},
        {(0, "a"): None, (0, "b"): 0, (2, "c"): None, (9, "n"): 10},
    ),
    Reading(
        "messytables__simple.psv",
        {},
        (28, 6, 0),
        {"Year": "int64"},
        {(0, "Year"): 1986, (27, "Former owner occupiers"): 292_000},
    ),
    Reading(
        "messytables__simple.ssv",
        {},
        (6, 3, 0),
        {"date": "timestamp[us]", "temperature": "int64"},
        {(1, "temperature"): -1, (5, "place"): "Berkeley"},
    ),
    Reading(
        "messytables__spanish_chars.csv",
        {"encoding": "latin-1", "thousands": ",", "skip_footer": 1},
        (115, 8, 0),
        {"GF_ID": "int64", "Gasto total 2011": "double"},
        {(0, "Gasto total 2011"): 229_932.5, (1, "F"): "Legislación"},
    ),
    Reading(
        "messytables__sparse_with_column_errors.csv",
        {"encoding": "latin-1"},
        (2_237, 4, 0),
        {"LP": "string", "Kapitel/Titel": "string"},
        {(3, "LP"): None, (3, "Kapitel/Titel"): "300389440", (2_236, "LP"): "Y39000"},
    ),
    Reading(
        "messytables__utf-16le_encoded.csv",
        {"thousands": ","},
        (327, 19, 0),
        {"Organisation_code": "string", "Total_patients_31st_march": "int64"},
        {
            (0, "Organisation_name"): "Enfield PCT",
            (0, "Total_patients_31st_march"): 10,
            (-1, "Organisation_code"): "NYA04",
        },
    ),
    Reading("messytables__utf8bom.csv", {}, (0, 2, 0), {"kitten": "string", "win": "string"}, notes=("has no end",)),
    Reading(
        "messytables__weird_head_padding.csv",
        {**PADDED, "thousands": ".", "decimal": ","},
        (60, 11, 0),
        {"1993": "int64", "2010": "int64"},
        {(1, "Unnamed: 0"): "      Gefäßchirurgie", (1, "1993"): 379, (1, "1985"): None, (7, "1993"): 1_613},
    ),
    Reading(
        "tabulator-py__doublequote.csv",
        {},
        (5, 17, 0),
        {"AÑO": "int64", "pbi": "double"},
        {(0, "NOMBREINCISO"): "Administración Nacional de Educación Pública", (4, "AÑO"): 2016},
    ),
    Reading(
        "tabulator-py__escaping.csv",
        {"skip_initial_space": True, "escape": "\\"},
        (3, 2, 0),
        {"ID": "int64"},
        {(0, "Test"): "Test line 1", (1, "Test"): 'Test " line 2', (2, "Test"): 'Test " line 3'},
    ),
    Reading(
        "tabulator-py__issue305.csv",
        {},
        (338, 31, 0),
        {"event_date": "timestamp[us]", "latitude": "double", "iso3": "string"},
        {(0, "event_date"): time(2020, 3, 25), (0, "latitude"): 53.6884, (-1, "admin2"): "Svietlahorsk"},
    ),
    Reading(
        "tabulator-py__skip-rows.csv",
        {"comment": "#"},
        (2, 2, 0),
        {"id": "int64"},
        {(0, "name"): "english", (1, "name"): "中国人"},
    ),
]

REFUSALS: list[tuple[str, dict[str, Any], tuple[str, ...]]] = [
    ("CleverCSV__imdb.csv", {}, ("line 66: 46 cells where there are 44 columns", "escape = '\\'", "reject")),
    ("YashEDA__USAunclean.csv", {}, ("line 2310: bytes that are not utf-8", r"\x96", "encoding", "cp1252")),
    ("csvkit__Datagov_FY10_EDU_recp_by_State.csv", {}, ("line 1: 9 of 9 columns have no name", "skip_rows", "names")),
    ("csvkit__bad.csv", {}, ("line 2: 4 cells", "line 3: 2 cells", "separator", "reject")),
    ("csvkit__bad_skip_lines.csv", {}, ("line 5: 4 cells where there are 3 columns", "reject")),
    ("csvkit__empty.csv", {}, ("has no header: it is empty", "take it out of the path")),
    ("csvkit__null_byte.csv", {}, ("line 2: a NUL byte", "encoding", "reject")),
    ("csvkit__test_empty_columns_long_row.csv", {}, ("line 1: there are 3 names", "4 cells", "names = [...]")),
    ("csvkit__test_latin1.csv", {}, ("line 3: bytes that are not utf-8", r"\xa9", "latin-1")),
    ("messytables__begrotingsanalyse-2011.csv", {}, ("line 1: 18 of 20 columns have no name", "skip_rows")),
    ("messytables__complex.csv", {}, ("line 4: a blank stands between ',' and a quote", "skip_initial_space = true")),
    ("messytables__null.csv", {}, ("line 1: the first row looks like data", "header = false", "names")),
    ("messytables__spanish_chars.csv", {}, ("line 1: the first row is not utf-8", "latin-1")),
    ("messytables__sparse_with_column_errors.csv", {}, ("line 2: bytes that are not utf-8", "encoding")),
    (
        "messytables__utf-16le_encoded.csv",
        {"encoding": "utf-8"},
        ("begins with the mark of utf-16-le", "encoding = 'utf-16-le'"),
    ),
    ("messytables__weird_head_padding.csv", {}, ("line 3: there are 5 names", "separator", "skip_rows")),
    (
        "messytables__weird_head_padding.csv",
        {key: value for key, value in PADDED.items() if key != "header"},
        ("line 12: the first row looks like data", "header = true if these are their names"),
    ),
    ("tabulator-py__escaping.csv", {}, ("line 2: a blank stands between ',' and a quote", "skip_initial_space = true")),
    ("tabulator-py__skip-rows.csv", {}, ("line 1: the header begins with '#'", "comment = '#'")),
]


def read(path: Path, options: Mapping[str, Any]) -> tuple[pa.Table, list[Reject], tuple[str, ...]]:
    """Rows, rejects and notes."""
    table = Csv(path=path, **options).table()
    decoded = [partition.read() for partition in table.partitions]
    rows = pa.concat_tables([part.plain for part in decoded])
    assert rows.schema == table.source_schema.arrow
    return rows, [reject for part in decoded for reject in part.rejects], table.notes


@pytest.mark.parametrize("case", READINGS, ids=[f"{case.file}-{'-'.join(case.options)}" for case in READINGS])
def test_a_messy_file_is_read_right_with_the_options_it_needs(case: Reading, shared_data: Path) -> None:
    # when
    rows, rejects, notes = read(shared_data / "messy_csv" / case.file, case.options)
    # then
    assert (rows.num_rows, rows.num_columns, len(rejects)) == case.shape
    assert {name: str(rows.schema.field(name).type) for name in case.types} == case.types
    assert {place: rows[place[1]][place[0]].as_py() for place in case.cells} == case.cells
    assert {reject.line for reject in rejects} == set(case.rejects)
    assert all(reject.reason.startswith(case.rejects[reject.line]) for reject in rejects)
    assert all(any(word in note for note in notes) for word in case.notes)


@pytest.mark.parametrize(
    ("file", "options", "words"), REFUSALS, ids=[f"{row[0]}-{'-'.join(row[1])}" for row in REFUSALS]
)
def test_a_messy_file_is_refused_by_file_line_and_remedy(
    file: str, options: dict[str, Any], words: tuple[str, ...], shared_data: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(shared_data / "messy_csv" / file, options)
    assert [word for word in (file, *words) if word not in str(caught.value)] == []


def test_every_messy_file_is_read_or_refused_here_and_stands_in_the_documentation(shared_data: Path) -> None:
    files = {path.name for path in (shared_data / "messy_csv").iterdir()}
    tested = {case.file for case in READINGS} | {file for file, _, _ in REFUSALS}
    text = PAGE.read_text()
    assert len(files) >= 32
    assert files == tested
    assert [file for file in files if f"{file.partition('__')[2]}`" not in text] == []


@pytest.mark.parametrize(
    ("is_guessed", "on_bad_rows"), [(False, "fail"), (True, "reject")], ids=["strict", "lenient"]
)  # fmt: skip
def test_no_messy_file_gives_anything_but_all_its_rows_or_a_sentence(
    is_guessed: bool, on_bad_rows: str, shared_data: Path
) -> None:
    refused: dict[str, str] = {}
    for path in sorted((shared_data / "messy_csv").iterdir()):
        try:
            options = guess(str(path))[1] if is_guessed else {}
            rows, rejects, _ = read(path, {"on_bad_rows": on_bad_rows, **options})
        except DataError as error:
            refused[path.name] = str(error)
            continue
        # rows in = rows used + rows rejected, counted by the csv module
        is_wide = path.read_bytes().startswith(b"\xff\xfe")
        encoding = options.get("encoding", "utf-16" if is_wide else "utf-8-sig")
        text = path.read_bytes().decode(encoding, "surrogateescape" if "utf-8" in encoding else "strict")
        lines = csv.reader(
            io.StringIO(text, newline=""),
            delimiter=options.get("separator", {".psv": "|", ".ssv": ";"}.get(path.suffix, ",")),
            skipinitialspace=options.get("skip_initial_space", False),
        )
        n_lines = sum(1 for line in lines if line)
        assert rows.num_rows + len(rejects) == n_lines - (options.get("header", True) is not False), path.name
    assert all(name in text for name, text in refused.items())
