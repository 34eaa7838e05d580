"""Outcomes: what becomes of jobs, as the records that a journal holds, and which of them are tried again."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from daskflow.core.errors import ClusterError, StorageError
from daskflow.core.protocols import Death, Outcome
from daskflow.search.batches import JobQueue
from daskflow.search.jobs import Answer, Failure, Job, Logging, Work
from daskflow.search.standings import number_of

TRIES = 2
"""How often a job is tried that ends its process for no known reason."""


class Outcomes:
    """Makes records of outcomes, and puts jobs back that shall be tried once more.

    Parameters
    ----------
    work : Work
        Keeps the logs of fits that failed, where it is `Logging`.
    queue : JobQueue
        Where jobs wait; it learns what they take.
    """

    def __init__(self, work: Work, queue: JobQueue) -> None:
        """Know of no attempt."""
        # Asked once: looking for a protocol's methods takes as long as recording a fit.
        self._logging = work if isinstance(work, Logging) else None
        self._metric, self._queue = work.metric, queue
        self._tries: Counter[tuple[str, int, int]] = Counter()

    def records(self, group: Sequence[Job], part: Outcome, is_batch: bool) -> list[tuple[Job, dict[str, Any]]]:
        """Make the records of jobs that were done together; what shall be tried again waits once more."""
        if isinstance(part.exception, StorageError | ClusterError):
            raise part.exception
        if part.death is Death.DROPPED:
            return []
        if part.error is None:
            answers: Sequence[Answer | Failure] = part.value if is_batch else [part.value]
            return [
                (job, self._record(job, part, len(group), answer)) for job, answer in zip(group, answers, strict=True)
            ]
        if len(group) > 1:  # whose fault it was shows when each is done by itself
            for job in reversed(group):
                self._queue.again(job)
            return []
        (job,) = group
        place = job.place
        self._tries[place] += 1
        if part.death is Death.CRASH and self._tries[place] < TRIES:
            self._queue.again(job)
            return []
        return [(job, self._record(job, part, 1, Failure(part.error, traceback=part.traceback)))]

    def _record(self, job: Job, part: Outcome, n_jobs: int, answer: Answer | Failure) -> dict[str, Any]:
        """Return the record of a job; those that were done together share the cost."""
        trial = job.candidate.trial
        record: dict[str, Any] = {
            "record": "unit",
            "trial": trial,
            "fold": job.fold,
            "resource": job.stop,
            "seconds": part.seconds / n_jobs,
            "cpu_seconds": part.cpu_seconds / n_jobs,
            "peak_memory_bytes": part.peak_memory_bytes,
            "worker": part.worker,
        }
        if part.began:
            record |= {"began": round(part.began, 4), "lasted": round(part.seconds, 6)}
        if isinstance(answer, Failure):
            if isinstance(answer.exception, StorageError | ClusterError):
                raise answer.exception
            record["error"] = answer.error
            text = "\n".join(filter(None, [part.log.rstrip(), answer.traceback.rstrip()]))
            if text and self._logging is not None:
                record["log"] = self._logging.log(trial, job.fold, job.stop, text)
            return record
        self._queue.learn(part.seconds / n_jobs / job.steps)
        metrics = {name: number_of(value) for name, value in answer.metrics.items()}
        record |= {"metrics": metrics, "details": dict(answer.details)}
        if math.isnan(metrics[self._metric]):
            record["error"] = f"{self._metric} is not a finite number ({answer.metrics[self._metric]})"
        return record
