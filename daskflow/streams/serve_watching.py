"""Drift of what a server is asked and answers: one watch over the samples of all its processes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

import orjson

from daskflow.streams.drift_inputs import InputWatch, Watched
from daskflow.streams.meter import Meter
from daskflow.streams.serve_sampling import NONE, Sample

logger = logging.getLogger(__name__)

TAKEN_SECONDS = 1.0
"""So often a sample of this process is handed to its watch."""


class ServeWatch:
    """Watches the model that answers, and begins anew at a swap.

    One watch sees the samples of all processes: a window is full as soon as they have answered so many rows together,
    and a move counts once.

    Parameters
    ----------
    tell, say : callable
        Hear of each alarm, in a thread: a record ``drift`` of `core.live`, and a sentence.
    """

    def __init__(self, *, tell: Callable[[Mapping[str, Any]], None], say: Callable[[str], None]) -> None:
        """Nothing is watched yet."""
        self._tell, self._say = tell, say
        self._meter, self._looking = Meter(), ExitStack()
        self._watched: Watched | None = None
        self._inputs: InputWatch | None = None
        self._identity = ""

    def begin(self, told: Mapping[str, Any], identity: str) -> None:
        """Watch a model from now on; what cannot be watched is said, and answered all the same.

        Parameters
        ----------
        told : mapping
            `Watched.dump` of the model.
        identity : str
            Its identity.
        """
        self.end()
        try:
            self._meter, self._watched = Meter(), Watched.load(told)
            inputs = InputWatch(self._watched, self._meter, tell=self._tell, say=self._say)
            self._looking.enter_context(inputs.looking())
        except Exception as error:  # the answers matter more than their watch
            self._say(f"The rows are not watched for drift: {type(error).__name__}: {error}.")
            return
        self._inputs, self._identity = inputs, identity

    def take(self, told: Mapping[str, Any]) -> None:
        """Take what `Sample.taken` of a process gave; rows that another model answered are passed over."""
        inputs, watched = self._inputs, self._watched
        if inputs is None or watched is None or told["identity"] != self._identity:
            return
        names = watched.columns.names
        rows = [dict(zip(names, values, strict=False)) for values in told["rows"]]
        answers = [
            {"prediction": said} if chance is None else {"prediction": said, watched.probability: chance}
            for *_, said, chance in told["rows"]
        ]
        inputs.offer(rows, answers)

    def values(self) -> dict[str, list[float]]:
        """Return index and bound by column, of what has been looked at."""
        found: dict[str, list[float]] = self._meter.record()["drift"]
        return found

    def end(self) -> None:
        """Look once more at what came, and end."""
        self._inputs, self._identity = None, ""
        self._looking.close()


class WatchedHere(Sample):
    """Sample of the rows that one process answers, and their watch in threads of the same process.

    Nothing runs before the first row is answered, so that a server may fork until then.

    Parameters
    ----------
    tell : callable
        Hears of each alarm, in a thread: a record ``drift`` of `core.live`. What it raises is logged.
    """

    def __init__(self, tell: Callable[[Mapping[str, Any]], None]) -> None:
        """Begin with no rows."""
        super().__init__()
        self._tell = tell
        self._watch = ServeWatch(tell=self._told, say=logger.warning)
        self._timer: asyncio.TimerHandle | None = None
        self._looking: asyncio.Future[None] | None = None
        self._is_begun = self._is_over = False

    def begin(self, watched: Watched, identity: str) -> None:
        """Take rows that another model answers from now on."""
        super().begin(watched, identity)
        self._is_begun = False

    def chosen(self, n_rows: int) -> range:
        """Return the places of the next rows that are to be taken, and see to it that they are looked at."""
        if self._is_over:
            return NONE
        if self._timer is None and self._looking is None:
            self._timer = asyncio.get_running_loop().call_later(TAKEN_SECONDS, self._hand_on)
        return super().chosen(n_rows)

    def values(self) -> dict[str, list[float]]:
        """Return index and bound by column, of what has been looked at."""
        return self._watch.values()

    async def end(self) -> None:
        """Look once more at what came, and end."""
        if self._timer is not None:
            self._timer.cancel()
            self._hand_on()
        self._is_over = True
        if self._looking is not None:
            await self._looking
        await asyncio.to_thread(self._watch.end)

    def _told(self, record: Mapping[str, Any]) -> None:
        """Tell of an alarm; the watch goes on whatever comes of it."""
        try:
            self._tell(record)
        except Exception:
            logger.exception("An alarm of drift could not be told.")

    def _hand_on(self) -> None:
        """Hand on what was taken, in a thread: a watch that begins reads the bins of all columns."""
        self._timer = None
        watched = None if self._is_begun else self._watched
        self._is_begun = True
        loop = asyncio.get_running_loop()
        self._looking = loop.run_in_executor(None, self._look, watched, self._identity, self.taken())
        self._looking.add_done_callback(self._looked)

    def _looked(self, looking: asyncio.Future[None]) -> None:
        self._looking = None

    def _look(self, begins: Watched | None, identity: str, told: Mapping[str, Any] | None) -> None:
        """Let the watch take a second's sample."""
        if begins is not None:
            self._watch.begin(begins.dump(), identity)
        if told is not None:
            self._watch.take(orjson.loads(orjson.dumps(told)))
