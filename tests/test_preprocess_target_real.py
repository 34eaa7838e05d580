"""On real tables target and frequency encodings equal scikit-learn's and pandas' numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.model_selection import PredefinedSplit
from sklearn.preprocessing import TargetEncoder

from tests.small_statistics import column, fit


def adult(folder: Path) -> tuple[pd.DataFrame, Any]:
    """Binary; missing occupations."""
    file = folder / "adult_income" / "adult_train.csv.gz"
    frame = pd.read_csv(file, header=None, na_values="?", skipinitialspace=True)
    return frame[[6, 13]].set_axis(["occupation", "country"], axis=1), (frame[14] == ">50K").to_numpy().astype(int)


def flights(folder: Path) -> tuple[pd.DataFrame, Any]:
    """Regression; three thousand tail numbers, some missing."""
    parts = sorted((folder / "pnw_flights14" / "flights").glob("*.parquet"))[:3]
    frame = pd.concat([pd.read_parquet(part) for part in parts], ignore_index=True)
    frame = frame[frame["arr_delay"].notna()]
    return frame[["tailnum", "dest"]], frame["arr_delay"].to_numpy(dtype=float)


def connections(folder: Path) -> tuple[pd.DataFrame, Any]:
    """Multiclass."""
    frame = pd.read_parquet(folder / "kdd99_intrusion" / "part.02.parquet")
    return frame[["service", "flag"]], pd.factorize(frame["label"], sort=True)[0]


def cut_in_five(n_rows: int) -> list[Any]:
    """Rows of five uneven pieces, one of them empty."""
    order = np.random.default_rng(1).permutation(n_rows)
    return np.split(order, [n_rows // 10, n_rows // 2, n_rows // 2, n_rows - 7])


@pytest.mark.parametrize("smooth", ["auto", 20.0])
@pytest.mark.parametrize("load", [adult, flights, connections])
def test_encodings_equal_those_of_scikit_learn(load: Any, smooth: Any, shared_data: Path) -> None:
    # given a real table, inner parts, and scikit-learn's encoder with the same folds
    frame, y = load(shared_data)
    parts = np.random.default_rng(0).integers(0, 5, len(frame)).astype(np.uint8)
    kind = {adult: "binary", flights: "continuous", connections: "multiclass"}[load]
    encoder = TargetEncoder(smooth=smooth, target_type=kind, cv=PredefinedSplit(parts))
    plain = frame.astype(object).where(frame.notna(), None)
    expected_training = encoder.fit_transform(plain, y)
    expected_new = encoder.transform(plain)

    # when it is counted piece by piece
    table = pa.Table.from_pandas(frame, preserve_index=False)
    chains = {name: [{"kind": "target", "smooth": smooth}] for name in frame.columns}
    fitted = fit(table, parts, y, pieces=cut_in_five(len(frame)), **chains)

    # then training rows and new rows are the same numbers
    for found, expected in ((fitted.matrix(table), expected_new), (fitted.matrix(table, parts), expected_training)):
        assert (np.abs(found - expected) / np.maximum(1.0, np.abs(expected))).max() < 1e-6
    assert fitted.unseen(table) == dict.fromkeys(frame.columns, 0)


@pytest.mark.parametrize("method", ["share", "count", "log"])
def test_frequencies_equal_those_of_pandas(method: str, shared_data: Path) -> None:
    frame, _ = flights(shared_data)
    table = pa.Table.from_pandas(frame, preserve_index=False)
    fitted = fit(table, pieces=cut_in_five(len(frame)), tailnum=[{"kind": "frequency", "method": method}])

    counts = frame["tailnum"].fillna("missing").map(frame["tailnum"].fillna("missing").value_counts())
    expected = {"share": counts / len(frame), "count": counts, "log": np.log1p(counts)}[method]
    assert column(fitted, table, "tailnum") == pytest.approx(expected.tolist(), rel=1e-6)
