"""Workers that are jobs of PBS: OpenPBS, PBS Professional or Torque."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_directives import name_tail
from daskflow.clusters.batch_jobs import Queue
from daskflow.clusters.batch_scripts import JobText, in_directive, job_class
from daskflow.clusters.batch_words import one_line
from daskflow.clusters.pbs_commands import PbsQueue

NAME_SIZE = 15


class Pbs(Batch):
    """Workers that are jobs of PBS (OpenPBS, PBS Professional, Torque), submitted with ``qsub``.

    Attributes
    ----------
    resource_spec : str or None
        What ``-l`` asks for, instead of ``select=1:ncpus=CORES:mem=MEMORY``; Torque wants ``"nodes=1:ppn=4,mem=16gb"``.
    """

    system: ClassVar[str] = "PBS"
    marker: ClassVar[str] = "#PBS"
    job_id: ClassVar[str] = '"${PBS_JOBID:-$SLURM_JOB_ID}"; DASKFLOW_JOB="${DASKFLOW_JOB%%.*}"'

    kind: Literal["pbs"] = "pbs"
    resource_spec: str | None = None

    @field_validator("resource_spec")
    @classmethod
    def _resource_spec_is_a_line(cls, value: str | None) -> str | None:
        return one_line(value)

    def commands(self) -> Queue:
        """Return PBS's commands."""
        return PbsQueue(self.logs)

    def name_of(self, text: JobText) -> str:
        """At most 15 characters, as older versions of PBS want it, of which the last are the run's mark."""
        name = text.name.removeprefix("daskflow-").removesuffix("-controller")
        tail = name_tail(text.run)
        short = re.sub(r"[^A-Za-z0-9_-]", "-", name if name[:1].isalpha() else f"d{name}")
        return short[: NAME_SIZE - len(tail)].rstrip("-") + tail

    def opening_lines(self, text: JobText) -> list[str]:
        """The job writes its log itself: PBS brings a job's output when it has ended, and under a name of its own.

        A worker that is started again under the same number leaves, since another has taken its place; a controller
        finds qsub where its submitter did, for a job's own PATH need not have it.
        """
        log = f'{shlex.quote(str(self.logs))}/"$DASKFLOW_JOB".log'
        lines = [f"exec >> {log} 2>&1"]
        if text.lease is None:
            return [*lines, 'export PATH="$PATH${PBS_O_PATH:+:$PBS_O_PATH}"']
        again = "daskflow: the queue started this job again; another worker has taken its place."
        return [f'[ ! -e {log} ] || {{ echo "{again}" >> {log}; exit 0; }}', *lines]

    def job(self, options: Mapping[str, Any]) -> Any:
        """Make dask-jobqueue's job."""
        return job_class("pbs", "PBSJob")(
            queue=self.queue,
            account=self.account,
            walltime=self.native_walltime,
            resource_spec=self.resource_spec,
            **options,
        )

    def own_directives(self, text: JobText) -> list[str]:
        """What PBS writes itself in one file beside the logs; bash; no second start under the same number; the run."""
        is_again = self.requeue and text.lease is None
        lines = ["-S /bin/bash", "-j oe", f"-o {in_directive(f'{self.logs}/')}", f"-r {'y' if is_again else 'n'}"]
        return [*lines, *([f"-v DASKFLOW_RUN={text.run}"] if text.run else [])]
