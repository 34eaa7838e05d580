"""What a scan and an evaluation tell while they go on is what they say at the end."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import daskflow as flow
from daskflow.core.events import Event
from daskflow.core.journal import Record, decode, encode
from daskflow.core.live import MOST_COLUMNS
from daskflow.core.protocols import Outcome, Unit
from daskflow.dashboard.state import RunState
from daskflow.dashboard.state_data import DONE, READING, REJECTED, THERE, DataState
from daskflow.data import scan_events
from daskflow.data.blocks import Blocks
from daskflow.data.execution import InlineExecutor, perform
from daskflow.data.predictions import Predictions
from daskflow.data.scan import scan
from daskflow.data.table import Table
from daskflow.metrics import parse
from daskflow.metrics.asked import Asked
from daskflow.metrics.tally import Tally
from daskflow.sources import Csv
from daskflow.workflow import evaluation as evaluation_of
from daskflow.workflow import interim
from tests.small_tables import Piece, cut, people, table_of


class Heard:
    """A listener that keeps events as the records that watchers get."""

    def __init__(self) -> None:
        """Hear nothing yet."""
        self.records: list[Record] = []

    def __call__(self, event: Event) -> None:
        """Keep an event after its way through a file."""
        if event.name in ("table", "partitions", "evaluated"):
            record = decode(encode({"record": event.name, "at": event.at, **event.fields}))
            assert record is not None
            self.records.append(record)

    def of(self, kind: str, **fields: Any) -> list[Record]:
        """Records of a kind that say so."""
        return [r for r in self.records if r["record"] == kind and fields.items() <= r.items()]

    @property
    def state(self) -> RunState:
        """What a page makes of them."""
        state = RunState()
        state.hear(self.records)
        return state


class Slots:
    """An executor of three slots that ends its units in another order."""

    slots = 3

    def __init__(self) -> None:
        """Hold nothing."""
        self.waiting: deque[Unit] = deque()

    @property
    def pending(self) -> int:
        """Units that wait."""
        return len(self.waiting)

    def submit(self, unit: Unit) -> None:
        """Hold a unit."""
        self.waiting.append(unit)

    def next(self, timeout: float | None = None) -> Outcome | None:
        """End the younger of the two oldest."""
        self.waiting.rotate(-1 if len(self.waiting) > 1 else 0)
        unit = self.waiting.popleft()
        self.waiting.rotate(1 if self.waiting else 0)
        return replace(perform(unit, unit.arguments)[1], worker="one", seconds=0.5)

    def troubles(self) -> Sequence[str]:
        """None."""
        return ()

    def cancel(self) -> None:
        """Forget."""
        self.waiting.clear()


def same_as_the_profile(data: DataState, blocks: Blocks) -> None:
    """Rows, rejects and all columns are those of the blocks."""
    assert (data.rows, data.rejects) == (blocks.n_rows, len(blocks.rejects))
    assert data.columns.keys() == blocks.profile.keys()
    for name, profile in blocks.profile.items():
        seen = data.columns[name]
        assert (seen.rows, seen.missing) == (profile.rows, profile.missing), name
        if profile.mean is None or profile.std is None:
            assert math.isnan(seen.std), name
        else:
            assert seen.mean == pytest.approx(profile.mean, rel=1e-9, abs=1e-12), name
            assert seen.std == pytest.approx(profile.std, rel=1e-9, abs=1e-12), name


def with_infinity() -> pa.Table:
    """People of whom some earn without end."""
    rows = people()
    pay = [math.inf if place % 90 == 7 else value for place, value in enumerate(rows["pay"].to_pylist())]
    return rows.set_column(rows.schema.get_field_index("pay"), "pay", pa.array(pay))


@pytest.mark.parametrize("n_parts", [1, 3, 8])
@pytest.mark.parametrize("executor", [InlineExecutor, Slots])
def test_a_scan_tells_what_its_blocks_hold(tmp_path: Path, n_parts: int, executor: Callable[[], Any]) -> None:
    heard = Heard()

    blocks = scan(table_of(cut(with_infinity(), n_parts), target="late"), tmp_path, executor(), heard)

    data = heard.state.data
    same_as_the_profile(data, blocks)
    assert bytes(data.states) == bytes([DONE]) * n_parts
    assert (data.began, data.partitions, data.n_columns) == ({}, n_parts, 7)
    assert (data.bytes, data.read_bytes) == (blocks.source_bytes, blocks.source_bytes)
    assert data.kinds["city"] == "categorical"
    assert all(piece.worker and piece.seconds > 0 for piece in data.pieces)


def test_refused_rows_are_told_with_a_few_examples(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(3):
        bad = "x,2,3\n" * (5 if number == 1 else 0)
        (folder / f"{number}.csv").write_text("a,late\n" + "1,0\n2,1\n,1\n" * 50 + bad)
    heard = Heard()

    blocks = scan(
        Csv(path=str(folder / "*.csv"), target="late", on_bad_rows="reject").table(),
        tmp_path / "blocks",
        InlineExecutor(),
        heard,
    )

    same_as_the_profile(heard.state.data, blocks)
    assert heard.state.data.rejects == 5
    told = [record for record in heard.of("partitions", state="done") if record["rejects"]]
    assert sum(record["rejects"] for record in told) == 5
    assert [file for file, _, _ in told[0]["examples"]] == ["1.csv"] * 3
    assert told[0]["examples"][0][1:] == [blocks.rejects[0].line, blocks.rejects[0].reason]
    assert all("examples" not in record for record in heard.of("partitions", rejects=0))
    assert REJECTED in heard.state.data.states


def test_blocks_that_are_there_are_told_at_once_and_add_up_with_the_others(tmp_path: Path) -> None:
    table = table_of(cut(with_infinity(), 8), target="late")
    scan(table, tmp_path, InlineExecutor())
    changed = replace(table.partitions[5], rows=people(50, seed=9), modified_ns=2)  # type: ignore[type-var]
    table = replace(table, partitions=(*table.partitions[:5], changed, *table.partitions[6:]))
    heard = Heard()

    blocks = scan(table, tmp_path, InlineExecutor(), heard)

    assert [record["places"] for record in heard.of("partitions", state="there")] == [[0, 1, 2, 3, 4, 6, 7]]
    assert [record["places"] for record in heard.of("partitions", state="reading")] == [[5]]
    data = heard.state.data
    same_as_the_profile(data, blocks)
    assert bytes(data.states) == bytes([THERE] * 5 + [DONE] + [THERE] * 2)
    assert (data.found, data.read_bytes, data.bytes) == (7, 100, 800)


def test_as_many_partitions_are_reading_as_there_are_slots(tmp_path: Path) -> None:
    heard, most = Heard(), []

    def hear(event: Event) -> None:
        heard(event)
        most.append(bytes(heard.state.data.states).count(READING))

    scan(table_of(cut(people(), 8), target="late"), tmp_path, Slots(), hear)

    assert max(most) == 3
    assert [record["places"] for record in heard.of("partitions", state="reading")][:2] == [[0, 1, 2], [3]]
    assert sorted(p for record in heard.of("partitions", state="reading") for p in record["places"]) == list(range(8))


def test_columns_of_many_partitions_are_told_seldom_and_still_add_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_events, "MOST_LOOKS", 3)
    heard = Heard()

    blocks = scan(table_of(cut(with_infinity(), 8), target="late"), tmp_path, Slots(), heard)

    assert [bool(record["columns"]) for record in heard.of("partitions", state="done")].count(True) == 3
    same_as_the_profile(heard.state.data, blocks)


def test_of_very_many_columns_the_first_and_those_with_a_part_are_told(tmp_path: Path) -> None:
    rows = pa.table({**{f"c{place}": [1.0, 2.0, None] for place in range(300)}, "who": [1, 2, 3], "late": [0, 1, 0]})
    heard = Heard()

    scan(table_of([rows], target="late", group="who"), tmp_path, InlineExecutor(), heard)

    (told,) = heard.of("table")
    names = [column["name"] for column in told["columns"]]
    assert told["n_columns"] == 302
    assert names == [f"c{place}" for place in range(MOST_COLUMNS - 2)] + ["who", "late"]
    (done,) = heard.of("partitions", state="done")
    assert done["columns"].keys() == set(names)


def test_pieces_of_a_file_share_its_size() -> None:
    pieces = tuple(Piece(name, people(1), size_bytes=101) for name in ("a#0", "a#1", "a#2", "b"))
    assert scan_events.sizes(pieces) == [33, 34, 34, 101]


def test_a_scan_without_a_listener_adds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: Any) -> Any:
        raise AssertionError("nobody listens")

    monkeypatch.setattr(scan_events, "looks", never)
    table: Table = table_of(cut(people(), 3), target="late")
    assert scan(table, tmp_path, InlineExecutor()).n_rows == scan(table, tmp_path, InlineExecutor()).n_rows == 400


# ---- the evaluation ----


def tallies(n_units: int = 16, metrics: Sequence[Any] = ("roc_auc", "log_loss", "accuracy")) -> dict[str, Tally]:
    """Tallies of a model that is right more often than not, unit by unit."""
    draw = np.random.default_rng(4)
    asked = Asked([parse(each).for_task("binary", 2) for each in metrics], "binary", ["no", "yes"], 3, 200)
    found = {}
    for number in range(n_units):
        y = draw.integers(0, 2, 200)
        said = 1 / (1 + np.exp(-(y - 0.5 + draw.normal(size=200))))
        found[f"judge-{number}"] = Tally.of(asked, y, Predictions(None, said, said), start=number * 200)
    return found


class Clock:
    """Seconds that pass when they are told to, and while numbers are made."""

    def __init__(self) -> None:
        """Begin at zero."""
        self.now = 0.0

    def __call__(self) -> float:
        """Say the time."""
        return self.now


def judged(given: dict[str, Tally], *, seconds: float, cost: float, monkeypatch: pytest.MonkeyPatch) -> Heard:
    """What is told of units that take so long, where making numbers takes so long."""
    clock, heard, whole = Clock(), Heard(), interim.so_far

    def slowly(some: Sequence[Tally]) -> Any:
        clock.now += cost
        return whole(some)

    monkeypatch.setattr(interim, "so_far", slowly)
    watching = interim.Interim(heard, list(given), sum(each.n_rows for each in given.values()), clock)
    for key in reversed(given):
        clock.now += seconds
        watching.heard(Outcome(key=key, value=(given[key], None)))
    return heard


def test_intervals_tighten_while_rows_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = judged(tallies(), seconds=2.0, cost=0.01, monkeypatch=monkeypatch)

    assert [(record["rows"], record["total"]) for record in heard.records] == [(400, 3200), (800, 3200), (1600, 3200)]
    assert not heard.state.evaluation.is_final
    widths = [step["roc_auc"][2] - step["roc_auc"][1] for _, step in heard.state.evaluation.steps]
    assert widths[0] > widths[1] > widths[2] > 0
    assert {"roc", "calibration", "confusion"} <= heard.state.evaluation.details.keys()


def test_interim_numbers_are_those_of_the_rows_so_far() -> None:
    given = list(tallies(3).values())
    alone = given[0].merge(given[1]).evaluation()
    found = interim.so_far(given[:2])
    assert found.n_rows == 400
    assert {name: each.value for name, each in found.metrics.items()} == {
        name: each.value for name, each in alone.metrics.items()
    }
    assert found.metrics["roc_auc"].low == pytest.approx(alone.metrics["roc_auc"].low, abs=0.02)


@pytest.mark.parametrize(
    ("seconds", "cost", "rows"),
    [
        (0.1, 0.01, []),  # over before three seconds
        (0.31, 0.01, [2000]),  # after 3 s ten of sixteen are in
        (2.0, 0.5, [400]),  # half a second each: none for 50 s
        (10.0, 0.51, [400, 1600]),
    ],
)
def test_interim_numbers_are_rare_enough_to_cost_nothing(
    seconds: float, cost: float, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    heard = judged(tallies(), seconds=seconds, cost=cost, monkeypatch=monkeypatch)
    assert [record["rows"] for record in heard.records] == rows


ASKED: list[int] = []


def own(y_true: Any, y_pred: Any) -> float:
    """Count how often a user's function is called."""
    ASKED.append(len(y_true))
    return 1.0


def test_a_users_own_metric_is_not_asked_before_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    given = tallies(8, ["roc_auc", {"kind": "function", "function": own}])
    ASKED.clear()
    heard = judged(given, seconds=2.0, cost=0.0, monkeypatch=monkeypatch)
    assert [list(record["metrics"]) for record in heard.records] == [["roc_auc"]] * 2
    assert ASKED == []
    given["judge-0"].evaluation()
    assert ASKED


def test_interim_numbers_that_cannot_be_made_break_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(some: Sequence[Tally]) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(interim, "FIRST_SECONDS", 0.0)
    monkeypatch.setattr(interim, "so_far", broken)
    heard: list[str] = []
    watching = interim.Interim(lambda event: heard.append(event.name), [f"judge-{n}" for n in range(8)], 1600)
    for key, tally in tallies(8).items():
        watching.heard(Outcome(key=key, value=(tally, None)))
    assert heard == ["stage", *["progress"] * 8]


def test_details_too_large_for_a_record_are_named() -> None:
    curve = {"fpr": [x / 1000 for x in range(1000)]}
    kept, left_out = interim.with_room({"shap": {"values": [0.123456789] * 50_000}, "roc": curve, "odd": math.nan})
    assert (kept, left_out) == ({"roc": curve, "odd": None}, ["shap"])


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[flow.Run, flow.Run, Heard]:
    """The same run twice: with interim numbers as early as can be, and with nobody listening."""
    draw = np.random.default_rng(1)
    frame = pd.DataFrame({"a": draw.normal(size=1600)})
    frame["late"] = frame["a"] + draw.normal(size=1600) > 0.3
    made = flow.Workflow(
        data=flow.sources.Frame(frame=frame, target="late", npartitions=3),
        split={"test": 0.5, "folds": 2},
        model={"kind": "logistic"},
        search="none",
        metrics=["roc_auc", "log_loss", "accuracy"],
        cluster="inline",
        cache={"kind": "none", "block_rows": 100},
        evaluation={"explain_rows": 100, "repeats": 1, "replicates": 120, "shap": False, "slices": False},
    )
    heard, folder = Heard(), tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(evaluation_of, "UNIT_ROWS", 100)
        patch.setattr(evaluation_of, "UNITS_PER_SLOT", 8)
        undisturbed = made.run(folder / "alone")
        patch.setattr(interim, "FIRST_SECONDS", 0.0)
        patch.setattr(interim, "TIMES_ITS_COST", 0.0)
        return made.run(folder / "watched", listener=heard), undisturbed, heard


def metrics_of(run: flow.Run) -> dict[str, Any]:
    """metrics.json."""
    found: dict[str, Any] = json.loads((run.path / "metrics.json").read_text())
    return found


def test_the_end_of_an_evaluation_is_told_as_metrics_json_has_it(told: tuple[flow.Run, flow.Run, Heard]) -> None:
    run, _, heard = told
    written, state = metrics_of(run), heard.state.evaluation
    assert state.is_final
    assert (state.rows, state.total) == (written["n_rows"], written["n_rows"])
    assert {name: list(value) for name, value in state.metrics.items()} == {
        name: [value["value"], value["low"], value["high"]] for name, value in written["metrics"].items()
    }
    assert state.details == written["details"]
    early, late = heard.of("evaluated", final=True)
    assert "importance" not in early["details"]
    assert "importance" in late["details"]
    assert late["details"] == written["details"]


def test_watching_an_evaluation_changes_no_bit_of_it(told: tuple[flow.Run, flow.Run, Heard]) -> None:
    run, undisturbed, heard = told
    assert len(heard.of("evaluated", final=False)) == 3
    ours, theirs = metrics_of(run), metrics_of(undisturbed)
    for each in (ours, theirs):
        del each["details"]["importance"]["seconds"]
    assert {k for k in ours["details"] if ours["details"][k] != theirs["details"][k]} == set()
    assert ours["metrics"] == theirs["metrics"]


def test_the_scan_of_a_run_is_told(told: tuple[flow.Run, flow.Run, Heard]) -> None:
    run, _, heard = told
    described = {each["name"]: each for each in run.record().data["columns"]}
    data = heard.state.data
    assert data.rows == 1600
    assert data.columns["a"].mean == pytest.approx(described["a"]["mean"])
    assert data.columns["a"].std == pytest.approx(described["a"]["std"])


def test_numbers_that_overflow_are_told_as_unknown_and_end_no_scan() -> None:
    tallies = [{"x": [3, 0, 0, 3, None, None, mean, 0.0, None]} for mean in (1e200, 3e200)]
    assert scan_events.looks(tallies, ["x"])["x"][:4] == (6, 0, None, None)


def test_a_scan_whose_telling_fails_goes_on_untold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(tallies: Any, names: Any) -> Any:
        raise OverflowError("what nobody thought of")

    told: list[Event] = []
    table = flow.read(pd.DataFrame({"x": range(20), "y": [0, 1] * 10}), target="y")
    monkeypatch.setattr(scan_events, "looks", fail)
    # when
    blocks = scan(table, tmp_path, InlineExecutor(), told.append)
    # then
    assert blocks.n_rows == 20
    assert [event.fields["state"] for event in told if event.name == "partitions"] == ["reading"]
    assert ["what nobody thought of" in event.fields["text"] for event in told if event.name == "note"] == [True]
