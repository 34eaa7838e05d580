"""SQL queries: every row in exactly one partition, exact values, counted, and no secret in anything written."""

from __future__ import annotations

import contextlib
import datetime
import json
import pickle
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import ChangedDataError, DataError, SettingsError
from daskflow.data.execution import InlineExecutor
from daskflow.data.scan import scan
from daskflow.data.table import Table
from daskflow.sources.sql import Sql


def database(folder: Path, columns: str, values: list[tuple[Any, ...]], name: str = "t") -> str:
    """An SQLite file with one table; its address."""
    path = folder / "a.db"
    with contextlib.closing(sqlite3.connect(path)) as opened:
        opened.execute(f"DROP TABLE IF EXISTS {name}")
        opened.execute(f"CREATE TABLE {name} ({columns})")
        if values:
            opened.executemany(f"INSERT INTO {name} VALUES ({', '.join('?' * len(values[0]))})", values)
        opened.commit()
    return f"sqlite:///{path}"


def rows(table: Table) -> list[dict[str, Any]]:
    return [row for partition in table.partitions for row in partition.read().plain.to_pylist()]


@settings(max_examples=30, deadline=None)
@given(
    values=st.lists(st.none() | st.integers(-20, 20) | st.just(2**62), min_size=1, max_size=30),
    npartitions=st.integers(1, 7),
)
def test_for_any_values_each_row_is_in_exactly_one_partition(
    values: list[int | None], npartitions: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # given
    url = database(tmp_path_factory.mktemp("sql"), "n INTEGER, place INTEGER", [(v, i) for i, v in enumerate(values)])
    # when
    table = Sql(url=url, query="t", partition_column="n", npartitions=npartitions).table()
    # then
    found = rows(table)
    assert sorted(row["place"] for row in found) == list(range(len(values)))
    assert all(row["n"] == values[row["place"]] for row in found)
    # and missing ones are a partition of their own
    parts = [[row["n"] for row in partition.read().plain.to_pylist()] for partition in table.partitions]
    assert all(None not in part or set(part) == {None} for part in parts)
    assert len(parts) <= npartitions + 1


def test_dates_and_bounds_cut_as_numbers_do(tmp_path: Path) -> None:
    # given times as SQLite keeps them
    days = [datetime.datetime(2020, 1, 1) + datetime.timedelta(hours=7 * place) for place in range(40)]
    url = database(tmp_path, "t TEXT, x INTEGER", [(str(day), place) for place, day in enumerate(days)])
    source = {"url": url, "query": "SELECT t, x FROM t", "partition_column": "t", "dtypes": {"t": "datetime"}}
    # when
    table = Sql(**source, npartitions=4).table()
    # then
    assert len(table.partitions) == 4
    assert [row["t"] for row in rows(table)] == days
    # when
    table = Sql(**source, bounds=["2020-01-03", "2020-01-05"]).table()
    # then
    assert [partition.read().rows.num_rows for partition in table.partitions] == [7, 7, 26]


def test_values_are_exact_and_never_coerced(tmp_path: Path) -> None:
    # given an integer no float holds, beside a gap, and texts that look like numbers
    url = database(tmp_path, "i INTEGER, s TEXT, f REAL", [(2**53 + 1, "007", 0.5), (None, None, None)])
    # when
    table = Sql(url=url, query="t").table()
    # then
    assert {c.name: c.type for c in table.schema.columns} == {"i": "int64", "s": "string", "f": "double"}
    assert rows(table) == [{"i": 2**53 + 1, "s": "007", "f": 0.5}, {"i": None, "s": None, "f": None}]


def test_a_value_of_another_kind_is_named_with_column_and_partition(tmp_path: Path) -> None:
    # given a text beyond the rows that are looked at
    url = database(tmp_path, "i, n INTEGER", [(place, place) for place in range(1500)] + [("x", 1500)])
    # when, then
    table = Sql(url=url, query="t", partition_column="n", npartitions=1).table()
    with pytest.raises(DataError, match=r"query#0.*column 'i' has 'x' \(text\), which is not int64"):
        rows(table)
    assert rows(Sql(url=url, query="t", dtypes={"i": "string"}).table())[-1] == {"i": "x", "n": 1500}
    with pytest.raises(DataError, match=r"column 'i' holds integer and text"):
        Sql(url=url, query="SELECT * FROM t WHERE n IN (3, 1500)").table()


def test_rows_written_after_planning_are_noticed(tmp_path: Path) -> None:
    # given
    url = database(tmp_path, "n INTEGER", [(place,) for place in range(10)])
    table = Sql(url=url, query="t", partition_column="n", npartitions=2).table()
    # when
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as opened:
        opened.execute("INSERT INTO t VALUES (3)")
        opened.commit()
    # then
    with pytest.raises(ChangedDataError, match=r"query#0 \(from None to 5\) changed.*counted 5 rows, and now gives 6"):
        rows(table)


def test_a_database_is_read_on_every_scan_and_equal_rows_are_the_same_block(tmp_path: Path) -> None:
    # given
    url = database(tmp_path, "n INTEGER, y INTEGER", [(place, place % 2) for place in range(10)])
    source = Sql(url=url, query="t", partition_column="n", npartitions=2, target="y")
    # when
    first = scan(source.table(), tmp_path / "store", InlineExecutor())
    second = scan(source.table(), tmp_path / "store", InlineExecutor())
    # then
    assert (first.partition_reads, second.partition_reads) == (2, 2)
    assert first.fingerprint == second.fingerprint
    # when a value changes, then
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as opened:
        opened.execute("UPDATE t SET y = 7 WHERE n = 3")
        opened.commit()
    assert scan(source.table(), tmp_path / "store", InlineExecutor()).fingerprint != first.fingerprint


def test_secrets_are_in_nothing_that_is_written_or_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    secret = "postgresql+nodriver://me:hunter2@db.example.org/shop?password=hunter2"
    source = Sql(url=secret, query="t")
    # then
    written = f"{source!r} {source} {json.dumps(source.dump())} {source.identity()}"
    assert "hunter2" not in written
    assert "me:***@db.example.org" in json.dumps(source.dump())
    with pytest.raises(DataError) as caught:
        source.table()
    assert "hunter2" not in f"{caught.value} {caught.value.__cause__} {caught.value.__context__}"
    # and a written one does not pretend to be whole
    with pytest.raises(DataError, match=r"hidden.*env:NAME"):
        Sql(**source.dump()).table()
    # when the address stands in the environment
    monkeypatch.setenv("SHOP_DB", database(tmp_path, "n INTEGER", [(1,)]))
    table = Sql(url="env:SHOP_DB", query="t").table()
    # then it is known to workers that have no such variable, and shown to nobody
    monkeypatch.delenv("SHOP_DB")
    (partition,) = table.partitions
    assert pickle.loads(pickle.dumps(partition)).read().rows["n"].to_pylist() == [1]
    assert str(tmp_path) not in f"{table!r}"
    with pytest.raises(DataError, match="environment variable SHOP_DB is not set"):
        Sql(url="env:SHOP_DB", query="t").table()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"query": "nowhere"}, ("no such table: nowhere",)),
        ({"partition_column": "m"}, ("partition_column names 'm'",)),
        ({"npartitions": 3}, ("need partition_column",)),
        ({"partition_column": "s", "npartitions": 3}, ("'s' holds texts such as 'a'",)),
        ({"dtypes": {"nn": "string"}}, ("dtypes names 'nn'",)),
        ({"url": "sqlite:////nowhere/at/all.db"}, ("unable to open",)),
        ({"query": "DELETE FROM t"}, ("does not answer the query",)),
    ],
)
def test_what_cannot_be_asked_is_answered(options: dict[str, Any], words: tuple[str, ...], tmp_path: Path) -> None:
    url = database(tmp_path, "n INTEGER, s TEXT", [(1, "a"), (2, "b")])
    with pytest.raises(DataError) as caught:
        Sql(**{"url": url, "query": "t", **options}).table()
    assert all(word in str(caught.value) for word in words)
    assert len(rows(Sql(url=url, query="t").table())) == 2


def test_odd_names_and_colons_in_a_query_are_taken_as_they_are(tmp_path: Path) -> None:
    url = database(tmp_path, '"odd "" name:x" INTEGER, s TEXT', [(1, "12:30:45"), (2, ":a")])
    query = "SELECT * FROM t WHERE s IN ('12:30:45', ':a');"
    table = Sql(url=url, query=query, partition_column='odd " name:x', npartitions=2).table()
    assert [row["s"] for row in rows(table)] == ["12:30:45", ":a"]


def test_bounds_that_do_not_ascend_are_refused() -> None:
    for bounds in ([], [2, 1], [1, 1]):
        with pytest.raises(SettingsError, match="ascending"):
            Sql(url="sqlite://", query="t", partition_column="n", bounds=bounds)


def test_a_relative_file_is_below_the_workflow_file(tmp_path: Path) -> None:
    database(tmp_path, "n INTEGER", [(1,)])
    assert rows(Sql(url="sqlite:///a.db", query="t").table(tmp_path)) == [{"n": 1}]


def test_an_empty_query_is_a_partition_without_rows(tmp_path: Path) -> None:
    url = database(tmp_path, "n INTEGER", [])
    table = Sql(url=url, query="t", partition_column="n", npartitions=3).table()
    assert [partition.read().rows.num_rows for partition in table.partitions] == [0]
