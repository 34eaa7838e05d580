"""Submitting: hands a workflow to a batch queue, in a job that starts its workers and outlives the shell."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_places import in_words
from daskflow.clusters.batch_shipping import packed
from daskflow.core.errors import ControlError, JournalError, SettingsError
from daskflow.core.events import Listener, nobody
from daskflow.core.folder import RunFolder
from daskflow.core.journal import Journal
from daskflow.workflow.acting import is_held
from daskflow.workflow.submission import (
    Submission,
    mark_of,
    read_submission,
    workflow_file,
    write_submission,
    write_workflow,
)

if TYPE_CHECKING:
    from daskflow.clusters.batch_jobs import Queue
    from daskflow.clusters.shipping_archive import Archive
    from daskflow.workflow.outlook import Outlook
    from daskflow.workflow.workflow import Workflow


@dataclass(frozen=True, slots=True)
class Submitted:
    """What was handed in.

    Attributes
    ----------
    folder : RunFolder
        Of the run.
    job : str
        Number of the controller's job.
    notes : tuple of str
        What the check of the workflow understood.
    outlook : Outlook
        How long it will take, as far as that was known before.
    """

    folder: RunFolder
    job: str
    notes: tuple[str, ...]
    outlook: Outlook


def queue_of(cluster: Batch) -> Queue:
    """Return the queue of a cluster; tests put another in its place."""
    return cluster.commands()


def submit(
    workflow: Workflow,
    runs: Path | str = "runs",
    *,
    fresh: bool = False,
    queue_of: Callable[[Batch], Queue] = queue_of,
    listener: Listener = nobody,
) -> Submitted:
    """Hand a workflow to its batch queue, or hand it in again to continue.

    Parameters
    ----------
    workflow : Workflow
        Its cluster is a batch queue.
    runs : path, default "runs"
        Folder of runs, which the nodes see; this one is ``runs/NAME/ID``.
    fresh : bool
        Start anew: what the run's folder holds is removed first.
    queue_of : callable, optional
        Gives the queue of a cluster.
    listener : callable, optional
        Hears what takes its time before the job is handed in.

    Raises
    ------
    SettingsError
        When the workflow is wrong, its cluster is no batch queue, or a fit takes longer than a walltime.
    QueueError
        When the queue refuses the job, or would never start it.
    ControlError
        When the run goes on, waits in the queue, or is done.
    """
    # The controller imports this file, and foresees nothing.
    from daskflow.workflow.continuing import has_more_time, is_done
    from daskflow.workflow.plan import refuse_too_long

    cluster = batch_cluster(workflow)
    workflow = workflow.opened()
    notes = (*workflow.check(), *_walltime_notes(cluster))
    folder = RunFolder(Path(runs).resolve() / workflow.name / workflow.id)
    placed = placed_in(workflow, folder)
    queue = queue_of(placed)
    _refuse(queue, cluster, workflow, folder)
    outlook = refuse_too_long(workflow, folder.path.parent.parent)
    folder.make()
    _check_idle(folder, queue)
    try:
        with Journal(folder.journal) as journal:
            _check_idle(folder, queue)  # once more: somebody else may have submitted it meanwhile
            if not fresh and is_done(journal, folder) and not has_more_time(workflow, journal):
                raise ControlError(f"This run is finished already: {folder.path} (--fresh runs it again).")
            if fresh:
                journal.clear()
            if not journal.records:
                folder.clear(keep=folder.journal)
            submission = read_submission(folder) or Submission.of(workflow)
            submission = _renewed(submission, workflow)
            placed.logs.mkdir(parents=True, exist_ok=True)
            write_workflow(folder, workflow)
            shutil.copyfile(workflow_file(folder), folder.workflow)
            write_submission(folder, submission)
            script = script_of(workflow, folder, environment=packed(placed, listener))
            (job,) = asyncio.run(queue.submit(script))
            # The job waits until this journal is closed, so it reads what is written here.
            write_submission(folder, submission.with_job(job))
            journal.append({"record": "submitted", "job": job, "kind": cluster.kind, "at": time.time()})
            folder.name_latest()
    except JournalError as error:
        if is_held(folder.journal):
            raise ControlError(f"Run {folder.name}/{folder.id} goes on: {folder.path}.") from error
        raise
    return Submitted(folder, job, notes, outlook)


def _walltime_notes(cluster: Batch) -> list[str]:
    """Say what ``1:00`` is: a minute on one system, an hour on another."""
    text = cluster.walltime
    return [f"cluster.walltime = '{text}' is {in_words(cluster.seconds)}"] if text.count(":") == 1 else []


def batch_cluster(workflow: Workflow) -> Batch:
    """Return the workflow's batch queue; SettingsError when its cluster is something else."""
    cluster = workflow.cluster
    if not isinstance(cluster, Batch):
        raise SettingsError(
            f"cluster.kind is '{cluster.kind}', and only a batch queue takes a run that outlives this shell: submit it "
            "with --on slurm (or pbs, sge, lsf, htcondor, oar), or run it here with `daskflow run`."
        )
    if workflow.data.kind == "frame":
        raise SettingsError("data.kind = 'frame' is in this process's memory, which no job sees: name files instead.")
    return cluster


def script_of(
    workflow: Workflow, folder: RunFolder, submission: Submission | None = None, environment: Archive | None = None
) -> str:
    """Return the script of the controller's job; with the environment that it unpacks, where one is shipped."""
    placed = placed_in(workflow, folder).shipping(environment)
    python = placed.python or (submission or Submission.of(workflow)).python
    command = [python, "-u", "-m", "daskflow", "controller", str(folder.path)]
    return placed.controller_script(command, directives=placed.controller_directives)


def placed_in(workflow: Workflow, folder: RunFolder) -> Batch:
    """Return the workflow's batch queue, within a run."""
    return batch_cluster(workflow).within(folder.path, mark_of(folder))


def _renewed(submission: Submission, workflow: Workflow) -> Submission:
    """Return what is known of earlier jobs with what is so now."""
    now = Submission.of(workflow)
    return Submission(**{name: getattr(now, name) for name in now.__slots__ if name != "jobs"}, jobs=submission.jobs)


def _refuse(queue: Queue, cluster: Batch, workflow: Workflow, folder: RunFolder) -> None:
    """Raise what the queue would refuse, or let wait for ever."""
    from daskflow.clusters.batch_jobs import QueueError

    refusals = asyncio.run(queue.refusals(script_of(workflow, folder), cluster.request))
    if refusals:
        raise QueueError(" ".join(refusals))


def _check_idle(folder: RunFolder, queue: Queue) -> None:
    """See that no controller of the run waits or runs."""
    submission = read_submission(folder)
    jobs = asyncio.run(queue.look(submission.ids)) if submission is not None and submission.ids else {}
    for job in jobs.values():
        if job.state != "ended":
            raise ControlError(
                f"Run {folder.name}/{folder.id} was submitted already: job {job.id} is {job.state}. "
                f"`daskflow status {folder.path}` says more, `daskflow cancel {folder.path}` ends it."
            )
