"""Batches: jobs that wait, and which of them go together in the next unit."""

from __future__ import annotations

import statistics
from collections import deque
from collections.abc import Callable, Collection

from daskflow.search.jobs import Batching, Job

BATCH_SECONDS, MOST_JOBS, MOST_TOGETHER = 0.3, 256, 64
"""A batch takes about so long, and holds no more jobs; no more candidates visit a block together."""

KNOWN_JOBS, RECENT_JOBS = 3, 64
"""Jobs after which their cost per step is known; jobs that it is the median of."""


class JobQueue:
    """Jobs in the order they are to be done; it learns what a step takes, and cuts batches by it.

    Parameters
    ----------
    batching : Batching or None
        The work, if it does several jobs in one unit.
    """

    def __init__(self, batching: Batching | None) -> None:
        """Begin empty."""
        self._batching = batching
        self._waiting: deque[Job] = deque()
        self._alone: set[tuple[str, int, int]] = set()
        self._recent: deque[float] = deque(maxlen=RECENT_JOBS)

    def __len__(self) -> int:
        """Jobs that wait."""
        return len(self._waiting)

    def add(self, job: Job) -> None:
        """Put a job at the end."""
        self._waiting.append(job)

    def again(self, job: Job) -> None:
        """Put a job first, for a unit of its own."""
        self._alone.add(job.place)
        self._waiting.appendleft(job)

    def drop(self, trials: Collection[str]) -> None:
        """Forget the jobs of some trials."""
        self._waiting = deque(job for job in self._waiting if job.candidate.trial not in trials)

    def learn(self, seconds_per_step: float) -> None:
        """Take what a job took."""
        self._recent.append(seconds_per_step)

    @property
    def seconds_per_step(self) -> float:
        """What a step of a job takes; 0 while it is not known."""
        return statistics.median(self._recent) if len(self._recent) >= KNOWN_JOBS else 0.0

    def next_groups(self, slots: int, is_wanted: Callable[[Job], bool]) -> list[list[Job]]:
        """Take the jobs of the next unit: the first, and what can go with it; empty when none is wanted any more.

        Parameters
        ----------
        slots : int
            Units that run at once: none takes more than its share of what waits.
        is_wanted : callable
            Jobs that are not are forgotten.
        """
        share = -(-len(self._waiting) // slots)
        groups: list[list[Job]] = []
        passed: list[Job] = []
        seconds, n_jobs, pace = 0.0, 0, self.seconds_per_step
        while self._waiting:
            job = self._waiting.popleft()
            if not is_wanted(job):
                continue
            if self._batching is None or job.place in self._alone:
                if not groups:
                    return [[job]]
                passed.append(job)
                break
            if groups and self._batching.near(job) != self._batching.near(groups[0][0]):
                passed.append(job)
                continue
            group = [job, *self._companions(job, min(MOST_TOGETHER, share) - 1, is_wanted)]
            groups.append(group)
            n_jobs += len(group)
            seconds += pace * sum(each.steps for each in group)
            if not pace or seconds >= BATCH_SECONDS or n_jobs >= min(MOST_JOBS, share):
                break
        self._waiting.extendleft(reversed(passed))
        return groups

    def _companions(self, job: Job, most: int, is_wanted: Callable[[Job], bool]) -> list[Job]:
        """Take the jobs that can be done in one visit with `job`, at most so many."""
        what = self._batching.together(job) if self._batching is not None and most > 0 else None
        if self._batching is None or what is None:
            return []
        found: list[Job] = []
        others: deque[Job] = deque()
        for other in self._waiting:
            fits = len(found) < most and other.place not in self._alone and self._batching.together(other) == what
            (found if fits else others).append(other)
        self._waiting = others
        return [each for each in found if is_wanted(each)]
