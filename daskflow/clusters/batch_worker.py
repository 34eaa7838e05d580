"""What a worker in a batch job does first: it compares versions with the run's, takes its job's number, and is guarded.

A script loads it with ``--preload daskflow.clusters.batch_worker``.
"""

from __future__ import annotations

import os
import platform
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daskflow.clusters.address import LIBRARIES, probe
from daskflow.clusters.batch_jobs import JOB
from daskflow.clusters.batch_keys import read_told
from daskflow.clusters.guard import guard
from daskflow.core.processes import die_with_parent

UNFIT = 78
"""Exit code of a job whose Python cannot work with the run's."""


def dask_setup(worker: Any) -> None:
    """Make a worker one of the run's, or end its process with a sentence in the job's log.

    Parameters
    ----------
    worker : distributed.Worker
        The worker of this process; started with the run's keys, so their folder is known.
    """
    folder = Path(worker.security.tls_ca_file or "").parent
    told = read_told(folder)
    sentence = unfit(told, probe()(LIBRARIES)) if told else _without_keys(folder)
    if sentence:
        # Dask logs what a preload raises, and goes on.
        sys.stderr.write(f"daskflow: {sentence}\n")
        sys.stderr.flush()
        os._exit(UNFIT)
    if worker.nanny is not None:
        die_with_parent()  # the kernel sees to it while native code holds the interpreter lock, too
    guard(worker, str(told["seal"]))
    if job := os.environ.get(JOB):
        worker.name = job  # Dask makes a number of what looks like one, and reads 17_2 as 172


def unfit(told: Mapping[str, Any], here: Mapping[str, str]) -> str:
    """Return why a Python cannot work with the run's, as a sentence; empty when it can.

    Parameters
    ----------
    told : mapping
        Of the driver: ``host`` and ``versions``.
    here : mapping
        Versions of this process.

    Examples
    --------
    >>> unfit({"host": "login1", "versions": {"numpy": "2.1"}}, {"numpy": "2.2"})
    "The Python of node ... has other versions than the run's on login1: numpy 2.2 (there 2.1). ..."
    >>> unfit({"host": "login1", "versions": {"numpy": "2.1"}}, {"numpy": "2.1", "python": "3.11"})
    ''
    """
    there: Mapping[str, str] = told["versions"]
    other = [
        f"{name} {here.get(name, 'missing')} (there {there[name]})" for name in there if here.get(name) != there[name]
    ]
    if not other:
        return ""
    return (
        f"The Python of node {socket.gethostname()}, {sys.executable} ({platform.python_version()}), has other "
        f"versions than the run's on {told['host']}: {', '.join(other)}. Make them equal, or name another Python with "
        "cluster.python or lines of cluster.prologue."
    )


def _without_keys(folder: Path) -> str:
    return (
        f"Node {socket.gethostname()} finds no keys in {folder}: the run is over, or the node does not see that "
        "folder. Name a folder that all nodes see with cluster.shared."
    )
