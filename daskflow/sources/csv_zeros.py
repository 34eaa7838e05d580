"""Loops that look for cells of a CSV text which begin with a leading zero, compiled by numba."""

from __future__ import annotations

from typing import Any

import numpy as np

from daskflow.data.kernels import compiled
from daskflow.sources.csv_walks import AFTER_RETURN, CELL, RECORD

ZERO, NINE, LETTER_X, CASE = np.uint8(ord("0")), np.uint8(ord("9")), np.uint8(ord("x")), np.uint8(32)
BLANK, TAB, PLUS, MINUS = np.uint8(ord(" ")), np.uint8(9), np.uint8(ord("+")), np.uint8(ord("-"))
LINE_FEED, RETURN = np.uint8(10), np.uint8(13)


@compiled
def may_be_zeros(far: Any, before: Any, letters: Any, behind: Any, separator: Any, quote: Any) -> Any:
    """Count places that look like a leading zero, given a text from four places on; it may hit others too.

    Without branches and in bytes only, the compiler makes it compare 32 letters at a time.
    """
    count = 0
    for place in range(len(letters)):
        near, further, then = before[place], far[place], behind[place]
        is_edge = (near == separator) | (near == LINE_FEED) | (near == RETURN) | (near == quote)
        is_sign = (near == PLUS) | (near == MINUS) | (near == BLANK) | (near == TAB)
        begins = is_edge | (is_sign & ((further < ZERO) | (further == separator)))
        goes_on = ((then >= ZERO) & (then <= NINE)) | ((then | CASE) == LETTER_X)
        count += (letters[place] == ZERO) & goes_on & begins
    return count


@compiled
def _is_zero(letters: Any, place: Any) -> Any:
    """Whether a sign or none, then 0 and a digit or x stand at a place."""
    if place < len(letters) and (letters[place] == PLUS or letters[place] == MINUS):
        place += 1
    if place + 1 >= len(letters) or letters[place] != ZERO:
        return False
    then = letters[place + 1]
    return ZERO <= then <= NINE or (then | CASE) == LETTER_X


@compiled
def zero_in_column(letters: Any, table: Any, is_whole: Any, separator: Any, quote: Any) -> Any:
    """Whether a cell of some columns begins with a leading zero, walking all cells."""
    state, column, is_first = np.uint8(RECORD), 0, True
    for place in range(len(letters)):
        letter = letters[place]
        if state in (RECORD, AFTER_RETURN):
            column, is_first = 0, True
        if is_first and letter != BLANK and letter != TAB and letter != quote:
            if column < len(is_whole) and is_whole[column] and _is_zero(letters, place):
                return True
            is_first = False
        state = table[state * 256 + letter]
        if letter == separator and state == CELL:
            column, is_first = column + 1, True
    return False
