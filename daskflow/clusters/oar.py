"""Workers that are jobs of OAR."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import field_validator

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import Queue
from daskflow.clusters.batch_scripts import JobText, in_directive, job_class
from daskflow.clusters.batch_words import one_line, one_word
from daskflow.clusters.oar_commands import OarQueue
from daskflow.clusters.walltimes import Form

NAME_LENGTH = 100
"""Of a job's name, in OAR's table."""


class Oar(Batch):
    """Workers that are jobs of OAR, submitted with ``oarsub``.

    Attributes
    ----------
    resource_spec : str or None
        What ``-l`` asks for, instead of ``/nodes=1/core=CORES``.
    memory_per_core_property_name : str or None
        The site's property of nodes that says how many MiB there are per core; default: memory is not asked for.
    """

    form: ClassVar[Form] = "oar"
    system: ClassVar[str] = "OAR"
    marker: ClassVar[str] = "#OAR"
    job_id: ClassVar[str] = '"$OAR_JOB_ID"'

    kind: Literal["oar"] = "oar"
    resource_spec: str | None = None
    memory_per_core_property_name: str | None = None

    @field_validator("resource_spec")
    @classmethod
    def _resource_spec_is_a_line(cls, value: str | None) -> str | None:
        return one_line(value)

    @field_validator("memory_per_core_property_name")
    @classmethod
    def _property_is_a_word(cls, value: str | None) -> str | None:
        return one_word(value)

    def commands(self) -> Queue:
        """Return OAR's commands."""
        return OarQueue()

    def job(self, options: Mapping[str, Any]) -> Any:
        """Make dask-jobqueue's job."""
        return job_class("oar", "OARJob")(
            queue=self.queue,
            project=self.account,
            walltime=self.native_walltime,
            resource_spec=self.resource_spec,
            # Without a name the class warns at every script that memory is not asked for.
            memory_per_core_property_name=self.memory_per_core_property_name or "not_applicable",
            **options,
        )

    def name_of(self, text: JobText) -> str:
        """Return the job's name with the run's mark, for which OAR has no other place."""
        return f"{text.name[: NAME_LENGTH - len(text.run) - 1]}:{text.run}" if text.run else text.name

    def own_directives(self, text: JobText) -> list[str]:
        """One log for both streams; a start under a new number, for the job of the run itself."""
        log = in_directive(f"{self.logs}/%jobid%.log")
        again = ["-t idempotent"] if self.requeue and text.lease is None else []
        return [f"-O {log}", f"-E {log}", *again]
