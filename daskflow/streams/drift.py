"""Drift of a stream: whether its rows, the model's answers or their errors are no longer what they were."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from daskflow.core.errors import DataError
from daskflow.core.settings import Settings
from daskflow.data.predictions import Predictions
from daskflow.data.schema import Column, ColumnKind, Schema
from daskflow.streams.drift_bins import PREDICTION, Bins, answers_of
from daskflow.streams.drift_errors import DELTA, RISE, THRESHOLD, ErrorWatch
from daskflow.streams.drift_shares import Move, ShareWatch
from daskflow.streams.scoring import Answers, Scorer

ERROR = "(error)"
"""Name of the errors among the columns."""

INPUTS = "inputs"
"""Key of a model's card: bins of its training rows by column, and of its answers to the test rows."""


class DriftSettings(Settings):
    """How drift is looked for.

    Attributes
    ----------
    psi : float
        Population stability index of a column that is no alarm yet. Default 0.25, from which on a population is
        customarily called another one (0.1: worth a look).
    window : int
        Newest rows whose shares are compared. Default 2,000; where rows differ by the hour, those of a day.
    every : int
        Of how many rows one is looked at for the inputs and predictions, where they come faster than they can be.
    most_columns : int
        Columns that are watched, the first of the model; the others are named by `DriftWatch.unwatched`.
    together : int
        Errors whose mean is looked at as one, where they come in clumps: 24 for the hours of a day.
    delta : float
        Confidence of ADWIN.
    rise, threshold : float
        Of Page and Hinkley's test: the rise of the error that is borne, and the summed rise beyond it that is an alarm.
    """

    psi: float = Field(default=0.25, gt=0)
    window: int = Field(default=2_000, ge=40, le=10_000_000)
    every: int = Field(default=1, ge=1)
    most_columns: int = Field(default=100, ge=0, le=2_000)
    together: int = Field(default=1, ge=1, le=100_000)
    delta: float = Field(default=DELTA, gt=0, lt=1)
    rise: float = Field(default=RISE, ge=0)
    threshold: float = Field(default=THRESHOLD, gt=0)


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something has moved beyond its bound.

    Attributes
    ----------
    name : str
        The column, ``(prediction)`` or ``(error)``.
    by : str
        ``PSI``, ``ADWIN`` or ``Page-Hinkley``.
    value, bound : float
        The population stability index, or the mean error of late, and what chance or custom allows.
    at : int
        How many rows had come, for ``(error)`` how many true values.
    since : int
        Behind which of them it began: by PSI the start of the window, by the others their estimate of the change.
    seconds : float
        When it was found, in seconds since 1970.
    detail : str
        What moved most, in words.
    """

    name: str
    by: str
    value: float
    bound: float
    at: int
    since: int
    seconds: float
    detail: str = ""

    def record(self) -> dict[str, Any]:
        """Return it as a record of the events or the journal, as plain JSON values; `row` is `at`."""
        return {
            "record": "drift",
            "of": self.name,
            "detector": self.by,
            "words": self.words,
            "value": self.value,
            "bound": self.bound,
            "row": self.at,
            "since_row": self.since,
            "seconds": self.seconds,
        }

    @property
    def words(self) -> str:
        """What happened, as a sentence."""
        detail = f" ({self.detail})" if self.detail else ""
        if self.name == ERROR:
            return (
                f"The error has risen to {self.value:.4g}{detail}: found by {self.by} after {self.at:,} true values, "
                f"and so since about the {self.since + 1:,}th."
            )
        what = "The model's predictions have" if self.name == PREDICTION else f"Column '{self.name}' has"
        return (
            f"{what} moved: population stability index {self.value:.3g}, bound {self.bound:.3g}{detail}, "
            f"in the rows from {self.since + 1:,} to {self.at:,}."
        )


class DriftWatch:
    """Watches the rows of a stream, the model's answers, and their errors once the truth is known.

    What it knows is of bounded size for any number of rows; `dump` and `load` carry it over a restart bit for bit. It
    belongs to one thread at a time.

    Parameters
    ----------
    columns : Schema
        Of the rows. Times are watched where the reference has them: see `drift_bins.Bins`.
    task : str
        binary, multiclass or regression.
    classes : sequence
        Labels in the order of their codes.
    reference : mapping
        Bins by column, as `drift_bins.reference_of` gives them; ``(prediction)`` for the model's answers. Of what is
        not there, the first rows of the stream are the reference.
    settings : DriftSettings
        How it is looked for.
    clock : callable
        Seconds since 1970, for the alarms.

    Examples
    --------
    >>> from daskflow.data.schema import Schema
    >>> schema = Schema.of(pa.schema({"fuel": pa.string()}))
    >>> bins = {"fuel": {"levels": ["gas", "oil"], "rare": [], "counts": [900, 100, 0, 0, 0]}}
    >>> watch = DriftWatch(schema, task="regression", reference=bins, settings=DriftSettings(window=200))
    >>> watch.seen([{"fuel": "gas"}] * 90 + [{"fuel": "oil"}] * 10)
    []
    >>> alarm, = watch.seen([{"fuel": "oil"}] * 100)
    >>> print(alarm.words)
    Column 'fuel' has moved: population stability index 1.08, bound 0.25 ('oil': 10.0 % before, 55.0 % now), in the \
rows from 1 to 200.
    """

    def __init__(
        self,
        columns: Schema,
        *,
        task: str,
        classes: Sequence[Any] = (),
        reference: Mapping[str, Any] | None = None,
        settings: DriftSettings | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Begin with nothing seen; nothing of river is needed before `learned`."""
        self.settings = settings or DriftSettings()
        self._clock, self._task, self._classes = clock, task, tuple(str(label) for label in classes)
        watched = watchable(columns, reference or {})[: self.settings.most_columns]
        names = {column.name for column in watched}
        self.unwatched = tuple(column.name for column in columns.columns if column.name not in names)
        self._reference = {name: Bins.load(bins) for name, bins in (reference or {}).items()}
        self._n_watched = len(watched) + 1
        self._shares = {column.name: self._new_shares(column.name, column.kind) for column in watched}
        self._errors: ErrorWatch | None = None
        self._n_seen = 0

    @classmethod
    def of(cls, scorer: Scorer, settings: DriftSettings | None = None, clock: Callable[[], float] = time.time) -> Self:
        """Make a watch for the rows that a scorer answers, against what its model's card says of the training rows."""
        model = scorer.model
        reference = model.card.get(INPUTS) or {}
        return cls(
            scorer.columns,
            task=model.task,
            classes=model.classes,
            reference=reference,
            settings=settings,
            clock=clock,
        )

    def _new_shares(self, name: str, kind: ColumnKind) -> ShareWatch:
        """Watch a column against its training rows, where their bins are of its kind."""
        bins = self._reference.get(name)
        if bins is not None and not bins.are_of(kind):
            bins = None
        asked = self.settings
        return ShareWatch(kind, bins, window=asked.window, least=asked.psi, n_columns=self._n_watched)

    @property
    def without_reference(self) -> tuple[str, ...]:
        """Columns whose reference is the first rows of the stream, since the model's card has none."""
        return tuple(name for name, watch in self._shares.items() if not watch.is_of_training)

    def seen(
        self, rows: Sequence[Mapping[str, Any]] | pa.Table, answers: Answers | Predictions | None = None
    ) -> list[Alarm]:
        """Take rows that were answered, in their order, and the answers.

        Parameters
        ----------
        rows : sequence of mapping, or pyarrow Table
            As they came.
        answers : Answers, Predictions or None
            What the model said. Of `Answers`, rows with a problem are passed over; `Predictions` are of every row.

        Returns
        -------
        list of Alarm
            What went beyond its bound just now; what stays there is not told again. See `moved`.
        """
        places = answers.places if isinstance(answers, Answers) else np.arange(len(rows))
        predictions = answers.predictions if isinstance(answers, Answers) else answers
        first = -self._n_seen % self.settings.every
        self._n_seen += len(places)
        chosen = slice(first, None, self.settings.every)
        places = places[chosen]
        found: list[Alarm] = []
        table = rows.take(pa.array(places)) if isinstance(rows, pa.Table) else [rows[i] for i in places.tolist()]
        for name, watch in self._shares.items():
            if name == PREDICTION:
                continue
            if isinstance(table, pa.Table):
                values = table.column(name) if name in table.column_names else None
            else:
                values = [row.get(name) for row in table]
            if values is not None:
                found += [self._alarm(name, move) for move in watch.seen(values)]
        if predictions is not None:
            kind, values = answers_of(predictions, self._classes, chosen)
            if PREDICTION not in self._shares:
                self._shares[PREDICTION] = self._new_shares(PREDICTION, kind)
            watch = self._shares[PREDICTION]
            found += [self._alarm(PREDICTION, move) for move in watch.seen(values)]
        return found

    def _alarm(self, name: str, move: Move) -> Alarm:
        every = self.settings.every
        at, since = move.at * every, move.since * every
        return Alarm(name, "PSI", move.value, move.bound, at, since, self._clock(), move.detail)

    def learned(self, errors: NDArray[np.float64] | Sequence[float]) -> list[Alarm]:
        """Take the errors of answers whose true values are known by now, in order.

        Parameters
        ----------
        errors : array of shape (n_rows,)
            For classes 0 for a right label and 1 for a wrong one, or anything between; for regression losses of any
            size, such as absolute differences. nan is passed over.

        Returns
        -------
        list of Alarm
            Each rise once. An error that falls is no alarm.

        Raises
        ------
        DataError
            For an error of classes outside 0 to 1.
        SettingsError
            When river is not installed, with the command that installs it.
        """
        if self._errors is None:
            self._errors = self._new_errors()
        ranked = ", as shares of the first losses below" if self._errors.is_ranked else ""
        return [
            Alarm(ERROR, r.by, r.value, r.bound, r.at, r.since, self._clock(), f"usual {r.usual:.4g}{ranked}")
            for r in self._errors.learned(errors)
        ]

    def _new_errors(self) -> ErrorWatch:
        asked = self.settings
        return ErrorWatch(
            is_ranked=self._task == "regression",
            together=asked.together,
            delta=asked.delta,
            rise=asked.rise,
            threshold=asked.threshold,
        )

    def values(self) -> dict[str, tuple[float, float]]:
        """Return value and bound of everything that has been looked at, for `Meter.drift`; what moved most first."""
        found = {name: (watch.value, watch.bound) for name, watch in self._shares.items() if watch.has_looked}
        if self._errors is not None and self._errors.n_seen:
            found[ERROR] = (self._errors.value, self._errors.bound)
        return dict(sorted(found.items(), key=lambda item: -item[1][0] / item[1][1]))

    def moved(self) -> tuple[str, ...]:
        """Return the names of what is beyond its bound now."""
        found = [name for name, watch in self._shares.items() if watch.is_moved]
        return (*found, ERROR) if self._errors is not None and self._errors.is_moved else tuple(found)

    def dump(self) -> dict[str, Any]:
        """Return what it knows as plain JSON values."""
        return {
            "settings": self._of_state(),
            "seen": self._n_seen,
            "shares": {name: watch.dump() for name, watch in self._shares.items()},
            "errors": None if self._errors is None else self._errors.dump(),
        }

    def _of_state(self) -> dict[str, Any]:
        """Return the settings without which a state means something else; bounds may change on the way."""
        asked = self.settings
        return {"window": asked.window, "every": asked.every, "together": asked.together, "task": self._task}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` of a watch of the same model and settings gave.

        Raises
        ------
        DataError
            When it is another's, or damaged; the watch is then as it was.
        SettingsError
            When it has errors, and river is not installed.
        """
        before = self.dump()
        try:
            self._load(state)
        except (KeyError, TypeError, ValueError) as error:
            self._load(before)
            raise DataError(
                f"The state of the drift watch does not fit: {error!r}. It is of another model, of other settings, or "
                "damaged; begin without it."
            ) from error

    def _load(self, state: Mapping[str, Any]) -> None:
        if state["settings"] != self._of_state():
            raise ValueError(f"it was looked for by {state['settings']}, and now by {self._of_state()}")
        shares = dict(state["shares"])
        self._shares.pop(PREDICTION, None)
        if PREDICTION in shares:
            self._shares[PREDICTION] = self._new_shares(PREDICTION, ColumnKind(shares[PREDICTION]["kind"]))
        if set(shares) != set(self._shares):
            raise ValueError("it watches other columns")
        for name, watch in self._shares.items():
            watch.load(shares[name])
        self._n_seen = int(state["seen"])
        self._errors = None
        if state["errors"] is not None:
            self._errors = self._new_errors()
            self._errors.load(state["errors"])


def watchable(columns: Schema, reference: Mapping[str, Any]) -> list[Column]:
    """Return the columns that can be watched: all but times of which the reference knows nothing.

    When a stream began says nothing about what came before it.
    """
    return [
        column
        for column in columns.columns
        if column.kind is not ColumnKind.DATETIME or "first_day" in reference.get(column.name, {})
    ]
