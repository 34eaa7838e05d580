"""What happened in a stream: moments on its figures, sentences below them, and the models that are compared."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from daskflow.core.journal import Record
from daskflow.dashboard import quantities
from daskflow.dashboard.slots import Columns, Look, Slot, Value
from daskflow.dashboard.state_stream import StreamState, name_of
from daskflow.dashboard.tables import table
from daskflow.figures import live_axes, live_stream, style

MOST_MODELS = 8
"""Models that are drawn and listed: those that came first."""

MOST_DOTS = 3_600
"""Of all models together; of more the newest."""


def marks(stream: StreamState) -> Mapping[str, Sequence[Any]]:
    """Return the moments that figures over time show."""
    columns: dict[str, list[Any]] = {name: [] for name in ("seconds", "color", "dash", "kind", "text")}
    if stream.began != stream.began:
        return columns
    for event in stream.events:
        if event.kind in live_stream.MARKS and event.at > stream.began + 3.0:  # its beginning is the axis
            colour, dash = live_stream.MARKS[event.kind]
            values = (round(event.at - stream.began, 2), colour, dash, event.kind, style.shown(event.text, 120))
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
    return columns


def happened(stream: StreamState) -> list[dict[str, Any]]:
    """Return what happened, the newest first."""
    return [{"at": event.at, "kind": event.kind, "text": event.text} for event in reversed(stream.events)]


def models(stream: StreamState) -> dict[str, Any]:
    """Return the models that are compared, in the order of their colours."""
    known = list(stream.challengers.items())
    rows = [
        {
            "model": style.shown(name, 60),
            "role": "answers" if name == stream.champion else "challenger",
            "score": quantities.value(given[0]),
            "interval": quantities.interval(given[1], given[2]),
        }
        for name, given in known[:MOST_MODELS]
    ]
    heads = [
        ("model", "Model", "text"),
        ("role", "It", "text"),
        ("score", "Score", "text"),
        ("interval", "95 %", "text"),
    ]
    return table(heads, rows, len(known) - len(rows))


class Standing:
    """Scores of models that are compared, over time."""

    def __init__(self) -> None:
        self.columns: dict[str, list[Any]] = {name: [] for name in ("seconds", "value", "low", "high", "name", "color")}
        self._order: list[str] = []

    def add(self, seconds: float, record: Record) -> None:
        """Add a second."""
        for name, given in ((name_of(key), one) for key, one in (record.get("challengers") or {}).items()):
            if name not in self._order:
                self._order.append(name)
            place = self._order.index(name)
            if place >= MOST_MODELS or not quantities.is_number(given[0]):
                continue
            value = given[0]
            low, high = (one if quantities.is_number(one) else value for one in given[1:3])
            colour = live_stream.MODELS[min(place, len(live_stream.MODELS) - 1)]
            found = (seconds, *map(quantities.plain, (value, low, high)), style.shown(name, 60), colour)
            for column, one in zip(self.columns.values(), found, strict=True):
                column.append(one)

    def slots(self, epoch: str, start: float) -> list[Slot]:
        """Return what the figure shows; its axis is that of what is in sight."""
        seconds = self.columns["seconds"]
        first = bisect_left(seconds, start)
        bounds = [*self.columns["low"][first:], *self.columns["high"][first:]]
        is_cut = len(seconds) > MOST_DOTS
        shown = {name: column[-MOST_DOTS:] for name, column in self.columns.items()} if is_cut else self.columns
        return [
            Columns("compared_data", shown, f"{epoch}-{len(seconds)}" if is_cut else epoch),
            Look("compared_y", live_axes.ends(bounds)),
            Value("compared.empty", not seconds),
        ]
