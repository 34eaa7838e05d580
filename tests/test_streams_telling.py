"""A stream tells what it does each second, in a file that stays short, and is never disturbed by it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.errors import JournalError
from daskflow.core.live import EventLog
from daskflow.streams.meter import Meter
from daskflow.streams.seconds import merged, summed
from daskflow.streams.telling import StreamTelling, records_in
from daskflow.streams.thinning import thinned

ABOUT = {"verb": "serve", "model": "cars"}


def second(at: float, **fields: Any) -> dict[str, Any]:
    """A second of a stream."""
    return {"record": "stream", "at": at, "requests": 3, "rows": 4, "seconds": 1.0, **fields}


def kinds(path: Path) -> list[str]:
    """What the records are, seconds that come behind each other once."""
    found: list[str] = []
    for record in records_in(path / "events.jsonl"):
        if not found or found[-1] != record["record"]:
            found.append(record["record"])
    return found


def waited_for(path: Path, n_seconds: int) -> list[dict[str, Any]]:
    """Wait until so many seconds are written."""
    until = time.monotonic() + 100
    while time.monotonic() < until:
        found = [each for each in records_in(path / "events.jsonl") if each["record"] == "stream"]
        if len(found) >= n_seconds:
            return found
        time.sleep(0.01)
    raise AssertionError("nothing was written")


def test_all_that_was_counted_is_in_the_file_when_it_has_ended(tmp_path: Path) -> None:
    meter = Meter()

    with StreamTelling(tmp_path, meter.record, about=ABOUT, every_seconds=0.02) as telling:
        for _ in range(5):
            meter.request(rows=2, seconds=0.01)
            meter.error("type")
            time.sleep(0.01)
        telling.swap("trees", before="linear", why="it is better", by="rule")
        telling.drift("price", detector="adwin", words="The mean of 'price' has moved.", value=0.4)
        waited_for(tmp_path, 2)
        meter.request(rows=1, seconds=0.5)

    records = records_in(tmp_path / "events.jsonl")
    seconds = [each for each in records if each["record"] == "stream"]
    assert sum(each["requests"] for each in seconds) == 6
    assert sum(each["rows"] for each in seconds) == 11
    assert sum(each["errors"].get("type", 0) for each in seconds) == 5
    assert records[0]["record"] == "invocation"
    assert records[0]["verb"] == "serve"
    assert {"swap", "drift"} < {each["record"] for each in records}
    assert records[-1]["record"] == "end"
    assert records[-1]["status"] == "done"
    times = [each["at"] for each in records]
    assert times == sorted(set(times))


def test_an_error_is_the_end_that_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no sink"), StreamTelling(tmp_path, None, about=ABOUT):
        raise ValueError("no sink")

    assert records_in(tmp_path / "events.jsonl")[-1] | {"at": 0} == {
        "record": "end",
        "status": "failed",
        "error": "no sink",
        "at": 0,
    }


def test_two_do_not_tell_in_one_folder(tmp_path: Path) -> None:
    with StreamTelling(tmp_path, None, about=ABOUT), pytest.raises(JournalError, match="in use"):
        StreamTelling(tmp_path, None, about=ABOUT)

    with StreamTelling(tmp_path, None, about=ABOUT):  # it is free again
        pass
    assert kinds(tmp_path) == ["invocation", "end", "invocation", "end"]


def test_a_disk_that_is_full_is_said_once_and_what_matters_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    is_full = [True]
    n_refused = [0]
    append = EventLog.append

    def refusing(log: EventLog, records: Any) -> None:
        if is_full[0] and any(each["record"] == "stream" for each in records):
            n_refused[0] += 1
            raise OSError(28, "No space left on device")
        append(log, records)

    monkeypatch.setattr(EventLog, "append", refusing)
    meter = Meter()
    with StreamTelling(tmp_path, meter.record, about=ABOUT, say=said.append, every_seconds=0.01) as telling:
        telling.swap("trees")
        while n_refused[0] < 3:
            time.sleep(0.01)
        is_full[0] = False
        waited_for(tmp_path, 1)

    assert len(said) == 1
    assert "No space left" in said[0]
    records = records_in(tmp_path / "events.jsonl")
    assert [each["champion"] for each in records if each["record"] == "swap"] == ["trees"]
    assert any("are missing here" in each.get("text", "") for each in records)


def test_what_cannot_be_asked_is_said_once_and_the_stream_goes_on(tmp_path: Path) -> None:
    said: list[str] = []
    n_asked = [0]

    def broken() -> dict[str, Any]:
        n_asked[0] += 1
        raise KeyError("queue")

    with StreamTelling(tmp_path, broken, about=ABOUT, say=said.append, every_seconds=0.01) as telling:
        while n_asked[0] < 3:
            time.sleep(0.01)
        telling.note("still here")

    assert len(said) == 1
    assert kinds(tmp_path) == ["invocation", "note", "end"]


def test_drift_that_stays_as_it_is_takes_no_room(tmp_path: Path) -> None:
    meter = Meter()
    meter.drift({"price": (0.1, 0.2)})

    with StreamTelling(tmp_path, meter.record, about=ABOUT, every_seconds=0.01):
        waited_for(tmp_path, 2)
        meter.drift({"price": (0.3, 0.2)})
        seen = len(waited_for(tmp_path, 1))
        waited_for(tmp_path, seen + 3)

    told = [each["drift"] for each in records_in(tmp_path / "events.jsonl") if "drift" in each]
    assert told == [{"price": [0.1, 0.2]}, {"price": [0.3, 0.2]}]


def test_weeks_are_a_few_thousand_records_and_nothing_is_lost_of_the_counts() -> None:
    kept: list[dict[str, Any]] = []
    day = 86_400
    for part in range(4 * 40):  # told by the minute, and thinned again and again, as it is while it is written
        kept += [second(6 * 3600.0 * part + 60 * minute, errors={"type": 1}) for minute in range(360)]
        kept = thinned(kept, 6 * 3600.0 * (part + 1))
    kept = thinned(kept, 40.0 * day)

    assert len(kept) < 60 * 24 + 24 * 30 + 40
    assert sum(record["requests"] for record in kept) == 3 * 60 * 24 * 40
    assert sum(record["errors"]["type"] for record in kept) == 60 * 24 * 40
    assert [record["at"] for record in kept] == sorted({record["at"] for record in kept})


def test_notes_alarms_and_swaps_are_kept_beside_the_sums_the_newest_of_them() -> None:
    told = [second(float(at)) for at in range(100)] + [{"record": "swap", "at": 50.5, "champion": "b"}]
    told += [{"record": "note", "at": 200.0 + at, "text": str(at)} for at in range(3_000)]

    kept = thinned(sorted(told, key=lambda record: record["at"]), 1e6)

    assert [record["champion"] for record in kept if record["record"] == "swap"] == ["b"]
    notes = [record["text"] for record in kept if record["record"] == "note"]
    assert len(notes) == 1_000
    assert notes[-1] == "2999"


def test_the_file_is_thinned_while_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    log = EventLog(path)
    old = time.time() - 20 * 86_400
    log.append([second(old + at) for at in range(20_000)])
    log.close()
    before = path.stat().st_size

    with StreamTelling(tmp_path, None, about=ABOUT), pytest.raises(JournalError):
        StreamTelling(tmp_path, None, about=ABOUT)  # the new file is locked, too

    assert path.stat().st_size < before / 100
    assert sum(record.get("requests", 0) for record in records_in(path)) == 60_000
    assert list(tmp_path.iterdir()) == [path]


def test_percentiles_of_sums_are_those_of_all_within_a_step() -> None:
    slow, quick = Meter(), Meter()
    for place in range(1, 1001):
        (slow if place % 2 else quick).request(rows=1, seconds=place / 1000)

    for found in (merged([slow.record(), quick.record()]),):
        assert found["latency"]["p50"] == pytest.approx(0.5, rel=0.06)
        assert found["latency"]["p99"] == pytest.approx(0.99, rel=0.06)
    again = summed([{**found, "at": 1.0}, {**found, "at": 2.0}])
    assert again["requests"] == 2000
    assert again["latency"]["p95"] == pytest.approx(0.95, rel=0.06)


def test_processes_side_by_side_add_up_but_their_time_does_not() -> None:
    parts = [
        {"requests": 2, "rows": 9, "seconds": 1.0, "queue": 3, "queue_limit": 8, "latencies": [0.1, 0.2], "lag": 4},
        {"requests": 1, "rows": 1, "seconds": 1.1, "queue": 1, "queue_limit": 8, "latencies": [0.3], "drift": {"x": 1}},
    ]

    found = merged(parts)

    assert (found["requests"], found["rows"], found["seconds"], found["queue"], found["queue_limit"]) == (
        3,
        10,
        1.1,
        4,
        16,
    )
    assert found["latency"]["p50"] == 0.2
    assert found["lag"] == 4
    assert found["drift"] == {"x": 1}
