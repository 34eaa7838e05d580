"""What a worker process of this machine does first: it ties its life to the process that started it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from typing import Any

PR_SET_PDEATHSIG = 1


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
    if sys.platform == "linux":
        parent = os.getppid()
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)
