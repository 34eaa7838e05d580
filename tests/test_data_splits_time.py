"""Splits by time keep their gap to the instant, slide their window, and leave nothing else out."""

from __future__ import annotations

import itertools
from datetime import timedelta
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import HealthCheck, given, settings
from sklearn.model_selection import TimeSeriesSplit

from daskflow.core.errors import DataError, SettingsError
from daskflow.data import counts as counts_room
from daskflow.data.spans import Span
from daskflow.data.splits import TEST, Split, SplitPlan
from tests.small_tables import Prepared, cut, prepared, ranges_of, table_of

HOUR = np.timedelta64(1, "h")


def hours(numbers: Any) -> pa.Table:
    """One row for each of some hours, with their number."""
    n = np.asarray(numbers)
    when = np.datetime64("2020-01-01", "us") + n * HOUR
    return pa.table({"x": np.arange(len(n)), "hour": n, "when": when, "y": np.arange(len(n)) % 2})


def sides(ready: Prepared, column: str) -> list[tuple[np.ndarray, np.ndarray, int | None]]:
    """Times that each fold trains on and validates on; at last those of the refit and the test, and where it begins."""
    frame = ranges_of(ready).to_pandas()
    plan = ready.plan

    def of(segments: tuple[int, ...]) -> np.ndarray:
        return np.sort(frame[column][frame.segment.isin(segments)].to_numpy())

    found = [(of(fold.train), of(fold.validation)) for fold in plan.folds]
    return [*found, (of(plan.final), of((TEST,)))]


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("7 days", ("nanosecond", 7 * 86_400 * 10**9)),
        ("1.5h", ("nanosecond", 5_400 * 10**9)),
        ("90 min", ("nanosecond", 5_400 * 10**9)),
        ("2 weeks", ("nanosecond", 14 * 86_400 * 10**9)),
        ("500 rows", ("row", 500)),
        ("1 piece", ("piece", 1)),
        (3, ("unit", 3)),
        ("3 units", ("unit", 3)),
    ],
)
def test_lengths_are_read_as_people_write_them(said: Any, meant: tuple[str, int]) -> None:
    span = Span.parse(said)
    assert (span.unit, span.amount) == meant


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"kind": "random", "gap": "1 day"}, "gap is for kind = 'time'"),
        ({"kind": "stratified", "window": 2}, "window is for kind = 'time'"),
        ({"kind": "time", "gap": "1 month"}, "a month has no fixed length: say it in days"),
        ({"kind": "time", "gap": "3 dyas"}, "did you mean 'day'"),
        ({"kind": "time", "gap": "7"}, "a number with a unit, such as '7 days'"),
        ({"kind": "time", "gap": 0}, "a length is above 0"),
        ({"kind": "time", "gap": "-1 day"}, "a number with a unit"),
        ({"kind": "time", "gap": "2 pieces"}, "not of pieces"),
        ({"kind": "time", "window": "1.5 rows"}, "a part of a row cannot be"),
        ({"kind": "time", "window": True}, "should be"),
        ({"kind": "time", "repeats": 2}, "a split by time draws nothing"),
    ],
)
def test_lengths_that_mean_nothing_are_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        Split(**values)


def test_a_timedelta_is_a_length_and_comes_back_from_a_file() -> None:
    split = Split(kind="time", gap=timedelta(days=2))

    assert split.gap_span == Span.parse("48 hours")
    assert Split(**split.dump()) == split


@pytest.mark.parametrize(
    ("kind", "split", "said"),
    [
        (pa.timestamp("us"), {"gap": 7}, "has no unit, and the time column holds dates: say '7 days'"),
        (pa.int64(), {"gap": "7 days"}, "is a duration, and the time column holds numbers"),
        (pa.date32(), {"gap": "6 hours"}, "less than one step of the time column"),
        (pa.int64(), {"window": "1 week"}, "split.window = '1 week' is a duration"),
    ],
)
def test_lengths_that_do_not_fit_the_column_are_refused(
    kind: pa.DataType, split: dict[str, Any], said: str, tmp_path: Path
) -> None:
    whole = pa.array(range(100), pa.int32() if kind == pa.date32() else pa.int64())
    rows = pa.table({"x": range(100), "when": whole.cast(kind), "y": [0, 1] * 50})

    with pytest.raises(DataError, match=said):
        prepared(table_of([rows], target="y", time="when"), tmp_path, Split(kind="time", folds=3, **split))


def test_a_gap_leaves_a_day_between_what_is_learned_and_what_is_judged(tmp_path: Path) -> None:
    split = Split(kind="time", folds=3, gap="1 day")

    ready = prepared(table_of(cut(hours(range(1_000)), 4), target="y", time="when"), tmp_path, split)

    for train, judged in sides(ready, "when"):
        assert judged[0] - train[-1] == 25 * HOUR
    assert ready.plan.sizes == {"train": 776, "validation": 0, "test": 200}
    assert sum(ready.plan.rows) == 1_000


def test_a_window_slides_and_the_refit_has_the_last_one(tmp_path: Path) -> None:
    split = Split(kind="time", folds=4, window="5 days", gap="12 hours")

    ready = prepared(table_of(cut(hours(range(1_000)), 4), target="y", time="when"), tmp_path, split)

    for train, judged in sides(ready, "when"):
        assert (len(train), len(judged) >= 160) == (120, True)
        assert judged[0] - train[-1] == 13 * HOUR
    assert ready.plan.sizes["train"] == 120


def test_a_window_of_pieces_grows_until_it_is_full(tmp_path: Path) -> None:
    ready = prepared(
        table_of([hours(range(1_000))], target="y", time="when"), tmp_path, Split(kind="time", folds=4, window=2)
    )

    assert [len(train) for train, _ in sides(ready, "when")] == [160, 320, 320, 320, 320]


def test_without_a_test_the_refit_has_the_window_at_the_end(tmp_path: Path) -> None:
    split = Split(kind="time", folds=4, window="100 rows", test=0)

    ready = prepared(table_of([hours(range(1_000))], target="y", time="when"), tmp_path, split)

    assert sides(ready, "hour")[-1][0].tolist() == list(range(900, 1_000))


def test_a_validation_part_has_gap_and_window_too(tmp_path: Path) -> None:
    split = Split(kind="time", validation=0.2, window="100 units", gap=10)

    ready = prepared(table_of([hours(range(1_000))], target="y", time="hour"), tmp_path, split)

    (train, judged), (refit, test) = sides(ready, "hour")
    assert (train[0], train[-1], judged[0], judged[-1]) == (490, 589, 600, 799)
    assert (refit[0], refit[-1], test[0], test[-1]) == (690, 789, 800, 999)
    assert ready.plan.sizes == {"train": 100, "validation": 200, "test": 200}


def test_a_gap_longer_than_the_first_piece_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"training of fold 1, training of fold 2: 100 rows.*or a gap shorter than 2 days"
    ):
        prepared(
            table_of([hours(range(100))], target="y", time="when"), tmp_path, Split(kind="time", folds=3, gap="2 days")
        )


def test_more_boundaries_than_segments_are_refused(tmp_path: Path) -> None:
    split = Split(kind="time", folds=100, gap=1, window="7 units")

    with pytest.raises(DataError, match="stretches, and at most 254"):
        prepared(table_of([hours(range(3_000))], target="y", time="hour"), tmp_path, split)


tables = st.lists(st.integers(-30, 120), min_size=60, max_size=160)
TYPES = {
    "integers": lambda t: pa.array(t, pa.int64()),
    "floats": lambda t: pa.array([value / 8 for value in t], pa.float64()),
    "dates": lambda t: pa.array(t, pa.int32()).cast(pa.date32()),
    "moments": lambda t: pa.array([value * 3_600 for value in t], pa.int64()).cast(pa.timestamp("s", tz="UTC")),
}


def lengths(kind: str, amount: int) -> Any:
    """A length of so many steps of a column of `TYPES`."""
    return {"integers": amount, "floats": amount / 8, "dates": f"{amount} days", "moments": f"{amount} hours"}[kind]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    times=tables,
    kind=st.sampled_from(sorted(TYPES)),
    gap=st.one_of(st.none(), st.integers(1, 12), st.integers(1, 9).map(lambda n: f"{n} rows")),
    window=st.one_of(st.none(), st.integers(1, 3), st.integers(5, 60).map(lambda n: f"{n} rows"), st.just("length")),
    length=st.integers(10, 60),
    folds=st.integers(2, 4),
    test=st.sampled_from([0.0, 0.2]),
    edges=st.lists(st.integers(0, 160), max_size=3),
)
def test_for_any_times_every_gap_and_window_is_kept_to_the_instant_and_files_do_not_matter(
    times: list[int],
    kind: str,
    gap: Any,
    window: Any,
    length: int,
    folds: int,
    test: float,
    edges: list[int],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    # given rows at any times, in files cut anywhere
    rows = pa.table(
        {
            "x": range(len(times)),
            "step": times,
            "when": TYPES[kind](times),
            "y": [0, 1] * (len(times) // 2) + [0] * (len(times) % 2),
        }
    )
    asked = {"gap": lengths(kind, gap) if isinstance(gap, int) else gap}
    in_steps = length if window == "length" else None
    if window == "length":
        said = lengths(kind, length)
        asked["window"] = said if isinstance(said, str) else f"{said} units"
    else:
        asked["window"] = window
    split = Split(kind="time", folds=folds, test=test, **asked)
    marks = [0, *sorted(min(edge, len(times)) for edge in edges), len(times)]
    pieces = [rows.slice(low, high - low) for low, high in itertools.pairwise(marks)]
    # when it is split whole, and in pieces in another order
    found: list[Any] = []
    for parts in ([rows], pieces[::-1]):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(counts_room, "GROUP_ROWS", 30)
            try:
                made = prepared(table_of(parts, target="y", time="when"), tmp_path_factory.mktemp("store"), split)
                found.append(made)
            except DataError as error:
                found.append(str(error))
    # then the plan is the same
    one, other = found
    if isinstance(one, str) or isinstance(other, str):
        assert one == other
        return
    assert one.plan.token == other.plan.token
    _check_sides(one, np.sort(times), gap, window, in_steps, ends_with_test=test > 0)


def _check_sides(
    ready: Prepared, everything: np.ndarray, gap: Any, window: Any, in_steps: int | None, *, ends_with_test: bool
) -> None:
    """Each fold trains on exactly the rows in its window before its gap, and no row is judged twice."""
    pieces = sides(ready, "step")
    judged = np.concatenate([validated for _, validated in pieces])
    starts = [everything[0], *[validated[0] for _, validated in pieces if len(validated)]]
    assert len(judged) == (everything >= starts[1]).sum()
    for number, (train, validated) in enumerate(pieces):
        first = validated[0] if len(validated) else everything[-1] + 1
        before = everything[everything < first]
        if len(validated) and isinstance(gap, int):
            before = before[before < first - gap]
            end = first - gap
        elif len(validated) and isinstance(gap, str):
            n_rows = int(gap.split()[0])
            end = before[-n_rows] if n_rows <= len(before) else everything[0]
            before = before[before < end]
        else:
            end = first
        if in_steps is not None:
            before = before[before >= end - in_steps]
        elif isinstance(window, str):
            n_rows = int(window.split()[0])
            if n_rows < len(before):
                before = before[before > before[-n_rows - 1]]
        elif isinstance(window, int):
            before = before[before >= starts[max(0, number + 1 - window)]]
        assert train.tolist() == before.tolist()
    assert ready.plan.sizes["test"] == (len(pieces[-1][1]) if ends_with_test else 0)


@pytest.mark.parametrize(("gap", "window"), [(0, None), (7, None), (7, 150), (0, 150)])
def test_folds_are_those_of_scikit_learn_where_both_can_have_them(gap: int, window: int | None, tmp_path: Path) -> None:
    # given distinct times, of which five pieces are equal
    order = np.random.default_rng(0).permutation(1_000)
    split = Split(kind="time", folds=4, test=0, gap=(gap and f"{gap} rows") or None, window=window and f"{window} rows")
    # when
    ready = prepared(table_of(cut(hours(order), 3), target="y", time="when"), tmp_path, split)
    # then
    theirs = TimeSeriesSplit(4, gap=gap, max_train_size=window).split(np.arange(1_000))
    for (train, judged), (their_train, their_test) in zip(sides(ready, "hour"), theirs, strict=False):
        assert train.tolist() == their_train.tolist()
        assert judged.tolist() == their_test.tolist()


def test_folds_of_the_real_load_are_as_long_as_scikit_learns(shared_data: Path, tmp_path: Path) -> None:
    # given 145,366 hours, unsorted, four of which stand twice
    rows = pyarrow.csv.read_csv(shared_data / "pjm_energy_hourly" / "PJME_hourly.csv.gz")
    split = Split(kind="time", folds=5, test=0, gap="7 days", window="20000 rows")
    # when
    ready = prepared(table_of(cut(rows, 5), target="PJME_MW", time="Datetime"), tmp_path, split)
    # then
    theirs = list(TimeSeriesSplit(5, gap=7 * 24, max_train_size=20_000).split(np.arange(rows.num_rows)))
    plan: SplitPlan = ready.plan
    for (train, judged), fold, (their_train, their_test) in zip(
        sides(ready, "Datetime"), plan.folds, theirs, strict=False
    ):
        assert judged[0] - train[-1] > np.timedelta64(7, "D")
        assert plan.rows_of(fold.train) == pytest.approx(len(their_train), abs=4)
        assert plan.rows_of(fold.validation) == pytest.approx(len(their_test), abs=4)
