"""On real tables the steps for numbers equal scikit-learn's, fitted from pieces of uneven size."""

from __future__ import annotations

import itertools
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing

TABLES = ["credit", "cars", "flights", "adult"]


@cache
def whole(folder: Path, name: str) -> pd.DataFrame:
    """The numeric columns of a real table as float64; constant ones are left out, as daskflow does itself."""
    if name == "credit":
        frame = pd.read_csv(folder / "credit_default" / "UCI_Credit_Card.csv.gz")
    elif name == "cars":
        frame = pd.concat(pd.read_csv(path) for path in sorted((folder / "uk_used_cars").glob("*.csv.gz")))
    elif name == "flights":
        frame = pd.concat(pd.read_parquet(p) for p in sorted((folder / "pnw_flights14" / "flights").glob("*")))
    else:
        frame = pd.read_csv(folder / "adult_income" / "adult_train.csv.gz", header=None)
    numbers = frame.select_dtypes("number").astype("float64").rename(columns=str)
    return numbers.loc[:, numbers.nunique(dropna=False) > 1].reset_index(drop=True)


def numbers_of(folder: Path, name: str) -> pd.DataFrame:
    """About 6,000 rows from all over the table."""
    frame = whole(folder, name)
    return frame[:: len(frame) // 6000].reset_index(drop=True)


def fitted_from_pieces(frame: pd.DataFrame, chain: list[Any]) -> FittedPreprocessor:
    """Fit a chain for every column from five pieces of the table, one of them empty."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    settings = Preprocessing(numeric=chain)
    schema = Schema.of(table.schema)
    needs = settings.needs(schema)
    edges = [0, 100, 100, len(frame) // 7, len(frame) // 2, len(frame)]
    segments = (np.arange(len(frame)) % 3).astype(np.uint8)
    merged = None
    for start, stop in itertools.pairwise(edges):
        state = Statistics.of(table.slice(start, stop - start), segments[start:stop], needs)
        merged = state if merged is None else merged.merge(state)
    assert merged is not None
    fitted = settings.fit(schema, merged.only(range(3)), sparse=False)
    assert fitted.warnings == ()
    return fitted


def assert_same(frame: pd.DataFrame, chain: list[Any], peer: Any) -> None:
    """The chain's matrix is the peer's, to 1e-6 of each value's size, or of 1; missing values in the same places."""
    found = fitted_from_pieces(frame, chain).matrix(pa.Table.from_pandas(frame, preserve_index=False))
    expected = np.asarray(peer.fit_transform(frame.to_numpy(copy=True)), dtype=float)
    assert found.shape == expected.shape
    apart = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    assert (np.isnan(found) == np.isnan(expected)).all()
    assert np.nanmax(apart) < 1e-6


SCALERS: list[tuple[dict[str, Any], Any]] = [
    ({}, StandardScaler()),
    ({"with_mean": False}, StandardScaler(with_mean=False)),
    ({"with_std": False}, StandardScaler(with_std=False)),
    ({"method": "minmax"}, MinMaxScaler()),
    ({"method": "minmax", "feature_range": [-2, 5], "clip": True}, MinMaxScaler((-2, 5), clip=True)),
    ({"method": "maxabs"}, MaxAbsScaler()),
    ({"method": "robust"}, RobustScaler()),
    ({"method": "robust", "unit_variance": True}, RobustScaler(unit_variance=True)),
    ({"method": "robust", "quantile_range": [5, 90]}, RobustScaler(quantile_range=(5, 90))),
    ({"method": "robust", "with_centering": False}, RobustScaler(with_centering=False)),
    ({"method": "robust", "with_scaling": False}, RobustScaler(with_scaling=False)),
]


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(("options", "peer"), SCALERS, ids=lambda value: str(value).replace(" ", ""))
def test_scaling_equals_scikit_learns(name: str, options: dict[str, Any], peer: Any, shared_data: Path) -> None:
    assert_same(numbers_of(shared_data, name), [{"kind": "scale", **options}], peer)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("n_quantiles", [10, 1000])
@pytest.mark.parametrize("output", ["uniform", "normal"])
def test_quantile_transformation_equals_scikit_learns_without_its_sampling(
    name: str, n_quantiles: int, output: str, shared_data: Path
) -> None:
    options = {"n_quantiles": n_quantiles, "output_distribution": output}
    peer = QuantileTransformer(subsample=None, **options)
    assert_same(numbers_of(shared_data, name), [{"kind": "quantile", **options}], peer)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("method", ["yeo-johnson", "box-cox"])
def test_powers_equal_scikit_learns(name: str, method: str, shared_data: Path) -> None:
    frame = numbers_of(shared_data, name)
    if method == "box-cox":  # of years scikit-learn takes one near 92, and the variance overflows; ours is bounded
        frame = frame.loc[:, frame.min() > 0].drop(columns="year", errors="ignore")
    # given scikit-learn's exponents, found by another search
    peer = PowerTransformer(method)
    assert_same(frame, [{"kind": "power", "method": method}], peer)
    # then ours are the same
    exponents = np.array(
        [
            column.steps[0].dump()["exponent"]
            for column in fitted_from_pieces(frame, [{"kind": "power", "method": method}]).columns
        ]
    )
    assert np.abs(exponents - peer.lambdas_).max() < 1e-6 * np.abs(exponents).max()


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
def test_imputing_equals_scikit_learns(name: str, strategy: str, shared_data: Path) -> None:
    # given gaps in every second column
    frame = numbers_of(shared_data, name)
    holes = np.random.default_rng(0).random(frame.shape) < 0.2
    holes[:, ::2] = False
    frame = frame.mask(holes)
    # then filling equals, and so does scaling what is filled
    assert_same(frame, [{"kind": "impute", "strategy": strategy}], SimpleImputer(strategy=strategy))
    peer = make_pipeline(SimpleImputer(strategy=strategy), StandardScaler())
    assert_same(frame, [{"kind": "impute", "strategy": strategy}, "scale"], peer)


@pytest.mark.parametrize("strategy", ["mean", "median", "most_frequent"])
def test_imputing_what_means_missing_equals_scikit_learns(strategy: str, shared_data: Path) -> None:
    # given columns where 0 is a frequent value
    frame = numbers_of(shared_data, "credit").filter(like="_AMT")
    step = {"kind": "impute", "strategy": strategy, "missing_values": 0}
    peer = make_pipeline(SimpleImputer(strategy=strategy, missing_values=0), StandardScaler())
    assert_same(frame, [step, "scale"], peer)


def test_indicators_equal_scikit_learns(shared_data: Path) -> None:
    frame = numbers_of(shared_data, "flights")
    fitted = fitted_from_pieces(
        frame, [{"kind": "impute", "fill_value": -1, "strategy": "constant", "indicator": True}]
    )
    found = pd.DataFrame(
        fitted.matrix(pa.Table.from_pandas(frame, preserve_index=False)), columns=list(fitted.feature_names)
    )
    peer = SimpleImputer(strategy="constant", fill_value=-1, add_indicator=True).set_output(transform="pandas")
    expected = peer.fit_transform(frame).rename(
        columns=lambda name: f"{name[17:]}_missing" if name[:17] == "missingindicator_" else name
    )
    assert set(found.columns) == set(expected.columns)
    pd.testing.assert_frame_equal(found[expected.columns], expected.astype("float32"), check_dtype=False)


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n_bins": 12, "encode": "ordinal"},
        {"quantile_method": "linear"},
        {"quantile_method": "inverted_cdf", "encode": "ordinal"},
        {"strategy": "uniform", "n_bins": 8},
        {"strategy": "uniform", "encode": "ordinal"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Bins whose width are too small")
def test_bins_equal_scikit_learns(name: str, options: dict[str, Any], shared_data: Path) -> None:
    # given columns that have more than one bin: one bin is left out here, and a column of zeros there
    frame = numbers_of(shared_data, name).dropna()
    chosen = {"n_bins": 5, "encode": "onehot", **options}
    peer = KBinsDiscretizer(subsample=None, **(chosen | {"encode": chosen["encode"].replace("onehot", "onehot-dense")}))
    frame = frame.loc[:, peer.fit(frame.to_numpy()).n_bins_ > 1]
    assert_same(frame, [{"kind": "bin", **options}], peer)


@pytest.mark.parametrize("name", TABLES)
def test_clipping_before_scaling_uses_the_moments_of_clipped_numbers(name: str, shared_data: Path) -> None:
    frame = numbers_of(shared_data, name)
    frame = frame.loc[:, frame.quantile(0.05) < frame.quantile(0.95)]
    low, high = frame.quantile(0.05).to_numpy(), frame.quantile(0.95).to_numpy()
    clip = {"kind": "clip", "lower_quantile": 0.05, "upper_quantile": 0.95}
    clipper = FunctionTransformer(np.clip, kw_args={"a_min": low, "a_max": high})
    assert_same(frame, [clip, "scale"], make_pipeline(clipper, StandardScaler()))
    assert_same(frame, [clip, "impute", "power"], make_pipeline(clipper, SimpleImputer(), PowerTransformer()))


@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("step", "function"),
    [
        ("signed_log", lambda x: np.sign(x) * np.log1p(np.abs(x))),
        ({"kind": "signed_log", "base": 10}, lambda x: np.sign(x) * np.log1p(np.abs(x)) / np.log(10)),
        ("log", np.log),
        ("log1p", np.log1p),
        ("sqrt", np.sqrt),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_functions_before_scaling_use_the_moments_of_their_results(
    name: str, step: Any, function: Any, shared_data: Path
) -> None:
    frame = numbers_of(shared_data, name)
    frame = frame if "signed_log" in str(step) else frame.loc[:, frame.min() > 0]
    assert_same(frame, [step, "scale"], make_pipeline(FunctionTransformer(function), StandardScaler()))


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize(
    ("chain", "peer"),
    [
        (["impute", "scale"], make_pipeline(SimpleImputer(), StandardScaler())),
        ([{"kind": "scale", "method": "robust"}], RobustScaler()),
        (["quantile"], QuantileTransformer(subsample=None)),
        (["power"], PowerTransformer()),
        (
            ["impute", {"kind": "bin", "strategy": "uniform"}],
            make_pipeline(SimpleImputer(), KBinsDiscretizer(strategy="uniform", encode="onehot-dense", subsample=None)),
        ),
    ],
    ids=["standard", "robust", "quantile", "power", "bin"],
)
def test_whole_tables_are_as_scikit_learns_too(name: str, chain: list[Any], peer: Any, shared_data: Path) -> None:
    assert_same(whole(shared_data, name), chain, peer)
