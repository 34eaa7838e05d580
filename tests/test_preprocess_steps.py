"""Each step by itself: what it does to values, to missing ones and to what training never saw."""

from __future__ import annotations

import datetime
import math
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing


def fit(table: pa.Table, **chains: Any) -> FittedPreprocessor:
    """Fit chains of columns on all rows of a table."""
    settings = Preprocessing(columns=chains)
    schema = Schema.of(table.schema)
    statistics = Statistics.of(table, np.zeros(table.num_rows, dtype=np.uint8), settings.needs(schema))
    return settings.fit(schema, statistics.only([0]))


def column(fitted: FittedPreprocessor, table: pa.Table, name: str) -> list[float]:
    """One column of the matrix."""
    matrix = fitted.matrix(table)
    return np.asarray(matrix)[:, fitted.feature_names.index(name)].tolist()


NUMBERS = pa.table({"x": [1.0, None, 3.0, math.nan, 3.0, 10.0]})


@pytest.mark.parametrize(
    ("options", "fill"),
    [
        ({}, 4.25),
        ({"strategy": "median"}, 3.0),
        ({"strategy": "most_frequent"}, 3.0),
        ({"strategy": "constant", "value": -1}, -1.0),
        ({"strategy": "constant", "value": 0.5}, 0.5),
    ],
)
def test_impute_fills_what_is_missing_then_and_later(options: dict[str, Any], fill: float) -> None:
    fitted = fit(NUMBERS, x=[{"kind": "impute", **options}])
    assert column(fitted, NUMBERS, "x") == [1.0, fill, 3.0, fill, 3.0, 10.0]
    assert column(fitted, pa.table({"x": pa.nulls(1)}), "x") == [fill]


def test_the_most_frequent_of_equals_is_the_smallest() -> None:
    words = pa.table({"w": ["b", "a", None, "a", "b"]})
    fitted = fit(words, w=[{"kind": "impute", "strategy": "most_frequent"}, "onehot"])
    assert fitted.feature_names == ("w_a", "w_b")
    assert column(fitted, words, "w_a") == [0, 1, 1, 1, 0]


def test_strings_are_filled_with_a_constant_that_becomes_a_level() -> None:
    words = pa.table({"w": ["b", None, "a"]})
    fitted = fit(words, w=[{"kind": "impute", "strategy": "constant", "value": "none"}, "onehot"])
    assert fitted.feature_names == ("w_a", "w_b", "w_none")
    assert column(fitted, words, "w_none") == [0, 1, 0]


def test_the_indicator_stands_beside_the_scaled_column() -> None:
    fitted = fit(NUMBERS, x=[{"kind": "impute", "indicator": True}, "scale"])
    assert fitted.feature_names == ("x_missing", "x")
    assert column(fitted, NUMBERS, "x_missing") == [0, 1, 0, 1, 0, 0]
    whole = pa.table({"x": [1.0, 2.0]})
    assert fit(whole, x=[{"kind": "impute", "indicator": True}]).feature_names == ("x",)


@pytest.mark.parametrize(
    "chain",
    [
        ["impute", "scale"],
        [{"kind": "impute", "strategy": "median"}, "scale"],
        ["scale", {"kind": "impute", "strategy": "median"}],
        [{"kind": "impute", "strategy": "median"}, {"kind": "scale", "method": "minmax"}],
        ["scale", {"kind": "impute", "strategy": "constant", "value": 0}, {"kind": "scale", "method": "minmax"}],
        [{"kind": "scale", "with_mean": False}, "impute"],
        [{"kind": "scale", "with_std": False}, "impute", "scale"],
    ],
)
def test_a_chain_equals_its_steps_fitted_one_after_the_other(chain: list[Any]) -> None:
    random = np.random.default_rng(3)
    values = np.where(random.random(500) < 0.2, np.nan, random.lognormal(size=500))
    at_once = column(fit(pa.table({"x": values}), x=chain), pa.table({"x": values}), "x")
    for step in chain:
        kind, options = (step, {}) if isinstance(step, str) else (step["kind"], step)
        if kind == "impute":
            fill = {"mean": np.nanmean, "median": np.nanmedian}.get(options.get("strategy", "mean"), lambda _: 0.0)
            values = np.where(np.isnan(values), fill(values), values)
        elif options.get("method") == "minmax":
            values = (values - np.nanmin(values)) / (np.nanmax(values) - np.nanmin(values))
        else:
            centre = np.nanmean(values) if options.get("with_mean", True) else 0.0
            values = (values - centre) / (np.nanstd(values) if options.get("with_std", True) else 1.0)
    assert at_once == pytest.approx(values.tolist(), rel=1e-6, abs=1e-6, nan_ok=True)


def test_numbers_without_imputing_reach_the_model_as_nan() -> None:
    assert column(fit(NUMBERS, x=["passthrough"]), NUMBERS, "x") == pytest.approx(
        [1, math.nan, 3, math.nan, 3, 10], nan_ok=True
    )


WORDS = pa.table({"w": ["b"] * 6 + ["a"] * 3 + ["z", "y", None]})


def test_rare_levels_become_one_and_unseen_ones_join_it() -> None:
    fitted = fit(WORDS, w=[{"kind": "rare", "min_count": 3}, "onehot"])
    assert fitted.feature_names == ("w_a", "w_b", "w_(rare)", "w_(missing)")
    later = pa.table({"w": ["z", "new", "a", None]})
    assert fitted.matrix(later).tolist() == [[0, 0, 1, 0], [0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]]
    assert fitted.unseen(later) == {"w": 1}


def test_without_a_rare_level_unseen_ones_are_rows_of_zeros_and_counted() -> None:
    fitted = fit(WORDS, w=["rare", "onehot"])
    assert fitted.feature_names == ("w_a", "w_b", "w_y", "w_z", "w_(missing)")
    later = pa.table({"w": ["new", "newer", "new", None, "a"]})
    assert fitted.matrix(later)[:3].tolist() == [[0] * 5] * 3
    assert fitted.unseen(later) == {"w": 3}


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"min_frequency": 0.25}, ["a", "b"]),
        ({"min_frequency": 0.26}, ["b"]),
        ({"min_count": 2}, ["a", "b"]),
        ({"max_levels": 3}, ["a", "b", "y"]),
        ({"max_levels": 1, "min_count": 1}, ["b"]),
    ],
)
def test_the_rules_of_rare_are_a_share_a_count_and_a_number(options: dict[str, Any], kept: list[str]) -> None:
    fitted = fit(WORDS, w=[{"kind": "rare", **options}, "onehot"])
    assert fitted.feature_names == tuple(f"w_{level}" for level in [*kept, "(rare)", "(missing)"])


def test_levels_called_rare_or_missing_keep_their_own_columns() -> None:
    words = pa.table({"w": ["(rare)"] * 5 + ["(missing)"] * 5 + ["one", None]})
    fitted = fit(words, w=[{"kind": "rare", "min_count": 2}, "onehot"])
    assert fitted.feature_names == ("w_(missing)", "w_(rare)", "w_(rare) 2", "w_(missing) 2")
    assert fitted.matrix(words).sum(axis=0).tolist() == [5, 5, 1, 1]


def test_missing_values_that_training_did_not_have_are_zeros() -> None:
    fitted = fit(pa.table({"w": ["a", "b"]}), w=["onehot"])
    assert fitted.matrix(pa.table({"w": pa.array([None, "b"])})).tolist() == [[0, 0], [0, 1]]


def test_a_first_level_can_be_left_out() -> None:
    three, two = pa.table({"w": ["a", "b", "c"]}), pa.table({"w": ["a", "b", "a"]})
    assert fit(three, w=[{"kind": "onehot", "drop": "first"}]).feature_names == ("w_b", "w_c")
    assert fit(three, w=[{"kind": "onehot", "drop": "if_binary"}]).feature_names == ("w_a", "w_b", "w_c")
    fitted = fit(two, w=[{"kind": "onehot", "drop": "if_binary"}])
    assert fitted.feature_names == ("w_b",)
    assert fitted.matrix(two).tolist() == [[0], [1], [0]]
    gap = pa.table({"w": ["a", None, "b"]})
    assert fit(gap, w=[{"kind": "onehot", "drop": "first"}]).matrix(gap).tolist() == [[0, 0], [0, 1], [1, 0]]


@pytest.mark.parametrize("arrow_type", [pa.int8(), pa.int64(), pa.float64(), pa.float32()], ids=str)
def test_numbers_taken_as_categories_have_the_same_columns_in_any_type(arrow_type: pa.DataType) -> None:
    codes = pa.table({"c": pa.array([2, 1, None, 2, -3], arrow_type)})
    fitted = fit(codes, c=["rare", "onehot"])
    assert fitted.feature_names == ("c_-3", "c_1", "c_2", "c_(missing)")
    as_float = pa.table({"c": [2.0, 7.0, 1.0]})
    assert fitted.matrix(as_float).tolist() == [[0, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    assert fitted.unseen(as_float) == {"c": 1}


def test_whole_numbers_beyond_the_digits_of_float64_stay_apart_as_categories() -> None:
    ids = pa.table({"c": [2**60, 2**60 + 1, 2**60]})
    fitted = fit(ids, c=["onehot"])
    assert fitted.matrix(ids).tolist() == [[1, 0], [0, 1], [1, 0]]


def test_numbers_filled_before_they_are_categories_count_as_their_level() -> None:
    codes = pa.table({"c": [2, 1, None, 2]})
    fitted = fit(codes, c=[{"kind": "impute", "strategy": "most_frequent"}, "rare", "onehot"])
    assert fitted.feature_names == ("c_1", "c_2")
    assert column(fitted, codes, "c_2") == [1, 0, 1, 1]
    flags = pa.table({"c": [True, None, True, False]})
    fitted = fit(flags, c=[{"kind": "impute", "strategy": "most_frequent"}, "onehot"])
    assert fitted.feature_names == ("c_False", "c_True")
    assert column(fitted, flags, "c_True") == [1, 1, 1, 0]


def test_categories_filled_after_grouping_keep_their_levels() -> None:
    codes = pa.table({"c": [2, 2, 1, None, 5, 6, 7]})
    fitted = fit(codes, c=[{"kind": "rare", "min_count": 2}, {"kind": "impute", "strategy": "most_frequent"}, "onehot"])
    assert fitted.feature_names == ("c_2", "c_(rare)")
    assert column(fitted, codes, "c_(rare)") == [0, 0, 1, 1, 1, 1, 1]


def test_ordinal_codes_follow_the_sorted_levels() -> None:
    fitted = fit(WORDS, w=["ordinal"])
    assert column(fitted, pa.table({"w": ["z", "a", "b", "new", None]}), "w") == [3, 0, 1, -1, -2]
    assert fitted.unseen(pa.table({"w": ["new", None]})) == {"w": 1}
    fitted = fit(WORDS, w=[{"kind": "ordinal", "unknown": 99, "missing": "nan"}])
    assert column(fitted, pa.table({"w": ["new", None]}), "w") == pytest.approx([99, math.nan], nan_ok=True)


@pytest.mark.parametrize("missing", ["nan", -2])
def test_codes_are_imputed_and_scaled_by_their_own_statistics(missing: Any) -> None:
    chain = [{"kind": "ordinal", "missing": missing}, {"kind": "impute", "strategy": "median"}, "scale"]
    codes = np.array([1] * 6 + [0] * 3 + [3, 2, 1 if missing == "nan" else -2], dtype=float)
    expected = (codes - codes.mean()) / codes.std()
    assert column(fit(WORDS, w=chain), WORDS, "w") == pytest.approx(expected.tolist(), rel=1e-6)


def dates(values: Any, unit: str = "us", zone: str | None = None) -> pa.Table:
    """A table of one date column 'd'."""
    return pa.table({"d": pa.array([None if v is None else pd.Timestamp(v) for v in values], pa.timestamp(unit, zone))})


def test_dates_become_parts_around_fixed_centres() -> None:
    table = dates(["1969-12-31 23:00", "2024-02-29 00:00", None])
    fitted = fit(table, d=["dates"])
    names = ("d_year", "d_month", "d_day", "d_dayofweek", "d_hour", "d_time", "d_missing")
    assert fitted.feature_names == names
    found = fitted.matrix(table)
    scales = {"year": (2000, 10), "month": (6.5, math.sqrt(143 / 12)), "day": (16, math.sqrt(960 / 12))}
    scales |= {"dayofweek": (3, 2), "hour": (11.5, math.sqrt(575 / 12))}
    for place, (part, values) in enumerate(
        {"year": (1969, 2024), "month": (12, 2), "day": (31, 29), "dayofweek": (2, 3), "hour": (23, 0)}.items()
    ):
        centre, scale = scales[part]
        assert found[:2, place] == pytest.approx([(v - centre) / scale for v in values], rel=1e-6)
    assert found[:2, 5].tolist() == [-1, 1]
    assert found[2].tolist() == [0, 0, 0, 0, 0, 0, 1]


def test_parts_that_do_not_vary_in_training_are_left_out() -> None:
    assert fit(dates(["2013-05-01", "2013-05-09"]), d=["dates"]).feature_names == ("d_day", "d_dayofweek", "d_time")
    assert fit(dates(["2013-05-01", "2013-09-01"]), d=["dates"]).feature_names[0] == "d_month"
    # the same month of two years, or the same hour of two days, may hide others between
    assert "d_month" in fit(dates(["2013-05-01", "2014-05-01"]), d=["dates"]).feature_names


def test_the_clock_is_that_of_the_columns_zone_even_for_rows_from_another() -> None:
    table = dates(["2024-07-01 22:30Z", "2024-12-31 23:30Z"], zone="Europe/Berlin")  # half past midnight, both
    fitted = fit(table, d=[{"kind": "dates", "parts": ["year", "hour"], "time": False}])
    assert fitted.feature_names == ("d_year", "d_hour")
    assert column(fitted, table, "d_hour") == pytest.approx([-11.5 / math.sqrt(575 / 12)] * 2, rel=1e-6)
    assert column(fitted, table, "d_year") == pytest.approx([2.4, 2.5])
    elsewhere = table.set_column(0, "d", table["d"].cast(pa.timestamp("us", "America/New_York")))
    assert np.array_equal(fitted.matrix(elsewhere), fitted.matrix(table))


def test_the_same_dates_in_another_unit_are_the_same_numbers() -> None:
    stamps = ["1700-01-01 01:02:03", "2200-12-31 23:59:59", None]
    fitted = fit(dates(stamps, "ns"), d=["dates"])
    for unit in ("s", "ms", "us"):
        assert np.array_equal(fitted.matrix(dates(stamps, unit)), fitted.matrix(dates(stamps, "ns")))
    days = pa.table({"d": pa.array([datetime.date(1, 1, 1), datetime.date(9999, 12, 31)])})
    assert np.isfinite(fit(days, d=["dates"]).matrix(days)).all()


def test_periodic_parts_can_be_points_on_a_circle() -> None:
    table = dates(["2024-01-15", "2024-12-15", "2023-07-15"])
    fitted = fit(table, d=[{"kind": "dates", "parts": ["year", "month"], "cyclical": True, "time": False}])
    assert fitted.feature_names == ("d_year", "d_month_sin", "d_month_cos")
    january, december, july = fitted.matrix(table)[:, 1:].astype(float)
    assert np.linalg.norm(january - december) == pytest.approx(2 * math.sin(math.pi / 12), rel=1e-6)
    assert np.linalg.norm(january - july) == pytest.approx(2)


def test_a_table_of_missing_dates_or_of_no_rows_is_taken() -> None:
    fitted = fit(dates(["2013-05-01", "2014-06-02"]), d=["dates"])
    width = len(fitted.feature_names)
    assert fitted.matrix(pa.table({"d": pa.nulls(2)})).tolist() == [[0.0] * width] * 2
    assert fitted.matrix(dates([])).shape == (0, width)
