"""A run tells of itself what it comes to, to pages and to its folder, and nothing of that can disturb it."""

from __future__ import annotations

import fcntl
import io
import itertools
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.events import Event, nobody, tell
from daskflow.core.folder import RunFolder, read_json
from daskflow.core.journal import Journal, Record, decode, encode, read
from daskflow.core.live import EventLog, merged, time_of
from daskflow.dashboard.feed import json_of
from daskflow.dashboard.mounting import Mounted
from daskflow.dashboard.state import RunState
from daskflow.workflow import Run, Workflow, telling
from daskflow.workflow.recording import Recorder
from daskflow.workflow.telling import Telling
from daskflow.workflow.telling_pages import Found, say_where, tunnel, write_live
from daskflow.workflow.watching import FolderSource, Restarted, records_of

TOKEN = "Qq7-token-that-must-not-be-found-anywhere"


def workflow_of(folder: Path, **changes: Any) -> Workflow:
    """A small search with a candidate that fails."""
    space = {"alpha": [10.0**-place for place in range(1, 8)], "penalty": ["l2", "no such penalty"]}
    return Workflow(
        **{
            "name": "told",
            "data": {"kind": "generated", "rows": 900, "partitions": 3},
            "split": {"test": 0.3, "folds": 2},
            "model": "sgd",
            "search": {"kind": "grid", "metric": "roc_auc", "space": space},
            "metrics": ["roc_auc", "log_loss"],
            "evaluation": {"explain": False},
            "cluster": "inline",
            "cache": {"folder": str(folder / "cache")},
            "seed": 5,
            **changes,
        }
    )


class Viewers:
    """Stands for the pages on a scheduler: keeps what it is sent."""

    def __init__(self, watching: int = 0, fails: bool = False) -> None:
        self.state, self.heard, self.watching, self.fails = RunState(), [], watching, fails
        self.calls: list[str] = []

    def send(self, records: Sequence[Record]) -> None:
        """Hear."""
        self.calls.append("send")
        if self.fails:
            raise OSError("the pages are on fire")
        heard = json.loads(json_of(list(records)))
        self.heard += heard
        self.state.hear(heard)

    def found(self, *_: Any) -> Found:
        """What mounting comes to."""
        address = "http://127.0.0.1:8787/daskflow"
        return Found(
            Mounted(address, "", self.send, list, lambda: self.calls.append("close"), lambda: self.watching), TOKEN
        )

    def mount(self, monkeypatch: pytest.MonkeyPatch) -> Viewers:
        """Take the place of the scheduler's pages."""
        monkeypatch.setattr(telling, "mounted_on", self.found)
        monkeypatch.setattr(telling, "LAST_SECONDS", 60.0)  # the last is told on a busy machine, too
        return self


def hear(records: Sequence[Record]) -> RunState:
    """What a watcher knows by records."""
    state = RunState()
    state.hear(records)
    return state


def assert_same(state: RunState, run: Run) -> None:
    """A watcher knows what the run came to."""
    summary, best = run.summary(), run.best
    assert state.status == summary["status"] == "done"
    assert state.search.best is not None
    assert (state.search.best.id, state.search.best.score) == (best.id, best.score)
    assert state.search.interval() == (best.low, best.high)
    others = [trial for trial in run.trials if trial.id != run.best.id]
    assert state.search.best_said["tied"] == sum(trial.is_tied is True for trial in others)
    assert {name: trial.score for name, trial in state.search.trials.items()} == pytest.approx(
        {trial.id: trial.score for trial in run.trials}, nan_ok=True
    )
    assert state.search.failed == summary["trials"]["failed"] > 0
    assert state.rows == read_json(run.path / "data.json")["rows"]
    assert state.search.units == len(state.search.fits) > 0
    assert state.search.plan
    saved = read_json(run.path / "metrics.json")
    assert state.evaluation.is_final
    assert {name: list(value) for name, value in state.evaluation.metrics.items()} == {
        name: [score["value"], score["low"], score["high"]] for name, score in saved["metrics"].items()
    }
    assert state.evaluation.rows == saved["n_rows"]
    done = {name: stage.state for name, stage in state.stages.known.items()}
    assert set(done.values()) == {"done"}
    assert {"scan", "search", "evaluation"} <= set(done)


def test_what_a_run_tells_is_what_it_comes_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    viewers = Viewers().mount(monkeypatch)
    # when
    run = workflow_of(tmp_path).run(tmp_path / "runs")
    # then pages and folder know the same, and the folder's records hold all that the run's metrics do
    assert_same(viewers.state, run)
    replayed = hear(records_of(RunFolder(run.path)))
    assert_same(replayed, run)
    assert replayed.evaluation.details == read_json(run.path / "metrics.json")["details"]
    # and a failed fit's log, and when each fit began, by the clock of its worker
    failed = next(trial for trial in viewers.state.search.trials.values() if trial.state == "failed")
    assert "InvalidParameterError" in failed.log
    units = [record for record in read(run.path / "journal.jsonl") if record["record"] == "unit"]
    assert all(run.started < unit["began"] <= unit["began"] + unit["lasted"] < unit["at"] + 0.01 for unit in units)
    # and a run whose events are gone is filled in from its other files
    (run.path / "events.jsonl").unlink()
    filled = hear(records_of(RunFolder(run.path)))
    assert filled.data.partitions == filled.data.states.count(2) == 3
    assert filled.data.rows == 900
    assert filled.search.interval() == (run.best.low, run.best.high)
    assert_same(filled, run)


@pytest.mark.slow
@pytest.mark.parametrize("cluster", ["threads", {"kind": "local", "workers": 2}], ids=["threads", "local"])
def test_on_a_cluster_the_same_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cluster: Any) -> None:
    # given
    viewers = Viewers().mount(monkeypatch)
    # when
    run = workflow_of(tmp_path, cluster=cluster).run(tmp_path / "runs")
    # then
    assert_same(viewers.state, run)
    assert_same(hear(records_of(RunFolder(run.path))), run)
    assert viewers.state.workers["workers"][0]["status"] == "running"
    assert {fit.worker for fit in viewers.state.search.fits} <= {"0", "1"}
    units = [record for record in read(run.path / "journal.jsonl") if record["record"] == "unit"]
    assert all(run.started < unit["began"] <= unit["began"] + unit["lasted"] < unit["at"] + 0.01 for unit in units)


def test_a_run_that_is_continued_tells_each_fit_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # given a run that was interrupted by Ctrl-C after some fits, watched from its folder
    flow, fits = workflow_of(tmp_path), itertools.count()
    viewers = Viewers().mount(monkeypatch)

    def stop(event: Event) -> None:
        if event.name == "unit" and next(fits) == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        flow.run(tmp_path / "runs", listener=stop)
    assert viewers.state.status == "interrupted"
    assert viewers.calls[-1] == "close"
    source = FolderSource(RunFolder(tmp_path / "runs" / "told" / flow.id))
    state = hear(source.new())
    assert state.status == "interrupted"
    # when it is continued, with pages that know nothing of it
    viewers = Viewers().mount(monkeypatch)
    run = flow.run(tmp_path / "runs")
    state.hear(source.new())
    # then
    for known in (state, viewers.state, hear(records_of(RunFolder(run.path)))):
        assert_same(known, run)
        assert known.invocations == 2
        places = [(fit.trial, fit.fold, fit.resource) for fit in known.search.fits]
        assert len(places) == len(set(places))


def test_no_file_holds_the_token_but_live_json_which_is_its_owners_and_goes_with_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # given
    from daskflow.cli.progress import Lines

    viewers, lines = Viewers().mount(monkeypatch), Lines()
    flow = workflow_of(tmp_path, search="none")
    folder = RunFolder(tmp_path / "runs" / "told" / flow.id)
    seen: list[tuple[int, dict[str, Any]]] = []

    def look(event: Event) -> None:
        lines(event)
        if event.name == "stage" and event.fields["stage"] == "search":
            seen.append((folder.live.stat().st_mode & 0o777, read_json(folder.live)))

    # when
    flow.run(tmp_path / "runs", listener=look)
    # then
    mode, told = seen[0]
    assert mode == 0o600
    assert told == {
        "address": "http://127.0.0.1:8787/daskflow",
        "token": TOKEN,
        "host": told["host"],
    }
    assert not folder.live.exists()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if TOKEN.encode() in path.read_bytes()]
    assert TOKEN not in json.dumps(viewers.heard)
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err
    assert "Watch it: http://127.0.0.1:8787/daskflow (daskflow watch " in said.err


def test_a_script_is_told_where_its_run_can_be_watched_and_a_terminal_how_to_get_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # given a run without a listener, whose stderr is kept in a file
    Viewers().mount(monkeypatch)
    flow = workflow_of(tmp_path, search="none")
    # when
    run = flow.run(tmp_path / "runs")
    # then it says one line, without what lets one in, and nothing where pages are off
    said = capfd.readouterr()
    where = f"Run told/{flow.id}. Watch it: http://127.0.0.1:8787/daskflow"
    assert said.err == f"{where} (daskflow watch {run.path} prints the link that lets you in)\n"
    assert said.out == ""
    say_where(Event("note", {"text": "Cluster threads"}))
    assert capfd.readouterr().err == ""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    # when somebody sits at a terminal, then it is the link that works
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    fields = {"url": "http://127.0.0.1:8787/daskflow", "token": TOKEN, "ssh": "", "run": str(run.path)}
    say_where(Event("address", fields))
    assert terminal.getvalue() == f"{where}?token={TOKEN}\n"
    # and a stderr that is gone costs nothing
    terminal.close()
    say_where(Event("address", fields))


def test_pages_and_log_that_fail_cost_a_warning_each_and_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given pages that raise, and a log that cannot be written
    viewers = Viewers(fails=True).mount(monkeypatch)
    heard: list[Event] = []

    def refuse(log: EventLog, records: Sequence[Record]) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventLog, "append", refuse)
    # when
    run = workflow_of(tmp_path, search="none").run(tmp_path / "runs", listener=heard.append)
    # then
    assert run.status == "done"
    warnings = [str(event.fields["text"]) for event in heard if event.name == "warning"]
    assert [text for text in warnings if "on fire" in text] == [
        "The live pages are given up: OSError: the pages are on fire"
    ]
    assert len([text for text in warnings if "No space left" in text]) == 1
    assert viewers.calls.count("send") == 1


def test_without_pages_by_wish_a_run_still_writes_its_events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from daskflow.core.protocols import Connection
    from daskflow.workflow.telling_pages import mounted_on

    monkeypatch.setenv("DASKFLOW_PAGES", "off")
    # a client that would fail if it were asked for anything
    found = mounted_on(Connection(executor=object(), client=object()), RunFolder(tmp_path))  # type: ignore[arg-type]
    assert (found.mounted, found.why) == (None, "")
    # and where mounting itself breaks, that is a sentence
    monkeypatch.delenv("DASKFLOW_PAGES")
    found = mounted_on(Connection(executor=object(), client=object()), RunFolder(tmp_path))  # type: ignore[arg-type]
    assert found.mounted is None
    assert found.why


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """A folder that is told of, and the recorder of its journal."""
    folder = RunFolder(tmp_path / "runs" / "told" / "0a1b")
    folder.make()
    with Journal(folder.journal) as journal:
        yield folder, Recorder(journal)


def lines_of(folder: RunFolder) -> list[Record]:
    """The log's records."""
    found = [decode(line) for line in folder.events.read_bytes().splitlines(keepends=True)]
    return [record for record in found if record is not None]


def test_progress_is_thinned_and_the_last_of_a_stage_is_always_told_before_its_end(told: Any) -> None:
    # given
    folder, recorder = told
    begun = time.monotonic()
    with Telling(folder, recorder, nobody) as telling_now:
        # when a stage tells a thousand times how far it is
        tell(telling_now, "stage", stage="scan", state="started", total=1000)
        for done in range(1, 1001):
            tell(telling_now, "progress", stage="scan", done=done, rows=10 * done)
        recorder.append({"record": "stage", "stage": "scan", "seconds": 1.0})
        # then the log holds its last word before the journal holds its end
        progress = [record for record in lines_of(folder) if record["record"] == "progress"]
    assert len(progress) <= 3 + (time.monotonic() - begun) / telling.TICK_SECONDS
    assert {**progress[-1], "at": 0} == {
        "record": "progress", "stage": "scan", "done": 1000, "total": 1000, "rows": 10_000, "bytes": 0, "at": 0,
    }  # fmt: skip


@pytest.mark.parametrize("status", ["done", "failed", "interrupted"])
def test_viewers_are_told_the_end_before_the_cluster_closes_and_waited_for_a_little(
    told: Any, monkeypatch: pytest.MonkeyPatch, status: str
) -> None:
    # given somebody who watches
    from daskflow.core.protocols import Connection
    from daskflow.data.execution import InlineExecutor

    folder, recorder = told
    viewers = Viewers(watching=1).mount(monkeypatch)
    errors: dict[str, Any] = {"failed": ValueError("Disk full"), "interrupted": KeyboardInterrupt()}
    monkeypatch.setattr(telling, "LAST_SECONDS", 0.3)
    monkeypatch.setattr(telling, "TICK_SECONDS", 3600.0)  # nothing else has the pages' turn
    begun = time.monotonic()
    # when
    with Telling(folder, recorder, nobody) as telling_now:
        recorder.append({"record": "invocation", "id": "0a1b"})
        try:
            with telling_now.watched(Connection(InlineExecutor())):
                if status in errors:
                    raise errors[status]
        except (ValueError, KeyboardInterrupt):
            pass
        waited = time.monotonic() - begun
        # then
        assert viewers.state.status == status
        assert viewers.state.error == {"failed": "Disk full", "interrupted": "interrupted"}.get(status, "")
        assert viewers.calls[-1] == "close"
        assert 0.3 <= waited < 60
    # and the journal's own end is not theirs to write
    assert [record["record"] for record in read(folder.journal)] == ["invocation"]


def test_nobody_is_waited_for_when_nobody_watches(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from daskflow.core.protocols import Connection
    from daskflow.data.execution import InlineExecutor

    folder, recorder = told
    Viewers(watching=0).mount(monkeypatch)
    with Telling(folder, recorder, nobody) as telling_now:
        begun = time.monotonic()
        with telling_now.watched(Connection(InlineExecutor())):
            pass
        assert time.monotonic() - begun < telling.LAST_SECONDS


def test_a_command_of_a_viewer_reaches_the_search(told: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from daskflow.core.control import Command, Control
    from daskflow.core.protocols import Connection
    from daskflow.data.execution import InlineExecutor

    folder, recorder = told
    viewers = Viewers()
    asked = iter([[Command("pause", by="page")]])
    mounted = Mounted("http://127.0.0.1:1/daskflow", "", viewers.send, lambda: next(asked, []), lambda: None, lambda: 0)
    monkeypatch.setattr(telling, "mounted_on", lambda *_: Found(mounted, TOKEN))
    monkeypatch.setattr(telling, "TICK_SECONDS", 0.02)
    control = Control()
    with Telling(folder, recorder, nobody) as telling_now:
        telling_now.control = control
        with telling_now.watched(Connection(InlineExecutor())):
            control.wait(60.0)
            assert [command.word for command in control.take()] == ["pause"]


def test_a_log_goes_on_behind_a_torn_line_and_readers_skip_it(tmp_path: Path) -> None:
    # given a log whose last line a kill has torn, and one line that somebody damaged
    path = tmp_path / "events.jsonl"
    good = [{"record": "note", "text": str(number), "at": float(number)} for number in range(4)]
    path.write_bytes(encode(good[0]) + encode(good[1]).replace(b'"1"', b'"2"') + encode(good[2])[:-7])
    # when
    log = EventLog(path)
    log.append([good[3]])
    log.close()
    # then
    found = [decode(line) for line in path.read_bytes().splitlines(keepends=True)]
    assert [record["text"] for record in found if record] == ["0", "3"]


def test_a_full_log_says_so_once_and_keeps_what_matters_and_ends(tmp_path: Path) -> None:
    # given
    path = tmp_path / "events.jsonl"
    log = EventLog(path, most_bytes=4000)
    # when far more is told than there is room for
    for number in range(1000):
        log.append([{"record": "progress", "stage": "scan", "done": number, "at": float(number)}])
        places = {"places": [number], "state": "done", "columns": {"x": [1, 0, 1.0, 1.0]}}
        log.append([{"record": "partitions", **places, "at": float(number)}])
    log.append([{"record": "best", "trial": "1", "at": 1e4}])
    log.close()
    # then
    found = [decode(line) or {} for line in path.read_bytes().splitlines(keepends=True)]
    notes = [place for place, record in enumerate(found) if record["record"] == "note"]
    assert len(notes) == 1
    assert "4,000 bytes" in found[notes[0]]["text"]
    behind = found[notes[0] + 1 :]
    assert {record["record"] for record in behind} == {"partitions"}
    assert not any("columns" in record for record in behind)
    assert 8000 <= path.stat().st_size < 8500
    # and one that is full already says nothing of it again
    log = EventLog(path, most_bytes=4000)
    log.append([{"record": "note", "text": "more", "at": 1.0}])
    log.close()
    assert 8000 <= path.stat().st_size < 8500


def test_records_come_in_the_order_of_their_time_and_those_without_one_after_their_neighbour() -> None:
    journal = [{"record": "a", "at": 1.0}, {"record": "b"}, {"record": "c", "at": 5.0}]
    events = [{"record": "x", "at": 1.0}, {"record": "y", "at": 3.0}, {"record": "z", "at": "soon"}]
    assert [each["record"] for each in merged(journal, events)] == ["a", "b", "x", "y", "z", "c"]


def journal_of(*records: Record) -> bytes:
    """Lines of a journal, a second apart."""
    return b"".join(encode({**record, "at": 100.0 + place}) for place, record in enumerate(records))


FIT = {"seconds": 0.5, "cpu_seconds": 0.4, "worker": "0", "details": {}}
RUN = journal_of(
    {"record": "invocation", "id": "0a1b", "versions": {}},
    {"record": "candidates", "candidates": [{"trial": "0", "params": {"alpha": 1.0}}], "metric": "roc_auc"}
    | {"greater_is_better": True, "n_folds": 1},
    {"record": "start", "trial": "0", "fold": 0, "resource": 1},
    {"record": "unit", "trial": "0", "fold": 0, "resource": 1, "metrics": {"roc_auc": 0.7}, **FIT},
    {"record": "stage", "stage": "search", "seconds": 2.0, "cpu_seconds": 0.1},
    {"record": "end", "status": "done"},
)
EVENTS = b"".join(
    encode(record)
    for record in (
        {"record": "begun", "stage": "search", "total": 1, "at": 100.5},
        {"record": "note", "text": "<b>ümlaut</b>", "at": 101.5},
        {"record": "progress", "stage": "search", "done": 1, "total": 1, "at": 103.5},
        {"record": "history", "runs": [], "at": 103.6},
    )
)


def test_a_folder_is_followed_as_its_files_grow_byte_by_byte(tmp_path: Path) -> None:
    # given
    folder = RunFolder(tmp_path / "told" / "0a1b")
    folder.path.mkdir(parents=True)
    source = FolderSource(folder)
    assert source.new() == []
    with open(folder.journal, "ab", buffering=0) as journal, open(folder.events, "ab", buffering=0) as events:
        fcntl.flock(journal, fcntl.LOCK_EX)  # as the run does
        # when
        found: list[Record] = []
        for place in range(max(len(RUN), len(EVENTS))):
            journal.write(RUN[place : place + 1])
            events.write(EVENTS[place : place + 1])
            found += source.new()
    # then nothing is lost, and nothing said twice
    assert sorted(record["at"] for record in found) == [
        100.0,
        100.5,
        101.0,
        101.5,
        102.0,
        103.0,
        103.5,
        103.6,
        104.0,
        105.0,
    ]
    assert source.new() == []
    # and whoever comes later hears the same, in order
    assert sorted(found, key=time_of) == records_of(folder)
    assert hear(records_of(folder)).notes[0].text == "<b>ümlaut</b>"


def test_records_that_are_not_as_they_should_be_are_handed_on_and_the_rest_is_told(tmp_path: Path) -> None:
    # given a run without events in whose journal somebody wrote what no run writes
    folder = RunFolder(tmp_path / "told" / "0a1b")
    folder.path.mkdir(parents=True)
    odd: list[Record] = [
        {"record": "unit", "trial": ["x"], "at": "soon"},
        {"record": "stage", "seconds": "long", "stage": 7, "at": None},
        {"record": "candidates", "metric": 3, "candidates": 5},
        {"record": 12, "at": 1e999},
        {"record": "data", "rows": {}},
        {"text": "no record"},
    ]
    folder.journal.write_bytes(RUN[: RUN.index(b"\n") + 1] + b"".join(map(encode, odd)) + RUN[RUN.index(b"\n") + 1 :])
    folder.metrics.write_text('{"metrics": [1, 2]}')
    folder.data.write_text("[]")
    # when
    found = records_of(folder)
    # then
    assert [record["record"] for record in found if record["record"] in ("invocation", "unit", "end")] == [
        "invocation", "unit", "unit", "end",
    ]  # fmt: skip


def test_a_run_begun_anew_is_known_by_its_journal_and_heard_from_its_start(tmp_path: Path) -> None:
    # given a run that was read to its end
    folder = RunFolder(tmp_path / "told" / "0a1b")
    folder.path.mkdir(parents=True)
    folder.journal.write_bytes(RUN)
    folder.events.write_bytes(EVENTS)
    source = FolderSource(folder)
    assert hear(source.new()).status == "done"
    # when it is run again from nothing, and its journal is longer than the old one by the time that it is looked at
    longer = [{"record": "warning", "text": f"Of another run: {number}"} for number in range(200)]
    folder.events.unlink()
    folder.journal.write_bytes(journal_of({"record": "invocation", "id": "0a1b", "versions": {"python": "4"}}, *longer))
    # then
    with pytest.raises(Restarted):
        source.new()
    state = hear(source.new())
    assert state.search.fits == []
    assert len([note for note in state.notes if note.kind == "warning"]) == 200


def test_a_run_that_was_killed_ends_interrupted_for_its_watchers_and_goes_on_when_it_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given a journal that a process holds
    from daskflow.workflow import watching

    monkeypatch.setattr(watching, "QUIET_SECONDS", 0.0)
    folder = RunFolder(tmp_path / "told" / "0a1b")
    folder.path.mkdir(parents=True)
    folder.journal.write_bytes(RUN[: RUN.rindex(b"\n", 0, RUN.rindex(b'"end"')) + 1])
    folder.events.write_bytes(EVENTS)
    source, state = FolderSource(folder), RunState()
    with Journal(folder.journal):
        state.hear(source.new())
        state.hear(source.new())
        assert source.is_running
        assert state.status == "running"
    # when it is gone
    state.hear(source.new())
    # then
    assert not source.is_running
    assert state.status == "interrupted"
    assert source.new() == []
    assert hear(records_of(folder)).status == "interrupted"
    # and when it is continued
    with Journal(folder.journal) as journal:
        Recorder(journal).append({"record": "invocation", "id": "0a1b"})
        state.hear(source.new())
        assert (state.status, state.invocations, len(state.search.fits)) == ("running", 2, 1)


@pytest.mark.parametrize(
    "name", ["../../secret.txt", "/etc/passwd", "logs/../../secret.txt", "logs/link.txt", "..", "a\0b"]
)
def test_a_log_outside_of_the_runs_own_is_not_read(tmp_path: Path, name: str) -> None:
    from daskflow.workflow.logs import with_log

    folder = RunFolder(tmp_path / "told" / "0a1b")
    (folder.path / "logs").mkdir(parents=True)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "told" / "secret.txt").write_text("secret")
    (folder.path / "logs" / "link.txt").symlink_to(tmp_path / "secret.txt")
    (folder.path / "logs" / "1-0-1.txt").write_text("x" * 9000 + "the end")
    record = {"record": "unit", "error": "ValueError", "log": name}
    assert "log_text" not in with_log(record, folder)
    assert with_log({**record, "log": "logs/1-0-1.txt"}, folder)["log_text"].endswith("xthe end")


def test_where_a_run_is_watched_is_told_with_the_way_there_from_another_machine(tmp_path: Path) -> None:
    import socket

    over_ssh = {"USER": "me", "SSH_CONNECTION": "10.1.1.1 50000 10.0.0.9 2222"}
    here = socket.gethostname()
    page = "http://127.0.0.1:8787/daskflow"
    assert tunnel(page, here, over_ssh) == f"ssh -p 2222 -L 8787:127.0.0.1:8787 me@{here}"
    assert tunnel(page, "node7", over_ssh) == f"ssh -J me@{here}:2222 -L 8787:127.0.0.1:8787 me@node7"
    assert tunnel(page, "", {}) == tunnel("no address", "", over_ssh) == tunnel("http://a:b/", "", over_ssh) == ""
    # and the file that holds the token replaces one of an invocation that was killed, whatever that one's mode was
    live = tmp_path / "live.json"
    live.write_text("{}")
    live.chmod(0o644)
    write_live(live, page, TOKEN)
    assert live.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["live.json"]
