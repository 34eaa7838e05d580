"""Where the records of a CSV text begin: found exactly from any place in it, without reading what stands far before.

A text is a walk of a small machine (in an unquoted cell, in a quoted one, after a quote, ...). Whether a line end ends
a record depends on the machine's state, and that on all the text before. But walks from different states soon meet: a
quoted cell such as ``"a, b"`` leads out of a quoted cell and back from an unquoted one to the same state. So the state
at a place is known for certain as soon as the walks from *all* states, begun a little before it, have met. Where they
do not (millions of bytes without a quoted cell), the place is taken not to lie in a quoted cell, and whoever reads the
rows before it checks that (`Boundary.is_sure`).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daskflow.sources.csv_dialect import Dialect
from daskflow.sources.csv_walks import (
    AFTER_QUOTE,
    AFTER_RETURN,
    CELL,
    COMMENT,
    ESCAPED,
    ESCAPED_IN_QUOTES,
    PLAIN,
    QUOTED,
    RECORD,
    blank_comments,
    first_record,
    record_cuts,
    settle,
    walk,
)

N_STATES = 9

IN_QUOTES = (QUOTED, AFTER_QUOTE, ESCAPED_IN_QUOTES)

FIRST_REACH = 1 << 16
LOOK_BACK = 1 << 22
"""Bytes before a place that are read at first, and at most, to know its state."""

FORWARD_BYTES = 1 << 16

TAIL_BYTES = 1 << 12
"""Without a quote the state depends on the last bytes only; no cell that matters is longer."""


class Text(Protocol):
    """A text in an encoding that keeps ASCII, read by place."""

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes from start to stop; fewer at the end."""


@lru_cache(maxsize=64)
def machine(dialect: Dialect) -> NDArray[np.uint8]:
    """Return the table of a dialect's machine: the next state at ``state * 256 + byte``.

    It follows Python's ``csv.reader`` byte by byte: a quote within an unquoted cell is a letter, and so is what
    stands behind a closing quote.

    Parameters
    ----------
    dialect : Dialect
        How cells are written.

    Returns
    -------
    ndarray of uint8, shape (9 * 256,)
        The table.
    """
    table = np.empty((N_STATES, 256), dtype=np.uint8)
    table[[RECORD, AFTER_RETURN, CELL, PLAIN, AFTER_QUOTE, ESCAPED]] = PLAIN
    table[[QUOTED, ESCAPED_IN_QUOTES]] = QUOTED
    table[COMMENT] = COMMENT
    unquoted, beginnings = [RECORD, AFTER_RETURN, CELL, PLAIN, AFTER_QUOTE], [RECORD, AFTER_RETURN, CELL]
    table[unquoted, ord(dialect.separator)] = CELL
    if dialect.skip_initial_space:
        table[beginnings, ord(" ")] = CELL
    table[[*unquoted, COMMENT], ord("\n")] = RECORD
    table[[*unquoted, COMMENT], ord("\r")] = AFTER_RETURN
    if dialect.quote is not None:
        table[beginnings, ord(dialect.quote)] = QUOTED
        table[QUOTED, ord(dialect.quote)] = AFTER_QUOTE if dialect.double_quote else PLAIN
        table[AFTER_QUOTE, ord(dialect.quote)] = QUOTED
    if dialect.escape is not None:
        table[[*beginnings, PLAIN], ord(dialect.escape)] = ESCAPED
        table[QUOTED, ord(dialect.escape)] = ESCAPED_IN_QUOTES
    if dialect.comment is not None:
        table[[RECORD, AFTER_RETURN], ord(dialect.comment)] = COMMENT
    return table.reshape(-1)


@lru_cache(maxsize=64)
def states_of(dialect: Dialect) -> tuple[int, ...]:
    """States that a text in this dialect can be in."""
    without = set[int]()
    if dialect.quote is None:
        without.update(IN_QUOTES)
    if dialect.escape is None:
        without.update((ESCAPED, ESCAPED_IN_QUOTES))
    if dialect.comment is None:
        without.add(COMMENT)
    return tuple(state for state in range(N_STATES) if state not in without)


def letters_of(data: Any) -> NDArray[np.uint8]:
    """Bytes as an array, without a copy."""
    return np.frombuffer(data, dtype=np.uint8)


@dataclass(frozen=True, slots=True)
class Boundary:
    """A place in a text where a record begins, found from a place before it.

    Attributes
    ----------
    place : int
        Offset of the record, or the end of the text.
    state : int
        The machine's state at the place that was asked for.
    is_sure : bool
        Whether that state is known for certain; else it is to be checked by walking the rows before.
    """

    place: int
    state: int
    is_sure: bool


def has_marks(data: bytes, dialect: Dialect) -> bool:
    """Whether a text has anything but cells, separators and line ends: quotes, escapes or what may be comments."""
    marks = (dialect.quote, dialect.escape, dialect.comment)
    return any(mark is not None and mark.encode() in data for mark in marks)


def state_at(text: Text, place: int, low: int, dialect: Dialect, look_back: int = LOOK_BACK) -> tuple[int, bool]:
    """Return the machine's state at a place of a text, and whether it is certain.

    Parameters
    ----------
    text : Text
        What is read.
    place : int
        Offset, at least `low`.
    low : int
        Offset at which the rows begin.
    dialect : Dialect
        How cells are written.
    look_back : int
        Bytes before the place that are read at most.
    """
    table, reach = machine(dialect), min(FIRST_REACH, look_back)
    while True:
        start = max(low, place - reach)
        data = text.read(start, place)
        if start == low:
            return walk(data, table, RECORD), True
        if len(data) > TAIL_BYTES and not has_marks(data, dialect):
            data = data[-TAIL_BYTES:]
        states = settle(data, table, states_of(dialect))
        if len(states) == 1:
            return states[0], True
        if reach >= look_back:
            return min(states, key=lambda state: (state in IN_QUOTES, state)), False
        reach = min(4 * reach, look_back)


def boundary(text: Text, place: int, low: int, dialect: Dialect, look_back: int = LOOK_BACK) -> Boundary:
    """Return the first record that begins at a place of a text or behind it; a pure function of the text.

    Parameters
    ----------
    text, place, low, dialect, look_back
        As for `state_at`.

    Examples
    --------
    >>> data = b'1,"two\\nlines"\\n3,x\\n'
    >>> class Whole:
    ...     def read(self, start, stop):
    ...         return data[start:stop]
    >>> boundary(Whole(), 6, 0, Dialect()).place, data[14:]
    (14, b'3,x\\n')
    """
    if place <= low:
        return Boundary(low, RECORD, True)
    asked, is_sure = state_at(text, place, low, dialect, look_back)
    state = asked
    while data := text.read(place, place + FORWARD_BYTES):
        found, state = first_record(data, machine(dialect), state)
        if found >= 0:
            return Boundary(place + found, asked, is_sure)
        place += len(data)
    return Boundary(place, asked, is_sure)


def is_open(data: bytes, dialect: Dialect) -> bool:
    """Whether a text that begins with a record ends within a quoted cell, or behind an escape."""
    marks = (dialect.quote, dialect.escape)
    if not any(mark is not None and mark.encode() in data for mark in marks):
        return False
    state, is_sure = state_at(_Whole(data), len(data), 0, dialect)
    if not is_sure:
        state = walk(data, machine(dialect), RECORD)
    return state in (QUOTED, ESCAPED, ESCAPED_IN_QUOTES)


@dataclass(frozen=True, slots=True)
class _Whole:
    """A text in memory."""

    data: bytes

    def read(self, start: int, stop: int) -> bytes:
        """Return a part."""
        return self.data[start:stop]


def cut(data: bytes, dialect: Dialect, step: int) -> list[bytes]:
    """Cut a text that begins with a record into pieces of whole records, each of about so many bytes.

    Examples
    --------
    >>> cut(b"1,2\\n3,4\\n5,6\\n", Dialect(), 5)
    [b'1,2\\n3,4\\n', b'5,6\\n']
    """
    edges = [0, *record_cuts(data, machine(dialect), step), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges) if start < stop]


def without_comments(data: bytes, dialect: Dialect) -> bytes:
    """Return a text that begins with a record less its comment lines.

    Examples
    --------
    >>> without_comments(b"# one\\n1,2\\n# two\\r\\n3,4\\n", Dialect(comment="#"))
    b'1,2\\n3,4\\n'
    """
    return blank_comments(data, machine(dialect))
