"""Workers that are jobs of PBS: OpenPBS, PBS Professional or Torque."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_scripts import JobText, in_directive, job_class
from daskflow.clusters.batch_words import one_line


class Pbs(Batch):
    """Workers that are jobs of PBS (OpenPBS, PBS Professional, Torque): this version writes their scripts only.

    Attributes
    ----------
    resource_spec : str or None
        What ``-l`` asks for, instead of ``select=1:ncpus=CORES:mem=MEMORY``; Torque wants ``"nodes=1:ppn=4,mem=16gb"``.
    """

    system: ClassVar[str] = "PBS"
    marker: ClassVar[str] = "#PBS"
    job_id: ClassVar[str] = '"$PBS_JOBID"'

    kind: Literal["pbs"] = "pbs"
    resource_spec: str | None = None

    @field_validator("resource_spec")
    @classmethod
    def _resource_spec_is_a_line(cls, value: str | None) -> str | None:
        return one_line(value)

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
        """One log for both streams, named by PBS; bash; no second start under the same number; the run."""
        is_again = self.requeue and text.lease is None
        lines = ["-S /bin/bash", "-j oe", f"-o {in_directive(f'{self.logs}/')}", f"-r {'y' if is_again else 'n'}"]
        return [*lines, *([f"-v DASKFLOW_RUN={text.run}"] if text.run else [])]
