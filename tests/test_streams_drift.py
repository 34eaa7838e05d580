"""Drift of a stream is found soon, is not found where there is none, and survives a restart bit for bit."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import daskflow as flow
from daskflow.core.errors import DataError, SettingsError
from daskflow.data.predictions import Predictions
from daskflow.data.schema import Schema
from daskflow.streams.drift import ERROR, DriftSettings, DriftWatch
from daskflow.streams.drift_bins import (
    PREDICTION,
    Bins,
    ColumnKind,
    chance_bound,
    reference_of,
    stability,
    together,
)
from daskflow.streams.drift_errors import ErrorWatch
from daskflow.streams.drift_inputs import InputWatch
from daskflow.streams.meter import Meter
from daskflow.streams.scoring import Scorer
from tests.bench.drift import delays, false_alarms
from tests.conftest import lacking
from tests.test_bundle_one_row import MODEL
from tests.test_streams_scoring import ROWS

SCHEMA = Schema.of(
    pa.schema({"age": pa.float64(), "fuel": pa.string(), "new": pa.bool_(), "since": pa.timestamp("us")})
)


@pytest.fixture
def river() -> None:
    try:
        import river.drift  # noqa: F401
    except ImportError:
        lacking("river")


def rows(n_rows: int, seed: int, *, age: float = 40.0, gas: float = 0.7) -> list[dict[str, Any]]:
    """Rows of a stream: a number with gaps, a level, a boolean."""
    draw = np.random.default_rng(seed)
    ages = np.where(draw.random(n_rows) < 0.05, np.nan, draw.normal(age, 10, n_rows)).tolist()
    fuels = np.where(draw.random(n_rows) < gas, "gas", "oil").tolist()
    return [
        {"age": None if value != value else value, "fuel": fuel, "new": is_new, "since": "2024-05-01T00:00:00"}
        for value, fuel, is_new in zip(ages, fuels, (draw.random(n_rows) < 0.5).tolist(), strict=True)
    ]


def said(n_rows: int, seed: int) -> Predictions:
    p = np.random.default_rng(seed).beta(2, 5, n_rows)
    return Predictions((p >= 0.5).astype(np.int64), p)


def table_of(given: list[dict[str, Any]]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in given]) for name in ("age", "fuel", "new")})


def watch_of(**settings: Any) -> DriftWatch:
    """A watch of a model that was trained on ten thousand such rows."""
    reference = reference_of(table_of(rows(10_000, 0)), SCHEMA, said(5_000, 1), ["no", "yes"])
    return DriftWatch(
        SCHEMA,
        task="binary",
        classes=["no", "yes"],
        reference=json.loads(json.dumps(reference)),
        settings=DriftSettings(**settings),
        clock=lambda: 5.0,
    )


def test_rows_as_in_training_raise_no_alarm() -> None:
    # given a model's reference
    watch = watch_of()
    # when forty thousand rows like those of the training come
    found = [watch.seen(rows(1_000, seed), said(1_000, seed)) for seed in range(10, 50)]
    # then nothing is told, everything but the times is looked at, and values lie near zero
    assert not any(found)
    assert watch.unwatched == ("since",)
    assert watch.without_reference == ()
    values = watch.values()
    assert set(values) == {"age", "fuel", "new", PREDICTION}
    assert all(value < 0.02 and bound == 0.25 for value, bound in values.values())


@pytest.mark.parametrize("unit", ["s", "ns"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_times_may_go_on_but_not_fall_behind_training_or_be_missing(unit: str, zone: str | None) -> None:
    # given a model that learned the times of a year
    hours = np.datetime64("2023-01-01T00", "h") + np.arange(8_760)
    table = pa.table({"at": pa.array(hours.astype(f"datetime64[{unit}]"), pa.timestamp(unit, zone))})
    schema = Schema.of(table.schema)
    reference = json.loads(json.dumps(reference_of(table, schema, Predictions(np.zeros(0)), [])))
    assert set(reference) == {"at"}
    end = "" if zone is None else "+01:00"

    def told(times: list[str | None]) -> list[str]:
        watch = DriftWatch(schema, task="regression", reference=reference, settings=DriftSettings(window=200))
        assert watch.unwatched == ()
        return [alarm.words for alarm in watch.seen([{"at": time} for time in times])]

    # then what comes years later is no alarm, nor is the first day again
    assert told([f"20{24 + place // 20}-05-01T00:00:00{end}" for place in range(400)]) == []
    assert told([f"2023-01-01T00:00:00{end}"] * 400) == []
    # and times before it are, and missing ones
    (early,) = told([f"1970-01-01T00:00:00{end}" if place % 2 else f"2024-05-01T00:00:00{end}" for place in range(400)])
    assert "(before 2022-12-31: 0.0 % before, 50.0 % now)" in early
    (missing,) = told([None if place % 2 else f"2024-05-01T00:00:00{end}" for place in range(400)])
    assert "(missing: 0.0 % before, 50.0 % now)" in missing
    # and of a column without any, that there are some now
    none = reference_of(table.slice(0, 0), schema, Predictions(np.zeros(0)), [])["at"]
    assert Bins.load(none).first_day == ""
    assert Bins.load(none).count(["2024-05-01", None]).tolist() == [0, 1, 1]
    # without what training saw nothing is said of them
    assert DriftWatch(schema, task="regression").unwatched == ("at",)


def test_a_column_that_moves_is_named_once_with_what_moved() -> None:
    watch = watch_of()
    assert not watch.seen(rows(3_000, 2), said(3_000, 2))
    # when the ages rise by a standard deviation and a level comes that training has not seen
    moved = [{**row, "fuel": "wood"} if place % 3 == 0 else row for place, row in enumerate(rows(4_000, 3, age=50.0))]
    found = watch.seen(moved, said(4_000, 3))
    # then each is told once, by name, with the rows it began among
    assert sorted(alarm.name for alarm in found) == ["age", "fuel"]
    assert all(alarm.value > alarm.bound == 0.25 and 3_000 < alarm.at <= 5_000 for alarm in found)
    assert all(alarm.since < 3_000 + 500 and alarm.seconds == 5.0 for alarm in found)
    fuel = next(alarm for alarm in found if alarm.name == "fuel")
    assert "unseen levels: 0.0 % before" in fuel.words
    assert watch.moved() == ("age", "fuel")
    assert next(iter(watch.values())) in ("age", "fuel")
    assert json.loads(json.dumps(fuel.record()))["record"] == "drift"
    # and when it is as before again, it may move again
    assert not watch.seen(rows(4_000, 4), said(4_000, 4))
    assert watch.moved() == ()
    assert [alarm.name for alarm in watch.seen(rows(4_000, 5, age=55.0))] == ["age"]


@pytest.mark.parametrize("change", ["missing", "predictions", "constant", "shorter"])
def test_other_moves_are_found_too(change: str) -> None:
    watch = watch_of()
    given = rows(2_000, 2)
    answers = said(2_000, 2)
    if change == "missing":
        given = [{**row, "age": None} if place % 3 else row for place, row in enumerate(given)]
    elif change == "predictions":
        answers = Predictions(answers.labels, 1 - answers.of("probabilities"))
    elif change == "constant":
        given = [{**row, "age": 40.0} for row in given]
    else:
        given = [{key: value for key, value in row.items() if key != "new"} for row in given]
    expected = {"missing": "age", "predictions": PREDICTION, "constant": "age", "shorter": "new"}[change]
    assert [alarm.name for alarm in watch.seen(given, answers)] == [expected]


def test_rows_and_tables_in_any_pieces_leave_the_same_state() -> None:
    given, answers = rows(2_345, 2, gas=0.2), said(2_345, 2)
    whole, pieces, arrow = (watch_of(every=3, window=600) for _ in range(3))
    found = whole.seen(given, answers)
    told, labels, shares = [], answers.of("labels"), answers.of("probabilities")
    for start in range(0, len(given), 17):
        part = slice(start, start + 17)
        told += pieces.seen(given[part], Predictions(labels[part], shares[part]))
        arrow.seen(table_of(given[part]), Predictions(labels[part], shares[part]))
    assert found == told
    assert [alarm.name for alarm in found] == ["fuel"]
    assert whole.dump() == pieces.dump() == arrow.dump()


def test_without_a_reference_the_first_rows_are_it() -> None:
    watch = DriftWatch(SCHEMA, task="regression", settings=DriftSettings(window=800))
    assert watch.without_reference == ("age", "fuel", "new")
    # given eight hundred rows, nothing can be said yet
    assert not watch.seen(rows(800, 1), Predictions(np.arange(800.0)))
    assert watch.values() == {}
    # when more come like those, nothing moves; when others come, they are found
    assert not watch.seen(rows(2_000, 2))
    assert {alarm.name for alarm in watch.seen(rows(800, 3, age=60.0))} == {"age"}
    found = watch.seen(rows(800, 3), Predictions(np.arange(800.0) + 5_000))
    assert [alarm.name for alarm in found] == [PREDICTION]


@pytest.mark.parametrize("has_reference", [True, False])
def test_a_restart_at_any_row_goes_on_bit_for_bit(river: None, has_reference: bool) -> None:
    def new() -> DriftWatch:
        if has_reference:
            return watch_of(window=400)
        return DriftWatch(SCHEMA, task="binary", classes=["no", "yes"], settings=DriftSettings(window=400))

    given, answers = rows(1_500, 2, gas=0.3), said(1_500, 2)
    wrong = (np.random.default_rng(3).random(1_500) < np.repeat([0.05, 0.6, 0.1], 500)).astype(float)
    whole, restarted, told = new(), new(), 0
    for start in range(0, 1_500, 130):
        part = slice(start, start + 130)
        predictions = Predictions(answers.of("labels")[part], answers.of("probabilities")[part])
        found = [whole.seen(given[part], predictions), whole.learned(wrong[part])]
        again = new()
        again.load(json.loads(json.dumps(restarted.dump())))
        restarted = again
        before = json.dumps([[a.by, a.name, a.at, a.since, a.value, a.bound] for part in found for a in part])
        same = [restarted.seen(given[part], predictions), restarted.learned(wrong[part])]
        assert before == json.dumps([[a.by, a.name, a.at, a.since, a.value, a.bound] for p in same for a in p])
        assert json.dumps(whole.dump(), sort_keys=True) == json.dumps(restarted.dump(), sort_keys=True)
        told += sum(map(len, found))
    assert told >= 1


@pytest.mark.parametrize("damage", [{}, {"shares": {}}, {"seen": 1, "shares": {"age": {}}, "errors": None}])
def test_another_watch_s_state_is_refused_and_leaves_this_one_as_it_was(damage: dict[str, Any]) -> None:
    watch = watch_of()
    watch.seen(rows(700, 2), said(700, 2))
    before = watch.dump()
    with pytest.raises(DataError, match="does not fit"):
        watch.load(damage)
    with pytest.raises(DataError, match=r"'window': 80.*'window': 2000"):
        watch.load(watch_of(window=80).dump())
    with pytest.raises(DataError, match="does not fit"):
        watch.load(DriftWatch(SCHEMA, task="binary", classes=["no", "yes"]).dump())
    assert watch.dump() == before


def test_the_state_stays_small_however_many_levels_and_rows_come() -> None:
    watch = DriftWatch(SCHEMA, task="regression", settings=DriftSettings(window=2_000))
    sizes = []
    for start in range(0, 40_000, 4_000):
        watch.seen([{"age": place, "fuel": f"{place} " * 100, "new": True} for place in range(start, start + 4_000)])
        sizes.append(len(json.dumps(watch.dump())))
    assert max(sizes[1:]) < 40_000
    assert max(sizes[1:]) < 1.1 * min(sizes[1:])


def test_levels_too_many_to_know_are_one_bin_and_long_ones_are_shortened() -> None:
    bins = Bins.of([f"name {place}" for place in range(1_000)] + ["x" * 500] * 100, ColumnKind.CATEGORICAL)
    assert bins.rare is None
    assert len(bins.levels) == 1
    assert len(bins.levels[0]) <= 64
    assert bins.count(["never seen", "x" * 500, "x" * 501, None]).tolist() == [1, 2, 0, 1]
    assert Bins.load(json.loads(json.dumps(bins.dump()))) == bins


@pytest.mark.parametrize("values", [[], [None, None], [7.0] * 50, [0.0, 1.0] * 30, list(range(100)), [1e308, -1e308]])
def test_bins_of_any_numbers_count_every_row_once(values: list[Any]) -> None:
    bins = Bins.of(values, ColumnKind.NUMERIC)
    assert sum(bins.counts) == len(values)
    assert len(bins.names) == bins.n_bins == len(bins.counts)
    assert bins.count([0.5, None, -1e9, 1e9]).sum() == 4


def test_two_samples_of_one_population_exceed_the_bound_as_often_as_said() -> None:
    draw = np.random.default_rng(0)
    for n_bins, n_recent in ((4, 100), (12, 500), (33, 200)):
        shares = draw.dirichlet(np.ones(n_bins) * 2)
        pairs = [together(draw.multinomial(10_000, shares), draw.multinomial(n_recent, shares)) for _ in range(1_000)]
        beyond = [stability(p, q) > chance_bound(10_000, n_recent, len(p), 0.05) for p, q in pairs]
        assert 0.03 < np.mean(beyond) < 0.07


@pytest.mark.slow
def test_a_run_s_model_knows_its_training_rows_and_its_answers(tmp_path: Path) -> None:
    # given a run on rows with a derived column
    frame = table_of(rows(3_000, 0)).to_pandas()
    frame["late"] = np.where(frame["age"].fillna(40) + 5 * (frame["fuel"] == "gas") > 43, "yes", "no")
    frame.to_parquet(tmp_path / "rows.parquet")
    run = flow.Workflow(
        name="late",
        data={
            "kind": "parquet",
            "path": str(tmp_path / "rows.parquet"),
            "target": "late",
            "derive": {"old": "age > 60"},
        },
        split={"test": 0.3, "validation": 0.2},
        model="logistic",
        search="none",
        cluster="inline",
        cache={"folder": str(tmp_path / "cache")},
    ).run(tmp_path / "runs")
    # when a watch is made of its model
    scorer = Scorer(run.model)
    watch = DriftWatch.of(scorer, DriftSettings(window=1_000))
    # then it knows the columns of the source and the answers, and finds what moves
    assert watch.without_reference == ()
    same = [{name: row[name] for name in ("age", "fuel", "new")} for row in rows(2_000, 9)]
    assert watch.seen(same, scorer.rows(same)) == []
    assert set(watch.values()) == {"age", "fuel", "new", PREDICTION}
    bad = [{**row, "age": "x"} for row in same[:500]]
    assert watch.seen(bad, scorer.rows(bad)) == []
    moved = [{**row, "age": 70.0} for row in same]
    assert {alarm.name for alarm in watch.seen(moved, scorer.rows(moved))} == {"age", PREDICTION}


def test_few_rows_are_no_alarm() -> None:
    # given windows of forty rows, looked at every ten, eight hundred times
    watch = watch_of(window=40)
    found = [alarm for seed in range(8) for alarm in watch.seen(rows(1_000, seed), said(1_000, seed))]
    assert found == []
    assert watch.values()["age"][1] > 0.5
    # and another population is found all the same
    assert {alarm.name for alarm in watch.seen(rows(100, 3, age=70.0), said(100, 3))} == {"age"}


def test_a_doubled_error_is_found_soon_and_a_constant_one_never(river: None) -> None:
    found = delays(streams=12, before=5_000)
    assert max(found.delays) <= 2_000
    assert found.early == 0
    assert false_alarms(records=200_000, share=0.1) == 0


@pytest.mark.slow
def test_the_figures_of_error_drift(river: None) -> None:
    found = delays(streams=200, before=5_000)
    assert len(found.delays) == 200
    assert max(found.delays) <= 2_000
    # and among four million records whose errors stay as they are, there are fewer alarms than four
    false = [false_alarms(records=1_000_000, share=share) for share in (0.01, 0.1, 0.5)]
    assert found.early + sum(false) < 4
    assert sum(found.delays) / 200 < 400


def test_a_rise_tells_when_it_began_and_a_fall_is_none(river: None) -> None:
    draw = np.random.default_rng(0)
    watch = ErrorWatch()
    levels = np.repeat([0.1, 0.2, 0.05], 5_000)
    wrong = (draw.random(15_000) < levels).astype(float)
    (rise,) = watch.learned(wrong[:10_000])
    assert 5_000 < rise.at <= 7_000
    assert abs(rise.since - 5_000) < 200
    assert watch.is_moved
    assert watch.value > watch.bound > watch.usual
    assert abs(watch.usual - 0.1) < 0.01
    assert abs(watch.value - 0.2) < 0.02
    assert watch.learned(wrong[10_000:]) == []
    assert not watch.is_moved
    assert abs(watch.usual - 0.05) < 0.01


def test_errors_that_come_in_clumps_are_looked_at_together(river: None) -> None:
    # given errors that are all alike for an hour of twenty
    draw = np.random.default_rng(3)
    hourly = np.concatenate([draw.random(2_000) < 0.2, draw.random(500) < 0.5]).astype(float)
    clumped = np.repeat(hourly, 20)
    # then one by one they look like ever new levels, and as means of an hour only the change remains
    assert len(ErrorWatch().learned(clumped[:40_000])) > 20
    watch = ErrorWatch(together=20)
    found = []
    for start in range(0, len(clumped), 333):
        again = ErrorWatch(together=20)
        again.load(json.loads(json.dumps(watch.dump())))
        watch = again
        found += watch.learned(clumped[start : start + 333])
    (rise,) = found
    assert 40_000 < rise.at < 44_000
    assert 30_000 < rise.since <= 41_000
    assert rise.since % 20 == 0


def test_nothing_is_said_before_the_window_is_full() -> None:
    # given rows that go round in a season of a thousand
    season = np.sin(np.arange(10_000) * 2 * np.pi / 1_000)
    table = pa.table({"age": season})
    schema = Schema.of(table.schema)
    bins = {"age": Bins.of(table.column("age"), ColumnKind.NUMERIC).dump()}
    # then a window of whole seasons is calm from its first row on, and a shorter one is not
    for window, is_calm in ((2_000, True), (400, False)):
        watch = DriftWatch(schema, task="regression", reference=bins, settings=DriftSettings(window=window))
        assert not watch.seen(table.slice(0, window - 1))
        assert watch.values() == {}
        assert (watch.seen(table.slice(window - 1)) == []) == is_calm


def test_losses_of_any_size_are_ranked(river: None) -> None:
    draw = np.random.default_rng(1)
    off = np.abs(draw.standard_cauchy(12_000)) * 1e6
    watch = DriftWatch(SCHEMA, task="regression")
    assert watch.learned(off[:6_000]) == []
    (alarm,) = watch.learned(off[6_000:] * 2)
    assert alarm.name == ERROR
    assert 6_000 < alarm.at < 7_000
    assert "first losses" in alarm.words
    assert watch.moved() == (ERROR,)


def test_errors_that_are_none_are_refused_or_passed_over(river: None) -> None:
    watch = DriftWatch(SCHEMA, task="binary", classes=["no", "yes"])
    assert watch.learned([]) == []
    watch.learned([0.0, float("nan"), 1.0])
    assert watch.values()[ERROR][0] == 0.5
    with pytest.raises(DataError, match="from 0 to 1; found 0 to 3"):
        watch.learned([0.0, 3.0])
    assert watch.values()[ERROR][0] == 0.5


@pytest.mark.parametrize(
    ("damage", "words"), [({"sum": 1}, "bytes are damaged"), ({"river": "0.1"}, "written with river 0.1")]
)
def test_a_state_that_river_cannot_read_is_refused(river: None, damage: dict[str, Any], words: str) -> None:
    watch = ErrorWatch()
    watch.learned([0.0, 1.0] * 100)
    with pytest.raises(ValueError, match=words):
        watch.load({**watch.dump(), **damage})


def test_a_stream_is_watched_beside_it_and_a_watch_that_fails_stops_alone() -> None:
    # given the watch of a stream of two classes, whose model's card says nothing
    scorer, meter = Scorer(MODEL), Meter()
    told, said_words = list[Any](), list[str]()
    settings = DriftSettings(window=400)
    inputs = InputWatch(scorer, meter, tell=told.append, say=said_words.append, settings=settings)
    assert set(inputs.watch.without_reference) == set(scorer.columns.names) - {"since"}
    # when rows come, some of them without an answer, and then others
    answers = scorer.rows(ROWS).dicts()
    inputs.offer([{}, *ROWS], [None, *answers])
    inputs.look()
    inputs.offer(ROWS, answers)
    inputs.look()
    assert told == []
    assert meter.record()["drift"]["real"][0] < 0.25
    moved = [{**row, "real": 1e6} for row in ROWS]
    with inputs.looking():
        inputs.offer(moved, scorer.rows(moved).dicts())
    # then the move is told as a record and as a sentence
    assert "real" in [record["of"] for record in told]
    assert any("Column 'real' has moved" in words for words in said_words)
    # and when it cannot go on, the stream does
    inputs.offer(ROWS[:1], [{"prediction": "no class"}])
    inputs.look()
    inputs.offer(ROWS, answers)
    inputs.look()
    assert "not watched for drift any more" in said_words[-1]


def test_without_river_inputs_are_watched_and_errors_say_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "river", None)
    monkeypatch.setitem(sys.modules, "river.drift", None)
    watch = watch_of()
    assert [alarm.name for alarm in watch.seen(rows(2_000, 2, age=60.0), said(2_000, 2))] == ["age"]
    with pytest.raises(SettingsError, match=r"pip install 'daskflow\[online\]'"):
        watch.learned([0.0])
