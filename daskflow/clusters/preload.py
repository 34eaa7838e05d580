"""What a worker process of this machine does first: it ties its life to the process that started it."""

from __future__ import annotations

import signal
from typing import Any

from daskflow.core.processes import die_with_parent


def dask_setup(worker: Any) -> None:
    """Be killed with the parent, and leave Ctrl-C to it.

    Dask's own watch over the parent is a Python thread, which does not run while native code holds the interpreter
    lock; the kernel's does. Ctrl-C reaches every process of a terminal; the parent is the one that ends the work.

    Parameters
    ----------
    worker : distributed.Worker
        The worker of this process.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
