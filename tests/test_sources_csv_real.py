"""Real tables of CSV files are read as pandas reads them when it is told how."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from daskflow.core.errors import DataError
from daskflow.sources.csv import Csv

ADULT = re.findall(
    r"\w+",
    """age workclass fnlwgt education education_num marital_status occupation relationship race sex capital_gain
    capital_loss hours_per_week native_country income""",
)


def read(path: Path | tuple[str, ...], **options: Any) -> tuple[pa.Table, int]:
    """All rows, and how many were rejected."""
    table = Csv(path=path, **options).table()
    decoded = [partition.read() for partition in table.partitions]
    assert all(part.plain.schema == table.source_schema.arrow for part in decoded)
    return pa.concat_tables([part.plain for part in decoded]), sum(len(part.rejects) for part in decoded)


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
    # when the column has one name, and each file says its utility
    few = tuple(str(path) for path in sorted(folder.glob("*.csv.gz"))[:3])
    rows, _ = read(few, rename={"*_MW": "MW"}, file_column="zone")
    # then
    assert rows.schema.names == ["Datetime", "MW", "zone"]
    assert [str(rows.schema.field(name).type) for name in ("Datetime", "MW")] == ["timestamp[us]", "double"]
    counts = {pair["values"]: pair["counts"] for pair in rows["zone"].combine_chunks().value_counts().to_pylist()}
    assert counts == {Path(path).name: len(pd.read_csv(path)) for path in few}
    with pytest.raises(DataError, match=r"rename names 'MW_\*': no file has such a column"):
        read(few, rename={"MW_*": "MW"})


@pytest.mark.slow
def test_pjm_energy_files_are_read_whole_under_one_name(shared_data: Path) -> None:
    folder = shared_data / "pjm_energy_hourly"
    rows, rejected = read(folder, rename={"*_MW": "MW"})
    assert (rows.num_rows, rejected) == (1_090_167, 0)
    again, _ = read(folder, header=True, names=["Datetime", "MW"])
    assert again.equals(rows)


def test_used_cars_are_read_and_their_raw_sisters_refused_together(shared_data: Path) -> None:
    folder = shared_data / "uk_used_cars"
    rows, _ = read(folder, skip_initial_space=True)
    assert_same(rows, frame_of(sorted(folder.glob("*.csv.gz")), skipinitialspace=True))
    with pytest.raises(DataError, match="headers differ") as caught:
        read(folder / "unclean")
    assert "unclean_focus.csv.gz, line 1: lacks 'fuelType', 'engineSize'; has 'fuel type'" in str(caught.value)


def test_raw_adverts_are_read_with_pounds_and_thousands_marks(shared_data: Path) -> None:
    # given prices such as " £30,495"
    paths = tuple(
        str(shared_data / "uk_used_cars" / "unclean" / f"unclean_{name}.csv.gz") for name in ("cclass", "focus")
    )
    # when
    rows, rejected = read(paths, skip_initial_space=True, currency="£", thousands=",", on_bad_rows="reject")
    # then
    raw = frame_of([Path(path) for path in paths], dtype=str, skipinitialspace=True)
    expected = pd.to_numeric(raw["price"].str.strip().str.replace("[£,]", "", regex=True))
    assert (rows.num_rows, rejected) == (len(raw), 0)
    assert rows.schema.field("price").type == pa.int64()
    assert [value for value in rows["price"].to_pylist() if value is not None] == expected.dropna().astype(int).tolist()
    assert rows["price"][0].as_py() == 30_495


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
