"""Errors of answers whose true values came in: whether they have grown, by ADWIN and by Page and Hinkley's test.

Both are river's. ADWIN (Bifet and Gavalda, "Learning from time-changing data with adaptive windowing", SIAM Data
Mining 2007) keeps as much of the past as looks like one level, and drops what differs. Page and Hinkley's test (Page,
"Continuous inspection schemes", Biometrika 1954; Gama et al., "On evaluating stream learning algorithms", Machine
Learning 2013) sums how far each value lies above the mean so far. ADWIN finds changes of any size in time; the test is
quicker where much is known of the time before.
"""

from __future__ import annotations

import base64
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daskflow.core.errors import DataError, SettingsError

Level = tuple[int, float]
"""Rows at one level, and the sum of their errors."""

NOTHING: Level = (0, 0.0)

DELTA = 0.002
"""Confidence of ADWIN, the paper's and river's own; simulated: tests/bench/drift.py."""

RISE, THRESHOLD = 0.03, 50.0
"""Of Page and Hinkley's test: a rise that is borne, and the summed rise beyond it that is an alarm. river's own (0.005,
50) alarm 50 times in a million rows of two equal classes."""

FADING = 1.0
"""river's own 0.9999 shrinks the sum, but not the least sum that it is compared with: rows without any change alarm."""

REFERENCE = 500
"""Losses of any size are ranked among so many first ones."""

CUTS = 100
"""Quantiles of those that are kept."""

LEAST_ROWS = 30
"""Rows since the least sum of Page and Hinkley's test that make it the begin of a rise."""

RECENT, PARTS = 1_000, 4
"""Errors, or means, that the shown value is of at most, kept in so many parts."""


@dataclass(frozen=True, slots=True)
class Rise:
    """The error has risen: found by which detector, after how many errors, and behind which of them it began.

    `value` is the mean error since then, `bound` what it would be below by chance, and `usual` the mean before.
    """

    by: str
    at: int
    since: int
    value: float
    bound: float
    usual: float


class ErrorWatch:
    """Watches errors from 0 to 1, or losses of any size by their rank among the first ones.

    Parameters
    ----------
    is_ranked : bool
        Whether values are losses without a bound, such as absolute differences: each becomes the share of the first 500
        that lie below it, so that units and outliers do not matter. Detection begins once those are there.
    together : int
        Errors whose mean is looked at as one: where they come in clumps, such as the hours of a day, as many as make
        means that are independent of each other.
    delta : float
        Confidence of ADWIN.
    rise, threshold : float
        Of Page and Hinkley's test.

    Raises
    ------
    SettingsError
        When river is not installed.
    """

    def __init__(
        self,
        *,
        is_ranked: bool = False,
        together: int = 1,
        delta: float = DELTA,
        rise: float = RISE,
        threshold: float = THRESHOLD,
    ) -> None:
        """Begin with nothing seen."""
        self._together = together
        self._pending: list[float] = []
        self.is_ranked, self._delta, self._rise, self._threshold = is_ranked, delta, rise, threshold
        self._first: list[float] = []
        self._cuts: list[float] = []
        self.n_seen = 0
        self.is_moved = False
        self._usual = NOTHING
        self._parts: list[list[float]] = []
        self._begin(NOTHING)

    def _begin(self, level: Level) -> None:
        """Forget what the detectors know; `level` is the rows and the sum of errors that the new level begins with."""
        self._adwin: Any = _river().ADWIN(delta=self._delta)
        self._begin_page(level)

    def _begin_page(self, level: Level) -> None:
        """Begin Page and Hinkley's test anew."""
        self._page: Any = _river().PageHinkley(delta=self._rise, threshold=self._threshold, alpha=FADING, mode="up")
        self._level = self._low = self._high = level

    def learned(self, errors: NDArray[np.float64] | Sequence[float]) -> list[Rise]:
        """Take errors in the order of their rows; return what was found.

        Parameters
        ----------
        errors : array of shape (n_rows,)
            From 0 to 1, such as 1 for a wrong label; with `is_ranked` any size. nan, an unknown one, is passed over.

        Returns
        -------
        list of Rise
            Each once; an error that falls is none.

        Raises
        ------
        DataError
            For errors outside 0 to 1 that are not ranked.
        """
        given = np.asarray(errors, dtype=np.float64).reshape(-1)
        given = given[~np.isnan(given)]
        if not self.is_ranked:
            if len(given) and (given.min() < 0 or given.max() > 1):
                raise DataError(
                    f"Errors lie from 0 to 1; found {given.min():.6g} to {given.max():.6g}. Give losses to a watch "
                    "that ranks them."
                )
            return self._take(given.tolist())
        if not self._cuts:
            room = REFERENCE - len(self._first)
            self._first += given[:room].tolist()
            given = given[room:]
            if len(self._first) < REFERENCE:
                return []
            cuts = np.quantile(self._first, np.arange(1, CUTS) / CUTS, method="inverted_cdf")
            self._cuts, first, self._first = cuts.tolist(), np.asarray(self._first), []
            given = np.concatenate([first, given])
        return self._take(self._ranks(given).tolist())

    def _ranks(self, losses: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the share of the first losses that lie below each, those that are equal by half."""
        below = np.searchsorted(self._cuts, losses, side="left")
        return (below + np.searchsorted(self._cuts, losses, side="right")) / (2 * len(self._cuts))

    def _take(self, errors: Sequence[float]) -> list[Rise]:
        found = []
        for error in self._means(errors):
            self.n_seen += self._together
            self._remember(error)
            before = self._adwin.estimation
            self._adwin.update(error)
            self._page.update(error)
            self._level = (self._level[0] + 1, self._level[1] + error)
            page = self._page
            if page._sum_increase <= page._min_increase:
                self._low = self._level
            if page._sum_decrease >= page._max_decrease:
                self._high = self._level
            if self._adwin.drift_detected:
                width, total = int(self._adwin.width), self._adwin.total
                if total > before * width:
                    found.append(self._worse("ADWIN", self._since(self._low, width, total)))
                else:
                    self._better(self._since(self._high, width, total))
            elif page.drift_detected:
                found.append(self._worse("Page-Hinkley", self._since(self._low, 0, 0.0)))
        return found

    def _means(self, errors: Sequence[float]) -> Sequence[float]:
        """Return the means of the errors that are looked at together, and keep the rest."""
        if self._together == 1:
            return errors
        waiting, size = [*self._pending, *errors], self._together
        whole = len(waiting) - len(waiting) % size
        self._pending = waiting[whole:]
        return [sum(waiting[at : at + size]) / size for at in range(0, whole, size)]

    def _since(self, turn: Level, width: int, total: float) -> Level:
        """Return the rows of the new level, and their sum of errors.

        ADWIN's window begins where one of its few buckets does, often long before the change. The least, or for a fall
        the largest, sum of Page and Hinkley's test lies near it, where the change is more than what that test bears.
        """
        n, errors = self._level[0] - turn[0], self._level[1] - turn[1]
        return (n, errors) if n >= LEAST_ROWS or not width else (width, total)

    def _worse(self, by: str, new: Level) -> Rise:
        """Leave a level for a worse one."""
        if not self.is_moved:
            old = (self._level[0] - new[0], self._level[1] - new[1])
            self._usual = old if old[0] > 0 else self._level
        self.is_moved = True
        self._begin(new)
        return Rise(by, self.n_seen, self.n_seen - int(new[0]) * self._together, self.value, self.bound, self.usual)

    def _better(self, new: Level) -> None:
        """Leave a level for a better one, which may still be worse than the usual one.

        ADWIN goes on with its window, as the paper has it: by river it would forget all, and after a fall by chance
        there were nothing to find the next rise by. After a rise it does, or it would tell of the same one again.
        """
        self._adwin._drift_detected = False
        self._begin_page(new)
        self.is_moved = self.is_moved and self.value > self.bound

    def _remember(self, error: float) -> None:
        """Add to the newest part, and drop the oldest when there are too many."""
        if not self._parts or self._parts[-1][0] >= RECENT // PARTS:
            self._parts.append([0, 0.0])
            del self._parts[:-PARTS]
        self._parts[-1][0] += 1
        self._parts[-1][1] += error

    def _recent_rows(self) -> int:
        return int(sum(part[0] for part in self._parts))

    @property
    def usual(self) -> float:
        """Mean error before the rise, or so far where there was none; nan before any error."""
        n, total = self._usual if self.is_moved else self._level
        return total / n if n else math.nan

    @property
    def value(self) -> float:
        """Mean error since the rise, or of the newest rows, at most 1,000; nan before any error."""
        n, total = self._newest()
        return total / n if n else math.nan

    @property
    def bound(self) -> float:
        """What `value` stays below by chance, as ADWIN reckons it for the usual error and these rows; 1 at most."""
        n, recent = (self._usual if self.is_moved else self._level)[0], self._newest()[0]
        usual = self.usual
        if not n or not recent:
            return 1.0
        inverse = 1 / n + 1 / recent
        doubt = math.log(2 * math.log(max(n + recent, 3)) / self._delta)
        return min(1.0, usual + math.sqrt(2 * inverse * usual * (1 - usual) * doubt) + 2 / 3 * inverse * doubt)

    def _newest(self) -> tuple[float, float]:
        """Rows that `value` is the mean of, and their sum."""
        if self.is_moved:
            return self._level[0], self._level[1]
        return sum(part[0] for part in self._parts), sum(part[1] for part in self._parts)

    def dump(self) -> dict[str, Any]:
        """Return its state as plain JSON values; `load` of it goes on bit for bit."""
        page, adwin = self._page, bytes(self._adwin._helper.__getstate__())
        return {
            "river": version("river"),
            "seen": self.n_seen,
            "first": list(self._first),
            "pending": list(self._pending),
            "cuts": list(self._cuts),
            "moved": self.is_moved,
            "usual": list(self._usual),
            "level": list(self._level),
            "low": list(self._low),
            "high": list(self._high),
            "parts": [list(part) for part in self._parts],
            "adwin": base64.b64encode(adwin).decode(),
            "sum": zlib.crc32(adwin),
            "page": [
                *(page._x_mean.n, page._x_mean._mean, page._sum_increase, page._sum_decrease),
                *((page._min_increase, page._max_decrease) if page._x_mean.n else (None, None)),
            ],
        }

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on from what `dump` gave; KeyError, TypeError or ValueError for anything else."""
        adwin = base64.b64decode(state["adwin"])
        if zlib.crc32(adwin) != state["sum"]:  # river would panic
            raise ValueError("its bytes are damaged")
        if state["river"] != version("river"):
            raise ValueError(f"it was written with river {state['river']}, and this is {version('river')}")
        self._begin(NOTHING)
        self.n_seen, self.is_moved = int(state["seen"]), bool(state["moved"])
        self._first, self._cuts, self._pending = (list(state[word]) for word in ("first", "cuts", "pending"))
        self._usual, self._level, self._low, self._high = (
            (int(state[word][0]), float(state[word][1])) for word in ("usual", "level", "low", "high")
        )
        self._parts = [list(part) for part in state["parts"]]
        self._adwin._helper.__setstate__(adwin)
        page = self._page
        page._x_mean.n, page._x_mean._mean, page._sum_increase, page._sum_decrease, least, most = state["page"]
        if least is not None:
            page._min_increase, page._max_decrease = least, most


def _river() -> Any:
    """Return river's detectors; SettingsError when river is not installed."""
    try:
        return import_module("river.drift")
    except ImportError as error:
        raise SettingsError(
            "Watching errors for drift needs river: pip install 'daskflow[online]'. Inputs and predictions are watched "
            "without it."
        ) from error
