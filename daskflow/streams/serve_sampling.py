"""Sample of the rows that one process of a server answered, taken beside the answers, for the watch of the server."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
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

SHARE = 0.002
"""Share of a process' time that handing them on may take: requests wait that long once a second."""


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
        self._every, self._skip, self._n_seen = 1, 0, 0
        self._watched: Watched | None = None
        self._identity = ""
        self._rows: list[list[Any]] = []
        self._pairs: list[tuple[Mapping[str, Any], Mapping[str, Any]]] = []

    def begin(self, watched: Watched, identity: str) -> None:
        """Take rows for another model from now on."""
        self._watched, self._identity, self._pairs = watched, identity, []

    def offer(self, content: Any, answers: Answers, dicts: Sequence[Any] | None, identity: str) -> None:
        """Take some rows of a batch; this is all that a request waits for.

        Parameters
        ----------
        content : sequence of mapping, or pyarrow Table
            The rows.
        answers : Answers
            Of them.
        dicts : sequence of mapping, or None
            What `Answers.dicts` gave, with errors in the place of None; None for a table.
        identity : str
            Of the model that answered.
        """
        n_rows = answers.n_rows
        self._n_seen += n_rows
        if self._skip >= n_rows:
            self._skip -= n_rows
            return
        chosen = range(self._skip, n_rows, self._every)
        self._skip = chosen[-1] + self._every - n_rows
        room = self._now - len(self._pairs)
        if room <= 0 or identity != self._identity or self._watched is None:
            return
        if dicts is None:
            self._pairs += _of_table(content, answers, chosen[:room], self._watched.columns.names)
        elif answers.problems:
            self._pairs += [(content[place], dicts[place]) for place in chosen[:room] if place not in answers.problems]
        else:
            self._pairs += [(content[place], dicts[place]) for place in chosen[:room]]

    def taken(self) -> Mapping[str, Any] | None:
        """Return what came since the last time, for `ServeWatch.take`, as plain JSON; None where nothing did."""
        pairs, self._pairs = self._pairs, []
        self._every = max(1, math.ceil(self._n_seen / self._now))
        self._n_seen = 0
        if not pairs or self._watched is None:
            return None
        try:
            rows = orjson.dumps(values, default=str)
        except TypeError:  # a whole number beyond 64 bits; the counts that travel with it matter more
            return None
        return {"identity": self._identity, "rows": orjson.Fragment(rows)}


def _short(value: Any) -> Any:
    """Leave of a long text what the watch would keep of it."""
    return levels_of([value])[0] if isinstance(value, str) and len(value) > LONGEST else value


def _of_table(table: pa.Table, answers: Answers, chosen: range, names: Sequence[str]) -> list[tuple[Any, Any]]:
    """Return rows of a table as mappings, and their answers; those without one are passed over."""
    at = np.flatnonzero(np.isin(answers.places, chosen))
    given, labels = answers.predictions.probabilities, answers.predictions.of("labels")
    some = Predictions(labels[at], None if given is None else given[at])
    part = replace(answers, n_rows=len(at), places=np.arange(len(at)), predictions=some, problems={}, unseen={})
    rows = table.select(list(names)).take(pa.array(answers.places[at])).to_pylist()
    return list(zip(rows, part.dicts(), strict=True))
