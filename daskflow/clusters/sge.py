"""Workers that are jobs of Grid Engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from pydantic import field_validator, model_validator

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_directives import name_tail
from daskflow.clusters.batch_jobs import Queue
from daskflow.clusters.batch_profiles import ALONE
from daskflow.clusters.batch_scripts import JobText, in_directive, job_class
from daskflow.clusters.batch_words import one_line, one_word
from daskflow.clusters.sge_commands import SgeQueue

PER_CORE = frozenset({"h_vmem", "s_vmem", "h_rss", "s_rss", "h_data", "s_data"})
"""Limits that Grid Engine multiplies by the slots of a job."""


class Sge(Batch):
    """Workers that are jobs of Grid Engine (SGE, Univa, Altair), submitted with ``qsub``.

    Attributes
    ----------
    resource_spec : str or None
        What ``-l`` asks for, instead of ``MEMORY_RESOURCE=MEMORY``.
    memory_resource : str or None
        The site's word for memory: ``"mem_free"`` is in every Grid Engine, many sites enforce ``"h_vmem"``. ``""`` asks
        for none.
    memory_per_core : bool or None
        Whether the site multiplies that word by the cores, so that `memory` is divided by them. None, the default: for
        ``h_vmem`` and the like, which Grid Engine itself multiplies.
    parallel_environment : str or None
        Where more than one core comes from: ``qconf -spl`` lists them, often ``"smp"``.
    """

    system: ClassVar[str] = "Grid Engine"
    marker: ClassVar[str] = "#$"
    job_id: ClassVar[str] = (
        '"$JOB_ID"; [ "${SGE_TASK_ID:-undefined}" = undefined ] || DASKFLOW_JOB="$JOB_ID.$SGE_TASK_ID"'
    )

    kind: Literal["sge"] = "sge"
    resource_spec: str | None = None
    memory_resource: str | None = "mem_free"
    memory_per_core: bool | None = None
    parallel_environment: str | None = None

    @field_validator("resource_spec")
    @classmethod
    def _resource_spec_is_a_line(cls, value: str | None) -> str | None:
        return one_line(value)

    @field_validator("parallel_environment", "memory_resource")
    @classmethod
    def _environment_is_a_word(cls, value: str | None) -> str | None:
        return one_word(value or None)

    @model_validator(mode="after")
    def _cores_come_from_somewhere(self) -> Self:
        named = self.parallel_environment or any(line.startswith("-pe ") for line in self.directives)
        if self.cores > 1 and not named and not ALONE.get():
            raise ValueError(
                f"{self.cores} cores need a parallel environment on Grid Engine: set parallel_environment, such as "
                "'smp' (`qconf -spl` lists them), or cores = 1"
            )
        return self

    def commands(self) -> Queue:
        """Return Grid Engine's commands."""
        return SgeQueue(self.logs)

    def job(self, options: Mapping[str, Any]) -> Any:
        """Make dask-jobqueue's job."""
        per_core = self.memory_resource in PER_CORE if self.memory_per_core is None else self.memory_per_core
        megabytes = -(-self.memory_bytes // 2**20 // (self.cores if per_core else 1))
        memory = f"{self.memory_resource}={megabytes}M" if self.memory_resource else None
        return job_class("sge", "SGEJob")(
            queue=self.queue,
            project=self.account,
            walltime=self.native_walltime,
            resource_spec=self.resource_spec or memory,
            **options,
        )

    def name_of(self, text: JobText) -> str:
        """The name ends with the run's mark, by which `qstat` finds the run's jobs."""
        return text.name + name_tail(text.run)

    def opening_lines(self, text: JobText) -> list[str]:
        """A controller finds qsub where its submitter did: a job's own PATH need not have it."""
        return ['export PATH="$PATH${SGE_O_PATH:+:$SGE_O_PATH}"'] if text.lease is None else []

    def own_directives(self, text: JobText) -> list[str]:
        """Bash; one log for both streams; no second start under the same number; the run."""
        is_again = self.requeue and text.lease is None
        lines = ["-S /bin/bash", f"-o {in_directive(f'{self.logs}/$JOB_ID.log')}", f"-r {'y' if is_again else 'n'}"]
        if self.parallel_environment and self.cores > 1:
            lines.append(f"-pe {self.parallel_environment} {self.cores}")
        return [*lines, *([f"-ac daskflow={text.run}"] if text.run else [])]
