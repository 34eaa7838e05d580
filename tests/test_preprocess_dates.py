"""Dates: parts of the calendar as pandas has them, ages, clocks of any zone."""

from __future__ import annotations

import datetime
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from daskflow.core.errors import SettingsError
from daskflow.data.schema import Schema
from daskflow.preprocess.dates import FLAGS, PARTS
from daskflow.preprocess.fitted import FittedPreprocessor
from daskflow.preprocess.settings import Preprocessing
from tests.small_statistics import column, fit

EVERY = [*PARTS, *FLAGS]


def dates(values: Any, unit: str = "us", zone: str | None = None) -> pa.Table:
    """A table of one date column 'd'."""
    return pa.table({"d": pa.array([None if v is None else pd.Timestamp(v) for v in values], pa.timestamp(unit, zone))})


def by_pandas(stamps: Any, part: str) -> list[float]:
    """What pandas says of timestamps."""
    series = pd.Series(stamps)
    if part == "week":
        return [float(week) for week in series.dt.isocalendar().week]
    if part == "is_weekend":
        return [float(day >= 5) for day in series.dt.day_of_week]
    name = {"dayofweek": "day_of_week", "dayofyear": "day_of_year"}.get(part, part)
    return [float(value) for value in getattr(series.dt, name)]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.datetimes(datetime.datetime(1, 1, 2), datetime.datetime(9999, 12, 30)), min_size=1, max_size=20),
    st.sampled_from(["s", "ms", "us"]),
)
def test_plain_parts_of_any_date_are_those_of_pandas(stamps: list[datetime.datetime], unit: str) -> None:
    anchors = [datetime.datetime(1999, 2, 28, 1, 2, 3), datetime.datetime(2001, 7, 1, 23, 59, 59)]  # every part varies
    table = pa.table({"d": pa.array([*anchors, *stamps], pa.timestamp("us")).cast(pa.timestamp(unit), safe=False)})

    fitted = fit(table, d=[{"kind": "dates", "parts": EVERY, "time": False, "scaled": False}])

    assert fitted.feature_names == tuple(f"d_{part}" for part in EVERY)
    clock = pd.Series(table["d"].to_numpy())
    for part in EVERY:
        assert column(fitted, table, f"d_{part}") == by_pandas(clock, part), part


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "+05:30"])
def test_parts_are_those_of_the_columns_clock_also_when_it_is_put_forward_or_back(zone: str) -> None:
    # given every half hour around both changes of the clocks of 2024, in Berlin and in New York
    starts = ["2024-03-10", "2024-03-31", "2024-10-27", "2024-11-03"]
    instants = pd.DatetimeIndex(
        np.concatenate([pd.date_range(start, periods=60, freq="30min", tz="UTC").tz_localize(None) for start in starts])
    ).tz_localize("UTC")
    table = pa.table({"d": pa.array(instants.tz_convert(zone))})

    fitted = fit(table, d=[{"kind": "dates", "parts": ["month", "day", "hour", "is_weekend"], "scaled": False}])

    clock = pd.Series(instants).dt.tz_convert(zone)
    for part in ("month", "day", "hour", "is_weekend"):
        assert column(fitted, table, f"d_{part}") == by_pandas(clock, part)
    elsewhere = pa.table({"d": pa.array(instants.tz_convert("Asia/Tokyo"))})
    assert np.array_equal(fitted.matrix(elsewhere), fitted.matrix(table))


def test_another_zones_clock_can_be_asked_for() -> None:
    table = dates(["2024-07-01 22:30Z", "2024-12-31 23:30Z"], zone="UTC")  # half past midnight, both, in Berlin
    chain = [{"kind": "dates", "parts": ["day", "month"], "zone": "Europe/Berlin", "time": False, "scaled": False}]

    fitted = fit(table, d=chain)

    assert fitted.matrix(table).tolist() == [[2, 7], [1, 1]]
    assert FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))) == fitted
    with pytest.raises(SettingsError, match="is no time zone; take a name such as 'Europe/Berlin'"):
        Preprocessing(datetime=[{"kind": "dates", "zone": "Europe/Bonn"}])
    naive = dates(["2024-07-01"])
    with pytest.raises(SettingsError, match=r"is for dates with a time zone; timestamp\[us\] has none. Leave zone out"):
        Preprocessing(datetime=[{"kind": "dates", "zone": "UTC"}]).needs(Schema.of(naive.schema))


def test_an_age_counts_the_days_to_a_given_date_or_to_the_last_one_of_training() -> None:
    table = dates(["2024-01-01", "2024-01-31 12:00", None])
    chain = {"kind": "dates", "parts": [], "time": False, "scaled": False}

    given = fit(table, d=[{**chain, "age": "2024-03-01"}])
    last = fit(table, d=[{**chain, "age": "last"}])

    assert given.feature_names == ("d_age", "d_missing")
    assert column(given, table, "d_age") == [60, 29.5, 0]
    assert column(last, table, "d_age") == [30.5, 0, 0]
    later = dates(["2024-02-10 12:00"])
    assert column(last, later, "d_age") == [-10]  # the last date is that of training
    scaled = fit(table, d=[{**chain, "age": datetime.date(2024, 3, 1), "scaled": True}])
    assert column(scaled, table, "d_age") == pytest.approx([60 / 15.25, 29.5 / 15.25, 0], rel=1e-6)


def test_an_age_counts_from_midnight_in_the_columns_zone() -> None:
    table = dates(["2024-07-01 22:00Z", "2024-07-02 22:00Z"], zone="Europe/Berlin")  # midnights in Berlin
    chain = {"kind": "dates", "parts": [], "time": False, "scaled": False, "age": "2024-07-10"}

    assert column(fit(table, d=[chain]), table, "d_age") == [8, 7]
    assert column(fit(table, d=[{**chain, "zone": "UTC"}]), table, "d_age") == pytest.approx([8 + 2 / 24, 7 + 2 / 24])


def test_plain_time_is_days_since_2000() -> None:
    table = dates(["2000-01-02", "2000-01-11 12:00"])

    assert fit(table, d=[{"kind": "dates", "parts": [], "scaled": False}]).matrix(table).tolist() == [[1], [10.5]]


def test_truths_are_no_points_on_a_circle() -> None:
    table = dates(["2024-01-31", "2024-02-10"])
    chain = {"kind": "dates", "parts": ["month", "is_month_end"], "cyclical": True, "time": False}

    fitted = fit(table, d=[chain])

    assert fitted.feature_names == ("d_month_sin", "d_month_cos", "d_is_month_end")
    assert fitted.matrix(table)[:, 2].tolist() == [1, 0]
    january = fitted.matrix(table)[0, :2]
    assert january == pytest.approx([0, 1])
    assert np.hypot(*fitted.matrix(table)[1, :2]) == pytest.approx(1)
    assert math.isclose(math.atan2(*fitted.matrix(table)[1, :2]), math.pi / 6, rel_tol=1e-6)


def test_results_do_not_depend_on_pieces_and_survive_json() -> None:
    table = dates([None, *pd.date_range("1990-01-01", periods=50, freq="37h")])
    chain = [{"kind": "dates", "parts": EVERY, "age": "last"}]
    pieces = [np.arange(40, 51), np.array([], dtype=int), np.arange(0, 40)]

    fitted = fit(table, d=chain)

    assert fit(table, pieces=pieces, d=chain) == fitted
    assert FittedPreprocessor.load(json.loads(json.dumps(fitted.dump()))) == fitted


def test_a_date_of_which_nothing_would_be_left_is_refused() -> None:
    naive = Schema.of(dates([]).schema)
    with pytest.raises(SettingsError, match="there is no age: nothing is left of the date"):
        Preprocessing(datetime=[{"kind": "dates", "parts": [], "time": False}]).needs(naive)
    Preprocessing(datetime=[{"kind": "dates", "parts": [], "time": False, "age": "last"}]).needs(naive)
    with pytest.raises(SettingsError, match="age"):
        Preprocessing(datetime=[{"kind": "dates", "age": "yesterday"}])


def test_real_departures_have_the_parts_that_pandas_says(shared_data: Path) -> None:
    months = sorted((shared_data / "pnw_flights14" / "flights").glob("*.parquet"))
    frame = pd.concat([pq.read_table(month, columns=["year", "month", "day"]).to_pandas() for month in months])
    days = pd.to_datetime(frame)
    table = pa.table({"d": pa.array(days, pa.date32())})

    fitted = fit(table, d=[{"kind": "dates", "parts": EVERY, "time": False, "scaled": False}])

    for name in fitted.feature_names:
        assert column(fitted, table, name) == by_pandas(days, name.removeprefix("d_")), name
