"""DataFrames the user has: every value kept, nothing computed before it is asked for, and no data in the settings."""

from __future__ import annotations

import json
import pickle
from decimal import Decimal
from pathlib import Path
from typing import Any

import dask
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import daskflow.sources
from daskflow.core.errors import DataError, SettingsError
from daskflow.data.table import Table
from daskflow.sources.frame import Frame


@pytest.fixture
def frame() -> pd.DataFrame:
    """Every kind of column pandas has for a model."""
    return pd.DataFrame(
        {
            "i": [1, 2, 3, 4],
            "f": [1.0, np.nan, 3.5, 4.0],
            "s": ["a", None, "c", "d"],
            "o": np.array(["x", None, "z", "w"], dtype=object),
            "b": [True, False, True, True],
            "I": pd.array([1, None, 3, 2**53 + 1], dtype="Int64"),
            "B": pd.array([True, None, False, True], dtype="boolean"),
            "c": pd.Categorical(["u", "v", None, "u"]),
            "n": pd.Categorical([10, 20, 10, 10]),
            "t": pd.date_range("2020-01-01", periods=4, freq="h"),
            "z": pd.date_range("2020-01-01", periods=4, tz="Europe/Berlin"),
            "a": pd.array(["p", "q", None, "r"], dtype=pd.ArrowDtype(pa.large_string())),
            5: [0, 0, 0, 1],
        },
        index=[9, 8, 7, 6],
    )


def rows(table: Table) -> pa.Table:
    """All rows as the executor reads them: partitions pickled, graphs computed."""
    read = []
    for partition in table.partitions:
        computed = None if partition.graph is None else dask.compute(partition.graph, scheduler="synchronous")[0]
        read.append(pickle.loads(pickle.dumps(partition)).read(computed).rows)
    assert all(part.schema == table.source_schema.arrow for part in read)
    return pa.concat_tables(read)


EXPECTED = {
    "i": [1, 2, 3, 4],
    "f": [1.0, None, 3.5, 4.0],
    "s": ["a", None, "c", "d"],
    "o": ["x", None, "z", "w"],
    "I": [1, None, 3, 2**53 + 1],
    "B": [True, None, False, True],
    "c": ["u", "v", None, "u"],
    "n": [10, 20, 10, 10],
    "a": ["p", "q", None, "r"],
    "5": [0, 0, 0, 1],
}


@pytest.mark.parametrize("npartitions", [1, 3, 8])
def test_pandas_values_are_kept_whatever_the_cut_and_the_index_is_not_a_column(
    frame: pd.DataFrame, npartitions: int
) -> None:
    # when
    table = Frame(frame=frame, npartitions=npartitions).table()
    # then
    assert len(table.partitions) == npartitions
    found = rows(table)
    assert found.column_names == [str(name) for name in frame.columns]
    assert {name: found[name].to_pylist() for name in EXPECTED} == EXPECTED


def test_dask_frames_keep_their_partitions_values_and_types(frame: pd.DataFrame) -> None:
    # when
    table = Frame(frame=dd.from_pandas(frame, npartitions=2, sort=False)).table()
    # then
    assert len(table.partitions) == 2
    found = rows(table)
    assert {name: found[name].to_pylist() for name in EXPECTED} == EXPECTED
    assert table.schema == Frame(frame=frame).table().schema


def test_a_lazy_graph_is_computed_partition_by_partition_and_not_before(frame: pd.DataFrame) -> None:
    # given a frame with steps of its own, one of which counts
    seen: list[int] = []

    def counted(part: pd.DataFrame) -> pd.DataFrame:
        seen.append(len(part))
        return part.assign(double=part["i"] * 2)

    lazy = dd.from_pandas(frame[["i", "f"]].reset_index(drop=True), npartitions=2)
    lazy = lazy.map_partitions(counted, meta={"i": "int64", "f": "float64", "double": "int64"})
    lazy = lazy[lazy["i"] > 1]
    # when
    table = Frame(frame=lazy, target="i").table()
    # then
    assert seen == []
    assert rows(table)["double"].to_pylist() == [4, 6, 8]
    assert seen == [2, 2]


def test_partitions_that_come_out_empty_are_read_as_such(frame: pd.DataFrame) -> None:
    lazy = dd.from_pandas(frame.reset_index(drop=True), npartitions=2)
    table = Frame(frame=lazy[lazy["i"] > 2]).table()
    assert rows(table)["i"].to_pylist() == [3, 4]
    assert len(table.partitions) == 2


def test_partitions_of_a_dask_frame_travel_without_their_graph(frame: pd.DataFrame) -> None:
    # given many rows in the graph
    lazy = dd.from_pandas(pd.DataFrame({"x": np.arange(100_000.0)}), npartitions=2)
    (piece, _) = Frame(frame=lazy).table().partitions
    # when
    sent = pickle.dumps(piece)
    # then
    assert len(sent) < 5_000
    with pytest.raises(DataError, match="graph was not computed"):
        pickle.loads(sent).read()


@pytest.mark.parametrize("is_dask", [False, True], ids=["pandas", "dask"])
def test_settings_hold_a_token_and_no_data(frame: pd.DataFrame, is_dask: bool) -> None:
    # given
    frame["s"] = "SECRET"
    given = dd.from_pandas(frame, npartitions=2, sort=False) if is_dask else frame
    # when
    source = Frame(frame=given, target="b")
    # then
    for shown in (json.dumps(source.dump()), json.dumps(source.identity()), repr(source), str(source.table().settings)):
        assert "SECRET" not in shown
    assert source.identity() == Frame(frame=given, target="b").identity()
    other = frame.assign(i=frame["i"] + 1)
    other_given = dd.from_pandas(other, npartitions=2, sort=False) if is_dask else other
    assert source.identity() != Frame(frame=other_given, target="b").identity()


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": [1, "a"]}, ("'x'", "int and str", "astype")),
        ({"x": [{"a": 1}, {"a": 2}]}, ("'x'", "struct", "drop = ['x']")),
        ({"x": [[1], [2]]}, ("'x'", "list", "drop = ['x']")),
        ({"x": [1 + 2j]}, ("'x'", "complex128")),
        ({"x": pd.to_timedelta([1, 2])}, ("'x'", "duration", "drop = ['x']")),
        ({"x": pd.Series([1, Decimal("1.5"), "b"], dtype=object), "y": [1, "a", 2]}, ("'x'", "'y'")),
        ({}, ("no columns",)),
    ],
    ids=["mixed", "structs", "lists", "complex", "durations", "two at once", "no columns"],
)
def test_columns_that_cannot_be_used_are_named_with_what_to_do(given: dict[str, Any], words: tuple[str, ...]) -> None:
    with pytest.raises(DataError) as caught:
        Frame(frame=pd.DataFrame(given)).table()
    assert all(word in str(caught.value) for word in words)


def test_a_column_that_cannot_be_used_may_be_dropped() -> None:
    table = Frame(frame=pd.DataFrame({"x": [1, 2], "tags": [["a"], []], "odd": [1, "a"]}), drop=["tags", "odd"]).table()
    assert rows(table).to_pylist() == [{"x": 1}, {"x": 2}]


def test_names_that_stand_twice_or_in_levels_are_refused() -> None:
    with pytest.raises(DataError, match="'a'"):
        Frame(frame=pd.DataFrame([[1, 2]], columns=["a", "a"])).table()
    with pytest.raises(DataError, match="'1'"):
        Frame(frame=pd.DataFrame([[1, 2]], columns=[1, "1"])).table()
    with pytest.raises(DataError, match="levels"):
        Frame(frame=pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]))).table()


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda part: part.assign(x=part["x"].astype(str)), ("'x'", "string", "int64")),
        (lambda part: part.assign(x=part["x"] + 0.5), ("'x'", "double", "int64")),
        (lambda part: part.assign(y=1), ("not expected: 'y'", "meta")),
        (lambda part: part[[]], ("missing: 'x'", "meta")),
    ],
    ids=["text", "floats", "more", "less"],
)
def test_a_graph_that_gives_other_columns_than_its_meta_is_refused(made: Any, words: tuple[str, ...]) -> None:
    # given
    frame = pd.DataFrame({"x": [1, 2]})
    lazy = dd.from_delayed([dask.delayed(made)(frame)], meta=frame, verify_meta=False)
    table = Frame(frame=lazy).table()
    # when, then
    with pytest.raises(DataError) as caught:
        rows(table)
    assert all(word in str(caught.value) for word in ("frame#0", *words))


def test_widths_that_differ_from_the_meta_are_cast_without_loss() -> None:
    lazy = dd.from_pandas(pd.DataFrame({"x": [1, 2]}), npartitions=1)
    table = Frame(frame=lazy.map_partitions(lambda part: part.astype("int8"), meta={"x": "int64"})).table()
    assert rows(table)["x"].to_pylist() == [1, 2]


@pytest.mark.parametrize(
    "value", [{"kind": "frame"}, {"kind": "frame", "token": "12ab"}, {"kind": "frame", "frame": "df"}]
)
def test_a_workflow_file_cannot_name_a_frame_and_says_why(value: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"^data.*(in a file, name files of another kind|pandas or dask DataFrame)"):
        daskflow.sources.REGISTRY.parse(value, where="data")


def test_files_that_dask_fuses_for_few_columns_are_partitions_whose_rows_stay_whole(tmp_path: Path) -> None:
    # given a folder of which Dask reads few columns in fewer partitions than many
    for part in range(4):
        numbers = np.arange(part * 100, part * 100 + 100)
        pd.DataFrame({f"c{n}": numbers + n * 1_000 for n in range(12)}).to_parquet(tmp_path / f"part{part}.parquet")
    raw = dd.read_parquet(tmp_path)
    few = raw[["c0", "c1"]] + 0
    assert few.optimize().npartitions < few.npartitions == raw.optimize().npartitions == 4
    # when both are tables, and read twice
    tables = [Frame(frame=lazy, target="c0").table() for lazy in (raw, few)]
    # then each time the rows are those of the folder, in pairs
    for table in (*tables, *tables):
        found = rows(table)
        assert found["c0"].to_pylist() == list(range(400))
        assert found["c1"].to_pylist() == list(range(1_000, 1_400))
