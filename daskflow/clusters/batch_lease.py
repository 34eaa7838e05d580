"""Lease: a file that says that a run's scheduler lives, so that jobs which start after its end leave at once.

It names the scheduler's address, so that a job of an earlier scheduler does not take the lease of a later one for its
own, and is touched every few seconds, so that it is worth nothing soon after its writer was killed.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from daskflow.core.journal import write_atomically

BEAT_SECONDS, STALE_SECONDS = 5.0, 60.0
"""How often the file is touched; after so long without that its writer is dead."""

REACH_SECONDS = 20.0
"""How long a node tries to reach the scheduler."""


class Lease:
    """The lease of this process.

    Parameters
    ----------
    path : Path
        The file.
    """

    def __init__(self, path: Path) -> None:
        """Write nothing yet."""
        self.path = path
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="daskflow-lease", daemon=True)

    def take(self, address: str) -> None:
        """Write the file, and touch it from now on in a thread of its own, however busy the scheduler is."""
        known = {"address": address, "host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
        write_atomically(self.path, (json.dumps(known) + "\n").encode())
        self._thread.start()

    def _beat(self) -> None:
        while not self._over.wait(BEAT_SECONDS):
            with suppress(OSError):  # a file server that does not answer now; one that was removed is not made anew
                os.utime(self.path)

    def give_up(self) -> None:
        """Remove the file."""
        self._over.set()
        self.remove()

    def remove(self) -> None:
        """Remove the file of whoever wrote it."""
        with suppress(OSError):
            self.path.unlink(missing_ok=True)


def read_lease(path: Path) -> dict[str, Any] | None:
    """Return what a lease says: address, host, pid, since, and ``is_live``; None where there is none.

    Its age is measured by the file system's own clock, as `check_lines` does.
    """
    try:
        known = dict(json.loads(path.read_text()))
        age = _now_of(path.parent) - path.stat().st_mtime
    except (OSError, ValueError):
        return None
    return {**known, "is_live": age < STALE_SECONDS}


def _now_of(folder: Path) -> float:
    """Return the time by the clock of a folder's file server; by this machine's where nothing can be written."""
    probe = folder / f".now-{os.getpid()}-{threading.get_ident()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with suppress(OSError):
            probe.unlink(missing_ok=True)


def check_lines(lease: str, address: str) -> list[str]:
    """Return the lines of a job script that end it, with a sentence, where its scheduler is gone or out of reach.

    Two files' times are compared, both given by the file server: the clocks of nodes may differ from each other. Then
    the scheduler's port is tried, for one that was killed a moment ago.

    Parameters
    ----------
    lease : str
        The file's path, as a shell line has it.
    address : str
        Of the scheduler that the job belongs to.
    """
    return [
        f"daskflow_lease={lease} daskflow_address={shlex.quote(address)}",
        'if ! grep -qsF -- "\\"$daskflow_address\\"" "$daskflow_lease"; then',
        '    echo "daskflow: this job is not needed, or its node does not see the folder of the run: no lease of"',
        '    echo "$daskflow_address is in $daskflow_lease."',
        "    exit 0",
        "fi",
        'daskflow_now="$daskflow_lease-$(hostname)-$$"',
        'if : > "$daskflow_now"; then',
        '    daskflow_age=$(( $(stat -c %Y "$daskflow_now") - $(stat -c %Y "$daskflow_lease") ))',
        '    rm -f "$daskflow_now"',
        f'    if [ "$daskflow_age" -gt {STALE_SECONDS:.0f} ]; then',
        '        echo "daskflow: this job is not needed: its scheduler was killed $daskflow_age s ago."',
        "        exit 0",
        "    fi",
        "fi",
        "daskflow_place=${daskflow_address#*://}",
        f'if ! timeout {REACH_SECONDS:.0f} bash -c ": < /dev/tcp/${{daskflow_place%:*}}/${{daskflow_place##*:}}"; then',
        '    echo "daskflow: node $(hostname) does not reach the scheduler at $daskflow_address: it was killed, or"',
        '    echo "listens on a network that this node is not in (cluster.interface names another)."',
        "    exit 1",
        "fi",
    ]
