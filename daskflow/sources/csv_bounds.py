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

from daskflow.data.kernels import compiled
from daskflow.sources.csv_dialect import Dialect

RECORD, AFTER_RETURN, CELL, PLAIN, QUOTED, AFTER_QUOTE, ESCAPED, ESCAPED_IN_QUOTES, COMMENT = range(9)
"""States: at the beginning of a record, after a carriage return, at the beginning of a cell, in it, and so on."""

N_STATES = 9

IN_QUOTES = (QUOTED, AFTER_QUOTE, ESCAPED_IN_QUOTES)

FIRST_REACH = 1 << 16
LOOK_BACK = 1 << 22
"""Bytes before a place that are read at first, and at most, to know its state."""

FORWARD_BYTES = 1 << 16

TAIL_BYTES = 1 << 12
"""Without a quote the state depends on the last bytes only; no cell that matters is longer."""

FIRST_STEP, STEP = 64, 4096
"""Bytes after which walks that have met are put together."""


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


@compiled
def walk(letters: Any, table: Any, state: Any) -> Any:
    """Return the state behind some letters."""
    for letter in letters:
        state = table[state * 256 + letter]
    return state


@compiled
def settle(letters: Any, table: Any, states: Any) -> Any:
    """Walk from several states at once; return how many different ones are left, which stand first in `states`."""
    n_left, begin, stop = len(states), 0, min(FIRST_STEP, len(letters))
    while begin < len(letters):
        for which in range(n_left):
            states[which] = walk(letters[begin:stop], table, states[which])
        n_different = 0
        for which in range(n_left):
            is_new = True
            for other in range(n_different):
                is_new = is_new and states[other] != states[which]
            if is_new:
                states[n_different] = states[which]
                n_different += 1
        n_left = n_different
        begin, stop = stop, min(stop + STEP, len(letters))
    return n_left


@compiled
def first_record(letters: Any, table: Any, state: Any) -> Any:
    """Return the place of the first record that begins among some letters (-1 for none), and the state there."""
    for place in range(len(letters)):
        letter = letters[place]
        if state == RECORD or (state == AFTER_RETURN and letter != 10):
            return place, RECORD
        state = table[state * 256 + letter]
    return -1, state


@compiled
def last_record(letters: Any, table: Any) -> Any:
    """Return the place of the last record that begins among some letters, which begin with one."""
    state, found = np.uint8(RECORD), 0
    for place in range(len(letters)):
        letter = letters[place]
        if state == RECORD or (state == AFTER_RETURN and letter != 10):
            found = place
        state = table[state * 256 + letter]
    return found


@compiled
def record_cuts(letters: Any, table: Any, step: Any, cuts: Any) -> Any:
    """Write the places of records, one after every so many bytes, and return their number; the text begins with one."""
    state, n_cuts, wanted = np.uint8(RECORD), 0, step
    for place in range(len(letters)):
        letter = letters[place]
        if place >= wanted and (state == RECORD or (state == AFTER_RETURN and letter != 10)):
            cuts[n_cuts] = place
            n_cuts += 1
            wanted = place + step
        state = table[state * 256 + letter]
    return n_cuts


@compiled
def blank_comments(letters: Any, table: Any, kept: Any) -> Any:
    """Copy what is no comment line to `kept`, and return how many bytes that is; the text begins with a record."""
    state, n_kept, was_comment = np.uint8(RECORD), 0, False
    for letter in letters:
        state = table[state * 256 + letter]
        is_comment = state == COMMENT or (was_comment and letter == 10)
        if not is_comment and not (was_comment and letter == 13):
            kept[n_kept] = letter
            n_kept += 1
        was_comment = state == COMMENT or (was_comment and state == AFTER_RETURN)
    return n_kept


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
            return int(walk(letters_of(data), table, np.uint8(RECORD))), True
        if len(data) > TAIL_BYTES and not has_marks(data, dialect):
            data = data[-TAIL_BYTES:]
        states = np.array(states_of(dialect), dtype=np.uint8)
        n_left = settle(letters_of(data), table, states)
        if n_left == 1:
            return int(states[0]), True
        if reach >= look_back:
            return min((int(state) for state in states[:n_left]), key=lambda state: (state in IN_QUOTES, state)), False
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
        found, state = first_record(letters_of(data), machine(dialect), np.uint8(state))
        if found >= 0:
            return Boundary(place + int(found), asked, is_sure)
        place += len(data)
    return Boundary(place, asked, is_sure)


def is_open(data: bytes, dialect: Dialect) -> bool:
    """Whether a text that begins with a record ends within a quoted cell, or behind an escape."""
    marks = (dialect.quote, dialect.escape)
    if not any(mark is not None and mark.encode() in data for mark in marks):
        return False
    state, is_sure = state_at(_Whole(data), len(data), 0, dialect)
    if not is_sure:
        state = int(walk(letters_of(data), machine(dialect), np.uint8(RECORD)))
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
    places = np.empty(len(data) // step + 1, dtype=np.int64)
    n_cuts = record_cuts(letters_of(data), machine(dialect), step, places)
    edges = [0, *places[:n_cuts].tolist(), len(data)]
    return [data[start:stop] for start, stop in itertools.pairwise(edges) if start < stop]


def without_comments(data: bytes, dialect: Dialect) -> bytes:
    """Return a text that begins with a record less its comment lines.

    Examples
    --------
    >>> without_comments(b"# one\\n1,2\\n# two\\r\\n3,4\\n", Dialect(comment="#"))
    b'1,2\\n3,4\\n'
    """
    kept = np.empty(len(data), dtype=np.uint8)
    return kept[: blank_comments(letters_of(data), machine(dialect), kept)].tobytes()
