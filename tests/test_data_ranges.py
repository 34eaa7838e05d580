"""Ranges give the rows in training order, the same to the last bit however the files were cut."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskflow.data import passes
from daskflow.data import ranges as ranges_room
from daskflow.data.blocks import TEXT
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.data.ranges import GROUP
from daskflow.data.splits import Split
from tests.small_tables import Prepared, cut, people, prepared, ranges_of, table_of

NEEDS = {
    "age": frozenset({"moments", "quantiles"}),
    "pay": frozenset({"moments", "quantiles"}),
    "city": frozenset({"levels"}),
    "seen": frozenset({"moments"}),
    "member": frozenset({"moments"}),
}


def of(pieces: list[pa.Table], store: Path, **roles: Any) -> Prepared:
    """Scanned and split into three folds, in ranges of about 50 rows."""
    return prepared(table_of(pieces, target="late", **roles), store, Split(folds=3), block_rows=50)


def same(one: Prepared, other: Prepared) -> bool:
    """Whether all ranges are equal to the last bit."""
    if one.reader.n_ranges != other.reader.n_ranges:
        return False
    pairs = [(one.reader.read(i), other.reader.read(i)) for i in range(one.reader.n_ranges)]
    return all(
        left.table.equals(right.table)
        and np.array_equal(left.segments, right.segments)
        and np.array_equal(left.order, right.order)
        for left, right in pairs
    )


def test_every_row_is_read_once_with_its_values(tmp_path: Path) -> None:
    rows = people(1_000)

    found = ranges_of(of(cut(rows, 3), tmp_path)).drop_columns("segment")

    keys = [(name, "ascending") for name in rows.column_names]
    assert found.sort_by(keys).equals(rows.sort_by(keys))


def test_very_many_small_files_do_not_matter(tmp_path: Path) -> None:
    rows = people(700).select(["age", "city", "late"])

    assert same(of([rows], tmp_path / "whole"), of(cut(rows, 305), tmp_path / "parts"))


@pytest.mark.parametrize("n_parts", [3, 8])
def test_partitions_and_file_order_do_not_matter(n_parts: int, tmp_path: Path) -> None:
    rows = people(700)

    whole = of([rows], tmp_path / "whole")
    parts = of(cut(rows, n_parts), tmp_path / "parts")
    turned = of(cut(rows, n_parts)[::-1], tmp_path / "turned")

    assert same(whole, parts)
    assert same(whole, turned)


def test_types_of_the_source_do_not_matter(tmp_path: Path) -> None:
    """The same table as csv and as parquet types it: floats for integers with gaps, other units, categories."""
    rows = people(500)
    other = rows.set_column(0, "age", rows["age"].cast(pa.float64()))
    other = other.set_column(3, "seen", rows["seen"].cast(pa.timestamp("ns")))
    other = other.set_column(2, "city", rows["city"].dictionary_encode())
    other = other.set_column(5, "house", rows["house"].cast(pa.int16()))

    one = of(cut(rows, 2), tmp_path / "one")
    two = of(cut(other, 3), tmp_path / "two")

    left, right = (ranges_of(ready).to_pandas() for ready in (one, two))
    pd.testing.assert_frame_equal(left, right, check_dtype=False)
    assert one.plan.token == two.plan.token


def test_columns_come_in_the_types_of_the_schema(tmp_path: Path) -> None:
    rows = people(200).append_column("gap", pa.nulls(200, pa.string())).append_column("bare", pa.nulls(200))

    ready = of(cut(rows, 4), tmp_path)

    for i in range(ready.reader.n_ranges):
        table = ready.reader.read(i).table
        assert [str(kind) for kind in table.schema.types] == [
            "int64",
            "double",
            str(TEXT),
            "timestamp[us]",
            "bool",
            "int64",
            "bool",
            str(TEXT),
            str(TEXT),
        ]


def test_a_range_gives_only_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    reader = of([people(200)], tmp_path).reader

    assert reader.read(0, ["pay", "city"]).table.column_names == ["pay", "city"]
    assert len(reader.read(0, []).segments) == len(reader.read(0).segments)


def test_the_order_looks_random(tmp_path: Path) -> None:
    rows = pa.table({"x": np.arange(2_000), "late": np.arange(2_000) % 2})

    found = ranges_of(of(cut(rows, 3), tmp_path)).to_pandas()

    assert abs(np.corrcoef(found.x, np.arange(2_000))[0, 1]) < 0.1
    assert found.groupby(np.arange(2_000) // 100).late.mean().between(0.3, 0.7).all()


def test_copies_of_a_heavy_row_are_spread_over_the_ranges(tmp_path: Path) -> None:
    light = pa.table({"x": np.arange(4_000), "late": np.arange(4_000) % 2})
    heavy = pa.table({"x": np.full(6_000, -1), "late": np.ones(6_000, dtype=int)})
    rows = pa.concat_tables([heavy.slice(0, 2_500), light, heavy.slice(2_500)])

    ready = prepared(table_of(cut(rows, 3), target="late"), tmp_path, Split(folds=3), block_rows=500)

    assert [item.count for item in ready.blocks.heavy] == [6_000]
    shares = [np.mean(ready.reader.read(i).table["x"].to_numpy() == -1) for i in range(ready.reader.n_ranges)]
    assert len(shares) == 20
    assert min(shares) > 0.5
    assert max(shares) < 0.7
    assert len(ranges_of(ready)) == 10_000
    whole = prepared(table_of([rows], target="late"), tmp_path / "whole", Split(folds=3), block_rows=500)
    assert same(ready, whole)


def test_a_range_is_a_sixty_fourth_within_limits(tmp_path: Path) -> None:
    for n_rows, expected in ((500, 1), (6_400, 7), (128_000, 64)):
        rows = pa.table({"x": np.arange(n_rows), "late": np.arange(n_rows) % 2})
        ready = prepared(table_of([rows], target="late"), tmp_path / str(n_rows), Split(folds=3))
        assert ready.reader.n_ranges == expected


def test_gathering_ranges_together_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = of(cut(people(1_000), 5), tmp_path)

    monkeypatch.setattr(ranges_room, "MOST_ROWS", 0)
    alone = of(cut(people(1_000), 5), tmp_path)

    assert (together.reader.n_together, alone.reader.n_together) == (16, 1)
    for i in reversed(range(alone.reader.n_ranges)):
        left, right = together.reader.read(i), alone.reader.read(i)
        assert left.table["city"].to_pylist() == right.table["city"].to_pylist()
        assert left.table.drop_columns("city").equals(right.table.drop_columns("city"))
        assert np.array_equal(left.order, right.order)


def test_the_reader_is_small_and_travels(tmp_path: Path) -> None:
    reader = of(cut(people(3_000), 4), tmp_path).reader

    again = pickle.loads(pickle.dumps(reader))

    assert len(pickle.dumps(reader)) < 10_000
    assert again.read(3).table.equals(reader.read(3).table)


def test_real_files_read_the_same_in_two_orders(shared_data: Path, tmp_path: Path) -> None:
    """Daily files of uneven size."""
    paths = sorted((shared_data / "online_retail").glob("*.csv.gz"))[:15]
    types = {"InvoiceNo": "str", "StockCode": "str", "Description": "str", "CustomerID": "float64"}
    frames = [pd.read_csv(path, dtype=types, parse_dates=["InvoiceDate"]) for path in paths]
    schema = pa.Schema.from_pandas(frames[0], preserve_index=False)
    for name, kind in (("Description", pa.string()), ("InvoiceDate", pa.timestamp("us")), ("InvoiceNo", pa.string())):
        schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    pieces = [pa.Table.from_pandas(frame, schema=schema, preserve_index=False) for frame in frames]
    roles = {"derive": {"cancelled": "InvoiceNo.str.startswith('C')"}, "target": "cancelled", "group": "CustomerID"}

    one = prepared(table_of(pieces, **roles), tmp_path / "one", Split(kind="group", folds=3))
    two = prepared(table_of(pieces[::-1], **roles), tmp_path / "two", Split(kind="group", folds=3))

    assert one.blocks.n_rows > 25_000
    assert one.plan.token == two.plan.token
    for i in (0, 17, one.reader.n_ranges - 1):
        assert one.reader.read(i).table.equals(two.reader.read(i).table)


def test_statistics_are_the_same_to_the_last_bit(client: Any, tmp_path: Path) -> None:
    rows = people(3_000)

    found = []
    for n_parts, executor in ((1, InlineExecutor()), (8, InlineExecutor()), (3, ClientExecutor(client))):
        ready = of(cut(rows, n_parts), tmp_path / str(n_parts))
        assert ready.reader.n_ranges > GROUP
        found.append(passes.collect(ready.reader, NEEDS, executor).only((0, 2)))

    for name in NEEDS:
        for other in found[1:]:
            assert pickle.dumps(numbers_of(found[0][name])) == pickle.dumps(numbers_of(other[name]))


def test_statistics_leave_the_test_rows_out(tmp_path: Path) -> None:
    ready = of(cut(people(2_000), 3), tmp_path)

    statistics = passes.collect(ready.reader, NEEDS, InlineExecutor())

    frame = ranges_of(ready).to_pandas()
    for part in ((0,), (0, 1), (0, 1, 2)):
        mine = frame[frame.segment.isin(part)]
        seen = statistics.only(part)["pay"]
        assert (seen.n_rows, seen.n_missing) == (len(mine), mine.pay.isna().sum())
        assert seen.mean == pytest.approx(mine.pay.mean(), rel=1e-12)


def numbers_of(seen: Any) -> list[Any]:
    """The numbers of a column's statistics."""
    return [seen.n_rows, seen.n_missing, seen.mean, seen.m2, seen.min, seen.max, sorted((seen.levels or {}).items())]
