"""Drifted columns are called so and no others, and leaks are suspected where there are some."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy.stats import ks_2samp

from daskflow.core.errors import DataError
from daskflow.metrics.drift import distance, drift, texts
from daskflow.metrics.leaks import alone, leaks


def table_of(n: int, seed: int) -> pa.Table:
    rng = np.random.default_rng(seed)
    start = datetime(2024, 1, 1)
    return pa.table(
        {
            "size": pa.array(rng.normal(size=n), mask=rng.random(n) < 0.1),
            "count": rng.poisson(2.0, n),
            "colour": pa.array(rng.choice(["red", "green", "blue"], n, p=[0.6, 0.3, 0.1]), mask=rng.random(n) < 0.05),
            "flag": rng.random(n) < 0.3,
            "town": [f"t{number}" for number in rng.zipf(1.6, n) % 300],
            "id": [f"{seed}-{row}" for row in range(n)],
            "when": [start + timedelta(hours=float(hours)) for hours in rng.uniform(0, 5000, n)],
            "none": pa.nulls(n),
        }
    )


def drifted(train: pa.Table, test: pa.Table, **options: Any) -> dict[str, dict[str, Any]]:
    return {row["column"]: row for row in drift(train, test, **options) if row["is_drifted"]}


@pytest.mark.parametrize(("repeats", "n"), [(40, 600), pytest.param(150, 1000, marks=pytest.mark.slow)])
def test_samples_of_the_same_rows_are_hardly_ever_called_drifted(repeats: int, n: int) -> None:
    # given pairs of samples of one table; 1 of 1000 pairs may be called drifted
    found = [bool(drifted(table_of(n, 2 * seed), table_of(n // 2, 2 * seed + 1))) for seed in range(repeats)]

    assert sum(found) <= 2


def test_each_kind_of_column_that_differs_is_called_drifted_with_words_for_both_sides() -> None:
    train, test = table_of(3000, 1), table_of(2000, 2)
    rng = np.random.default_rng(3)
    changed = {
        "size": pa.array(rng.normal(size=2000) + 0.3),
        "colour": pa.array(rng.choice(["red", "green", "violet"], 2000, p=[0.4, 0.3, 0.3])),
        "flag": pa.array(rng.random(2000) < 0.5),
        "when": pa.array([datetime(2024, 9, 1)] * 2000),
    }
    for name, values in changed.items():
        test = test.set_column(test.column_names.index(name), name, values)

    found = drift(train, test)

    assert {row["column"] for row in found if row["is_drifted"]} == set(changed)
    assert found[0]["column"] == "when"
    by = {row["column"]: row for row in found}
    assert {row["statistic"] for row in found} == {"KS", "TV"}
    assert "'violet' 0.0 %" in by["colour"]["train"]
    assert by["size"]["train"].startswith("median ")
    assert by["size"]["train"].endswith("% missing")
    assert by["when"]["test"] == "median 2024-09-01 00:00, half between 2024-09-01 00:00 and 2024-09-01 00:00"
    assert len(texts(found)) == 4
    json.dumps(found, allow_nan=False)


def test_values_that_go_missing_are_drift() -> None:
    train, test = table_of(2000, 4), table_of(2000, 5)
    gone = pa.array(np.random.default_rng(6).normal(size=2000), mask=np.arange(2000) % 3 == 0)
    test = test.set_column(0, "size", gone)

    found = drifted(train, test)

    assert list(found) == ["size"]
    assert found["size"]["test"].endswith("33.4 % missing")


def test_the_statistic_of_kolmogorov_and_smirnov_is_that_of_scipy() -> None:
    rng = np.random.default_rng(7)
    first, second = rng.normal(size=300).round(1), rng.normal(0.2, size=170).round(1)

    assert distance(first, second) == pytest.approx(ks_2samp(first, second).statistic)


def test_the_total_variation_is_half_the_distance_of_shares() -> None:
    train = pa.table({"a": ["x"] * 60 + ["y"] * 30 + [None] * 10})
    test = pa.table({"a": ["x"] * 20 + ["z"] * 70 + [None] * 10})

    row = drift(train, test)[0]

    assert row["value"] == pytest.approx(0.7)
    assert row["statistic"] == "TV"


def test_dictionaries_and_types_that_differ_between_the_sides_are_compared_by_value() -> None:
    train = pa.table({"a": pa.array(["x", "y"] * 300).dictionary_encode(), "b": pa.array([1, 2] * 300, pa.int8())})
    test = pa.table({"a": ["y", "x"] * 300, "b": pa.array([2.0, 1.0] * 300)})

    assert [row["value"] for row in drift(train, test)] == [0.0, 0.0]


def test_groups_of_rows_allow_for_more_chance() -> None:
    # given 30 groups of 100 equal rows on either side
    rng = np.random.default_rng(8)
    train, test = (pa.table({"a": np.repeat(rng.normal(size=30), 100)}) for _ in range(2))

    assert drifted(train, test)
    assert not drifted(train, test, train_units=30, test_units=30)


def test_an_empty_side_is_refused_and_columns_of_one_side_are_left_out() -> None:
    with pytest.raises(DataError, match="sample of test rows is empty"):
        drift(table_of(10, 1), table_of(0, 1))
    assert drift(pa.table({"a": [1]}), pa.table({"b": [1]})) == []
    assert drift(pa.table({"a": [[1]]}), pa.table({"a": [[1]]})) == []


# --- leaks --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flights(shared_data: Path) -> tuple[pa.Table, Any]:
    """Departures, and how late they arrived."""
    files = sorted((shared_data / "pnw_flights14" / "flights").glob("*.parquet"))
    frame = pd.concat([pd.read_parquet(file) for file in files])
    frame = frame[frame["arr_delay"].notna()].sample(8000, random_state=0)
    y = frame.pop("arr_delay").to_numpy(dtype=float)
    return pa.Table.from_pandas(frame, preserve_index=False), y


@pytest.mark.parametrize("task", ["regression", "binary"])
def test_the_departure_delay_is_suspected_of_leaking_the_arrival_delay(flights: Any, task: str) -> None:
    table, late = flights
    y = late if task == "regression" else (late > 15).astype(int)

    found = leaks(
        table, y, task, {"columns": [{"column": "dep_delay", "value": 0.3}, {"column": "hour", "value": 0.1}]}
    )

    assert [row["column"] for row in found] == ["dep_delay"]
    assert found[0]["metric"] == ("r2" if task == "regression" else "roc_auc")
    assert "75 % of the model's importances" in found[0]["text"]
    assert "Is it known before the target is?" in found[0]["text"]
    assert leaks(table.drop_columns(["dep_delay"]), y, task) == []
    json.dumps(found, allow_nan=False)


def _thinned(table: pa.Table, step: int) -> pd.DataFrame:
    return table.take(pa.array(range(0, table.num_rows, step))).to_pandas()


def clean(shared_data: Path, name: str) -> tuple[pa.Table, Any, str]:
    """Real tables whose columns are all known beforehand."""
    if name == "credit_default":
        frame = pd.read_csv(next((shared_data / name).glob("*.csv.gz")))
        y, task = frame.pop("default.payment.next.month").to_numpy(), "binary"
    elif name == "adult_income":
        frame = pd.read_csv(shared_data / name / "adult_train.csv.gz", header=None, skipinitialspace=True)
        frame.columns = [f"c{number}" for number in frame.columns]
        y, task = (frame.pop("c14") == ">50K").to_numpy().astype(int), "binary"
    elif name == "uk_used_cars":
        frame = pd.concat([pd.read_csv(file) for file in sorted((shared_data / name).glob("*.csv.gz"))])
        y, task = frame.pop("price").to_numpy(dtype=float), "regression"
    elif name == "pjm_energy_hourly":
        frames = [pd.read_csv(file) for file in sorted((shared_data / name).glob("*.csv.gz"))]
        frame = pd.concat([part.set_axis(["at", "MW"], axis=1).assign(zone=n) for n, part in enumerate(frames)])
        y, task = frame.pop("MW").to_numpy(dtype=float), "regression"
    else:
        files = sorted((shared_data / name).glob("*.parquet"))
        frame = pd.concat([_thinned(pq.read_table(file), 40) for file in files])
        y, task = pd.factorize(frame.pop("label"))[0], "multiclass"
    rows = np.random.default_rng(1).permutation(len(frame))[:10_000]
    return pa.Table.from_pandas(frame.iloc[rows], preserve_index=False), y[rows], task


@pytest.mark.parametrize(
    "name",
    [
        "credit_default",
        *(
            pytest.param(name, marks=pytest.mark.slow)
            for name in ("adult_income", "uk_used_cars", "pjm_energy_hourly", "kdd99_intrusion")
        ),
    ],
)
def test_no_column_of_a_real_table_without_leaks_is_suspected(shared_data: Path, name: str) -> None:
    table, y, task = clean(shared_data, name)

    assert leaks(table, y, task) == []


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("kind", ["copy", "text", "missing", "time"])
def test_a_column_made_from_the_target_is_suspected_whatever_its_kind(task: str, kind: str) -> None:
    rng = np.random.default_rng(9)
    y = rng.integers(0, 2 if task == "binary" else 4, 2000)
    if kind == "missing":
        y = np.minimum(y, 1)
        task = "binary" if task == "multiclass" else task
    made: dict[str, Any] = {
        "copy": y * 1000.0 + rng.normal(size=2000),
        "text": [f"class {code}" for code in y],
        "missing": pa.array(rng.normal(size=2000), mask=y == 1),
        "time": [datetime(2024, 1, 1) + timedelta(days=int(code)) for code in y],
    }
    table = pa.table({"noise": rng.normal(size=2000), "made": made[kind], "infinite": np.full(2000, np.inf)})

    found = leaks(table, y.astype(float) if task == "regression" else y, task)

    assert [row["column"] for row in found] == ["made"]
    assert found[0]["score"] == pytest.approx(1.0, abs=0.005)


def test_noise_and_names_of_single_rows_say_nothing_about_the_target() -> None:
    rng = np.random.default_rng(10)
    table = pa.table({"noise": rng.normal(size=3000), "id": [f"n{row}" for row in range(3000)], "row": np.arange(3000)})

    found = alone(table, rng.integers(0, 2, 3000), "binary")

    assert all(abs(area - 0.5) < 0.05 for area in found.values())


def test_a_name_of_a_unit_is_no_leak_when_units_stay_together() -> None:
    # given customers whose rows all have the same answer
    rng = np.random.default_rng(11)
    customer = np.repeat(np.arange(200), 10)
    y = rng.integers(0, 2, 200)[customer]
    table = pa.table({"customer": [f"c{number}" for number in customer]})

    assert [row["column"] for row in leaks(table, y, "binary")] == ["customer"]
    assert leaks(table, y, "binary", unit=customer.astype(np.uint64)) == []


def test_hardly_any_rows_one_class_and_other_tasks_accuse_nobody() -> None:
    table = pa.table({"a": np.arange(100)})
    assert leaks(table.slice(0, 5), np.arange(5) % 2, "binary") == []
    assert leaks(table, np.zeros(100, dtype=int), "binary") == []
    assert leaks(table, np.zeros((100, 2)), "multilabel") == []
    with pytest.raises(DataError, match="100 rows of source columns and 5 of the target"):
        leaks(table, np.arange(5), "binary")
