"""Target encoding: scikit-learn's numbers, out of fold by construction, the same however the rows were cut."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from daskflow.core.errors import DataError, SettingsError
from daskflow.data import matrices, passes
from daskflow.data.execution import InlineExecutor
from daskflow.data.splits import Split
from daskflow.preprocess import level_counts
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from tests.small_statistics import column, fit, rows_of
from tests.small_tables import cut, prepared, table_of

WORDS = pa.table({"w": ["a", "a", "a", "b", "b", None, "c", "c"]})
PARTS = [0, 0, 1, 0, 1, 2, 2, 2]
LABELS = [1, 0, 1, 0, 0, 1, 1, 1]


def means(values: list[float]) -> float:
    """Mean of a few numbers."""
    return sum(values) / len(values)


def test_new_rows_get_the_smoothed_mean_of_their_level_by_hand() -> None:
    fitted = fit(WORDS, PARTS, LABELS, w=[{"kind": "target", "smooth": 2.0}])

    # three rows of 'a' with 2 of class 1, and two more rows of the overall mean 5/8
    overall = 5 / 8
    expected = [(2 + 2 * overall) / 5, (0 + 2 * overall) / 4, (1 + 2 * overall) / 3, (2 + 2 * overall) / 4, overall]
    new = pa.table({"w": ["a", "b", None, "c", "never seen"]})
    assert column(fitted, new, "w") == pytest.approx(expected, rel=1e-6)
    assert fitted.unseen(new) == {"w": 1}


def test_training_rows_get_what_the_other_parts_say_by_hand() -> None:
    fitted = fit(WORDS, PARTS, LABELS, w=[{"kind": "target", "smooth": 2.0}])

    found = column(fitted, WORDS, "w", PARTS)

    # part 0 holds rows 0, 1, 3; its rows know the others: 'a' 1 row of class 1, 'b' 1 row of class 0, mean 4/5
    rest = means([1, 0, 1, 1, 1])
    assert [found[0], found[1], found[3]] == pytest.approx(
        [(1 + 2 * rest) / 3, (1 + 2 * rest) / 3, (0 + 2 * rest) / 3], rel=1e-6
    )
    # part 2 holds all rows of 'c' and of the missing value: they are told the mean of the others
    assert found[5:] == pytest.approx([means([1, 0, 1, 0, 0])] * 3, rel=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_rows_own_target_is_not_in_its_training_encoding(data: Any) -> None:
    n = data.draw(st.integers(5, 40))
    levels = data.draw(st.lists(st.sampled_from("abc"), min_size=n, max_size=n))
    parts = data.draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    smooth = data.draw(st.sampled_from(["auto", 0.0, 10.0]))
    is_regression = data.draw(st.booleans())
    values: Any = st.floats(-1e3, 1e3) if is_regression else st.integers(0, 1)
    y = np.array(data.draw(st.lists(values, min_size=n, max_size=n)), dtype=float if is_regression else int)
    table = pa.table({"w": levels, "constant": ["x", "y"] * (n // 2) + ["x"] * (n % 2)})
    row = data.draw(st.integers(0, n - 1))
    other = y.copy()
    other[row] = -500.0 if is_regression else 1 - y[row]
    if not is_regression and (other.max() == 0 or y.max() == 0):
        return

    found = []
    for target in (y, other):
        try:
            fitted = fit(table, parts, target, w=[{"kind": "target", "smooth": smooth}], constant=["onehot"])
        except DataError:
            return
        if "w" not in fitted.feature_names:
            return
        found.append(np.asarray(column(fitted, table, "w", parts)))

    mine = np.asarray(parts) == parts[row]  # rows of one part do not know each other either
    assert found[0][mine].tolist() == found[1][mine].tolist()


@pytest.mark.parametrize("smooth", ["auto", 1.0])
def test_noise_of_many_levels_tells_nothing_of_the_training_rows(smooth: Any) -> None:
    random = np.random.default_rng(5)
    y = random.integers(0, 2, 20_000)
    table = pa.table({"w": [f"l{code}" for code in random.integers(0, 5_000, 20_000)]})
    parts = random.integers(0, 5, 20_000)
    fitted = fit(table, parts, y, w=[{"kind": "target", "smooth": smooth}])

    out_of_fold = roc_auc_score(y, column(fitted, table, "w", parts))
    in_fold = roc_auc_score(y, column(fitted, table, "w"))

    assert out_of_fold == pytest.approx(0.5, abs=0.02)
    assert in_fold > 0.7  # what a naive encoding would have learned of its own rows


def test_nothing_of_validation_or_test_rows_reaches_a_folds_training_rows(tmp_path: Any) -> None:
    # given rows with keys of their own, so that their targets do not decide where they go
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"id": range(3_000), "w": random.integers(0, 60, 3_000).astype(str)})
    frame["y"] = random.integers(0, 2, 3_000) == 1
    steps = Preprocessing(columns={"w": ["target"], "id": ["drop"]})

    def encoded(rows: pd.DataFrame, name: str) -> tuple[matrices.Matrices, Any]:
        pieces = cut(pa.Table.from_pandas(rows, preserve_index=False), 3)
        ready = prepared(table_of(pieces, target="y", key=("id",)), tmp_path / name, Split(folds=3), block_rows=500)
        features = ready.blocks.features
        counted = passes.collect(ready.reader, steps.needs(features), InlineExecutor())
        fitted = [steps.fit(features, counted.only(fold.train)) for fold in ready.plan.folds]
        final = steps.fit(features, counted.only(range(3)))
        return matrices.build(ready.reader, fitted, final, tmp_path / f"{name}-m", InlineExecutor()), ready

    before, ready = encoded(frame, "before")

    # when every target outside of fold 0's training rows is turned around
    segments = {}
    for place in range(ready.reader.n_ranges):
        rows = ready.reader.read(place, ["id"])
        segments |= dict(zip(rows.table["id"].to_pylist(), rows.segments.tolist(), strict=True))
    outside = ~frame["id"].map(segments).isin(ready.plan.folds[0].train)
    after, _ = encoded(frame.assign(y=np.where(outside, ~frame["y"], frame["y"])), "after")

    # then its training rows are encoded as before, and the final ones are not
    def rows_of_fold(found: matrices.MatrixPart) -> list[tuple[float, int]]:
        whole = found.whole()
        return sorted(zip(whole.X[:, 0].tolist(), whole.y.tolist(), strict=True))

    assert 500 < outside.sum() < 2_500
    assert rows_of_fold(before.fold(0).train) == rows_of_fold(after.fold(0).train)
    assert before.final is not None
    assert after.final is not None
    assert rows_of_fold(before.final) != rows_of_fold(after.final)


CELLS = st.tuples(
    st.sampled_from(["a", "b", "c", "", "é", None]),
    st.integers(0, 4),
    st.floats(allow_nan=False, allow_infinity=False, min_value=-1e120, max_value=1e120),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(CELLS, min_size=2, max_size=40), st.randoms(use_true_random=False), st.sampled_from(["auto", 3.0]))
@pytest.mark.parametrize("is_regression", [True, False])
def test_results_do_not_depend_on_partitions_order_or_empty_parts(
    is_regression: bool, cells: Any, random: Any, smooth: Any
) -> None:
    tally = level_counts.LevelTally(of_target=True, squares=smooth == "auto")
    levels, parts, targets = zip(*cells, strict=True)
    y = np.array(targets) if is_regression else np.array([int(target > 0) for target in targets] + [1])[:-1]
    array, rows = pa.array(levels, pa.string()), rows_of(len(cells), parts, y)
    if not is_regression and y.max() == 0:
        return
    order = list(range(len(cells)))
    random.shuffle(order)
    edges = sorted(random.choices(range(len(cells) + 1), k=3))
    pieces = [order[begin:end] for begin, end in itertools.pairwise([0, *edges, len(cells)])]

    whole = tally.of(array, rows)
    states = [tally.of(array.take(pa.array(piece, pa.int64())), rows.take(np.array(piece, int))) for piece in pieces]
    random.shuffle(states)
    merged = tally.nothing()
    for state in states:
        merged = tally.merge(merged, state)

    assert np.array_equal(merged.keys, whole.keys)
    assert np.array_equal(merged.counts, whole.counts)
    for left, right in zip(merged.sums or (), whole.sums or (), strict=True):
        assert np.array_equal(left.values(), right.values())


def test_the_sums_of_a_regression_are_exact_where_floats_are_not() -> None:
    # given amounts that cancel out but for the last digit
    table = pa.table({"w": ["a"] * 4 + ["b"] * 4})
    y = [1e16, 1.0, -1e16, 1.0, 1.0, 2.0, 3.0, 4.0]

    fitted = fit(table, [0, 1, 2, 3] * 2, y, w=[{"kind": "target", "smooth": 0.0}])

    assert sum(y[:4]) != 2.0
    assert column(fitted, pa.table({"w": ["a", "b"]}), "w") == [0.5, 2.5]


def test_classes_get_a_column_each() -> None:
    fitted = fit(WORDS, PARTS, [0, 1, 2, 0, 1, 2, 0, 1], w=[{"kind": "target", "smooth": 0.0}])

    assert fitted.feature_names == ("w_0", "w_1", "w_2")
    assert fitted.matrix(pa.table({"w": ["a", "b"]})).tolist() == pytest.approx(
        np.array([[1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0]]), rel=1e-6
    )
    assert fitted.matrix(WORDS).sum(axis=1) == pytest.approx(np.ones(8), rel=1e-6)


def test_a_scale_behind_it_makes_the_training_rows_mean_0_and_deviation_1() -> None:
    random = np.random.default_rng(1)
    codes = random.integers(0, 40, 2_000)
    table, parts = pa.table({"w": codes.astype(str)}), random.integers(0, 5, 2_000)
    y = codes * 10.0 + random.normal(size=2_000)

    fitted = fit(table, parts, y, w=["target", "scale"])

    found = np.array(column(fitted, table, "w", parts))
    assert found.mean() == pytest.approx(0.0, abs=1e-6)
    assert found.std() == pytest.approx(1.0, abs=1e-6)


def test_numbers_are_levels_in_any_type() -> None:
    codes = pa.table({"c": pa.array([1, 2, 2, 1, None], pa.int8())})
    fitted = fit(codes, [0, 1, 2, 3, 4], [0, 1, 1, 0, 1], c=[{"kind": "target", "smooth": 0.0}])

    assert column(fitted, pa.table({"c": [2.0, 1.0, None, 9.0]}), "c") == pytest.approx([1, 0, 1, 0.6], abs=1e-7)
    assert fitted.unseen(pa.table({"c": [2.0, 9.0]})) == {"c": 1}


def test_missing_values_that_training_did_not_have_are_unseen() -> None:
    fitted = fit(pa.table({"w": ["a", "b"] * 4}), [0, 1, 2, 3] * 2, [0, 1, 1, 0] * 2, w=["target"])

    assert column(fitted, pa.table({"w": pa.nulls(1)}), "w") == [0.5]
    assert fitted.unseen(pa.table({"w": pa.nulls(2)})) == {"w": 2}


def test_rare_levels_are_encoded_as_one() -> None:
    words = pa.table({"w": ["a"] * 4 + ["x", "y", "z", "v"]})
    chain = [{"kind": "rare", "min_count": 2}, {"kind": "target", "smooth": 0.0}]
    fitted = fit(words, [0, 1, 2, 3] * 2, [0, 0, 0, 1, 1, 1, 1, 0], w=chain)

    assert column(fitted, pa.table({"w": ["a", "x", "v", "new"]}), "w") == pytest.approx([0.25, 0.75, 0.75, 0.75])
    assert column(fitted, words, "w", [0, 1, 2, 3] * 2)[4] == pytest.approx(2 / 3)
    assert fitted.unseen(pa.table({"w": ["new", "x"]})) == {"w": 1}


def test_columns_that_say_nothing_are_left_out_with_a_reason() -> None:
    table = pa.table({"id": ["a", "b", "c", "d"], "one": ["x"] * 4, "w": ["p", "p", "q", "q"]})
    fitted = fit(table, [0, 1, 2, 3], [0, 1, 1, 0], id=["target"], one=["target"], w=["target"])

    assert fitted.feature_names == ("w",)
    assert fitted.warnings == (
        "Column 'id': no level occurs in more than one inner part of the training rows, so it says nothing about other "
        "rows; it is left out.",
        "Column 'one' is constant after 'target'; it is left out.",
    )


def test_it_counts_the_columns_own_values_and_needs_a_target() -> None:
    with pytest.raises(SettingsError, match="'target' stands after 'impute', which changes what it counts"):
        Preprocessing(categorical=[{"kind": "impute", "strategy": "most_frequent"}, "target"])
    with pytest.raises(SettingsError, match="smooth"):
        Preprocessing(categorical=[{"kind": "target", "smooth": -1.0}])
    with pytest.raises(DataError, match="needs one; there is none"):
        fit(WORDS, PARTS, None, w=["target"])


def test_it_is_the_same_after_json() -> None:
    fitted = fit(WORDS, PARTS, LABELS, w=["target"])

    loaded = FittedPreprocessor.load(json.loads(json.dumps(fitted.dump())))

    assert loaded == fitted
    assert np.array_equal(loaded.matrix(WORDS, np.array(PARTS, np.uint8)), fitted.matrix(WORDS, np.array(PARTS, "u1")))


def test_a_model_whose_levels_were_hashed_otherwise_is_refused_not_applied() -> None:
    values = fit(WORDS, PARTS, LABELS, w=["target"]).dump()
    values["columns"][0]["steps"][0]["hashing"] += 1

    with pytest.raises(DataError, match="hashed by another version"):
        FittedPreprocessor.load(values).matrix(WORDS)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 3))
def test_too_many_levels_share_buckets_whatever_the_order(seed: int, n_cuts: int) -> None:
    random = np.random.default_rng(seed)
    n = 400
    levels = pa.array([None if place % 9 == 0 else f"u{code}" for place, code in enumerate(random.integers(0, 300, n))])
    rows = rows_of(n, random.integers(0, 5, n), np.append(random.integers(0, 2, n - 1), 1))
    tally = level_counts.LevelTally(of_target=True)
    pieces = np.split(random.permutation(n), sorted(random.integers(0, n, n_cuts)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(level_counts, "MOST_BYTES", 2_560)

        whole = tally.of(levels, rows)
        states = [tally.of(levels.take(pa.array(piece)), rows.take(piece)) for piece in pieces]
        merged = tally.nothing()
        for place in random.permutation(len(states)):
            merged = tally.merge(merged, states[place])

    assert whole.is_hashed
    assert merged.bits == whole.bits == 5
    assert np.array_equal(merged.keys, whole.keys)
    assert np.array_equal(merged.counts, whole.counts)
    assert whole.counts.sum() == n
    assert whole.ids[-1] == level_counts.MISSING  # keeps to itself


def test_a_column_of_too_many_levels_is_encoded_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(level_counts, "MOST_BYTES", 5_120)
    random = np.random.default_rng(2)
    codes = random.integers(0, 1_000, 5_000)
    table, parts = pa.table({"w": [f"u{code}" for code in codes]}), random.integers(0, 5, 5_000)

    fitted = fit(table, parts, (codes > 500).astype(int), w=["target"])

    assert fitted.warnings == (
        "Column 'w' has so many levels that they are hashed into 64 buckets, which several of them may share.",
    )
    assert FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))) == fitted
    assert len(set(column(fitted, table, "w"))) == 64


@pytest.mark.slow
def test_the_state_of_ten_million_ids_stays_small() -> None:
    tally = level_counts.LevelTally(of_target=True)
    total = tally.nothing()
    for start in range(0, 10_000_000, 500_000):
        ids = pa.array(np.arange(start, start + 500_000))
        total = tally.merge(total, tally.of(ids, rows_of(500_000, np.arange(500_000) % 5, np.arange(500_000) % 2)))
        assert total.nbytes <= level_counts.MOST_BYTES

    assert total.is_hashed
    assert total.counts.sum() == 10_000_000
    assert len(total.ids) == 2**18
