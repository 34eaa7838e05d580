"""Walks over the letters of a CSV text, from state to state of the machine in `csv_bounds`.

Short walks are done as they stand here, until they were many: to load the compiler takes half a second, which the
command that hands a run in would wait for. All others are compiled by numba, from the same lines.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORD, AFTER_RETURN, CELL, PLAIN, QUOTED, AFTER_QUOTE, ESCAPED, ESCAPED_IN_QUOTES, COMMENT = range(9)
"""States: at the beginning of a record, after a carriage return, at the beginning of a cell, in it, and so on."""

FIRST_STEP, STEP = 64, 4096
"""Bytes after which walks that have met are put together."""

MOST_LETTERS = 1 << 20
"""So many are walked over in all before loops are compiled: as long as that would take to load."""


class _Allowance:
    """How many letters may still be walked over by loops that are not compiled."""

    left = MOST_LETTERS

    def covers(self, n_letters: int) -> bool:
        """Whether so many more may be; they are taken off."""
        self.left -= n_letters
        return self.left >= 0 and "numba" not in sys.modules


ALLOWANCE = _Allowance()


def walk(data: bytes, table: NDArray[np.uint8], state: int) -> int:
    """Return the state behind some letters.

    Parameters
    ----------
    data : bytes
        The letters.
    table : ndarray of uint8, shape (9 * 256,)
        The machine.
    state : int
        Before the letters.
    """
    if ALLOWANCE.covers(len(data)):
        return int(_walk(data, table.tobytes(), state))
    return int(_compiled(_walk)(_letters(data), table, np.uint8(state)))


def settle(data: bytes, table: NDArray[np.uint8], states: Sequence[int]) -> list[int]:
    """Walk from several states at once, and return the different ones that are left behind the letters."""
    if ALLOWANCE.covers(len(states) * FIRST_STEP + len(data)):
        walked = list(states)
        return walked[: _settle(data, table.tobytes(), walked)]
    found = np.array(states, dtype=np.uint8)
    return [int(state) for state in found[: _compiled(_settle)(_letters(data), table, found)]]


def first_record(data: bytes, table: NDArray[np.uint8], state: int) -> tuple[int, int]:
    """Return the place of the first record that begins among some letters (-1 for none), and the state there."""
    if ALLOWANCE.covers(0):  # a line is short; one that is not takes off what it has
        place, found = _first_record(data, table.tobytes(), state)
        ALLOWANCE.covers(place if place >= 0 else len(data))
    else:
        place, found = _compiled(_first_record)(_letters(data), table, np.uint8(state))
    return int(place), int(found)


def last_record(data: bytes, table: NDArray[np.uint8]) -> int:
    """Return the place of the last record that begins among some letters, which begin with one."""
    return int(_compiled(_last_record)(_letters(data), table))


def record_cuts(data: bytes, table: NDArray[np.uint8], step: int) -> list[int]:
    """Return places of records, one after every so many bytes; the text begins with one."""
    places = np.empty(len(data) // step + 1, dtype=np.int64)
    found: list[int] = places[: _compiled(_record_cuts)(_letters(data), table, step, places)].tolist()
    return found


def blank_comments(data: bytes, table: NDArray[np.uint8]) -> bytes:
    """Return a text that begins with a record less its comment lines."""
    kept = np.empty(len(data), dtype=np.uint8)
    return kept[: _compiled(_blank_comments)(_letters(data), table, kept)].tobytes()


def _letters(data: Any) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)


@cache
def _compiled(loop: Callable[..., Any]) -> Callable[..., Any]:
    from daskflow.data.kernels import compiled

    return compiled(loop)


def _walk(letters: Any, table: Any, state: Any) -> Any:
    for letter in letters:
        state = table[state * 256 + letter]
    return state


def _settle(letters: Any, table: Any, states: Any) -> Any:
    """Return how many different states are left, which stand first in `states`."""
    n_left, begin, stop = len(states), 0, min(FIRST_STEP, len(letters))
    while begin < len(letters):
        for which in range(n_left):
            state = states[which]
            for letter in letters[begin:stop]:
                state = table[state * 256 + letter]
            states[which] = state
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


def _first_record(letters: Any, table: Any, state: Any) -> Any:
    for place in range(len(letters)):
        letter = letters[place]
        if state == RECORD or (state == AFTER_RETURN and letter != 10):
            return place, RECORD
        state = table[state * 256 + letter]
    return -1, state


def _last_record(letters: Any, table: Any) -> Any:
    state, found = np.uint8(RECORD), 0
    for place in range(len(letters)):
        letter = letters[place]
        if state == RECORD or (state == AFTER_RETURN and letter != 10):
            found = place
        state = table[state * 256 + letter]
    return found


def _record_cuts(letters: Any, table: Any, step: Any, cuts: Any) -> Any:
    """Write the places of records, and return their number."""
    state, n_cuts, wanted = np.uint8(RECORD), 0, step
    for place in range(len(letters)):
        letter = letters[place]
        if place >= wanted and (state == RECORD or (state == AFTER_RETURN and letter != 10)):
            cuts[n_cuts] = place
            n_cuts += 1
            wanted = place + step
        state = table[state * 256 + letter]
    return n_cuts


def _blank_comments(letters: Any, table: Any, kept: Any) -> Any:
    """Copy what is no comment line to `kept`, and return how many bytes that is."""
    state, n_kept, was_comment = np.uint8(RECORD), 0, False
    for letter in letters:
        state = table[state * 256 + letter]
        is_comment = state == COMMENT or (was_comment and letter == 10)
        if not is_comment and not (was_comment and letter == 13):
            kept[n_kept] = letter
            n_kept += 1
        was_comment = state == COMMENT or (was_comment and state == AFTER_RETURN)
    return n_kept
