"""Sample of the rows that one process of a server answered, taken beside the answers, for the watch of the server."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from daskflow.data.predictions import Predictions
from daskflow.streams.drift_bins import LONGEST, levels_of
from daskflow.streams.drift_inputs import Watched
from daskflow.streams.scoring import Answers

NONE = range(0)

MOST_ROWS, LEAST_ROWS = 500, 20
"""Rows a second that all processes of a server hand on together, and the fewest of one process.

Of 100 numbers each, 500 take 3 % of a core, half of it in the processes that answer and half where they are looked at.
"""

SHARE = 0.01
"""Share of a process' time that it may take."""

Row = Mapping[str, Any]
Rows = Sequence[Row]


class Sample:
    """Every so manieth row that was answered since the last time; used by one event loop.

    Parameters
    ----------
    most : int
        Rows that are handed on at a time.
    """

    def __init__(self, most: int = MOST_ROWS) -> None:
        """Begin with no rows."""
        self._most = self._now = max(most, LEAST_ROWS)
        self._every, self._skip = 1, 0
        self._n_seen = self._n_chosen = 0
        self._seconds = 0.0
        self._watched: Watched | None = None
        self._identity = ""
        self._values: list[list[Any]] = []

    def begin(self, watched: Watched, identity: str) -> None:
        """Take rows that another model answers from now on."""
        self._watched, self._identity, self._values = watched, identity, []

    def chosen(self, n_rows: int) -> range:
        """Return the places of the next rows that are to be taken; this is all that is done while somebody waits."""
        self._n_seen += n_rows
        if self._skip >= n_rows:
            self._skip -= n_rows
            return NONE
        found = range(self._skip, n_rows, self._every)
        self._skip = found[-1] + self._every - n_rows
        found = found[: max(0, self._now - self._n_chosen)]
        self._n_chosen += len(found)
        return found

    def rows(self, given: Rows | Callable[[], Rows], places: range, answers: Sequence[Row], identity: str) -> None:
        """Take rows of a request that was answered.

        Parameters
        ----------
        given : sequence of mapping, or callable
            The rows; or what reads them again.
        places : range
            Of those to take.
        answers : sequence of mapping
            As `Answers.dicts` gives them, with ``error`` where there is none.
        identity : str
            Of the model that answered.
        """
        began = time.thread_time()
        if identity == self._identity and self._watched is not None:
            names, label = self._watched.columns.names, self._watched.probability
            rows = given() if callable(given) else given
            for place in places:
                row, answer = rows[place], answers[place]
                if "prediction" in answer:
                    values = [_short(row.get(name)) for name in names]
                    self._values.append([*values, answer["prediction"], answer.get(label)])
        self._seconds += time.thread_time() - began

    def table(self, given: pa.Table, places: range, answers: Answers, identity: str) -> None:
        """Take rows of a table; `places` are among those that have an answer."""
        if identity != self._identity or self._watched is None:
            return
        began = time.thread_time()
        at = np.array(places, dtype=np.int64)
        chances, labels = answers.predictions.probabilities, answers.predictions.of("labels")
        some = Predictions(labels[at], None if chances is None else chances[at])
        part = replace(answers, n_rows=len(at), places=np.arange(len(at)), predictions=some, problems={}, unseen={})
        try:
            rows = given.select(list(self._watched.columns.names)).take(pa.array(answers.places[at])).to_pylist()
        except (pa.ArrowException, OverflowError, ValueError):  # a time beyond the year 9999, or of an unknown zone
            return
        self._seconds += time.thread_time() - began
        self.rows(rows, range(len(at)), [answer or {} for answer in part.dicts()], identity)

    def taken(self) -> Mapping[str, Any] | None:
        """Return what came since the last time, for `ServeWatch.take`, as plain JSON; None where nothing did."""
        values, self._values = self._values, []
        if self._n_chosen:
            each = max(self._seconds / self._n_chosen, 1e-9)
            self._now = int(min(max(SHARE / each, LEAST_ROWS), self._most))
        self._every = max(1, math.ceil(self._n_seen / self._now))
        self._n_seen = self._n_chosen = 0
        self._seconds = 0.0
        if not values:
            return None
        try:
            rows = orjson.dumps(values, default=str)
        except TypeError:  # a whole number beyond 64 bits; the counts that travel with it matter more
            return None
        return {"identity": self._identity, "rows": orjson.Fragment(rows)}


def _short(value: Any) -> Any:
    """Leave of a long text what the watch would keep of it."""
    return next(iter(levels_of([value]))) if isinstance(value, str) and len(value) > LONGEST else value
