"""A scan reads files as they come, in any order, and asks for no more of them than there is room for."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent import futures
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.errors import ClusterError, DataError
from daskflow.core.events import Event
from daskflow.core.protocols import Unit
from daskflow.data.arriving import Feed, are_seen
from daskflow.data.execution import InlineExecutor, run_all
from daskflow.data.scan import scan
from daskflow.sources.http import Http
from daskflow.sources.http_engine import ENGINE
from daskflow.workflow import Workflow, toml
from daskflow.workflow.opening import Opening
from tests import killed_run
from tests.misbehaving_server import Handler, Reply, Request, Server, answer, file, serving
from tests.test_sources_http import LIMITS, assert_no_threads_are_left, bodies, csv_at, encoded, frame

# files that come when a test says so


@dataclass
class Given:
    """A file that has come."""

    n_bytes: int = 1
    began: float = 0.0
    seconds: float = 0.0
    is_closed: bool = False

    def close(self) -> None:
        self.is_closed = True


@dataclass
class Late:
    """A file that comes when it is told to."""

    key: str
    size_bytes: int = 10
    ahead: int = 2
    room_bytes: int = 10**9
    folder: str = ""
    future: Future[Given] = field(default_factory=Future)
    is_begun: bool = False

    def bring(self) -> Future[Given]:
        assert not self.is_begun
        self.is_begun = True
        return self.future

    def come(self) -> Given:
        given = Given()
        self.future.set_result(given)
        return given


def feed_of(*needs: Sequence[Late], slots: int = 1, events: list[Event] | None = None) -> Feed:
    units = [Unit(str(number), str, (number,)) for number in range(len(needs))]
    listener = (lambda event: None) if events is None else events.append
    return Feed(units, {str(number): files for number, files in enumerate(needs)}, slots, listener)


def keys(units: Sequence[Unit]) -> list[str]:
    return [unit.key for unit in units]


def test_units_are_handed_out_in_the_order_their_files_come() -> None:
    files = [Late(str(number), ahead=9) for number in range(4)]
    feed = feed_of(*([each] for each in files))
    assert feed.ready(0.0) == []
    for number in (2, 0):
        files[number].come()
    assert keys(feed.ready(1.0)) == ["2", "0"]
    assert feed.is_awaited
    for number in (3, 1):
        files[number].come()
    assert keys(feed.ready(1.0)) == ["3", "1"]
    assert not feed.is_awaited


def test_no_more_files_come_than_are_read_and_may_wait() -> None:
    # given one slot, and two files that may wait
    files = [Late(str(number), ahead=2) for number in range(6)]
    feed = feed_of(*([each] for each in files), slots=1)
    feed.ready(0.0)
    assert [each.is_begun for each in files] == [True] * 3 + [False] * 3
    # when all of them came, none was read
    held = [each.come() for each in files[:3]]
    feed.ready(0.0)
    assert not files[3].is_begun
    # when one was read, one more comes
    feed.done("1")
    feed.ready(0.0)
    assert [each.is_closed for each in held] == [False, True, False]
    assert [each.is_begun for each in files[3:]] == [True, False, False]


def test_files_together_fit_into_the_room_there_is_and_one_always_does() -> None:
    files = [Late(str(number), size_bytes=size, ahead=9, room_bytes=25) for number, size in enumerate((30, 10, 10, 10))]
    feed = feed_of(*([each] for each in files))
    feed.ready(0.0)
    assert [each.is_begun for each in files] == [True, False, False, False]
    files[0].come()
    feed.ready(0.0)
    feed.done("0")
    feed.ready(0.0)
    assert [each.is_begun for each in files[1:]] == [True, True, False]


def test_a_unit_of_many_small_files_waits_for_all_and_many_units_of_a_file_for_one() -> None:
    # given more files in one unit than may wait, and a file that two units read
    small, large = [Late(f"s{number}") for number in range(9)], Late("large")
    feed = feed_of(small, [large], [large], slots=1)
    feed.ready(0.0)
    assert all(each.is_begun for each in small)
    for each in small[:-1]:
        each.come()
    assert feed.ready(0.0) == []
    small[-1].come()
    assert keys(feed.ready(0.0)) == ["0"]
    feed.done("0")
    held = large.come() if large.is_begun else None
    feed.ready(0.0)
    held = held or large.come()
    ready = keys(feed.ready(0.0))
    assert not held.is_closed
    feed.done("1")
    assert not held.is_closed
    feed.done("2")
    assert held.is_closed
    assert set(ready) <= {"1", "2"}


def test_what_has_come_is_given_back_when_nothing_more_is_wanted_and_what_is_on_its_way_when_it_comes() -> None:
    files = [Late(str(number), ahead=9) for number in range(4)]
    feed = feed_of(*([each] for each in files))
    feed.ready(0.0)
    taken = files[0].come()
    feed.ready(0.0)
    waiting = files[1].come()
    feed.close()
    late = files[2].come()
    files[3].future.set_exception(DataError("gone"))
    assert (taken.is_closed, waiting.is_closed, late.is_closed) == (True, True, True)


def test_a_file_that_does_not_come_ends_the_scan_with_its_sentence_and_gives_up_the_rest() -> None:
    files = [Late(str(number), ahead=9) for number in range(3)]
    feed = feed_of(*([each] for each in files))
    executor = InlineExecutor()
    threading.Timer(0.05, lambda: files[1].future.set_exception(DataError("http://x/b.csv: gone"))).start()
    with pytest.raises(DataError, match="gone"):
        run_all(executor, [], arrivals=feed)
    assert executor.pending == 0


def test_slots_that_have_nothing_to_do_while_files_come_are_counted() -> None:
    late = Late("a")
    events: list[Event] = []
    feed = feed_of([late], slots=1, events=events)
    threading.Timer(0.2, late.come).start()
    answers = run_all(InlineExecutor(), [], arrivals=feed)
    feed.close()
    assert answers == {"0": "0"}
    assert 0.1 < feed.idle_slot_seconds < 5
    told = [(event.name, event.fields.get("state")) for event in events]
    assert told == [("stage", "started"), ("span", None), ("progress", None), ("stage", "finished")]
    assert all(event.fields.get("beside") == "scan" for event in events if event.name == "stage")


def test_nothing_is_fed_where_workers_do_not_see_the_folder(tmp_path: Path) -> None:
    class Elsewhere(InlineExecutor):
        def submit(self, unit: Unit) -> None:
            super().submit(Unit(unit.key, unit.function, (str(tmp_path / "elsewhere" / "x"), *unit.arguments[1:])))

    assert are_seen(InlineExecutor(), tmp_path)
    assert not are_seen(Elsewhere(), tmp_path)
    assert list(tmp_path.iterdir()) == []


# files over HTTP


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as running:
        yield running
    assert ENGINE.wait(60)
    assert_no_threads_are_left()


def http(tmp_path: Path, urls: Sequence[str], **options: Any) -> Http:
    limits = {**LIMITS, "idle_seconds": 60}
    return Http(url=list(urls), target="late", cache=str(tmp_path / "cache"), limits=limits, sample_files=1, **options)


def when(event: threading.Event, handler: Handler) -> Handler:
    """Answer whole files only from a moment on; first looks at once."""

    async def handle(request: Request, reply: Reply) -> None:
        if "range" not in request.headers:
            import asyncio

            assert await asyncio.to_thread(event.wait, 50)
        await handler(request, reply)

    return handle


def test_a_file_that_comes_late_holds_up_no_other_and_the_blocks_are_those_of_files_that_are_there(
    server: Server, tmp_path: Path
) -> None:
    # given a second file that comes only when all others have been read
    others = threading.Event()
    urls = csv_at(server, 5)
    server.at("/d/1.csv", when(others, file(encoded(frame(1), "csv"), etag='"late"')))
    table = http(tmp_path, urls, ahead=9).table()
    order: list[int] = []

    def listen(event: Event) -> None:
        if event.name == "partitions" and event.fields["state"] == "done":
            order.extend(event.fields["places"])
        if len(order) == 4:
            others.set()

    # when it is scanned without grouping, file by file
    blocks = scan(ungrouped(table), tmp_path / "fed", InlineExecutor(), listen)
    # then it is the last, and the blocks are in the order of the table and the same to the last bit
    assert order[-1] == 1
    assert sorted(order) == [0, 1, 2, 3, 4]
    again = scan(ungrouped(table), tmp_path / "there", InlineExecutor())
    assert blocks.fingerprint == again.fingerprint
    assert [Path(each.path).read_bytes() for each in blocks.files] == [
        Path(each.path).read_bytes() for each in again.files
    ]
    assert [bodies(server, f"/d/{number}.csv") for number in range(1, 5)] == [1] * 4


def ungrouped(table: Any) -> Any:
    """The table with partitions that are blocks of their own."""
    from dataclasses import replace

    return replace(table, partitions=tuple(replace(each, n_bytes=17 << 20) for each in table.partitions))


def test_a_small_cache_holds_what_is_read_and_every_file_is_fetched_once(server: Server, tmp_path: Path) -> None:
    urls = csv_at(server, 6)
    size = len(encoded(frame(1), "csv"))
    table = http(tmp_path, urls, cache_bytes=2 * size + 100).table()
    blocks = scan(ungrouped(table), tmp_path / "store", InlineExecutor())
    assert blocks.n_rows == 1800
    assert [bodies(server, f"/d/{number}.csv") for number in range(1, 6)] == [1] * 5


def workflow(tmp_path: Path, source: Any, **more: Any) -> Workflow:
    return Workflow(
        name="far",
        data=source,
        split={"kind": "random", "test": 0.3, "validation": 0.2},
        model="sgd",
        search={"kind": "random", "trials": 2},
        metrics=["roc_auc"],
        cache={"folder": str(tmp_path / "blocks")},
        **{"cluster": "inline", "evaluation": {"explain": False}, **more},
    )


@pytest.mark.slow
def test_a_run_over_http_is_the_run_on_its_files(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given that files come when the table is open, and before the scan asks for them
    opened = Opening.table

    def table(self: Opening, listener: Any) -> Any:
        found = opened(self, listener)
        futures.wait([future for _, future in self._coming], 60)
        return found

    monkeypatch.setattr(Opening, "table", table)
    # and a run on files, by two threads
    (tmp_path / "d").mkdir()
    for number in range(4):
        (tmp_path / "d" / f"{number}.csv").write_bytes(encoded(frame(number), "csv"))
    near = {"kind": "csv", "path": str(tmp_path / "d" / "*.csv"), "target": "late"}
    local = workflow(tmp_path / "near", near, cluster={"kind": "threads", "workers": 2}).run(tmp_path / "near")
    # when the same files come over HTTP
    far = workflow(tmp_path, http(tmp_path, csv_at(server, 4))).run(tmp_path / "runs")
    # then the result is the same to the last bit
    assert (far.best.score, far.best.params, far.metrics) == (local.best.score, local.best.params, local.metrics)
    assert "download" in far.stages["stage"].tolist()
    assert "download" not in local.stages["stage"].tolist()


def test_a_download_that_fails_ends_a_run_with_its_sentence_and_it_continues_and_says_when_its_stages_were_at_work(
    server: Server, tmp_path: Path
) -> None:
    # given a file that is gone when it is to be fetched
    urls = csv_at(server, 5)
    good = file(encoded(frame(3), "csv"), etag='"3"')
    gone = threading.Event()

    async def vanishing(request: Request, reply: Reply) -> None:
        is_look = "range" in request.headers or not gone.is_set()
        await (good if is_look else answer(404))(request, reply)

    server.at("/d/3.csv", vanishing)
    gone.set()
    source = http(tmp_path, urls)
    # when, then
    with pytest.raises(DataError, match=r"/d/3\.csv: the server answered 404"):
        workflow(tmp_path, source, cluster={"kind": "threads", "workers": 2}).run(tmp_path / "runs")
    # and the same run continues when it is there again, without fetching the others once more
    before = [bodies(server, f"/d/{number}.csv") for number in (0, 1, 2)]
    gone.clear()
    run = workflow(tmp_path, source).run(tmp_path / "runs")
    assert run.status == "done"
    assert [bodies(server, f"/d/{number}.csv") for number in (0, 1, 2)] == before
    assert len(run.overlap.starts) == 1
    # and its stages are told in Python, as JSON and in the report
    assert list(run.stages.columns) == ["stage", "began", "ended", "seconds", "stretches", "cpu_seconds"]
    names = run.stages["stage"].tolist()
    assert {"table", "cluster", "download", "scan", "search", "refit", "evaluation", "model"} <= set(names)
    told = run.summary()["overlap"]
    assert told["sum_seconds"] == pytest.approx(run.stages["seconds"].sum(), abs=0.01)
    ratio = told["sum_seconds"] / told["wall_seconds"]
    rounding = 0.00006 + 0.0006 * (1 + ratio) / told["wall_seconds"]  # of figures told to the millisecond
    assert 0 < told["ratio"] == pytest.approx(ratio, abs=rounding)
    page = run.report_path.read_text()
    assert "overlap ratio" in page
    assert '"gantt_data"' in page
    # and the download counts what came beside the scan: what was missing, as far as it had not come before
    records = [each for each in run.records if each.get("stage") == "download" and each.get("files")]
    sizes = [len(encoded(frame(number), "csv")) for number in range(5)]
    assert sum(each["files"] for each in records) <= 5
    for record in records:
        assert min(sizes) * record["files"] <= record["bytes"] <= max(sizes) * record["files"]


@pytest.mark.slow
def test_a_run_that_is_killed_while_files_come_continues_with_those_that_are_there(
    server: Server, tmp_path: Path
) -> None:
    # given an undisturbed run, and a server that gives three files and holds the others back
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(killed_run.PRELOAD)
    forkserver.ensure_running()  # it imports what runs need meanwhile
    urls = csv_at(server, 6)
    whole = workflow(tmp_path / "whole", http(tmp_path / "whole", urls)).run(tmp_path / "whole")
    asked = [bodies(server, f"/d/{number}.csv") for number in range(6)]
    assert asked == [1] * 6
    free = threading.Event()
    for number in range(3, 6):
        server.at(f"/d/{number}.csv", when(free, file(encoded(frame(number), "csv"), etag=f'"{number}"')))
    flow = workflow(tmp_path, http(tmp_path, urls))
    (tmp_path / "flow.toml").write_bytes(toml.write(flow.dump()))
    # when it is killed once three files have come, and others are on their way
    process = processes.Process(target=killed_run.run, args=(tmp_path / "flow.toml", tmp_path / "runs"))
    process.start()
    deadline = time.monotonic() + 150
    journals = "cache/*/.daskflow-fetch.jsonl"
    while sum(b'"done"' in each.read_bytes() for each in tmp_path.glob(journals)) < 3 or bodies(server, "/d/4.csv") < 2:
        assert time.monotonic() < deadline
        assert process.is_alive()
        process.join(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.join()
    # then the same command ends as the undisturbed run, and fetches nothing twice but what was on its way
    free.set()
    run = flow.run(tmp_path / "runs")
    assert (run.best.score, run.best.params, run.metrics) == (whole.best.score, whole.best.params, whole.metrics)
    assert [bodies(server, f"/d/{number}.csv") for number in range(3)] == [2, 2, 2]
    assert len(run.overlap.starts) == 1
    assert "download" in run.stages["stage"].tolist()
    assert not list(tmp_path.glob("cache/*/.*.part"))


def test_a_table_is_opened_while_the_cluster_starts_and_its_first_files_come(server: Server, tmp_path: Path) -> None:
    urls = csv_at(server, 6)
    flow = workflow(tmp_path, http(tmp_path, urls, ahead=2))
    events: list[Event] = []
    with Opening(flow, tmp_path) as opening:
        # when nobody has asked for the table yet
        deadline = threading.Event()
        while sum(bodies(server, f"/d/{number}.csv") for number in range(6)) < 2 and not deadline.wait(0.02):
            assert len(server.requests) < 1000
        table = opening.table(events.append)
        assert len(table.partitions) == 6
        assert events[0].fields["stage"] == "table"
        # then no more than may wait come, and each is told once
        told: list[str] = []
        while not told:
            told += [span["part"] for span in opening.came()]
            assert len(server.requests) < 1000
        futures.wait([future for _, future in opening._coming], 60)
        told += [span["part"] for span in opening.came()]
        assert opening.came() == []
    assert len(told) == len(set(told)) <= 3
    assert sum(bodies(server, f"/d/{number}.csv") for number in range(6)) <= 3


def test_what_is_wrong_with_a_table_is_said_when_the_cluster_is_there_and_nothing_stays_when_it_is_not(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match="answered 404"):
        workflow(tmp_path, http(tmp_path, [server.url("/none.csv")])).run(tmp_path / "runs")
    from daskflow.clusters.inline import Inline

    def broken(self: Inline) -> Any:
        raise ClusterError("There is no cluster.")

    monkeypatch.setattr(Inline, "open", broken)
    with pytest.raises(ClusterError, match="There is no cluster"):
        workflow(tmp_path, http(tmp_path, csv_at(server, 3))).run(tmp_path / "runs")
    for thread in [each for each in threading.enumerate() if each.name == "daskflow-opening"]:
        thread.join(10)  # it ends by itself; nobody waits for it
