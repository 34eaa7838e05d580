"""A split is decided by what rows are: shares are kept, nothing that belongs together is cut, files do not matter."""

from __future__ import annotations

import itertools
import pickle
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings

from daskflow.core.errors import DataError, SettingsError
from daskflow.data import counts as counts_room
from daskflow.data import heavy as heavy_room
from daskflow.data import splits as splits_room
from daskflow.data.blocks import UNIT, BlockFile, groups_of, open_block
from daskflow.data.execution import InlineExecutor
from daskflow.data.splits import TEST, Split
from daskflow.data.targets import target_codes
from tests.small_tables import Prepared, cut, people, prepared, ranges_of, table_of


def sides(ready: Prepared) -> pa.Table:
    """Every row with its segment, in an order of its own."""
    rows = ranges_of(ready)
    return rows.sort_by([(name, "ascending") for name in rows.column_names])


def numbers(n_rows: int, **columns: Any) -> pa.Table:
    """Distinct rows with a target of two classes."""
    return pa.table({"x": np.arange(n_rows), "y": np.arange(n_rows) % 2, **columns})


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"folds": 3, "validation": 0.1}, "folds and validation exclude each other"),
        ({"test": 0.5, "validation": 0.5}, "leave no rows to train on"),
        ({"test": 1.0}, "less than 1"),
        ({"folds": 1}, "greater than or equal to 2"),
        ({"kind": "grouped"}, "kind"),
    ],
)
def test_settings_that_make_no_split_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Split(**values)


@pytest.mark.parametrize(
    ("n_rows", "stops_early", "folds", "validation"),
    [(1_000, False, 3, None), (1_000, True, None, 0.1), (1_000_000, False, 3, None), (1_000_001, False, None, 0.1)],
)
def test_the_default_depends_on_rows_and_search(
    n_rows: int, stops_early: bool, folds: int | None, validation: float | None
) -> None:
    split = Split().resolve(n_rows, stops_early)

    assert (split.folds, split.validation) == (folds, validation)


def test_what_the_user_said_stays() -> None:
    assert Split(folds=5).resolve(10**7, True).folds == 5
    assert Split(validation=0.3).resolve(100, False).validation == 0.3


@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_shares_are_exact_and_folds_are_complete(kind: str, tmp_path: Path) -> None:
    ready = prepared(table_of([numbers(1_000)], target="y"), tmp_path, Split(kind=kind, test=0.2, folds=4))

    plan = ready.plan
    assert plan.rows == (200, 200, 200, 200, 200)
    assert plan.sizes == {"train": 800, "validation": 0, "test": 200}
    assert (plan.asked, plan.obtained) == ({"test": 0.2}, {"test": 0.2})
    for k, fold in enumerate(plan.folds):
        assert fold.validation == (k,)
        assert sorted(fold.train + fold.validation) == [0, 1, 2, 3]
    found = np.bincount(np.asarray(ranges_of(ready)["segment"]), minlength=256)
    assert (*found[:4], found[TEST]) == plan.rows


def test_a_validation_part_is_a_share_of_all_rows(tmp_path: Path) -> None:
    plan = prepared(table_of([numbers(1_000)], target="y"), tmp_path, Split(validation=0.1)).plan

    assert plan.sizes == {"train": 700, "validation": 100, "test": 200}
    assert [(fold.train, fold.validation) for fold in plan.folds] == [((0,), (1,))]
    assert plan.obtained == {"test": 0.2, "validation": 0.1}


def test_no_test_part_is_possible(tmp_path: Path) -> None:
    plan = prepared(table_of([numbers(90)], target="y"), tmp_path, Split(test=0, folds=3)).plan

    assert plan.rows == (30, 30, 30, 0)


def test_every_class_has_its_share(tmp_path: Path) -> None:
    labels = np.repeat([0, 1, 2], [900, 90, 10])

    ready = prepared(
        table_of([pa.table({"x": np.arange(1_000), "y": labels})], target="y"),
        tmp_path,
        Split(kind="stratified", folds=3),
    )

    rows = ranges_of(ready).to_pandas()
    in_test = rows[rows.segment == TEST].y.value_counts()
    assert in_test.to_dict() == {0: 180, 1: 18, 2: 2}


def test_another_salt_is_another_draw_but_the_seed_is_none(tmp_path: Path) -> None:
    table = table_of([numbers(1_000)], target="y")

    one, same, other = (
        prepared(table, tmp_path, Split(folds=3, salt=salt)).plan for salt in ("daskflow", "daskflow", "another")
    )

    units = np.random.default_rng(0).integers(0, 2**63, 1_000).astype(np.uint64)
    assert one.token == same.token != other.token
    agree = (one.segments(units) == other.segments(units)).mean()
    assert 0.15 < agree < 0.4


tables = st.builds(
    lambda rows, n: pa.table(
        {
            "x": pa.array([row[0] for row in rows] * n, pa.int64()),
            "house": pa.array([row[1] for row in rows] * n, pa.int64()),
            "when": pa.array([row[2] for row in rows] * n, pa.int64()),
            "y": pa.array([row[3] for row in rows] * n, pa.int64()),
        }
    ),
    st.lists(
        st.tuples(
            st.one_of(st.none(), st.integers(-3, 40)),
            st.one_of(st.none(), st.integers(0, 12)),
            st.integers(0, 50),
            st.integers(0, 2),
        ),
        min_size=40,
        max_size=120,
    ),
    st.integers(1, 3),
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=tables,
    kind=st.sampled_from(["random", "stratified", "group", "time"]),
    grouped=st.booleans(),
    edges=st.lists(st.integers(0, 400), max_size=5),
    turned=st.booleans(),
    validation=st.sampled_from([None, 0.2]),
    exact=st.booleans(),
)
def test_files_do_not_matter(
    rows: pa.Table,
    kind: Any,
    grouped: bool,
    edges: list[int],
    turned: bool,
    validation: float | None,
    exact: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """Any cut of any table into files, in any order, gives the same sides, rows, order and codes, to the last bit."""
    split = Split(kind=kind, test=0.2, validation=validation, folds=None if validation else 2)
    roles = {"target": "y", "time": "when", **({"group": "house"} if grouped or kind == "group" else {})}
    marks = [0, *sorted(min(edge, rows.num_rows) for edge in edges), rows.num_rows]
    pieces = [rows.slice(begin, end - begin) for begin, end in itertools.pairwise(marks)]
    found = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits_room, "EXACT_ROWS", 2_000_000 if exact else 0)
        patch.setattr(counts_room, "GROUP_ROWS", 30)
        for parts in ([rows], pieces[::-1] if turned else pieces):
            store = tmp_path_factory.mktemp("store")
            try:
                found.append(prepared(table_of(parts, **roles), store, split, block_rows=16))
            except DataError as error:
                found.append(str(error))  # type: ignore[arg-type]
    one, other = found
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    assert one.plan.token == other.plan.token
    assert one.plan.rows == other.plan.rows
    assert one.reader.n_ranges == other.reader.n_ranges
    for i in range(one.reader.n_ranges):
        left, right = one.reader.read(i), other.reader.read(i)
        assert left.table.equals(right.table)
        assert np.array_equal(left.segments, right.segments)
        assert np.array_equal(left.order, right.order)
    frame = ranges_of(one).to_pandas()
    assert len(frame) == rows.num_rows
    assert np.bincount(frame.segment, minlength=256)[[*range(one.plan.n_segments), TEST]].tolist() == list(
        one.plan.rows
    )
    if kind != "time":
        assert frame.drop_duplicates().groupby(["x", "house", "when", "y"], dropna=False).size().max() == 1
        if "group" in roles:
            assert frame.dropna(subset="house").groupby("house").segment.nunique().max() == 1


def test_groups_stand_on_one_side_and_shares_are_kept(tmp_path: Path) -> None:
    rows = people(4_000)

    ready = prepared(table_of(cut(rows, 3), target="late", group="house"), tmp_path, Split(kind="group", folds=3))

    frame = ranges_of(ready).to_pandas()
    assert frame.groupby("house").segment.nunique().max() == 1
    assert ready.plan.obtained["test"] == pytest.approx(0.2, abs=0.03)
    sizes = np.array(ready.plan.rows[:3]) / 4_000
    assert sizes == pytest.approx([0.8 / 3] * 3, abs=0.03)


def test_a_row_without_a_group_is_its_own(tmp_path: Path) -> None:
    rows = numbers(600, house=pa.array([None] * 500 + [1] * 100))

    ready = prepared(table_of([rows], target="y", group="house"), tmp_path, Split(kind="group", folds=2))

    frame = ranges_of(ready).to_pandas()
    assert frame[frame.house.isna()].segment.nunique() == 3
    assert frame[frame.house.notna()].segment.nunique() == 1
    assert ready.plan.obtained["test"] == pytest.approx(0.2, abs=0.002)


def test_keys_make_rows_one(tmp_path: Path) -> None:
    rows = numbers(800, house=np.arange(800) // 4, flat=np.arange(800) // 2 % 2)

    ready = prepared(table_of([rows], target="y", key=("house", "flat")), tmp_path, Split(folds=3))

    frame = ranges_of(ready).to_pandas()
    assert frame.groupby(["house", "flat"]).segment.nunique().max() == 1
    assert frame.groupby("house").segment.nunique().max() == 2


@pytest.mark.parametrize(("n_groups", "uneven"), [(40, True), (300, False), (3_000, True)])
def test_stratified_groups_are_as_even_as_scikit_learns(n_groups: int, uneven: bool, tmp_path: Path) -> None:
    from sklearn.model_selection import StratifiedGroupKFold

    # given groups of uneven sizes, each with a mix of classes of its own
    draw = np.random.default_rng(1)
    sizes = draw.integers(1, 30, n_groups) if uneven else np.full(n_groups, 10)
    house = np.repeat(np.arange(n_groups), sizes)
    rates = draw.dirichlet([0.5, 0.3, 0.05], n_groups)[house]
    labels = (draw.random((len(house), 1)) > rates.cumsum(axis=1)[:, :2]).sum(axis=1)
    rows = pa.table({"x": np.arange(len(house)), "house": house, "y": labels})

    # when both make five folds of all rows
    split = Split(kind="stratified", folds=5, test=0)
    ready = prepared(table_of(cut(rows, 4), target="y", group="house"), tmp_path, split)
    theirs = np.array(
        [np.bincount(labels[test], minlength=3) for _, test in StratifiedGroupKFold(5).split(house, labels, house)]
    )

    # then no group is cut, and each class is spread about as evenly
    frame = ranges_of(ready).to_pandas()
    assert frame.groupby("house").segment.nunique().max() == 1
    assert ready.plan.class_rows is not None
    ours = ready.plan.class_rows[:5]
    even = np.bincount(labels) / 5
    assert np.abs(ours - even).max() <= max(1.5 * np.abs(theirs - even).max(), 0.02 * len(labels) / 5)


def test_one_heavy_group_keeps_the_asked_shares(tmp_path: Path) -> None:
    house = np.concatenate([np.zeros(400, dtype=int), np.arange(1, 601)])

    plan = prepared(
        table_of([numbers(1_000, house=house)], target="y", group="house"), tmp_path, Split(kind="group", folds=3)
    ).plan

    assert plan.rows[-1] == 200
    small, other, large = sorted(plan.rows[:3])
    assert 400 < large <= 420, "a few others stand beside it, so that its fold is not one group alone"
    assert other - small <= 1


@pytest.mark.parametrize("exact", [True, False], ids=["by rank", "by place"])
@pytest.mark.parametrize("kind", ["random", "stratified"])
def test_intrusions_duplicates_stand_on_one_side(
    kind: Any, exact: bool, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row stands there 193,081 times of 494,021; still the test part has its fifth."""
    import pyarrow.parquet as pq

    monkeypatch.setattr(splits_room, "EXACT_ROWS", 2_000_000 if exact else 0)
    parts = [pq.read_table(path) for path in sorted((shared_data / "kdd99_intrusion").glob("*.parquet"))]
    columns = ["src_bytes", "dst_bytes", "service", "count", "srv_count", "label"]
    ready = prepared(table_of([p.select(columns) for p in parts], target="label"), tmp_path, Split(kind=kind, folds=3))

    assert ready.plan.obtained["test"] == pytest.approx(0.2, abs=0.01)
    blocks = [open_block(file) for file in ready.blocks.files]
    units = np.concatenate([np.asarray(block[UNIT]) for block in blocks])
    codes = np.concatenate([target_codes(block["label"], ready.target) for block in blocks])
    segments = ready.plan.segments(units, codes)
    order = np.argsort(units, kind="stable")
    same = units[order][1:] == units[order][:-1]
    assert same.sum() > 340_000
    assert (segments[order][1:] == segments[order][:-1])[same].all()
    found = np.bincount(segments, minlength=256)
    assert (*found[:3], found[TEST]) == ready.plan.rows
    assert len(pickle.dumps(ready.plan)) < 20_000


def test_large_tables_are_cut_by_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splits_room, "EXACT_ROWS", 10_000)
    monkeypatch.setattr(counts_room, "GROUP_ROWS", 10_000)
    rows = numbers(60_000, when=np.arange(60_000)[::-1] // 3)

    for kind in ("random", "stratified", "time"):
        ready = prepared(
            table_of(cut(rows, 7), target="y", time="when"), tmp_path, Split(kind=kind, validation=0.1), 20_000
        )
        assert sum(ready.plan.rows) == 60_000
        assert np.array(ready.plan.rows) / 60_000 == pytest.approx([0.7, 0.1, 0.2], abs=2e-4)
        found = np.bincount(np.asarray(ranges_of(ready)["segment"]), minlength=256)
        assert (found[0], found[1], found[TEST]) == ready.plan.rows


def test_heavy_groups_are_found_in_many_groups_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_room, "GROUP_ROWS", 2_048)
    house = np.random.default_rng(3).permutation(np.repeat([1, 2, 3, *range(10, 8_990)], [1_000, 21, 19] + [1] * 8_980))
    table = table_of(cut(numbers(len(house), house=house), 9), target="y", group="house")
    ready = prepared(table, tmp_path, Split(kind="group", folds=2))

    found = heavy_room.heavy_values(ready.blocks.files, UNIT, InlineExecutor())

    assert [item.count for item in found] == [1_000, 21, 19]


@pytest.mark.parametrize("sizes", [[5] * 9, [0, 0, 30, 0], [1, 100, 1], [10, 10, 10, 3], [7]])
def test_groups_of_files_hold_every_file_once(sizes: list[int]) -> None:
    files = tuple(BlockFile(f"{i}", n, 0, f"{i}", "") for i, n in enumerate(sizes))

    groups = groups_of(files, rows=10)

    assert [place for group in groups for place in group] == list(range(len(sizes)))
    assert all(sum(sizes[place] for place in group) >= 10 for group in groups) or len(groups) == 1


def test_time_is_cut_in_order_and_never_within(tmp_path: Path) -> None:
    when = np.random.default_rng(2).integers(0, 60, 1_000).astype("datetime64[h]").astype("datetime64[us]")

    ready = prepared(
        table_of(cut(numbers(1_000, when=when), 4), target="y", time="when"), tmp_path, Split(kind="time", folds=3)
    )

    plan, frame = ready.plan, ranges_of(ready).to_pandas()
    assert plan.n_segments == 4
    assert [(fold.train, fold.validation) for fold in plan.folds] == [((0,), (1,)), ((0, 1), (2,)), ((0, 1, 2), (3,))]
    assert frame.groupby("when").segment.nunique().max() == 1
    ends = frame.groupby("segment").when.agg(["min", "max"]).loc[[0, 1, 2, 3, TEST]]
    assert (ends["max"].to_numpy()[:-1] < ends["min"].to_numpy()[1:]).all()
    assert plan.obtained["test"] == pytest.approx(0.2, abs=0.012)


@pytest.mark.parametrize(
    "when",
    [
        pa.array([-(2**62), -5, -1, 0, 3, 2**40, 2**62, 2**62 + 1, 7, 9]),
        pa.array([-1e300, -5.5, -0.0, 0.25, 3.0, 1e10, 1e300, 2e300, 7.0, 9.0]),
        pa.array([-3, -2, 0, 1, 3, 5, 10, 11, 7, 9], pa.date32()),
    ],
    ids=["integers", "floats", "dates"],
)
def test_any_ordered_column_is_a_time(when: pa.Array, tmp_path: Path) -> None:
    ready = prepared(
        table_of([numbers(10, when=when)], target="y", time="when"), tmp_path, Split(kind="time", validation=0.3)
    )

    frame = ranges_of(ready).to_pandas().sort_values("when")
    assert frame.segment.tolist() == [0] * 5 + [1] * 3 + [TEST] * 2


@pytest.mark.parametrize(
    ("split", "roles", "said"),
    [
        ({"kind": "group"}, {}, "needs the column of the groups: say group = 'COLUMN'"),
        ({"kind": "time"}, {}, "needs the column of the times: say time = 'COLUMN'"),
        ({"kind": "time"}, {"time": "gap"}, "3 of 12 rows have no 'gap'"),
        ({"kind": "time"}, {"time": "word"}, "A time must be a date or a number"),
        ({"kind": "stratified"}, {"target": "x"}, "needs classes; the target 'x' is a regression"),
        ({"kind": "group", "folds": 3}, {"group": "pair"}, "4 parts, and there are only 2 different groups"),
        ({"kind": "time", "folds": 3}, {"time": "pair"}, "leaves no rows for"),
        ({"kind": "random", "folds": 40}, {}, "41 parts, and there are only 12 different rows"),
    ],
)
def test_a_split_that_cannot_be_is_named(
    split: dict[str, Any], roles: dict[str, str], said: str, tmp_path: Path
) -> None:
    rows = numbers(
        12,
        gap=pa.array([None if i % 4 == 0 else i for i in range(12)]),
        word=pa.array([str(i) for i in range(12)]),
        pair=np.arange(12) // 6,
    )
    table = table_of([rows], **{"target": "y", "task": "regression" if roles.get("target") == "x" else None, **roles})

    with pytest.raises(DataError, match=said):
        prepared(table, tmp_path, Split(**split))


def test_a_class_too_small_for_the_split_is_a_warning(tmp_path: Path) -> None:
    rows = pa.table({"x": np.arange(400), "y": ["a", "b"] * 199 + ["rare"] * 2})

    plan = prepared(table_of([rows], target="y"), tmp_path, Split(kind="stratified", folds=3)).plan

    (said,) = plan.warnings
    assert said.startswith("Class 'rare' of 'y' has 2 rows, and none of them is in what fold")


def test_a_missed_share_is_a_warning(tmp_path: Path) -> None:
    house = np.repeat(np.arange(5), 100)

    plan = prepared(
        table_of([numbers(500, house=house)], target="y", group="house"),
        tmp_path,
        Split(kind="group", test=0.1, folds=2),
    ).plan

    assert plan.obtained["test"] == 0.2
    assert any(
        "20.0% of the rows instead of 10.0%: the groups ('house') cannot be cut finer" in w for w in plan.warnings
    )
