"""Pipeline of a stream: records are taken, answered in batches, handed on in order, and then committed.

A record is committed when its result is in the sink for good, or its dead letter on the disk, and never before. At most
``2 * at_once`` batches are under way, and the source is asked for no more than one beyond them: a sink that is slow
slows the source down, and memory stays flat.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from daskflow.core.errors import DataError, StorageError
from daskflow.core.settings import nearest
from daskflow.streams import OpenSink, OpenSource
from daskflow.streams.batches import Batches
from daskflow.streams.committing import Commits
from daskflow.streams.dead_letters import DeadLetters
from daskflow.streams.meter import Meter
from daskflow.streams.records import Answered, Answerer, Dead, Record, Result

FIRST_WAIT_SECONDS, MOST_WAIT_SECONDS = 0.1, 30.0
"""A sink that failed is tried again after the first; each time the wait doubles, up to the other."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a stream is cut, and how patient it is.

    Attributes
    ----------
    batch : int
        Records that are answered and written at once, at most.
    delay_seconds : float
        How long the first record of a batch waits for others.
    retries : int
        How often a sink that failed is tried again: with 8, over about 26 seconds.
    """

    batch: int = 512
    delay_seconds: float = 0.05
    retries: int = 8


@runtime_checkable
class Marking(Protocol):
    """A sink that can say how far it is, so that what a kill has left there without its commit is not there twice."""

    @property
    def mark(self) -> Any:
        """How far it is, as plain JSON."""

    async def go_back(self, mark: Any) -> None:
        """Take or see away what was written behind a mark; records of those results come again.

        The mark may be of another sink: then there is nothing to do.
        """


@dataclass(slots=True)
class Totals:
    """What one invocation has handed on."""

    answered: int = 0
    dead: int = 0
    batches: int = 0
    retries: int = 0


class Pipeline:
    """One stream, from an open source to an open sink.

    Parameters
    ----------
    source, answerer, sink
        Open.
    commits : Commits
        Where each commit is noted before the source hears of it.
    dead : DeadLetters
        Where records without an answer go.
    pace : Pace
        Size and delay of batches, and patience.
    meter : Meter
        Counts what is done.
    say : callable
        Hears sentences worth knowing, such as that the sink failed and is tried again.
    expected : mapping of str to str
        Columns that are asked for beside the model's, by the option that asks: that no record of the first batch has
        one is said.

    Attributes
    ----------
    totals : Totals
        What was handed on so far.
    stopping : asyncio.Event
        Set it to end: what was taken is still answered, written and committed.
    """

    def __init__(
        self,
        source: OpenSource,
        answerer: Answerer,
        sink: OpenSink,
        *,
        commits: Commits,
        dead: DeadLetters,
        pace: Pace = Pace(),
        meter: Meter | None = None,
        say: Callable[[str], None] = lambda text: None,
        expected: Mapping[str, str] | None = None,
    ) -> None:
        """Begin with nothing taken."""
        self._expected = dict(expected or {})
        self._source, self._answerer, self._sink = source, answerer, sink
        self._commits, self._dead, self._pace, self._say = commits, dead, pace, say
        self.meter = meter or Meter()
        self.totals = Totals()
        self.stopping = asyncio.Event()
        self._answering = asyncio.Semaphore(answerer.at_once)
        self._room = asyncio.Semaphore(2 * answerer.at_once)
        self._under_way: asyncio.Queue[tuple[list[Record], asyncio.Task[Answered]] | None] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Answered]] = set()
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Records that were taken and are not committed; those at the source are not among them."""
        return self._waiting

    @property
    def waiting_limit(self) -> int:
        """How many these can be."""
        return (2 * self._answerer.at_once + 1) * self._pace.batch

    @property
    def lag(self) -> int | None:
        """How many records wait at the source; None where that is not known."""
        return self._source.lag

    async def run(self) -> Totals:
        """Work until the source has ended, or `stopping` is set and what was taken is committed.

        Raises
        ------
        DataError
            When the source cannot be read any more (what was taken is committed then), or the sink has failed more
            often than it is tried again: then nothing of that batch is committed, and it comes again.
        DaskflowError
            When nothing can be answered, or the journal or the dead letters cannot be written; the same holds.
        """
        await self._begin()
        feeding = asyncio.create_task(self._feed())
        try:
            while (one := await self._under_way.get()) is not None:
                await self._hand_on(*one)
                self._room.release()
            await feeding
        finally:
            tasks = [feeding, *self._tasks]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self.totals

    async def _begin(self) -> None:
        """Go back to the newest commit, and remember where that is before anything is written: a kill doubles none."""
        if isinstance(self._sink, Marking) and self._commits.sink is not None:
            await self._sink.go_back(self._commits.sink)
        if self._commits.dead_file != str(self._dead.path) or self._commits.sink != self._mark:
            self._commits.commit([], dead_file=str(self._dead.path), dead_bytes=self._dead.n_bytes, sink=self._mark)

    @property
    def _mark(self) -> Any:
        return self._sink.mark if isinstance(self._sink, Marking) else None

    async def _feed(self) -> None:
        """Take records and have them answered, as far as there is room."""
        batches = Batches(
            self._source, most=self._pace.batch, delay_seconds=self._pace.delay_seconds, stopping=self.stopping
        )
        try:
            while True:
                await self._room.acquire()
                batch = await batches.next()
                if not batch:
                    return
                self._waiting += len(batch)
                task = asyncio.create_task(self._answer(batch))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                self._under_way.put_nowait((batch, task))
        finally:
            self._under_way.put_nowait(None)
            await batches.close()

    async def _answer(self, batch: Sequence[Record]) -> Answered:
        """Have a batch answered; what could not be read is dead."""
        readable = [record for record in batch if not record.problem]
        unreadable = [Dead(record, record.reason, record.problem) for record in batch if record.problem]
        if self._expected and readable:
            self._look_for_columns(readable)
        async with self._answering:
            answered = await self._answerer.answer(readable) if readable else Answered(())
        self.meter.batch(len(readable))
        if not unreadable:
            return answered
        return Answered(answered.results, (*unreadable, *answered.dead), answered.state)

    def _look_for_columns(self, records: Sequence[Record]) -> None:
        """Say which expected columns no record has: they are misspelt, as likely as not."""
        expected, self._expected = self._expected, {}
        for option, name in expected.items():
            if not any(name in record.values for record in records):
                hint = nearest(name, records[0].values)
                end = "" if hint.endswith("?") else "."
                self._say(f"No record of the first {len(records):,} has the column '{name}' ({option}){hint}{end}")

    async def _hand_on(self, batch: Sequence[Record], answering: asyncio.Task[Answered]) -> None:
        """Put aside, write, commit: in this order."""
        answered = await answering
        if answered.dead:
            await asyncio.to_thread(self._dead.append, answered.dead)
        if answered.results:
            await self._write(answered.results)
        await asyncio.to_thread(
            self._commits.commit,
            batch,
            state=answered.state,
            answered=len(answered.results),
            dead=len(answered.dead),
            dead_bytes=self._dead.n_bytes,
            sink=self._mark,
        )
        await self._source.commit(batch)
        self._waiting -= len(batch)
        self.totals.batches += 1
        self.totals.answered += len(answered.results)
        self.totals.dead += len(answered.dead)
        now = time.time()
        for result in answered.results:
            self.meter.request(rows=1, seconds=max(0.0, now - result.record.at))
        for dead in answered.dead:
            self.meter.error(dead.reason)

    async def _write(self, results: Sequence[Result]) -> None:
        """Write to the sink; try again with growing waits."""
        wait = FIRST_WAIT_SECONDS
        for left in range(self._pace.retries, -1, -1):
            try:
                await self._sink.write(results)
                return
            except BrokenPipeError as error:
                raise DataError(f"Whoever read the results has gone. {_not_committed(results)}.") from error
            except (DataError, StorageError, OSError) as error:
                if not left:
                    times = f"{self._pace.retries + 1} times, at last" if self._pace.retries else "once"
                    why = str(error).rstrip(".")
                    raise DataError(f"The sink failed {times}: {why}. {_not_committed(results)}.") from error
                self._say(f"The sink failed ({error}); it is tried again in {wait:.1f} s, {left} more times.")
                self.meter.error("sink")
                self.totals.retries += 1
            await asyncio.sleep(wait)
            wait = min(2 * wait, MOST_WAIT_SECONDS)


def _not_committed(results: Sequence[Result]) -> str:
    n = len(results)
    what = f"These {n:,} results are" if n > 1 else "This result is"
    return f"{what} not committed: the same command begins with {'them' if n > 1 else 'it'}"
