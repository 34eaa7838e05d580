"""A page as a browser has it: what a screen says is applied piece by piece, rows are added within an epoch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from bokeh.document import Document
from bokeh.models import ColumnDataSource

from daskflow.dashboard.slots import Columns, Figure, Look, Screen, Slot, Widget
from daskflow.dashboard.state import RunState

MOST_GLYPHS = 4000
"""Of a figure."""


class Viewed:
    """What a viewer of one screen has after each look.

    Attributes
    ----------
    columns : dict of str to dict of str to list
        Of every source.
    values, looks : dict
        The newest of every name.
    added : int
        Rows that were added to a source instead of sent anew.
    """

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.panels = [panel for row in screen.rows() for panel in row.panels]
        self.columns: dict[str, dict[str, list[Any]]] = {}
        self.values: dict[str, Any] = {}
        self.looks: dict[str, dict[str, Any]] = {}
        self.added = 0
        self._epochs: dict[str, str] = {}
        document = Document()
        with document.models.freeze():
            for panel in self.panels:
                if isinstance(panel, Figure):
                    document.add_root(panel.figure)
        self.models = {model.name: model for model in document.models if model.name}

    def look(self, state: RunState, now: float) -> Viewed:
        """Ask the screen and apply what it says."""
        self.take(self.screen.slots(state, now))
        return self

    def take(self, slots: Sequence[Slot]) -> None:
        """Apply slots as the page's script does; what no browser could apply fails."""
        for slot in slots:
            if isinstance(slot, Columns):
                self._fill(slot)
            elif isinstance(slot, Look):
                model = self.models[slot.name]
                for attribute, value in slot.attributes.items():
                    setattr(model, attribute, value)  # bokeh refuses what it cannot take
                self.looks[slot.name] = json.loads(json.dumps(slot.attributes, allow_nan=False))
            else:
                self.values[slot.name] = json.loads(json.dumps(slot.value, allow_nan=False))
        missing = {panel.key for panel in self.panels if isinstance(panel, Widget)} - set(self.values)
        assert not missing, f"nothing was said of {missing}"

    def _fill(self, slot: Columns) -> None:
        data = json.loads(json.dumps({name: list(column) for name, column in slot.data.items()}, allow_nan=False))
        lengths = {len(column) for column in data.values()}
        assert len(lengths) <= 1, f"columns of {slot.name} are of {lengths}"
        source = self.models[slot.name]
        assert isinstance(source, ColumnDataSource)
        assert set(data) == set(source.data), f"{slot.name} has other columns"
        n_rows = lengths.pop() if lengths else 0
        assert n_rows <= MOST_GLYPHS, f"{slot.name} has {n_rows} rows"
        held = self.columns.get(slot.name)
        n_held = len(next(iter(held.values()))) if held else 0
        if held is not None and self._epochs[slot.name] == slot.epoch:
            assert n_rows >= n_held, f"{slot.name} lost rows within an epoch"
            for name, column in data.items():
                held[name] += column[n_held:]
            self.added += n_rows - n_held
        else:
            self.columns[slot.name] = data
        self._epochs[slot.name] = slot.epoch
        assert self.columns[slot.name] == data, f"{slot.name} changed rows within an epoch"

    def is_shown(self, key: str) -> bool:
        """Whether a panel is there and has something in it."""
        return not self.values.get(f"{key}.hidden") and not self.values.get(f"{key}.empty", False)

    def texts(self) -> str:
        """Return everything that was said, as JSON."""
        return json.dumps([self.columns, self.values, self.looks], ensure_ascii=False)


def state_of(records: Sequence[dict[str, Any]]) -> RunState:
    """Return what is known after some records."""
    state = RunState()
    state.hear(records)
    return state


def watched(screen: Screen, records: Sequence[dict[str, Any]], n_looks: int = 12) -> tuple[Viewed, RunState]:
    """Return a page that was looked at several times while the records came, and the state in the end."""
    viewed, state = Viewed(screen), RunState()
    step = max(1, -(-len(records) // n_looks))
    for first in range(0, len(records), step):
        state.hear(records[first : first + step])
        viewed.look(state, state.last)
    viewed.look(state, state.last + 5)  # what is drawn anew after a while only
    return viewed, state
