"""A stream commits what its sink has, loses no record, keeps the order, and takes no more than it can hand on."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from daskflow.core.errors import DataError, JournalError
from daskflow.core.journal import read
from daskflow.streams import committing, pipeline
from daskflow.streams.committing import Commits
from daskflow.streams.dead_letters import DeadLetters
from daskflow.streams.pipeline import Pace, Pipeline
from daskflow.streams.records import Answered, Dead, Record, Result


def records(n: int, first: int = 0) -> list[Record]:
    return [Record(f"r{number}", {"x": number}, "p", number) for number in range(first, first + n)]


class Source:
    """Gives records in pieces, then waits, ends or raises; counts what was asked for."""

    lag = None

    def __init__(self, given: Sequence[Record], *, piece: int = 7, end: str = "ends") -> None:
        self.given, self.piece, self.end = list(given), piece, end
        self.taken = 0
        self.committed: list[Record] = []

    async def take(self, most: int) -> Sequence[Record]:
        await asyncio.sleep(0)
        if self.taken == len(self.given):
            if self.end == "waits":
                await asyncio.Event().wait()
            if self.end == "raises":
                raise DataError("the source is gone")
            return ()
        found = self.given[self.taken : self.taken + min(most, self.piece)]
        self.taken += len(found)
        return found

    async def commit(self, records: Sequence[Record]) -> None:
        self.committed += records


class Doubler:
    """Answers with twice the value; negative ones are dead; takes its time."""

    def __init__(self, at_once: int = 1, seconds: float = 0.0) -> None:
        self.at_once, self.seconds, self.now, self.peak, self.seen = at_once, seconds, 0, 0, 0

    async def answer(self, records: Sequence[Record]) -> Answered:
        self.now += 1
        self.peak = max(self.peak, self.now)
        await asyncio.sleep(random.Random(records[0].id).random() * self.seconds)
        self.now -= 1
        self.seen += len(records)
        good = [Result(r.id, r, {"prediction": 2 * r.values["x"]}) for r in records if r.values["x"] >= 0]
        return Answered(good, [Dead(r, "value", "negative") for r in records if r.values["x"] < 0], {"seen": self.seen})


class Sink:
    """Keeps results; fails at first so many times."""

    def __init__(self, failures: int = 0) -> None:
        self.results: list[Result] = []
        self.failures, self.tries = failures, 0

    async def write(self, results: Sequence[Result]) -> None:
        self.tries += 1
        if self.failures:
            self.failures -= 1
            raise DataError("no room at the sink")
        self.results += results


class Run:
    """A pipeline in a folder."""

    def __init__(self, folder: Path, source: Any, answerer: Any = None, sink: Any = None, **pace: Any) -> None:
        self.source, self.sink = source, sink or Sink()
        self.commits = Commits(folder / "journal.jsonl")
        self.dead = DeadLetters(folder / "dead.jsonl", name=self.commits.dead_file, n_bytes=self.commits.dead_bytes)
        self.said: list[str] = []
        self.expected: dict[str, str] = {}
        self.answerer = answerer or Doubler()
        self.pace = Pace(**{"batch": 10, "delay_seconds": 0.01, **pace})

    def __call__(self, after: Any = None) -> Pipeline:
        async def work() -> Pipeline:
            made = Pipeline(
                self.source,
                self.answerer,
                self.sink,
                commits=self.commits,
                dead=self.dead,
                pace=self.pace,
                say=self.said.append,
                expected=self.expected,
            )
            beside = asyncio.create_task(after(made)) if after else None
            await made.run()
            if beside:
                await beside
            return made

        try:
            return asyncio.run(asyncio.wait_for(work(), 100))
        finally:
            self.commits.close()
            self.dead.close()


@pytest.mark.parametrize("at_once", [1, 4])
def test_results_leave_in_order_and_every_record_is_committed_once(tmp_path: Path, at_once: int) -> None:
    # given batches of which some take longer than those behind them
    source = Source(records(95))
    run = Run(tmp_path, source, Doubler(at_once, 0.01))
    # when
    done = run()
    # then
    assert [result.id for result in run.sink.results] == [f"r{number}" for number in range(95)]
    assert [result.answer["prediction"] for result in run.sink.results] == [2 * number for number in range(95)]
    assert source.committed == source.given
    assert run.answerer.peak == at_once
    assert done.totals.answered == 95
    assert done.waiting == 0
    # and the journal says how far it was, with the state of what answers
    again = Commits(tmp_path / "journal.jsonl")
    assert (again.offsets, again.state, again.answered, again.dead) == ({"p": 94}, {"seen": 95}, 95, 0)
    again.close()


def test_a_batch_waits_no_longer_than_its_delay(tmp_path: Path) -> None:
    async def until_all_are_there(made: Pipeline) -> None:
        while len(run.sink.results) < 13:
            await asyncio.sleep(0.001)
        made.stopping.set()

    # given a source that gives 13 records and then none, and never ends
    run = Run(tmp_path, Source(records(13), end="waits"))
    # when it is stopped only once all are at the sink; then it has ended
    assert run(until_all_are_there).totals.answered == 13


def test_what_was_taken_before_a_stop_is_answered_and_committed(tmp_path: Path) -> None:
    async def at_once(made: Pipeline) -> None:
        while not source.taken:
            await asyncio.sleep(0)
        made.stopping.set()

    source = Source(records(1000), end="waits")
    run = Run(tmp_path, source, batch=100, delay_seconds=1000.0)
    run(at_once)
    assert 0 < source.taken < 1000
    assert source.committed == source.given[: source.taken]
    assert len(run.sink.results) == source.taken


class Held(Source):
    """A source that cannot be asked again for what it holds."""

    @property
    def is_holding(self) -> bool:
        return 0 < self.taken < len(self.given)


def test_what_a_source_cannot_give_again_is_answered_before_a_stop(tmp_path: Path) -> None:
    async def at_once(made: Pipeline) -> None:
        while not source.taken:
            await asyncio.sleep(0)
        made.stopping.set()

    source = Held(records(230), end="waits")
    run = Run(tmp_path, source)
    run(at_once)
    assert len(run.sink.results) == len(source.committed) == 230


@pytest.mark.parametrize("at_once", [1, 3])
def test_a_slow_sink_slows_the_source_down(tmp_path: Path, at_once: int) -> None:
    # given a sink that takes one batch and then none
    class Stuck(Sink):
        async def write(self, results: Sequence[Result]) -> None:
            if self.results:
                await asyncio.Event().wait()
            await super().write(results)

    async def watch(made: Pipeline) -> None:
        most = 0
        for _ in range(400):
            await asyncio.sleep(0.0005)
            most = max(most, made.waiting)
        # then a bounded number of records is under way, though the source has a million more
        assert source.taken <= 10 + made.waiting_limit
        assert most <= made.waiting_limit == (2 * at_once + 1) * 10
        raise asyncio.CancelledError

    source = Source(range(10**6), piece=10)  # type: ignore[arg-type]
    source.given = [Record("r", {"x": 1}, "p", 1)] * 10**6
    run = Run(tmp_path, source, Doubler(at_once), Stuck())

    async def work() -> None:
        made = Pipeline(source, run.answerer, run.sink, commits=run.commits, dead=run.dead, pace=run.pace)
        running = asyncio.create_task(made.run())
        with pytest.raises(asyncio.CancelledError):
            await watch(made)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(work())
    assert len(source.committed) == 10


def test_nothing_is_committed_before_dead_letters_and_results_are_there(tmp_path: Path) -> None:
    events: list[str] = []

    def noted(owner: Any, method: str, word: str) -> None:
        original = getattr(owner, method)

        def call(*arguments: Any, **named: Any) -> Any:
            events.append(word)
            return original(*arguments, **named)

        setattr(owner, method, call)

    given = [Record("a", {"x": -1}, "p", 1), Record("b", {"x": 1}, "p", 2), Record("c", {}, "p", 3, problem="no JSON")]
    run = Run(tmp_path, Source(given))
    for owner, method, word in (
        (run.dead, "append", "dead"),
        (run.sink, "write", "sink"),
        (run.commits, "commit", "journal"),
        (run.source, "commit", "source"),
    ):
        noted(owner, method, word)
    done = run()
    assert events == [
        "journal",
        "dead",
        "sink",
        "journal",
        "source",
    ]  # the first remembers where the dead letters begin
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert {(each["id"], each["reason"], each["words"], each["offset"]) for each in letters} == {
        ("a", "value", "negative", 1),
        ("c", "malformed", "no JSON", 3),
    }
    assert (done.totals.answered, done.totals.dead) == (1, 2)


def test_a_sink_that_fails_is_tried_again_with_growing_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "FIRST_WAIT_SECONDS", 0.001)
    run = Run(tmp_path, Source(records(25)), sink=Sink(failures=3))
    done = run()
    assert [result.id for result in run.sink.results] == [f"r{number}" for number in range(25)]
    assert done.totals.retries == 3
    assert [text.rpartition(" in ")[2] for text in run.said] == [
        "0.0 s, 8 more times.",
        "0.0 s, 7 more times.",
        "0.0 s, 6 more times.",
    ]


def test_a_sink_that_fails_for_good_ends_the_stream_with_nothing_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "FIRST_WAIT_SECONDS", 0.001)
    source = Source(records(25))
    run = Run(tmp_path, source, sink=Sink(failures=99), retries=2)
    with pytest.raises(DataError, match="failed 3 times, at last: no room at the sink\\. These 10 results are not"):
        run()
    assert run.sink.tries == 3
    assert source.committed == []
    assert Commits(tmp_path / "journal.jsonl").offsets == {}


@pytest.mark.parametrize("n_good", [0, 10, 34])
def test_what_came_before_a_source_failed_is_committed(tmp_path: Path, n_good: int) -> None:
    source = Source(records(n_good), end="raises")
    run = Run(tmp_path, source)
    with pytest.raises(DataError, match="the source is gone"):
        run()
    assert len(run.sink.results) == len(source.committed) == n_good


def test_a_model_that_answers_nothing_ends_the_stream_behind_what_was_answered(tmp_path: Path) -> None:
    class Failing(Doubler):
        async def answer(self, records: Sequence[Record]) -> Answered:
            if records[0].values["x"] >= 20:
                raise RuntimeError("out of memory")
            return await super().answer(records)

    source = Source(records(50))
    run = Run(tmp_path, source, Failing())
    with pytest.raises(RuntimeError, match="out of memory"):
        run()
    assert len(run.sink.results) == len(source.committed) == 20


def test_dead_letters_that_a_kill_left_without_their_commit_are_not_there_twice(tmp_path: Path) -> None:
    # given a stream that was killed after it had put a record aside, and before it was committed
    bad = [Record(f"r{number}", {"x": -1}, "p", number) for number in range(3)]
    run = Run(tmp_path, Source(bad[:1]))
    run()
    killed = Run(tmp_path, Source(()))
    killed.dead.append([Dead(bad[1], "value", "negative")])
    killed.commits.close()
    killed.dead.close()
    # when it goes on
    Run(tmp_path, Source(bad[1:]))()
    # then
    letters = [json.loads(line)["id"] for line in (tmp_path / "dead.jsonl").read_text().splitlines()]
    assert letters == ["r0", "r1", "r2"]


def test_a_journal_stays_short_and_keeps_what_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "MOST_COMMITS", 10)
    commits = Commits(tmp_path / "journal.jsonl")
    commits.note({"record": "swapped", "to": "b"})
    for number in range(100):
        commits.commit([Record("r", {}, f"p{number % 3}", number)], state={"seen": number}, answered=1)
    with pytest.raises(JournalError, match="in use"):  # the lock is that of the file which took the first one's place
        Commits(tmp_path / "journal.jsonl")
    commits.close()
    assert len(read(tmp_path / "journal.jsonl")) <= 12
    again = Commits(tmp_path / "journal.jsonl")
    assert (again.offsets, again.state, again.answered) == ({"p0": 99, "p1": 97, "p2": 98}, {"seen": 99}, 100)
    assert again.others == [{"record": "swapped", "to": "b"}]


def test_a_large_state_does_not_make_a_journal_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(committing, "MOST_BYTES", 10_000)
    commits = Commits(tmp_path / "journal.jsonl")
    state: Mapping[str, Any] = {"weights": [0.5] * 1000}
    for number in range(50):
        commits.commit([Record("r", {}, "p", number)], state=state)
    assert (tmp_path / "journal.jsonl").stat().st_size < 30_000


def test_columns_that_no_record_has_are_said_once(tmp_path: Path) -> None:
    # given options that name a column that is there, and one that is not
    run = Run(tmp_path, Source(records(40)))
    run.expected = {"--keep x": "x", "--key": "xx"}
    # when
    run()
    # then the one that is not there is said, once, with what there is
    assert run.said == ["No record of the first 10 has the column 'xx' (--key); did you mean 'x'?"]
