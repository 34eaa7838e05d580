"""On real tables the preprocessing equals scikit-learn's, fitted on the whole and from pieces."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from daskflow.data.schema import Schema
from daskflow.data.statistics import Statistics
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing


def credit(folder: Path) -> pd.DataFrame:
    """All numeric."""
    frame = pd.read_csv(folder / "credit_default" / "UCI_Credit_Card.csv.gz")
    return frame.drop(columns="default.payment.next.month")


def flights(folder: Path) -> pd.DataFrame:
    """Numbers with gaps, thousands of levels, a constant year."""
    parts = sorted((folder / "pnw_flights14" / "flights").glob("*.parquet"))
    return pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True).drop(columns="year")


def intrusion(folder: Path) -> pd.DataFrame:
    """Heavy tails, duplicates; two constant columns left out here, as daskflow does itself."""
    table = pq.read_table(folder / "kdd99_intrusion" / "part.03.parquet").to_pandas()
    constant = [name for name in table.columns if table[name].nunique(dropna=False) == 1]
    return table.drop(columns=[*constant, "label"])


def reference(frame: pd.DataFrame, min_frequency: float) -> tuple[Any, list[str]]:
    """What scikit-learn makes of the same columns, in float64, and its names."""
    words = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    numbers = [name for name in frame.columns if name not in words]
    plain = frame.assign(**{name: frame[name].astype("float64") for name in numbers})
    plain = plain.assign(**{name: frame[name].astype(object).where(frame[name].notna(), None) for name in words})
    encoder = OneHotEncoder(min_frequency=min_frequency, handle_unknown="infrequent_if_exist", sparse_output=False)
    both = ColumnTransformer(
        [("n", make_pipeline(SimpleImputer(), StandardScaler()), numbers), ("w", encoder, words)],
        verbose_feature_names_out=False,
    )
    matrix = both.fit_transform(plain)
    renamed = [name.replace("infrequent_sklearn", "(rare)") for name in both.get_feature_names_out()]
    return matrix, renamed


def from_pieces(table: pa.Table, settings: Preprocessing, n_pieces: int) -> FittedPreprocessor:
    """Fit from merged statistics of pieces, each with rows of several segments."""
    schema = Schema.of(table.schema)
    needs = settings.needs(schema)
    segments = (np.arange(table.num_rows) % 4).astype(np.uint8)
    edges = np.linspace(0, table.num_rows, n_pieces + 1).astype(int)
    states = [Statistics.of(table.slice(a, b - a), segments[a:b], needs) for a, b in itertools.pairwise(edges)]
    merged = states[0]
    for state in states[1:]:
        merged = merged.merge(state)
    return settings.fit(schema, merged.only(range(4)), sparse=False)


@pytest.mark.parametrize("load", [credit, pytest.param(flights, marks=pytest.mark.slow), intrusion])
@pytest.mark.parametrize("n_pieces", [pytest.param(1, marks=pytest.mark.slow), 7])
def test_the_matrix_equals_that_of_scikit_learn(load: Any, n_pieces: int, shared_data: Path) -> None:
    # given a real table, and scikit-learn's imputer, scaler and encoder
    frame = load(shared_data)
    words = [name for name in frame.columns if not pd.api.types.is_numeric_dtype(frame[name])]
    frame = frame[frame[words].notna().all(axis=1)]  # missing strings have a column of their own here
    settings = Preprocessing(categorical=[{"kind": "rare", "min_frequency": 0.003}, "onehot"])
    expected, names = reference(frame, 0.003)

    # when it is fitted from one or several pieces
    table = pa.Table.from_pandas(frame, preserve_index=False)
    fitted = from_pieces(table, settings, n_pieces)
    found = fitted.matrix(table)

    # then the columns are the same, by name
    assert sorted(fitted.feature_names) == sorted(names)
    assert fitted.warnings == ()
    order = [names.index(name) for name in fitted.feature_names]
    scale = np.maximum(1.0, np.abs(expected[:, order]))
    assert (np.abs(found - expected[:, order]) / scale).max() < 1e-6


def test_means_and_deviations_equal_scikit_learns_in_float64(shared_data: Path) -> None:
    frame = credit(shared_data)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    fitted = from_pieces(table, Preprocessing(), 5)
    scaler = StandardScaler().fit(frame.astype("float64"))
    for number, column in enumerate(fitted.columns):
        scaled: Any = column.steps[1]
        assert scaled.centre == pytest.approx(scaler.mean_[number], rel=1e-12, abs=1e-9)
        assert scaled.scale == pytest.approx(scaler.scale_[number], rel=1e-12)


def test_medians_of_real_columns_are_exact(shared_data: Path) -> None:
    frame = flights(shared_data)[["air_time", "dep_time", "distance"]]
    table = pa.Table.from_pandas(frame, preserve_index=False)
    fitted = from_pieces(table, Preprocessing(numeric=[{"kind": "impute", "strategy": "median"}]), 5)
    fills = [step.dump()["fill"] for column in fitted.columns for step in column.steps]
    assert fills == frame.median().tolist()


def test_the_constant_column_of_the_intrusion_table_is_left_out(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "kdd99_intrusion" / "part.00.parquet").drop_columns(["label"])
    fitted = from_pieces(table, Preprocessing(), 3)
    assert "Column 'num_outbound_cmds' is constant in the training rows (0); it is left out." in fitted.warnings
