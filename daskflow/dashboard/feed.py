"""Feed: what changed on a page since a viewer last asked, worked out once for all viewers."""

from __future__ import annotations

import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from daskflow.dashboard.encoding import json_of
from daskflow.dashboard.slots import Columns, Screen, Slot, Value
from daskflow.dashboard.state import RunState

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
"""Screens are asked this often at most."""

IDLE_SECONDS = 2.0
"""So often while nothing was heard: clocks and estimates go on all the same."""

SHARE = 0.006
"""A screen that takes long is asked less often, so that asking takes at most this share of one core..."""

MOST_SECONDS = 5.0
"""...but so often in any case."""

MOST_PIECES = 32
"""Beginnings from which rows are kept as they were sent; viewers mostly have one of two."""

GAP_SECONDS = 30.0
"""After so long without a look much has to be caught up with, which says nothing of how long looking takes."""

ERROR = "error"
"""Name of the value that says why a page stands still; empty once it goes on."""


def have_of(told: Any) -> dict[str, dict[str, Any]]:
    """Return what a viewer says it has, whatever it sent.

    Examples
    --------
    >>> have_of({"values": {"a": 3}, "columns": [1]})
    {'columns': {}, 'values': {'a': 3}, 'looks': {}}
    """
    said = told if isinstance(told, dict) else {}
    return {word: said[word] if isinstance(said.get(word), dict) else {} for word in ("columns", "values", "looks")}


@dataclass
class _Columns:
    """Columns of one source, and the pieces of them that were sent last."""

    epoch: str
    length: int
    data: Mapping[str, Sequence[Any]]
    pieces: dict[int, bytes] = field(default_factory=dict)

    def since(self, start: int) -> bytes:
        """Return the rows from `start` on as JSON; the same piece serves every viewer that has as much."""
        if start not in self.pieces:
            if len(self.pieces) >= MOST_PIECES:  # viewers are told all the same, each by itself
                self.pieces.clear()
            rows = {name: _rows(column, start, self.length) for name, column in self.data.items()}
            self.pieces[start] = json_of({"epoch": self.epoch, "from": start, "data": rows})
        return self.pieces[start]


def _rows(column: Sequence[Any], start: int, stop: int) -> Any:
    rows = column[start:stop]
    return rows if type(rows) is list else rows.tolist() if hasattr(rows, "tolist") else list(rows)


@dataclass
class _Whole:
    """A value or a look: its number and its JSON."""

    version: int
    content: bytes


@dataclass
class _Page:
    """What stands on one page now."""

    screen: Screen
    columns: dict[str, _Columns] = field(default_factory=dict)
    values: dict[str, _Whole] = field(default_factory=dict)
    looks: dict[str, _Whole] = field(default_factory=dict)
    asked: float = float("-inf")
    heard: int = -1
    costs: deque[float] = field(default_factory=lambda: deque(maxlen=12))
    error: str = ""


class Feed:
    """What the pages of one run show now, for any number of viewers.

    Parameters
    ----------
    state : RunState
        What is known of the run.
    screens : sequence of Screen
        Its pages.
    clock : callable
        Returns the time that is shown, in seconds since 1970: a replay has its own.
    ticks : callable
        Returns the seconds by which the feed itself goes.

    Attributes
    ----------
    boot : str
        Of another one a viewer must not keep anything.
    """

    def __init__(
        self,
        state: RunState,
        screens: Sequence[Screen],
        clock: Callable[[], float] = time.time,
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin with nothing asked of any screen."""
        self.state, self.clock, self._ticks = state, clock, ticks
        self.boot = secrets.token_hex(4)
        self._pages = {screen.key: _Page(screen) for screen in screens}

    def due(self, page: str) -> float:
        """Return in how many seconds the page may look otherwise; infinity when it will not without news."""
        known = self._pages[page]
        cost = sum(known.costs) / max(1, len(known.costs))
        pause = min(max(TICK_SECONDS, cost / SHARE), MOST_SECONDS)
        is_over, is_known = self.state.is_over, known.heard == self.state.version
        if is_over:  # the last word is not kept waiting: the server may close soon
            pause = float("inf") if is_known else TICK_SECONDS
        elif is_known:
            pause = max(pause, IDLE_SECONDS)
        return max(0.0, known.asked + pause - self._ticks())

    def refresh(self, page: str) -> None:
        """Ask the page's screen for its slots, unless they were asked for a moment ago.

        A screen that fails stands still, with its error as the value `ERROR`; nothing else notices.
        """
        if self.due(page) <= 0:
            self._ask(self._pages[page])

    def catch_up(self, page: str) -> None:
        """Ask the page's screen for its slots now, if anything was heard since: a last word must be whole."""
        if self._pages[page].heard != self.state.version:
            self._ask(self._pages[page])

    def _ask(self, known: _Page) -> None:
        page = known.screen.key
        begun, known.heard = self._ticks(), self.state.version
        processor = time.thread_time()
        try:
            for slot in known.screen.slots(self.state, self.clock()):
                _take(known, slot)
            said = ""
        except Exception as error:
            said = f"This page stands still: {type(error).__name__}: {error}"
            if said != known.error:
                logger.warning("The page %r cannot be drawn: %s", page, error, exc_info=True)
        if said or known.error:
            _take(known, Value(ERROR, said))
        known.error = said
        if begun - known.asked < GAP_SECONDS:
            known.costs.append(time.thread_time() - processor)
        known.asked = begun

    def changes(self, page: str, have: Mapping[str, Mapping[str, Any]]) -> dict[str, bytes]:
        """Return what a viewer lacks of what the last refresh found, as JSON by part; empty when it lacks nothing."""
        known = self._pages[page]
        found: dict[str, bytes] = {}
        columns = [
            _named(name, each.since(start))
            for name, each in known.columns.items()
            if (start := _start(each, have["columns"].get(name))) is not None
        ]
        if columns:
            found["columns"] = b",".join(columns)
        for part, wholes in (("values", known.values), ("looks", known.looks)):
            seen = have[part]
            lacking = [_named(name, each.content) for name, each in wholes.items() if seen.get(name) != each.version]
            if lacking:
                found[part] = b",".join(lacking)
        return found

    def answer(self, page: str, have: Mapping[str, Any], header: Mapping[str, Any], *, boot: str = "") -> bytes:
        """Return a whole answer, see the module `site`; what is had of another `boot` is not counted.

        Raises
        ------
        KeyError
            When there is no such page.
        """
        self.refresh(page)
        lacking = self.changes(page, have_of(have if boot == self.boot else None))
        return self.written(lacking, header)

    def written(self, lacking: Mapping[str, bytes], header: Mapping[str, Any]) -> bytes:
        """Return parts and header as one JSON object."""
        head = json_of({"boot": self.boot, "at": self.clock(), "header": header})[:-1]
        parts = [b'"%s":{%s}' % (part.encode(), lacking.get(part, b"")) for part in ("columns", "values", "looks")]
        return head + b"," + b",".join(parts) + b"}"


def _named(name: str, content: bytes) -> bytes:
    return json_of(name) + b":" + content


def _start(columns: _Columns, had: Any) -> int | None:
    """Return the first row that a viewer lacks; None when it lacks none."""
    if not (isinstance(had, list) and len(had) == 2 and isinstance(had[1], int)) or had[0] != columns.epoch:
        return 0
    if had[1] == columns.length:
        return None
    return had[1] if 0 < had[1] < columns.length else 0


def _take(page: _Page, slot: Slot) -> None:
    """Keep a slot; it has a new number, or new rows, only when it differs from what was there."""
    if isinstance(slot, Columns):
        length = min(map(len, slot.data.values()), default=0)
        before = page.columns.get(slot.name)
        if before is not None and (before.epoch, before.length) == (slot.epoch, length):
            before.data = slot.data
            return
        page.columns[slot.name] = _Columns(slot.epoch, length, slot.data)
        return
    word, told = ("value", slot.value) if isinstance(slot, Value) else ("attributes", slot.attributes)
    wholes = page.values if isinstance(slot, Value) else page.looks
    content, known = json_of(told), wholes.get(slot.name)
    version = known.version if known else 0
    bare = b'{"v":%d,"%s":%s}' % (version, word.encode(), content)
    if known is None or known.content != bare:
        wholes[slot.name] = _Whole(version + 1, b'{"v":%d,"%s":%s}' % (version + 1, word.encode(), content))
