"""What a worker process of this machine does first: it ties its life to who started it, and guards its web server."""

from __future__ import annotations

import signal
from typing import Any

import dask

from daskflow.clusters.guard import SEAL, guard
from daskflow.core.processes import die_with_parent


def dask_setup(worker: Any) -> None:
    """Be killed with the parent, and leave Ctrl-C to it.

    Dask's own watch over the parent is a Python thread, which does not run while native code holds the interpreter
    lock; the kernel's does. Ctrl-C reaches every process of a terminal; the parent is the one that ends the work.

    The seal of the token came with Dask's configuration, through the pipe from the process that started this one. The
    web server listens already, but has not answered anybody: Dask calls this in the same turn of its loop.

    Parameters
    ----------
    worker : distributed.Worker
        The worker of this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
    guard(worker, dask.config.get(SEAL, "nobody has a token of this seal"))
