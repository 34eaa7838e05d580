"""The page of the data shows the partitions as they are read, and what stands in it is what the records say."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from daskflow.dashboard.data_panels import MOST_MISSING
from daskflow.dashboard.screen_data import LABELS, MOST_CELLS, MOST_MOVED, DataScreen, strip
from daskflow.dashboard.state_data import DONE, MOST_REFUSED, READING, REJECTED, WAITING
from tests.told_runs import HOSTILE, stage_moment, told_run
from tests.viewing import Viewed, state_of, watched

START = 1_000.0


def table_of(n: int, columns: dict[str, str], n_columns: int | None = None) -> list[dict[str, Any]]:
    """A run whose scan of n partitions has begun."""
    named = [{"name": name, "kind": kind} for name, kind in columns.items()]
    return [
        {"record": "invocation", "at": START, "id": "a"},
        {"record": "begun", "at": START, "stage": "scan", "total": n},
        {"record": "table", "at": START, "partitions": n, "bytes": n * 10, "columns": named, "n_columns": n_columns},
    ]


def piece(place: int, at: float, **fields: Any) -> dict[str, Any]:
    """A partition that was read in a second."""
    given = {"rows": 1000, "rejects": 0, "bytes": 10, "seconds": 1.0, "worker": "w", "columns": {}}
    return {"record": "partitions", "places": [place], "state": "done", "at": START + at, **given, **fields}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_what_a_viewer_has_after_many_looks_is_what_the_state_says(share: float) -> None:
    records = stage_moment(told_run(), "scan", share)

    viewed, state = watched(DataScreen(), records)

    data = state.data
    shown = viewed.columns["missing_data"]
    expected = sorted(
        ((look.missing / look.rows, look.missing) for look in data.columns.values() if look.missing), reverse=True
    )[:MOST_MISSING]
    assert shown["share"] == pytest.approx([part for part, _ in expected], rel=1e-5)
    assert shown["missing"] == [count for _, count in expected]
    cells = viewed.columns["drift_map_data"]
    names = list(data.columns)
    told = {(int(x), label): shift for x, label, shift in zip(cells["x"], cells["label"], cells["shift"], strict=True)}
    for one in data.pieces:
        for name in names:
            if (one.first, name) in told:
                assert told[one.first, name] == pytest.approx(data.shift(one, name), abs=2e-4)
    assert len(told) == (0 if len(data.pieces) < 2 else MOST_MOVED * len(data.pieces))
    seconds = viewed.columns["piece_seconds_data"]
    assert seconds["place"] == [one.first for one in data.pieces]
    assert viewed.added > len(data.pieces) / 2 or share < 0.2


def test_rows_per_second_add_up_to_the_rows_that_were_read_in_whole_seconds() -> None:
    viewed, state = watched(DataScreen(), told_run())

    shown = viewed.columns["throughput_data"]
    seconds, rows = shown["seconds"][1:-1], shown["rows"][1:-1]
    last = shown["seconds"][-1]
    width = seconds[1] - seconds[0]
    began = state.stages.known["scan"].began
    read = sum(one.rows * min(1.0, max(0.0, 1 - (one.at - began - last) / one.seconds)) for one in state.data.pieces)
    assert last == pytest.approx(width * len(rows))
    assert sum(rows) * width == pytest.approx(read, rel=1e-3)
    assert 0.8 * state.data.rows < read < state.data.rows


def test_the_strip_has_a_cell_per_partition_and_its_state() -> None:
    state = state_of(stage_moment(told_run(), "scan", 0.5))

    shown = strip(state)

    assert [int(cell) for cell in shown["states"]] == list(state.data.states)
    assert set(shown["states"]) == {str(code) for code in (WAITING, READING, DONE, REJECTED)}
    assert shown["labels"] == list(LABELS)


def test_a_cell_of_many_partitions_has_the_state_that_needs_most_attention() -> None:
    records = table_of(10_000, {})
    records += [piece(place, 2.0) for place in range(9_000)]
    records += [piece(4_321, 2.0, rejects=2)]
    records += [{"record": "partitions", "at": START + 3, "places": [9_500], "state": "reading"}]

    shown = strip(state_of(records))

    per_cell = shown["per_cell"]
    assert shown["counts"] == [999, 1, 8_999, 0, 1]
    assert shown["total"] == 10_000
    assert len(shown["states"]) == math.ceil(10_000 / per_cell) <= MOST_CELLS
    assert shown["states"][4_321 // per_cell] == str(REJECTED)
    assert shown["states"][9_500 // per_cell] == str(READING)
    assert shown["states"].count(str(REJECTED)) == shown["states"].count(str(READING)) == 1
    assert shown["states"][0] == str(DONE)
    assert shown["states"][-1] == str(WAITING)
    assert shown["states"][8_999 // per_cell] == str(DONE if 9_000 % per_cell == 0 else WAITING)


def test_nobody_reads_any_more_when_the_run_is_over() -> None:
    records = [*stage_moment(told_run(), "scan", 0.5)]
    records.append({"record": "end", "at": records[-1]["at"] + 1, "status": "interrupted"})

    state = state_of(records)

    assert READING in state.data.states
    assert str(READING) not in strip(state)["states"]


def test_a_column_is_named_when_a_piece_of_it_is_half_a_standard_deviation_off() -> None:
    viewed = Viewed(DataScreen()).look(state_of(told_run()), 0.0)

    named = [row["column"] for row in viewed.values["moved"]["rows"]]
    assert named == ["age"]
    row = viewed.values["moved"]["rows"][0]
    assert float(row["shift"]) == pytest.approx(0.89, abs=0.05)
    assert viewed.columns["drift_map_data"]["label"][0] == "age"
    signs = viewed.columns["drift_map_data"]["sign"]
    assert signs.count("+") == 11
    assert "income" in viewed.columns["missing_data"]["label"][0]


def test_refused_rows_are_listed_with_their_file_line_and_reason() -> None:
    records = table_of(3, {"x": "numeric"})
    records.append(piece(1, 1, rejects=5, examples=[[f"{HOSTILE}.csv", 7, "x is no number"], ["b.csv", None, HOSTILE]]))
    records.append(piece(2, 2, rejects=300, examples=[["c.csv", line, "short"] for line in range(300)]))

    viewed = Viewed(DataScreen()).look(state_of(records), START + 3)

    shown = viewed.values["refused"]
    assert shown["rows"][0] == {"place": 1, "file": f"{HOSTILE}.csv", "line": 7, "reason": "x is no number"}
    assert shown["rows"][1]["line"] is None
    assert len(shown["rows"]) == MOST_REFUSED
    assert shown["more"] == 305 - MOST_REFUSED


def test_partitions_with_refused_rows_are_listed_when_the_rows_are_not_known() -> None:
    viewed = Viewed(DataScreen()).look(state_of(told_run()), 0.0)

    rows = viewed.values["refused"]["rows"]
    assert [row["place"] for row in rows] == [4, 15, 26, 37]
    assert rows[0]["reason"] == "3 rows refused"
    assert viewed.values["refused"]["more"] == 0


def test_a_table_whose_blocks_were_all_there_has_no_throughput() -> None:
    records = table_of(4, {"x": "numeric"})
    looks = {"x": [1000, 10, 0.5, 1.0]}
    records += [piece(place, 0.1, state="there", seconds=0.0, columns=looks) for place in range(4)]

    viewed = Viewed(DataScreen()).look(state_of(records), START + 1)

    assert not viewed.is_shown("throughput_rows")
    assert viewed.values["throughput_rows.hidden"]
    assert viewed.values["partitions"]["states"] == "3333"
    assert "4 blocks there already" in viewed.values["data_tiles"][0]["note"]
    assert viewed.columns["missing_data"]["share"] == [0.01]


def test_one_partition_is_a_line_and_no_drift() -> None:
    records = [*table_of(1, {"x": "numeric"}), piece(0, 1.0, columns={"x": [1000, 0, 0.5, 1.0]})]

    viewed = Viewed(DataScreen()).look(state_of(records), START + 1)

    assert len(viewed.columns["throughput_data"]["seconds"]) == 3
    assert viewed.columns["throughput_data"]["rows"] == [1000.0] * 3
    assert not viewed.is_shown("drift_map")
    assert not viewed.is_shown("missing")
    assert viewed.values["moved"]["rows"] == []


@pytest.mark.parametrize("looks", [{}, {"t": [1000, 5, None, None]}, {"t": [1000, 1000, math.nan, math.nan]}])
def test_columns_without_numbers_have_no_drift(looks: dict[str, Any]) -> None:
    records = table_of(2, {}) if not looks else table_of(2, {"t": "text"})
    records += [piece(place, place + 1.0, columns=looks) for place in range(2)]

    viewed = Viewed(DataScreen()).look(state_of(records), START + 3)

    assert not viewed.is_shown("drift_map")
    assert viewed.is_shown("missing") == bool(looks)


def test_numbers_without_spread_and_columns_nobody_told_of_do_no_harm() -> None:
    records = table_of(3, {"constant": "numeric"})
    records += [piece(0, 1.0, columns={"constant": [100, 0, 4.0, 0.0]})]
    records += [piece(1, 2.0, columns={"constant": [100, 0, 4.0, 0.0], "new": [100, 50, 1.0, 2.0]})]

    viewed, _ = watched(DataScreen(), records, n_looks=len(records))

    assert not viewed.is_shown("drift_map")
    assert viewed.columns["missing_data"]["name"] == ["new"]
    assert viewed.columns["missing_map_data"]["share"] == [0.5]


def test_a_run_that_is_continued_begins_its_scan_anew() -> None:
    first = stage_moment(told_run(), "scan", 0.8)
    later = [{**record, "at": record["at"] + 1000} for record in stage_moment(told_run(seed=1), "scan", 0.4)]

    viewed, state = watched(DataScreen(), [*first, *later], n_looks=40)

    assert viewed.columns["piece_seconds_data"]["place"] == [one.first for one in state.data.pieces]
    assert max(viewed.columns["throughput_data"]["seconds"]) < 100


def test_before_the_scan_the_page_says_what_will_come() -> None:
    screen = DataScreen()
    viewed = Viewed(screen).look(state_of([]), 0.0)

    empty = {panel.key: panel.empty for panel in viewed.panels}
    assert all(empty[key] for key in empty if key != "data_tiles")
    assert not any(viewed.is_shown(key) for key in ("throughput_rows", "piece_seconds", "missing", "drift_map"))
    assert viewed.values["partitions"]["states"] == ""
    assert viewed.values["refused"]["rows"] == []


def test_names_that_try_to_break_the_page_stand_in_it_as_text() -> None:
    viewed = Viewed(DataScreen()).look(state_of(told_run(hostile=True)), 0.0)

    for attributes in viewed.looks.values():
        assert "$$" not in str(attributes.get("factors"))
        assert "\u202e" not in str(attributes.get("factors"))


def test_ten_thousand_partitions_of_many_columns_cost_little() -> None:
    n, names = 10_000, [f"c{number}" for number in range(120)]
    records = table_of(n, dict.fromkeys(names, "numeric"))
    looks = [{name: [1000, number, 0.01 * (part - 20), 1.0] for number, name in enumerate(names)} for part in range(40)]
    records += [piece(place, place / 20, columns=looks[place * 40 // n]) for place in range(n)]
    screen, state = DataScreen(), state_of(records[:6_000])
    viewed = Viewed(screen).look(state, state.last)

    spent = []
    for first in range(6_000, 8_000, 20):
        state.hear(records[first : first + 20])
        begun = time.thread_time()
        slots = screen.slots(state, state.last)
        spent.append(time.thread_time() - begun)
        viewed.take(slots)

    assert sum(spent) / len(spent) < 0.005
    assert len(viewed.columns["piece_seconds_data"]["place"]) <= 1200
    assert len(viewed.columns["missing_map_data"]["x"]) <= 30 * 60
    assert len(viewed.values["partitions"]["states"]) <= MOST_CELLS


def test_a_piece_of_many_partitions_stands_in_all_of_its_places() -> None:
    looks = {"x": [8000, 800, 0.5, 1.0]}
    records = table_of(8, {"x": "numeric"})
    records.append(piece(0, 1.0, places=[0, 1, 2, 3], rows=4000, columns=looks))

    viewed = Viewed(DataScreen()).look(state_of(records), START + 3)

    assert viewed.columns["missing_map_data"]["x"] == [0.0, 1.0, 2.0, 3.0]
    assert viewed.columns["missing_map_data"]["share"] == [0.1] * 4
    assert viewed.columns["piece_seconds_data"]["seconds"] == [0.25]
    assert not viewed.is_shown("drift_map")


def test_a_source_that_does_not_tell_its_size_has_no_bytes() -> None:
    records = [{**record, "bytes": 0} if record["record"] == "table" else record for record in table_of(2, {})]
    records.append(piece(0, 1.0, bytes=0))

    viewed = Viewed(DataScreen()).look(state_of(records), START + 3)

    assert viewed.values["throughput_bytes.hidden"]
    assert viewed.is_shown("throughput_rows")
    assert "Bytes read" not in [tile["label"] for tile in viewed.values["data_tiles"]]


@pytest.mark.parametrize("seconds", [math.inf, -1.0, 1e300, 0.0])
def test_times_that_no_clock_says_hold_nothing_up(seconds: float) -> None:
    records = [*table_of(3, {}), piece(0, 1.0, seconds=seconds), piece(1, 2.0), piece(2, 1e12)]

    screen, state = DataScreen(), state_of(records)
    screen.slots(state, START)

    assert screen.slots(state, START)[0].name == "data_tiles"
