"""Drift of the rows and the answers of a stream that learns nothing, looked for beside it, in a thread of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from daskflow.core.journal import plain
from daskflow.data.predictions import Predictions
from daskflow.data.schema import Schema
from daskflow.streams.drift import INPUTS, DriftSettings, DriftWatch, watchable
from daskflow.streams.meter import Meter
from daskflow.streams.records import Answered, Answerer, Record
from daskflow.streams.scoring import Scorer

LOOK_SECONDS = 1.0
"""So often what came is looked at."""

MOST_ROWS, LEAST_ROWS = 10_000, 200
"""Rows of such a time that are kept for it, the first ones: as many as take a twentieth of a thread's time."""

SHARE = 0.05

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Watched:
    """What a watch must know of a model, without the model.

    Attributes
    ----------
    columns : Schema
        Those that are watched: the first of the model's.
    task : str
        binary, multiclass or regression.
    classes : tuple
        Labels in the order of their codes; empty for regression.
    reference : mapping
        Bins of the training rows by column.
    """

    columns: Schema
    task: str
    classes: tuple[Any, ...]
    reference: Mapping[str, Any]

    @classmethod
    def of(cls, scorer: Scorer, settings: DriftSettings | None = None) -> Self:
        """Read it from a scorer's model."""
        model, most = scorer.model, (settings or DriftSettings()).most_columns
        reference = model.card.get(INPUTS) or {}
        watched = watchable(scorer.columns, reference)[:most]
        return cls(Schema(tuple(watched)), model.task, tuple(model.classes), reference)

    @property
    def probability(self) -> str:
        """Name of the last class' probability in an answer."""
        return f"probability_{self.classes[-1]}" if self.classes else ""

    def dump(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        told = {"columns": self.columns.dump(), "task": str(self.task), "reference": dict(self.reference)}
        return {**told, "classes": plain(list(self.classes))}

    @classmethod
    def load(cls, told: Mapping[str, Any]) -> Self:
        """Make it of what `dump` gave."""
        return cls(Schema.load(told["columns"]), told["task"], tuple(told["classes"]), told["reference"])


class InputWatch:
    """Takes rows and their answers from a stream or a server, and looks at them once a second.

    Parameters
    ----------
    scorer : Scorer or Watched
        Who answers, whose model's card says what the training rows were; or what is to be known of it.
    meter : Meter
        Hears how far each column has moved.
    tell, say : callable
        Hear of each alarm: a record ``drift`` of `core.live`, and a sentence.
    settings : DriftSettings, optional
        How drift is looked for.

    Notes
    -----
    It does not go on where it was after a restart: a full window is soon there again. A watch that fails says so once,
    and the stream goes on without it.
    """

    def __init__(
        self,
        scorer: Scorer | Watched,
        meter: Meter,
        *,
        tell: Callable[[Mapping[str, Any]], None],
        say: Callable[[str], None],
        settings: DriftSettings | None = None,
    ) -> None:
        """Begin with no rows."""
        known = scorer if isinstance(scorer, Watched) else Watched.of(scorer, settings)
        self.watch = DriftWatch(
            known.columns,
            task=known.task,
            classes=known.classes,
            reference=known.reference,
            settings=settings,
        )
        self._classes, self._probability = known.classes, known.probability
        self._codes = {label: code for code, label in enumerate(self._classes)}
        self._meter, self._tell, self._say = meter, tell, say
        self._waiting: list[tuple[Row, Row]] = []
        self._most = MOST_ROWS
        self._lock, self._is_broken = threading.Lock(), False

    def offer(self, rows: Sequence[Row], answers: Sequence[Row | None]) -> None:
        """Take rows and, for each, its answer as `Answers.dicts` gives it; those without one are passed over."""
        with self._lock:
            room = self._most - len(self._waiting)
            if room > 0 and not self._is_broken:
                pairs = zip(rows[:room], answers[:room], strict=True)
                self._waiting += [(row, answer) for row, answer in pairs if answer is not None]

    def look(self) -> None:
        """Look at what came since the last time, and tell."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        began = time.thread_time()
        try:
            found = self.watch.seen([row for row, _ in waiting], self._said([answer for _, answer in waiting]))
        except Exception as error:  # the stream matters more than its watch
            self._is_broken = True
            self._say(f"The rows are not watched for drift any more: {type(error).__name__}: {error}.")
            return
        each = (time.thread_time() - began) / len(waiting)
        self._most = int(min(max(SHARE * LOOK_SECONDS / max(each, 1e-9), LEAST_ROWS), MOST_ROWS))
        self._meter.drift(self.watch.values())
        for alarm in found:
            self._tell(alarm.record())
            self._say(alarm.words)

    def _said(self, answers: Sequence[Row]) -> Predictions:
        """Put answers together again."""
        given = [answer["prediction"] for answer in answers]
        if not self._classes:
            return Predictions(np.array(given, dtype=np.float64))
        codes = np.array([self._codes[label] for label in given], dtype=np.int64)
        if len(self._classes) != 2 or self._probability not in answers[0]:
            return Predictions(codes)
        return Predictions(codes, np.array([answer[self._probability] for answer in answers], dtype=np.float64))

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look once a second, in a thread, and once more at the end."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(LOOK_SECONDS):
                self.look()

        thread = threading.Thread(target=go_on, name="looking for drift", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()
            self.look()


class WatchedAnswerer:
    """An answerer whose records and answers are watched as well.

    Parameters
    ----------
    inner : Answerer
        Who answers.
    inputs : InputWatch
        Who watches.
    """

    def __init__(self, inner: Answerer, inputs: InputWatch) -> None:
        """Begin."""
        self._inner, self._inputs = inner, inputs

    @property
    def at_once(self) -> int:
        """As many batches as the one who answers may be given."""
        return self._inner.at_once

    async def answer(self, records: Sequence[Record]) -> Answered:
        """Answer a batch, and offer it to the watch."""
        answered = await self._inner.answer(records)
        results = answered.results
        self._inputs.offer([result.record.values for result in results], [result.answer for result in results])
        return answered
