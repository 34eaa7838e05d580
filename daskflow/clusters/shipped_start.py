"""Starts a module in an environment that was shipped to a node, and removes the copy when the last job has left it.

A job's script runs this file out of the copy, with nothing but Python's own modules known: ``start.py -m MODULE ...``.
"""

import atexit
import fcntl
import os
import runpy
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

LOCK = 9
"""The file that the job's script holds, shared with the node's other jobs, as long as this process lives."""


REMOVE = '(rm -rf "$1"; rmdir "$2") 2> /dev/null &'
"""Removes a copy, then the folder of all copies if it is empty, in a process that is nobody's child."""


def leave(copy: Path, lock: Path, parent: int) -> None:
    """Remove the copy when no other job of this node uses it; a child process leaves it alone.

    What removes it goes on when this process is killed meanwhile, unless the system kills all that a job has begun: the
    node's next job removes what is left then.
    """
    if os.getpid() != parent:
        return
    with suppress(OSError):  # another job holds it: that one removes it
        fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(LOCK), lock.stat()):
            gone = copy.with_name(f"{copy.name}.gone-{parent}")
            copy.rename(gone)
            lock.unlink()
            remover = ["/bin/sh", "-c", REMOVE, "sh", str(gone), str(copy.parent)]
            # Its output ends when it has ended, so this waits for it.
            subprocess.run(remover, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, start_new_session=True)


def leave_early() -> None:
    """Remove the copy that this process runs in, when no other job needs it: its job is to be ended any moment."""
    if "DASKFLOW_COPY" in os.environ:
        copy = Path(os.environ["DASKFLOW_COPY"]).resolve()
        leave(copy, copy.with_name(f"{copy.name}.lock"), os.getpid())


def main() -> None:
    """Become the module that is named."""
    copy = Path(__file__).resolve().parent
    lock = copy.with_name(f"{copy.name}.lock")
    with suppress(OSError):
        if os.path.samestat(os.fstat(LOCK), lock.stat()):
            os.set_inheritable(LOCK, False)
            atexit.register(leave, copy, lock, os.getpid())
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # until the module has its own
    if sys.argv[1] != "-m":
        raise SystemExit(f"usage: {Path(__file__).name} -m MODULE ... (found {sys.argv[1]})")
    module, *arguments = sys.argv[2:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
