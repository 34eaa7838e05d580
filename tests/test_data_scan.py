"""The scan decodes each partition once, and says what is wrong with it."""

from __future__ import annotations

import errno
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from daskflow.core.errors import DataError, StorageError
from daskflow.core.events import Event
from daskflow.data import blocks as blocks_room
from daskflow.data.blocks import CONTENT, ORDER, open_block
from daskflow.data.client_executor import ClientExecutor
from daskflow.data.execution import InlineExecutor
from daskflow.data.narrowing import narrow
from daskflow.data.scan import scan, target_of
from daskflow.data.schema import Schema, Task
from daskflow.data.table import Reject, Table
from tests.small_tables import READS, cut, people, table_of


@pytest.fixture
def executor() -> InlineExecutor:
    """Units run in this process."""
    return InlineExecutor()


def test_every_partition_is_read_once_and_never_again(tmp_path: Path, executor: InlineExecutor) -> None:
    table = table_of(cut(people(), 5), target="late")
    READS.clear()

    first = scan(table, tmp_path, executor)
    again = scan(table, tmp_path, executor)

    assert sorted(READS) == [f"part.{i}" for i in range(5)]
    assert (first.partition_reads, again.partition_reads) == (5, 0)
    assert replace(again, partition_reads=5) == first


def test_a_block_gives_back_exactly_the_values(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = people(300)

    blocks = scan(table_of([rows], target="late"), tmp_path, executor)

    block = open_block(blocks.files[0])
    plain = [block[name].cast(pa.string()) if name == "city" else block[name] for name in rows.column_names]
    found = pa.table(
        [column.cast(rows.schema.field(i).type) for i, column in enumerate(plain)], names=rows.column_names
    )
    keys = [(name, "ascending") for name in rows.column_names]
    assert found.sort_by(keys).equals(rows.sort_by(keys))
    assert block.schema.field("age").type == pa.int8()
    assert np.all(np.diff(np.asarray(block[ORDER]).astype(float)) >= 0)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([1, None, 127]), pa.int8()),
        (pa.array([1, 128]), pa.int16()),
        (pa.array([-40_000]), pa.int32()),
        (pa.array([2**40]), pa.int64()),
        (pa.array([2**64 - 1], pa.uint64()), pa.uint64()),
        (pa.array([None, None], pa.int64()), pa.int8()),
        (pa.array([0.5, None, 2.0**60]), pa.float32()),
        (pa.array([0.1]), pa.float64()),
        (pa.array([1e300, float("inf")]), pa.float64()),
        (pa.array([True, None]), pa.bool_()),
        (pa.nulls(3), pa.dictionary(pa.int8(), pa.string())),
        (pa.array([str(i) for i in range(200)]), pa.dictionary(pa.int16(), pa.string())),
    ],
)
def test_columns_are_as_narrow_as_their_values_allow(values: pa.Array, expected: pa.DataType) -> None:
    stored = narrow(values)

    wide = stored.cast(pa.string()) if pa.types.is_dictionary(stored.type) else stored.cast(values.type)
    assert stored.type == expected
    assert wide.to_pylist() == values.to_pylist()


def test_the_content_hash_covers_the_source_before_derive_and_drop(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = people(100)

    plain = scan(table_of([rows], target="late"), tmp_path, executor)
    other = scan(
        table_of([rows], derive={"rich": "pay > 20", "city": "city.str.lower()"}, target="rich", drop=("pay", "late")),
        tmp_path,
        executor,
    )

    hashes = [open_block(blocks.files[0])[CONTENT].to_pylist() for blocks in (plain, other)]
    assert hashes[0] == hashes[1]
    assert "pay" not in other.schema
    assert other.features.names == ("age", "city", "seen", "member", "house")


def test_a_file_that_changed_is_read_again(tmp_path: Path, executor: InlineExecutor) -> None:
    table = table_of(cut(people(), 3), target="late")
    before = scan(table, tmp_path, executor)
    changed = replace(table.partitions[1], rows=people(50, seed=9), modified_ns=2)  # type: ignore[type-var]
    table = replace(table, partitions=(table.partitions[0], changed, table.partitions[2]))

    after = scan(table, tmp_path, executor)

    assert after.partition_reads == 1
    assert after.files[1].n_rows == 50
    assert after.fingerprint != before.fingerprint
    assert open_block(before.files[1]).num_rows == before.files[1].n_rows, "a block in use stays"


def test_a_file_that_was_only_touched_keeps_its_block(tmp_path: Path, executor: InlineExecutor) -> None:
    table = table_of([people()], target="late")
    before = scan(table, tmp_path, executor)
    written = os.stat(before.files[0].path).st_mtime_ns
    touched = replace(table, partitions=(replace(table.partitions[0], modified_ns=2),))  # type: ignore[type-var]

    after = scan(touched, tmp_path, executor)

    assert after.partition_reads == 1
    assert after.fingerprint == before.fingerprint
    assert os.stat(after.files[0].path).st_mtime_ns == written
    assert scan(touched, tmp_path, executor).partition_reads == 0


@pytest.mark.parametrize(
    "other",
    [
        {"group": "house"},
        {"key": ("house", "seen")},
        {"drop": ("pay",)},
        {"derive": {"rich": "pay > 20"}},
        {"settings": {"kind": "csv", "na_values": ["?"]}},
    ],
    ids=["group", "key", "drop", "derive", "settings"],
)
def test_what_changes_a_block_makes_another_block(
    other: dict[str, Any], tmp_path: Path, executor: InlineExecutor
) -> None:
    scan(table_of([people()], target="late"), tmp_path, executor)

    assert scan(table_of([people()], target="late", **other), tmp_path, executor).partition_reads == 1


def test_the_role_of_target_is_not_part_of_a_block(tmp_path: Path, executor: InlineExecutor) -> None:
    scan(table_of([people()], target="late"), tmp_path, executor)

    assert scan(table_of([people()], target="pay", positive=1), tmp_path, executor).partition_reads == 0


def test_a_damaged_block_is_made_anew(tmp_path: Path, executor: InlineExecutor) -> None:
    table = table_of(cut(people(), 2), target="late")
    blocks = scan(table, tmp_path, executor)
    path = Path(blocks.files[1].path)
    path.write_bytes(path.read_bytes()[:-100])

    assert scan(table, tmp_path, executor).partition_reads == 1


@pytest.mark.parametrize(("harm", "said"), [("cut", "bytes; "), ("delete", "is gone"), ("overwrite", "is damaged")])
def test_a_block_that_is_lost_while_in_use_is_named(
    harm: str, said: str, tmp_path: Path, executor: InlineExecutor
) -> None:
    blocks = scan(table_of([people()], target="late"), tmp_path / harm, InlineExecutor())
    path = Path(blocks.files[0].path)
    content = path.read_bytes()
    path.unlink()
    if harm != "delete":
        path.write_bytes(content[:-50] if harm == "cut" else b"x" * len(content))
    blocks_room._open.cache_clear()  # as in another process, which has no map of it yet

    with pytest.raises(StorageError, match=rf"{path.name}.*{said}.*(?s:.)*Run the same command again"):
        open_block(blocks.files[0])


@pytest.mark.parametrize(("code", "said"), [(errno.ENOSPC, "no space left"), (errno.EACCES, "Nothing can be written")])
def test_a_full_or_forbidden_store_is_named(
    code: int, said: str, tmp_path: Path, executor: InlineExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StorageError, match=f"{said}.*{tmp_path.name}.*cache.folder"):
        scan(table_of([people()], target="late"), tmp_path, executor)
    assert list(tmp_path.iterdir()) == []


def test_a_store_below_a_file_is_named(tmp_path: Path, executor: InlineExecutor) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError, match="Nothing can be written"):
        scan(table_of([people()], target="late"), tmp_path / "file" / "blocks", executor)


def test_empty_and_one_row_partitions_are_fine(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = people(60)
    pieces = [rows.slice(0, 0), rows.slice(0, 1), rows.slice(1), rows.slice(0, 0)]

    blocks = scan(table_of(pieces, target="late"), tmp_path, executor)

    assert [file.n_rows for file in blocks.files] == [0, 1, 59, 0]
    assert blocks.profile["city"].rows == 60


def test_a_table_without_rows_is_an_error(tmp_path: Path, executor: InlineExecutor) -> None:
    with pytest.raises(DataError, match="The table has no rows"):
        scan(table_of([people(5).slice(0, 0)], target="late"), tmp_path, executor)


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (pa.table({"a": [1.5], "y": [1]}), "part.1: column 'a' is double; the schema has int64"),
        (pa.table({"b": [1], "y": [1]}), "part.1: its columns are not those of the table; missing: a; not expected: b"),
        (pa.table({"a": [1]}), "missing: y"),
    ],
)
def test_a_partition_of_another_schema_is_named(
    second: pa.Table, said: str, tmp_path: Path, executor: InlineExecutor
) -> None:
    with pytest.raises(DataError, match=said):
        scan(table_of([pa.table({"a": [1], "y": [0]}), second]), tmp_path, executor)


def test_columns_may_stand_in_another_order(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = people(40)
    turned = rows.select(rows.column_names[::-1])

    blocks = scan(table_of([rows, turned], target="late"), tmp_path, executor)

    first, second = (open_block(file) for file in blocks.files)
    assert first.equals(second)


def test_refused_rows_are_kept_with_the_block(tmp_path: Path, executor: InlineExecutor) -> None:
    table = table_of([people()], target="late")
    refused = (Reject("a.csv", 17, "5 fields, 7 expected", "1,2"),)
    table = replace(table, partitions=(replace(table.partitions[0], rejects=refused),))  # type: ignore[type-var]

    assert scan(table, tmp_path, executor).rejects == refused
    assert scan(table, tmp_path, executor).rejects == refused


def test_the_profile_tells_what_columns_look_like(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = pa.table(
        {
            "n": pa.array([1.0, None, 3.0, float("inf"), 5.0, 3.0]),
            "s": pa.array(["b", "a", "b", None, "c", "b"]),
            "d": pa.array([5, 1, None, 7, 2, 3], pa.timestamp("s")),
            "gap": pa.nulls(6, pa.string()),
            "y": pa.array([True, False, True, True, False, True]),
        }
    )

    profiles = [scan(table_of(cut(rows, k), target="y"), tmp_path / str(k), executor).profile for k in (1, 2, 6)]

    assert profiles[0] == profiles[1] == profiles[2]
    n, s, d, gap, y = (profiles[0][name] for name in rows.column_names)
    assert (n.rows, n.missing, n.infinite, n.min, n.max, n.mean, n.distinct) == (6, 1, 1, 1.0, 5.0, 3.0, 3)
    assert n.std == pytest.approx(np.std([1, 3, 5, 3]))
    assert s.top == (("b", 3), ("a", 1), ("c", 1))
    assert (d.min, d.max, d.missing) == ("1970-01-01 00:00:01", "1970-01-01 00:00:07", 1)
    assert (gap.missing, gap.distinct, gap.top) == (6, 0, ())
    assert (y.distinct, y.top, y.mean) == (2, ((True, 4), (False, 2)), pytest.approx(2 / 3))


def test_levels_are_counted_up_to_a_limit(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = pa.table(
        {"few": [i % 700 for i in range(3_000)], "many": list(range(3_000)), "y": [i % 2 for i in range(3_000)]}
    )

    profile = scan(table_of(cut(rows, 4), target="y"), tmp_path, executor).profile

    assert profile["few"].distinct == 700
    assert len(profile["few"].top) == 20
    assert profile["many"].distinct is None


def test_blocks_are_small_and_travel(tmp_path: Path, executor: InlineExecutor) -> None:
    blocks = scan(table_of([people(5_000)], target="late"), tmp_path, executor)

    assert len(pickle.dumps(blocks)) < 10_000
    assert pickle.loads(pickle.dumps(blocks)) == blocks


def test_progress_is_told(tmp_path: Path, executor: InlineExecutor) -> None:
    heard: list[Event] = []

    scan(table_of(cut(people(), 3), target="late"), tmp_path, executor, heard.append)

    counted = [event for event in heard if event.name in ("stage", "progress")]
    assert [event.name for event in counted] == ["stage", "progress", "progress", "progress", "stage"]
    assert counted[3].fields == {"stage": "scan", "done": 3, "total": 3, "rows": 400, "bytes": 300}


def test_a_cluster_makes_the_same_blocks(client: Any, tmp_path: Path, executor: InlineExecutor) -> None:
    table = table_of(cut(people(), 3), target="late")

    here = scan(table, tmp_path / "here", executor)
    there = scan(table, tmp_path / "there", ClientExecutor(client))

    assert there.fingerprint == here.fingerprint
    for one, other in zip(here.files, there.files, strict=True):
        assert open_block(one).equals(open_block(other))


def test_weights_that_cannot_weigh_are_refused(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = pa.table({"w": [1.0, -2.0], "gap": [1.0, None], "zero": [0, 0], "text": ["a", "b"], "y": [0, 1]})

    for name, said in {
        "w": "goes down to -2.0",
        "gap": "1 missing",
        "zero": "zero in every row",
        "text": "categorical",
    }.items():
        with pytest.raises(DataError, match=f"weight = '{name}'.*{said}"):
            scan(table_of([rows], target="y", weight=name), tmp_path, executor)


def target(values: pa.Array, tmp_path: Path, task: Task | None = None, positive: Any = None) -> Any:
    """The target of a table that has only it, in two files."""
    rows = pa.table({"y": values, "x": list(range(len(values)))})
    return target_of(scan(table_of(cut(rows, 2), target="y"), tmp_path, InlineExecutor()), task, positive)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        (pa.array([True, False, True]), Task.BINARY, (False, True)),
        (pa.array(["no", "yes", "no"]), Task.BINARY, ("no", "yes")),
        (pa.array(["c", "a", "b", "a"]), Task.MULTICLASS, ("a", "b", "c")),
        (pa.array([1, 2, 2, 1]), Task.BINARY, (1, 2)),
        (pa.array([0.0, 1.0, 1.0]), Task.BINARY, (0.0, 1.0)),
        (pa.array([3, 1, 2, 1]), Task.MULTICLASS, (1, 2, 3)),
        (pa.array(list(range(21))), Task.REGRESSION, ()),
        (pa.array([0.5, 1.5, 2.5]), Task.REGRESSION, ()),
        (pa.array([float(i) for i in range(3_000)]), Task.REGRESSION, ()),
    ],
)
def test_the_task_is_seen_from_the_target(
    values: pa.Array, task: Task, classes: tuple[Any, ...], tmp_path: Path
) -> None:
    found = target(values, tmp_path)

    assert (found.task, found.classes) == (task, classes)
    assert sum(found.counts) == (len(values) if classes else 0)


def test_the_positive_label_stands_last(tmp_path: Path) -> None:
    labels = pa.array(["good", "bad", "good"])

    assert target(labels, tmp_path).classes == ("bad", "good")
    assert target(labels, tmp_path, positive="bad").classes == ("good", "bad")
    assert target(labels, tmp_path, positive="bad").counts == (2, 1)
    assert target(pa.array([True, False]), tmp_path / "b", positive=False).classes == (True, False)
    assert target(pa.array([1, 0]), tmp_path / "i", positive="0").classes == (1, 0)


@pytest.mark.parametrize(
    ("values", "task", "positive", "said"),
    [
        (pa.array(["a", "b", "a", None]), None, None, r"gaps: 1 of 4 rows have no value, the first of them in part\.1"),
        (pa.array(["a", "a"]), None, None, "one class only: 'a' in all 2 rows"),
        (pa.array(["a", "b"]), Task.REGRESSION, None, "is categorical, which a regression cannot learn"),
        (pa.array([1.0, float("inf"), 2.0]), None, None, "infinite in 1 of 3 rows"),
        (pa.array([0.5, 0.5]), Task.REGRESSION, None, "there is nothing to learn"),
        (pa.array(["a", "b", "c"]), Task.BINARY, None, "has 3 classes: 'a', 'b', 'c'"),
        (pa.array(["yes", "no"]), None, "yse", "positive = 'yse' is no label of 'y'; did you mean 'yes'"),
        (pa.array(["a", "b", "c"]), None, "a", "positive = 'a' is for a binary task"),
        (pa.array([1.5, 2.5, 3.5]), None, 1, "positive = 1 is for a binary task"),
        (pa.array([1, 2], pa.timestamp("s")), Task.BINARY, None, "holds dates"),
        (pa.array(list(range(2_000))), Task.MULTICLASS, None, "more distinct values than a classification can have"),
    ],
)
def test_a_target_that_cannot_be_learned_is_named(
    values: pa.Array, task: Task | None, positive: Any, said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=said):
        target(values, tmp_path, task, positive)


def test_a_target_derived_from_a_missing_value_has_a_gap(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = pa.table({"delay": [20, None, 3, 18]})
    table = table_of([rows], derive={"late": "delay > 15"}, target="late", drop=("delay",))

    with pytest.raises(DataError, match="'late' has gaps: 1 of 4 rows"):
        target_of(scan(table, tmp_path, executor))


def test_a_frame_with_a_graph_of_its_own_is_computed(tmp_path: Path, executor: InlineExecutor) -> None:
    import dask
    import pandas as pd

    rows = pa.table({"a": [1, 2], "y": [0, 1]})
    lazy = dask.delayed(pd.DataFrame)({"a": [5, 6, 7], "y": [0, 1, 1]})
    table = table_of([rows, rows], target="y")
    table = replace(table, partitions=(table.partitions[0], replace(table.partitions[1], graph=lazy)))  # type: ignore[type-var]

    blocks = scan(table, tmp_path, executor)

    assert [file.n_rows for file in blocks.files] == [2, 3]
    assert table.to_dask().compute()["a"].tolist() == [1, 2, 5, 6, 7]


def test_a_table_is_a_lazy_dask_frame_of_fixed_types() -> None:
    rows = people(90)
    table: Table = table_of(cut(rows, 3), derive={"rich": "pay > 20"}, target="late")
    READS.clear()

    frame = table.to_dask()

    assert READS == []
    assert frame.npartitions == 3
    whole = frame.compute()
    assert {name: str(kind) for name, kind in whole.dtypes.items()} == {
        name: str(k) for name, k in frame.dtypes.items()
    }
    assert str(whole["age"].dtype) == "Int64"
    assert str(whole["rich"].dtype) == "boolean"
    assert whole["age"].isna().sum() == rows["age"].null_count
    assert list(whole.columns) == [*rows.column_names, "rich"]
    assert Schema.of(rows.schema).names == tuple(rows.column_names)


def test_many_small_partitions_become_few_blocks_of_the_same_rows(tmp_path: Path, executor: InlineExecutor) -> None:
    rows = people(1_000)
    table = table_of(cut(rows, 250), target="late")
    small = replace(table, partitions=tuple(replace(piece, n_bytes=1_000) for piece in table.partitions))

    many = scan(small, tmp_path / "many", executor)
    one = scan(table_of([rows], target="late"), tmp_path / "one", executor)

    assert len(many.files) == 4
    assert many.n_rows == one.n_rows == 1_000
    assert many.partition_reads == 250
    contents = [
        np.sort(np.concatenate([open_block(file).column(CONTENT).to_numpy() for file in blocks.files]))
        for blocks in (many, one)
    ]
    assert np.array_equal(*contents)
    assert scan(small, tmp_path / "many", executor).partition_reads == 0


def test_a_changed_file_among_small_ones_makes_its_block_anew(tmp_path: Path, executor: InlineExecutor) -> None:
    table = table_of(cut(people(1_000), 100), target="late")
    small = [replace(piece, n_bytes=1_000) for piece in table.partitions]
    before = scan(replace(table, partitions=tuple(small)), tmp_path, executor)
    small[70] = replace(small[70], rows=small[70].rows.slice(1), modified_ns=2)

    after = scan(replace(table, partitions=tuple(small)), tmp_path, executor)

    assert after.n_rows == before.n_rows - 1
    assert after.partition_reads == 36
    assert after.files[0] == before.files[0]
    assert after.fingerprint != before.fingerprint
