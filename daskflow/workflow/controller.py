"""Controller: a submitted run in its job, which goes on in another job when its node or its time is lost."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import QueueError
from daskflow.clusters.batch_lease import Lease, read_handed_over
from daskflow.clusters.batch_shipping import forget, packed
from daskflow.core.errors import ClusterError, DaskflowError, JournalError, StorageError
from daskflow.core.estimates import amount
from daskflow.core.events import Listener, tell
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal, Record, read, write_atomically
from daskflow.core.mounts import about_locks
from daskflow.workflow.acting import is_held
from daskflow.workflow.submission import Submission, mark_of, read_submission, read_workflow, write_submission
from daskflow.workflow.submitting import placed_in, queue_of, script_of
from daskflow.workflow.walltime import Walltime, ends_at

if TYPE_CHECKING:
    from daskflow.clusters.batch_jobs import Queue
    from daskflow.workflow.run import Run

FREE_SECONDS = 300.0
"""How long a former controller, on a node that the queue gave up, may take to end."""

READY_SECONDS = 20.0
"""How long a former controller that has let the journal go may take for its last word."""

TRIES, BETWEEN_SECONDS = 3, 3.0
"""A successor is handed in so often, for queues are busy at times."""

IDLE_JOBS = 3
"""A run is given up when so many jobs in a row got nothing done; in one or two the workers may just have waited."""

GAINS = frozenset({"data", "stage", "candidates", "unit", "refitted", "explained"})
"""Records of what was finished; see docs/architecture.md."""

JOB = "DASKFLOW_JOB"
"""Where a job's script tells its number; see `clusters.batch_scripts`."""


class Controller:
    """A submitted run, as the job sees it that works on it.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    environment : mapping
        Of the job.
    queue : Queue, optional
        Default: that of the workflow's cluster.

    Attributes
    ----------
    successor : str
        Number of the job that goes on; empty where there is none.

    Raises
    ------
    StorageError
        When the folder is not that of a submitted run.
    """

    def __init__(
        self, folder: RunFolder, environment: Mapping[str, str] = os.environ, queue: Queue | None = None
    ) -> None:
        """Read how the run was submitted, and go to where that was."""
        submission = read_submission(folder)
        if submission is None:
            raise StorageError(f"{folder.path} was not submitted: it has no submit.json. Use `daskflow submit`.")
        os.environ.update(submission.environment)
        with suppress(OSError):  # it is gone: paths of the workflow do not start there
            os.chdir(submission.working_folder)
        self.folder, self.environment = folder, environment
        self.submission: Submission = submission
        self.workflow = read_workflow(folder, submission)
        cluster = self.workflow.cluster
        if not isinstance(cluster, Batch):
            raise StorageError(f"{folder.path}/submit.toml names no batch queue (found {cluster.kind}).")
        self.seconds = cluster.request.seconds
        self.queue = queue_of(cluster.within(folder.path, mark_of(folder))) if queue is None else queue
        self._walltime: Walltime | None = None
        self.workflow.cluster = cluster.followed(self._goes_on_elsewhere)
        self.successor = ""
        self._refusal, self._is_idle = "", False
        self._began = self._works_since = time.time()
        self._seen: tuple[int, bool] = (0, False)

    def run(self, listener: Listener) -> Run | None:
        """Run the workflow, or continue it; None when another job goes on.

        Then the walltime ended first, or a later job works on the run already.

        Raises
        ------
        ClusterError
            When the walltime ended, and nobody goes on.
        DaskflowError
            As `Workflow.run`.
        KeyboardInterrupt
            When the job was cancelled.
        """
        if later := self._overtaken_by():  # its account has ended: an end that is noted now would stretch that to now
            tell(listener, "note", text=f"Job {later} goes on with the run, so this job, which began again, ends.")
            return None
        try:
            return self._run(listener)
        finally:
            self.note_end()

    def _run(self, listener: Listener) -> Run | None:
        waited, own = self._waited_seconds(), self.environment.get(JOB, "")
        has_former = any(id != own for id in self.submission.ids)  # without one nobody waits to be told
        wait_until_free(self.folder, own if has_former else "", self.seconds / 2 + FREE_SECONDS)
        self._wait_for_last_word()
        self._works_since = time.time()
        if self.workflow.id != self.folder.id:
            self._take_back()
            raise self._given_up(
                f"To this daskflow the workflow is another one than when it was submitted (ID {self.workflow.id}, was "
                f"{self.folder.id}): submit it again from the environment that it shall run in."
            )
        self._note_own_job()
        self._cancel_left_over()
        walltime = self._walltime = Walltime(
            self._ends_at(),
            self.seconds,
            self._hand_in,
            is_worth_it=self._has_gained,
            has_begun=self._is_followed,
            # Where no lock keeps an early successor waiting, two would work on the run.
            lead_seconds=0.0 if about_locks(self.folder.journal.absolute()) else waited,
        )
        with walltime:
            try:
                run = self.workflow.run(self.folder.path.parent.parent, listener=listener)
            except BaseException as error:
                if not isinstance(error, KeyboardInterrupt) or not walltime.is_over:
                    walltime.end()
                    self._take_back()
                    raise
            else:
                walltime.end()
                self._take_back()
                return run
        self._hand_over(listener)
        return None

    def _overtaken_by(self) -> str:
        """Number of a later controller that works on the run; empty where there is none.

        A queue starts a job again whose node it gave up, when the walltime may have ended before that. It would wait
        for a journal that is not let go, with its cores, and the later one would wait for it in turn at its own end.
        """
        generations = {job.id: job.generation for job in self.submission.jobs}
        own = generations.get(self.environment.get(JOB, ""))
        later = [id for id, generation in generations.items() if own is not None and generation > own]
        if not later or not is_held(self.folder.journal):
            return ""
        with suppress(QueueError):  # a queue that does not answer now: it waits, as for a former one
            jobs = asyncio.run(self.queue.look(later))
            return next((id for id in reversed(later) if id in jobs and jobs[id].state == "running"), "")
        return ""

    def _wait_for_last_word(self) -> None:
        """Wait for a former controller that was interrupted just now: it still writes a report, and who goes on.

        It holds the journal for a moment then, in which this job could not begin. Who was killed says no more.
        """
        last = (read(self.folder.journal) or [{}])[-1]
        if (last.get("record"), last.get("error")) != ("end", "interrupted"):
            return
        until, own = time.monotonic() + READY_SECONDS, self.environment.get(JOB, "")
        while time.time() - last.get("at", 0.0) < READY_SECONDS and time.monotonic() < until:
            former = [job for job in (read_submission(self.folder) or self.submission).jobs if job.id != own]
            if not former or former[-1].ended_at is not None:
                return
            time.sleep(0.2)

    def _hand_over(self, listener: Listener) -> None:
        """Say who goes on; ClusterError when nobody does."""
        text = ""
        for attempt in range(0 if self.successor or self._is_idle else TRIES):
            time.sleep(BETWEEN_SECONDS * (attempt > 0))
            if self._hand_in():
                # Where a user's jobs are counted, those of the workers are gone by now.
                text = f" The queue took it only after the workers' jobs had ended: {self._refusal}"
                break
        if not self.successor:
            self._forget()
            refused = "The walltime is over, and the queue does not take the job that would go on: "
            raise self._given_up(self._refusal if self._is_idle else refused + self._refusal)
        with suppress(JournalError):  # an early successor was quicker: then it has said more than this
            self._append({"record": "submitted", "job": self.successor, "kind": self.workflow.cluster.kind})
        ready_file(self.folder).unlink(missing_ok=True)
        tell(listener, "note", text=f"The walltime ends; job {self.successor} goes on from here.{text}")

    def _goes_on_elsewhere(self) -> bool:
        """Whether this job ends because its successor goes on."""
        return bool(self.successor) and self._walltime is not None and self._walltime.is_over

    def _waited_seconds(self) -> float:
        """How long this job waited in the queue, and took to start: its successor will, too."""
        own = {job.id: job.at for job in self.submission.jobs}.get(self.environment.get(JOB, ""))
        return max(0.0, time.time() - own) if own is not None else 0.0

    def _note_own_job(self) -> None:
        """See that this job is among those of the run: whoever handed it in may have died before it was written."""
        self.submission = read_submission(self.folder) or self.submission
        own = self.environment.get(JOB, "")
        if own and own not in self.submission.ids:
            self.submission = self.submission.with_job(own)
            write_submission(self.folder, self.submission)

    def note_end(self) -> None:
        """Write down that this job ends, for what it has cost; the report is written behind the journal's last word."""
        own = self.environment.get(JOB, "")
        with suppress(DaskflowError):
            submission = read_submission(self.folder)
            if submission is not None and own in submission.ids:
                write_submission(self.folder, submission.with_end(own))

    def _ends_at(self) -> float:
        """When this job's time is over: by its environment, else by its queue, else by what was asked for."""
        own, otherwise = self.environment.get(JOB, ""), self._began + self.seconds
        if own and ends_at(self.environment, 0.0) == 0.0:
            with suppress(QueueError):  # a queue that does not answer now
                job = asyncio.run(self.queue.look([own])).get(own)
                otherwise = job.ends_at if job is not None and job.ends_at else otherwise
        return ends_at(self.environment, otherwise)

    def _cancel_left_over(self) -> None:
        """End workers of a controller that is gone, but for those that it has handed over."""
        handed = read_handed_over(placed_in(self.workflow, self.folder).lease)
        stay = set(handed.jobs if handed is not None else ())
        generations = {job.id: job.generation for job in self.submission.jobs}
        own = generations.get(self.environment.get(JOB, ""), self.submission.generation)
        with suppress(QueueError):  # a queue that does not answer now; they leave by themselves, a little later
            jobs = asyncio.run(self.queue.of_run(mark_of(self.folder)))
            left = [id for id in jobs if id not in stay and id not in generations]
            # Where a node died there may be a former job that waits to be started again, or a later one already.
            left += [id for id in jobs if generations.get(id, own) < own and jobs[id].state == "pending"]
            later = [id for id in jobs if generations.get(id, own) > own and jobs[id].state != "ended"]
            self.successor = later[-1] if later else ""
            if left:
                asyncio.run(self.queue.cancel(left))

    def _hand_in(self) -> bool:
        """Hand in the successor, unless the last generations got nothing done; return whether there is one."""
        from daskflow.workflow.watching import records_of

        if self.successor:
            return True
        jobs = self.submission.jobs
        self._is_idle = len(jobs) >= IDLE_JOBS and not has_gained(records_of(self.folder), jobs[-IDLE_JOBS].at)
        if self._is_idle:
            self._refusal = (
                f"Nothing new was finished in {IDLE_JOBS} walltimes of {amount(self.seconds)}, so no job is handed in. "
                "Did the workers wait in the queue all the time, or does one fit take as long? Give a longer "
                "cluster.walltime, and submit again."
            )
            return False
        try:
            environment = packed(placed_in(self.workflow, self.folder))
            script = script_of(self.workflow, self.folder, self.submission, environment)
            (self.successor,) = asyncio.run(self.queue.submit(script))
        except DaskflowError as error:
            self._refusal = str(error)
            return False
        with suppress(StorageError):  # meanwhile the former job has written there when it ended
            self.submission = read_submission(self.folder) or self.submission
        self.submission = self.submission.with_job(self.successor)
        write_submission(self.folder, self.submission)
        return True

    def _has_gained(self) -> bool:
        """Whether something was finished in this job's time that its successor need not do again.

        Before that the work goes on to the last moment: a fit may take longer than what an early successor leaves, and
        a successor that waits for it would lose as much of its own time.
        """
        with suppress(OSError):
            size = self.folder.journal.stat().st_size
            if size != self._seen[0]:
                from daskflow.workflow.watching import records_of

                self._seen = size, has_gained(records_of(self.folder), self._works_since)
        return self._seen[1]

    def _is_followed(self) -> bool:
        """Whether the successor has begun."""
        with suppress(OSError):
            return ready_file(self.folder).read_text().strip() == self.successor
        return False

    def _take_back(self) -> None:
        """Cancel the successor, and jobs that were left to it: the run has ended before this job's time has."""
        lease = Lease(placed_in(self.workflow, self.folder).lease)
        handed = read_handed_over(lease.path)
        jobs = [*([self.successor] if self.successor else []), *(handed.jobs if handed is not None else ())]
        if handed is not None:
            lease.remove()  # they leave by themselves, too
        if jobs:
            with suppress(DaskflowError):  # a successor that begins all the same finds that there is nothing to do
                asyncio.run(self.queue.cancel(jobs))
                submission = read_submission(self.folder) or self.submission
                self.submission = submission.without_job(self.successor)
                write_submission(self.folder, self.submission)
            self.successor = ""
        ready_file(self.folder).unlink(missing_ok=True)
        self._forget()

    def _forget(self) -> None:
        """Remove the packed environment that the successor would have needed."""
        forget(placed_in(self.workflow, self.folder))

    def _given_up(self, why: str) -> ClusterError:
        """Record that nobody goes on, and return the error that says so."""
        self._append({"record": "end", "status": "failed", "error": why})
        return ClusterError(why)

    def _append(self, record: Record) -> None:
        with Journal(self.folder.journal) as journal:
            journal.append({**record, "at": time.time()})


def has_gained(records: Iterable[Record], since: float) -> bool:
    """Return whether something was finished since a moment that had not been before, and need not be done again.

    Examples
    --------
    >>> split = {"record": "stage", "stage": "split"}
    >>> has_gained([{**split, "at": 5.0}, {**split, "at": 7.0}], since=6.0)
    False
    >>> has_gained([{"record": "unit", "trial": "3", "fold": 0, "resource": 1, "at": 7.0}], since=6.0)
    True
    """
    before: set[object] = set()
    after: set[object] = set()
    for record in records:
        (after if record.get("at", 0.0) >= since else before).update(_gains(record))
    return not after <= before


def _gains(record: Record) -> list[object]:
    """What a record says was finished for good."""
    word = record.get("record")
    if word == "partitions" and record.get("state") == "done":
        return [(word, place) for place in record.get("places", ())]
    if word not in GAINS or record.get("failed"):
        return []
    return [(word, *(str(record.get(name)) for name in ("stage", "trial", "fold", "resource", "what", "column")))]


def ready_file(folder: RunFolder) -> Path:
    """Return where a controller's job that has begun before its predecessor has ended says so, by its number."""
    return folder.path / "successor"


def wait_until_free(folder: RunFolder, job: str = "", seconds: float = FREE_SECONDS) -> None:
    """Wait until nobody holds a run's journal; who does is told that this job waits.

    Parameters
    ----------
    folder : RunFolder
        Of the run.
    job : str
        Number of this job; empty where there is none.
    seconds : float
        How long to wait.

    Raises
    ------
    JournalError
        When somebody still does at the end.
    """
    if not is_held(folder.journal):
        return
    file, until = ready_file(folder), time.monotonic() + seconds
    if job:
        write_atomically(file, f"{job}\n".encode())
    try:
        while is_held(folder.journal):
            if time.monotonic() > until:
                raise JournalError(
                    f"{folder.journal} is in use by another process, and was not let go within {seconds:g} s."
                )
            time.sleep(0.5)
        until = time.monotonic() + READY_SECONDS
        while job and file.exists() and time.monotonic() < until:
            time.sleep(0.1)
    finally:
        if job:
            file.unlink(missing_ok=True)
