"""Each step for numbers by itself: what it does to values, to missing ones, to odd columns, and what it refuses."""

from __future__ import annotations

import decimal
import itertools
import json
import math
from dataclasses import replace
from typing import Any

import dask.dataframe as dd
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskflow.core.errors import DataError, SettingsError
from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.preprocess import REGISTRY, Preprocessor
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from daskflow.preprocess.steps import FORMS, Flow, State

NUMBERS = np.array([0.0, 1.0, 2.0, 3.0, math.nan, 4.0, 5.0, 6.0, 7.0, 8.0, 109.0])


def fit(values: Any, *chain: Any) -> FittedPreprocessor:
    """Fit a chain of one column 'x'."""
    table = pa.table({"x": values})
    settings = Preprocessing(columns={"x": list(chain)})
    schema = Schema.of(table.schema)
    statistics = Statistics.of(table, np.zeros(table.num_rows, dtype=np.uint8), settings.needs(schema))
    return settings.fit(schema, statistics.only([0]), sparse=False)


def values_of(fitted: FittedPreprocessor, values: Any) -> Any:
    """What the fitted chain makes of values, one list for each row; a plain list for one column."""
    found = np.asarray(fitted.matrix(pa.table({"x": values})))
    return (found[:, 0] if found.shape[1] == 1 else found).tolist()


@pytest.mark.parametrize(
    ("options", "low", "high"),
    [
        ({}, np.nanquantile(NUMBERS, 0.01), np.nanquantile(NUMBERS, 0.99)),
        ({"lower_quantile": 0.1, "upper_quantile": 0.75}, np.nanquantile(NUMBERS, 0.1), np.nanquantile(NUMBERS, 0.75)),
        ({"upper_quantile": 0.9}, -math.inf, np.nanquantile(NUMBERS, 0.9)),
        ({"lower": 2, "upper": 6.5}, 2, 6.5),
        ({"lower": 2}, 2, math.inf),
        ({"lower": 1, "upper_quantile": 0.5}, 1, np.nanmedian(NUMBERS)),
        ({"n_std": 2}, np.nanmean(NUMBERS) - 2 * np.nanstd(NUMBERS), np.nanmean(NUMBERS) + 2 * np.nanstd(NUMBERS)),
        ({"n_iqr": 1.5}, 2.25 - 1.5 * 4.5, 6.75 + 1.5 * 4.5),
    ],
)
def test_clip_keeps_what_is_inside_and_moves_the_rest_to_the_edge(
    options: dict[str, Any], low: float, high: float
) -> None:
    fitted = fit(NUMBERS, {"kind": "clip", **options})
    later = np.array([-1e6, 0.5, 3.0, math.nan, 7.5, 1e6])
    assert values_of(fitted, NUMBERS) == pytest.approx(np.clip(NUMBERS, low, high).tolist(), nan_ok=True)
    assert values_of(fitted, later) == pytest.approx(np.clip(later, low, high).tolist(), nan_ok=True)


def test_a_rare_flag_is_not_clipped_away() -> None:
    flags = [True] + [False] * 999
    fitted = fit(flags, "clip")
    assert sum(values_of(fitted, flags)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower_quantile": 5}, "lower_quantile: input should be less than or equal to 1"),
        ({"lower": 3, "upper": 3}, "lower should be below upper, and 3 is not below 3"),
        ({"lower_quantile": 0.9, "upper_quantile": 0.1}, "lower_quantile should be below upper_quantile"),
        ({"lower": 3, "lower_quantile": 0.1}, "lower and lower_quantile both rule the lower side; give one of them"),
        ({"n_std": 3, "upper": 9}, "upper and n_std both rule the upper side"),
        ({"n_std": 0}, "n_std: input should be greater than 0"),
        ({"lower": math.inf}, "lower: input should be a finite number"),
        ({"limits": [0, 1]}, "limits: no such option"),
    ],
)
def test_clip_says_what_is_wrong_with_its_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        REGISTRY.parse({"kind": "clip", **options})
    assert message in str(caught.value)


def test_a_value_above_a_quantile_is_refused_by_name() -> None:
    with pytest.raises(DataError, match=r"'x': 'clip' finds a lower side of 50 above the upper side of 4\.5"):
        fit(NUMBERS, {"kind": "clip", "lower": 50, "upper_quantile": 0.5})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"method": "minmax"}, [0.0, 0.5, 1.0, 1.5]),
        ({"method": "minmax", "feature_range": [-1, 3]}, [-1.0, 1.0, 3.0, 5.0]),
        ({"method": "minmax", "feature_range": [-1, 3], "clip": True}, [-1.0, 1.0, 3.0, 3.0]),
        ({"method": "maxabs"}, [-0.25, 0.375, 1.0, 1.625]),
        ({"method": "maxabs", "clip": True}, [-0.25, 0.375, 1.0, 1.0]),
        ({"method": "robust"}, [-1.0, 0.0, 1.0, 2.0]),
        ({"method": "robust", "with_centering": False}, [-0.4, 0.6, 1.6, 2.6]),
        ({"method": "robust", "with_scaling": False}, [-5.0, 0.0, 5.0, 10.0]),
        ({"method": "robust", "quantile_range": [0, 100]}, [-0.5, 0.0, 0.5, 1.0]),
        ({"method": "standard", "with_std": False}, [-5.0, 0.0, 5.0, 10.0]),
    ],
)
def test_scale_has_the_methods_and_options_of_scikit_learn(options: dict[str, Any], expected: list[float]) -> None:
    fitted = fit([-2.0, 3.0, 8.0], {"kind": "scale", **options})
    assert values_of(fitted, [-2.0, 3.0, 8.0, 13.0]) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"feature_range": [0, 5]}, "feature_range goes with method = 'minmax', not 'standard'"),
        ({"method": "robust", "with_mean": False}, "with_mean goes with method = 'standard', not 'robust'"),
        ({"method": "robust", "clip": True}, "clip goes with method = 'minmax' or 'maxabs', not 'robust'"),
        ({"method": "minmax", "feature_range": [1, 1]}, "two increasing numbers, such as [0, 1]"),
        ({"method": "robust", "quantile_range": [0.25, 0.75]}, "in percent, such as [25, 75]"),
        ({"method": "robust", "quantile_range": [75, 25]}, "two increasing numbers in percent"),
        ({"method": "robust", "quantile_range": [0, 90], "unit_variance": True}, "without 0 and 100"),
        ({"method": "zscore"}, "'standard'"),
    ],
)
def test_scale_says_what_is_wrong_with_its_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        REGISTRY.parse({"kind": "scale", **options})
    assert message in str(caught.value)


def test_a_column_whose_quartiles_are_equal_is_centred_and_not_divided() -> None:
    mostly = [0.0] * 9 + [7.0]
    assert values_of(fit(mostly, {"kind": "scale", "method": "robust"}), mostly) == mostly


@pytest.mark.parametrize("size", [1e-300, 1e-160, 1e160, 1e300])
def test_numbers_of_any_size_are_brought_to_range(size: float) -> None:
    values = np.array([0.0, 0.25, 1.0]) * size
    assert values_of(fit(values, {"kind": "scale", "method": "minmax"}), values) == [0.0, 0.25, 1.0]
    assert values_of(fit(values, {"kind": "scale", "method": "maxabs"}), values) == [0.0, 0.25, 1.0]


def test_quantile_gives_places_from_the_first_to_the_last() -> None:
    fitted = fit(NUMBERS[~np.isnan(NUMBERS)], "quantile")
    assert values_of(fitted, [0.0, 4.0, 8.0, 109.0]) == pytest.approx([0, 4 / 9, 8 / 9, 1])
    assert values_of(fitted, [-5.0, 1e9, math.nan, 2.5]) == pytest.approx([0, 1, math.nan, 2.5 / 9], nan_ok=True)


def test_equal_numbers_get_the_middle_of_their_places() -> None:
    fitted = fit([0.0, 1.0, 1.0, 1.0, 2.0], "quantile")
    assert values_of(fitted, [0.0, 1.0, 2.0]) == [0.0, 0.5, 1.0]


def test_normal_places_are_finite_at_both_ends() -> None:
    fitted = fit(NUMBERS, {"kind": "quantile", "output_distribution": "normal"})
    low, middle, high = values_of(fitted, [-1e9, 4.5, 1e9])
    assert (low, middle, high) == (pytest.approx(-5.1993, abs=1e-3), pytest.approx(0, abs=1e-6), pytest.approx(-low))


@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_power_makes_a_skewed_column_symmetric(method: str) -> None:
    values = np.random.default_rng(0).lognormal(3, 1, 3000)
    found = np.array(values_of(fit(values, {"kind": "power", "method": method}), values))
    assert abs((found**3).mean()) < 0.02 < (((values - values.mean()) / values.std()) ** 3).mean()
    assert (found.mean(), found.std()) == (pytest.approx(0, abs=1e-6), pytest.approx(1))


def test_power_can_leave_the_result_as_it_is() -> None:
    values = np.random.default_rng(0).lognormal(0, 1, 3000)
    fitted: Any = fit(values, {"kind": "power", "method": "box-cox", "standardize": False})
    exponent = fitted.columns[0].steps[0].exponent
    assert values_of(fitted, values) == pytest.approx(((values**exponent - 1) / exponent).tolist(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    "values",
    [
        [1950.0, 1997.0, 2000.0, 2003.0, 2009.0],
        [-1950.0, -1997.0, -2000.0, -2003.0, -2009.0],
        [1e-150, 2e-150, 1e-149],
        [1e150, 3e150, 1e151],
        [-1e6, 0.0, 1e-6, 1e6],
        [0.0, 1.0],
        [5, 10_000_000_001, 10_000_000_002],
    ],
)
def test_power_stays_finite_and_in_order_on_awkward_numbers(values: list[float]) -> None:
    ordered = np.sort(np.array(values, dtype=float))
    for method in ("yeo-johnson", "box-cox") if ordered[0] > 0 else ("yeo-johnson",):
        found = np.array(values_of(fit(ordered, {"kind": "power", "method": method}), ordered))
        assert np.isfinite(found).all()
        assert (np.diff(found) >= 0).all()
        assert found.std() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize(
    ("step", "values", "message"),
    [
        ({"kind": "power", "method": "box-cox"}, [0.0, 1.0], "values down to 0; box-cox takes positive numbers only"),
        ("log", [3.0, 0.0], "values down to 0; 'log' takes numbers above 0. Take 'signed_log'"),
        ("log1p", [3.0, -1.5], "values down to -1.5; 'log1p' takes numbers above -1"),
        ("sqrt", [3.0, -0.1], "values down to -0.1; 'sqrt' takes numbers from 0"),
    ],
)
def test_numbers_that_a_function_does_not_take_are_refused_with_the_remedy(
    step: Any, values: list[float], message: str
) -> None:
    with pytest.raises(DataError) as caught:
        fit(values, step)
    assert f"Column 'x' has {message}" in str(caught.value)
    # and later, where training had none
    with pytest.raises(DataError, match=r"Column 'x' has 1 values down to .* takes"):
        values_of(fit([1.0, 2.0, 3.0], step), [*values, math.nan])


@pytest.mark.parametrize("step", ["log", {"kind": "power", "method": "box-cox"}])
def test_booleans_are_refused_where_0_has_no_value(step: Any) -> None:
    with pytest.raises(SettingsError, match=r"on column 'x': booleans are 0 and 1, .* boolean = \['impute'\]"):
        fit([True, False], step)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ("log", [math.log(0.5), 0, math.log(8)]),
        ({"kind": "log", "base": 2}, [-1, 0, 3]),
        ({"kind": "log1p", "base": 10}, [math.log10(1.5), math.log10(2), math.log10(9)]),
        ("log1p", [math.log(1.5), math.log(2), math.log(9)]),
        ("signed_log", [math.log(1.5), math.log(2), math.log(9)]),
        ("sqrt", [math.sqrt(0.5), 1, math.sqrt(8)]),
    ],
)
def test_functions_are_those_of_numpy_in_any_base(step: Any, expected: list[float]) -> None:
    fitted = fit([0.5, 1.0, 8.0], step)
    assert values_of(fitted, [0.5, 1.0, 8.0, math.nan]) == pytest.approx([*expected, math.nan], nan_ok=True)


def test_signed_logarithms_are_odd() -> None:
    fitted = fit([-8.0, 0.0, 8.0], {"kind": "signed_log", "base": 3})
    assert values_of(fitted, [-8.0, 0.0, 8.0, -1e300]) == pytest.approx([-2, 0, 2, -math.log(1e300, 3)])


@pytest.mark.parametrize("base", [1, 0.5, -2, "two", math.inf])
def test_a_base_is_above_1(base: Any) -> None:
    with pytest.raises(SettingsError, match="base"):
        REGISTRY.parse({"kind": "log", "base": base})


def test_bins_between_given_edges_have_names_and_no_ends() -> None:
    ages = [3, 18, 40, None, 65]
    fitted = fit(ages, {"kind": "bin", "edges": [18, 65]})
    assert fitted.feature_names == ("x_below_18", "x_18_to_65", "x_from_65", "x_(missing)")
    rows = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]
    assert values_of(fitted, ages) == rows
    assert values_of(fitted, [-1e9, 1e9, 64.999]) == [rows[0], rows[4], rows[1]]
    assert values_of(fit([3, 18, 65], {"kind": "bin", "edges": [18, 65]}), [None, 2]) == [[0, 0, 0], [1, 0, 0]]


def test_bins_can_be_numbers_that_stay_missing_and_are_scaled() -> None:
    ages = [3, 18, 40, None, 65]
    fitted = fit(ages, {"kind": "bin", "edges": [18, 65], "encode": "ordinal"})
    assert values_of(fitted, ages) == pytest.approx([0, 1, 1, math.nan, 2], nan_ok=True)
    scaled = fit(ages, {"kind": "bin", "edges": [18, 65], "encode": "ordinal"}, {"kind": "scale", "method": "minmax"})
    assert values_of(scaled, ages) == pytest.approx([0, 0.5, 0.5, math.nan, 1], nan_ok=True)


def test_bins_have_equal_counts_or_equal_widths() -> None:
    values = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 80.0]
    even = fit(values, {"kind": "bin", "n_bins": 4, "encode": "ordinal"})
    assert values_of(even, values) == [0, 0, 1, 1, 2, 2, 3, 3]
    wide = fit(values, {"kind": "bin", "n_bins": 4, "strategy": "uniform", "encode": "ordinal"})
    assert values_of(wide, [0, 19.9, 20, 59.9, 60, 99]) == [0, 0, 1, 2, 3, 3]


def test_edges_that_fall_together_are_one_and_a_single_bin_is_left_out_with_a_warning() -> None:
    mostly = [0.0] * 90 + [float(n) for n in range(1, 11)]
    assert fit(mostly, {"kind": "bin", "n_bins": 10}).feature_names == ("x_below_0.5", "x_from_0.5")
    table = pa.table({"x": [0.0] * 99 + [1.0], "y": range(100)})
    settings = Preprocessing(columns={"x": [{"kind": "bin", "n_bins": 2}]})
    schema = Schema.of(table.schema)
    found = settings.fit(schema, Statistics.of(table, np.zeros(100, dtype=np.uint8), settings.needs(schema)).only([0]))
    assert found.feature_names == ("y",)
    assert found.warnings == ("Column 'x' is constant after 'bin'; it is left out.",)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_bins": 1}, "n_bins: input should be greater than or equal to 2"),
        ({"edges": []}, "edges should be 1 to 999 increasing numbers"),
        ({"edges": [2, 1]}, "edges should be 1 to 999 increasing numbers"),
        ({"edges": [1, 2], "n_bins": 3}, "edges say where the bins are, and so does n_bins; leave one of them out"),
        ({"strategy": "kmeans"}, "'quantile'"),
    ],
)
def test_bin_says_what_is_wrong_with_its_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        REGISTRY.parse({"kind": "bin", **options})
    assert message in str(caught.value)


@pytest.mark.parametrize("words", [{"fill_value": 7, "add_indicator": True}, {"value": 7, "indicator": True}])
def test_impute_takes_scikit_learns_words_too(words: dict[str, Any]) -> None:
    fitted = fit([1.0, None], {"kind": "impute", "strategy": "constant", **words})
    assert fitted.feature_names == ("x_missing", "x")
    assert values_of(fitted, [1.0, None]) == [[0, 1], [1, 7]]
    dumped = REGISTRY.parse({"kind": "impute", "strategy": "constant", **words}).dump()
    assert (dumped["value"], dumped["indicator"]) == (7, True)


def test_the_most_frequent_number_is_known_after_a_step_that_keeps_the_distribution() -> None:
    chain = ["log1p", {"kind": "impute", "strategy": "most_frequent"}]
    assert values_of(fit([3.0, 3.0, 8.0, 8.0, 0.0, None], *chain), [None]) == pytest.approx([math.log(4)])
    with pytest.raises(DataError, match=r"most frequent value is not known .* Put 'impute' first"):
        fit([3.0, 3.0, 8.0, None], "scale", {"kind": "impute", "strategy": "most_frequent"})


CHAINS: list[Any] = [
    "clip",
    {"kind": "clip", "lower_quantile": 0.1, "upper_quantile": 0.8},
    {"kind": "clip", "n_std": 1},
    {"kind": "clip", "n_iqr": 0.5},
    "scale",
    {"kind": "scale", "method": "minmax", "feature_range": [1, 4]},
    {"kind": "scale", "method": "maxabs"},
    {"kind": "scale", "method": "robust", "unit_variance": True},
    {"kind": "quantile", "n_quantiles": 50},
    {"kind": "quantile", "output_distribution": "normal"},
    "power",
    {"kind": "power", "standardize": False},
    {"kind": "log1p", "base": 10},
    "signed_log",
    "sqrt",
    {"kind": "bin", "encode": "ordinal"},
    {"kind": "bin", "encode": "ordinal", "strategy": "uniform"},
    "impute",
    {"kind": "impute", "strategy": "median"},
]


def alone(values: np.ndarray[Any, Any], step: Any) -> np.ndarray[Any, Any]:
    """Fit one step on numbers as they are, and return what it makes of them, in float64."""
    table = pa.table({"x": values})
    schema = Schema.of(table.schema)
    settings = Preprocessing(columns={"x": [step]})
    found = Statistics.of(table, np.zeros(len(values), dtype=np.uint8), settings.needs(schema)).only([0])["x"]
    column = schema["x"]
    fitted, _ = settings.columns["x"][0].fit(State(column, FORMS[column.kind], found))
    return fitted.apply(Flow(table["x"].combine_chunks())).numbers()


@pytest.mark.parametrize(("first", "second"), list(itertools.permutations(CHAINS, 2)), ids=str)
def test_a_chain_is_fitted_from_one_pass_as_its_steps_one_after_the_other(first: Any, second: Any) -> None:
    # given a skewed column with gaps and repeated numbers
    random = np.random.default_rng(5)
    values = np.where(random.random(400) < 0.1, np.nan, np.round(random.lognormal(1, 1.2, 400), 1))
    after_one = alone(values, first)
    least = {"sqrt": 0.0, "log1p": -1.0}.get(second if isinstance(second, str) else second["kind"], -math.inf)
    if np.nanmin(after_one) < least:
        # then what one after the other would refuse, the chain refuses
        with pytest.raises(DataError, match="takes numbers"):
            fit(values, first, second)
        return
    # when the second step is fitted on what the first has made
    expected = alone(after_one, second)
    # then the chain, which saw the first's numbers only as statistics, gives the same
    assert values_of(fit(values, first, second), values) == pytest.approx(
        expected.tolist(), rel=2e-6, abs=2e-6, nan_ok=True
    )


NUMERIC_KINDS = ["bin", "clip", "impute", "log", "log1p", "power", "quantile", "scale", "signed_log", "sqrt"]


@pytest.mark.parametrize("kind", NUMERIC_KINDS)
def test_every_step_has_a_sentence_for_kinds(kind: str) -> None:
    first = (REGISTRY.get(kind).__doc__ or "").partition("\n")[0]
    assert first.endswith((".", "0.99."))
    assert len(first) > 30


@pytest.mark.parametrize("kind", NUMERIC_KINDS)
@pytest.mark.parametrize(
    "values",
    [
        pa.array([3, 1, None, 120, 3], pa.int8()),
        pa.array([3, 1, None, 2**63, 3], pa.uint64()),
        pa.array([0.5, 1, None, 7, 7], pa.float32()),
        pa.array([decimal.Decimal("0.5"), None, decimal.Decimal("12.25"), decimal.Decimal(3), decimal.Decimal(3)]),
    ],
    ids=lambda values: str(values.type),
)
def test_numbers_of_every_type_are_as_their_float64_and_survive_json(kind: str, values: pa.Array) -> None:
    fitted = fit(values, kind)
    as_floats = [None if value is None else float(value) for value in values.to_pylist()]
    assert np.array_equal(values_of(fitted, values), values_of(fit(as_floats, kind), as_floats), equal_nan=True)
    again = FittedPreprocessor.load(json.loads(json.dumps(fitted.dump(), allow_nan=False)))
    assert again == fitted
    assert np.array_equal(values_of(again, values), values_of(fitted, values), equal_nan=True)


@pytest.mark.parametrize("kind", NUMERIC_KINDS)
def test_constant_missing_and_infinite_columns_are_handled_with_sentences(kind: str) -> None:
    settings = Preprocessing(numeric=[kind])
    table = pa.table({"one": [5.0] * 4, "none": pa.nulls(4, pa.float64()), "x": [1.0, 2.0, 3.0, None]})
    schema = Schema.of(table.schema)
    needs = settings.needs(schema)
    found = settings.fit(schema, Statistics.of(table, np.zeros(4, dtype=np.uint8), needs).only([0]))
    assert found.warnings == (
        "Column 'one' is constant in the training rows (5); it is left out.",
        "Column 'none' has no value in the training rows; it is left out.",
    )
    with pytest.raises(DataError, match=r"Infinite values in 'x' \(1\)"):
        fit([1.0, math.inf], kind)
    with pytest.raises(DataError, match=r"Infinite values in 'x' \(1\)"):
        values_of(fit([1.0, 2.0, 3.0], kind), [math.inf])


@pytest.mark.parametrize("kind", NUMERIC_KINDS)
def test_one_number_beside_missing_ones_is_no_accident(kind: str) -> None:
    fitted = fit([5.0, None, 5.0], kind) if kind != "impute" else fit([5.0, None, 6.0], kind)
    found = np.asarray(values_of(fitted, [5.0, None, 7.0]), dtype=float)
    assert len(found) == 3
    assert np.isfinite(found[0]).all()


@pytest.mark.parametrize("kind", NUMERIC_KINDS)
def test_numbers_near_the_end_of_float64_are_taken_or_refused_by_name(kind: str) -> None:
    for values in ([1.7e308, 1e308, 1.0], [1.7e308, -1.7e308, 1.0, 0.5]):
        try:
            found = np.asarray(values_of(fit(values, kind), values), dtype=float)
        except DataError as error:
            assert "'x'" in str(error)  # noqa: PT017  # either is right; which one depends on the step
        else:
            assert np.isfinite(found).all()


@pytest.mark.parametrize("kind", NUMERIC_KINDS)
def test_pandas_and_dask_frames_give_the_same_numbers(kind: str) -> None:
    random = np.random.default_rng(1)
    frame = pd.DataFrame({"a": random.lognormal(size=300), "b": random.integers(1, 9, 300)})
    frame.loc[::7, "a"] = np.nan
    steps = {"numeric": [kind]}
    lazy = dd.concat([dd.from_pandas(frame.iloc[:0], npartitions=1), dd.from_pandas(frame, npartitions=3)])
    mine = Preprocessor(**steps).set_output(transform="pandas").fit(frame)
    theirs = Preprocessor(**steps).fit(lazy)
    assert theirs.fitted_ == mine.fitted_
    pd.testing.assert_frame_equal(theirs.transform(lazy).compute(), mine.transform(frame))


def test_a_step_after_one_that_hides_the_numbers_is_refused_with_the_remedy() -> None:
    table = pa.table({"x": [1.0, 2.0, 3.0]})
    schema = Schema.of(table.schema)
    found = Statistics.of(table, np.zeros(3, dtype=np.uint8), {"x": frozenset({"moments"})}).only([0])["x"]
    state = State(schema["x"], FORMS[schema["x"].kind], replace(found, distribution=None))
    for kind in ("clip", "quantile", "power", "bin", "log1p"):
        with pytest.raises(DataError, match=f"'x': '{kind}' needs to know how often each number occurs"):
            REGISTRY.parse(kind).fit(state)


@pytest.mark.parametrize(
    ("options", "fill"),
    [
        ({"strategy": "mean"}, 4.0),
        ({"strategy": "median"}, 3.0),
        ({"strategy": "most_frequent"}, 2.0),
        ({"strategy": "constant", "value": -1}, -1.0),
    ],
)
def test_values_that_mean_missing_are_filled_and_count_nowhere(options: dict[str, Any], fill: float) -> None:
    values = [2.0, -999.0, None, 2.0, 4.0, 8.0, -999.0, -1.0]
    step = {"kind": "impute", "missing_values": [-999, -1, math.nan], "indicator": True, **options}
    fitted = fit(values, step, {"kind": "clip", "lower": -100})
    assert fitted.feature_names == ("x_missing", "x")
    filled = [[0, 2], [1, fill], [1, fill], [0, 2], [0, 4], [0, 8], [1, fill], [1, fill]]
    assert values_of(fitted, values) == filled
    again = FittedPreprocessor.load(json.loads(json.dumps(fitted.dump(), allow_nan=False)))
    assert values_of(again, values) == filled
    # and what follows is fitted on what was filled
    scaled = np.array(values_of(fit(values, step, "scale"), values))[:, 1]
    numbers = np.array(filled)[:, 1]
    assert scaled == pytest.approx((numbers - numbers.mean()) / numbers.std(), rel=1e-6)


def test_words_that_mean_missing_are_filled_with_the_most_frequent_of_the_others() -> None:
    step = {"kind": "impute", "strategy": "most_frequent", "missing_values": "?"}
    fitted = fit(["?", "?", "?", "b", "a", "b", None], step, "onehot")
    assert fitted.feature_names == ("x_a", "x_b")
    assert values_of(fitted, ["?", None, "a", "b"]) == [[0, 1], [0, 1], [1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("chain", "values", "error", "message"),
    [
        (["scale", {"missing_values": -1}], [1.0, -1.0], SettingsError, "put 'impute' first"),
        ([{"missing_values": "?"}], [1.0, -1.0], SettingsError, r"of the column's own type, double \(found '\?'\)"),
        ([{"missing_values": 1, "strategy": "most_frequent"}], ["a", "b"], SettingsError, "own type, string"),
        ([{"missing_values": math.inf}], [1.0, -1.0], SettingsError, "finite number"),
        ([{}, {"missing_values": -1}], [1.0, -1.0, None], DataError, "among the column's own. Put it first"),
        ([{"missing_values": [-1, -2]}], [-1, -2], DataError, "'x' has nothing but missing values"),
    ],
)
def test_missing_values_that_cannot_be_looked_for_are_refused(
    chain: list[Any], values: Any, error: type[Exception], message: str
) -> None:
    steps = [{"kind": "impute", **step} if isinstance(step, dict) else step for step in chain]
    with pytest.raises(error, match=message):
        fit(values, *steps)


def test_values_that_mean_missing_are_counted_in_any_partitioning() -> None:
    frame = pd.DataFrame({"a": [2.0, -9.0, 5.0, 7.5, -9.0, 1.25, 3.0, -9.0]})
    steps = {"numeric": [{"kind": "impute", "missing_values": -9}, "scale"]}
    whole = Preprocessor(**steps).fit(frame)
    assert Preprocessor(**steps).fit(dd.from_pandas(frame, npartitions=3)).fitted_ == whole.fitted_
