"""Select and duplicates: which columns stay, whatever the rows were cut into."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.feature_selection import VarianceThreshold, mutual_info_classif
from sklearn.metrics import mutual_info_score

from daskflow.core.errors import DataError, SettingsError
from daskflow.core.settings import parse
from daskflow.data.hashing import row_hashes
from daskflow.data.schema import ColumnKind, Schema
from daskflow.data.statistics import Statistics
from daskflow.data.tallies import Rows, TargetRows, parts_of
from daskflow.preprocess import Preprocessor
from daskflow.preprocess.duplicates import ValueSum
from daskflow.preprocess.information import MOST_BINS, Joint, JointCounts, mutual_information
from daskflow.preprocess.settings import Preprocessing


def rows_of(table: pa.Table, target: Any = None) -> Rows:
    """What tallies see; strings and integers are classes."""
    content = row_hashes(table, table.column_names)
    if target is None:
        return Rows(content, parts_of(content))
    values = np.asarray(target)
    if values.dtype.kind == "f":
        return Rows(content, parts_of(content), TargetRows(values))
    classes, codes = np.unique(values, return_inverse=True)
    codes = codes.astype(np.int64)
    return Rows(content, parts_of(content), TargetRows(codes.astype(np.float64), codes, tuple(classes.tolist())))


def joint(values: Any, target: Any) -> Joint:
    """Counts of one column with the target."""
    table = pa.table({"x": values})
    return JointCounts().of(table.column("x").combine_chunks(), rows_of(table, target))


def worth(table: pa.Table, target: Any) -> dict[str, float]:
    """Mutual information of every column."""
    rows = rows_of(table, target)
    return {
        column.name: mutual_information(
            JointCounts().of(table.column(column.name).combine_chunks(), rows),
            is_ordered=column.kind is not ColumnKind.CATEGORICAL,
        )
        for column in Schema.of(table.schema).columns
    }


def test_mutual_information_of_few_values_is_scikit_learns_less_the_bias() -> None:
    random = np.random.default_rng(0)
    target = random.integers(0, 3, 5000)
    values = np.where(random.random(5000) < 0.6, target, random.integers(0, 4, 5000))
    for column, is_ordered in ((pa.array(values), True), (pa.array(values.astype(str)), False)):
        found = mutual_information(joint(column, target), is_ordered=is_ordered)
        assert found == pytest.approx(mutual_info_score(values, target) - (4 - 1) * (3 - 1) / 10_000, rel=1e-9)


def test_a_missing_value_is_a_level_of_its_own() -> None:
    target = np.arange(1000) % 2
    column = pa.array([None if code else 1.0 for code in target])
    assert mutual_information(joint(column, target), is_ordered=True) == pytest.approx(math.log(2), abs=1e-3)


def test_what_is_counted_is_never_more_than_the_values_own_information() -> None:
    random = np.random.default_rng(1)
    target = random.integers(0, 2, 4000)
    for values in (random.lognormal(sigma=4, size=4000), random.integers(0, 3000, 4000).astype(float)):
        exact = mutual_info_score(np.unique(values, return_inverse=True)[1], target)
        assert mutual_information(joint(pa.array(values), target), is_ordered=True) <= exact


def test_an_identifier_says_nothing_and_noise_about_nothing() -> None:
    random = np.random.default_rng(2)
    n = 20_000
    target = random.integers(0, 2, n)
    table = pa.table({"id": [f"{i}" for i in range(n)], "number": np.arange(n), "noise": random.normal(size=n)})
    assert max(worth(table, target).values()) < 0.002


@pytest.mark.parametrize("offset", [0.0, 1e9, -1e15])
def test_bins_follow_the_spread_of_the_values_not_their_size(offset: float) -> None:
    # given numbers of which half the target follows, far away from zero
    random = np.random.default_rng(3)
    values = np.round(random.random(20_000) * 1e6)
    target = (values > 5e5).astype(np.int64)

    # when they are counted
    found = joint(pa.array(values + offset), target)

    # then there are more than half as many bins as allowed, and nothing of what they say is lost
    assert MOST_BINS / 2 < len(np.unique(found.column)) <= MOST_BINS
    assert mutual_information(found, is_ordered=True) == pytest.approx(math.log(2), rel=0.05)


def test_a_number_as_target_is_binned() -> None:
    random = np.random.default_rng(4)
    x, noise = random.normal(size=(2, 20_000))
    table = pa.table({"good": x, "weak": x + 3 * noise, "none": noise[::-1], "level": np.where(x > 0, "a", "b")})
    found = worth(table, np.exp(3 * x))
    assert found["good"] > 1.5
    assert found["level"] == pytest.approx(math.log(2), rel=0.03)
    assert found["good"] > found["level"] > found["weak"] > 0.02 > 0.002 > found["none"]


VALUES = st.one_of(st.none(), st.floats(allow_nan=False, allow_infinity=False), st.integers(-3, 3).map(float))


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.tuples(VALUES, st.floats(-5, 5)), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=5),
    limit=st.integers(2, 9),
    data=st.data(),
)
def test_joint_counts_do_not_depend_on_how_rows_are_cut_ordered_or_merged(
    values: list[tuple[float | None, float]], cuts: list[int], limit: int, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # given low limits, so that bits are dropped
        patch.setattr("daskflow.preprocess.information.MOST_BINS", limit)
        patch.setattr("daskflow.preprocess.information.MOST_TARGET_BINS", limit)

        def counted(rows: list[tuple[float | None, float]]) -> Joint:
            return joint(pa.array([x for x, _ in rows], pa.float64()), np.array([y for _, y in rows], dtype=float))

        # when all rows are counted at once, and in pieces (some empty) in another order
        whole = counted(values)
        shuffled = data.draw(st.permutations(values))
        edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
        states = [counted(shuffled[a:b]) for a, b in itertools.pairwise(edges)]
        states = data.draw(st.permutations(states))
        merged = JointCounts().nothing()
        for state in states:
            merged = JointCounts().merge(merged, state)

        # then the counts are the same
        assert merged == whole
        assert whole.counts.sum() == len(values)
        assert len(set(whole.column.tolist())) <= limit + 1


def select(table: pa.Table, target: Any = None, **options: Any) -> tuple[tuple[str, ...], str]:
    """Columns that stay, and what is said of the others."""
    chosen = Preprocessing(categorical="ordinal", **options)
    schema = Schema.of(table.schema)
    segments = np.zeros(table.num_rows, dtype=np.uint8)
    statistics = Statistics.of(table, segments, chosen.needs(schema), rows_of(table, target))
    found = chosen.fit(schema, statistics.only([0]))
    return tuple(column.column.name for column in found.columns), "\n".join(found.warnings)


def test_variance_is_that_of_scikit_learn_and_of_indicators_for_categories() -> None:
    random = np.random.default_rng(0)
    numbers = random.normal(scale=[0.1, 0.5, 2.0], size=(500, 3))
    table = pa.table({name: numbers[:, place] for place, name in enumerate("abc")})
    table = table.append_column("flag", pa.array(random.random(500) < 0.5))
    table = table.append_column("word", pa.array(random.choice(["u", "v"], 500, p=[0.99, 0.01])))
    for threshold in (0.005, 0.1, 0.3):
        kept, said = select(table, select={"method": "variance", "threshold": threshold})
        expected = VarianceThreshold(threshold).fit(numbers).get_support()
        assert [name in kept for name in "abc"] == expected.tolist()
        assert ("flag" in kept) == (threshold < 0.25)
        assert ("word" in kept) == (threshold < 0.02)
        assert all(f"'{name}'" in said for name in set(table.column_names) - set(kept))
    with pytest.raises(DataError, match=r"No column is left.*variance above 9, and the largest is"):
        select(table, select={"method": "variance", "threshold": 9})


def test_the_number_the_share_or_the_threshold_says_how_many_stay() -> None:
    random = np.random.default_rng(0)
    target = random.integers(0, 2, 3000)
    table = pa.table({f"x{weight}": target * weight + random.normal(size=3000) for weight in (0, 1, 2, 3)})
    assert select(table, target, select={"method": "mutual_information", "k": 2})[0] == ("x2", "x3")
    assert select(table, target, select={"method": "mutual_information", "k": 9}) == (("x0", "x1", "x2", "x3"), "")
    assert select(table, target, select={"method": "mutual_information", "share": 0.5})[0] == ("x2", "x3")
    assert select(table, target, select={"method": "mutual_information", "share": 0.01})[0] == ("x3",)
    kept, said = select(table, target, select={"method": "mutual_information", "threshold": 0.01})
    assert kept == ("x1", "x2", "x3")
    assert said.startswith("Select keeps 3 of 4 columns by their mutual information; left out: 'x0' (")


def test_select_takes_one_rule_and_says_which_are_missing() -> None:
    for options, message in [
        ({"method": "mutual_information"}, "one of k, share and threshold says what stays"),
        ({"method": "mutual_information", "k": 2, "share": 0.5}, r"found k and share"),
        ({"method": "variance", "k": 2}, "no common unit"),
        ({"method": "mutual_information", "k": 0}, "greater than or equal to 1"),
    ]:
        with pytest.raises(SettingsError, match=message):
            parse(Preprocessing, {"select": options})


def test_information_needs_a_target() -> None:
    table = pa.table({"x": [1.0, 2.0], "y": [2.0, 1.0]})
    with pytest.raises(DataError, match="there is none"):
        select(table, select={"method": "mutual_information", "k": 1})
    with pytest.raises(ValueError, match="requires y to be passed"):
        Preprocessor(select={"method": "mutual_information", "k": 1}).fit(table.to_pandas())


def test_duplicates_of_the_same_kind_and_chain_are_left_out_and_said() -> None:
    table = pa.table(
        {
            "a": [1.0, 2.0, None, -0.0],
            "same": [1.0, 2.0, float("nan"), 0.0],
            "whole": pa.array([1, 2, None, 0], pa.int8()),
            "other": [1.0, 2.0, None, 1.0],
            "swapped": [2.0, 1.0, None, 0.0],
            "word": ["u", "v", "u", None],
            "again": pa.array(["u", "v", "u", None]).dictionary_encode(),
            "flag": [True, False, True, None],
        }
    )
    kept, said = select(table)
    assert kept == ("a", "other", "swapped", "word", "flag")
    assert said.splitlines() == [
        "Column 'same' equals 'a' in all training rows; it is left out.",
        "Column 'whole' equals 'a' in all training rows; it is left out.",
        "Column 'again' equals 'word' in all training rows; it is left out.",
    ]
    assert "same" in select(table, drop_duplicates=False)[0]
    assert "same" in select(table, columns={"same": ["impute"]})[0]
    assert "whole" not in select(table, columns={"same": ["impute"]})[0]


def test_constant_columns_stay_when_they_are_asked_for() -> None:
    table = pa.table({"x": [1.0, 2.0], "same": [3.0, 3.0]})
    assert select(table)[0] == ("x",)
    assert select(table, drop_constant=False) == (("x", "same"), "")


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(VALUES, st.booleans()), min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=4),
    random=st.randoms(),
)
def test_sums_are_equal_exactly_for_equal_columns_however_rows_are_cut(
    rows: list[tuple[float | None, bool]], cuts: list[int], random: Any
) -> None:
    # given a column, a copy, and a copy that differs in some rows
    column = [x for x, _ in rows]
    changed = [7.25 if is_changed else x for x, is_changed in rows]
    table = pa.table({"a": pa.array(column, pa.float64()), "b": column, "c": pa.array(changed, pa.float64())})
    table = table.set_column(1, "b", pa.array(column, pa.float64()))
    table = table.append_column("row", pa.array(range(len(rows))))
    content = row_hashes(table, table.column_names)
    segments = np.array([random.randrange(3) for _ in rows], dtype=np.uint8)
    needs = {name: frozenset({ValueSum()}) for name in "abc"}

    # when their sums are taken by segment, at once and in pieces
    whole = Statistics.of(table, segments, needs, Rows(content, parts_of(content)))
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    pieces = [
        Statistics.of(table.slice(a, b - a), segments[a:b], needs, Rows(content[a:b], parts_of(content[a:b])))
        for a, b in itertools.pairwise(edges)
    ]
    merged = pieces[0]
    for piece in pieces[1:]:
        merged = merged.merge(piece)

    # then they do not depend on the pieces, and tell the columns apart
    sums = {name: found.tallies[ValueSum()] for name, found in whole.only([0, 1, 2]).items()}
    assert sums == {name: found.tallies[ValueSum()] for name, found in merged.only([2, 1, 0]).items()}
    assert sums["a"] == sums["b"]
    assert (sums["a"] == sums["c"]) == (column == changed)


def ranking(frame: pd.DataFrame, target: pd.Series, n_rows: int) -> tuple[pd.Series, pd.Series]:
    """Ours over all rows, and scikit-learn's over some."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    found = pd.Series(worth(table, target.to_numpy()))
    some = np.random.default_rng(0).choice(len(frame), min(n_rows, len(frame)), replace=False)
    coded = frame.iloc[some].apply(lambda c: c if pd.api.types.is_numeric_dtype(c) else pd.factorize(c)[0])
    is_discrete = np.array([coded[name].nunique() <= 20 or name not in frame._get_numeric_data() for name in coded])
    expected = mutual_info_classif(coded, target.iloc[some], discrete_features=is_discrete, random_state=0)
    return found, pd.Series(expected, index=frame.columns)


@pytest.mark.filterwarnings("ignore:Clustering metrics")
def test_the_ranking_is_scikit_learns_on_credit_default(shared_data: Path) -> None:
    frame = pd.read_csv(next((shared_data / "credit_default").glob("*.csv.gz")))
    target = frame.pop("default.payment.next.month")
    found, expected = ranking(frame, target, 10_000)
    assert set(found.nlargest(6).index) == {"PAY_0", "PAY_2", "PAY_3", "PAY_4", "PAY_5", "PAY_6"}
    assert list(found.nlargest(3).index) == list(expected.nlargest(3).index)
    assert spearmanr(found, expected)[0] > 0.85


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Clustering metrics")
def test_the_ranking_is_scikit_learns_on_kdd99(shared_data: Path) -> None:
    frame = pd.concat([pd.read_parquet(path) for path in sorted((shared_data / "kdd99_intrusion").glob("*.parquet"))])
    target = frame.pop("label")
    found, expected = ranking(frame, target, 20_000)
    assert len(set(found.nlargest(20).index) & set(expected.nlargest(20).index)) >= 19
    assert spearmanr(found, expected)[0] > 0.98
    assert found.max() == pytest.approx(expected.max(), rel=0.1)
