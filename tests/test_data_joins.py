"""Joins look columns up by key: rows keep their number and order, gaps match nothing, and nothing is said silently."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import DataError, LostBlockError
from daskflow.data.blocks import CONTENT, open_block
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.derive import extend
from daskflow.data.execution import InlineExecutor
from daskflow.data.joins import Join, JoinCount, StoredJoin, forget_joins, in_words, join_all, store_join
from daskflow.data.scan import scan
from daskflow.data.store import SharedStore
from daskflow.data.table import Table
from tests.small_tables import READS, cut, people, table_of

CITIES = Join(
    "cities", pa.table({"city": ["Ulm", "Bonn"]}), pa.table({"height": [478, 60], "river": ["Donau", "Rhein"]})
)


def joined(pieces: list[pa.Table], *joins: Join, **options: Any) -> Table:
    """A table with joins; the city of `people` has gaps."""
    plain = table_of(pieces, target="late")
    schema = plain.schema
    for join in joins:
        schema = join.extend(schema)
    derive = options.pop("derive", {})
    return replace(plain, joins=joins, schema=extend(schema, derive), derive=derive, **options)


def lenient(join: Join, **changes: Any) -> Join:
    """The same join with other rules."""
    return Join(
        join.name, join.keys, join.values, **{"how": join.how, "unmatched": "keep", "null_keys": "unmatched", **changes}
    )


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.sampled_from(["a", "b", "c", None])), max_size=40
    ),
    small=st.sets(st.tuples(st.integers(0, 5), st.sampled_from(["a", "b", "c"])), min_size=1),
    as_codes=st.booleans(),
)
def test_for_any_keys_a_join_is_the_merge_of_pandas_without_its_matches_of_gaps(
    rows: list[tuple[Any, Any]], small: set[tuple[int, str]], as_codes: bool
) -> None:
    # given rows of two keys, gaps in both, and a small table
    texts = pa.array([text for _, text in rows], pa.string())
    table = pa.table(
        {
            "number": pa.array([number for number, _ in rows], pa.int64()),
            "text": texts.dictionary_encode() if as_codes else texts,
            "place": pa.array(range(len(rows)), pa.int64()),
        }
    )
    keys = sorted(small, key=hash)
    values = [f"{number}{text}" for number, text in keys]
    join = Join(
        "small",
        pa.table({"number": pa.array([n for n, _ in keys], pa.int64()), "text": [t for _, t in keys]}),
        pa.table({"value": values}),
        null_keys="unmatched",
    )
    # when
    left, kept, (count,) = join_all(table, [join], "part.0")
    inner, kept_inner, _ = join_all(table, [lenient(join, how="inner")], "part.0")
    # then a row has its value, or none
    expected = [f"{n}{t}" if (n, t) in small else None for n, t in rows]
    assert left["value"].to_pylist() == expected
    assert left["place"].to_pylist() == list(range(len(rows)))
    assert kept is None
    assert count.unmatched == expected.count(None)
    assert count.null_keys == sum(n is None or t is None for n, t in rows)
    places = [place for place, value in enumerate(expected) if value is not None]
    assert inner["place"].to_pylist() == places
    assert (list(range(len(rows))) if kept_inner is None else kept_inner.to_pylist()) == places
    # and pandas says the same of rows without gaps
    frame = table.to_pandas().dropna().astype({"number": "int64", "text": "str"})
    right = pd.DataFrame({"number": [n for n, _ in keys], "text": [t for _, t in keys], "value": values})
    merged = frame.merge(right.astype({"text": "str"}), how="inner", on=["number", "text"])
    assert merged["place"].tolist() == places


@pytest.mark.parametrize(
    ("column", "keys"),
    [
        (pa.array([1.5, None, -0.0]), pa.array([0.0, 1.5])),
        (pa.array([True, None, False]), pa.array([False, True])),
        (pa.array([5, None, 0], pa.timestamp("us")), pa.array([0, 5], pa.timestamp("us"))),
        (pa.array([5, None, 0], pa.timestamp("us", "UTC")), pa.array([0, 5], pa.timestamp("us", "UTC"))),
        (pa.array([3, None, 1], pa.date32()), pa.array([1, 3], pa.date32())),
    ],
)
def test_keys_may_be_of_any_type(column: pa.Array, keys: pa.Array) -> None:
    join = Join("small", pa.table({"key": keys}), pa.table({"value": ["low", "high"]}), null_keys="unmatched")

    rows, _, _ = join_all(pa.table({"key": column}), [join], "part.0")

    assert rows["value"].to_pylist() == ["high", None, "low"]


def test_a_later_join_may_use_what_an_earlier_one_added() -> None:
    rivers = Join("rivers", pa.table({"river": ["Rhein", "Donau"]}), pa.table({"sea": ["Nordsee", "Schwarzes Meer"]}))

    rows, _, counts = join_all(pa.table({"city": ["Bonn", "Ulm"]}), [CITIES, rivers], "part.0")

    assert rows["sea"].to_pylist() == ["Nordsee", "Schwarzes Meer"]
    assert counts == [JoinCount("cities", 2, 0, 0), JoinCount("rivers", 2, 0, 0)]


def test_a_gap_in_a_key_is_refused_by_default_and_never_matches() -> None:
    rows = pa.table({"city": ["Ulm", None, "Bonn", None]})

    with pytest.raises(DataError, match=r"part\.7: 2 of 4 rows have no value in a key of the join .cities. \(city\)"):
        join_all(rows, [CITIES], "part.7")
    found, _, (count,) = join_all(rows, [lenient(CITIES)], "part.7")
    assert found["height"].to_pylist() == [478, None, 60, None]
    assert (count.unmatched, count.null_keys) == (2, 2)


def test_rows_without_a_match_can_be_refused() -> None:
    with pytest.raises(DataError, match=r"part\.0: 2 of 3 rows have no match .*'cities'; the first is city = 'Rom'"):
        join_all(pa.table({"city": ["Ulm", "Rom", "Oslo"]}), [lenient(CITIES, unmatched="fail")], "part.0")


def test_keys_of_types_that_are_never_equal_are_refused_with_both() -> None:
    with pytest.raises(DataError, match=r"the key 'city' of the join 'cities' is int64, and string in the small table"):
        join_all(pa.table({"city": [1, 2]}), [CITIES], "part.0")
    with pytest.raises(DataError, match="there is no column 'city', a key of the join 'cities'"):
        join_all(pa.table({"town": ["Ulm"]}), [CITIES], "part.0")


def test_the_scan_joins_before_it_derives_and_counts_what_found_no_match(tmp_path: Path) -> None:
    rows = people(300)
    table = joined(cut(rows, 3), lenient(CITIES), derive={"high": "height > 100"})

    blocks = scan(table, tmp_path, InlineExecutor())

    matched = pc.sum(pc.is_in(rows["city"], pa.array(["Ulm", "Bonn"]))).as_py()
    assert blocks.joins == (JoinCount("cities", 300, 300 - matched, rows["city"].null_count),)
    assert blocks.features.names[-3:] == ("height", "river", "high")
    stored = pa.concat_tables(
        [
            open_block(file)
            .select(["city", "height", "high"])
            .cast(pa.schema([("city", pa.string()), ("height", pa.int64()), ("high", pa.bool_())]))
            for file in blocks.files
        ]
    ).to_pylist()
    assert len(stored) == 300
    heights = {"Ulm": (478, True), "Bonn": (60, False)}
    assert all((row["height"], row["high"]) == heights.get(row["city"], (None, None)) for row in stored)


def test_the_row_hash_is_that_of_the_source_without_joins(tmp_path: Path) -> None:
    rows = people(200)
    plain = scan(table_of([rows], target="late"), tmp_path, InlineExecutor())
    with_cities = scan(joined([rows], lenient(CITIES)), tmp_path, InlineExecutor())

    assert open_block(plain.files[0])[CONTENT].to_pylist() == open_block(with_cities.files[0])[CONTENT].to_pylist()


def test_an_inner_join_leaves_rows_out_with_their_hashes(tmp_path: Path) -> None:
    rows = people(300)
    keep = pc.is_in(rows["city"], pa.array(["Ulm", "Bonn"]))

    inner = scan(joined(cut(rows, 3), lenient(CITIES, how="inner")), tmp_path, InlineExecutor())
    before = scan(table_of([rows.filter(keep)], target="late"), tmp_path, InlineExecutor())

    assert inner.n_rows == before.n_rows == pc.sum(keep).as_py()
    hashes = [np.sort(np.concatenate([open_block(f)[CONTENT].to_numpy() for f in b.files])) for b in (inner, before)]
    assert np.array_equal(*hashes)


def test_an_inner_join_without_any_match_says_so(tmp_path: Path) -> None:
    nowhere = Join("cities", pa.table({"city": ["Rom"]}), pa.table({"height": [21]}), "inner", null_keys="unmatched")

    with pytest.raises(DataError, match=r"no rows: .*the join 'cities' found no match for 50.*keys of joins"):
        scan(joined([people(50)], nowhere), tmp_path, InlineExecutor())


def test_a_changed_small_table_makes_other_blocks_and_another_fingerprint(tmp_path: Path) -> None:
    pieces = cut(people(), 2)
    first = scan(joined(pieces, lenient(CITIES)), tmp_path, InlineExecutor())
    higher = Join("cities", CITIES.keys, CITIES.values.set_column(0, "height", pa.array([479, 60])))
    turned = Join("cities", CITIES.keys.take([1, 0]), CITIES.values.take([1, 0]))
    READS.clear()

    same = scan(joined(pieces, lenient(turned)), tmp_path, InlineExecutor())
    other = scan(joined(pieces, lenient(higher)), tmp_path, InlineExecutor())

    assert same.fingerprint == first.fingerprint
    assert (same.partition_reads, other.partition_reads) == (0, 2)
    assert other.fingerprint != first.fingerprint
    assert READS == ["part.0", "part.1"]


def test_the_small_table_is_written_once_and_maps_are_shared(tmp_path: Path) -> None:
    store_join(CITIES, tmp_path)
    stored = StoredJoin.of(CITIES, tmp_path)

    assert stored.open() is stored.open()
    assert stored.open().token == CITIES.token
    assert len(pickle.dumps(stored)) < 500
    assert Join.load(CITIES.dump()).token == CITIES.token
    assert [path.name for path in tmp_path.iterdir()] == [f"{CITIES.token}-join.arrow"]


def test_a_damaged_or_lost_small_table_is_noticed(tmp_path: Path) -> None:
    store_join(CITIES, tmp_path)
    stored = StoredJoin.of(CITIES, tmp_path)
    path = Path(stored.path)
    content = path.read_bytes()
    path.unlink()
    with pytest.raises(LostBlockError, match="gone or damaged"):
        stored.open()
    path.write_bytes(content.replace(b"Donau", b"Donav"))
    forget_joins()
    with pytest.raises(LostBlockError, match="is damaged"):
        stored.open()


def test_the_store_keeps_a_small_table_as_long_as_it_keeps_blocks_in_use(tmp_path: Path) -> None:
    with SharedStore(tmp_path, 1) as store:
        scan(joined([people()], lenient(CITIES)), store, InlineExecutor())
        with SharedStore(tmp_path, 1) as other:
            other.make_room(10**9)
        assert (
            Path(StoredJoin.of(CITIES, tmp_path).path).parent.joinpath(f"{lenient(CITIES).token}-join.arrow").exists()
        )
    assert list(tmp_path.glob("[!.]*")) == []


def test_a_cluster_joins_alike(client: Any, tmp_path: Path) -> None:
    table = joined(cut(people(), 4), lenient(CITIES))

    here = scan(table, tmp_path / "here", InlineExecutor())
    there = scan(table, tmp_path / "there", ClientExecutor(client))

    assert here.joins == there.joins
    assert all(open_block(a).equals(open_block(b)) for a, b in zip(here.files, there.files, strict=True))


def test_a_dask_frame_of_the_table_has_the_joined_columns() -> None:
    frame = joined(cut(people(90), 3), lenient(CITIES), derive={"high": "height > 100"}).to_dask()

    whole = frame.compute()

    assert frame.npartitions == 3
    assert list(whole.columns[-3:]) == ["height", "river", "high"]
    assert {name: str(kind) for name, kind in whole.dtypes.items()} == {n: str(k) for n, k in frame.dtypes.items()}
    assert whole.loc[whole["city"] == "Ulm", "height"].eq(478).all()


def test_how_a_join_went_is_a_sentence() -> None:
    assert in_words(JoinCount("cities", 1000, 1, 0), "inner") == (
        "The join 'cities' found no match for 1 of 1,000 rows (0.1 %): they are left out."
    )
