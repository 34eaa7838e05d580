"""Controller: a submitted run in its job, which goes on in another job when its node or its time is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Any

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import QueueError
from daskflow.clusters.batch_shipping import forget, packed
from daskflow.core.errors import ClusterError, DaskflowError, JournalError, StorageError
from daskflow.core.estimates import amount
from daskflow.core.events import Listener, tell
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal, Record
from daskflow.workflow.acting import is_held
from daskflow.workflow.submission import Submission, mark_of, read_submission, read_workflow, write_submission
from daskflow.workflow.submitting import placed_in, queue_of, script_of
from daskflow.workflow.watching import records_of

if TYPE_CHECKING:
    from daskflow.clusters.batch_jobs import Queue
    from daskflow.workflow.run import Run

MARGIN_SECONDS, MARGIN_SHARE = 90.0, 0.25
"""So long before the walltime ends the successor is handed in; of a short walltime this share at most."""

FREE_SECONDS = 300.0
"""How long a former controller, on a node that the queue gave up, may take to end."""

TRIES, BETWEEN_SECONDS = 3, 3.0
"""A successor is handed in so often, for queues are busy at times."""

IDLE_JOBS = 3
"""A run is given up when so many jobs in a row got nothing done; in one or two the workers may just have waited."""

GAINS = frozenset({"data", "stage", "candidates", "unit", "refitted", "explained"})
"""Records of what was finished; see docs/architecture.md."""

LAST_SECONDS = 30.0
"""A job that is being handed in while the run ends is waited for so long."""

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
        self.successor = ""
        self._refusal = ""
        self._began = time.time()

    def run(self, listener: Listener) -> Run | None:
        """Run the workflow, or continue it; None when the walltime ended first, and a successor goes on.

        Raises
        ------
        ClusterError
            When the walltime ended, and nobody goes on.
        DaskflowError
            As `Workflow.run`.
        KeyboardInterrupt
            When the job was cancelled.
        """
        try:
            return self._run(listener)
        finally:
            self.note_end()

    def _run(self, listener: Listener) -> Run | None:
        wait_until_free(self.folder.journal)
        if self.workflow.id != self.folder.id:
            raise self._given_up(
                f"To this daskflow the workflow is another one than when it was submitted (ID {self.workflow.id}, was "
                f"{self.folder.id}): submit it again from the environment that it shall run in."
            )
        self._note_own_job()
        self._cancel_left_over()
        with Walltime(self._ends_at(), self.seconds, self._hand_over) as walltime:
            try:
                return self.workflow.run(self.folder.path.parent.parent, listener=listener)
            except KeyboardInterrupt:
                if not walltime.is_over:
                    raise
            finally:
                if not self.successor:
                    forget(placed_in(self.workflow, self.folder))
        if not self.successor:
            raise self._given_up(self._refusal)
        self._append({"record": "submitted", "job": self.successor, "kind": self.workflow.cluster.kind})
        tell(listener, "note", text=f"The walltime ends; job {self.successor} goes on from here.")
        return None

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
        """End workers of a controller that is gone: they belong to a scheduler that is gone, too."""
        with suppress(QueueError):  # a queue that does not answer now; they leave by themselves, a little later
            jobs = asyncio.run(self.queue.of_run(mark_of(self.folder)))
            left = [id for id in jobs if id not in self.submission.ids]
            if left:
                asyncio.run(self.queue.cancel(left))

    def _hand_over(self) -> None:
        """Hand in the successor, unless the last generations got nothing done."""
        jobs = self.submission.jobs
        if len(jobs) >= IDLE_JOBS and not has_gained(records_of(self.folder), jobs[-IDLE_JOBS].at):
            self._refusal = (
                f"Nothing new was finished in {IDLE_JOBS} walltimes of {amount(self.seconds)}, so no job is handed in. "
                "Did the workers wait in the queue all the time, or does one fit take as long? Give a longer "
                "cluster.walltime, and submit again."
            )
            return
        for attempt in range(TRIES):
            try:
                environment = packed(placed_in(self.workflow, self.folder))
                script = script_of(self.workflow, self.folder, self.submission, environment)
                (self.successor,) = asyncio.run(self.queue.submit(script))
            except DaskflowError as error:
                self._refusal = f"The walltime is over, and the queue does not take the job that would go on: {error}"
                time.sleep(BETWEEN_SECONDS * (attempt + 1 < TRIES))
            else:
                self.submission = self.submission.with_job(self.successor)
                write_submission(self.folder, self.submission)
                return

    def _given_up(self, why: str) -> ClusterError:
        """Record that nobody goes on, and return the error that says so."""
        self._append({"record": "end", "status": "failed", "error": why})
        return ClusterError(why)

    def _append(self, record: Record) -> None:
        with Journal(self.folder.journal) as journal:
            journal.append({**record, "at": time.time()})


class Walltime:
    """The end of a job's time, foreseen: something is done in good time, then the main thread is interrupted.

    Parameters
    ----------
    end : float
        When the time is over, in seconds since 1970.
    seconds : float
        How long it is in all.
    before : callable
        What is done first, in a thread of its own.

    Attributes
    ----------
    is_over : bool
        Whether it has ended.

    Notes
    -----
    A queue may say it, too, by the signal USR1. A job that is cancelled gets TERM, which interrupts the main thread and
    does nothing before.
    """

    def __init__(self, end: float, seconds: float, before: Callable[[], None]) -> None:
        """Begin nothing."""
        self.is_over = False
        self._end, self._before = end - min(MARGIN_SECONDS, MARGIN_SHARE * seconds), before
        self._near, self._left = threading.Event(), False
        self._thread = threading.Thread(target=self._watch, name="daskflow-walltime", daemon=True)
        self._earlier: dict[int, Any] = {}

    def __enter__(self) -> Walltime:
        """Watch from now on; in the main thread."""
        handlers = {
            signal.SIGINT: signal.default_int_handler,  # a shell may have told its children to ignore it
            signal.SIGTERM: self._interrupt,
            signal.SIGUSR1: lambda *_: self._near.set(),
        }
        self._earlier = {each: signal.signal(each, handler) for each, handler in handlers.items()}
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Watch no more."""
        self._left = True
        self._near.set()
        self._thread.join(LAST_SECONDS)  # a successor that is being handed in is known afterwards
        for each, handler in self._earlier.items():
            signal.signal(each, handler)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Interrupt the main thread once: what is being put away then shall not be interrupted again."""
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise KeyboardInterrupt

    def _watch(self) -> None:
        while not self._near.wait(min(max(0.0, self._end - time.time()), 3600.0)):
            if time.time() >= self._end:
                break
        if self._left:
            return
        self.is_over = True
        try:
            self._before()
        finally:
            if not self._left:
                os.kill(os.getpid(), signal.SIGTERM)


def ends_at(environment: Mapping[str, str], otherwise: float) -> float:
    """Return when this job's time is over, as its queue says, in seconds since 1970.

    Examples
    --------
    >>> ends_at({"SLURM_JOB_END_TIME": "1700000060"}, 5.0), ends_at({}, 5.0)
    (1700000060.0, 5.0)
    """
    said = environment.get("SLURM_JOB_END_TIME", "")
    return float(said) if said.isdigit() else otherwise


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


def wait_until_free(journal: Path, seconds: float = FREE_SECONDS) -> None:
    """Wait until nobody holds a run's journal.

    Raises
    ------
    JournalError
        When somebody still does at the end.
    """
    until = time.monotonic() + seconds
    while is_held(journal):
        if time.monotonic() > until:
            raise JournalError(f"{journal} is in use by another process, and was not let go within {seconds:g} s.")
        time.sleep(0.5)
