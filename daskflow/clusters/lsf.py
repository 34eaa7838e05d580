"""Workers that are jobs of LSF."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from dask.utils import parse_bytes
from pydantic import Field, field_validator

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import Queue
from daskflow.clusters.batch_scripts import JobText, in_directive, job_class
from daskflow.clusters.batch_words import size_of
from daskflow.clusters.lsf_commands import LsfQueue
from daskflow.clusters.walltimes import Form


class Lsf(Batch):
    """Workers that are jobs of LSF, submitted with ``bsub``.

    Attributes
    ----------
    ncpus : int or None
        Slots to ask for, where that is more than `cores`.
    mem : str or None
        Memory to ask for, where that is other than `memory`.
    lsf_units : {"kb", "mb", "gb", "tb"} or None
        Unit of the site's limits; default: what ``LSF_UNIT_FOR_LIMITS`` of ``lsf.conf`` says, else ``"kb"``.
    """

    form: ClassVar[Form] = "lsf"
    system: ClassVar[str] = "LSF"
    marker: ClassVar[str] = "#BSUB"
    job_id: ClassVar[str] = '"$LSB_JOBID"; [ "${LSB_JOBINDEX:-0}" = 0 ] || DASKFLOW_JOB="$LSB_JOBID[$LSB_JOBINDEX]"'

    kind: Literal["lsf"] = "lsf"
    ncpus: int | None = Field(default=None, ge=1)
    mem: str | None = None
    lsf_units: Literal["kb", "mb", "gb", "tb"] | None = None

    @field_validator("mem", mode="before")
    @classmethod
    def _mem_is_a_size(cls, value: Any) -> Any:
        return None if value is None else size_of(value, least=2**20)

    def commands(self) -> Queue:
        """Return LSF's commands."""
        return LsfQueue()

    def job(self, options: Mapping[str, Any]) -> Any:
        """Make dask-jobqueue's job."""
        return job_class("lsf", "LSFJob")(
            queue=self.queue,
            project=self.account,
            walltime=self.native_walltime,
            ncpus=self.ncpus,
            mem=None if self.mem is None else int(parse_bytes(self.mem)),
            lsf_units=self.lsf_units,
            **options,
        )

    def opening_lines(self, text: JobText) -> list[str]:
        """Write the log from now on: LSF itself would copy it there when the job has ended, under another name."""
        logs = shlex.quote(str(self.logs))
        return [f'[ -w {logs} ] && exec >> {logs}/"$DASKFLOW_JOB.log" 2>&1']

    def own_directives(self, text: JobText) -> list[str]:
        """LSF's report beside the log; no second start under the same number; the run, as the job's description."""
        again = ["-r"] if self.requeue and text.lease is None else ["-rn"]
        lines = [f"-o {in_directive(f'{self.logs}/%J_%I.lsf')}", *again]
        return [*lines, *([f'-Jd "daskflow:{text.run}"'] if text.run else [])]
