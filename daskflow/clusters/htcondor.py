"""Workers that are jobs of HTCondor."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from dask.utils import parse_bytes
from pydantic import field_validator

from daskflow.clusters.batch import Batch
from daskflow.clusters.batch_jobs import Queue
from daskflow.clusters.batch_scripts import JobText, job_class
from daskflow.clusters.batch_words import size_of
from daskflow.clusters.htcondor_commands import HTCondorQueue

DIRECTIVE = re.compile(r"\s*(\+?[A-Za-z_][A-Za-z0-9_.]*)\s*=\s*(.*\S)\s*")


class HTCondor(Batch):
    """Workers that are jobs of HTCondor, submitted with ``condor_submit``.

    There are no queues there; what a job needs of a machine is said in `directives`, as lines such as
    ``"requirements = (OpSysAndVer == \\"Debian12\\")"``.

    Attributes
    ----------
    disk : str
        Of each job, for what its worker has no room for in memory.
    """

    system: ClassVar[str] = "HTCondor"
    job_id: ClassVar[str] = "$(ClusterId).$(ProcId)"
    """Not the shell's: HTCondor puts the numbers in when it takes the job."""

    controller_directives: ClassVar[tuple[str, ...]] = (
        "universe = local",
        "getenv = PATH, HOME, USER, LOGNAME, LANG, CONDOR_CONFIG, _CONDOR_*",
    )
    """The job of the run itself stays on the access point: where jobs run there is often no way to submit others. It
    needs to find HTCondor's commands, and jobs get nothing of the environment that they are submitted from."""

    native: ClassVar[frozenset[str]] = Batch.native | {"queue"}

    kind: Literal["htcondor"] = "htcondor"
    disk: str = "10 GiB"

    @field_validator("disk", mode="before")
    @classmethod
    def _disk_is_a_size(cls, value: Any) -> str:
        return size_of(value, least=2**20)

    @field_validator("queue")
    @classmethod
    def _there_are_no_queues(cls, value: str | None) -> str | None:
        if value is not None:
            raise ValueError(
                "there are no queues in HTCondor; say what a machine must be in directives, as 'requirements = ...'"
            )
        return value

    @field_validator("directives", mode="before")
    @classmethod
    def _a_table_is_lines(cls, value: Any) -> Any:
        """Take names and values, as dask-jobqueue's configuration has them."""
        return [f"{name} = {text}" for name, text in value.items()] if isinstance(value, Mapping) else value

    @field_validator("directives")
    @classmethod
    def _lines_are_assignments(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for line in value:
            if not DIRECTIVE.fullmatch(line):
                raise ValueError(f"'{line}' should be a line such as 'requirements = (Memory > 4096)'")
        return value

    def commands(self) -> Queue:
        """Return HTCondor's commands."""
        return HTCondorQueue()

    def job(self, options: Mapping[str, Any]) -> Any:
        """Make dask-jobqueue's job."""
        lines = [DIRECTIVE.fullmatch(line) for line in options["job_extra_directives"]]
        table = {line[1]: line[2] for line in lines if line}
        # A universe that the user names counts for the job of the run itself, too.
        table |= {
            line[1]: line[2] for line in map(DIRECTIVE.fullmatch, self.directives) if line and line[1] == "universe"
        }
        before = joined([escaped(line) for line in options["job_script_prologue"]])
        return job_class("htcondor", "HTCondorJob")(
            **{
                **options,
                "disk": int(parse_bytes(self.disk)),
                "job_extra_directives": table,
                "job_script_prologue": [before],
            }
        )

    def opening_lines(self, text: JobText) -> list[str]:
        """Write both streams to the log from now on, named as `daskflow logs` looks for it."""
        logs = shlex.quote(str(self.logs))
        return [f'[ -w {logs} ] && exec >> {logs}/"$DASKFLOW_JOB.log" 2>&1']

    def own_directives(self, text: JobText) -> list[str]:
        """Name and logs; an end at the walltime, which HTCondor has no word for; the account; the run.

        A worker's job that lost its machine, or is held, leaves the queue: it would start again under the same number.
        """
        before = f"{self.logs}/$(ClusterId).$(ProcId)"
        is_over = f"(JobStatus == 2 && time() - JobCurrentStartDate > {self.seconds:.0f})"
        if text.lease is not None or not self.requeue:
            is_over += (
                " || (NumShadowStarts =!= undefined && NumShadowStarts > 0 && (JobStatus == 1 || JobStatus == 5))"
            )
        lines = [
            f'batch_name = "{text.name}"',
            f"Output = {before}.out",
            f"Error = {before}.out",
            f"Log = {before}.events",
            "Stream_Output = True",
            "Stream_Error = True",
            f"periodic_remove = {is_over}",
            f"MY.DaskflowSeconds = {self.seconds:.0f}",
        ]
        lines += [f"accounting_group = {self.account}"] if self.account else []
        return [*lines, *([f'MY.DaskflowRun = "{text.run}"'] if text.run else [])]


def joined(lines: list[str]) -> str:
    """Return shell lines as one, since a submit description has no room for more.

    Examples
    --------
    >>> joined(["if [ -e a ]; then", "    echo b", "fi", "date"])
    'if [ -e a ]; then echo b; fi; date'
    """
    text = ""
    for line in lines:
        is_open = re.search(r"(^|[\s;])(then|do|else|\{)$", text)
        text = f"{text}{' ' if is_open else '; '}{line.strip()}" if text else line.strip()
    return text


def escaped(line: str) -> str:
    """Return a shell line in which HTCondor finds none of its own macros, but for the job's number.

    Examples
    --------
    >>> escaped("echo $(date) $HOME $(ClusterId)")
    'echo $(DOLLAR)(date) $HOME $(ClusterId)'
    """
    return re.sub(r"\$(?=\$?\((?!ClusterId\)|ProcId\)))", "$(DOLLAR)", line)
