"""A submission: what the folder of a submitted run says of the jobs that work on it."""

from __future__ import annotations

import getpass
import os
import socket
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from daskflow.core.errors import SettingsError, StorageError
from daskflow.core.folder import RunFolder, read_json, write_json
from daskflow.core.journal import write_atomically
from daskflow.core.seeds import digest
from daskflow.workflow import toml

if TYPE_CHECKING:
    from daskflow.clusters.batch import Batch
    from daskflow.workflow.workflow import Workflow

CARRIED = ("DASKFLOW_CACHE_DIR", "XDG_CACHE_HOME")
"""Variables of the submitting shell that say where blocks are; not every queue hands them on."""


@dataclass(frozen=True, slots=True)
class ControllerJob:
    """One of the jobs that a run's controller has had.

    Attributes
    ----------
    id : str
        Of the queue.
    generation : int
        1 for the first; a job that the queue starts anew keeps its own.
    at : float
        When it was handed in, in seconds since 1970.
    ended_at : float or None
        When its process had done everything; None before, and for one that was killed.
    """

    id: str
    generation: int
    at: float
    ended_at: float | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """How a run was submitted, and its controller's jobs: ``submit.json``.

    Attributes
    ----------
    kind : str
        Of the cluster.
    user, host : str
        Who submitted it, and where.
    python : str
        The interpreter of the submitting process.
    working_folder, base : str
        The current folder then, and the one that relative paths of the workflow start from; absolute.
    environment : mapping of str to str
        Variables that the controller needs.
    jobs : tuple of ControllerJob
        In the order of time.
    """

    kind: str
    user: str
    host: str
    python: str
    working_folder: str
    base: str
    environment: Mapping[str, str]
    jobs: tuple[ControllerJob, ...] = ()

    @classmethod
    def of(cls, workflow: Workflow) -> Self:
        """Return that of a workflow which is submitted here and now."""
        return cls(
            kind=workflow.cluster.kind,
            user=getpass.getuser(),
            host=socket.gethostname(),
            python=sys.executable,
            working_folder=str(Path.cwd()),
            base=str(workflow.base.absolute()),
            environment={name: os.environ[name] for name in CARRIED if name in os.environ},
        )

    @property
    def ids(self) -> tuple[str, ...]:
        """The jobs' numbers."""
        return tuple(job.id for job in self.jobs)

    @property
    def generation(self) -> int:
        """Of the newest job; 0 before the first."""
        return max((job.generation for job in self.jobs), default=0)

    def with_job(self, id: str) -> Self:
        """Return it with one more job, of the next generation; as it is when it has that job."""
        if id in self.ids:
            return self
        return replace(self, jobs=(*self.jobs, ControllerJob(id, self.generation + 1, time.time())))

    def without_job(self, id: str) -> Self:
        """Return it without a job that was taken back before it did anything."""
        return replace(self, jobs=tuple(job for job in self.jobs if job.id != id))

    def with_end(self, id: str) -> Self:
        """Return it with the time that a job has ended now."""
        now = time.time()
        return replace(self, jobs=tuple(replace(job, ended_at=now) if job.id == id else job for job in self.jobs))


def _time(value: Any) -> float | None:
    return None if value is None else float(value)


def submission_file(folder: RunFolder) -> Path:
    """Return where a submission stands."""
    return folder.path / "submit.json"


def workflow_file(folder: RunFolder) -> Path:
    """Return where the workflow stands as it was submitted."""
    return folder.path / "submit.toml"


def mark_of(folder: RunFolder) -> str:
    """Return what all jobs of a run carry: its ID, and of which folder it is, for a workflow may run in several.

    Examples
    --------
    >>> mark_of(RunFolder(Path("/home/me/runs/cars/0a1b2c3d4e")))
    '0a1b2c3d4e-4b6d6b81'
    """
    return f"{folder.id}-{digest(str(folder.path), 8)}"


def write_submission(folder: RunFolder, submission: Submission) -> None:
    """Write ``submit.json``, atomically."""
    write_json(submission_file(folder), asdict(submission))


def read_submission(folder: RunFolder) -> Submission | None:
    """Return a run's submission; None for a run that was not submitted.

    Raises
    ------
    StorageError
        For a file that is damaged.
    """
    file = submission_file(folder)
    try:
        known = read_json(file)
        if not known:
            return None
        jobs = tuple(
            ControllerJob(str(job["id"]), int(job["generation"]), float(job["at"]), _time(job.get("ended_at")))
            for job in known.pop("jobs")
        )
        names = ("kind", "user", "host", "python", "working_folder", "base")
        environment = {str(name): str(value) for name, value in known["environment"].items()}
        return Submission(**{name: str(known[name]) for name in names}, environment=environment, jobs=jobs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise StorageError(
            f"{file} cannot be read ({type(error).__name__}: {error}). Remove it, and submit again: what is "
            "finished is kept."
        ) from error


def write_workflow(folder: RunFolder, workflow: Workflow) -> None:
    """Write the workflow as it is submitted."""
    write_atomically(workflow_file(folder), toml.write(workflow.dump()))


def read_workflow(folder: RunFolder, submission: Submission) -> Workflow:
    """Return the workflow that was submitted; the environment changes nothing of it."""
    from daskflow.workflow.workflow import Workflow

    return Workflow.checked_before(toml.load(workflow_file(folder), environment={}), submission.base)


def batch_of(folder: RunFolder) -> Batch | None:
    """Return the queue's settings that a run has, in its folder; None when it runs elsewhere, or does not say."""
    import daskflow.clusters
    from daskflow.clusters.batch import Batch

    for file in (workflow_file(folder), folder.workflow):
        if not file.is_file():
            continue
        try:
            said: Any = toml.load(file, environment={}).get("cluster", {})
            cluster = daskflow.clusters.REGISTRY.parse(said, where="cluster")
        except SettingsError:
            continue
        return cluster.within(folder.path, mark_of(folder)) if isinstance(cluster, Batch) else None
    return None
