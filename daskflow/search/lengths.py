"""Lengths: what fits are expected to take, where workers end at a known time and begin nothing that is longer."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from daskflow.core.errors import ClusterError
from daskflow.core.estimates import amount
from daskflow.search.costs import Step, Wanted
from daskflow.search.forecast import Forecast
from daskflow.search.jobs import Job

SHORT, LONG = 0.005, 0.2
"""Of fits that take the first share of a walltime or less, the mean says enough: nothing is drawn for them. For those
that may take the second, it always is."""

SHARE = 0.02
"""Share of the time that drawing may take for the others (3 to 9 ms each time); in between the mean has to do."""

SURE = 0.1
"""A fit is too long when it is so in all futures but this share of them."""


class Lengths:
    """Foretells what a unit takes, and refuses a fit that no worker can bring to its end.

    Parameters
    ----------
    forecast : Forecast
        Of the search; it learns as fits finish.
    walltime_seconds : float
        How long a worker lives.

    Examples
    --------
    >>> from daskflow.search.policies import Candidate
    >>> from daskflow.search.schedules import Rung
    >>> lengths = Lengths(Forecast([Rung(None, Step(0, 1), 20, 20)]), walltime_seconds=60.0)
    >>> job = Job(Candidate("next", {}), 0, 0, 1)
    >>> lengths.of([job])
    0.0
    >>> for number in range(10):
    ...     lengths.forecast.add(str(number), 0, 0, 1, seconds=10.0, cpu_seconds=10.0, at=10.0 * number)
    >>> 9 < lengths.of([job]) < 11
    True
    """

    def __init__(self, forecast: Forecast, walltime_seconds: float) -> None:
        """Know nothing but the forecast."""
        self.forecast, self.walltime_seconds = forecast, walltime_seconds
        self._not_before = 0.0

    def of(self, jobs: Sequence[Job]) -> float:
        """Return the seconds that jobs are expected to take one after the other; 0 before the first fit.

        Raises
        ------
        ClusterError
            When one of them takes longer than a walltime, as far as can be foreseen.
        """
        done = self.forecast.done
        if not done or not jobs:
            return 0.0
        mean, longest = self.forecast.seconds / done, max(job.steps for job in jobs)
        begun = time.perf_counter()
        share = mean * longest / self.walltime_seconds
        if share < SHORT or (share < LONG and begun < self._not_before):
            return mean * len(jobs)
        wanted = [Wanted(job.candidate.trial, Step(job.start, job.stop)) for job in jobs]
        drawn = self.forecast.lengths(wanted)
        low, middle = np.quantile(drawn, [SURE, 0.5], axis=0)
        now = time.perf_counter()
        self._not_before = now + (now - begun) / SHARE
        most = int(low.argmax())
        if low[most] > self.walltime_seconds:
            raise ClusterError(
                f"A fit of trial {jobs[most].candidate.trial} is expected to take {amount(float(middle[most]))}, at "
                f"least {amount(float(low[most]))}, and a job of this cluster lives for "
                f"{amount(self.walltime_seconds)}: it is not begun, for it would never come to its end. Give a longer "
                "cluster.walltime, or less to fit at a time; the same run goes on from what is finished."
            )
        return float(middle.sum())
