"""Statistics: exact counts, moments to the last digits, quantiles within their bound, however the rows were cut."""

from __future__ import annotations

import datetime
import decimal
import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import DataError
from daskflow.data.distribution import COARSE, FINE, Distribution, Resolution
from daskflow.data.moments import look
from daskflow.data.statistics import ColumnStatistics, Statistics

MOMENTS, QUANTILES, LEVELS = frozenset({"moments"}), frozenset({"quantiles"}), frozenset({"levels"})
BOUND = 2**-13


def of_column(values: Any, needs: frozenset[str], segments: Any = None) -> Statistics:
    """Statistics of one column 'x'."""
    table = pa.table({"x": values})
    chosen = np.zeros(table.num_rows) if segments is None else segments
    return Statistics.of(table, np.asarray(chosen, dtype=np.uint8), {"x": needs})


def whole(values: Any, needs: frozenset[str]) -> ColumnStatistics:
    """Statistics of one column without segments."""
    return of_column(values, needs).only([0])["x"]


@pytest.mark.parametrize(
    "values",
    [
        pa.array([3, -5, None, 7], pa.int8()),
        pa.array([3, 5, None, 7], pa.uint64()),
        pa.array([3.5, -5, None, 7], pa.float32()),
        pa.array([3.5, -5, math.nan, 7], pa.float64()),
        pa.array([3.5, -5, None, 7], pa.float16()),
        pa.array([True, False, None, True]),
        pa.array([decimal.Decimal("3.25"), None, decimal.Decimal("-1.5"), decimal.Decimal(0)]),
        pa.array([3, -5, None, 7]).dictionary_encode(),
        pa.chunked_array([pa.array([3, -5]).dictionary_encode(), pa.array([None, 7]).dictionary_encode()]),
    ],
    ids=lambda values: str(values.type),
)
def test_numbers_of_every_type_have_the_moments_of_their_float64(values: Any) -> None:
    expected = np.array([v for v in values.to_pylist() if v is not None and v == v], dtype=float)
    found = whole(values, QUANTILES)
    assert (found.n_rows, found.n_missing, found.n_infinite, found.n_values) == (4, 1, 0, 3)
    assert found.mean == pytest.approx(expected.mean(), rel=1e-15)
    assert found.variance == pytest.approx(expected.var(), rel=1e-14)
    assert (found.min, found.max, found.median) == (expected.min(), expected.max(), np.median(expected))


def test_infinities_are_counted_apart_and_touch_nothing_else() -> None:
    found = whole([1.0, math.inf, 3.0, -math.inf, None], frozenset({"quantiles", "levels"}))
    assert (found.n_missing, found.n_infinite, found.mean, found.max, found.median) == (1, 2, 2.0, 3.0, 2.0)
    assert found.levels == {1: 1, 3: 1}


def test_digits_are_kept_where_the_mean_is_large_beside_the_spread() -> None:
    values = 1e9 + np.tile([0.0, 1.0], 50_000)
    parts = [of_column(part, MOMENTS) for part in np.array_split(values, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    assert merged.only([0])["x"].variance == pytest.approx(0.25, rel=1e-9)


def test_levels_are_counted_under_one_name_whatever_their_type() -> None:
    words = pa.array(["b", "a", None, "b", ""])
    for column in (words, words.dictionary_encode(), words.cast(pa.large_string())):
        assert whole(column, LEVELS).levels == {"b": 2, "a": 1, "": 1}
    for column in (pa.array([2, 2, None], pa.int16()), pa.array([2.0, 2.0, math.nan])):
        assert whole(column, LEVELS).levels == {2: 2}
    assert whole(pa.array([-0.0, 0.0, 0.5]), LEVELS).levels == {0: 2, 0.5: 1}
    assert whole(pa.array([True, False, True]), LEVELS).levels == {True: 2, False: 1}


def test_a_dictionary_with_idle_and_null_entries_counts_what_the_rows_have() -> None:
    column = pa.DictionaryArray.from_arrays(pa.array([0, 1, None, 0], pa.int32()), pa.array(["a", None, "idle"]))
    found = whole(column, LEVELS)
    assert (found.levels, found.n_missing) == ({"a": 2}, 2)


def test_levels_beyond_the_limit_are_given_up_for_any_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daskflow.data.statistics.MOST_LEVELS", 10)
    words = [str(n) for n in range(11)]
    at_once = whole(words, LEVELS)
    merged = of_column(words[:5], LEVELS).merge(of_column(words[5:], LEVELS)).only([0])["x"]
    for found in (at_once, merged):
        assert found.has_too_many_levels
        assert found.levels is None
    assert not whole(words[:10], LEVELS).has_too_many_levels


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_dates_are_seconds_since_2000_in_any_unit(unit: str) -> None:
    column = pd.Series(pd.to_datetime(["1969-12-31 23:59:59", None, "2000-01-01 00:00:01"])).dt.as_unit(unit)
    found = whole(pa.array(column), MOMENTS)
    assert (found.n_missing, found.min, found.max) == (1, -946_684_801.0, 1.0)
    assert found.has_times


def test_dates_at_the_ends_of_their_range_do_not_overflow() -> None:
    ends = whole(pa.array([pd.Timestamp.min, pd.Timestamp.max]), MOMENTS)
    assert ends.min == pytest.approx(pd.Timestamp.min.timestamp() - 946_684_800)
    far = whole(pa.array([datetime.date(1, 1, 1), datetime.date(9999, 12, 31)]), MOMENTS)
    assert far.max - far.min == 3_652_058 * 86_400
    assert not far.has_times


def test_midnight_is_that_of_the_columns_own_zone() -> None:
    berlin = pd.Series(pd.date_range("2024-01-01", periods=3, tz="Europe/Berlin"))
    assert not whole(pa.array(berlin), MOMENTS).has_times
    assert whole(pa.array(berlin.dt.tz_convert("UTC")), MOMENTS).has_times


def test_statistics_of_some_segments_equal_those_of_their_rows() -> None:
    random = np.random.default_rng(0)
    values, segments = random.lognormal(size=5000), random.integers(0, 5, 5000)
    words = random.integers(0, 9, 5000).astype(str)
    needs = {"x": QUANTILES, "w": LEVELS}
    of_all = Statistics.of(pa.table({"x": values, "w": words}), segments.astype(np.uint8), needs)
    for chosen in ([0], [1, 3, 4], range(5)):
        rows = np.isin(segments, list(chosen))
        found = of_all.only(chosen)
        assert found["x"].n_rows == rows.sum()
        assert found["x"].mean == pytest.approx(values[rows].mean(), rel=1e-14)
        assert found["x"].variance == pytest.approx(values[rows].var(), rel=1e-13)
        assert found["x"].quantile(0.3) == pytest.approx(np.quantile(values[rows], 0.3), rel=1e-15)
        assert found["w"].levels == pd.Series(words[rows]).value_counts().to_dict()


def test_no_rows_have_counts_of_zero_and_no_values() -> None:
    empty = of_column(pa.array([], pa.float64()), QUANTILES)
    found = empty.only([0, 7])["x"]
    assert (found.n_rows, found.n_values) == (0, 0)
    assert math.isnan(found.mean)
    assert math.isnan(found.median)
    other = of_column([1.0, 2.0], QUANTILES)
    assert empty.merge(other).only([0])["x"] == other.merge(empty).only([0])["x"]


def test_what_a_column_cannot_give_is_named() -> None:
    with pytest.raises(DataError, match="'x' is string: it has no moments"):
        of_column(["a"], MOMENTS)
    with pytest.raises(DataError, match="no column 'prise'; did you mean 'price'"):
        Statistics.of(pa.table({"price": [1]}), np.zeros(1, dtype=np.uint8), {"prise": MOMENTS})


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6), st.sampled_from([0.0, -0.0, 1.5])), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=6),
    seed=st.integers(0, 9),
)
def test_any_cut_of_the_rows_gives_the_same_counts_and_moments(values: list[Any], cuts: list[int], seed: int) -> None:
    segments = np.random.default_rng(seed).integers(0, 3, len(values)).astype(np.uint8)
    column, needs = pa.array(values, pa.float64()), frozenset({"quantiles", "levels"})
    at_once = of_column(column, needs, segments)
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [of_column(column[a:b], needs, segments[a:b]) for a, b in itertools.pairwise(edges)]
    np.random.default_rng(seed).shuffle(parts)  # type: ignore[arg-type]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    for chosen in ([0], [0, 1, 2]):
        one, many = at_once.only(chosen)["x"], merged.only(chosen)["x"]
        assert (one.n_rows, one.n_missing, one.levels) == (many.n_rows, many.n_missing, many.levels)
        assert one.distribution == many.distribution
        assert one.mean == pytest.approx(many.mean, rel=1e-9, abs=1e-9, nan_ok=True)
        assert one.m2 == pytest.approx(many.m2, rel=1e-9, abs=1e-6)


SHAPES = {
    "lognormal": lambda random: random.lognormal(0, 3, 120_000),
    "both signs": lambda random: random.standard_cauchy(120_000),
    "tiny": lambda random: random.random(120_000) * 1e-300,
    "huge": lambda random: random.random(120_000) * 1e300 - 5e299,
    "mostly zero": lambda random: np.where(random.random(120_000) < 0.3, 0.0, random.normal(size=120_000)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_quantiles_of_many_values_are_within_the_bound_for_uneven_and_empty_partitions(shape: str) -> None:
    values = SHAPES[shape](np.random.default_rng(1))
    edges = [0, 10, 10, 90_000, 90_001, 120_000, 120_000]
    parts = [of_column(values[a:b], QUANTILES) for a, b in itertools.pairwise(edges)]
    merged = parts[0]
    for part in parts[1:]:
        merged = merged.merge(part)
    found = merged.only([0])["x"]
    assert found.distribution is not None
    assert not found.distribution.is_exact
    ordered = np.sort(values)
    for place in (0, 1, 7, 1200, 30_000, 60_000, 90_000, 118_800, 119_998, 119_999):
        exact = ordered[place]
        assert abs(found.quantile(place / 119_999) - exact) <= BOUND * abs(exact) * (1 + 1e-9)


@pytest.mark.parametrize("bits", [10, 12])
def test_exactness_depends_on_the_union_alone(bits: int) -> None:
    resolution = Resolution(100, bits)
    values = np.random.default_rng(2).normal(size=150)
    at_once = Distribution.of(values, resolution)
    for cut in (0, 1, 60, 120):
        for left, right in ((values[:cut], values[cut:]), (values[cut:], values[:cut])):
            merged = Distribution.of(left, resolution).merge(Distribution.of(right, resolution))
            assert not merged.is_exact
            assert merged == at_once
    few = np.tile(values[:100], 3)
    assert Distribution.of(few[:150], resolution).merge(Distribution.of(few[150:], resolution)).is_exact


@pytest.mark.parametrize("resolution", [FINE, COARSE, Resolution(10, 6)])
def test_quantiles_keep_the_bound_of_their_resolution(resolution: Resolution) -> None:
    rng = np.random.default_rng(3)
    values = np.concatenate([np.exp(3 * rng.normal(size=80_000)), -np.exp(rng.normal(size=20_001)), np.zeros(50)])
    found = Distribution.of(values, resolution)
    ordered = np.sort(values)
    for place in (0, 10, 5_000, 20_001, 20_040, 50_000, 99_000, len(values) - 1):
        exact = ordered[place]
        assert abs(found.quantile(place / (len(values) - 1)) - exact) <= resolution.bound * abs(exact) * (1 + 1e-9)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=64), max_size=60), st.randoms())
def test_sums_are_correctly_rounded_in_any_order(values: list[float], random: Any) -> None:
    exact = [Fraction(value) for value in values]
    shuffled = values.copy()
    random.shuffle(shuffled)
    cut = random.randint(0, len(values))
    halves = [look(np.array(part, dtype=np.float64)) for part in (shuffled[:cut], shuffled[cut:])]
    sums = halves[0].sums.merge(halves[1].sums)
    assert sums == look(np.array(values, dtype=np.float64)).sums
    if values:
        mean = sum(exact) / len(exact)
        assert sums.mean == float(mean)
        squared = sum((value - mean) ** 2 for value in exact)
        assert sums.m2 == (float(squared) if squared < Fraction(2) ** 1023 else sums.m2)


def test_statistics_after_a_change_equal_those_of_the_changed_values() -> None:
    values = [2.0, None, 5.0, 5.0, None, -1.0]
    before = whole(values, frozenset({"quantiles", "levels"}))
    filled = whole([4.0 if v is None else v for v in values], frozenset({"quantiles", "levels"}))
    after = before.filled(4)
    assert (after.n_missing, after.levels, after.median) == (0, filled.levels, filled.median)
    assert after.mean == pytest.approx(filled.mean)
    assert after.variance == pytest.approx(filled.variance)
    moved, expected = after.moved(1.0, 2.0), whole([(v - 1) / 2 if v is not None else 1.5 for v in values], QUANTILES)
    assert (moved.min, moved.max, moved.median) == (expected.min, expected.max, expected.median)
    assert moved.variance == pytest.approx(expected.variance)
    counted = before.counted([9.0, 1.0, 9.0], [1, 2, 1])
    assert (counted.mean, counted.min, counted.max, counted.median) == (5.0, 1.0, 9.0, 5.0)
