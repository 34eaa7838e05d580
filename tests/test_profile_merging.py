"""A profile does not depend on how rows are cut or ordered; states merge without rounding."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from daskflow.data import cardinality, frequent
from daskflow.data.crosstab import Crosstab, Form, Limit
from daskflow.data.profile_power import area
from daskflow.data.table_profile import TableProfile
from tests.profiled import profiled

FLOATS = st.one_of(st.none(), st.sampled_from([0.0, -0.0, 1.0, -1.0, 1e300, 5e-324, float("inf")]), st.floats())
TEXTS = st.one_of(st.none(), st.sampled_from(["a", "A", " a", "", "ä", "?"]), st.text(max_size=5))
ROWS = st.lists(st.tuples(FLOATS, TEXTS, st.integers(-5, 5), st.sampled_from(["yes", "no"])), min_size=2, max_size=40)


def table(rows: list[Any]) -> pa.Table:
    x, text, k, y = zip(*rows, strict=True)
    types = {"x": pa.float64(), "text": pa.string(), "k": pa.int64(), "y": pa.string()}
    return pa.table({name: pa.array(v, t) for (name, t), v in zip(types.items(), (x, text, k, y), strict=True)})


def comparable(profile: TableProfile) -> Any:
    """What does not speak of partitions; correlations to nine digits."""
    columns = [replace(column, missing_by_stripe=(), drift=None, rises=False) for column in profile.columns]
    pairs = [[None if v is None else round(v, 9) + 0.0 for v in line] for line in profile.correlations]
    target = replace(profile.target, single_class=()) if profile.target else None
    rows = (profile.rows, profile.distinct_rows, profile.repeated_rows, profile.most_copies)
    return repr((columns, pairs, profile.rows_by_pair, target, profile.equal_columns, rows))


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=ROWS, parts=st.integers(1, 6), seed=st.integers(0, 2**16))
def test_any_cut_and_order_of_the_rows_gives_the_same_profile(rows: list[Any], parts: int, seed: int) -> None:
    whole = table(rows)
    shuffled = whole.take(pa.array(np.random.default_rng(seed).permutation(len(rows))))
    with tempfile.TemporaryDirectory() as folder:
        expected = profiled(whole, Path(folder) / "a", target="y")
        found = profiled(shuffled, Path(folder) / "b", parts=parts, target="y")
    assert comparable(found) == comparable(expected)


def values_of(seed: int, n: int, distinct: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).integers(-distinct, distinct, n)


def tab(values: np.ndarray[Any, Any], form: Form, most: int) -> Crosstab:
    keys, counts = np.unique(values, return_counts=True)
    return Crosstab.of(form, Limit(most, 4), keys, np.stack([counts, counts * 2], axis=1))


@pytest.mark.parametrize("form", [Form.INTEGER, Form.INSTANT, Form.TEXT])
@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**16), distinct=st.integers(1, 60), parts=st.integers(1, 7))
def test_a_crosstab_is_the_same_for_any_order_of_merging(form: Form, seed: int, distinct: int, parts: int) -> None:
    values = values_of(seed, 200, distinct)
    expected = tab(values, form, 40)
    pieces = [tab(piece, form, 40) for piece in np.array_split(values, parts)]
    order = np.random.default_rng(seed).permutation(parts)
    found = Crosstab.nothing(form, Limit(40, 4), 2)
    for place in order:
        found = pieces[place].merge(found) if place % 2 else found.merge(pieces[place])
    assert found.is_exact == expected.is_exact == (len(np.unique(values)) <= 40)
    assert found.keys.tolist() == expected.keys.tolist()
    assert found.counts.tolist() == expected.counts.tolist()


def test_bins_of_numbers_keep_their_order_and_size() -> None:
    values = np.arange(-50_000, 50_000)
    keys, counts = np.unique(values, return_counts=True)
    coarse = Crosstab.of(Form.INTEGER, Limit(100, 8), keys, counts[:, None])
    points = coarse.points
    assert not coarse.is_exact
    assert (np.diff(points) >= 0).all()
    assert coarse.total.sum() == len(values)
    found = np.repeat(points, coarse.total)
    assert np.abs(found - values).max() <= np.abs(values).max() * 2**-8


@pytest.mark.parametrize("n_distinct", [0, 1, 17, 1_000, 20_000, 300_000, 2_000_000])
def test_an_estimate_of_cardinality_is_within_four_standard_errors(n_distinct: int) -> None:
    values = np.arange(n_distinct, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    found = cardinality.estimate(cardinality.registers_of(values))
    assert found == pytest.approx(n_distinct, rel=4 * cardinality.STANDARD_ERROR, abs=0.5)


def test_registers_of_parts_merge_to_those_of_the_whole() -> None:
    values = np.random.default_rng(5).integers(0, 2**63, 50_000).astype(np.uint64)
    parts = [cardinality.registers_of(part) for part in np.array_split(values, 7)]
    merged = parts[0]
    for part in parts[1:]:
        merged = cardinality.merged(part, merged)
    assert np.array_equal(merged, cardinality.registers_of(values))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**16), parts=st.integers(1, 9))
def test_whatever_stands_in_more_than_a_1024th_of_the_rows_is_a_candidate(seed: int, parts: int) -> None:
    # given many rare keys, and some that stand in a little more than 1/1024 of the rows
    rng = np.random.default_rng(seed)
    n = 40_000
    often = np.repeat(np.arange(-9, 0), n // 1024 + 2)
    values = np.concatenate([often, rng.integers(0, 10**9, n - len(often))])
    rng.shuffle(values)
    # when
    states = [frequent.candidates(*map(np.asarray, _counted(part))) for part in np.array_split(values, parts)]
    merged = states[0]
    for state in states[1:]:
        merged = frequent.merged(merged, state)
    # then
    assert len(merged[0]) < frequent.SHARE
    assert set(range(-9, 0)) <= set(merged[0].tolist())


def _counted(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    keys, counts = np.unique(values, return_counts=True)
    return keys, counts.astype(np.int64)


def test_the_area_of_binned_numbers_says_how_far_off_it_can_be() -> None:
    rng = np.random.default_rng(2)
    values = np.concatenate([rng.normal(0, 1, 3000), rng.normal(1, 1, 2000)])
    labels = np.repeat([0, 1], [3000, 2000])
    order = np.argsort(values)
    exact, none = area((labels[order] == 0).astype(np.int64), labels[order].astype(np.int64))
    bins = np.digitize(values, np.linspace(-4, 5, 12))
    found, bound = area(
        np.bincount(bins[labels == 0], minlength=13), np.bincount(bins[labels == 1], minlength=13), is_exact=False
    )
    assert none == 0.0
    assert 0 < abs(found - exact) <= bound
