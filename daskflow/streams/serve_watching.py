"""Drift of what a server is asked and answers: one watch over the samples of all its processes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from daskflow.streams.drift_inputs import InputWatch, Watched
from daskflow.streams.meter import Meter


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
