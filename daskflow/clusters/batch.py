"""Batch queues: what one can say about workers that run as jobs, whichever system starts them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from dask.utils import parse_bytes
from pydantic import Field, PrivateAttr, field_validator, model_validator

from daskflow.clusters import Cluster, batch_scripts
from daskflow.clusters.batch_jobs import Queue, Request
from daskflow.clusters.batch_profiles import ALONE, filled
from daskflow.clusters.batch_scripts import ADDRESS, JobText
from daskflow.clusters.batch_words import Interface, Line, Lines, Memory, Name, Packages, Variables, Word
from daskflow.clusters.fleet_accounts import NOTHING, Spent
from daskflow.clusters.walltimes import LONGEST_SECONDS, Form, seconds_in_form, seconds_in_words, written
from daskflow.core.events import Listener, nobody
from daskflow.core.protocols import Connection
from daskflow.data.seats import MEMORY_SHARE

if TYPE_CHECKING:
    from dask_jobqueue.core import Job

    from daskflow.clusters.shipping_archive import Archive


SEAT_MEMORY_BYTES = 600 * 2**20
"""A process that waits for fits takes about 150 MB: workers with less than this have none before the first fit."""


def nobody_follows() -> bool:
    """Say that no controller goes on when one ends: of a run that is not submitted."""
    return False


class Batch(Cluster):
    """Workers that are jobs of a batch system: one job, one worker, whose name is the job's number.

    What is not said here comes from a profile (``[KIND.PROFILE]``, else ``[KIND]``, of
    ``~/.config/daskflow/clusters.toml``, then of ``/etc/daskflow/clusters.toml`` or the file that ``DASKFLOW_SITE``
    names), and then from dask-jobqueue's configuration (``jobqueue.KIND``).

    Attributes
    ----------
    workers : int
        How many jobs are held.
    minimum, maximum : int or None
        Bounds of a number that follows the work; default: always `workers`.
    cores : int
        Of each worker: as many units at once.
    memory : str
        Of each worker, such as ``"4 GiB"``: asked of the queue, and the worker's own limit.
    walltime : str
        Of each job: in words (``"1 h"``, ``"90 min"``, ``"2 days"``) or as the batch system writes it (``"01:30:00"``).
    queue : str or None
        Partition or queue; default the system's own. ``partition`` means the same.
    account : str or None
        What the jobs are charged to; ``project`` means the same.
    interface : str or None
        Network interface that scheduler and workers talk over, such as ``"ib0"``.
    scratch : str or None
        Local folder of a worker for what it holds no room for, such as ``"/scratch/$USER"``.
    shared : str or None
        Folder that all nodes see, for the keys, the lease and the logs of a run; default: the run's own folder.
    python : str or None
        Python on the nodes; default: the one that runs this.
    ship : {"nothing", "packages", "python"}
        What of this environment is packed and unpacked on each node: ``"packages"`` for nodes whose Python lacks them,
        ``"python"`` for nodes without such a Python, too. Default: the nodes have all.
    ship_packages : sequence of str
        What is shipped beside daskflow, what it needs, and the modules of the workflow: names that pip or ``import``
        knows.
    prologue : sequence of str
        Shell lines before the worker starts, such as ``"module load gcc"``.
    environment : mapping
        Variables of the worker.
    directives : sequence of str
        More directives in the system's own words, such as ``"--constraint=skylake"``.
    directives_skip : sequence of str
        Directives that hold one of these texts are left out.
    worker_arguments : sequence of str
        More arguments of ``dask worker``.
    shebang : str or None
        First line of the script; default ``#!/usr/bin/env bash``.
    death_timeout : float
        Seconds after which a worker that finds no scheduler ends.
    retries : int
        Jobs that may be lost for each worker wanted, before the run ends. Those whose worker served ten minutes, and
        those that came to the end of their walltime, do not count.
    max_core_hours : float or None
        Core-hours that the run's jobs may use, the controller's and those of earlier invocations included; default no
        limit. Shortly before, the search is stopped as by ``daskflow control RUN stop``: the best so far is fitted on
        all training rows and evaluated. For that three times the longest fit of late and half a minute of all
        running cores are kept, a quarter of the limit at most; a refit that takes longer goes over it.
    requeue : bool
        Whether the system may start the job of the run itself again.
    log_folder : str or None
        Where jobs write their logs; default ``logs`` in the run's folder.
    profile : str or None
        Table of the profile files whose values are taken for what is not said here.
    config_name : str or None
        Section of dask-jobqueue's configuration; what it lacks comes from the section of the kind.
    """

    form: ClassVar[Form] = "clock"
    """How the system writes walltimes."""
    system: ClassVar[str] = ""
    """What the system is called."""
    marker: ClassVar[str] = ""
    """What begins a directive's line."""
    job_id: ClassVar[str] = ""
    """Shell text that is the job's number inside the job; of an element of an array with its index."""
    place_word: ClassVar[str] = "queue"
    """What the system calls the places where jobs wait."""
    controller_directives: ClassVar[tuple[str, ...]] = ()
    """Of a controller's job: one that is started again on another node goes on in the same log."""
    aliases: ClassVar[Mapping[str, str]] = {
        "partition": "queue",
        "project": "account",
        "local_directory": "scratch",
        "log_directory": "log_folder",
        "job_script_prologue": "prologue",
        "job_extra_directives": "directives",
        "job_directives_skip": "directives_skip",
        "worker_extra_args": "worker_arguments",
    }
    """Other words for options, dask-jobqueue's among them."""

    native: ClassVar[frozenset[str]] = frozenset({"directives", "directives_skip", "resource_spec"})
    """Options whose values mean nothing to another kind."""

    workers: int = Field(default=2, ge=1)
    minimum: int | None = Field(default=None, ge=0)
    maximum: int | None = Field(default=None, ge=1)
    cores: int = Field(default=1, ge=1)
    memory: Memory = "4 GiB"
    walltime: str = "1 h"
    queue: Name = None
    account: Name = None
    interface: Interface = None
    scratch: Line = None
    shared: Line = None
    python: Line = None
    ship: Literal["nothing", "packages", "python"] = "nothing"
    ship_packages: Packages = ()
    prologue: Lines = ()
    environment: Variables = Field(default_factory=dict)
    directives: Lines = ()
    directives_skip: Lines = ()
    worker_arguments: Lines = ()
    shebang: Line = None
    death_timeout: float = Field(default=60.0, ge=1)
    retries: int = Field(default=3, ge=0)
    max_core_hours: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    requeue: bool = True
    log_folder: Line = None
    profile: Word = Field(default=None, exclude=True)
    config_name: Word = Field(default=None, exclude=True)

    _folder: Path | None = PrivateAttr(default=None)
    _run: str = PrivateAttr(default="")
    _listener: Listener = PrivateAttr(default_factory=lambda: nobody)
    _meanwhile: Callable[[], None] = PrivateAttr(default_factory=lambda: lambda: None)
    _modules: tuple[str, ...] = PrivateAttr(default=())
    _spent: Spent = PrivateAttr(default=NOTHING)
    _environment: Archive | None = PrivateAttr(default=None)
    _is_followed: Callable[[], bool] = PrivateAttr(default_factory=lambda: nobody_follows)

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: Any) -> Any:
        """Take from profiles and configuration what is not said."""
        if not isinstance(values, Mapping):
            return values
        plain = cls._with_jobs(cls.canonical(values))
        return plain if ALONE.get() else filled(cls, plain)

    @classmethod
    def canonical(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values under the options' own names."""
        plain = {word: value for word, value in values.items() if word not in cls.aliases}
        for word in values:
            if word in cls.aliases:
                if (name := cls.own_name(word)) in plain:
                    raise ValueError(f"'{word}' and '{name}' are the same option: give one of them")
                plain[name] = values[word]
        return plain

    @classmethod
    def _with_jobs(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Refuse one job for all workers, where that is known of Slurm alone; each a job is what there is elsewhere."""
        if "allocation" in cls.model_fields or "allocation" not in values:
            return values
        if values["allocation"] != "jobs":
            raise ValueError(
                f"allocation = {values['allocation']!r} is known of Slurm alone, where srun starts workers inside the "
                f"controller's job: on {cls.system} each worker is a job of its own. Where {cls.system} lets jobs "
                "submit no jobs, start the run on the login node with `daskflow run`"
            )
        return {name: value for name, value in values.items() if name != "allocation"}

    @classmethod
    def own_name(cls, word: str) -> str:
        """Return the name of the option that a word means, such as ``queue`` for ``partition``."""
        return cls.aliases.get(word, word)

    @classmethod
    def takes_over(cls, word: str) -> bool:
        """Whether an option's value may be that of another kind."""
        return (cls.knows(word) and cls.own_name(word) not in cls.native) or word == "allocation"

    @field_validator("walltime", mode="before")
    @classmethod
    def _walltime_is_a_time(cls, value: Any) -> str:
        text = str(value).strip()
        if (isinstance(value, int | float) and not isinstance(value, bool)) or re.fullmatch(r"\d+", text):
            raise ValueError(f"needs a unit, such as '{text} min' or '{text} h'")
        seconds = seconds_in_words(text) or seconds_in_form(text, cls.form)
        if seconds is None:
            example = written(5400, cls.form)
            raise ValueError(f"should be a time such as '1 h', '90 min' or '2 days', or {cls.system}'s own '{example}'")
        if not 60 <= seconds <= LONGEST_SECONDS:
            raise ValueError("should be from one minute to a year")
        return text

    @field_validator("directives")
    @classmethod
    def _directives_have_no_marker(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        """Take lines as they stand in scripts, too."""
        return tuple(line.removeprefix(cls.marker).strip() if cls.marker else line for line in value)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if not ALONE.get() and self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"minimum ({self.minimum}) is more than maximum ({self.maximum})")
        return self

    @property
    def memory_bytes(self) -> int:
        """Of each worker."""
        return int(parse_bytes(self.memory))

    @property
    def seconds(self) -> float:
        """Walltime of each job."""
        return seconds_in_words(self.walltime) or seconds_in_form(self.walltime, self.form) or 0.0

    @property
    def native_walltime(self) -> str:
        """Walltime as the batch system writes it."""
        return written(self.seconds, self.form)

    @property
    def fit_bytes(self) -> int:
        """An equal share of the worker's memory for each core."""
        return int(MEMORY_SHARE * self.memory_bytes / self.cores)

    @property
    def request(self) -> Request:
        """What a worker's job asks for."""
        return Request(self.cores, self.memory_bytes, self.seconds, self.queue or "", self.workers)

    def within(self, folder: Path, run: str, listener: Listener = nobody) -> Self:
        """Return the same cluster for one run: its keys, its lease and its logs are in the run's folder."""
        placed = self.model_copy()
        placed._folder, placed._run, placed._listener = folder.absolute(), run, listener
        return placed

    def meanwhile(self, begin: Callable[[], None]) -> Self:
        """Return the same cluster, which calls this when its first jobs are handed in: they take seconds to start."""
        placed = self.model_copy()
        placed._meanwhile = begin
        return placed

    def importing(self, modules: Sequence[str]) -> Self:
        """Return the same cluster, whose workers have a process beside them import these modules as they start.

        It takes the first fits. Where a worker's memory is tight there is none before the first fit.
        """
        placed = self.model_copy()
        placed._modules = tuple(modules) if self.memory_bytes >= SEAT_MEMORY_BYTES else ()
        return placed

    @property
    def modules(self) -> tuple[str, ...]:
        """What a process beside each worker imports as it starts; none starts early without."""
        return self._modules

    def having_used(self, spent: Spent) -> Self:
        """Return the same cluster for a run that has used something of its `max_core_hours` before."""
        counted = self.model_copy()
        counted._spent = spent
        return counted

    def followed(self, by: Callable[[], bool]) -> Self:
        """Return the same cluster for a controller that is asked, when it ends, whether another one goes on."""
        placed = self.model_copy()
        placed._is_followed = by
        return placed

    @property
    def hands_over(self) -> bool:
        """Whether jobs are left to another controller that goes on: not such as need what is packed by this one."""
        return self._is_followed() and self.ship == "nothing"

    @property
    def spent(self) -> Spent:
        """What counts towards `max_core_hours` beside the workers' jobs that are still to come."""
        return self._spent

    @property
    def controller_cores(self) -> int:
        """Cores that the controller's own job asks for."""
        return self.cores

    @property
    def folder(self) -> Path:
        """Folder of keys, lease and logs: the run's own, or one of its name in `shared`."""
        own = self._folder or Path.cwd()
        if self.shared is None:
            return own
        shared = Path(self.shared).expanduser().absolute()
        return shared / own.parent.name / own.name if self._run else shared

    @property
    def keys(self) -> Path:
        """Folder of the TLS files."""
        return self.folder / "keys"

    @property
    def lease(self) -> Path:
        """File that is there as long as the scheduler is."""
        return self.folder / "lease"

    @property
    def environments(self) -> Path:
        """Folder of packed environments, for all runs beside this one."""
        return self.folder.parent.parent / ".environments"

    @property
    def environment_link(self) -> Path:
        """The packed environment of this run: another name of a file in `environments`."""
        return self.folder / "environment.tar.gz"

    @property
    def shipped(self) -> Archive | None:
        """What its jobs unpack; None before that is packed."""
        return self._environment

    def shipping(self, archive: Archive | None) -> Self:
        """Return the same cluster with jobs that unpack an archive."""
        placed = self.model_copy()
        placed._environment = archive
        return placed

    @property
    def run(self) -> str:
        """The run's ID; empty for none."""
        return self._run

    @property
    def job_name(self) -> str:
        """What the queue shows of the jobs: ``daskflow-NAME``."""
        return f"daskflow-{self._folder.parent.name}" if self._folder is not None and self._run else "daskflow"

    @property
    def logs(self) -> Path:
        """Folder of the jobs' logs: ``JOB.log`` each."""
        return Path(self.log_folder).expanduser().absolute() if self.log_folder else self.folder / "logs"

    def job_script(
        self, address: str = ADDRESS, keys: Path | None = None, run: str | None = None, lease: Path | None = None
    ) -> str:
        """Return the script of a worker's job, as it is submitted.

        Parameters
        ----------
        address : str
            Of the scheduler, such as ``"tls://10.1.0.1:8786"``; known when it runs.
        keys : Path, optional
            Folder of the TLS files, whose names are in `batch_scripts`; default ``keys`` in the run's folder.
        run : str, optional
            The run's ID; default that of `within`.
        lease : Path, optional
            A job that finds no such file ends at once; default ``lease`` in the run's folder.
        """
        text = JobText(
            run=self.run if run is None else run,
            name=self.job_name,
            lease=self.lease if lease is None else lease,
        )
        return batch_scripts.worker_script(self, text, address, self.keys if keys is None else keys)

    def controller_script(self, command: Sequence[str], run: str | None = None, directives: Sequence[str] = ()) -> str:
        """Return the script of a job that runs a command, such as ``daskflow run``, and asks for what a worker's does.

        Parameters
        ----------
        command : sequence of str
            Program and arguments; the job's shell becomes it, so it gets the signals.
        run : str, optional
            The run's ID; default that of `within`.
        directives : sequence of str
            More directives, laid over the user's own.
        """
        text = JobText(run=self.run if run is None else run, name=f"{self.job_name}-controller", lease=None)
        return batch_scripts.controller_script(self, text, command, directives)

    def commands(self) -> Queue:
        """Return what submits, looks at and ends jobs."""
        raise NotImplementedError

    def worker_commands(self) -> Queue:
        """Return what starts, looks at and ends the workers of a run: `commands`, unless a kind knows other ways."""
        return self.commands()

    def open(self) -> AbstractContextManager[Connection]:
        """Start a scheduler here and workers as jobs; ClusterError when they cannot be had."""
        from daskflow.clusters.batch_open import opened  # Dask is not loaded where a script is only shown

        return opened(self, self._listener, self._meanwhile)

    def job(self, options: Mapping[str, Any]) -> Job:
        """Make dask-jobqueue's job of these options: what writes the script in the system's dialect."""
        raise NotImplementedError

    def name_of(self, text: JobText) -> str:
        """Return what the queue shows of a job."""
        return text.name

    def opening_lines(self, text: JobText) -> list[str]:
        """Return shell lines that stand before all others, behind the job's number: such as where its output goes."""
        return []

    def own_directives(self, text: JobText) -> list[str]:
        """Return the directives of ours that dask-jobqueue does not write: log, run, walltime and so on."""
        raise NotImplementedError
