"""Remedies: what to do where the end of a job's log shows that a node's Python cannot work for a run."""

from __future__ import annotations

import platform
import re
import socket
from importlib.metadata import version

SHIP = "have this one's packages sent along with cluster.ship = 'packages'"
"""What can be done where the nodes have the same Python without the packages, or with others."""


def with_remedy(failure: str) -> str:
    """Return why the fleet cannot go on, with what to do where the end of a job's log shows that a node lacks Python.

    Examples
    --------
    >>> with_remedy("Job 7 failed:\\n    python: No module named 'distributed'")
    "Job 7 failed:\\n    python: No module named 'distributed'\\nThe Python of the nodes lacks distributed; ..."
    """
    if re.search(r"^\s*daskflow: ", failure, re.M):
        return failure  # a script or a worker of ours has said it
    here = f"Python {platform.python_version()} with daskflow {version('daskflow')} on {socket.gethostname()}"
    if lacks := re.search(r"No module named '?(\w+)", failure):
        return (
            f"{failure}\nThe Python of the nodes lacks {lacks[1]}; the run's is {here}. Install the same there, name "
            f"another Python with cluster.python or lines of cluster.prologue, or {SHIP}."
        )
    if re.search(r"python\S*: (No such file|cannot execute|command not found|not found|Permission denied)", failure):
        return (
            f"{failure}\nThe nodes do not have that Python; the run's is {here}. Name one that they have with "
            "cluster.python, or lines of cluster.prologue that bring it, such as 'module load python'; without "
            f"daskflow there, {SHIP}."
        )
    if found := re.search(r"version .?(GLIBC\w*_[\d.]+).? not found", failure):
        return (
            f"{failure}\nThe system of the nodes is older than that of {socket.gethostname()}, whose packages need "
            f"{found[1]}. Install daskflow on a node, and start the run with that Python."
        )
    return failure
