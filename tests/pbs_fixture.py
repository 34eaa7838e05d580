"""PBS's commands over a real Slurm on this machine, for the tests that ask for the fixture ``pbs``."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.conftest import lacking
from tests.sge_fixture import PACKAGES, TestQueue, started, taken_down_if_this_process_dies
from tests.slurm_fixture import PROGRAMS

SCRIPTS = Path(__file__).parent / "pbs"
NODES = 2
"""Of four cores each; queues ``normal``, ``short``, ``closed``."""


@contextmanager
def running_pbs() -> Iterator[TestQueue]:
    """Bring up a Slurm of this process's own with PBS's commands, and take it down at the end."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if missing:
        lacking(f"Slurm ({', '.join(missing)})")
    if not (PACKAGES / "pbs" / "complete").exists():
        lacking(f"PBS's commands (tests/batch_packages.sh {PACKAGES})")
    if os.geteuid() != 0:
        lacking("the right of root to start Slurm's daemons")
    folder = Path(tempfile.mkdtemp(prefix="daskflow-pbs-"))
    folder.chmod(0o755)
    with ExitStack() as closing:
        closing.callback(shutil.rmtree, folder, ignore_errors=True)
        closing.callback(subprocess.run, [SCRIPTS / "pbs-down.sh", folder], check=False, timeout=90)
        closing.enter_context(taken_down_if_this_process_dies([str(SCRIPTS / "pbs-down.sh"), str(folder)]))
        started([SCRIPTS / "pbs-up.sh", folder, PACKAGES / "pbs", str(NODES)], folder, "SLURM_UP_PORT", NODES + 1)
        options: dict[str, object] = {"resource_spec": "nodes=1:ppn=1,mem=700mb", "memory": "700 MiB"}
        yield TestQueue("pbs", folder / "bin", options, ["qstat"])
