"""Rates: how much was read in each stretch of time, with stretches that grow as the scan does."""

from __future__ import annotations

import math

MOST_SECONDS = 366 * 86_400.0
"""A scan that lasts longer is none."""

MOST_BINS = 120
"""Stretches of time at most; one more, and they are all twice as long."""


class Rates:
    """Amounts per second since a beginning, in stretches of equal length.

    Parameters
    ----------
    began : float
        Seconds since 1970.
    n_amounts : int
        Amounts that are counted beside each other.
    """

    def __init__(self, began: float, n_amounts: int) -> None:
        self.began, self.width = began, 1.0
        self.last = 0.0
        self._sums = [[0.0] * n_amounts]

    def add(self, at: float, seconds: float, *amounts: float) -> None:
        """Add what came of work that took some seconds and ended at a time, spread evenly over them."""
        end = at - self.began
        if not (0.0 <= end < MOST_SECONDS and 0.0 < seconds < MOST_SECONDS):
            return  # no clock says that
        start = max(0.0, min(end, end - seconds))
        self.last = max(self.last, end)
        while end >= MOST_BINS * self.width:
            self._widen()
        first, last = int(start / self.width), int(end / self.width)
        while len(self._sums) <= last:
            self._sums.append([0.0] * len(amounts))
        for place in range(first, last + 1):
            left, right = max(start, place * self.width), min(end, (place + 1) * self.width)
            part = (right - left) / (end - start) if end > start else 1.0
            for number, amount in enumerate(amounts):
                self._sums[place][number] += amount * part

    def _widen(self) -> None:
        """Put two stretches into one."""
        pairs = [self._sums[place : place + 2] for place in range(0, len(self._sums), 2)]
        self._sums = [[sum(column) for column in zip(*pair, strict=True)] for pair in pairs]
        self.width *= 2

    def per_second(self, until: float = math.inf) -> list[list[float]]:
        """Return seconds since the beginning, and the rates of each amount then, of what was over `until` seconds.

        A last stretch that is not whole is left out, unless it is the only one: fewer work towards an end. The first
        rate also stands at the beginning and the last one also at the end, so that one stretch is a line.
        """
        until = min(until, self.last)
        columns: list[list[float]] = [[] for _ in range(1 + len(self._sums[0]))]
        end = 0.0
        for place, sums in enumerate(self._sums):
            begin, end_here = place * self.width, min((place + 1) * self.width, self.last)
            is_whole = end_here - begin >= self.width
            if end_here <= begin or (place > 0 and (end_here > until or not is_whole)):
                break
            end = end_here
            columns[0].append((begin + end) / 2)
            for number, amount in enumerate(sums):
                columns[1 + number].append(amount / (end - begin))
        if not columns[0]:
            return columns
        columns[0] = [0.0, *columns[0], end]
        return [columns[0], *([column[0], *column, column[-1]] for column in columns[1:])]
