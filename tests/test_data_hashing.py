"""Row hashes depend on what a row is, and on nothing else."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskflow.data.hashing import all_missing, mix, order_of, row_hashes
from tests.small_tables import people


def hashes(**columns: Any) -> list[int]:
    """Hashes of the rows of a table."""
    return row_hashes(pa.table(columns), list(columns)).tolist()


@pytest.mark.parametrize(
    "forms",
    [
        pytest.param(
            [
                pa.array([1, None, 3]),
                pa.array([1.0, None, 3.0]),
                pa.array([1.0, np.nan, 3.0], from_pandas=False),
                pa.array([1, None, 3], pa.int8()),
                pa.array([1, None, 3], pa.uint64()),
                pa.array([1, None, 3], pa.float32()),
                pa.array([Decimal("1.00"), None, Decimal(3)], pa.decimal128(10, 2)),
                pa.Array.from_pandas(pd.array([1, None, 3], dtype="Int64")),
            ],
            id="whole numbers",
        ),
        pytest.param(
            [
                pa.array([0.5, 0.1, None]),
                pa.array([Decimal("0.5"), Decimal("0.1"), None], pa.decimal128(5, 1)),
            ],
            id="fractions",
        ),
        pytest.param(
            [
                pa.array(["a", None, "ü"]),
                pa.array(["a", None, "ü"], pa.large_string()),
                pa.array(["a", None, "ü"]).dictionary_encode(),
                pa.DictionaryArray.from_arrays(pa.array([2, None, 1], pa.int8()), pa.array(["z", "ü", "a"])),
                pa.DictionaryArray.from_arrays(pa.array([0, 1, 2]), pa.array(["a", None, "ü"])),
            ],
            id="texts",
        ),
        pytest.param(
            [pa.array([datetime.datetime(2020, 5, 1), None], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")]
            + [
                pa.array([datetime.date(2020, 5, 1), None], pa.date32()),
                pa.array([datetime.date(2020, 5, 1), None], pa.date64()),
                pa.array([datetime.datetime(2020, 5, 1, tzinfo=datetime.UTC), None], pa.timestamp("us", "Asia/Tokyo")),
            ],
            id="dates",
        ),
        pytest.param([pa.array([True, False, None]), pa.array([1, 0, None])], id="truths"),
        pytest.param([pa.array([0.0, -0.0]), pa.array([-0.0, 0.0]), pa.array([0, 0])], id="zeros"),
        pytest.param([pa.nulls(2), pa.array([None, None], pa.string()), pa.array([np.nan, None])], id="missing"),
    ],
)
def test_a_value_hashes_the_same_however_it_is_stored(forms: list[pa.Array]) -> None:
    assert len({tuple(hashes(column=form)) for form in forms}) == 1


def test_different_values_hash_differently() -> None:
    values = [0, 1, -1, 2**40, 2**62, 0.5, 1e300, -1e300, 5e-324, float("inf"), float("-inf"), None, float(2**63)]

    found = [hashes(column=pa.array([value]))[0] for value in values]

    assert len(set(found)) == len(values)
    assert hashes(column=["1"]) != hashes(column=[1])
    assert hashes(column=[""]) != hashes(column=pa.array([None], pa.string()))


def test_integers_beyond_the_floats_are_told_apart() -> None:
    assert len(set(hashes(column=[2**53, 2**53 + 1, 2**53 + 2]))) == 3


def test_decimals_beyond_the_floats_are_told_apart() -> None:
    near = [Decimal("0.12345678901234567890"), Decimal("0.12345678901234567891")]

    assert len(set(hashes(column=pa.array(near, pa.decimal128(30, 20))))) == 2


def test_the_order_of_columns_does_not_matter_but_their_names_do() -> None:
    rows = people(50)

    whole = row_hashes(rows, rows.column_names)

    assert np.array_equal(whole, row_hashes(rows, rows.column_names[::-1]))
    assert hashes(a=[1], b=[2]) != hashes(a=[2], b=[1])


def test_chunks_and_slices_do_not_matter() -> None:
    rows = people(90)
    whole = row_hashes(rows, rows.column_names)

    parts = [rows.slice(0, 31), rows.slice(31, 1), rows.slice(32)]

    assert np.array_equal(whole, row_hashes(pa.concat_tables(parts), rows.column_names))
    assert np.array_equal(whole, np.concatenate([row_hashes(part, rows.column_names) for part in parts]))


def test_a_row_without_any_of_the_columns_is_told() -> None:
    rows = pa.table({"a": [1, None, None], "b": [None, "x", None]})

    assert all_missing(rows, ["a", "b"]).tolist() == [False, False, True]


def test_hashes_are_the_same_on_every_machine_and_in_every_version() -> None:
    """Blocks and runs outlive the process: these numbers may change only together with the format of the blocks."""
    rows = pa.table({"n": [5], "f": [0.1], "s": ["Köln"], "d": pa.array([10], pa.timestamp("us")), "m": pa.nulls(1)})

    content = row_hashes(rows, rows.column_names)

    assert content.tolist() == [9849722787784557530]
    assert order_of(content).tolist() == [2237960847266442180]


def test_mixing_is_one_to_one_and_even() -> None:
    mixed = mix(np.arange(100_000, dtype=np.uint64), 7)

    assert len(np.unique(mixed)) == 100_000
    share = np.bincount((mixed >> np.uint64(60)).astype(np.int64)) / 100_000
    assert np.allclose(share, 1 / 16, atol=0.003)
