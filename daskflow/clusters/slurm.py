"""Workers that are jobs of Slurm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import Queue
from daskflow.clusters.batch_scripts import JobText, in_directive, job_class
from daskflow.clusters.batch_words import one_word
from daskflow.clusters.slurm_commands import SlurmQueue
from daskflow.clusters.slurm_steps import StepQueue, megabytes_of
from daskflow.clusters.walltimes import Form


class Slurm(Batch):
    """Workers that are jobs of Slurm, submitted with ``sbatch``.

    Attributes
    ----------
    job_cpu : int or None
        Processors to ask for, where that is more than `cores`.
    job_mem : str or None
        Memory to ask for in Slurm's words, such as ``"4G"``, where that is other than `memory`.
    allocation : {"jobs", "single"}
        Whether each worker is a job of its own, or all of them are started by ``srun`` inside the controller's job,
        which then asks for the cores and the memory of all: for sites that let jobs submit no jobs. ``"single"`` needs
        ``daskflow submit``.
    """

    form: ClassVar[Form] = "slurm"
    system: ClassVar[str] = "Slurm"
    marker: ClassVar[str] = "#SBATCH"
    place_word: ClassVar[str] = "partition"
    controller_directives: ClassVar[tuple[str, ...]] = ("--open-mode=append",)
    job_id: ClassVar[str] = '"${SLURM_ARRAY_JOB_ID:+${SLURM_ARRAY_JOB_ID}_}${SLURM_ARRAY_TASK_ID:-$SLURM_JOB_ID}"'

    kind: Literal["slurm"] = "slurm"
    job_cpu: int | None = Field(default=None, ge=1)
    job_mem: str | None = None
    allocation: Literal["jobs", "single"] = "jobs"

    @field_validator("job_mem", mode="before")
    @classmethod
    def _a_number_is_megabytes(cls, value: Any) -> Any:
        """Take a number, which Slurm reads as megabytes."""
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("job_mem")
    @classmethod
    def _job_mem_is_a_word(cls, value: str | None) -> str | None:
        return one_word(value)

    def commands(self) -> Queue:
        """Return Slurm's commands."""
        return SlurmQueue()

    @property
    def hands_over(self) -> bool:
        """Never with a single allocation: its steps end with it."""
        return self.allocation == "jobs" and super().hands_over

    def worker_commands(self) -> Queue:
        """Slurm's commands, or steps of this job."""
        if self.allocation == "jobs":
            return self.commands()
        return StepQueue(cores=self.cores, memory_bytes=self.memory_bytes, logs=self.logs)

    def controller_script(self, command: Sequence[str], run: str | None = None, directives: Sequence[str] = ()) -> str:
        """Return the script of the controller's job; with a single allocation it asks for what all workers need."""
        if self.allocation == "jobs":
            return super().controller_script(command, run, directives)
        alone = self.model_copy(update={"directives_skip": (*self.directives_skip, "--mem=")})
        memory = f"--mem-per-cpu={megabytes_of(self.memory_bytes, self.cores)}M"
        more = (*directives, f"-n {self.workers + 1}", memory)
        return Batch.controller_script(alone, command, run, more)

    @property
    def controller_cores(self) -> int:
        """A worker's; those of all workers and one worker's more with a single allocation."""
        return self.cores * (self.workers + 1 if self.allocation == "single" else 1)

    def job(self, options: Mapping[str, Any]) -> Any:
        """Make dask-jobqueue's job."""
        return job_class("slurm", "SLURMJob")(
            queue=self.queue,
            account=self.account,
            walltime=self.native_walltime,
            job_cpu=self.job_cpu,
            job_mem=self.job_mem,
            **options,
        )

    def own_directives(self, text: JobText) -> list[str]:
        """One log for both streams; no second start under the same number; the run, for who looks at the queue."""
        log = str(self.logs).replace("%", "%%") + "/%j.log"
        is_worker = text.lease is not None
        lines = [f"-o {in_directive(log)}", "--requeue" if self.requeue and not is_worker else "--no-requeue"]
        return [*lines, *([f"--comment=daskflow:{text.run}"] if text.run else [])]
