"""Stand-ins for LSF, HTCondor and OAR on the PATH of a test: jobs are processes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from daskflow.clusters import REGISTRY
from daskflow.clusters.batch import Batch
from tests.stand_ins.queue_of_processes import FOLDER, Jobs

COMMANDS = {
    "lsf": ("bsub", "bjobs", "bhist", "bkill", "bqueues", "lshosts"),
    "htcondor": ("condor_submit", "condor_q", "condor_history", "condor_status", "condor_rm"),
    "oar": ("oarsub", "oarstat", "oardel", "oarnodes"),
}
"""Of each system, those that are stood in for."""

STARTER = """#!{python} -SE
import runpy, sys
sys.argv.insert(1, {name!r})
runpy.run_path({program!r}, run_name="__main__")
"""


@dataclass(frozen=True)
class StandIn:
    """A stand-in for a batch system.

    Attributes
    ----------
    kind : str
        Of the cluster.
    jobs : Jobs
        Its jobs.
    """

    kind: str
    jobs: Jobs

    def is_set_up(self, **site: Any) -> None:
        """Say how the site is: slots, seconds (a walltime of all jobs), array_size, is_busy."""
        (self.jobs.folder / "site.json").write_text(json.dumps(site))

    def cluster(self, folder: Path, mark: str, **settings: Any) -> Batch:
        """Return settings of the kind within a run."""
        options = {"memory": "900 MiB", "walltime": "30 min", "interface": "lo", **settings}
        found = REGISTRY.parse({"kind": self.kind, **options})
        assert isinstance(found, Batch)
        placed = found.within(folder, mark)
        placed.logs.mkdir(parents=True, exist_ok=True)
        return placed

    def living(self) -> list[str]:
        """IDs of jobs that wait or run."""
        return [job["id"] for job in self.jobs.all() if job["state"] != "ended"]


@contextmanager
def standing_in(kind: str, folder: Path) -> Iterator[StandIn]:
    """Put a stand-in's commands first on the PATH; end whatever runs at the end."""
    commands, program = folder / "bin", Path(__file__).parent / "stand_ins" / f"{kind}.py"
    commands.mkdir(parents=True)
    for name in COMMANDS[kind]:
        (commands / name).write_text(STARTER.format(python=sys.executable, name=name, program=str(program)))
        (commands / name).chmod(0o755)
    jobs = Jobs(folder / "jobs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{commands}:{os.environ['PATH']}")
        patch.setenv(FOLDER, str(jobs.folder))
        yield StandIn(kind, jobs)
    with jobs.locked():
        for file in jobs.folder.glob("job-*.json"):
            job = json.loads(file.read_text())
            if job["state"] == "running" and "process" in job:
                with suppress(ProcessLookupError):
                    os.killpg(job["process"], signal.SIGKILL)
    shutil.rmtree(commands, ignore_errors=True)
