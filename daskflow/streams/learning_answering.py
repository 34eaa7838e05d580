"""Answers of a stream by a learner: in a thread of its own, one batch after the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

from daskflow.streams.learning import Learner
from daskflow.streams.meter import Meter
from daskflow.streams.records import Answered, Record

LOOK_SECONDS = 0.5
"""How often it is looked whether a swap is asked for while no records come."""

TOLD_SECONDS = 1.0
"""How often scores and drift are told, at most: an interval costs more than a row."""


class LearningAnswerer:
    """Answers batches, and learns from them.

    Parameters
    ----------
    learner : Learner
        It belongs to this object from now on.
    keep : sequence of str
        Columns of a record that its result has, too.
    meter : Meter
        Is told how good the answers are, and how far columns have moved.
    """

    at_once = 1

    def __init__(self, learner: Learner, *, keep: Sequence[str] = (), meter: Meter | None = None) -> None:
        """Start nothing yet."""
        self.learner, self._keep, self._meter = learner, tuple(keep), meter or Meter()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="learning")
        self._told = 0.0
        self._listening: asyncio.Task[None] | None = None

    async def answer(self, records: Sequence[Record]) -> Answered:
        """Answer a batch, and learn the true values in it."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._work, records)

    def _work(self, records: Sequence[Record]) -> Answered:
        answered = self.learner.work(records)
        now = time.monotonic()
        if now - self._told >= TOLD_SECONDS:
            self._told = now
            self.learner.tell_meter(self._meter)
        if not self._keep:
            return answered
        results = [
            replace(each, answer={**{name: each.record.values.get(name) for name in self._keep}, **each.answer})
            for each in answered.results
        ]
        return replace(answered, results=results)

    async def listen(self) -> None:
        """Hear what is asked for by the stream's folder until it is cancelled, whether records come or not."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await asyncio.get_running_loop().run_in_executor(self._thread, self.learner.hear)

    async def __aenter__(self) -> LearningAnswerer:
        """Begin to listen."""
        self._listening = asyncio.create_task(self.listen())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Let thread and files go, when what was begun is done."""
        if self._listening is not None:
            self._listening.cancel()
            with suppress(asyncio.CancelledError):
                await self._listening
        await asyncio.get_running_loop().run_in_executor(self._thread, self._close)
        self._thread.shutdown()

    def _close(self) -> None:
        self.learner.tell_meter(self._meter)
        self.learner.close()
