"""Batches: which waiting jobs go in one unit, and which of them together."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from hypothesis import given
from hypothesis import strategies as st

from daskflow.core.protocols import Unit
from daskflow.search.batches import KNOWN_JOBS, JobQueue
from daskflow.search.jobs import Job
from daskflow.search.policies import Candidate


class Folds:
    """Work whose jobs read one fold each; those of even candidates can be done together."""

    def together(self, job: Job) -> Hashable:
        return job.fold if int(job.candidate.trial) % 2 == 0 else None

    def near(self, job: Job) -> Hashable:
        return job.fold

    def batch(self, key: str, groups: Sequence[Sequence[Job]], seconds_per_step: float) -> Unit:
        raise NotImplementedError


def queue_of(n_candidates: int, n_folds: int, pace: float | None) -> JobQueue:
    """Jobs candidate by candidate, after some that took so long, or none."""
    queue = JobQueue(Folds())
    for number in range(n_candidates):
        for fold in range(n_folds):
            queue.add(Job(Candidate(str(number), {}), fold, 0, 1))
    for _ in range(KNOWN_JOBS if pace is not None else 0):
        queue.learn(pace or 0.0)
    return queue


@given(st.integers(1, 30), st.integers(1, 4), st.integers(1, 5), st.sampled_from([None, 0.001, 10.0]))
def test_every_job_goes_once_and_a_unit_reads_one_fold(
    n_candidates: int, n_folds: int, slots: int, pace: float | None
) -> None:
    # given
    queue = queue_of(n_candidates, n_folds, pace)
    seen = []
    # when
    while len(queue):
        groups = queue.next_groups(slots, lambda job: True)
        # then
        assert len({job.fold for group in groups for job in group}) == 1
        assert all(len(group) == 1 or all(int(job.candidate.trial) % 2 == 0 for job in group) for group in groups)
        seen += [job.place for group in groups for job in group]
    assert sorted(seen) == sorted((str(n), fold, 1) for n in range(n_candidates) for fold in range(n_folds))


def test_short_jobs_of_a_fold_share_a_unit_and_long_ones_do_not() -> None:
    short = queue_of(20, 2, 0.001).next_groups(2, lambda job: True)
    long = queue_of(20, 2, 10.0).next_groups(2, lambda job: True)
    assert sum(map(len, short)) == 20
    assert [len(group) for group in long] == [10]  # those that are done together


def test_jobs_that_are_passed_over_keep_their_places() -> None:
    # given
    queue = queue_of(4, 3, 0.001)
    queue.again(Job(Candidate("9", {}), 1, 0, 1))
    # when
    units = []
    while len(queue):
        units.append(queue.next_groups(1, lambda job: True))
    # then the one that is tried again comes alone, then each fold in the order of its candidates
    assert units[0][0][0].candidate.trial == "9"
    assert [unit[0][0].fold for unit in units[1:]] == [0, 1, 2]
    assert [[job.candidate.trial for job in group] for group in units[1]] == [["0", "2"], ["1"], ["3"]]
