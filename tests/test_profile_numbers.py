"""A profile's numbers are those of pandas, numpy and scikit-learn, on real tables."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import adjusted_mutual_info_score, mutual_info_score, roc_auc_score

import daskflow as flow
from daskflow.data.cardinality import STANDARD_ERROR
from daskflow.data.table_profile import QUANTILES, TableProfile
from tests.profiled import profiled

NAMES = (
    "age workclass fnlwgt education education_num marital_status occupation relationship race sex capital_gain "
    "capital_loss hours_per_week native_country income"
)

CLOSE = {"rel": 1e-9, "abs": 1e-12}

Real = tuple[pd.DataFrame, TableProfile]


@pytest.fixture(scope="module")
def flights(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """Flights of 2014: 12 monthly partitions, whole numbers with gaps."""
    files = sorted((shared_data / "pnw_flights14" / "flights").glob("*.parquet"))
    pieces = [pq.read_table(file) for file in files]
    frame = pa.concat_tables(pieces).to_pandas()
    return frame, profiled(pieces, tmp_path_factory.mktemp("flights"), target="arr_delay")


@pytest.fixture(scope="module")
def adult(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Real:
    """Adult income: text with gaps, a binary target."""
    frame = pd.read_csv(
        shared_data / "adult_income" / "adult_train.csv.gz",
        header=None,
        skipinitialspace=True,
        na_values="?",
        names=NAMES.split(),
    )
    return frame, profiled(frame, tmp_path_factory.mktemp("adult"), parts=3, target="income")


@pytest.fixture(params=["flights", "adult"])
def real(request: pytest.FixtureRequest) -> Real:
    found: Real = request.getfixturevalue(request.param)
    return found


def each(real: Real, kind: str, check: Callable[[pd.Series, object], None]) -> None:
    """Check every column of a kind; there is at least one."""
    frame, profile = real
    columns = [column for column in profile.columns if column.kind == kind]
    for column in columns:
        check(frame[column.name], column)


def test_counts_are_those_of_pandas(real: Real) -> None:
    frame, profile = real
    assert profile.rows == len(frame)
    for column in profile.columns:
        values = frame[column.name]
        assert column.missing == int(values.isna().sum()), column.name
        assert (column.distinct, column.is_exact) == (values.nunique(), True), column.name
        top = values.value_counts()
        assert [count for _, count in column.top] == top.tolist()[: len(column.top)], column.name
        assert all(top[value] == count for value, count in column.top), column.name


def test_moments_and_extremes_are_those_of_pandas(real: Real) -> None:
    def check(values: pd.Series, column: object) -> None:
        numbers = values.astype(float)
        assert (column.min, column.max) == (numbers.min(), numbers.max())
        assert column.mean == pytest.approx(numbers.mean(), **CLOSE)
        assert column.std == pytest.approx(numbers.std(), **CLOSE)
        assert column.zeros == int((numbers == 0).sum())
        assert column.negatives == int((numbers < 0).sum())

    each(real, "numeric", check)


def test_quantiles_are_those_of_pandas(real: Real) -> None:
    def check(values: pd.Series, column: object) -> None:
        expected = values.astype(float).quantile(list(QUANTILES))
        assert dict(column.quantiles) == pytest.approx(expected.to_dict(), **CLOSE)

    each(real, "numeric", check)


def test_histograms_are_those_of_numpy_and_hold_every_row(real: Real) -> None:
    def check(values: pd.Series, column: object) -> None:
        histogram = column.histogram
        assert sum(histogram.counts) == column.values
        if not histogram.is_cut and len(histogram.counts) > 1:
            expected = np.histogram(values.dropna().astype(float), bins=np.array(histogram.edges))[0]
            assert list(histogram.counts) == expected.tolist()

    each(real, "numeric", check)


def test_lengths_are_those_of_pandas(adult: Real) -> None:
    def check(values: pd.Series, column: object) -> None:
        lengths = values.dropna().str.len()
        assert (column.lengths.shortest, column.lengths.longest) == (lengths.min(), lengths.max())
        assert column.lengths.mean == pytest.approx(lengths.mean(), **CLOSE)

    each(adult, "categorical", check)


def test_correlations_are_those_of_pandas_with_gaps_left_out_by_pairs(real: Real) -> None:
    frame, profile = real
    names = list(profile.correlated)
    expected = frame[names].astype(float).corr().to_numpy()
    found = np.array(profile.correlations, dtype=float)
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-9, nan_ok=True)
    there = frame[names].notna().to_numpy().astype(int)
    assert np.array(profile.rows_by_pair).tolist() == (there.T @ there).tolist()
    strongest = profile.pairs(1)[0]
    off = np.abs(np.where(np.eye(len(names), dtype=bool), 0, expected))
    assert abs(strongest.value) == pytest.approx(np.nanmax(off), rel=1e-9)


def test_duplicates_are_those_of_pandas(real: Real) -> None:
    frame, profile = real
    assert profile.duplicates == int(frame.duplicated().sum())
    counts = frame.groupby(list(frame.columns), dropna=False).size()
    assert profile.repeated_rows == int((counts > 1).sum())
    assert profile.most_copies == int(counts.max())


def test_the_area_under_the_roc_curve_is_that_of_scikit_learn(adult: Real) -> None:
    frame, profile = adult
    for name in ("age", "education_num", "capital_gain", "hours_per_week", "fnlwgt"):
        expected = roc_auc_score(frame["income"] == ">50K", frame[name])
        power = profile[name].power
        assert (power.auc, power.auc_error) == (pytest.approx(expected, rel=1e-9), 0.0)


def test_mutual_information_is_that_of_scikit_learn_with_missing_as_a_level(adult: Real) -> None:
    frame, profile = adult
    for name in ("workclass", "education", "occupation", "relationship", "native_country"):
        expected = mutual_info_score(frame[name].fillna("missing"), frame["income"])
        assert profile[name].power.information == pytest.approx(expected, rel=1e-9)


def test_the_share_explained_is_adjusted_for_chance_as_scikit_learns_mutual_information_is(tmp_path: Path) -> None:
    # given many levels of few rows, whose chance part is exact
    rng = np.random.default_rng(6)
    level = rng.integers(0, 120, 1_500)
    label = np.where(rng.random(1_500) < 0.4, level % 3, rng.integers(0, 3, 1_500))
    frame = pd.DataFrame({"level": [f"l{i}" for i in level], "y": label})
    # when
    found = profiled(frame, tmp_path, parts=3, target="y")["level"].power
    # then
    expected = adjusted_mutual_info_score(level, label, average_method="min")
    assert found.share == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", ["workclass", "education", "occupation", "native_country"])
def test_the_chance_part_of_large_levels_is_nearly_exact(adult: Real, name: str) -> None:
    frame, profile = adult
    levels = frame[name].fillna("missing")
    expected = adjusted_mutual_info_score(levels, frame["income"], average_method="min")
    assert profile[name].power.share == pytest.approx(expected, abs=1e-5)


def test_the_power_of_numbers_for_a_regression_is_at_least_the_square_of_their_correlation(flights: Real) -> None:
    frame, profile = flights
    expected = frame[["dep_delay", "arr_delay"]].astype(float).corr().iloc[0, 1]
    power = profile["dep_delay"].power
    assert power.correlation == pytest.approx(expected, rel=1e-9)
    assert expected**2 <= power.share < 1


def test_the_power_of_levels_for_a_regression_is_the_adjusted_correlation_ratio(flights: Real) -> None:
    frame, profile = flights
    known = frame.dropna(subset="arr_delay")
    y = known["arr_delay"].astype(float)
    means = known.groupby("carrier")["arr_delay"].transform("mean").astype(float)
    ratio = means.var(ddof=0) / y.var(ddof=0)
    n_levels = known["carrier"].nunique()
    expected = 1 - (1 - ratio) * (len(y) - 1) / (len(y) - n_levels)
    assert profile["carrier"].power.share == pytest.approx(expected, abs=1e-7)


def test_dates_are_those_of_pandas(tmp_path: Path) -> None:
    # given two years of instants with a hole of 40 days
    rng = np.random.default_rng(3)
    when = pd.Timestamp("2022-01-01") + pd.to_timedelta(rng.integers(0, 730 * 86_400, 20_000), unit="s")
    hole = (when >= "2022-05-01") & (when < "2022-06-10")
    frame = pd.DataFrame({"when": when[~hole], "x": 1.0})
    # when
    found = profiled(frame, tmp_path, parts=4)["when"]
    # then
    days = frame["when"].dt.normalize().drop_duplicates().sort_values()
    assert found.times.days == len(days)
    assert found.times.gap == ("2022-04-30", "2022-06-10", 40)
    assert found.times.missing_days == (days.max() - days.min()).days + 1 - len(days)
    assert list(found.times.hours) == frame["when"].dt.hour.value_counts().reindex(range(24), fill_value=0).tolist()
    assert pd.Timestamp(found.min) == frame["when"].min()
    assert pd.Timestamp(found.max) == frame["when"].max()
    assert sum(count for _, count in found.times.histogram) == len(frame)


def test_infinite_values_count_apart_and_nowhere_else(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1.0, np.inf, -np.inf, np.nan, 3.0, -0.0], "y": [1, 2, 3, 4, 5, 6]})
    found = profiled(frame, tmp_path)["x"]
    assert (found.missing, found.infinite, found.values, found.zeros, found.distinct) == (1, 2, 3, 1, 3)
    assert (found.min, found.max, found.mean) == (0.0, 3.0, pytest.approx(4 / 3))


def test_whole_numbers_beyond_the_precision_of_floats_stay_apart(tmp_path: Path) -> None:
    big = 2**60
    frame = pd.DataFrame({"id": [big, big + 1, big + 2, big], "u": np.array([2**64 - 1, 0, 1, 1], dtype=np.uint64)})
    found = profiled(frame, tmp_path)
    assert (found["id"].distinct, found["id"].min, found["id"].max) == (3, big, big + 2)
    assert found["id"].top[0] == (big, 2)
    assert (found["u"].min, found["u"].max, found["u"].top[0]) == (0, 2**64 - 1, (1, 2))


def test_estimates_of_a_column_with_many_values_keep_their_bounds_on_skewed_and_uneven_partitions(
    tmp_path: Path,
) -> None:
    # given 150,000 skewed numbers and 100,000 texts, with partitions of very different size and an empty one
    rng = np.random.default_rng(11)
    n = 200_000
    numbers = rng.lognormal(0, 3, n)
    numbers[::50] = -999.0
    texts = np.array([f"user {value}" for value in rng.integers(0, 120_000, n)], dtype=object)
    texts[::100] = "robot"
    whole = pa.table({"x": numbers, "who": texts})
    edges = [0, 10, 150_000, 150_000, 199_990, n]
    pieces = [whole.slice(start, stop - start) for start, stop in itertools.pairwise(edges)]
    # when
    found = profiled(pieces, tmp_path)
    # then
    x, who = found["x"], found["who"]
    assert (x.is_exact, who.is_exact) == (False, False)
    assert x.distinct == pytest.approx(len(np.unique(numbers)), rel=4 * STANDARD_ERROR)
    assert who.distinct == pytest.approx(len(set(texts)), rel=4 * STANDARD_ERROR)
    for q, value in x.quantiles.items():
        assert value == pytest.approx(np.quantile(numbers, q), rel=2**-12)
    assert x.top == ((-999.0, 4_000),)  # exactly, though the column has too many values to count
    assert who.top == (("robot", 2_000),)
    assert x.mean == pytest.approx(numbers.mean(), rel=1e-12)


def test_a_sample_is_labelled_and_spread_over_the_table(tmp_path: Path) -> None:
    # given 40 files that rise
    for place in range(40):
        values = np.arange(place * 100, place * 100 + 100)
        pd.DataFrame({"x": values, "y": values % 7}).to_parquet(tmp_path / f"part.{place:02}.parquet")
    options = {"cache": {"folder": str(tmp_path / "cache")}, "cluster": "inline"}
    # when
    tenth = flow.profile(tmp_path, sample=0.1, **options)
    thousand = flow.profile(tmp_path, sample=1_000, **options)
    everything = flow.profile(tmp_path, sample=10_000, **options)
    # then
    assert 250 < tenth.rows < 550
    assert tenth.table.sample is not None
    assert (tenth.table.sample.partitions, tenth.table.sample.all_partitions) == (20, 40)
    assert tenth["x"].min < 200
    assert tenth["x"].max > 3_800
    assert 850 < thousand.rows < 1_150
    assert everything.rows == 4_000
    assert everything.table.sample is None
