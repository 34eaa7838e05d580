"""Steps for numbers do not depend on how the rows were cut, and keep their bounds where distributions are not exact."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from daskflow.core.errors import DataError
from daskflow.data.distribution import COARSE, FINE, Resolution
from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing

CHAINS: list[list[Any]] = [
    ["impute", "scale"],
    [{"kind": "impute", "strategy": "most_frequent"}, {"kind": "scale", "method": "minmax"}],
    ["clip", "impute", "scale"],
    [{"kind": "clip", "n_std": 1}, {"kind": "scale", "method": "robust"}],
    ["quantile"],
    ["power", "bin"],
    ["signed_log", {"kind": "impute", "strategy": "median"}, {"kind": "scale", "method": "maxabs"}],
    [{"kind": "bin", "strategy": "uniform", "encode": "ordinal"}, "scale"],
]


def fit_parts(parts: list[Any], chain: list[Any], resolution: Resolution = FINE) -> FittedPreprocessor | str:
    """Fit a chain of one column from statistics of parts merged in their order; an error is its sentence."""
    tables = [pa.table({"x": pa.array(part, pa.float64(), from_pandas=True)}) for part in parts]
    preprocessing = Preprocessing(columns={"x": chain})
    schema = Schema.of(tables[0].schema)
    needs = preprocessing.needs(schema)
    merged = None
    for table in tables:
        state = Statistics.of(table, np.zeros(table.num_rows, dtype=np.uint8), needs, resolution=resolution)
        merged = state if merged is None else merged.merge(state)
    assert merged is not None
    try:
        return preprocessing.fit(schema, merged.only([0]), sparse=False)
    except DataError as error:
        return str(error)


NUMBERS = st.one_of(
    st.none(),
    st.integers(-3, 3).map(float),
    st.floats(allow_nan=False, allow_infinity=False, width=32),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(
    values=st.lists(NUMBERS, min_size=1, max_size=40),
    cuts=st.lists(st.integers(0, 40), max_size=5),
    seed=st.integers(0, 2**32 - 1),
    chain=st.sampled_from(CHAINS),
)
@settings(max_examples=250, deadline=None)
def test_fitted_steps_do_not_depend_on_partitions_their_order_or_empty_ones(
    values: list[float | None], cuts: list[int], seed: int, chain: list[Any]
) -> None:
    # given the same rows, whole, and shuffled and cut in any places
    shuffled = [values[place] for place in np.random.default_rng(seed).permutation(len(values))]
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts = [shuffled[start:stop] for start, stop in itertools.pairwise(edges)]
    # when the chain is fitted on both, then everything it learnt is the same to the last bit
    whole, found = fit_parts([values], chain), fit_parts(parts, chain)
    if isinstance(whole, FittedPreprocessor) and isinstance(found, FittedPreprocessor):
        assert found.dump() == whole.dump()
    else:
        assert found == whole


@given(values=st.lists(NUMBERS, min_size=2, max_size=30), chain=st.sampled_from(CHAINS))
@settings(max_examples=150, deadline=None)
def test_any_finite_numbers_become_finite_ones_or_a_sentence(values: list[float | None], chain: list[Any]) -> None:
    fitted = fit_parts([values], chain)
    if isinstance(fitted, str):
        assert "'x'" in fitted
        return
    try:
        matrix = fitted.matrix(pa.table({"x": pa.array(values, pa.float64())}))
    except DataError as error:
        assert "'x'" in str(error)  # noqa: PT017  # numbers beyond float32 are refused where no step brings them down
        return
    assert not np.isinf(matrix).any()


@given(
    values=st.lists(st.integers(-(10**9), 10**9).map(lambda n: n / 1000), min_size=3, max_size=40, unique=True),
    step=st.sampled_from(["clip", "power", "quantile", "signed_log", {"kind": "scale", "method": "robust"}]),
)
@settings(max_examples=200, deadline=None)
def test_larger_numbers_never_become_smaller_ones(values: list[float], step: Any) -> None:
    fitted = fit_parts([values], [step])
    assert isinstance(fitted, FittedPreprocessor), fitted
    ordered = np.sort(np.array(values))
    found = fitted.matrix(pa.table({"x": ordered}))
    assert (np.diff(found[:, 0]) >= 0).all() if found.size else True


def skewed(seed: int = 0) -> Any:
    """150,000 different numbers, half of them negative, over twelve decades."""
    random = np.random.default_rng(seed)
    return random.lognormal(0, 3, 150_000) * random.choice([-1.0, 1.0], 150_000)


def cut(values: Any) -> list[Any]:
    """Sorted, so that parts differ as much as they can; uneven, and some empty."""
    return np.split(np.sort(values), [0, 10, 10, 90_000, 149_999])


RESOLUTIONS = pytest.mark.parametrize("resolution", [FINE, COARSE], ids=["fine", "coarse"])


def step_of(parts: list[Any], chain: list[Any], resolution: Resolution, place: int = -1) -> Any:
    """Fit a chain, and return one of its fitted steps."""
    fitted = fit_parts(parts, chain, resolution)
    assert isinstance(fitted, FittedPreprocessor), fitted
    return fitted.columns[0].steps[place]


@RESOLUTIONS
def test_quantiles_lie_within_the_stated_bound_on_skewed_uneven_and_empty_partitions(resolution: Resolution) -> None:
    values = skewed()
    exact = np.sort(values)
    # clip and robust scaling interpolate between two order statistics, each within the bound
    for share in (0.001, 0.01, 0.25, 0.5, 0.75, 0.99):
        options = {"kind": "clip", "lower_quantile": share}
        place = (len(exact) - 1) * share
        low, high = exact[math.floor(place)], exact[math.ceil(place)]
        found = step_of(cut(values), [options], resolution).low
        assert low - resolution.bound * abs(low) <= found <= high + resolution.bound * abs(high)
    robust = step_of(cut(values), [{"kind": "scale", "method": "robust"}], resolution)
    first, third = np.quantile(values, [0.25, 0.75])
    assert robust.scale == pytest.approx(third - first, rel=1.1 * resolution.bound)
    # the landmarks of the quantile transformation, and the edges of bins
    landmarks = np.array(step_of(cut(values), ["quantile"], resolution).quantiles)
    assert landmarks[[0, -1]].tolist() == exact[[0, -1]].tolist()
    places = (len(exact) - 1) * np.linspace(0, 1, 1000)
    below, above = exact[np.floor(places).astype(int)], exact[np.ceil(places).astype(int)]
    assert (landmarks >= below - resolution.bound * np.abs(below) - 1e-300).all()
    assert (landmarks <= above + resolution.bound * np.abs(above) + 1e-300).all()
    edges = np.array(step_of(cut(values), [{"kind": "bin", "n_bins": 8}], resolution).edges)
    expected = np.quantile(values, np.arange(1, 8) / 8, method="averaged_inverted_cdf")
    assert (np.abs(edges - expected) <= 1.1 * resolution.bound * np.abs(expected) + 1e-4).all()


@RESOLUTIONS
def test_moments_after_clipping_are_those_of_clipped_numbers_within_the_stated_bound(resolution: Resolution) -> None:
    # given numbers whose deviation falls to a thousandth when they are clipped
    values = skewed()
    chain = [{"kind": "clip", "lower": -5, "upper": 20}, "scale"]
    clipped = np.clip(values, -5, 20)
    # when clipping and scaling are fitted in one pass
    scaled = step_of(cut(values), chain, resolution)
    # then the scale is that of the clipped numbers
    bound = resolution.bound * math.sqrt(np.square(clipped).mean())
    assert abs(scaled.centre - clipped.mean()) <= bound
    assert abs(scaled.scale - clipped.std()) <= bound
    assert scaled.scale < values.std() / 50


@RESOLUTIONS
def test_places_are_off_by_no_more_than_the_rows_of_a_bin(resolution: Resolution) -> None:
    values = skewed()
    fitted = fit_parts(cut(values), ["quantile"], resolution)
    assert isinstance(fitted, FittedPreprocessor)
    found = fitted.matrix(pa.table({"x": values}))[:, 0]
    expected = (rankdata(values) - 1) / (len(values) - 1)
    assert np.abs(found - expected).max() < 1 / 999 + 0.001


@RESOLUTIONS
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_the_power_of_many_numbers_is_that_of_numbers_within_the_bound(resolution: Resolution, method: str) -> None:
    # given the exact powers of a column, and of the same with every number moved by the bound, either way
    values = np.abs(skewed()) if method == "box-cox" else skewed()
    step = {"kind": "power", "method": method}
    random = np.random.default_rng(1)
    exact = [
        step_of([moved], [step], Resolution(10**9, 12)).exponent
        for moved in (
            values,
            *(values * (1 + resolution.bound * random.choice([-1, 1], len(values))) for _ in range(2)),
        )
    ]
    # when it is fitted from bins, then the power is as near as those
    found = step_of(cut(values), [step], resolution).exponent
    assert abs(found - exact[0]) <= 10 * max(abs(exact[0] - other) for other in exact[1:]) + 1e-7
    assert abs(found - exact[0]) < 1e-4


@RESOLUTIONS
def test_logarithms_of_many_numbers_are_scaled_within_the_bound(resolution: Resolution) -> None:
    values = np.abs(skewed())
    scaled = step_of(cut(values), ["log1p", "scale"], resolution)
    assert abs(scaled.centre - np.log1p(values).mean()) <= resolution.bound
    assert abs(scaled.scale - np.log1p(values).std()) <= resolution.bound
