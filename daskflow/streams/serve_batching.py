"""Batching of requests: what waits while the model computes is asked for at once; who comes alone never waits."""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from daskflow.bundle.side_by_side import Packed
from daskflow.core.errors import DataError
from daskflow.streams.scoring import Answers, Scorer
from daskflow.streams.serve_counts import Counts
from daskflow.streams.serve_limits import LATE, Limits, Refusal, given_up, too_busy
from daskflow.streams.serve_models import Served
from daskflow.streams.serve_sampling import Sample

logger = logging.getLogger(__name__)

Found = tuple[Served, Any, bool]

QUICK_SECONDS = 0.004
"""What takes the model no longer is computed in the event loop: handing it to a thread costs more than it frees."""

WAITED_SHARE = 0.25
"""So much of the time on the clock counts at least: a model may wait for threads of its own.

Not all of it, for on a busy machine it takes longer too, and that is no reason to leave the event loop.
"""

LOOKS = 8
"""Times in a time-out that somebody looks whether it is over."""


@dataclass(slots=True, eq=False)
class Asked:
    """A request that waits.

    Attributes
    ----------
    content : sequence of mappings, Packed, or pyarrow.Table
        Its rows. Packed ones are of `scorer`.
    scorer : Scorer
        The one that was there when it came.
    again : callable
        Returns the rows of a request that was packed.
    n_rows : int
        Of them.
    future : asyncio.Future
        Its answer: the model, and dicts by row or `Answers`.
    deadline : float
        By the loop's clock.
    """

    content: Any
    scorer: Scorer
    again: Callable[[], Sequence[Any]]
    n_rows: int
    future: asyncio.Future[Found]
    deadline: float


class Batcher:
    """Asks the model, some requests at a time; of one event loop.

    Parameters
    ----------
    served : Served
        The model; another may be put in its place at any moment.
    limits : Limits
        See there.
    counts : Counts
        Where batches, rows and problems are counted.

    Attributes
    ----------
    sample : Sample or None
        Takes some of the rows that were answered; None, the default, for none.
    """

    def __init__(self, served: Served, limits: Limits, counts: Counts) -> None:
        """Begin with nothing that waits."""
        self.served = served
        self.sample: Sample | None = None
        self._limits, self._counts = limits, counts
        self._waiting: deque[Asked] = deque()
        self._computing: Sequence[Asked] = ()
        self._since = 0.0
        self._n_rows = self._n_tables = 0
        self._is_busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._look: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: ThreadPoolExecutor | None = None
        self._seconds: dict[tuple[str, bool, int], float] = {}

    @property
    def waiting(self) -> int:
        """Requests that wait or are computed."""
        return len(self._waiting) + len(self._computing)

    @property
    def computing_seconds(self) -> float:
        """For how long the model has computed; 0 when it does not."""
        return self._loop.time() - self._since if self._computing and self._loop is not None else 0.0

    @property
    def is_stuck(self) -> bool:
        """Whether the model has computed for longer than a request may take."""
        return self.computing_seconds > self._limits.timeout_seconds

    def give_up(self) -> None:
        """Tell all who wait that this process ends without an answer."""
        for asked in (*self._waiting, *self._computing):
            if not asked.future.done():
                asked.future.set_exception(given_up())

    def ask(self, content: Any, n_rows: int, again: Callable[[], Sequence[Any]] = tuple) -> asyncio.Future[Found]:
        """Let a request wait; return what will have the model that answers, its answer, and whether the batch is whole.

        The answer is dicts by row for mappings and what was packed, and `Answers` for a table; `again` returns the rows
        of what was packed by the scorer of now.

        Raises
        ------
        Refusal
            429 when too many wait already. The future raises 504 when there is no answer in time, 500 when there is
            none, and 422 where the columns do not fit.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        if len(self._waiting) >= self._limits.queue:
            raise too_busy(f"{len(self._waiting):,} requests wait for the model already")
        future: asyncio.Future[Found] = loop.create_future()
        self._waiting.append(
            Asked(content, self.served.scorer, again, n_rows, future, loop.time() + self._limits.timeout_seconds)
        )
        self._n_rows += n_rows
        if type(content) is pa.Table:
            self._n_tables += 1
        if not self._is_busy:
            self._is_busy = True
            self._begin_soon(loop)
        elif self._timer is not None and self._n_rows >= self._limits.batch:
            self._timer.cancel()
            self._timer = None
            loop.call_soon(self._go)
        if self._look is None:
            self._look = loop.call_later(self._limits.timeout_seconds / LOOKS, self._turn_away)
        return future

    def _begin_soon(self, loop: asyncio.AbstractEventLoop) -> None:
        """Go when all requests that the loop has read in this turn are here, or when the delay is over."""
        if self._limits.delay_seconds > 0 and self._n_rows < self._limits.batch:
            self._timer = loop.call_later(self._limits.delay_seconds, self._go)
        else:
            loop.call_soon(loop.call_soon, self._go)  # after another look at the sockets

    def _go(self) -> None:
        """Compute the next batch, here or in the thread."""
        self._timer = None
        loop = self._loop
        assert loop is not None
        batch = self._next()
        if not batch:
            self._is_busy = False
            return
        served = self.served
        n_rows = sum(asked.n_rows for asked in batch)
        key = (served.identity, type(batch[0].content) is pa.Table, n_rows.bit_length())
        if self._seconds.get(key, 1.0) <= QUICK_SECONDS:
            found = _computed(served, batch)
            self._settle(served, batch, found, key)
            self._again(loop)
            return
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="daskflow-model")
        self._computing, self._since = batch, loop.time()
        running = loop.run_in_executor(self._thread, _computed, served, batch)

        def done(future: asyncio.Future[_Found]) -> None:
            self._computing = ()
            self._settle(served, batch, future.result(), key)
            self._again(loop)

        running.add_done_callback(done)

    def _again(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._waiting:
            self._begin_soon(loop)
        else:
            self._is_busy = False

    def _next(self) -> list[Asked]:
        """Take requests of the next batch; those that nobody waits for any more are left out."""
        if not self._n_tables and self._n_rows <= self._limits.batch:  # all of them
            batch = [asked for asked in self._waiting if not asked.future.done()]
            self._waiting.clear()
            self._n_rows = 0
            return batch
        batch = []
        n_rows = 0
        while self._waiting:
            asked = self._waiting[0]
            is_table = type(asked.content) is pa.Table
            if batch and (is_table or n_rows + asked.n_rows > self._limits.batch):
                break
            self._drop_first()
            if asked.future.done():
                continue
            batch.append(asked)
            n_rows += asked.n_rows
            if is_table:
                break
        return batch

    def _drop_first(self) -> None:
        """Take the first that waits away."""
        asked = self._waiting.popleft()
        self._n_rows -= asked.n_rows
        if type(asked.content) is pa.Table:
            self._n_tables -= 1

    def _settle(self, served: Served, batch: Sequence[Asked], found: _Found, key: tuple[str, bool, int]) -> None:
        """Hand each request its part, and remember how long such a batch takes."""
        before = self._seconds.get(key)
        self._seconds[key] = found.seconds if before is None else 0.8 * before + 0.2 * found.seconds
        if len(self._seconds) > 256:  # models come and go
            self._seconds = {known: value for known, value in self._seconds.items() if known[0] == served.identity}
        if found.error is not None:
            status, reason, words = 422, "columns", str(found.error)
            if not isinstance(found.error, DataError):
                logger.error("The model could not be asked.", exc_info=found.error)
                status, reason = 500, "model"
                words = f"the model could not be asked: {type(found.error).__name__}: {found.error}"
            for asked in batch:
                if not asked.future.done():
                    asked.future.set_exception(Refusal(status, reason, words))
            return
        counts, answers = self._counts, found.answers
        assert answers is not None
        counts.batch(answers.n_rows)
        counts.rows += len(answers.places)
        if answers.unseen:
            counts.unseen.update(answers.unseen)
        if answers.problems:
            counts.problems.update(reason for reason, _ in answers.problems.values())
        if found.dicts is None:
            if not batch[0].future.done():
                batch[0].future.set_result((served, answers, not answers.problems))
            self._offer(batch, answers, None, served.identity)
            return
        at = 0
        is_whole = not answers.problems
        for asked in batch:
            end = at + asked.n_rows
            if not asked.future.done():
                asked.future.set_result((served, found.dicts[at:end], is_whole))
            at = end
        self._offer(batch, answers, found.dicts, served.identity)

    def _offer(self, batch: Sequence[Asked], answers: Answers, dicts: Sequence[Any] | None, identity: str) -> None:
        """Let some of the rows be watched, behind those who wait for their answer now."""
        sample, loop = self.sample, self._loop
        if sample is None or loop is None:
            return
        if dicts is None:
            places = sample.chosen(len(answers.places))
            if places:
                loop.call_soon(sample.table, batch[0].content, places, answers, identity)
            return
        places, at = sample.chosen(len(dicts)), 0
        for asked in batch if places else ():
            end = at + asked.n_rows
            here = places[bisect_left(places, at) : bisect_left(places, end)]
            if here:
                rows = asked.again if type(asked.content) is Packed else asked.content
                own = range(here.start - at, here.stop - at, here.step)
                loop.call_soon(sample.rows, rows, own, dicts[at:end], identity)
            at = end

    def _turn_away(self) -> None:
        """Tell those whose time is over; look again while anybody waits."""
        loop = self._loop
        assert loop is not None
        now = loop.time()
        words = f"there was no answer in {self._limits.timeout_seconds:g} s"
        for asked in (*self._waiting, *self._computing):
            if asked.deadline <= now and not asked.future.done():
                asked.future.set_exception(Refusal(504, LATE, words))
        while self._waiting and self._waiting[0].future.done():
            self._drop_first()
        if self._waiting or self._computing:
            self._look = loop.call_later(self._limits.timeout_seconds / LOOKS, self._turn_away)
        else:
            self._look = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What the model said: answers, by row as plain values where they were asked so, and the processor's seconds."""

    answers: Answers | None
    dicts: list[Any] | None
    seconds: float
    error: BaseException | None = None


class _Clock:
    """How long the model has taken so far."""

    __slots__ = ("_began", "_computed")

    def __init__(self) -> None:
        """Begin."""
        self._computed, self._began = time.thread_time(), time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds of the processor, or a share of those on the clock where it waited."""
        return max(time.thread_time() - self._computed, WAITED_SHARE * (time.perf_counter() - self._began))


def _computed(served: Served, batch: Sequence[Asked]) -> _Found:
    """Ask the model."""
    clock = _Clock()
    scorer = served.scorer
    try:
        first = batch[0].content
        if type(first) is pa.Table:
            return _Found(scorer.table(first), None, clock.seconds)
        parts = [asked.content for asked in batch if asked.scorer is scorer and type(asked.content) is Packed]
        answers = scorer.packed(parts) if len(parts) == len(batch) else None
        if answers is None:
            rows = [
                row for asked in batch for row in (asked.again() if type(asked.content) is Packed else asked.content)
            ]
            answers = scorer.rows(rows)
        dicts: list[Any] = answers.dicts()
        for place, (reason, words) in answers.problems.items():
            dicts[place] = error_of(reason, words)
        return _Found(answers, dicts, clock.seconds)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a panic of native code, or SystemExit: whoever waits is told, and the next go on
        return _Found(None, None, clock.seconds, error)


def error_of(reason: str, words: str) -> Mapping[str, Any]:
    """Return a problem as it stands in an answer.

    Examples
    --------
    >>> error_of("type", "column 'a' should be a number")
    {'error': {'reason': 'type', 'message': "column 'a' should be a number"}}
    """
    return {"error": {"reason": reason, "message": words}}
